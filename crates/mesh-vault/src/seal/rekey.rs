//! Other shares: asked for, agreed to by the threshold of the present ones, and verified where that was asked for.
//!
//! The new root key seals the key ring and the new numbers of shares are stored in one batch, so that there is no
//! moment at which neither the old shares nor the new ones unseal.

use super::{Quorum, Seal, SealConfig, SealError, Share, check_length};
use crate::barrier::{BarrierError, RootKey};
use crate::storage::StorageError;

/// A rekeying under way.
#[derive(Debug)]
pub(super) struct Rekey {
    config: SealConfig,
    quorum: Quorum,
    verify: bool,
    unverified: Option<Unverified>,
}

/// New shares that must be given back once before they count.
#[derive(Debug)]
struct Unverified {
    root: RootKey,
    quorum: Quorum,
}

/// How far rekeying is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RekeyStatus {
    /// Empty when none is under way.
    pub nonce: String,
    /// Whether one is.
    pub started: bool,
    /// The new threshold, 0 without one under way.
    pub threshold: u8,
    /// The new number of shares, 0 without one under way.
    pub shares: u8,
    /// Present shares given.
    pub progress: usize,
    /// Present shares needed.
    pub required: u8,
    /// Whether the new shares are to be verified.
    pub verification_required: bool,
    /// The verification's nonce, once it is time for it.
    pub verification_nonce: Option<String>,
}

/// How far the verification of new shares is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyStatus {
    /// The verification's nonce.
    pub nonce: String,
    /// New shares needed.
    pub threshold: u8,
    /// New shares that there are.
    pub shares: u8,
    /// New shares given.
    pub progress: usize,
}

/// What a present share did.
#[derive(Debug)]
pub enum RekeyOutcome {
    /// More are needed.
    More(RekeyStatus),
    /// The new shares. They count from now on, unless a verification's nonce is given: then once they are verified.
    Done {
        /// The procedure's nonce.
        nonce: String,
        /// To be given to their keepers.
        shares: Vec<Share>,
        /// Of the verification that has to follow.
        verification_nonce: Option<String>,
    },
}

const NOT_BEGUN: SealError = SealError::NotBegun("no barrier rekey in progress");
const NOT_TO_VERIFY: SealError = SealError::NotBegun("no rekey verification in progress");

impl Seal {
    /// Begins; the status with its nonce.
    ///
    /// # Errors
    /// When sealed, or one is under way.
    pub async fn rekey_start(&self, config: SealConfig, verify: bool) -> Result<RekeyStatus, SealError> {
        config.check()?;
        let mut rekeying = self.rekeying.lock().await;
        // In its turn: whoever seals forgets afterwards what was begun.
        self.check_open()?;
        if rekeying.is_some() {
            return Err(SealError::Begun);
        }
        *rekeying = Some(Rekey { config, quorum: Quorum::begin()?, verify, unverified: None });
        self.status_of(rekeying.as_ref())
    }

    /// How far it is.
    ///
    /// # Errors
    /// When sealed.
    pub async fn rekey_status(&self) -> Result<RekeyStatus, SealError> {
        self.check_open()?;
        self.status_of(self.rekeying.lock().await.as_ref())
    }

    /// Forgets it, new shares that were not verified with it.
    ///
    /// # Errors
    /// When sealed.
    pub async fn rekey_cancel(&self) -> Result<(), SealError> {
        self.check_open()?;
        *self.rekeying.lock().await = None;
        Ok(())
    }

    /// Forgets it because of a sealing: shares and a new root key are not kept where nothing is open.
    pub(crate) async fn rekey_forget(&self) {
        *self.rekeying.lock().await = None;
    }

    /// Takes a present share.
    ///
    /// # Errors
    /// When none is under way, the nonce is another's, or the shares do not give the root key.
    pub async fn rekey_submit(&self, nonce: &str, share: &[u8]) -> Result<RekeyOutcome, SealError> {
        self.check_open()?;
        let mut slot = self.rekeying.lock().await;
        let rekey = slot.as_mut().ok_or(NOT_BEGUN)?;
        if let Some(unverified) = &rekey.unverified {
            return Err(SealError::Unverified { nonce: unverified.quorum.nonce().to_owned() });
        }
        check_nonce(nonce, &rekey.quorum)?;
        if self.quorum_root(&mut rekey.quorum, share)?.is_none() {
            return self.status_of(slot.as_ref()).map(RekeyOutcome::More);
        }
        let root = RootKey::generate()?;
        let shares = rekey.config.split(&root)?;
        let nonce = nonce.to_owned();
        let verification_nonce = if rekey.verify {
            let quorum = Quorum::begin()?;
            let nonce = quorum.nonce().to_owned();
            rekey.unverified = Some(Unverified { root, quorum });
            Some(nonce)
        } else {
            self.barrier.rekey_with(&root, rekey.config.stored()).await?;
            *slot = None;
            None
        };
        Ok(RekeyOutcome::Done { nonce, shares, verification_nonce })
    }

    /// How far the verification is.
    ///
    /// # Errors
    /// When sealed, or there is nothing to verify.
    pub async fn verify_status(&self) -> Result<VerifyStatus, SealError> {
        self.check_open()?;
        verify_status(self.rekeying.lock().await.as_ref().ok_or(NOT_TO_VERIFY)?)
    }

    /// Forgets the new shares given so far; they stay to be verified, under another nonce.
    ///
    /// # Errors
    /// When sealed, or there is nothing to verify.
    pub async fn verify_reset(&self) -> Result<VerifyStatus, SealError> {
        self.check_open()?;
        let mut slot = self.rekeying.lock().await;
        let rekey = slot.as_mut().ok_or(NOT_TO_VERIFY)?;
        rekey.unverified.as_mut().ok_or(NOT_TO_VERIFY)?.quorum = Quorum::begin()?;
        verify_status(rekey)
    }

    /// Takes a new share; its status, or `None` once all are verified and count.
    ///
    /// # Errors
    /// When there is nothing to verify, the nonce is another's, or the shares do not give the new root key.
    pub async fn verify_submit(&self, nonce: &str, share: &[u8]) -> Result<Option<VerifyStatus>, SealError> {
        self.check_open()?;
        check_length(share)?;
        let mut slot = self.rekeying.lock().await;
        let rekey = slot.as_mut().ok_or(NOT_TO_VERIFY)?;
        let config = rekey.config;
        let unverified = rekey.unverified.as_mut().ok_or(NOT_TO_VERIFY)?;
        check_nonce(nonce, &unverified.quorum)?;
        if !unverified.quorum.add(share)? {
            return Err(SealError::Repeated);
        }
        if unverified.quorum.progress() < config.threshold.into() {
            return verify_status(rekey).map(Some);
        }
        let given = unverified.quorum.drain().combine(config)?;
        let equal = aws_lc_rs::constant_time::verify_slices_are_equal;
        equal(given.expose(), unverified.root.expose()).map_err(|_| SealError::Wrong)?;
        self.barrier.rekey_with(&given, config.stored()).await?;
        *slot = None;
        Ok(None)
    }

    fn check_open(&self) -> Result<(), SealError> {
        match self.barrier.sealed() {
            true => Err(SealError::Barrier(BarrierError::Storage(StorageError::Sealed))),
            false => Ok(()),
        }
    }

    fn status_of(&self, rekey: Option<&Rekey>) -> Result<RekeyStatus, SealError> {
        let required = self.known_config()?.threshold;
        let unverified = rekey.and_then(|rekey| rekey.unverified.as_ref());
        Ok(RekeyStatus {
            nonce: rekey.map(|rekey| rekey.quorum.nonce().to_owned()).unwrap_or_default(),
            started: rekey.is_some(),
            threshold: rekey.map_or(0, |rekey| rekey.config.threshold),
            shares: rekey.map_or(0, |rekey| rekey.config.shares),
            progress: rekey.map_or(0, |rekey| rekey.quorum.progress()),
            required,
            verification_required: rekey.is_some_and(|rekey| rekey.verify),
            verification_nonce: unverified.map(|unverified| unverified.quorum.nonce().to_owned()),
        })
    }
}

fn verify_status(rekey: &Rekey) -> Result<VerifyStatus, SealError> {
    let unverified = rekey.unverified.as_ref().ok_or(NOT_TO_VERIFY)?;
    Ok(VerifyStatus {
        nonce: unverified.quorum.nonce().to_owned(),
        threshold: rekey.config.threshold,
        shares: rekey.config.shares,
        progress: unverified.quorum.progress(),
    })
}

fn check_nonce(nonce: &str, quorum: &Quorum) -> Result<(), SealError> {
    if nonce == quorum.nonce() {
        return Ok(());
    }
    Err(SealError::Nonce { procedure: "rekey", nonce: quorum.nonce().to_owned() })
}
