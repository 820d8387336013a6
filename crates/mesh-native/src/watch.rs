//! Watching shims: one task for each container that runs, until its shim ended.
//!
//! The end is read from what the shim wrote; a shim that was killed wrote nothing, and its container
//! counts as killed too (137).

use crate::{
    fault,
    ground::{Ground, blocking},
    phase::Running,
    record::{self, Kept, ProcessKey},
    shim,
    start::now_unix_ms,
};
use mesh_runtime::events::{Exit, RuntimeEvent};
use mesh_sandbox::specification::ExitRecord;
use std::{os::fd::OwnedFd, path::Path, sync::Arc, time::Duration};
use tokio::io::{Interest, unix::AsyncFd};

/// Exit code of a container whose shim was killed: 128 and SIGKILL.
const KILLED_CODE: i32 = 137;

/// Time between two looks at a process that cannot be watched (no descriptor or memory is free).
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// A handle on a shim; `None` if it ended already, or none can be had now.
pub(crate) fn open(shim: &ProcessKey) -> Option<OwnedFd> {
    let pidfd = mesh_linux::process::open_pidfd(shim.pid).ok()?;
    // The number may have been used again between the record and the handle.
    shim.lives().unwrap_or(false).then_some(pidfd)
}

/// Watches a shim in a task of the ground's own.
pub(crate) fn spawn(ground: &Arc<Ground>, running: Arc<Running>, pidfd: Option<OwnedFd>) {
    let owner = Arc::clone(ground);
    ground.tasks.spawn(async move {
        let stop = owner.stop.clone();
        tokio::select! { biased;
            () = stop.cancelled() => {}
            pidfd = gone(&running.record.shim, pidfd) => ended(&owner, &running, pidfd).await,
        }
    });
}

/// Waits until a shim ended. Without a handle on it, one is asked for again and again.
async fn gone(shim: &ProcessKey, mut pidfd: Option<OwnedFd>) -> Option<OwnedFd> {
    loop {
        if let Some(pidfd) = pidfd {
            return Some(wait(pidfd).await);
        }
        if !shim.is_alive() {
            return None;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
        pidfd = open(shim);
    }
}

/// Waits until a process ended. Where the watching fails, the process is looked at instead: a failure
/// is never taken for its end.
pub(crate) async fn wait(mut pidfd: OwnedFd) -> OwnedFd {
    loop {
        #[expect(
            deprecated,
            reason = "its replacement is unsafe; the descriptor is owned here until it is deregistered"
        )]
        let watched = AsyncFd::try_with_interest(pidfd, Interest::READABLE);
        pidfd = match watched {
            Ok(watched) => {
                if let Err(error) = watched.readable().await {
                    tracing::warn!(error = %error, "a process cannot be watched any more");
                }
                watched.into_inner()
            }
            Err(error) => {
                let (pidfd, error) = error.into_parts();
                tracing::warn!(error = %error, "a process cannot be watched");
                pidfd
            }
        };
        if shim::readable(&pidfd, Duration::ZERO) {
            return pidfd;
        }
        tokio::time::sleep(LOOK_PAUSE).await;
    }
}

async fn ended(ground: &Arc<Ground>, running: &Arc<Running>, pidfd: Option<OwnedFd>) {
    let id = &running.spec.id;
    ground.phases.ending(id);
    let put_away = {
        let (ground, running) = (Arc::clone(ground), Arc::clone(running));
        blocking("put away a container", move || {
            if let Some(pidfd) = &pidfd {
                // Not our child where another supervisor started it; then init reaps it.
                let _ = mesh_linux::process::wait_pidfd(pidfd, false);
            }
            Ok(end(&ground, &running))
        })
    };
    let exit = put_away.await.unwrap_or_else(|error| {
        tracing::error!(
            container = id.short(),
            error = fault::chain(&error),
            "could not put away a container"
        );
        Exit { code: KILLED_CODE, out_of_memory: false, at_unix_ms: now_unix_ms() }
    });
    if running.record.attachment.is_some()
        && let Err(error) = ground.network.detach(id).await
    {
        tracing::warn!(container = id.short(), error = fault::chain(&error), "could not leave the networks");
    }
    ground.phases.ended(id);
    // Closed only when nobody listens any more.
    let _ = ground.events.send(RuntimeEvent::Exited { id: id.clone(), exit }).await;
}

fn end(ground: &Ground, running: &Running) -> Exit {
    shim::kill(&running.record);
    let out_of_memory = running.group.oom_kills() > 0;
    let exit = exit_of(&ground.settings.container(&running.spec.id), out_of_memory);
    ground.groups.remove(&running.group);
    exit
}

/// The end as the shim wrote it, or the one of a shim that was killed, which is then written.
pub(crate) fn exit_of(directory: &Path, out_of_memory: bool) -> Exit {
    let record = match record::read_exit(directory) {
        Kept::Whole(record) => record,
        Kept::Absent | Kept::Torn(_) => {
            let record = ExitRecord { code: KILLED_CODE, out_of_memory, at_unix_ms: now_unix_ms() };
            if let Err(error) = record::write_exit(directory, &record) {
                tracing::warn!(error = fault::chain(&error), "could not record the end of a container");
            }
            record
        }
    };
    Exit {
        code: record.code,
        out_of_memory: record.out_of_memory || out_of_memory,
        at_unix_ms: record.at_unix_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shim_that_wrote_nothing_was_killed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let exit = exit_of(directory.path(), true);
        assert_eq!((exit.code, exit.out_of_memory), (KILLED_CODE, true));
        assert_eq!(exit_of(directory.path(), false), exit, "the same end is found again");
    }
}
