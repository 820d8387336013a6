//! A store that forgets: for tests and for `-dev`.

use super::{Batch, Boxed, Read, StorageError, Store};
use std::{
    collections::BTreeMap,
    sync::{PoisonError, RwLock},
};

/// Entries in memory.
#[derive(Debug, Default)]
pub struct Memory {
    entries: RwLock<BTreeMap<String, Vec<u8>>>,
}

impl Read for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self.entries.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned())
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let keys = entries.range(prefix.to_owned()..).map(|(key, _)| key.as_str());
        Ok(children(prefix, keys))
    }
}

impl Store for Memory {
    fn commit(&self, batch: Batch) -> Boxed<Result<(), StorageError>> {
        let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
        for (key, value) in batch.writes {
            match value {
                Some(value) => entries.insert(key, value),
                None => entries.remove(&key),
            };
        }
        Box::pin(std::future::ready(Ok(())))
    }
}

/// The direct children under `prefix` of sorted keys that begin at it.
fn children<'a>(prefix: &str, keys: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for key in keys {
        let Some(rest) = key.strip_prefix(prefix) else { break };
        let child = rest.find('/').map_or(rest, |slash| &rest[..=slash]);
        if !child.is_empty() && found.last().is_none_or(|last| last != child) {
            found.push(child.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::children;

    #[test]
    fn folders_are_listed_once() {
        let keys = ["a/b", "a/b/c", "a/b/d", "a/e", "b"];
        assert_eq!(children("a/", keys.into_iter()), ["b", "b/", "e"]);
        assert_eq!(children("", ["a", "a/b", "a/c"].into_iter()), ["a", "a/"]);
    }
}
