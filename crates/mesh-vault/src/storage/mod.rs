//! Where entries are kept: keys with `/` between their parts, values that are bytes.
//!
//! Reading is a call that returns at once; writing is a batch that is either wholly on disk when its
//! future resolves, or not there at all. What a batch writes is seen by every read that begins after it
//! resolved.

mod memory;
mod redb;
mod transaction;

#[cfg(test)]
pub(crate) mod failing;

pub use self::redb::Redb;
pub use memory::Memory;
pub use transaction::Transaction;

use std::{collections::BTreeMap, future::Future, pin::Pin};

/// A future that owns what it needs.
pub type Boxed<T> = Pin<Box<dyn Future<Output = T> + Send + 'static>>;

/// What could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The barrier is sealed: nothing can be decrypted.
    #[error("Vault is sealed")]
    Sealed,
    /// An entry is there and is not what was written: torn, tampered with, or from another key.
    #[error("entry {key} cannot be decrypted")]
    Corrupt {
        /// The entry's key.
        key: String,
    },
    /// A value is larger than an entry may be.
    #[error("entry {key} is {bytes} bytes, more than the {limit} that an entry may have")]
    TooLarge {
        /// The entry's key.
        key: String,
        /// Its size.
        bytes: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The disk refused.
    #[error("storage could not {operation}")]
    Disk {
        /// What was attempted, as a verb with its object.
        operation: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// What to change: `None` deletes. Later wins over earlier by being the only one in the map.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Key to new value.
    pub writes: BTreeMap<String, Option<Vec<u8>>>,
}

impl Batch {
    /// Whether there is nothing to write.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Reading: what a transaction stands on.
pub trait Read: Send + Sync {
    /// The value of a key.
    ///
    /// # Errors
    /// See [`StorageError`].
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError>;

    /// The direct children under a prefix that is empty or ends with `/`, sorted: names of entries, and
    /// names of folders with a `/` at their end.
    ///
    /// # Errors
    /// See [`StorageError`].
    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError>;
}

/// Reading and durable writing.
pub trait Store: Read {
    /// Writes a batch. When the future resolves with `Ok` all of it survives a kill and a power cut; when it
    /// resolves with an error none of it is there, unless it was the disk's sync that failed: then only reading
    /// tells, and it is all or nothing. Dropping the future does not undo the write.
    fn commit(&self, batch: Batch) -> Boxed<Result<(), StorageError>>;
}
