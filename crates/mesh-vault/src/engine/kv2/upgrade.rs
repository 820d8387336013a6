//! From version 1 to version 2: every entry becomes the first version of a secret, in one batch.

use super::{Key, meta_entry, version_entry};
use crate::{
    engine::kv1,
    logical::{Context, Refusal},
    moment,
    storage::{StorageError, Transaction},
};

/// Entries that one call upgrades; the rest is for the next.
const ENTRIES_MAX: usize = 50_000;

/// Moves what version 1 has left, and says whether that was all. Done, it costs one look.
pub(in super::super) fn upgrade(
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<bool, Refusal> {
    let mut found = Vec::new();
    collect(kv1::ENTRIES, transaction, &mut found)?;
    let now = moment::nanos(context.now);
    for entry in found {
        let Some(data) = transaction.get(&entry)? else { continue };
        let path = entry.strip_prefix(kv1::ENTRIES).unwrap_or(&entry);
        transaction.delete(&entry);
        let mut key = Key::default();
        key.add(now, None, 1);
        transaction.put_json(&meta_entry(path), &key)?;
        transaction.put(&version_entry(path, key.current), data);
    }
    Ok(transaction.list(kv1::ENTRIES)?.is_empty())
}

fn collect(folder: &str, transaction: &Transaction<'_>, found: &mut Vec<String>) -> Result<(), StorageError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in transaction.list(&folder)? {
            if found.len() == ENTRIES_MAX {
                return Ok(());
            }
            let key = format!("{folder}{child}");
            if child.ends_with('/') { folders.push(key) } else { found.push(key) }
        }
    }
    Ok(())
}
