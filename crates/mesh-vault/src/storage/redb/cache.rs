//! Values that were read lately, as they are on the disk: encrypted. In two generations: what was not read while the
//! younger filled up is gone.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

/// Bytes of keys and values of one generation; both together have at most twice as many.
const GENERATION_BYTES_MAX: usize = 1 << 20;
/// Largest value that is kept, in bytes.
const VALUE_BYTES_MAX: usize = GENERATION_BYTES_MAX / 16;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<String, Box<[u8]>>,
    old: HashMap<String, Box<[u8]>>,
    young_bytes: usize,
}

/// Values by key.
#[derive(Debug, Default)]
pub(super) struct Cache {
    generations: Mutex<Generations>,
}

impl Cache {
    pub(super) fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = generations.young.get(key) {
            return Some(found.to_vec());
        }
        let (key, found) = generations.old.remove_entry(key)?;
        let value = found.to_vec();
        generations.insert(key, found);
        Some(value)
    }

    /// Keeps what was read. Its caller sees to it that nothing is written meanwhile.
    pub(super) fn keep(&self, key: &str, value: &[u8]) {
        if value.len() <= VALUE_BYTES_MAX {
            let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
            generations.insert(key.to_owned(), value.into());
        }
    }

    /// Forgets what was changed.
    pub(super) fn forget<'a>(&mut self, keys: impl Iterator<Item = &'a str>) {
        let generations = self.generations.get_mut().unwrap_or_else(PoisonError::into_inner);
        for key in keys {
            if let Some(gone) = generations.young.remove(key) {
                generations.young_bytes -= key.len() + gone.len();
            }
            generations.old.remove(key);
        }
    }
}

impl Generations {
    fn insert(&mut self, key: String, value: Box<[u8]>) {
        let bytes = key.len() + value.len();
        if self.young_bytes + bytes > GENERATION_BYTES_MAX {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
        if let Some(before) = self.young.get(&key) {
            self.young_bytes -= key.len() + before.len();
        }
        self.young_bytes += bytes;
        self.young.insert(key, value);
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, GENERATION_BYTES_MAX, VALUE_BYTES_MAX};

    #[test]
    fn what_was_changed_is_forgotten() {
        let mut cache = Cache::default();
        for key in ["a", "b"] {
            cache.keep(key, b"1");
            cache.keep(key, b"2");
        }
        cache.forget(["a", "c"].into_iter());
        assert_eq!((cache.get("a"), cache.get("b")), (None, Some(b"2".to_vec())));
    }

    #[test]
    fn it_does_not_grow_and_what_is_read_stays() {
        let mut cache = Cache::default();
        cache.keep("large", &vec![0; VALUE_BYTES_MAX + 1]);
        assert_eq!(cache.get("large"), None);
        cache.keep("read", b"x");
        for number in 0..3 * GENERATION_BYTES_MAX / 1_000 {
            cache.keep(&number.to_string(), &[0; 1_000]);
            assert_eq!(cache.get("read"), Some(b"x".to_vec()), "{number}");
        }
        let generations = cache.generations.lock().unwrap();
        for generation in [&generations.young, &generations.old] {
            let bytes: usize = generation.iter().map(|(key, value)| key.len() + value.len()).sum();
            assert!(bytes <= GENERATION_BYTES_MAX, "{bytes}");
        }
        let young: usize = generations.young.iter().map(|(key, value)| key.len() + value.len()).sum();
        assert_eq!(young, generations.young_bytes);
        drop(generations);
        cache.forget(["read"].into_iter());
        assert_eq!(cache.get("read"), None);
    }
}
