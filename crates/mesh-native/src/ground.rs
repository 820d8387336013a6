//! What the operations of one project share. No operation stands here.

use crate::{
    enter::Entered, groups::Groups, phase::Phases, registries::Registries, settings::NativeSettings,
    volume::Volumes,
};
use mesh_image::ImageStore;
use mesh_network::ProjectNetwork;
use mesh_runtime::{error::RuntimeError, events::RuntimeEvent, trust::Trusted};
use std::sync::{Arc, Mutex};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The ground of one project.
pub(crate) struct Ground {
    pub(crate) settings: NativeSettings,
    pub(crate) entered: Entered,
    /// Host name of the machine.
    pub(crate) machine: String,
    pub(crate) network: ProjectNetwork,
    pub(crate) images: ImageStore,
    pub(crate) registries: Registries,
    pub(crate) volumes: Volumes,
    pub(crate) groups: Groups,
    /// Whom containers trust that start from now on.
    pub(crate) trusted: Mutex<Arc<Vec<Trusted>>>,
    pub(crate) phases: Arc<Phases>,
    pub(crate) events: mpsc::Sender<RuntimeEvent>,
    /// One start at a time fills an empty volume from an image.
    pub(crate) populating: Arc<Semaphore>,
    /// Held while a container is told something, and while its record is removed.
    pub(crate) telling: Mutex<()>,
    pub(crate) tasks: TaskTracker,
    /// Cancelled when the runtime is dropped: watching ends, containers go on.
    pub(crate) stop: CancellationToken,
}

/// Runs blocking work off the reactor. A panic in it is a fault of that one operation.
pub(crate) async fn blocking<T: Send + 'static>(
    attempted: &'static str,
    work: impl FnOnce() -> Result<T, RuntimeError> + Send + 'static,
) -> Result<T, RuntimeError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(RuntimeError::System { attempted: format!("could not {attempted}"), source: error.into() })
    })
}
