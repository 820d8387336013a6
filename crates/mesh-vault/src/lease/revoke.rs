//! A lease's end.

use super::{
    index::{self, Due},
    record::{self, Record, SecretLease},
};
use crate::{
    core::{active::Active, engines, work::Work},
    logical::{Object, Operation, Refusal, Request},
    moment, token,
};
use std::time::{Duration, SystemTime};

/// When a lease that could not be revoked is tried again.
const RETRY: Duration = Duration::from_secs(60);

/// Whether a lease goes even where its engine fails to end the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Force {
    /// It stays then.
    No,
    /// It goes.
    Yes,
}

/// Ends a lease; one that is not there is no error.
///
/// # Errors
/// Those of the store and of the engine.
pub(crate) async fn revoke(active: &Active, id: &str, force: Force) -> Result<(), Refusal> {
    match record::load(active.store(), id)? {
        None => Ok(()),
        Some(Record::Token(name)) => Ok(token::revoke_tree(active, &name).await?),
        Some(Record::Secret(lease)) => revoke_secret(active, &lease.id, force).await,
    }
}

/// Ends all leases below a prefix.
///
/// # Errors
/// The first that could not be; the others are ended all the same.
pub(crate) async fn revoke_prefix(active: &Active, prefix: &str, force: Force) -> Result<(), Refusal> {
    let folder =
        if prefix.is_empty() || prefix.ends_with('/') { prefix.to_owned() } else { format!("{prefix}/") };
    let mut ids = record::ids(active.store(), &folder)?;
    // The prefix may be a lease itself.
    if !prefix.ends_with('/') && record::load(active.store(), prefix)?.is_some() {
        ids.push(prefix.to_owned());
    }
    let mut failed = None;
    for id in ids {
        if let Err(refusal) = revoke(active, &id, force).await {
            failed.get_or_insert(refusal);
        }
    }
    failed.map_or(Ok(()), Err)
}

/// Ends what goes with a token. What an engine fails to end is tried again later.
pub(crate) async fn revoke_of_token(active: &Active, name: &str) {
    let ids = match record::ids_of_token(active.store(), name) {
        Ok(ids) => ids,
        Err(error) => return tracing::error!(%error, "leases of a token cannot be read"),
    };
    for id in ids {
        if let Err(error) = revoke_secret(active, &id, Force::No).await {
            tracing::warn!(%error, lease = %id, "a lease could not be revoked, and is tried again");
            postpone(active, &id).await;
        }
    }
}

async fn revoke_secret(active: &Active, id: &str, force: Force) -> Result<(), Refusal> {
    let held = active.turns.alone(format!("lease/{id}")).await;
    let Some(Record::Secret(lease)) = record::load(active.store(), id)? else { return Ok(()) };
    let mut work = Work::default();
    if let Some(mount) = active.mounts().by_accessor(&lease.mount) {
        let request = Request {
            operation: Operation::Revoke,
            path: lease.path.clone(),
            data: Object::new(),
            token: None,
            remote: None,
            internal: lease.internal.clone(),
        };
        match engines::run(active, mount, request, SystemTime::now()).await {
            Ok((_, run)) => run.into_work(&mut work),
            // The engine has nothing to end.
            Err(Refusal::UnsupportedOperation | Refusal::UnsupportedPath) => {}
            Err(refusal) if force == Force::No => return Err(refusal),
            Err(refusal) => tracing::warn!(error = %refusal, lease = %lease.id, "revoked by force"),
        }
    }
    erase(&lease, &mut work);
    active.commit(work).await?;
    drop(held);
    Ok(())
}

fn erase(lease: &SecretLease, work: &mut Work) {
    work.delete(record::key(&lease.id));
    index::remove(work, &Due::Lease(lease.id.clone()), lease.expires);
    if let Some(token) = &lease.token {
        work.delete(record::token_key(token, &lease.id));
    }
}

/// Has a lease tried again in a while, whatever its time was.
pub(super) async fn postpone(active: &Active, id: &str) {
    let _held = active.turns.alone(format!("lease/{id}")).await;
    let Ok(Some(Record::Secret(mut lease))) = record::load(active.store(), id) else { return };
    let mut work = Work::default();
    index::remove(&mut work, &Due::Lease(id.to_owned()), lease.expires);
    lease.expires = moment::nanos(SystemTime::now() + RETRY);
    lease.renewable = false;
    index::insert(&mut work, &Due::Lease(id.to_owned()), lease.expires);
    work.put(record::key(id), &Record::Secret(lease));
    if let Err(error) = active.commit(work).await {
        tracing::error!(%error, lease = %id, "a lease could not be put off");
    }
}
