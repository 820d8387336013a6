//! Shares collected for one purpose.

use super::{SealConfig, SealError, Share, shamir, uuid};
use crate::{barrier::RootKey, storage::StorageError};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use zeroize::Zeroizing;

/// Shares given so far, under a nonce that the first of them makes.
#[derive(Debug, Default)]
pub struct Quorum {
    nonce: String,
    parts: Vec<Share>,
}

impl Quorum {
    /// With a nonce from the start.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub fn begin() -> Result<Self, StorageError> {
        Ok(Self { nonce: uuid()?, parts: Vec::new() })
    }

    /// How many shares were given.
    #[must_use]
    pub fn progress(&self) -> usize {
        self.parts.len()
    }

    /// The procedure's nonce; empty before the first share.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Takes a share; `false` when it was given before.
    pub(super) fn add(&mut self, share: &[u8]) -> Result<bool, StorageError> {
        // All are compared, so that the time does not tell which one it was.
        let known = self.parts.iter().filter(|part| verify_slices_are_equal(part, share).is_ok()).count();
        if known > 0 {
            return Ok(false);
        }
        if self.nonce.is_empty() {
            self.nonce = uuid()?;
        }
        self.parts.push(Zeroizing::new(share.to_vec()));
        Ok(true)
    }

    /// The shares, leaving the nonce.
    pub(super) fn drain(&mut self) -> Self {
        Self { nonce: self.nonce.clone(), parts: std::mem::take(&mut self.parts) }
    }

    /// The key that the shares give.
    pub(super) fn combine(self, config: SealConfig) -> Result<RootKey, SealError> {
        let key = match self.parts.first() {
            Some(only) if config.threshold == 1 => only.clone(),
            _ => shamir::combine(&self.parts)?,
        };
        RootKey::from_bytes(&key).ok_or(SealError::Wrong)
    }
}
