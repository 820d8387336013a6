//! The key ring: a key for each term, and how values are sealed with them.
//!
//! A sealed value is `term (4 bytes, big-endian) | 1 | nonce (12 bytes) | ciphertext and tag`. The ring's own entry
//! has term 0 and is sealed by the root key.

use super::{
    KeyStatus, RootKey,
    key::{KEY_BYTES, random, random_key},
};
use crate::storage::StorageError;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// How values are laid out; another number is another layout.
const FORMAT: u8 = 1;
/// Term, format and nonce.
const HEADER_BYTES: usize = 4 + 1 + NONCE_LEN;
/// The term of what the root key seals.
const ROOT_TERM: u32 = 0;
/// The ring's own form as stored.
const RING_VERSION: u32 = 1;

/// The keys, open.
pub(super) struct Ring {
    root: RootKey,
    keys: BTreeMap<u32, Key>,
    active: u32,
    used: AtomicU64,
    /// What `used` was when the ring was last stored.
    pub(super) saved: AtomicU64,
}

struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    cipher: LessSafeKey,
    installed: SystemTime,
}

/// The ring as it is stored.
#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct Stored {
    version: u32,
    encryptions: u64,
    keys: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
struct StoredKey {
    term: u32,
    key: String,
    installed_unix: u64,
}

impl Key {
    fn new(bytes: Zeroizing<[u8; KEY_BYTES]>, installed: SystemTime) -> Self {
        let cipher = cipher(&bytes);
        Self { bytes, cipher, installed }
    }
}

impl Ring {
    /// A ring with one key.
    pub(super) fn first(root: RootKey) -> Result<Self, StorageError> {
        let key = Key::new(random_key()?, SystemTime::now());
        Ok(Self::of(root, BTreeMap::from([(1, key)]), 0))
    }

    fn of(root: RootKey, keys: BTreeMap<u32, Key>, used: u64) -> Self {
        let active = keys.last_key_value().map_or(1, |(term, _)| *term);
        Self { root, keys, active, used: AtomicU64::new(used), saved: AtomicU64::new(used) }
    }

    /// Opens a stored ring; `None` when the root key does not fit, or what is stored is no ring.
    pub(super) fn open(root: RootKey, path: &str, sealed: &[u8]) -> Option<Self> {
        let (term, _) = split(sealed)?;
        if term != ROOT_TERM {
            return None;
        }
        let plain = Zeroizing::new(decrypt(&cipher(root.expose()), path, sealed.to_vec())?);
        let stored: Stored = serde_json::from_slice(&plain).ok()?;
        let mut keys = BTreeMap::new();
        for key in &stored.keys {
            let decoded = Zeroizing::new(BASE64_STANDARD.decode(&key.key).ok()?);
            let mut bytes = Zeroizing::new([0; KEY_BYTES]);
            if decoded.len() != KEY_BYTES || key.term == ROOT_TERM {
                return None;
            }
            bytes.copy_from_slice(&decoded);
            let installed = UNIX_EPOCH.checked_add(Duration::from_secs(key.installed_unix))?;
            keys.insert(key.term, Key::new(bytes, installed));
        }
        (stored.version == RING_VERSION && !keys.is_empty()).then(|| Self::of(root, keys, stored.encryptions))
    }

    /// The ring's entry.
    pub(super) fn sealed(&self, path: &str) -> Result<Vec<u8>, StorageError> {
        let key = |(term, key): (&u32, &Key)| StoredKey {
            term: *term,
            key: BASE64_STANDARD.encode(key.bytes.as_slice()),
            installed_unix: key.installed.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        };
        let stored = Stored {
            version: RING_VERSION,
            encryptions: self.used.load(Ordering::Relaxed),
            keys: self.keys.iter().map(key).collect(),
        };
        let plain = serde_json::to_vec(&stored);
        let plain = plain.unwrap_or_else(|error| unreachable!("a key ring is plain JSON: {error}"));
        encrypt(&cipher(self.root.expose()), ROOT_TERM, path, Zeroizing::new(plain).as_slice())
    }

    /// The ring with a key more.
    pub(super) fn rotated(&self) -> Result<Self, StorageError> {
        let mut keys = self.copied();
        keys.insert(self.active + 1, Key::new(random_key()?, SystemTime::now()));
        Ok(Self::of(self.root.clone(), keys, 0))
    }

    /// The ring under another root key.
    #[allow(clippy::unnecessary_wraps, reason = "as its siblings, so that callers read alike")]
    pub(super) fn with_root(&self, root: RootKey) -> Result<Self, StorageError> {
        Ok(Self::of(root, self.copied(), self.used.load(Ordering::Relaxed)))
    }

    fn copied(&self) -> BTreeMap<u32, Key> {
        let copy = |(term, key): (&u32, &Key)| (*term, Key::new(key.bytes.clone(), key.installed));
        self.keys.iter().map(copy).collect()
    }

    pub(super) fn term(&self) -> u32 {
        self.active
    }

    pub(super) fn status(&self) -> KeyStatus {
        let installed = self.keys.get(&self.active).map_or(UNIX_EPOCH, |key| key.installed);
        KeyStatus { term: self.active, installed, encryptions: self.used.load(Ordering::Relaxed) }
    }

    /// Seals a value for a path with the newest key.
    pub(super) fn encrypt(&self, path: &str, plain: Vec<u8>) -> Result<Vec<u8>, StorageError> {
        let key = self.keys.get(&self.active).ok_or(StorageError::Sealed)?;
        self.used.fetch_add(1, Ordering::Relaxed);
        encrypt(&key.cipher, self.active, path, Zeroizing::new(plain).as_slice())
    }

    /// Opens the value of a path; `None` when it is not what was sealed for that path.
    pub(super) fn decrypt(&self, path: &str, sealed: Vec<u8>) -> Option<Vec<u8>> {
        let (term, _) = split(&sealed)?;
        decrypt(&self.keys.get(&term)?.cipher, path, sealed)
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> LessSafeKey {
    let key = UnboundKey::new(&AES_256_GCM, key);
    LessSafeKey::new(key.unwrap_or_else(|_| unreachable!("a key of 32 bytes is an AES-256 key")))
}

fn encrypt(cipher: &LessSafeKey, term: u32, path: &str, plain: &[u8]) -> Result<Vec<u8>, StorageError> {
    let mut nonce = [0; NONCE_LEN];
    random(&mut nonce)?;
    let mut sealed = Vec::with_capacity(HEADER_BYTES + plain.len() + AES_256_GCM.tag_len());
    sealed.extend_from_slice(&term.to_be_bytes());
    sealed.push(FORMAT);
    sealed.extend_from_slice(&nonce);
    sealed.extend_from_slice(plain);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = cipher.seal_in_place_separate_tag(nonce, Aad::from(path), &mut sealed[HEADER_BYTES..]);
    let tag = tag.map_err(|_| StorageError::Corrupt { key: path.to_owned() })?;
    sealed.extend_from_slice(tag.as_ref());
    Ok(sealed)
}

fn decrypt(cipher: &LessSafeKey, path: &str, mut sealed: Vec<u8>) -> Option<Vec<u8>> {
    let (_, nonce) = split(&sealed)?;
    let plain = cipher.open_in_place(nonce, Aad::from(path), &mut sealed[HEADER_BYTES..]).ok()?.len();
    sealed.drain(..HEADER_BYTES);
    sealed.truncate(plain);
    Some(sealed)
}

/// Term and nonce of a sealed value.
fn split(sealed: &[u8]) -> Option<(u32, Nonce)> {
    let (term, rest) = sealed.split_first_chunk::<4>()?;
    let (format, rest) = rest.split_first()?;
    let (nonce, _) = rest.split_first_chunk::<NONCE_LEN>()?;
    (*format == FORMAT).then(|| (u32::from_be_bytes(*term), Nonce::assume_unique_for_key(*nonce)))
}
