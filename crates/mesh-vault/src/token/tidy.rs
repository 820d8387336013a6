//! `auth/token/tidy`: what a crash or an error may have left behind of tokens that are gone.

use super::store::{self, accessors};
use crate::{
    core::{active::Active, reply::Reply, work::Work},
    logical::Response,
    storage::StorageError,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

static RUNNING: AtomicBool = AtomicBool::new(false);

/// Begins, unless it is under way.
pub(super) fn start(active: &Arc<Active>) -> Reply {
    if RUNNING.swap(true, Ordering::AcqRel) {
        return Response::empty().warn("Tidy operation already in progress.").into();
    }
    let active = Arc::clone(active);
    tokio::spawn(async move {
        if let Err(error) = tidy(&active).await {
            tracing::warn!(%error, "tokens could not be tidied");
        }
        RUNNING.store(false, Ordering::Release);
    });
    let told = "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
    let mut response = Response::empty().warn(told);
    response.status = Some(202);
    response.into()
}

/// Accessors that lead to no token.
async fn tidy(active: &Active) -> Result<(), StorageError> {
    let mut work = Work::default();
    for accessor in accessors(active.store())? {
        if active.store().get(&store::entry_key(&accessor.name))?.is_none() {
            work.delete(active.tokens.accessor_key(&accessor.accessor));
        }
    }
    active.commit(work).await
}
