//! The file: what is acknowledged is there, whatever the disk did to what was not.

use super::{ENTRY_BYTES_MAX, Redb, open_backend};
use crate::storage::{Batch, Read, StorageError, Store};
use redb::StorageBackend;
use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

/// Rounds of the power-cut test.
const ROUNDS: u64 = 12;

fn batch(key: &str, value: &[u8]) -> Batch {
    Batch { writes: [(key.to_owned(), Some(value.to_vec()))].into() }
}

#[tokio::test]
async fn entries_outlive_the_process_and_are_listed_by_folder() {
    let directory = tempfile::tempdir().unwrap();
    let store = Redb::open(directory.path()).unwrap();
    assert_eq!(store.get("a").unwrap(), None);
    assert!(store.list("").unwrap().is_empty());
    for key in ["a", "a/b", "a/b-x", "a/b/c", "a/b/d/e", "a/é", "b"] {
        store.commit(batch(key, key.as_bytes())).await.unwrap();
    }
    let gone = Batch {
        writes: [("b".to_owned(), None), ("c".to_owned(), Some(vec![])), ("d".to_owned(), None)].into(),
    };
    store.commit(gone).await.unwrap();
    assert!(matches!(Redb::open(directory.path()), Err(StorageError::Disk { .. })), "it is open already");
    drop(store);
    let store = Redb::open(directory.path()).unwrap();
    assert_eq!(store.list("").unwrap(), ["a", "a/", "c"]);
    assert_eq!(store.list("a/").unwrap(), ["b", "b-x", "b/", "é"]);
    assert_eq!(store.list("a/b/").unwrap(), ["c", "d/"]);
    assert_eq!(store.get("a/b/d/e").unwrap().unwrap(), b"a/b/d/e");
    assert_eq!(store.get("b").unwrap(), None);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(directory.path().join("vault.redb")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn an_entry_has_a_limit() {
    let directory = tempfile::tempdir().unwrap();
    let store = Redb::open(directory.path()).unwrap();
    store.commit(batch("a", &vec![1; ENTRY_BYTES_MAX])).await.unwrap();
    let refused = store.commit(batch("a", &vec![2; ENTRY_BYTES_MAX + 1])).await;
    assert!(matches!(refused, Err(StorageError::TooLarge { .. })));
    assert_eq!(store.get("a").unwrap().unwrap()[0], 1);
}

#[tokio::test]
async fn many_writers_are_all_seen_after_their_acknowledgement() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(Redb::open(directory.path()).unwrap());
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..500 {
        let store = store.clone();
        writers.spawn(async move {
            let key = format!("k/{writer}");
            store.commit(batch(&key, &[7])).await.unwrap();
            assert_eq!(store.get(&key).unwrap().unwrap(), [7]);
        });
    }
    while let Some(joined) = writers.join_next().await {
        joined.unwrap();
    }
    assert_eq!(store.list("k/").unwrap().len(), 500);
}

#[test]
fn a_file_of_something_else_is_refused() {
    for content in [&b"not a database"[..], &[0; 8192], &[0xff; 70_000]] {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("vault.redb"), content).unwrap();
        assert!(matches!(Redb::open(directory.path()), Err(StorageError::Disk { .. })));
    }
}

/// A disk in memory that may be full, may refuse to sync, and of which a power cut leaves any part of what was not
/// synced, torn anywhere.
#[derive(Debug, Default)]
struct Disk {
    synced: Vec<u8>,
    now: Vec<u8>,
    unsynced: Vec<(usize, Vec<u8>)>,
    writes_left: Option<u64>,
    seed: u64,
}

impl Disk {
    /// `xorshift`: the same seed gives the same faults.
    fn random(&mut self, below: u64) -> u64 {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        self.seed % below.max(1)
    }

    fn cut_power(&mut self) {
        let mut left = self.synced.clone();
        left.resize(self.now.len(), 0);
        for (offset, data) in std::mem::take(&mut self.unsynced) {
            let kept = match self.random(3) {
                0 => 0,
                1 => data.len(),
                _ => usize::try_from(self.random(data.len() as u64)).unwrap(),
            };
            let end = (offset + kept).min(left.len());
            if offset < end {
                left[offset..end].copy_from_slice(&data[..end - offset]);
            }
        }
        (self.synced, self.now) = (left.clone(), left);
        self.writes_left = None;
    }

    fn spend(&mut self) -> io::Result<()> {
        match &mut self.writes_left {
            Some(0) => Err(io::ErrorKind::StorageFull.into()),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<Disk>>);

impl StorageBackend for Shared {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().unwrap().now.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let disk = self.0.lock().unwrap();
        let offset = usize::try_from(offset).unwrap();
        let bytes = disk.now.get(offset..offset + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(bytes);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.now.resize(usize::try_from(len).unwrap(), 0);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        disk.synced = disk.now.clone();
        disk.unsynced.clear();
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut disk = self.0.lock().unwrap();
        disk.spend()?;
        let offset = usize::try_from(offset).unwrap();
        disk.now[offset..offset + data.len()].copy_from_slice(data);
        disk.unsynced.push((offset, data.to_vec()));
        Ok(())
    }
}

#[tokio::test]
async fn a_power_cut_at_any_moment_loses_nothing_acknowledged() {
    for seed in 1..=ROUNDS {
        let disk = Shared::default();
        disk.0.lock().unwrap().seed = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mut acknowledged: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        let mut in_doubt: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for life in 0..3u8 {
            let opened = disk.clone();
            let store = Redb::with(Box::new(move || open_backend(opened.clone()))).unwrap();
            for (key, value) in &acknowledged {
                let found = store.get(key).unwrap();
                let sound = found.as_ref() == Some(value) || found.as_ref() == in_doubt.get(key);
                assert!(sound, "seed {seed}: {key} is lost");
            }
            acknowledged.append(&mut in_doubt);
            acknowledged.retain(|key, value| store.get(key).unwrap().as_ref() == Some(value));
            {
                let mut disk = disk.0.lock().unwrap();
                let left = disk.random(60);
                disk.writes_left = Some(left);
            }
            for index in 0..40u8 {
                let key = format!("k/{}", index % 16);
                let value = vec![life.wrapping_mul(64).wrapping_add(index); 700];
                match store.commit(batch(&key, &value)).await {
                    Ok(()) => acknowledged.insert(key, value),
                    // The disk refuses everything from here on.
                    Err(_) => {
                        in_doubt.insert(key, value);
                        break;
                    }
                };
            }
            // The power goes before the file can be closed in order.
            disk.0.lock().unwrap().writes_left = Some(0);
            drop(store);
            disk.0.lock().unwrap().cut_power();
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_and_harms_nothing() {
    for writes in 0..40 {
        let disk = Shared::default();
        let opened = disk.clone();
        let store = Redb::with(Box::new(move || open_backend(opened.clone()))).unwrap();
        store.commit(batch("kept", b"1")).await.unwrap();
        disk.0.lock().unwrap().writes_left = Some(writes);
        let outcome = store.commit(batch("more", &vec![3; 300_000])).await;
        disk.0.lock().unwrap().writes_left = None;
        store.commit(batch("later", b"2")).await.unwrap();
        assert_eq!(store.get("kept").unwrap().unwrap(), b"1");
        assert_eq!(store.get("later").unwrap().unwrap(), b"2");
        if outcome.is_ok() {
            assert_eq!(store.get("more").unwrap().unwrap().len(), 300_000);
        }
    }
}
