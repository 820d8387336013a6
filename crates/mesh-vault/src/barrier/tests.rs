//! What is stored cannot be read, moved or mended without the root key.

use super::{Barrier, BarrierError, RING_PATH, RootKey};
use crate::storage::{Batch, Memory, Read, StorageError, Store};
use std::sync::Arc;

fn batch(key: &str, value: &[u8]) -> Batch {
    Batch { writes: [(key.to_owned(), Some(value.to_vec()))].into() }
}

async fn open() -> (Arc<Memory>, Barrier, RootKey) {
    let store = Arc::new(Memory::default());
    let barrier = Barrier::new(store.clone());
    let root = RootKey::generate().unwrap();
    barrier.initialize(&root).await.unwrap();
    barrier.unseal(&root).unwrap();
    (store, barrier, root)
}

#[tokio::test]
async fn a_value_is_ciphertext_below_and_itself_above() {
    let (store, barrier, _) = open().await;
    barrier.commit(batch("a/b", b"hunter2 hunter2")).await.unwrap();
    assert_eq!(barrier.get("a/b").unwrap().unwrap(), b"hunter2 hunter2");
    let below = store.get("a/b").unwrap().unwrap();
    assert!(!below.windows(7).any(|window| window == b"hunter2"));
    assert_eq!(&below[..5], [0, 0, 0, 1, 1]);
}

#[tokio::test]
async fn a_moved_or_changed_entry_is_not_believed() {
    let (store, barrier, _) = open().await;
    barrier.commit(batch("a", b"one")).await.unwrap();
    let sealed = store.get("a").unwrap().unwrap();
    store.commit(batch("b", &sealed)).await.unwrap();
    assert!(matches!(barrier.get("b"), Err(StorageError::Corrupt { .. })));
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        store.commit(batch("a", &changed)).await.unwrap();
        assert!(matches!(barrier.get("a"), Err(StorageError::Corrupt { .. })), "byte {index}");
        store.commit(batch("a", &sealed[..index])).await.unwrap();
        assert!(matches!(barrier.get("a"), Err(StorageError::Corrupt { .. })), "cut at {index}");
    }
}

#[tokio::test]
async fn sealed_it_answers_nothing() {
    let (_, barrier, root) = open().await;
    barrier.commit(batch("a", b"1")).await.unwrap();
    barrier.seal();
    assert!(matches!(barrier.get("a"), Err(StorageError::Sealed)));
    assert!(matches!(barrier.list(""), Err(StorageError::Sealed)));
    assert!(matches!(barrier.commit(batch("a", b"2")).await, Err(StorageError::Sealed)));
    assert!(matches!(barrier.rotate().await, Err(BarrierError::Storage(StorageError::Sealed))));
    assert_eq!(barrier.key_status().term, 0);
    let other = RootKey::generate().unwrap();
    assert!(matches!(barrier.unseal(&other), Err(BarrierError::InvalidKey)));
    barrier.unseal(&root).unwrap();
    assert_eq!(barrier.get("a").unwrap().unwrap(), b"1");
}

#[tokio::test]
async fn rotated_and_rekeyed_it_still_reads_what_is_old() {
    let (store, barrier, root) = open().await;
    barrier.commit(batch("old", b"1")).await.unwrap();
    assert_eq!(barrier.rotate().await.unwrap(), 2);
    barrier.commit(batch("new", b"2")).await.unwrap();
    assert_eq!(store.get("new").unwrap().unwrap()[3], 2);
    let next = RootKey::generate().unwrap();
    barrier.rekey(&next).await.unwrap();

    let again = Barrier::new(store.clone());
    assert!(matches!(again.unseal(&root), Err(BarrierError::InvalidKey)));
    again.unseal(&next).unwrap();
    assert_eq!(again.get("old").unwrap().unwrap(), b"1");
    assert_eq!(again.get("new").unwrap().unwrap(), b"2");
    assert_eq!(again.key_status().term, 2);
}

#[tokio::test]
async fn the_ring_is_out_of_reach_from_above() {
    let (_, barrier, root) = open().await;
    assert!(barrier.commit(batch(RING_PATH, b"x")).await.is_err());
    assert!(matches!(barrier.get(RING_PATH), Err(StorageError::Corrupt { .. })));
    assert!(matches!(barrier.initialize(&root).await, Err(BarrierError::AlreadyInitialized)));
    assert!(matches!(
        Barrier::new(Arc::new(Memory::default())).unseal(&root),
        Err(BarrierError::NotInitialized)
    ));
}
