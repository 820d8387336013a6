//! Turns by key: who has to wait for whom between reading and the commit of what was written.
//!
//! A key exists while somebody holds or awaits it, so the table is as large as what is under way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// The table.
#[derive(Debug, Clone, Default)]
pub(crate) struct Turns {
    locks: Arc<Mutex<HashMap<String, Arc<RwLock<()>>>>>,
}

/// A turn; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    turns: Turns,
    key: String,
    lock: Arc<RwLock<()>>,
    guard: Option<Guard>,
}

#[derive(Debug)]
#[expect(dead_code, reason = "held for their drop")]
enum Guard {
    Shared(OwnedRwLockReadGuard<()>),
    Alone(OwnedRwLockWriteGuard<()>),
}

impl Turns {
    /// Waits until nobody else has the key.
    pub(crate) async fn alone(&self, key: impl Into<String>) -> Held {
        let key = key.into();
        let mut held = self.entry(key);
        held.guard = Some(Guard::Alone(Arc::clone(&held.lock).write_owned().await));
        held
    }

    /// Waits until nobody has the key alone.
    pub(crate) async fn shared(&self, key: impl Into<String>) -> Held {
        let mut held = self.entry(key.into());
        held.guard = Some(Guard::Shared(Arc::clone(&held.lock).read_owned().await));
        held
    }

    fn entry(&self, key: String) -> Held {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let lock = Arc::clone(locks.entry(key.clone()).or_default());
        drop(locks);
        Held { turns: self.clone(), key, lock, guard: None }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.guard.take());
        let mut locks = self.turns.locks.lock().unwrap_or_else(PoisonError::into_inner);
        // The table's and this one: nobody else holds or awaits it.
        const LAST: usize = 2;
        if Arc::strong_count(&self.lock) == LAST {
            locks.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Turns;
    use std::time::Duration;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let turns = Turns::default();
        let first = turns.alone("a").await;
        let blocked = tokio::time::timeout(Duration::from_millis(20), turns.shared("a")).await;
        assert!(blocked.is_err());
        drop(turns.alone("b").await);
        drop(first);
        let shared = (turns.shared("a").await, turns.shared("a").await);
        assert_eq!(turns.len(), 1);
        drop(shared);
        assert_eq!(turns.len(), 0);
    }
}
