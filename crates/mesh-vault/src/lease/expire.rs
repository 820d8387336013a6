//! What is over, is ended: a few at a time, from the index.

use super::{
    Force,
    index::{self, Due},
    record,
    revoke::{postpone, revoke},
};
use crate::{
    core::{active::Active, work::Work},
    moment,
    storage::StorageError,
    token,
};
use std::{sync::Arc, time::SystemTime};
use tokio::task::JoinSet;

/// Ended in one go, so that a tick stays short.
const DUE_MAX: usize = 1_000;
/// Ended at once: their batches share a write to the disk.
const TOGETHER_MAX: usize = 32;

/// Ends what is over by now; whether there may be more.
///
/// # Errors
/// Those of the store.
pub(crate) async fn expire_due(active: &Arc<Active>, now: SystemTime) -> Result<bool, StorageError> {
    let due = index::due(active.store(), moment::nanos(now), DUE_MAX)?;
    let more = due.len() == DUE_MAX;
    let mut under_way = JoinSet::new();
    for entry in due {
        if under_way.len() >= TOGETHER_MAX {
            ended(under_way.join_next().await)?;
        }
        let active = Arc::clone(active);
        under_way.spawn(async move {
            match &entry.due {
                Due::Token(name) => expire_token(&active, name, &entry.key, now).await,
                Due::Lease(id) => expire_lease(&active, id, &entry.key).await,
            }
        });
    }
    while !under_way.is_empty() {
        ended(under_way.join_next().await)?;
    }
    Ok(more)
}

type Ended = Option<Result<Result<(), StorageError>, tokio::task::JoinError>>;

/// A fault of one is told and does not stop the others.
fn ended(one: Ended) -> Result<(), StorageError> {
    match one {
        Some(Ok(result)) => result,
        Some(Err(error)) => {
            tracing::error!(%error, "something that is over could not be ended");
            Ok(())
        }
        None => Ok(()),
    }
}

async fn expire_token(active: &Active, name: &str, key: &str, now: SystemTime) -> Result<(), StorageError> {
    match active.tokens.load(active.store(), name)? {
        // It was prolonged or revoked, and this is what a crash left behind.
        Some(entry) if !entry.is_over(now) => forget(active, key).await,
        None => forget(active, key).await,
        Some(_) => {
            token::revoke_tree(active, name).await?;
            active.metrics.expired();
            Ok(())
        }
    }
}

async fn expire_lease(active: &Active, id: &str, key: &str) -> Result<(), StorageError> {
    if record::load(active.store(), id)?.is_none() {
        return forget(active, key).await;
    }
    match revoke(active, id, Force::No).await {
        Ok(()) => active.metrics.expired(),
        Err(error) => {
            tracing::warn!(%error, lease = %id, "a lease that is over could not be revoked, and is tried again");
            postpone(active, id).await;
        }
    }
    Ok(())
}

async fn forget(active: &Active, key: &str) -> Result<(), StorageError> {
    let mut work = Work::default();
    work.delete(key);
    active.commit(work).await
}
