//! Who may unseal: the root key in shares, of which a threshold gives it back.
//!
//! - [`Seal::initialize`] makes the key ring and the shares, which are returned once and stored nowhere.
//! - [`Seal::submit`] collects shares until they open the barrier; what they gave and was wrong is forgotten.
//! - [`Seal::quorum_root`] does the same for whatever else needs the threshold's consent.
//! - [`rekey`] makes other shares of another root key.
//!
//! With one share and a threshold of one, the share is the root key itself.

mod config;
mod quorum;
mod rekey;
mod shamir;

#[cfg(test)]
mod tests;

pub use config::SealConfig;
pub use quorum::Quorum;
pub use rekey::{RekeyOutcome, RekeyStatus, VerifyStatus};
pub use shamir::{CombineError, Share};

use crate::{
    barrier::{Barrier, BarrierError, RootKey, SEAL_PATH, random},
    storage::{Batch, StorageError},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// Fewest bytes of a share, as Vault has it.
const SHARE_BYTES_MIN: usize = 16;
/// Most bytes of a share: a key and its point.
const SHARE_BYTES_MAX: usize = 32 + shamir::OVERHEAD;

/// Why the seal did not do it. The texts are Vault's.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Shares and threshold that cannot be.
    #[error("{0}")]
    Config(&'static str),
    /// A share that is no text of one.
    #[error("'key' must be a valid hex or base64 string")]
    Undecodable,
    /// A share too short.
    #[error("invalid key: key is shorter than minimum {SHARE_BYTES_MIN} bytes")]
    Short,
    /// A share too long.
    #[error("invalid key: key is longer than maximum {SHARE_BYTES_MAX} bytes")]
    Long,
    /// Shares that do not go together.
    #[error("invalid key: failed to compute combined key: {0}")]
    Combine(#[from] CombineError),
    /// Shares that gave another key.
    #[error("invalid key: failed to decrypt keys from storage: cipher: message authentication failed")]
    Wrong,
    /// The same share twice where it counts.
    #[error("given key has already been provided during this generation operation")]
    Repeated,
    /// Another procedure's nonce.
    #[error("incorrect nonce supplied; nonce for this {procedure} operation is {nonce:?}")]
    Nonce {
        /// `rekey`, `root generation`.
        procedure: &'static str,
        /// The right one.
        nonce: String,
    },
    /// A procedure that was not begun.
    #[error("{0}")]
    NotBegun(&'static str),
    /// A procedure that was begun.
    #[error("rekey already in progress")]
    Begun,
    /// New shares wait to be verified.
    #[error(
        "rekey operation already finished; verification must be performed; nonce for the verification operation is {nonce:?}"
    )]
    Unverified {
        /// The verification's nonce.
        nonce: String,
    },
    /// The configuration is no JSON of ours.
    #[error("the seal's configuration cannot be read")]
    Corrupt,
    /// The barrier, or the store below.
    #[error(transparent)]
    Barrier(#[from] BarrierError),
}

impl From<StorageError> for SealError {
    fn from(error: StorageError) -> Self {
        Self::Barrier(BarrierError::Storage(error))
    }
}

impl SealError {
    /// The HTTP status that Vault answers with.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Barrier(BarrierError::Storage(StorageError::Sealed)) => 503,
            Self::Corrupt | Self::Barrier(BarrierError::Storage(_)) => 500,
            _ => 400,
        }
    }
}

/// What an initialization gives, once.
#[derive(Debug)]
pub struct Initialized {
    /// To unseal with at once, and to be dropped.
    pub root: RootKey,
    /// To be given to their keepers.
    pub shares: Vec<Share>,
}

/// How far unsealing is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealStatus {
    /// Whether there is a key ring.
    pub initialized: bool,
    /// Whether nothing can be decrypted.
    pub sealed: bool,
    /// Shares that are needed; 0 before initialization.
    pub threshold: u8,
    /// Shares that there are; 0 before initialization.
    pub shares: u8,
    /// Shares given since the last reset.
    pub progress: usize,
    /// Of the procedure under way; empty when none is.
    pub nonce: String,
}

/// The keeper of shares before a barrier.
#[derive(Debug)]
pub struct Seal {
    barrier: Arc<Barrier>,
    unsealing: Mutex<Quorum>,
    rekeying: tokio::sync::Mutex<Option<rekey::Rekey>>,
}

impl Seal {
    /// Before a barrier.
    #[must_use]
    pub fn new(barrier: Arc<Barrier>) -> Self {
        Self { barrier, unsealing: Mutex::default(), rekeying: tokio::sync::Mutex::default() }
    }

    /// How many shares there are; `None` before initialization.
    ///
    /// # Errors
    /// Those of the store, and where the configuration is not one.
    pub fn config(&self) -> Result<Option<SealConfig>, SealError> {
        let stored = self.barrier.under().get(SEAL_PATH)?;
        stored.map(|bytes| SealConfig::decode(&bytes).ok_or(SealError::Corrupt)).transpose()
    }

    fn known_config(&self) -> Result<SealConfig, SealError> {
        let config = if self.barrier.initialized()? { self.config()? } else { None };
        config.ok_or(SealError::Barrier(BarrierError::NotInitialized))
    }

    /// Makes the key ring and the shares of its root key. The barrier stays sealed.
    ///
    /// # Errors
    /// When it was done before, the configuration cannot be, or nothing can be stored.
    pub async fn initialize(&self, config: SealConfig) -> Result<Initialized, SealError> {
        self.initialize_beside(config, |_, _| Ok(Batch::default())).await
    }

    /// The same, with entries below the barrier that follow from the root key and its shares in the same batch.
    pub(crate) async fn initialize_beside(
        &self,
        config: SealConfig,
        beside: impl FnOnce(&RootKey, &[Share]) -> Result<Batch, StorageError>,
    ) -> Result<Initialized, SealError> {
        config.check()?;
        let root = RootKey::generate()?;
        let shares = config.split(&root)?;
        let mut batch = config.stored();
        batch.writes.extend(beside(&root, &shares)?.writes);
        self.barrier.initialize_with(&root, batch).await?;
        Ok(Initialized { root, shares })
    }

    /// How far unsealing is.
    ///
    /// # Errors
    /// Those of the store.
    pub fn status(&self) -> Result<SealStatus, SealError> {
        let initialized = self.barrier.initialized()?;
        let config = if initialized { self.config()? } else { None };
        let unsealing = self.unsealing();
        Ok(SealStatus {
            initialized,
            sealed: self.barrier.sealed(),
            threshold: config.map_or(0, |config| config.threshold),
            shares: config.map_or(0, |config| config.shares),
            progress: unsealing.progress(),
            nonce: unsealing.nonce().to_owned(),
        })
    }

    /// Takes a share; whether the barrier is unsealed now. A share given twice counts once.
    ///
    /// # Errors
    /// When it is no share, or the threshold of them does not give the root key: all are forgotten then.
    pub fn submit(&self, share: &[u8]) -> Result<bool, SealError> {
        check_length(share)?;
        let config = self.known_config()?;
        let mut unsealing = self.unsealing();
        if !self.barrier.sealed() {
            return Ok(true);
        }
        if !unsealing.add(share)? || unsealing.progress() < config.threshold.into() {
            return Ok(false);
        }
        let given = std::mem::take(&mut *unsealing);
        self.barrier.unseal(&given.combine(config)?).map_err(wrong)?;
        Ok(true)
    }

    /// Forgets the shares given so far.
    pub fn reset(&self) {
        *self.unsealing() = Quorum::default();
    }

    /// Takes a share for a purpose that the caller keeps in `quorum`: the root key, once there are enough.
    /// What was collected is forgotten then, right or wrong.
    ///
    /// # Errors
    /// When it is no share or was given before, or the threshold of them does not give the root key.
    pub fn quorum_root(&self, quorum: &mut Quorum, share: &[u8]) -> Result<Option<RootKey>, SealError> {
        check_length(share)?;
        let config = self.known_config()?;
        if !quorum.add(share)? {
            return Err(SealError::Repeated);
        }
        if quorum.progress() < config.threshold.into() {
            return Ok(None);
        }
        let root = quorum.drain().combine(config)?;
        self.barrier.verify_root(&root).map_err(wrong)?;
        Ok(Some(root))
    }

    fn unsealing(&self) -> MutexGuard<'_, Quorum> {
        self.unsealing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bytes of a share's text: hex if that has the length of a share, else base64.
///
/// # Errors
/// When it is neither.
pub fn decode_share(text: &str) -> Result<Share, SealError> {
    let fits = |bytes: &Share| (SHARE_BYTES_MIN..=SHARE_BYTES_MAX).contains(&bytes.len());
    if let Some(bytes) = decode_hex(text).filter(fits) {
        return Ok(bytes);
    }
    BASE64_STANDARD.decode(text).map(Zeroizing::new).map_err(|_| SealError::Undecodable)
}

fn decode_hex(text: &str) -> Option<Share> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let byte = |[high, low]: &[u8; 2]| Some(digit(*high)? << 4 | digit(*low)?);
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(byte).collect::<Option<Vec<u8>>>().map(Zeroizing::new)
}

fn check_length(share: &[u8]) -> Result<(), SealError> {
    match share.len() {
        0..SHARE_BYTES_MIN => Err(SealError::Short),
        SHARE_BYTES_MIN..=SHARE_BYTES_MAX => Ok(()),
        _ => Err(SealError::Long),
    }
}

fn wrong(error: BarrierError) -> SealError {
    match error {
        BarrierError::InvalidKey => SealError::Wrong,
        error => error.into(),
    }
}

/// A random UUID, as Vault's nonces are.
pub(crate) fn uuid() -> Result<String, StorageError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]))
}

impl SealConfig {
    /// The configuration as an entry below the barrier.
    fn stored(self) -> Batch {
        Batch { writes: [(SEAL_PATH.to_owned(), Some(self.encode()))].into() }
    }
}
