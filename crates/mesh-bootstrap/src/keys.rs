//! The keys that open a vault: kept in a file of mode 0600, used at each start.

use crate::{
    directory::Directory,
    step::BootstrapError,
    vault::{Method, Vault, VaultError},
};
use mesh_redact::{Secret, exposed};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The file in its directory, in the shape of Vault's own answer to `operator init`.
const FILE: &str = "keys.json";
/// The root token by itself, for what takes one from a file.
const TOKEN_FILE: &str = "root-token";

/// What initialising gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Keys {
    /// Shares of the key, base64.
    #[serde(rename = "unseal_keys_b64", with = "exposed")]
    pub shares: Secret<Vec<String>>,
    /// How many of them open it.
    #[serde(rename = "unseal_threshold")]
    pub threshold: u32,
    /// The first token.
    #[serde(with = "exposed")]
    pub root_token: Secret<String>,
}

/// What had to be done to open it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsealed {
    /// It was made new, and its keys are in the file.
    Initialised,
    /// It was sealed.
    Opened,
    /// It was open.
    Already,
}

impl Keys {
    /// Those of a directory, if they are there.
    ///
    /// # Errors
    /// Where the file cannot be read or is not what was written.
    pub fn read(directory: &Directory) -> Result<Option<Self>, BootstrapError> {
        let Some(text) = directory.read(FILE)? else { return Ok(None) };
        // The text of the error may repeat what the file has.
        let wrong = |_| BootstrapError::Keys { path: directory.path().join(FILE) };
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }

    fn write(&self, directory: &Directory) -> Result<(), BootstrapError> {
        let text = serde_json::to_string_pretty(self).unwrap_or_default();
        directory.write_secret(FILE, &format!("{text}\n"))?;
        directory.write_secret(TOKEN_FILE, self.root_token.expose())?;
        Ok(())
    }
}

/// Opens a vault with the keys of a directory. One that nobody initialised is, if `shares` says into how many shares
/// the key is split and how many of them open it.
///
/// # Errors
/// See [`BootstrapError`]: what the vault or the disk refused, keys that are not there or of another vault.
pub fn unseal(
    vault: &dyn Vault,
    directory: &Directory,
    shares: Option<(u32, u32)>,
) -> Result<(Unsealed, Option<Keys>), BootstrapError> {
    let status = status(vault)?;
    let flag = |name: &'static str| {
        let missing = || VaultError::Unexpected { attempt: "read sys/seal-status".to_owned(), missing: name };
        status.get(name).and_then(Value::as_bool).ok_or_else(missing)
    };
    let (initialised, sealed) = (flag("initialized")?, flag("sealed")?);
    let there = Keys::read(directory)?;
    if !initialised {
        let Some((count, threshold)) = shares else { return Err(BootstrapError::NotInitialised) };
        if there.is_some() {
            // They may be all that opens a vault whose data is elsewhere now.
            return Err(BootstrapError::KeysOfAnother { path: directory.path().join(FILE) });
        }
        let keys = initialise(vault, count, threshold)?;
        keys.write(directory)?;
        open(vault, &keys)?;
        return Ok((Unsealed::Initialised, Some(keys)));
    }
    match (sealed, there) {
        (false, keys) => Ok((Unsealed::Already, keys)),
        (true, None) => Err(BootstrapError::NoKeys { path: directory.path().join(FILE) }),
        (true, Some(keys)) => {
            open(vault, &keys)?;
            Ok((Unsealed::Opened, Some(keys)))
        }
    }
}

/// What `sys/seal-status` says.
fn status(vault: &dyn Vault) -> Result<Value, VaultError> {
    let answer = vault.ask(Method::Read, "sys/seal-status", None, None)?;
    answer
        .data()
        .ok_or(VaultError::Unexpected { attempt: "read sys/seal-status".to_owned(), missing: "body" })
}

fn initialise(vault: &dyn Vault, count: u32, threshold: u32) -> Result<Keys, VaultError> {
    let body = json!({"secret_shares": count, "secret_threshold": threshold});
    let answer = vault.ask(Method::Write, "sys/init", Some(&body), None)?.data().unwrap_or_default();
    let missing = |missing| VaultError::Unexpected { attempt: "write sys/init".to_owned(), missing };
    let shares = answer.get("keys_base64").and_then(Value::as_array).ok_or_else(|| missing("keys_base64"))?;
    let shares = shares.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let token = answer.get("root_token").and_then(Value::as_str).ok_or_else(|| missing("root_token"))?;
    Ok(Keys { shares: Secret::new(shares), threshold, root_token: Secret::new(token.to_owned()) })
}

fn open(vault: &dyn Vault, keys: &Keys) -> Result<(), BootstrapError> {
    for share in keys.shares.expose() {
        let answer = vault.ask(Method::Write, "sys/unseal", Some(&json!({"key": share})), None)?;
        if answer.data().and_then(|data| data.get("sealed")?.as_bool()) == Some(false) {
            return Ok(());
        }
    }
    Err(BootstrapError::StillSealed)
}
