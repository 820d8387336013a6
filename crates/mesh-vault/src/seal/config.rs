//! How many shares there are, and how many are needed.

use super::{SealError, shamir, shamir::Share};
use crate::{barrier::RootKey, storage::StorageError};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The stored form's number; another is another form.
const VERSION: u32 = 1;

/// Shares and threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealConfig {
    /// `secret_shares`: how many there are.
    pub shares: u8,
    /// `secret_threshold`: how many are needed.
    pub threshold: u8,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    #[serde(rename = "type")]
    kind: String,
    secret_shares: u8,
    secret_threshold: u8,
}

impl SealConfig {
    /// Of numbers that may be anything.
    ///
    /// # Errors
    /// With Vault's words, for what cannot be.
    pub fn new(shares: i64, threshold: i64) -> Result<Self, SealError> {
        let complaint = match (shares, threshold) {
            (..=0, _) => "shares must be at least one",
            (_, ..=0) => "threshold must be at least one",
            (2.., 1) => "threshold must be greater than one for multiple shares",
            (256.., _) => "shares must be less than 256",
            (_, 256..) => "threshold must be less than 256",
            _ if threshold > shares => "threshold cannot be larger than shares",
            _ => "",
        };
        match (u8::try_from(shares), u8::try_from(threshold)) {
            (Ok(shares), Ok(threshold)) if complaint.is_empty() => Ok(Self { shares, threshold }),
            _ => Err(SealError::Config(complaint)),
        }
    }

    pub(super) fn check(self) -> Result<(), SealError> {
        Self::new(self.shares.into(), self.threshold.into()).map(drop)
    }

    /// The root key in shares.
    pub(super) fn split(self, root: &RootKey) -> Result<Vec<Share>, StorageError> {
        if self.shares == 1 {
            return Ok(vec![Zeroizing::new(root.expose().to_vec())]);
        }
        shamir::split(root.expose(), self.shares, self.threshold)
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let stored = Stored {
            version: VERSION,
            kind: "shamir".to_owned(),
            secret_shares: self.shares,
            secret_threshold: self.threshold,
        };
        serde_json::to_vec(&stored).unwrap_or_else(|error| unreachable!("numbers are plain JSON: {error}"))
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Stored = serde_json::from_slice(bytes).ok()?;
        if stored.version != VERSION || stored.kind != "shamir" {
            return None;
        }
        Self::new(stored.secret_shares.into(), stored.secret_threshold.into()).ok()
    }
}
