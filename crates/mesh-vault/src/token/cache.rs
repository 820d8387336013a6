//! Entries that were asked for lately, in two generations: what was not used while the younger filled up is gone.

use super::TokenEntry;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

/// Entries of one generation; both together are at most twice as many.
const GENERATION_MAX: usize = 4096;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Arc<TokenEntry>>,
    old: HashMap<String, Arc<TokenEntry>>,
    changes: u64,
}

/// Token entries by name.
#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

/// When a reading of the store began; what was changed since is not to be kept from it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading(u64);

impl Cache {
    /// An entry, or leave to read it.
    pub(super) fn get(&self, name: &str) -> Result<Arc<TokenEntry>, Reading> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(name) {
            return Ok(Arc::clone(found));
        }
        let Some(found) = generations.old.remove(name) else { return Err(Reading(generations.changes)) };
        generations.insert(name, Arc::clone(&found));
        Ok(found)
    }

    /// Keeps what was read, unless something was changed meanwhile.
    pub(super) fn keep(&self, reading: Reading, entry: &Arc<TokenEntry>) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if generations.changes == reading.0 {
            generations.insert(&entry.name, Arc::clone(entry));
        }
    }

    /// To be called once a change of the entry is on disk.
    pub(super) fn forget(&self, name: &str) {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        generations.changes += 1;
        generations.young.remove(name);
        generations.old.remove(name);
    }
}

impl Generations {
    fn insert(&mut self, name: &str, entry: Arc<TokenEntry>) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(name.to_owned(), entry);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, GENERATION_MAX};
    use crate::token::TokenEntry;
    use std::sync::Arc;

    fn entry(name: &str) -> Arc<TokenEntry> {
        Arc::new(TokenEntry { name: name.to_owned(), ..TokenEntry::default() })
    }

    #[test]
    fn what_was_read_before_a_change_is_not_kept() {
        let cache = Cache::default();
        let reading = cache.get("a").unwrap_err();
        cache.forget("a");
        cache.keep(reading, &entry("a"));
        assert!(cache.get("a").is_err());
        let reading = cache.get("a").unwrap_err();
        cache.keep(reading, &entry("a"));
        assert!(cache.get("a").is_ok());
    }

    #[test]
    fn it_does_not_grow() {
        let cache = Cache::default();
        for number in 0..3 * GENERATION_MAX {
            let name = number.to_string();
            let reading = cache.get(&name).unwrap_err();
            cache.keep(reading, &entry(&name));
        }
        let generations = cache.generations.lock().unwrap();
        assert!(generations.young.len() + generations.old.len() <= 2 * GENERATION_MAX);
    }
}
