//! Reconciles one project over a [`mesh_runtime::Runtime`] and serves the control API.
//!
//! One task owns the phase of every container (`owner`); requests arrive at the desk (`desk`),
//! which plans with `mesh-plan`, has the ground make things, and tells the owner what shall run. What
//! runs is never tied to this process: ending it, or killing it, leaves every container as it is, and
//! the next supervisor adopts them.
//!
//! Invariants: only the owner changes a phase and only `mesh_lifecycle::phase::step` decides it; no
//! dependent starts before its conditions held; commands that change the project take turns; a command
//! whose client hangs up leaves what runs and stops waiting. What deliberately is not here: anything
//! of a particular ground.

mod authority;
mod bulletin;
mod certificates;
mod checkout;
mod container;
mod control;
mod desk;
mod down;
mod ending;
mod events;
mod failure;
mod follow;
mod gate;
mod gateway;
mod hooks;
mod images;
mod init;
mod one_off;
mod outlet;
mod owner;
mod ports;
mod programs;
mod query;
mod random;
mod rehearsal;
mod repeat;
mod resources;
mod said;
mod transition;
mod turn;
mod up;
mod words;
mod work;

#[cfg(test)]
mod fake;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;

use crate::{
    authority::Authority,
    certificates::Certificates,
    desk::Desk,
    gateway::Gateways,
    owner::{Owner, Past},
    repeat::Repeats,
    turn::Turns,
};
use mesh_api::server::{self, ServeError};
use mesh_model::project::Project;
use mesh_runtime::{SharedRuntime, error::RuntimeError};
use mesh_store::{
    home::{ProjectPaths, StoreError},
    lock::{Lock, LockError},
    record::{self, Loaded, RecordError},
};
use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Time that letting go of an idle project may take.
const RELEASE_MAX: Duration = Duration::from_secs(20);

/// What a supervisor needs to know.
#[derive(Debug, Clone)]
pub struct SupervisorSettings {
    /// Name of the project.
    pub project: String,
    /// Its files.
    pub paths: ProjectPaths,
    /// Where the user's data is, shared by all projects.
    pub data: PathBuf,
    /// Version of the binary.
    pub version: String,
    /// Time without a container and without a client after which it ends by itself.
    pub idle_exit_after: Duration,
}

/// Why a supervisor did not start, or ended before it should.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// Its directories.
    #[error("the project's directories cannot be used")]
    Store(#[from] StoreError),
    /// Another supervisor has the project.
    #[error("the project cannot be supervised")]
    Lock(#[from] LockError),
    /// The project's record.
    #[error("the project's record cannot be used")]
    Record(#[from] RecordError),
    /// The control socket.
    #[error("the control socket failed")]
    Serve(#[from] ServeError),
    /// What runs could not be found out.
    #[error("the containers that run could not be adopted")]
    Adopt(#[source] RuntimeError),
    /// Signals cannot be caught.
    #[error("signals cannot be caught")]
    Signal(#[source] io::Error),
}

/// Supervises one project until it is idle, is told to end, or gets SIGTERM or SIGINT. Containers are
/// left as they are. `ready` is called once the socket answers and what runs is adopted.
///
/// # Errors
/// When another supervisor has the project, or its files, its socket or its ground fail.
pub async fn run(
    settings: SupervisorSettings,
    runtime: SharedRuntime,
    ready: impl FnOnce() + Send,
) -> Result<(), SupervisorError> {
    let paths = &settings.paths;
    paths.create()?;
    let _lock = Lock::acquire(&paths.lock)?;
    let record = match record::load(&paths.record)? {
        Loaded::Found(record) => Some(*record),
        Loaded::Absent => None,
        Loaded::Corrupt { moved_to, reason } => {
            tracing::warn!(moved_to = %moved_to.display(), reason, "the project's record was not understood");
            None
        }
    };
    let listener = server::listen(&paths.socket).await?;
    let mut terminate = signal(SignalKind::terminate()).map_err(SupervisorError::Signal)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(SupervisorError::Signal)?;
    let observed = runtime.containers().await.map_err(SupervisorError::Adopt)?;
    let project = record.as_ref().map(|record| Arc::new(record.project.clone()));
    if let Some(project) = &project {
        know_networks(&runtime, project, !observed.is_empty()).await;
    }
    let boot = record::boot();
    let past = Past::of(record.as_ref(), &boot);
    let (owner, link) = Owner::adopt(Arc::clone(&runtime), project, observed, &past);
    let stop = CancellationToken::new();
    let certificates = Arc::new(Certificates::new(
        settings.project.clone(),
        Arc::clone(&runtime),
        link.clone(),
        Arc::new(container::unix_ms),
    ));
    let repeats = Repeats::new(settings.project.clone(), link.clone(), Arc::new(container::unix_ms));
    let gateways = Gateways::new(Arc::clone(&runtime), link.clone());
    let authority = Arc::new(Authority::new(
        settings.project.clone(),
        &settings.data,
        Arc::clone(&runtime),
        link.clone(),
        Arc::new(container::unix_ms),
    ));
    let desk = Arc::new(Desk {
        authority: Arc::clone(&authority),
        name: settings.project.clone(),
        version: settings.version.clone(),
        journal: paths.journal.clone(),
        runtime,
        owner: link,
        certificates: Arc::clone(&certificates),
        turns: Turns::new(paths.record.clone(), record, boot),
        clients: watch::Sender::new(0),
        stop: stop.clone(),
        limits_told: AtomicBool::new(false),
        removing: Mutex::default(),
    });
    let owning = CancellationToken::new();
    let serving = async {
        let served = server::serve_on(listener, &paths.socket, Arc::clone(&desk) as _, stop.clone()).await;
        owning.cancel();
        served
    };
    let idled = AtomicBool::new(false);
    let ending = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            () = idle(&desk, settings.idle_exit_after) => idled.store(true, Ordering::Relaxed),
            () = stop.cancelled() => {}
        }
        stop.cancel();
    };
    ready();
    let (served, (), (), (), (), (), ()) = tokio::join!(
        serving,
        ending,
        owner.run(owning.clone()),
        certificates.run(&stop),
        repeats.run(&stop),
        gateways.run(&stop),
        authority.run(&stop)
    );
    // Nothing is held for a project that has no container: the next supervisor makes it anew.
    if idled.into_inner() {
        match timeout(RELEASE_MAX, desk.runtime.release()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the project was not released"),
            Err(_elapsed) => tracing::warn!("releasing the project took too long"),
        }
    }
    Ok(served?)
}

/// Tells the ground what the file says of networks that are there: a range of addresses cannot be seen
/// on them. Where the project has containers, networks that are gone (the machine was restarted, the
/// holder killed) are made again, so that policies can bring the containers back.
async fn know_networks(runtime: &SharedRuntime, project: &Project, has_containers: bool) {
    let there = runtime.networks().await.unwrap_or_default();
    for network in project.networks.values() {
        let is_there = there.iter().any(|status| status.name == network.name);
        if (is_there || (has_containers && !network.external))
            && let Err(error) = runtime.create_network(network).await
        {
            // It has other addresses than the file: the next `up` makes it anew.
            tracing::debug!(network = network.name, error = words::chain(&error), "a network differs");
        }
    }
}

/// Resolves after so long a time without a container and without a client.
async fn idle(desk: &Desk, after: Duration) {
    let mut views = desk.owner.view.clone();
    let mut clients = desk.clients.subscribe();
    loop {
        let is_idle = views.borrow_and_update().containers.is_empty() && *clients.borrow_and_update() == 0;
        tokio::select! { biased;
            Ok(()) = views.changed() => {}
            Ok(()) = clients.changed() => {}
            () = sleep(after), if is_idle => return,
            else => return,
        }
    }
}
