//! The place in a vault where generated secrets of one project are.

use super::GeneratedError;
use crate::vault::{Method, Vault, VaultError};
use mesh_redact::Secret;
use serde_json::{Value, json};

/// Mount of the KV engine, version 2.
const MOUNT: &str = "secret";
/// Folder of what Mesh itself keeps there: below it a folder a project.
const FOLDER: &str = "mesh";
/// The field that has a value.
const FIELD: &str = "value";
/// Rounds of writing where somebody else writes at the same time.
const ROUNDS_MAX: u32 = 3;

/// The place of one project's values.
#[derive(Clone, Copy)]
pub struct Shelf<'a> {
    /// The vault, open.
    pub vault: &'a dyn Vault,
    /// A token that may read and write there.
    pub token: &'a Secret<String>,
    /// The project.
    pub project: &'a str,
}

/// What became of a value that was offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offered {
    /// The vault has it.
    Kept,
    /// The vault has another one, which stays.
    Other,
}

/// What is there of a value, and the version that whoever writes it replaces.
struct There {
    value: Option<Secret<String>>,
    version: u64,
}

impl Shelf<'_> {
    /// Whether a secret of this name has a path there.
    #[must_use]
    pub fn holds(name: &str) -> bool {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        !name.is_empty() && name.chars().all(plain) && !name.chars().all(|c| c == '.')
    }

    /// Where a value is, as `vault kv get` takes it.
    #[must_use]
    pub fn path(&self, name: &str) -> String {
        format!("{MOUNT}/{FOLDER}/{}/{name}", self.project)
    }

    fn full(&self, kind: &str, name: &str) -> String {
        format!("{MOUNT}/{kind}/{FOLDER}/{}/{name}", self.project)
    }

    /// Whether the vault has the engine for it: before its bootstrap it has none.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn is_there(&self) -> Result<bool, VaultError> {
        let mounts = self.ask(Method::Read, "sys/mounts", None)?.unwrap_or_default();
        let mount = mounts.get(format!("{MOUNT}/")).cloned().unwrap_or_default();
        let kind = mount.get("type").and_then(Value::as_str);
        let version = mount.pointer("/options/version").and_then(Value::as_str);
        Ok(kind == Some("kv") && version == Some("2"))
    }

    /// A value, if it is there.
    ///
    /// # Errors
    /// See [`GeneratedError`].
    pub fn read(&self, name: &str) -> Result<Option<Secret<String>>, GeneratedError> {
        Ok(self.there(name)?.value)
    }

    /// Writes a value where there is none.
    ///
    /// # Errors
    /// See [`GeneratedError`].
    pub fn offer(&self, name: &str, value: &Secret<String>) -> Result<Offered, GeneratedError> {
        for _ in 0..ROUNDS_MAX {
            let there = self.there(name)?;
            match &there.value {
                Some(other) if other == value => return Ok(Offered::Kept),
                Some(_) => return Ok(Offered::Other),
                None if self.write(name, value, there.version)? => return Ok(Offered::Kept),
                None => {}
            }
        }
        Err(GeneratedError::Busy { path: self.path(name) })
    }

    /// Writes a value in place of whatever there is. The engine keeps the versions before.
    ///
    /// # Errors
    /// See [`GeneratedError`].
    pub fn replace(&self, name: &str, value: &Secret<String>) -> Result<(), GeneratedError> {
        let version = self.there(name)?.version;
        match self.write(name, value, version)? {
            true => Ok(()),
            false => Err(GeneratedError::Busy { path: self.path(name) }),
        }
    }

    /// Removes a value with all its versions; one that is not there is no error.
    ///
    /// # Errors
    /// See [`VaultError`].
    pub fn remove(&self, name: &str) -> Result<(), VaultError> {
        self.ask(Method::Delete, &self.full("metadata", name), None).map(drop)
    }

    fn there(&self, name: &str) -> Result<There, GeneratedError> {
        if let Some(data) = self.ask(Method::Read, &self.full("data", name), None)? {
            let value = data.pointer(&format!("/data/{FIELD}")).and_then(Value::as_str);
            let version = data.pointer("/metadata/version").and_then(Value::as_u64);
            let (Some(value), Some(version)) = (value, version) else {
                return Err(GeneratedError::Odd { path: self.path(name) });
            };
            return Ok(There { value: Some(Secret::new(value.to_owned())), version });
        }
        // Of one whose last version was deleted the number goes on.
        let metadata = self.ask(Method::Read, &self.full("metadata", name), None)?;
        let version = metadata.as_ref().and_then(|data| data.get("current_version")?.as_u64());
        Ok(There { value: None, version: version.unwrap_or_default() })
    }

    /// Whether it was written: `false` where the version was not the last one any more.
    fn write(&self, name: &str, value: &Secret<String>, version: u64) -> Result<bool, VaultError> {
        let body = json!({"data": {FIELD: value.expose()}, "options": {"cas": version}});
        match self.ask(Method::Write, &self.full("data", name), Some(&body)) {
            Err(VaultError::Refused { status: 400, reason, .. }) if reason.contains("check-and-set") => {
                Ok(false)
            }
            Ok(None) => Err(VaultError::Refused {
                attempt: format!("write {}", self.full("data", name)),
                status: 404,
                reason: "there is no such path".to_owned(),
            }),
            written => written.map(|_| true),
        }
    }

    fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Option<Value>, VaultError> {
        Ok(self.vault.ask(method, path, body, Some(self.token))?.data())
    }
}
