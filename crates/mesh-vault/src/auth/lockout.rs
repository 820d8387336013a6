//! Too many failed logins: a while without any.
//!
//! Failures are counted in memory; a name that is locked is stored, so that a restart does not unlock it. Only names
//! that exist are counted, so the list cannot be filled with invented ones.

use super::identifier;
use crate::{
    logical::{Context, Refusal},
    moment,
    storage::{StorageError, Transaction},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

const FAILURES_MAX: u32 = 5;
const LOCKED: Duration = Duration::from_mins(15);
const NAMES_MAX: usize = 10_000;
/// Stored locks that one tidying looks at.
const TIDIED_MAX: usize = 1_000;
/// Where locks are kept.
const FOLDER: &str = "lockout/";
/// What names are hashed with: a role's identifier is not to be read off a path.
const HASH_KEY: &str = "lockout";

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: SystemTime,
}

/// A locked name, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
struct Locked {
    /// The last failure, in nanoseconds since 1970.
    last: u64,
}

impl Failures {
    fn locked(locked: &Locked) -> Self {
        Self { count: FAILURES_MAX, last: UNIX_EPOCH + Duration::from_nanos(locked.last) }
    }

    /// Takes none to be of the future: under a clock that was ahead, a lock would last until that date. Whether
    /// that changed anything.
    fn bound(&mut self, now: SystemTime) -> bool {
        let ahead = self.last > now;
        self.last = self.last.min(now);
        ahead
    }

    /// As it is stored.
    fn stored(&self) -> Locked {
        Locked { last: moment::nanos(self.last) }
    }

    /// Whether they still count. A clock that went back makes nothing older.
    fn fresh(&self, now: SystemTime) -> bool {
        now.duration_since(self.last).unwrap_or_default() < LOCKED
    }

    fn too_many(&self) -> bool {
        self.count >= FAILURES_MAX
    }
}

/// Failed logins by mount and name.
#[derive(Debug, Default)]
pub(super) struct Lockout {
    failures: Mutex<HashMap<(String, String), Failures>>,
}

impl Lockout {
    /// Refuses a name that is locked.
    pub(super) fn check(
        &self,
        context: &Context,
        name: &str,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Refusal> {
        self.remember(context, name, transaction)?;
        let mut all = self.lock();
        let Some(failures) = all.get_mut(&key(context, name)) else { return Ok(()) };
        if failures.bound(context.now) && failures.too_many() {
            // It stands although the login is refused, or each restart would begin the while anew.
            transaction.stand_json(&entry(name), Some(&failures.stored()))?;
        }
        if failures.too_many() && failures.fresh(context.now) { Err(Refusal::Denied) } else { Ok(()) }
    }

    /// Takes up a lock of the time before a restart.
    fn remember(
        &self,
        context: &Context,
        name: &str,
        transaction: &Transaction<'_>,
    ) -> Result<(), StorageError> {
        if !self.lock().contains_key(&key(context, name))
            && let Some(stored) = transaction.get_json::<Locked>(&entry(name))?
        {
            self.lock().entry(key(context, name)).or_insert(Failures::locked(&stored));
        }
        Ok(())
    }

    /// Counts a failure; the one that locks the name is stored, although the login is refused.
    pub(super) fn failed(
        &self,
        context: &Context,
        name: &str,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), StorageError> {
        let mut failures = self.lock();
        let key = key(context, name);
        if failures.len() >= NAMES_MAX && !failures.contains_key(&key) {
            failures.retain(|_, failures| {
                failures.bound(context.now);
                failures.fresh(context.now)
            });
            if failures.len() >= NAMES_MAX {
                return Ok(());
            }
        }
        let counted = failures.entry(key).or_insert(Failures { count: 0, last: context.now });
        counted.count = if counted.fresh(context.now) { counted.count.saturating_add(1) } else { 1 };
        counted.last = context.now;
        if counted.too_many() {
            return transaction.stand_json(&entry(name), Some(&counted.stored()));
        }
        Ok(())
    }

    /// Forgets the failures of a name that has logged in.
    pub(super) fn succeeded(&self, context: &Context, name: &str, transaction: &mut Transaction<'_>) {
        let mut failures = self.lock();
        if !failures.is_empty()
            && failures.remove(&key(context, name)).is_some_and(|failures| failures.too_many())
        {
            transaction.delete(&entry(name));
        }
    }

    /// Deletes locks that are over. To be called now and then.
    pub(super) fn tidy(
        &self,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), StorageError> {
        for failures in self.lock().values_mut() {
            failures.bound(context.now);
        }
        for name in transaction.list(FOLDER)?.into_iter().take(TIDIED_MAX) {
            let entry = format!("{FOLDER}{name}");
            let Some(stored) = transaction.get_json::<Locked>(&entry)? else { continue };
            let mut locked = Failures::locked(&stored);
            if locked.bound(context.now) {
                transaction.put_json(&entry, &locked.stored())?;
            } else if !locked.fresh(context.now) {
                transaction.delete(&entry);
            }
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(context: &Context, name: &str) -> (String, String) {
    (context.accessor.clone(), name.to_owned())
}

fn entry(name: &str) -> String {
    format!("{FOLDER}{}", identifier::hashed(HASH_KEY, name))
}
