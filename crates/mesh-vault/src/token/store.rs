//! From a token to its entry.

use super::{TokenEntry, batch, cache::Cache, network};
use crate::{
    core::random::{self, hex},
    storage::{Batch, Read, StorageError, Store},
};
use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashSet,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Where the keys are that make names of tokens, and batch tokens.
pub(super) const SECRETS: &str = "sys/token/secrets";
const ID: &str = "sys/token/id/";
const ACCESSOR: &str = "sys/token/accessor/";
const PARENT: &str = "sys/token/parent/";
/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 16 * 1024;
const KEY_BYTES: usize = 32;

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Secrets {
    salt: String,
    batch: String,
}

/// An accessor's entry.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Accessor {
    pub(super) accessor: String,
    pub(super) name: String,
}

/// All tokens.
pub(crate) struct Tokens {
    salt: hmac::Key,
    pub(super) cipher: batch::Cipher,
    pub(super) cache: Cache,
    /// Tokens that are being revoked: good for nothing from the first moment on.
    doomed: Mutex<HashSet<String>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").finish_non_exhaustive()
    }
}

impl Tokens {
    /// Over a store that is unsealed; makes the keys where there are none yet.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) async fn open(store: &dyn Store) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt { key: SECRETS.to_owned() };
        let stored = match store.get(SECRETS)? {
            Some(stored) => stored,
            None => {
                let fresh = fresh_secrets()?;
                let batch = Batch { writes: [(SECRETS.to_owned(), Some(fresh.clone()))].into() };
                store.commit(batch).await?;
                fresh
            }
        };
        let secrets: Secrets = serde_json::from_slice(&stored).map_err(|_| corrupt())?;
        let salt = BASE64_STANDARD.decode(&secrets.salt).map_err(|_| corrupt())?;
        let batch = BASE64_STANDARD.decode(&secrets.batch).map_err(|_| corrupt())?;
        Ok(Self {
            salt: hmac::Key::new(hmac::HMAC_SHA256, &salt),
            cipher: batch::Cipher::new(&batch)?,
            cache: Cache::default(),
            doomed: Mutex::default(),
        })
    }

    /// The name a token or an accessor is stored under.
    pub(crate) fn name(&self, token: &str) -> String {
        hex(hmac::sign(&self.salt, token.as_bytes()).as_ref())
    }

    /// The entry of a token that is still good.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn lookup(
        &self,
        store: &dyn Read,
        token: &str,
        now: SystemTime,
    ) -> Result<Option<Arc<TokenEntry>>, StorageError> {
        if token.is_empty() || token.len() > TOKEN_BYTES_MAX {
            return Ok(None);
        }
        let name = self.name(token);
        if token.starts_with(batch::PREFIX) {
            return self.lookup_batch(store, token, name, now);
        }
        self.lookup_name(store, &name, now)
    }

    /// The entry of a token that is still good, by its name.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn lookup_name(
        &self,
        store: &dyn Read,
        name: &str,
        now: SystemTime,
    ) -> Result<Option<Arc<TokenEntry>>, StorageError> {
        let entry = self.load(store, name)?;
        Ok(entry.filter(|entry| !entry.is_over(now) && !self.is_doomed(name)))
    }

    /// The entry of a token, good or over.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn load(&self, store: &dyn Read, name: &str) -> Result<Option<Arc<TokenEntry>>, StorageError> {
        let reading = match self.cache.get(name) {
            Ok(found) => return Ok(Some(found)),
            Err(reading) => reading,
        };
        let key = entry_key(name);
        let Some(stored) = store.get(&key)? else { return Ok(None) };
        let mut entry: TokenEntry =
            serde_json::from_slice(&stored).map_err(|_| StorageError::Corrupt { key })?;
        name.clone_into(&mut entry.name);
        let entry = Arc::new(entry);
        self.cache.keep(reading, &entry);
        Ok(Some(entry))
    }

    fn lookup_batch(
        &self,
        store: &dyn Read,
        token: &str,
        name: String,
        now: SystemTime,
    ) -> Result<Option<Arc<TokenEntry>>, StorageError> {
        let Some(entry) = self.cipher.decode(token) else { return Ok(None) };
        if entry.is_over(now) {
            return Ok(None);
        }
        if let Some(parent) = &entry.parent
            && self.lookup_name(store, parent, now)?.is_none()
        {
            return Ok(None);
        }
        Ok(Some(Arc::new(TokenEntry { name, ..entry })))
    }

    /// The name an accessor leads to.
    ///
    /// # Errors
    /// Those of the store.
    pub(crate) fn by_accessor(
        &self,
        store: &dyn Read,
        accessor: &str,
    ) -> Result<Option<String>, StorageError> {
        let key = self.accessor_key(accessor);
        let Some(stored) = store.get(&key)? else { return Ok(None) };
        let found: Accessor = serde_json::from_slice(&stored).map_err(|_| StorageError::Corrupt { key })?;
        Ok(Some(found.name))
    }

    pub(super) fn accessor_key(&self, accessor: &str) -> String {
        format!("{ACCESSOR}{}", self.name(accessor))
    }

    /// Marks tokens as being revoked.
    pub(super) fn doom(&self, name: &str) {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
    }

    /// They are gone from the store, or the revocation failed.
    pub(super) fn spare(&self, names: &[String]) {
        let mut doomed = self.doomed.lock().unwrap_or_else(PoisonError::into_inner);
        for name in names {
            doomed.remove(name);
        }
    }

    /// Whether a token is being revoked.
    pub(crate) fn is_doomed(&self, name: &str) -> bool {
        self.doomed.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }
}

impl TokenEntry {
    /// Whether it may be used from an address. Tokens without end are bound to none.
    pub(crate) fn allows_from(&self, remote: Option<IpAddr>) -> bool {
        if self.bound_cidrs.is_empty() || self.ttl == 0 {
            return true;
        }
        remote.is_some_and(|remote| network::contains(&self.bound_cidrs, remote))
    }
}

/// Where an entry is.
pub(super) fn entry_key(name: &str) -> String {
    format!("{ID}{name}")
}

/// Where a token's link to its parent is.
pub(super) fn parent_key(parent: &str, child: &str) -> String {
    format!("{PARENT}{parent}/{child}")
}

/// Names of a token's children.
pub(super) fn children(store: &dyn Read, name: &str) -> Result<Vec<String>, StorageError> {
    store.list(&format!("{PARENT}{name}/"))
}

/// All accessors.
pub(super) fn accessors(store: &dyn Read) -> Result<Vec<Accessor>, StorageError> {
    let mut found = Vec::new();
    for child in store.list(ACCESSOR)? {
        let key = format!("{ACCESSOR}{child}");
        let Some(stored) = store.get(&key)? else { continue };
        found.push(serde_json::from_slice(&stored).map_err(|_| StorageError::Corrupt { key })?);
    }
    Ok(found)
}

fn fresh_secrets() -> Result<Vec<u8>, StorageError> {
    let mut key = [0_u8; KEY_BYTES];
    random::fill(&mut key)?;
    let salt = BASE64_STANDARD.encode(key);
    random::fill(&mut key)?;
    let batch = BASE64_STANDARD.encode(key);
    key.zeroize();
    serde_json::to_vec(&Secrets { salt, batch })
        .map_err(|_| StorageError::Corrupt { key: SECRETS.to_owned() })
}
