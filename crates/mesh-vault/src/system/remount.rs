//! Moving a mount, and taking one away with all that is in it.

use super::mounts::{TURN, check_path, keep};
use crate::{
    core::{
        active::Active,
        ask::Ask,
        mounts::{Mount, Mounts},
        random,
        reply::Reply,
        work::Work,
    },
    lease::{self, Force},
    logical::{Object, Operation, Refusal, Response},
    storage::StorageError,
};
use serde_json::json;
use std::sync::Arc;

/// Mounts that are gone and whose data is still being deleted.
const DELETING: &str = "core/deleting/";
/// Entries deleted in one batch.
const BATCH_ENTRIES_MAX: usize = 1_000;
/// Moves that were made, by their ids, for whoever asks how they went.
const MOVED: &str = "core/moved/";

/// `sys/remount`, `sys/remount/status/<id>`
pub(super) async fn handle(
    active: &Arc<Active>,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match (path.strip_prefix("status/"), ask.operation) {
        (Some(id), Operation::Read) => status(active, id),
        (None, Operation::Create | Operation::Update) if path.is_empty() => remount(active, ask, work).await,
        (Some(_), _) => Err(Refusal::UnsupportedOperation),
        (None, _) if path.is_empty() => Err(Refusal::UnsupportedOperation),
        (None, _) => Err(Refusal::UnsupportedPath),
    }
}

fn status(active: &Active, id: &str) -> Result<Reply, Refusal> {
    let key = format!("{MOVED}{id}");
    let stored = active.store().get(&key)?.ok_or(Refusal::NotFound)?;
    let stored: Object = serde_json::from_slice(&stored).map_err(|_| StorageError::Corrupt { key })?;
    let data = [("migration_id".to_owned(), json!(id)), ("migration_info".to_owned(), json!(stored))];
    Ok(Response::data(Object::from_iter(data)).into())
}

/// Leases do not move with it: they are revoked, as Vault does.
async fn remount(active: &Arc<Active>, ask: &Ask, work: &mut Work) -> Result<Reply, Refusal> {
    let fields = ask.fields();
    let (from, to) = (path(fields.string("from")?), path(fields.string("to")?));
    if from.is_empty() || to.is_empty() {
        return Err(Refusal::invalid("both 'from' and 'to' path must be specified as a string"));
    }
    let auth = from.starts_with("auth/");
    if auth != to.starts_with("auth/") {
        let text = if auth {
            "cannot remount auth mount to non-auth mount"
        } else {
            "cannot remount non-auth mount to auth mount"
        };
        return Err(Refusal::invalid(format!("{text} {to:?}")));
    }
    if from == "auth/token/"
        || ["sys/", "cubbyhole/", "identity/", "audit/"].iter().any(|taken| from.starts_with(taken))
    {
        return Err(Refusal::invalid(format!("cannot remount {from:?}")));
    }
    check_path(&to, auth)?;
    work.hold(active.turns.alone(TURN).await);
    let mounts = active.mounts();
    let mount = mounts.at(&from).ok_or_else(|| Refusal::invalid(format!("no matching mount at {from:?}")))?;
    let mut changed = Mounts::clone(&mounts);
    changed.remove(&from);
    if changed.conflict(&to).is_some() {
        return Err(Refusal::invalid(format!("path already in use at {to:?}")));
    }
    lease::revoke_prefix(active, &from, Force::No).await?;
    changed.put(Mount { path: to.clone(), ..Mount::clone(mount) });
    keep(changed, work);
    let id = random::uuid()?;
    work.put(
        format!("{MOVED}{id}"),
        &json!({ "source_mount": from, "target_mount": to, "status": "success" }),
    );
    let told = "Mount move has been queued. Progress will be reported in Vault's server log, tagged with the returned migration_id";
    Ok(Response::data(Object::from_iter([("migration_id".to_owned(), json!(id))])).warn(told).into())
}

fn path(given: Option<String>) -> String {
    let given = given.unwrap_or_default();
    let given = given.trim_matches('/');
    if given.is_empty() { String::new() } else { format!("{given}/") }
}

/// Takes a mount away. Nobody else may be changing the table.
///
/// # Errors
/// Those of the store; the mount is there still, or its data is deleted after the next unseal.
pub(super) async fn unmount(active: &Arc<Active>, mount: &Mount) -> Result<(), Refusal> {
    lease::revoke_prefix(active, &mount.path, Force::Yes).await?;
    let mut mounts = Mounts::clone(&active.mounts());
    mounts.remove(&mount.path);
    let mut work = Work::default();
    keep(mounts, &mut work);
    work.put(format!("{DELETING}{}", mount.entry.uuid), &mount.path);
    // Whoever is writing there finishes first.
    work.hold(active.turns.alone(format!("mount/{}", mount.entry.uuid)).await);
    active.commit(work).await?;
    // What came between the revocation and this.
    lease::revoke_prefix(active, &mount.path, Force::Yes).await?;
    Ok(delete_data(active, &mount.entry.uuid).await?)
}

/// Deletes what a crash left of mounts that are gone.
///
/// # Errors
/// Those of the store.
pub(crate) async fn finish_deleting(active: &Active) -> Result<(), StorageError> {
    for uuid in active.store().list(DELETING)? {
        delete_data(active, &uuid).await?;
    }
    Ok(())
}

async fn delete_data(active: &Active, uuid: &str) -> Result<(), StorageError> {
    let mut folders = vec![format!("logical/{uuid}/")];
    let mut work = Work::default();
    while let Some(folder) = folders.pop() {
        for child in active.store().list(&folder)? {
            let key = format!("{folder}{child}");
            if child.ends_with('/') {
                folders.push(key);
                continue;
            }
            work.delete(key);
            if work.batch.writes.len() >= BATCH_ENTRIES_MAX {
                active.commit(std::mem::take(&mut work)).await?;
            }
        }
    }
    work.delete(format!("{DELETING}{uuid}"));
    active.commit(work).await
}
