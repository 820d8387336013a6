//! A token's end, and that of all that goes with it.
//!
//! Whatever is revoked is good for nothing from the first moment on: it is *doomed* in memory before anything is
//! read. Then the turn of each token of the tree is awaited once, so that a child that is being made is found, and a
//! renewal under way cannot bring back what was deleted.

use super::{
    TokenEntry,
    store::{children, entry_key, parent_key},
};
use crate::{
    core::{active::Active, work::Work},
    lease::{self, index::Due},
    storage::StorageError,
};
use std::{collections::HashSet, sync::Arc};

/// Tokens deleted in one batch.
const BATCH_TOKENS_MAX: usize = 256;

/// The turn of a token: shared to make a child, alone to change its entry.
pub(crate) fn turn(name: &str) -> String {
    format!("token/{name}")
}

/// Revokes a token and all that come from it.
///
/// # Errors
/// Those of the store; what was not deleted is as it was.
pub(crate) async fn revoke_tree(active: &Active, name: &str) -> Result<(), StorageError> {
    let mut names = Vec::new();
    let done = match collect(active, name, &mut names).await {
        Ok(()) => delete(active, &names, false).await,
        Err(error) => Err(error),
    };
    active.tokens.spare(&names);
    done
}

/// Revokes a token alone; its children become orphans.
///
/// # Errors
/// As above.
pub(crate) async fn revoke_alone(active: &Active, name: &str) -> Result<(), StorageError> {
    active.tokens.doom(name);
    drop(active.turns.alone(turn(name)).await);
    let names = [name.to_owned()];
    let done = delete(active, &names, true).await;
    active.tokens.spare(&names);
    done
}

/// The tree below a token, parents before children, each doomed.
async fn collect(active: &Active, name: &str, names: &mut Vec<String>) -> Result<(), StorageError> {
    let mut seen = HashSet::from([name.to_owned()]);
    active.tokens.doom(name);
    names.push(name.to_owned());
    let mut next = 0;
    while next < names.len() {
        let parent = names[next].clone();
        drop(active.turns.alone(turn(&parent)).await);
        for child in children(active.store(), &parent)? {
            if seen.insert(child.clone()) {
                active.tokens.doom(&child);
                names.push(child);
            }
        }
        next += 1;
    }
    Ok(())
}

/// Children first, so that a failure leaves no child without a parent it could be found by.
async fn delete(active: &Active, names: &[String], keep_children: bool) -> Result<(), StorageError> {
    for chunk in names.rchunks(BATCH_TOKENS_MAX) {
        let mut work = Work::default();
        for name in chunk {
            lease::revoke_of_token(active, name).await;
            let Some(entry) = active.tokens.load(active.store(), name)? else { continue };
            erase(active, &entry, &mut work)?;
            if keep_children {
                release_children(active, name, &mut work).await?;
            }
        }
        active.commit(work).await?;
    }
    Ok(())
}

/// Everything that is kept of a token.
fn erase(active: &Active, entry: &Arc<TokenEntry>, work: &mut Work) -> Result<(), StorageError> {
    let name = entry.name.clone();
    work.delete(entry_key(&name));
    work.delete(active.tokens.accessor_key(&entry.accessor));
    if let Some(parent) = &entry.parent {
        work.delete(parent_key(parent, &name));
    }
    if let Some(expires) = entry.expires {
        lease::index::remove(work, &Due::Token(name.clone()), expires);
    }
    lease::token_revoked(work, entry);
    if let Some(folder) = active.cubbyhole(&name) {
        erase_folder(active, &folder, work)?;
    }
    work.then(move |active| active.tokens.cache.forget(&name));
    Ok(())
}

fn erase_folder(active: &Active, folder: &str, work: &mut Work) -> Result<(), StorageError> {
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for child in active.store().list(&folder)? {
            let key = format!("{folder}{child}");
            if child.ends_with('/') {
                folders.push(key);
            } else {
                work.delete(key);
            }
        }
    }
    Ok(())
}

async fn release_children(active: &Active, name: &str, work: &mut Work) -> Result<(), StorageError> {
    for child in children(active.store(), name)? {
        let held = active.turns.alone(turn(&child)).await;
        if let Some(entry) = active.tokens.load(active.store(), &child)? {
            let orphan = TokenEntry { parent: None, ..entry.as_ref().clone() };
            active.tokens.store(&orphan, work);
        }
        work.delete(parent_key(name, &child));
        work.hold(held);
    }
    Ok(())
}
