//! Too many failed logins: a while without any.
//!
//! Kept in memory, as a refusal writes nothing: a restart forgets. Only names that exist are counted, so the list
//! cannot be filled with invented ones.

use crate::logical::{Context, Refusal};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

const FAILURES_MAX: u32 = 5;
const LOCKED: Duration = Duration::from_mins(15);
const NAMES_MAX: usize = 10_000;

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: SystemTime,
}

impl Failures {
    /// Whether they still count. A clock that went back makes nothing older.
    fn fresh(&self, now: SystemTime) -> bool {
        now.duration_since(self.last).unwrap_or_default() < LOCKED
    }
}

/// Failed logins by mount and name.
#[derive(Debug, Default)]
pub(super) struct Lockout {
    failures: Mutex<HashMap<(String, String), Failures>>,
}

impl Lockout {
    /// Refuses a name that is locked.
    pub(super) fn check(&self, context: &Context, name: &str) -> Result<(), Refusal> {
        let locked = self.lock().get(&key(context, name)).copied();
        match locked {
            Some(failures) if failures.count >= FAILURES_MAX && failures.fresh(context.now) => {
                Err(Refusal::Denied)
            }
            _ => Ok(()),
        }
    }

    /// Counts a failure.
    pub(super) fn failed(&self, context: &Context, name: &str) {
        let mut failures = self.lock();
        let key = key(context, name);
        if failures.len() >= NAMES_MAX && !failures.contains_key(&key) {
            failures.retain(|_, failures| failures.fresh(context.now));
            if failures.len() >= NAMES_MAX {
                return;
            }
        }
        let entry = failures.entry(key).or_insert(Failures { count: 0, last: context.now });
        entry.count = if entry.fresh(context.now) { entry.count.saturating_add(1) } else { 1 };
        entry.last = context.now;
    }

    /// Forgets the failures of a name that has logged in.
    pub(super) fn succeeded(&self, context: &Context, name: &str) {
        let mut failures = self.lock();
        if !failures.is_empty() {
            failures.remove(&key(context, name));
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(context: &Context, name: &str) -> (String, String) {
    (context.accessor.clone(), name.to_owned())
}
