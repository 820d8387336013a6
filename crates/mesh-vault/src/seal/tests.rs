//! From initialization to other shares.

use super::{RekeyOutcome, Seal, SealConfig, SealError, Share, decode_share};
use crate::{
    barrier::Barrier,
    storage::{Memory, Store},
};
use std::sync::Arc;

fn seal_over(store: Arc<dyn Store>) -> (Arc<Barrier>, Seal) {
    let barrier = Arc::new(Barrier::new(store));
    (barrier.clone(), Seal::new(barrier))
}

async fn initialized(shares: u8, threshold: u8) -> (Arc<Memory>, Arc<Barrier>, Seal, Vec<Share>) {
    let store = Arc::new(Memory::default());
    let (barrier, seal) = seal_over(store.clone());
    let given = seal.initialize(SealConfig { shares, threshold }).await.unwrap().shares;
    assert_eq!(given.len(), usize::from(shares));
    (store, barrier, seal, given)
}

#[tokio::test]
async fn a_threshold_of_shares_unseals() {
    let (_, barrier, seal, shares) = initialized(5, 3).await;
    assert!(!seal.submit(&shares[4]).unwrap());
    let nonce = seal.status().unwrap().nonce;
    assert!(!seal.submit(&shares[4]).unwrap(), "a share given twice counts once");
    assert!(!seal.submit(&shares[0]).unwrap());
    let status = seal.status().unwrap();
    assert_eq!((status.progress, status.threshold, status.shares), (2, 3, 5));
    assert_eq!(status.nonce, nonce);
    assert!(seal.submit(&shares[2]).unwrap());
    assert!(!barrier.sealed());
    let status = seal.status().unwrap();
    assert_eq!((status.progress, status.nonce.as_str()), (0, ""));
}

#[tokio::test]
async fn wrong_shares_are_told_and_forgotten() {
    let (_, barrier, seal, shares) = initialized(3, 2).await;
    let mut wrong = shares[0].clone();
    wrong[0] ^= 1;
    assert!(!seal.submit(&wrong).unwrap());
    assert!(matches!(seal.submit(&shares[1]), Err(SealError::Wrong)));
    assert_eq!(seal.status().unwrap().progress, 0);
    assert!(barrier.sealed());
    assert!(matches!(seal.submit(&[1; 15]), Err(SealError::Short)));
    assert!(matches!(seal.submit(&[1; 34]), Err(SealError::Long)));
    assert!(!seal.submit(&shares[0]).unwrap());
    seal.reset();
    assert!(!seal.submit(&shares[1]).unwrap());
    assert!(seal.submit(&shares[2]).unwrap());
}

#[tokio::test]
async fn a_single_share_is_the_root_key() {
    let (_, _, seal, shares) = initialized(1, 1).await;
    assert_eq!(shares[0].len(), 32);
    assert!(matches!(seal.submit(&[7; 32]), Err(SealError::Wrong)));
    assert!(seal.submit(&shares[0]).unwrap());
    assert!(seal.initialize(SealConfig { shares: 1, threshold: 1 }).await.is_err());
}

#[test]
fn numbers_that_cannot_be() {
    for (shares, threshold, complaint) in [
        (0, 1, "shares must be at least one"),
        (5, 0, "threshold must be at least one"),
        (5, 1, "threshold must be greater than one for multiple shares"),
        (256, 3, "shares must be less than 256"),
        (3, 5, "threshold cannot be larger than shares"),
        (i64::MIN, i64::MAX, "shares must be at least one"),
    ] {
        assert_eq!(SealConfig::new(shares, threshold).unwrap_err().to_string(), complaint);
    }
}

#[tokio::test]
async fn rekeyed_only_new_shares_unseal() {
    let (store, _, seal, shares) = initialized(3, 2).await;
    assert!(seal.rekey_status().await.is_err(), "sealed");
    for share in &shares[..2] {
        seal.submit(share).unwrap();
    }
    let begun = seal.rekey_start(SealConfig { shares: 5, threshold: 4 }, false).await.unwrap();
    assert!(matches!(seal.rekey_submit("x", &shares[0]).await, Err(SealError::Nonce { .. })));
    let RekeyOutcome::More(status) = seal.rekey_submit(&begun.nonce, &shares[0]).await.unwrap() else {
        panic!("one share was enough")
    };
    assert_eq!((status.progress, status.required), (1, 2));
    assert!(matches!(seal.rekey_submit(&begun.nonce, &shares[0]).await, Err(SealError::Repeated)));
    let RekeyOutcome::Done { shares: new, .. } = seal.rekey_submit(&begun.nonce, &shares[1]).await.unwrap()
    else {
        panic!("two shares were not enough")
    };
    let (_, again) = seal_over(store);
    assert_eq!(again.status().unwrap().threshold, 4);
    for share in new.iter().skip(1).take(3) {
        assert!(!again.submit(share).unwrap());
    }
    assert!(again.submit(&new[0]).unwrap());
}

#[tokio::test]
async fn unverified_shares_do_not_count() {
    let (store, _, seal, shares) = initialized(1, 1).await;
    seal.submit(&shares[0]).unwrap();
    let begun = seal.rekey_start(SealConfig { shares: 2, threshold: 2 }, true).await.unwrap();
    let RekeyOutcome::Done { shares: new, verification_nonce, .. } =
        seal.rekey_submit(&begun.nonce, &shares[0]).await.unwrap()
    else {
        panic!("the share was not enough")
    };
    let nonce = verification_nonce.unwrap();
    assert!(seal_over(store.clone()).1.submit(&shares[0]).unwrap(), "the old share still counts");
    assert_eq!(seal.verify_submit(&nonce, &new[0]).await.unwrap().unwrap().progress, 1);
    assert!(matches!(
        seal.verify_submit(&nonce, &shares[0]).await,
        Err(SealError::Combine(_) | SealError::Wrong)
    ));
    for share in &new {
        seal.verify_submit(&nonce, share).await.unwrap();
    }
    assert!(matches!(seal_over(store).1.submit(&shares[0]), Err(_) | Ok(false)));
    assert!(!seal.rekey_status().await.unwrap().started);
}

#[test]
fn shares_are_hex_or_base64() {
    assert_eq!(decode_share(&"0a".repeat(33)).unwrap().as_slice(), [10; 33]);
    assert_eq!(decode_share("CgoKCgoKCgoKCgoKCgoKCg==").unwrap().as_slice(), [10; 16]);
    assert!(matches!(decode_share("not a key"), Err(SealError::Undecodable)));
    assert!(matches!(decode_share("é"), Err(SealError::Undecodable)));
}
