//! The root key.

use crate::storage::StorageError;
use zeroize::Zeroizing;

/// Bytes of every key here: AES-256.
pub(crate) const KEY_BYTES: usize = 32;

/// The key that opens the key ring. Its bytes are wiped when it is dropped, and never shown.
#[derive(Clone)]
pub struct RootKey(Zeroizing<[u8; KEY_BYTES]>);

impl RootKey {
    /// A new one.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn generate() -> Result<Self, StorageError> {
        random_key().map(Self)
    }

    /// Of its bytes; `None` unless there are 32 of them.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return None;
        }
        key.copy_from_slice(bytes);
        Some(Self(key))
    }

    /// Its bytes: to split them into shares, or to encrypt with.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }
}

impl std::fmt::Debug for RootKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RootKey(***)")
    }
}

pub(crate) fn random_key() -> Result<Zeroizing<[u8; KEY_BYTES]>, StorageError> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    random(key.as_mut_slice())?;
    Ok(key)
}

/// Fills `bytes` with what the kernel's generator gives. The library's own takes a tenth of a second to begin.
pub(crate) fn random(mut bytes: &mut [u8]) -> Result<(), StorageError> {
    let failed = |source| StorageError::Disk { operation: "get random bytes", source };
    while !bytes.is_empty() {
        match rustix::rand::getrandom(&mut *bytes, rustix::rand::GetRandomFlags::empty()) {
            Ok(given) => bytes = &mut bytes[given..],
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error.into())),
        }
    }
    Ok(())
}
