//! What a ground offers: the [`Runtime`] trait and the values that cross it.
//!
//! A ground (today: this machine without an engine) makes what the supervisor decides and reports
//! what it sees. It decides nothing: no restarts, no order, no health. Every call is idempotent:
//! making what is there, or removing what is gone, succeeds.

pub mod error;
pub mod events;
pub mod exchange;
pub mod exec;
pub mod observed;
pub mod question;
pub mod request;
pub mod trust;

use async_trait::async_trait;
use error::RuntimeError;
use events::{Exit, FetchProgress, RuntimeEvent};
use exec::{ExecRequest, Executed, Invocation, ProbeOutcome, RunStreams};
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    health::Probe,
    network::{Network, Protocol},
    project::Volume,
};
use observed::{Capabilities, NetworkStatus, Observed, PortTrial, Started, Usage, VolumeStatus};
use request::{HeldImage, ImageRequest};
use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// A place where containers run.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// What this ground can and cannot do here, for telling once at `up`.
    fn capabilities(&self) -> Capabilities;

    /// Exits and other things the ground notices. The first call gives the stream of this process's
    /// life, with everything in it that came after [`Runtime::containers`] was asked; a later one gives
    /// a stream that is closed.
    fn events(&self) -> mpsc::Receiver<RuntimeEvent>;

    /// Turns a reference into an image, fetching what is missing. Progress goes to `progress`, which
    /// may be full or closed without harm.
    async fn image(
        &self,
        request: ImageRequest,
        progress: mpsc::Sender<FetchProgress>,
    ) -> Result<HeldImage, RuntimeError>;

    /// Makes a network of the project if it is not there.
    async fn create_network(&self, network: &Network) -> Result<(), RuntimeError>;

    /// The networks that are there.
    async fn networks(&self) -> Result<Vec<NetworkStatus>, RuntimeError>;

    /// Removes a network by name.
    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError>;

    /// Makes a volume if it is not there; an external one must be there.
    async fn create_volume(&self, volume: &Volume) -> Result<(), RuntimeError>;

    /// Volumes of this project, the anonymous ones among them.
    async fn volumes(&self) -> Result<Vec<VolumeStatus>, RuntimeError>;

    /// Removes a volume and everything in it, by name.
    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError>;

    /// Makes a container without starting it: its root, its mounts' sources, its record. One of its
    /// anonymous volumes that is there already, from the container it replaces, is taken over.
    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError>;

    /// Starts a container that was made: joins its networks, publishes its ports, runs its process.
    /// Returns once the process was executed, or fails with the reason that it could not be.
    /// `streams`: `None` for a service (output goes to the journal).
    async fn start(&self, id: &ContainerId, streams: Option<RunStreams>) -> Result<Started, RuntimeError>;

    /// Sends a signal, by number, to the container's first process (9: to all of them). A container that is not running is
    /// an error of kind [`RuntimeError::NotRunning`].
    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError>;

    /// Freezes every process of a container.
    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Thaws them.
    async fn unpause(&self, id: &ContainerId) -> Result<(), RuntimeError>;

    /// Removes a container that does not run, with its root; with `volumes` its anonymous volumes too.
    async fn remove(&self, id: &ContainerId, volumes: bool) -> Result<(), RuntimeError>;

    /// How a container ended whose process is gone; `None` while it runs or is at work. It only looks:
    /// the supervisor asks from time to time, in case it was not told.
    async fn ended(&self, id: &ContainerId) -> Result<Option<Exit>, RuntimeError>;

    /// Containers of this project as they are now, whoever made them. This is how a new supervisor
    /// adopts what runs; ports and names of running ones are served again from here on.
    async fn containers(&self) -> Result<Vec<Observed>, RuntimeError>;

    /// Runs a health test once. Passes, fails or times out; never an error.
    async fn probe(&self, id: &ContainerId, probe: &Probe) -> ProbeOutcome;

    /// How the caller itself can run a program in a container, with its own terminal.
    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Invocation, RuntimeError>;

    /// Runs a program in a running container to its end, at most so long; after that it is killed. What it prints
    /// goes to `lines` as it comes, as far as there is room.
    async fn execute(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
        longest: Duration,
        lines: mpsc::Sender<String>,
    ) -> Result<Executed, RuntimeError>;

    /// How the caller itself can be at the streams of a container, with its own terminal.
    async fn attach(&self, id: &ContainerId) -> Result<Invocation, RuntimeError> {
        let what = format!("attaching to {}", id.short());
        Err(RuntimeError::Unsupported { what, reason: "its streams cannot be reached".to_owned() })
    }

    /// How the caller itself can copy files into or out of a container.
    async fn copy(&self, id: &ContainerId, request: &exec::CopyRequest) -> Result<Invocation, RuntimeError>;

    /// The content of a file of a running container, of which at most so many bytes are read. Links are followed, inside
    /// of the container.
    ///
    /// # Errors
    /// Why it cannot be read, in words.
    async fn read_file(
        &self,
        id: &ContainerId,
        path: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, RuntimeError> {
        let _ = (id, bytes_max);
        Err(RuntimeError::Unsupported {
            what: format!("reading {path} in a container"),
            reason: "its files cannot be reached".to_owned(),
        })
    }

    /// Asks a server in a running container, for at most so long.
    ///
    /// # Errors
    /// Why there is no answer, in words; an answer of any status is none.
    async fn ask(
        &self,
        id: &ContainerId,
        question: &question::Question,
        longest: Duration,
    ) -> Result<question::Reply, RuntimeError> {
        let _ = longest;
        Err(RuntimeError::Unsupported {
            what: format!("asking {} for {}", id.short(), question.path),
            reason: "its ports cannot be reached".to_owned(),
        })
    }

    /// Containers trust these authorities beside those of their images: those that start from now on, and those that
    /// run and trust some already, as far as that goes while they run. Whoever says `x-mesh: {trust: false}` does not.
    ///
    /// # Errors
    /// A file cannot be written.
    async fn trust(&self, authorities: Vec<trust::Trusted>) -> Result<(), RuntimeError> {
        let _ = authorities;
        Ok(())
    }

    /// Gives the embedded service of a container that was made a file, which it sees in
    /// [`exchange::TOLD`]. The file is replaced in one step.
    ///
    /// # Errors
    /// It has no such container, or the file cannot be written.
    async fn tell(&self, id: &ContainerId, file: &exchange::Told) -> Result<(), RuntimeError> {
        let what = format!("telling {} {}", id.short(), file.name);
        Err(RuntimeError::Unsupported { what, reason: "nothing is embedded here".to_owned() })
    }

    /// What the embedded service of a container has written to a file of [`exchange::SAID`], of which it may have so
    /// many bytes; `None` where there is none. The container's program may be anybody's by now: what it says is to be
    /// doubted.
    ///
    /// # Errors
    /// The file is larger, is no file, or cannot be read.
    async fn heard(
        &self,
        id: &ContainerId,
        file: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, RuntimeError> {
        let _ = (id, file, bytes_max);
        Ok(None)
    }

    /// Containers find this one by these names too, on the networks they share, where nobody has such a name of his
    /// own. They take the place of those lent before, and go with the container's end.
    fn lend_names(&self, id: &ContainerId, names: BTreeSet<String>) {
        let _ = (id, names);
    }

    /// Whether a port of the machine could be published on now.
    async fn try_port(&self, address: SocketAddr, protocol: Protocol) -> PortTrial {
        let _ = protocol;
        PortTrial::Free(address.port())
    }

    /// Tries once, now, to publish again what a container lost of its ports. What comes of it is reported as an
    /// event too.
    ///
    /// # Errors
    /// Why the first of those that it could not have is not published.
    async fn publish_lost(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let _ = id;
        Ok(())
    }

    /// What a container uses now.
    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError>;

    /// Processes of a container.
    async fn processes(&self, id: &ContainerId) -> Result<Vec<observed::ProcessStatus>, RuntimeError>;

    /// Removes what is left of the project on this ground besides containers, networks and volumes
    /// (namespaces, holders, control groups). After it the project is as if it had never run.
    async fn release(&self) -> Result<(), RuntimeError>;
}

/// A ground, shared.
pub type SharedRuntime = Arc<dyn Runtime>;
