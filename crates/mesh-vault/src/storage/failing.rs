//! A store for tests whose commits fail when told to.

use super::{Batch, Boxed, Memory, Read, StorageError, Store};
use std::{
    io,
    sync::atomic::{AtomicU64, Ordering},
};

/// Memory that refuses one commit and all after it, until mended.
#[derive(Debug)]
pub(crate) struct Failing {
    kept: Memory,
    left: AtomicU64,
}

impl Failing {
    /// So many commits succeed.
    pub(crate) fn after(commits: u64) -> Self {
        Self { kept: Memory::default(), left: AtomicU64::new(commits) }
    }

    /// So many more succeed from now on.
    pub(crate) fn mend(&self, commits: u64) {
        self.left.store(commits, Ordering::SeqCst);
    }
}

impl Read for Failing {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        self.kept.get(key)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.kept.list(prefix)
    }
}

impl Store for Failing {
    fn commit(&self, batch: Batch) -> Boxed<Result<(), StorageError>> {
        let left = self.left.try_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if left.is_ok() {
            return self.kept.commit(batch);
        }
        let source = io::Error::from(io::ErrorKind::StorageFull);
        Box::pin(std::future::ready(Err(StorageError::Disk { operation: "write an entry", source })))
    }
}

#[cfg(test)]
mod tests {
    use super::{Batch, Failing, Read as _, Store as _};
    use crate::{barrier::Barrier, barrier::RootKey};
    use std::sync::Arc;

    #[tokio::test]
    async fn a_barrier_over_a_full_disk_stays_as_it_was() {
        let store = Arc::new(Failing::after(2));
        let barrier = Barrier::new(store.clone());
        let root = RootKey::generate().unwrap();
        barrier.initialize(&root).await.unwrap();
        barrier.unseal(&root).unwrap();
        let batch = |value: &[u8]| Batch { writes: [("a".to_owned(), Some(value.to_vec()))].into() };
        barrier.commit(batch(b"1")).await.unwrap();
        barrier.commit(batch(b"2")).await.unwrap_err();
        barrier.rotate().await.unwrap_err();
        barrier.rekey(&RootKey::generate().unwrap()).await.unwrap_err();
        assert_eq!(barrier.key_status().term, 1);
        assert_eq!(barrier.get("a").unwrap().unwrap(), b"1");
        store.mend(1);
        assert_eq!(barrier.rotate().await.unwrap(), 2);
        let again = Barrier::new(store);
        again.unseal(&root).unwrap();
        assert_eq!(again.get("a").unwrap().unwrap(), b"1");
    }
}
