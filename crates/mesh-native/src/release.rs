//! Removing what is left of a project besides containers, networks and volumes.

use crate::{
    ground::{Ground, blocking},
    settings::system,
    shim,
};
use mesh_runtime::error::RuntimeError;
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
        // Its record stays as long as it may live: the next supervisor finds it by that.
        shim::end(&ground.entered.holder)?;
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
