//! Leases as they are kept.

use crate::{
    logical::Object,
    storage::{Read, StorageError},
};
use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};

const FOLDER: &str = "sys/expire/id/";
const BY_TOKEN: &str = "sys/expire/token/";

/// What stands under a lease's id.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Record {
    /// The token of this name.
    Token(String),
    /// A secret.
    Secret(Box<SecretLease>),
}

/// A secret's lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct SecretLease {
    pub(crate) id: String,
    /// Accessor of the mount that made it.
    pub(crate) mount: String,
    /// The request's path relative to the mount.
    pub(crate) path: String,
    /// Name of the token it goes with; none for batch tokens, which cannot be revoked.
    pub(crate) token: Option<String>,
    /// Unix time in nanoseconds.
    pub(crate) issued: u64,
    /// Unix time in nanoseconds.
    pub(crate) expires: u64,
    /// Unix time in nanoseconds.
    pub(crate) last_renewal: Option<u64>,
    /// The engine's bound in seconds, 0 for none.
    pub(crate) max_ttl: u64,
    pub(crate) renewable: bool,
    /// What the engine wants to be given.
    pub(crate) internal: Object,
}

/// Where a lease is.
pub(super) fn key(id: &str) -> String {
    format!("{FOLDER}{id}")
}

/// Where a lease stands under its token.
pub(super) fn token_key(token: &str, id: &str) -> String {
    let hash = digest::digest(&digest::SHA256, id.as_bytes());
    format!("{BY_TOKEN}{token}/{}", crate::core::random::hex(hash.as_ref()))
}

/// A lease, if it is there.
///
/// # Errors
/// Those of the store.
pub(crate) fn load(store: &dyn Read, id: &str) -> Result<Option<Record>, StorageError> {
    let key = key(id);
    let Some(stored) = store.get(&key)? else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|_| StorageError::Corrupt { key })
}

/// Names below a prefix, which is empty or ends with a slash.
///
/// # Errors
/// Those of the store.
pub(crate) fn list(store: &dyn Read, prefix: &str) -> Result<Vec<String>, StorageError> {
    store.list(&key(prefix))
}

/// Ids of all leases below a prefix.
pub(super) fn ids(store: &dyn Read, prefix: &str) -> Result<Vec<String>, StorageError> {
    let mut found = Vec::new();
    let mut folders = vec![prefix.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in list(store, &folder)? {
            let id = format!("{folder}{child}");
            if child.ends_with('/') { folders.push(id) } else { found.push(id) }
        }
    }
    Ok(found)
}

/// Ids of the leases that go with a token.
pub(super) fn ids_of_token(store: &dyn Read, token: &str) -> Result<Vec<String>, StorageError> {
    let folder = format!("{BY_TOKEN}{token}/");
    let mut found = Vec::new();
    for child in store.list(&folder)? {
        let key = format!("{folder}{child}");
        let Some(stored) = store.get(&key)? else { continue };
        found.push(serde_json::from_slice(&stored).map_err(|_| StorageError::Corrupt { key })?);
    }
    Ok(found)
}
