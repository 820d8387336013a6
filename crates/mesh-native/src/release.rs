//! Removing what is left of a project besides containers, networks and volumes.

use crate::{
    ground::{Ground, blocking},
    record::ProcessKey,
    settings::system,
    shim,
};
use mesh_runtime::error::RuntimeError;
use nix::libc;
use std::{fs, io, sync::Arc};

/// Ends the holder and removes the project's control groups, if nothing runs.
///
/// # Errors
/// [`RuntimeError::Setup`] while a container runs or is at work.
pub(crate) async fn release(ground: &Arc<Ground>) -> Result<(), RuntimeError> {
    if !ground.phases.is_idle() {
        return Err(RuntimeError::Setup {
            step: "release the project".to_owned(),
            reason: "a container of it still runs".to_owned(),
        });
    }
    ground.network.close().await;
    let ground = Arc::clone(ground);
    blocking("release the project", move || {
        end_holder(&ground.entered.holder);
        ground.groups.release();
        let holder = ground.settings.holder();
        match fs::remove_file(&holder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("remove", &holder, error));
            }
            _ => {}
        }
        // Refused where a container that does not run is kept.
        let _ = fs::remove_dir(ground.settings.containers());
        Ok(())
    })
    .await
}

fn end_holder(holder: &ProcessKey) {
    let pidfd = mesh_linux::process::open_pidfd(holder.pid);
    if shim::signal(holder, libc::SIGKILL).is_ok()
        && let Ok(pidfd) = pidfd
    {
        // Reaped where it is our child; where another supervisor started it, init does that.
        let _ = mesh_linux::process::wait_pidfd(&pidfd, true);
    }
}
