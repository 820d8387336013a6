//! Encryption between everything above and the store: what is stored is ciphertext.
//!
//! Each value is sealed by AES-256-GCM with a random nonce, under a key of the key ring and with its own path
//! as associated data, so that no entry can be put in another's place. The key ring has a key for each *term*;
//! writes use the newest, reads whichever the entry names. The ring itself is an entry, sealed by the root key,
//! which is never stored: [`crate::seal`] splits it into shares.
//!
//! Readable without the root key: the entries' paths, sizes and terms, how many shares there are and how many
//! of them are needed. Paths of secrets are paths of entries; whoever must hide a name must not put it there.
//!
//! Sealing drops the ring. What was read before stays with whoever read it; every read and write after it
//! answers [`StorageError::Sealed`].

mod key;
mod ring;

#[cfg(test)]
mod tests;

pub use key::RootKey;
pub(crate) use key::random;

use crate::storage::{Batch, Boxed, Read, StorageError, Store};
use ring::Ring;
use std::{
    sync::{Arc, PoisonError, RwLock, atomic::Ordering},
    time::SystemTime,
};

/// Where the key ring is.
const RING_PATH: &str = "core/keyring";
/// Where the seal's configuration is, in clear: it is needed before anything can be decrypted.
pub(crate) const SEAL_PATH: &str = "core/seal-config";
/// Where the answer to the initialization is kept for its caller until the first unseal, sealed by the caller's key.
pub(crate) const KEPT_ANSWER_PATH: &str = "core/kept-answer";
/// Says that an initialization is under way whose answer nobody has: nobody can open what it made so far.
const UNDER_WAY_PATH: &str = "core/initializing";
/// Entries that are no ciphertext of a term's key. Nothing above may read or write them.
const RESERVED: [&str; 4] = [RING_PATH, SEAL_PATH, KEPT_ANSWER_PATH, UNDER_WAY_PATH];
/// A key is replaced after this many encryptions: NIST SP 800-38D, 8.3, allows 2^32 with random nonces.
const ENCRYPTIONS_MAX: u64 = 3_865_470_566;
/// The ring is stored again once this many encryptions have come since, so that a restart forgets few.
const ENCRYPTIONS_UNSAVED_MAX: u64 = 100_000;

/// Why the barrier did not do it.
#[derive(Debug, thiserror::Error)]
pub enum BarrierError {
    /// There is a key ring.
    #[error("Vault is already initialized")]
    AlreadyInitialized,
    /// There is no key ring.
    #[error("Vault is not initialized")]
    NotInitialized,
    /// This root key does not open the key ring.
    #[error("unseal failed, invalid key")]
    InvalidKey,
    /// The store, or the barrier is sealed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// What can be told of the key in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its number; the first is 1, 0 when sealed.
    pub term: u32,
    /// Since when it is used.
    pub installed: SystemTime,
    /// How many values it has encrypted, as far as was recorded.
    pub encryptions: u64,
}

/// The encrypted view of a store.
pub struct Barrier {
    under: Arc<dyn Store>,
    ring: RwLock<Option<Arc<Ring>>>,
    /// One change of the ring at a time.
    changing: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Barrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Barrier").field("sealed", &self.sealed()).finish_non_exhaustive()
    }
}

impl Barrier {
    /// Over a store; sealed.
    #[must_use]
    pub fn new(under: Arc<dyn Store>) -> Self {
        Self { under, ring: RwLock::new(None), changing: tokio::sync::Mutex::new(()) }
    }

    /// The store below: [`crate::seal`] keeps its configuration there.
    pub(crate) fn under(&self) -> &Arc<dyn Store> {
        &self.under
    }

    /// Whether there is a key ring, and somebody who may have the shares of what opens it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn initialized(&self) -> Result<bool, StorageError> {
        Ok(self.under.get(RING_PATH)?.is_some() && self.under.get(UNDER_WAY_PATH)?.is_none())
    }

    /// The entry that has a key ring count for nothing until [`Self::initialized_from_now`].
    pub(crate) fn under_way() -> Batch {
        Batch { writes: [(UNDER_WAY_PATH.to_owned(), Some(Vec::new()))].into() }
    }

    /// The key ring counts: its shares are about to be given away.
    pub(crate) async fn initialized_from_now(&self) -> Result<(), StorageError> {
        self.under.commit(Batch { writes: [(UNDER_WAY_PATH.to_owned(), None)].into() }).await
    }

    /// Makes a key ring. The barrier stays sealed.
    ///
    /// # Errors
    /// When there is one, or it cannot be stored.
    pub async fn initialize(&self, root: &RootKey) -> Result<(), BarrierError> {
        self.initialize_with(root, Batch::default()).await
    }

    /// The same, with entries below the barrier written in the same batch.
    pub(crate) async fn initialize_with(
        &self,
        root: &RootKey,
        mut beside: Batch,
    ) -> Result<(), BarrierError> {
        let _turn = self.changing.lock().await;
        if self.initialized()? {
            return Err(BarrierError::AlreadyInitialized);
        }
        // What one made that was cut off opens under no key that anybody has.
        if self.under.get(UNDER_WAY_PATH)?.is_some() {
            for key in self.keys()? {
                beside.writes.entry(key).or_insert(None);
            }
        }
        self.store(&Ring::first(root.clone())?, beside).await
    }

    /// All that is below.
    fn keys(&self) -> Result<Vec<String>, StorageError> {
        let (mut keys, mut folders) = (Vec::new(), vec![String::new()]);
        while let Some(folder) = folders.pop() {
            for name in self.under.list(&folder)? {
                let path = format!("{folder}{name}");
                if path.ends_with('/') { folders.push(path) } else { keys.push(path) }
            }
        }
        Ok(keys)
    }

    /// Opens the key ring.
    ///
    /// # Errors
    /// When there is none, or the key does not fit.
    pub fn unseal(&self, root: &RootKey) -> Result<(), BarrierError> {
        let ring = self.open(root)?;
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(ring));
        Ok(())
    }

    /// Whether this is the root key, sealed or not.
    ///
    /// # Errors
    /// [`BarrierError::InvalidKey`] when it is not.
    pub fn verify_root(&self, root: &RootKey) -> Result<(), BarrierError> {
        self.open(root).map(drop)
    }

    /// Forgets the keys.
    pub fn seal(&self) {
        *self.ring.write().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether nothing can be decrypted.
    #[must_use]
    pub fn sealed(&self) -> bool {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// Adds a key to the ring for all writes from now on; the new term.
    ///
    /// # Errors
    /// When sealed, or the ring cannot be stored.
    pub async fn rotate(&self) -> Result<u32, BarrierError> {
        let _turn = self.changing.lock().await;
        let next = self.ring()?.rotated()?;
        let term = next.term();
        self.store(&next, Batch::default()).await?;
        self.put_in_use(next);
        Ok(term)
    }

    /// The key in use.
    #[must_use]
    pub fn key_status(&self) -> KeyStatus {
        let sealed = KeyStatus { term: 0, installed: SystemTime::UNIX_EPOCH, encryptions: 0 };
        self.ring().map_or(sealed, |ring| ring.status())
    }

    /// Seals the key ring with another root key. The one before opens nothing any more.
    ///
    /// # Errors
    /// When sealed, or the ring cannot be stored.
    pub async fn rekey(&self, new: &RootKey) -> Result<(), BarrierError> {
        self.rekey_with(new, Batch::default()).await
    }

    /// The same, with entries below the barrier written in the same batch.
    pub(crate) async fn rekey_with(&self, new: &RootKey, beside: Batch) -> Result<(), BarrierError> {
        let _turn = self.changing.lock().await;
        let next = self.ring()?.with_root(new.clone())?;
        self.store(&next, beside).await?;
        self.put_in_use(next);
        Ok(())
    }

    /// Records how much a key was used and replaces one that was used up. To be called now and then; does
    /// nothing when sealed.
    ///
    /// # Errors
    /// When the ring cannot be stored.
    pub async fn maintain(&self) -> Result<(), BarrierError> {
        let Ok(ring) = self.ring() else { return Ok(()) };
        let used = ring.status().encryptions;
        if used >= ENCRYPTIONS_MAX {
            return self.rotate().await.map(drop);
        }
        if used.saturating_sub(ring.saved.load(Ordering::Relaxed)) >= ENCRYPTIONS_UNSAVED_MAX {
            let _turn = self.changing.lock().await;
            // It may have been changed while this waited for its turn.
            let Ok(ring) = self.ring() else { return Ok(()) };
            self.store(&ring, Batch::default()).await?;
        }
        Ok(())
    }

    fn ring(&self) -> Result<Arc<Ring>, StorageError> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or(StorageError::Sealed)
    }

    fn open(&self, root: &RootKey) -> Result<Ring, BarrierError> {
        let stored = self.under.get(RING_PATH)?.ok_or(BarrierError::NotInitialized)?;
        Ring::open(root.clone(), RING_PATH, &stored).ok_or(BarrierError::InvalidKey)
    }

    async fn store(&self, ring: &Ring, mut beside: Batch) -> Result<(), BarrierError> {
        let used = ring.status().encryptions;
        beside.writes.insert(RING_PATH.to_owned(), Some(ring.sealed(RING_PATH)?));
        self.under.commit(beside).await?;
        ring.saved.store(used, Ordering::Relaxed);
        Ok(())
    }

    /// Unless it was sealed in the meantime.
    fn put_in_use(&self, next: Ring) {
        let mut ring = self.ring.write().unwrap_or_else(PoisonError::into_inner);
        if ring.is_some() {
            *ring = Some(Arc::new(next));
        }
    }

    fn encrypt(&self, batch: Batch) -> Result<Batch, StorageError> {
        let ring = self.ring()?;
        let mut sealed = Batch::default();
        for (key, value) in batch.writes {
            if RESERVED.contains(&key.as_str()) {
                let source = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
                return Err(StorageError::Disk { operation: "write an entry of the barrier's own", source });
            }
            let value = value.map(|value| ring.encrypt(&key, value)).transpose()?;
            sealed.writes.insert(key, value);
        }
        Ok(sealed)
    }
}

impl Read for Barrier {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let ring = self.ring()?;
        let Some(stored) = self.under.get(key)? else { return Ok(None) };
        let corrupt = || StorageError::Corrupt { key: key.to_owned() };
        ring.decrypt(key, stored).map(Some).ok_or_else(corrupt)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.ring()?;
        self.under.list(prefix)
    }
}

impl Store for Barrier {
    fn commit(&self, batch: Batch) -> Boxed<Result<(), StorageError>> {
        match self.encrypt(batch) {
            Ok(sealed) => self.under.commit(sealed),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
