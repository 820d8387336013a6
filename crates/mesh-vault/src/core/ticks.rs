//! What happens by itself: what is over ends, engines tidy.

use super::{active::Active, engines, mounts::Mount};
use crate::{lease, system};
use std::{
    sync::{Arc, atomic::Ordering},
    time::SystemTime,
};

/// Engines are asked once in so many ticks: once a minute.
const ENGINE_TICKS: u64 = 60;

/// Tells each engine that it is mounted, and opens audit files.
pub(super) async fn after_unseal(active: &Active) {
    tend(active, false).await;
    if let Err(error) = system::finish_deleting(active).await {
        tracing::error!(%error, "what is left of mounts that are gone could not be deleted");
    }
    // The last, because a pipe without a reader keeps this waiting.
    active.audit.reopen().await;
}

/// Once a second.
pub(super) async fn tick(active: &Arc<Active>) {
    // A tick that takes longer than a second does not run beside itself.
    let Ok(_turn) = active.ticking.try_lock() else { return };
    loop {
        match lease::expire_due(active, SystemTime::now()).await {
            Ok(true) if !active.barrier.sealed() => {}
            Ok(_) => break,
            Err(error) => {
                if !active.barrier.sealed() {
                    tracing::error!(%error, "what is over could not be ended");
                }
                break;
            }
        }
    }
    if active.ticks.fetch_add(1, Ordering::Relaxed) % ENGINE_TICKS == ENGINE_TICKS - 1 {
        tend(active, true).await;
        if let Err(error) = active.barrier.maintain().await {
            tracing::error!(%error, "the key ring could not be kept");
        }
    }
}

async fn tend(active: &Active, tick: bool) {
    let mounts: Vec<Arc<Mount>> = active.mounts().iter().cloned().collect();
    for mount in mounts {
        if let Err(error) = engines::tend(active, &mount, SystemTime::now(), tick).await {
            if active.barrier.sealed() {
                return;
            }
            tracing::error!(%error, mount = %mount.path, "an engine could not tidy");
        }
    }
}
