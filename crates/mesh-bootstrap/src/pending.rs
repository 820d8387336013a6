//! The word that a vault is about to be initialised, written before it is asked.
//!
//! The answer to an initialization is the only copy of the vault's keys. Whoever is killed before it is on disk has
//! lost them, unless the vault gives the same answer again: Mesh's own does to whoever brings the same key. So that
//! key is on disk, synced, before the vault is asked, and is removed when its keys are.

use crate::{directory::Directory, keys::Keys, step::BootstrapError};
use mesh_redact::{Secret, exposed};
use mesh_store::secrets::{self, Recipe};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Letters and digits of the key: 256 bits.
const KEY_LETTERS: usize = 43;
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// An initialization that was begun.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Pending {
    /// What makes asking again the same question.
    #[serde(with = "exposed")]
    pub(crate) idempotency_key: Secret<String>,
    /// Shares of the key.
    pub(crate) shares: u32,
    /// How many of them open it.
    pub(crate) threshold: u32,
    /// When it was begun, in seconds since 1970.
    begun_unix_seconds: u64,
}

impl Pending {
    /// The file in the directory of keys.
    pub(crate) const FILE: &str = "keys.pending.json";

    /// The one of a directory, if one was begun there.
    pub(crate) fn read(directory: &Directory) -> Result<Option<Self>, BootstrapError> {
        let Some(text) = directory.read(Self::FILE)? else { return Ok(None) };
        let wrong = |_| BootstrapError::Keys { path: Self::path(directory) };
        serde_json::from_str(&text).map(Some).map_err(wrong)
    }

    /// Begins one.
    pub(crate) fn begin(directory: &Directory, shares: u32, threshold: u32) -> Result<Self, BootstrapError> {
        let recipe = Recipe { length: KEY_LETTERS, characters: CHARACTERS.to_owned() };
        let idempotency_key = secrets::generate(&recipe)?;
        let begun = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let pending = Self { idempotency_key, shares, threshold, begun_unix_seconds: begun.as_secs() };
        directory.write_secret(Self::FILE, &serde_json::to_string(&pending).unwrap_or_default())?;
        Ok(pending)
    }

    /// It, unless other shares are asked for than it was begun with: what the vault answers is as it was begun.
    pub(crate) fn checked(
        self,
        directory: &Directory,
        asked: Option<(u32, u32)>,
    ) -> Result<Self, BootstrapError> {
        let begun = (self.shares, self.threshold);
        match asked.filter(|asked| *asked != begun) {
            Some(asked) => Err(BootstrapError::OtherShares { path: Self::path(directory), begun, asked }),
            None => Ok(self),
        }
    }

    /// Writes the keys that it gave, and ends it.
    pub(crate) fn end(directory: &Directory, keys: &Keys) -> Result<(), BootstrapError> {
        keys.write(directory)?;
        Self::forget(directory)
    }

    /// Removes it, if it is there.
    pub(crate) fn forget(directory: &Directory) -> Result<(), BootstrapError> {
        Ok(directory.remove(Self::FILE)?)
    }

    pub(crate) fn path(directory: &Directory) -> PathBuf {
        directory.path().join(Self::FILE)
    }

    /// When it was begun.
    pub(crate) fn begun(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(self.begun_unix_seconds.min(u64::from(u32::MAX)))
    }
}
