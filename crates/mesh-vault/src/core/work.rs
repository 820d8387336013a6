//! What one request leads to: one batch, and what is done once that is on disk.

use super::{active::Active, turns::Held};
use crate::storage::Batch;
use serde::Serialize;

/// Called after the commit. Brings what is in memory up to what is on disk.
type After = Box<dyn FnOnce(&Active) + Send>;

/// Writes and what follows from them, collected before anything is done.
#[derive(Default)]
pub(crate) struct Work {
    /// To be committed.
    pub(crate) batch: Batch,
    after: Vec<After>,
    held: Vec<Held>,
}

impl Work {
    /// Stores a value as JSON under a key of the barrier.
    pub(crate) fn put<T: Serialize>(&mut self, key: impl Into<String>, value: &T) {
        // Every type stored here has a JSON form: maps with text as keys, numbers, texts.
        let bytes = serde_json::to_vec(value).unwrap_or_default();
        self.batch.writes.insert(key.into(), Some(bytes));
    }

    /// Deletes a key.
    pub(crate) fn delete(&mut self, key: impl Into<String>) {
        self.batch.writes.insert(key.into(), None);
    }

    /// Takes up what an engine wrote.
    pub(crate) fn extend(&mut self, batch: Batch) {
        self.batch.writes.extend(batch.writes);
    }

    /// To be done after the commit.
    pub(crate) fn then(&mut self, after: impl FnOnce(&Active) + Send + 'static) {
        self.after.push(Box::new(after));
    }

    /// A turn to be kept until the commit.
    pub(crate) fn hold(&mut self, held: Held) {
        self.held.push(held);
    }

    /// The two halves; the turns end with the second.
    pub(crate) fn split(self) -> (Batch, Afterwards) {
        (self.batch, Afterwards { after: self.after, _held: self.held })
    }
}

/// What is left to do after the commit.
pub(crate) struct Afterwards {
    after: Vec<After>,
    _held: Vec<Held>,
}

impl Afterwards {
    /// Does it.
    pub(crate) fn run(self, active: &Active) {
        for after in self.after {
            after(active);
        }
    }
}
