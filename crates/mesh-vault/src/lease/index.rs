//! What is over when: an index on disk by the second, so that nothing has to be kept in memory or read at unseal.
//!
//! ```text
//! sys/expire/when/<hour>/<minute>/<second>/t<name of a token>
//! sys/expire/when/<hour>/<minute>/<second>/l<hash of a lease's id>   -> the id
//! ```

use crate::{
    core::{random::hex, work::Work},
    storage::{Read, StorageError},
};
use std::time::Duration;

const FOLDER: &str = "sys/expire/when/";

/// Whose time is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Due {
    /// A token, by its name.
    Token(String),
    /// A lease, by its id.
    Lease(String),
}

/// An entry of the index that is due.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Where it is.
    pub(crate) key: String,
    /// Whose.
    pub(crate) due: Due,
}

/// Puts something into the index at a time in nanoseconds; it is due once that time is past.
pub(crate) fn insert(work: &mut Work, due: &Due, expires: u64) {
    match due {
        Due::Token(_) => work.put(key(due, expires), &""),
        Due::Lease(id) => work.put(key(due, expires), id),
    }
}

/// Takes something out of the index.
pub(crate) fn remove(work: &mut Work, due: &Due, expires: u64) {
    work.delete(key(due, expires));
}

/// What is due by now, at most `limit` of it, the earliest first.
///
/// # Errors
/// Those of the store.
pub(crate) fn due(store: &dyn Read, now: u64, limit: usize) -> Result<Vec<Entry>, StorageError> {
    let mut found = Vec::new();
    // What expires within this second is due in the next one.
    let bound = folder(Duration::from_nanos(now).as_secs());
    for hour in store.list(FOLDER)? {
        let hour = format!("{FOLDER}{hour}");
        if hour > bound {
            break;
        }
        for minute in store.list(&hour)? {
            let minute = format!("{hour}{minute}");
            if minute > bound {
                break;
            }
            for second in store.list(&minute)? {
                let second = format!("{minute}{second}");
                if second >= bound || found.len() >= limit {
                    break;
                }
                collect(store, &second, limit, &mut found)?;
            }
        }
        if found.len() >= limit {
            break;
        }
    }
    Ok(found)
}

fn collect(store: &dyn Read, folder: &str, limit: usize, found: &mut Vec<Entry>) -> Result<(), StorageError> {
    for child in store.list(folder)?.into_iter().take(limit.saturating_sub(found.len())) {
        let key = format!("{folder}{child}");
        let due = match child.strip_prefix('t') {
            Some(name) => Due::Token(name.to_owned()),
            None => {
                let Some(id) = store.get(&key)? else { continue };
                Due::Lease(
                    serde_json::from_slice(&id).map_err(|_| StorageError::Corrupt { key: key.clone() })?,
                )
            }
        };
        found.push(Entry { key, due });
    }
    Ok(())
}

fn key(due: &Due, expires: u64) -> String {
    let folder = folder(Duration::from_nanos(expires).as_secs());
    match due {
        Due::Token(name) => format!("{folder}t{name}"),
        Due::Lease(id) => {
            let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, id.as_bytes());
            format!("{folder}l{}", hex(hash.as_ref()))
        }
    }
}

/// Sorted as text as it is by time.
fn folder(seconds: u64) -> String {
    format!("{FOLDER}{:08x}/{:02}/{:02}/", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::{Due, due, insert, remove};
    use crate::{
        core::work::Work,
        storage::{Memory, Store},
    };

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn only_what_is_past_and_in_its_order() {
        let store = Memory::default();
        let mut work = Work::default();
        for at in [3_599, 10, 3_700, 61, 1_000_000] {
            insert(&mut work, &Due::Token(format!("{at}")), at * SECOND);
        }
        insert(&mut work, &Due::Lease("a/b".to_owned()), 62 * SECOND);
        insert(&mut work, &Due::Lease("gone".to_owned()), 5 * SECOND);
        remove(&mut work, &Due::Lease("gone".to_owned()), 5 * SECOND);
        drop(store.commit(work.batch));
        let found = |now: u64, limit| -> Vec<Due> {
            due(&store, now, limit).unwrap().into_iter().map(|entry| entry.due).collect()
        };
        let token = |at: &str| Due::Token(at.to_owned());
        assert_eq!(found(10 * SECOND, 9), []);
        assert_eq!(found(11 * SECOND, 9), [token("10")]);
        assert_eq!(found(70 * SECOND, 9), [token("10"), token("61"), Due::Lease("a/b".to_owned())]);
        assert_eq!(found(4_000 * SECOND, 2), [token("10"), token("61")]);
        assert_eq!(found(4_000 * SECOND, 9).len(), 5);
    }
}
