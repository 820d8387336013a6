//! What one request reads and writes: a window on the store, with its own writes over it.

use super::{Batch, Read, StorageError};
use serde::{Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;

/// Reads through to the store; keeps writes until the core commits them.
pub struct Transaction<'a> {
    store: &'a dyn Read,
    prefix: String,
    batch: Batch,
    /// What is written even if the request is refused.
    standing: Batch,
}

impl<'a> Transaction<'a> {
    /// A window on the keys under `prefix`, which is empty or ends with `/`.
    #[must_use]
    pub fn new(store: &'a dyn Read, prefix: impl Into<String>) -> Self {
        Self { store, prefix: prefix.into(), batch: Batch::default(), standing: Batch::default() }
    }

    /// A value, as this transaction sees it.
    ///
    /// # Errors
    /// Those of the store.
    pub fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let key = self.key(key);
        match self.batch.writes.get(&key) {
            Some(written) => Ok(written.clone()),
            None => self.store.get(&key),
        }
    }

    /// A value that was written with [`Transaction::put_json`].
    ///
    /// # Errors
    /// Those of the store; `Corrupt` where it does not decode.
    pub fn get_json<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, StorageError> {
        let corrupt = |_| StorageError::Corrupt { key: self.key(key) };
        self.get(key)?.map(|bytes| serde_json::from_slice(&bytes).map_err(corrupt)).transpose()
    }

    /// The direct children under a prefix (empty, or with `/` at its end), sorted.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let prefix = self.key(prefix);
        let stored = self.store.list(&prefix)?;
        if !self.batch.writes.keys().any(|key| key.starts_with(&prefix)) {
            return Ok(stored);
        }
        self.list_over(&prefix, stored)
    }

    /// Stores a value.
    pub fn put(&mut self, key: &str, value: Vec<u8>) {
        self.batch.writes.insert(self.key(key), Some(value));
    }

    /// Stores a value as JSON.
    ///
    /// # Errors
    /// `Corrupt` where the value has no JSON form.
    pub fn put_json<T: Serialize>(&mut self, key: &str, value: &T) -> Result<(), StorageError> {
        let corrupt = |_| StorageError::Corrupt { key: self.key(key) };
        let bytes = serde_json::to_vec(value).map_err(corrupt)?;
        self.put(key, bytes);
        Ok(())
    }

    /// Stores a value as JSON, or deletes it, even if the request is refused: what a failed login leaves behind. Not
    /// seen by this transaction's own reads.
    ///
    /// # Errors
    /// `Corrupt` where the value has no JSON form.
    pub fn stand_json<T: Serialize>(&mut self, key: &str, value: Option<&T>) -> Result<(), StorageError> {
        let key = self.key(key);
        let bytes = match value.map(serde_json::to_vec).transpose() {
            Ok(bytes) => bytes,
            Err(_) => return Err(StorageError::Corrupt { key }),
        };
        self.standing.writes.insert(key, bytes);
        Ok(())
    }

    /// Deletes a value; one that is not there is no error.
    pub fn delete(&mut self, key: &str) {
        self.batch.writes.insert(self.key(key), None);
    }

    /// What is to be committed.
    #[must_use]
    pub fn into_batch(mut self) -> Batch {
        self.batch.writes.append(&mut self.standing.writes);
        self.batch
    }

    /// What is to be committed of a request that was refused.
    #[must_use]
    pub fn into_standing(self) -> Batch {
        self.standing
    }

    fn key(&self, key: &str) -> String {
        [&self.prefix, key].concat()
    }

    /// Children of the store with this transaction's writes over them. A folder of the store stays only while
    /// something is left in it.
    fn list_over(&self, prefix: &str, stored: Vec<String>) -> Result<Vec<String>, StorageError> {
        let mut children = BTreeSet::new();
        for child in stored {
            let key = format!("{prefix}{child}");
            let kept = if child.ends_with('/') {
                self.folder_left(&key)?
            } else {
                !matches!(self.batch.writes.get(&key), Some(None))
            };
            if kept {
                children.insert(child);
            }
        }
        for (key, value) in &self.batch.writes {
            if let (Some(rest), Some(_)) = (key.strip_prefix(prefix), value) {
                let child = rest.find('/').map_or(rest, |slash| &rest[..=slash]);
                children.insert(child.to_owned());
            }
        }
        Ok(children.into_iter().collect())
    }

    fn folder_left(&self, folder: &str) -> Result<bool, StorageError> {
        for child in self.store.list(folder)? {
            let key = format!("{folder}{child}");
            let left = if child.ends_with('/') {
                self.folder_left(&key)?
            } else {
                !matches!(self.batch.writes.get(&key), Some(None))
            };
            if left {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Memory, Store};
    use super::Transaction;

    #[test]
    fn its_own_writes_are_seen_and_nothing_else_changes() {
        let store = Memory::default();
        let mut first = Transaction::new(&store, "m/");
        first.put("a/b", b"1".to_vec());
        first.put("c", b"2".to_vec());
        drop(store.commit(first.into_batch()));

        let mut second = Transaction::new(&store, "m/");
        second.delete("a/b");
        second.put("d/e", b"3".to_vec());
        assert_eq!(second.list("").unwrap(), ["c", "d/"]);
        assert_eq!(second.get("a/b").unwrap(), None);
        assert_eq!(Transaction::new(&store, "m/").list("").unwrap(), ["a/", "c"]);
    }
}
