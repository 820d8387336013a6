//! One thing that is to be there.

use crate::{
    directory::{Directory, FileError},
    vault::{Answer, Method, Vault, VaultError},
    wanted::Wanted,
};
use mesh_redact::Secret;
use mesh_store::secrets::SecretsError;
use serde_json::Value;
use std::{path::PathBuf, time::SystemTime};

/// Why a bootstrap stopped.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The disk.
    #[error(transparent)]
    File(#[from] FileError),
    /// Nothing random can be had.
    #[error(transparent)]
    Random(#[from] SecretsError),
    /// Nobody initialised the vault.
    #[error("the vault is not initialised")]
    NotInitialised,
    /// It is sealed, and its keys are not here.
    #[error("the vault is sealed, and its keys are not in {}", path.display())]
    NoKeys {
        /// Where they were looked for.
        path: PathBuf,
    },
    /// The file of keys is not what was written.
    #[error("{} is not a file of keys; it is left as it is", path.display())]
    Keys {
        /// The file.
        path: PathBuf,
    },
    /// The vault is new, and keys are here.
    #[error("the vault is not initialised, and {} has the keys of another one", path.display())]
    KeysOfAnother {
        /// The file.
        path: PathBuf,
    },
    /// The keys do not open it.
    #[error("the keys in {} do not open the vault: they are another one's", path.display())]
    WrongKeys {
        /// Their file.
        path: PathBuf,
    },
    /// There are too few of them.
    #[error("{} has {found} keys, and {threshold} open the vault", path.display())]
    FewKeys {
        /// Their file.
        path: PathBuf,
        /// How many it has.
        found: usize,
        /// How many it takes.
        threshold: u32,
    },
    /// It was about to be initialised by us, and it does not say with which keys it was.
    #[error(
        "an initialisation was begun at about {} and its answer did not arrive, and the vault does not give it again: \
         somebody else initialised it or has opened it since, or its keys got lost with the answer",
        humantime::format_rfc3339_seconds(*begun)
    )]
    NoAnswer {
        /// The file that says that it was begun.
        path: PathBuf,
        /// When it was begun.
        begun: SystemTime,
    },
    /// One with other shares was begun.
    #[error(
        "{} says that an initialisation was begun in which {} of {} shares open the vault, not {} of {}",
        path.display(), begun.1, begun.0, asked.1, asked.0
    )]
    OtherShares {
        /// The file that says that it was begun.
        path: PathBuf,
        /// Its shares, and how many of them open the vault.
        begun: (u32, u32),
        /// Those that are asked for.
        asked: (u32, u32),
    },
    /// What is there is something else, and is not replaced.
    #[error("{what} is there and is something else: {difference}")]
    Different {
        /// What was to be made.
        what: String,
        /// In which way.
        difference: String,
    },
}

/// What is there of a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// All of it.
    There,
    /// Nothing.
    Missing,
    /// Something that has to be brought in line; what.
    Behind(String),
}

/// What was done, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// The step, as `policy postgres`.
    pub what: String,
    /// What was there before.
    pub found: Found,
}

/// The vault with a token, the plan, and where files go.
pub struct At<'a> {
    pub(crate) vault: &'a dyn Vault,
    pub(crate) token: &'a Secret<String>,
    pub(crate) wanted: &'a Wanted,
    pub(crate) logins: &'a Directory,
    pub(crate) authorities: &'a Directory,
}

impl At<'_> {
    pub(crate) fn read(&self, path: &str) -> Result<Option<Value>, VaultError> {
        Ok(self.vault.ask(Method::Read, path, None, Some(self.token))?.data())
    }

    /// The keys at a path; none where there is nothing.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<String>, VaultError> {
        let listed = self.vault.ask(Method::List, path, None, Some(self.token))?.data();
        let keys = listed.as_ref().and_then(|data| data.get("keys")).and_then(Value::as_array);
        Ok(keys.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect())
    }

    pub(crate) fn write(&self, path: &str, body: &Value) -> Result<Option<Value>, VaultError> {
        match self.vault.ask(Method::Write, path, Some(body), Some(self.token))? {
            Answer::Nothing => Err(VaultError::Refused {
                attempt: format!("write {path}"),
                status: 404,
                reason: "there is no such path".to_owned(),
            }),
            body @ Answer::Body(_) => Ok(body.data()),
        }
    }
}

/// A text of an answer.
pub(crate) fn text(data: Option<Value>, attempt: &str, field: &'static str) -> Result<String, VaultError> {
    let found = data.as_ref().and_then(|data| data.get(field)).and_then(Value::as_str).map(str::to_owned);
    found.ok_or_else(|| VaultError::Unexpected { attempt: attempt.to_owned(), missing: field })
}

/// One thing that is to be there.
pub trait Step {
    /// What it is, as `policy postgres`.
    fn what(&self) -> String;

    /// Looks what is there of it. Changes nothing.
    ///
    /// # Errors
    /// See [`BootstrapError`].
    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError>;

    /// Makes it. Is called only where something is missing or behind.
    ///
    /// # Errors
    /// See [`BootstrapError`].
    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError>;
}
