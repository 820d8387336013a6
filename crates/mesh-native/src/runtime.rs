//! The runtime of one project: each call of the trait, handed to the module that does it.

use crate::{
    adopt, conversion,
    enter::Entered,
    exchange, execute, fault, files,
    ground::{Ground, blocking},
    groups::Groups,
    image, lifecycle, lost_ports, outside,
    phase::{Phases, Running},
    probe, record,
    registries::Registries,
    release,
    settings::NativeSettings,
    start, statistics, trust,
    volume::Volumes,
};
use async_trait::async_trait;
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    health::Probe,
    network::{Network, Protocol},
    project::Volume,
    service::NetworkMode,
};
use mesh_network::ProjectNetwork;
use mesh_runtime::{
    Runtime,
    error::RuntimeError,
    events::{Exit, FetchProgress, RuntimeEvent},
    exchange::Told,
    exec::{CopyRequest, ExecRequest, Executed, Invocation, ProbeOutcome, RunStreams},
    observed::{
        Capabilities, NetworkStatus, Observed, PortTrial, ProcessStatus, Started, Usage, VolumeStatus,
    },
    question::{Question, Reply},
    request::{HeldImage, ImageRequest},
    trust::Trusted,
};
use mesh_sandbox::specification::AttachSpecification;
use serde::Serialize;
use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Events that wait for the supervisor; beyond it, watching waits.
const EVENTS_MAX: usize = 1024;

/// The native runtime of one project. Dropped, it stops watching; its containers go on.
pub struct NativeRuntime {
    ground: Arc<Ground>,
    events: Mutex<Option<mpsc::Receiver<RuntimeEvent>>>,
    capabilities: Capabilities,
}

/// Opens the runtime of a project whose namespaces this process entered.
///
/// # Errors
/// Where the project's network or the store of images cannot be opened.
pub async fn open(settings: NativeSettings, entered: Entered) -> Result<Arc<NativeRuntime>, RuntimeError> {
    let (groups, machine, images) = {
        let settings = settings.clone();
        blocking("open the ground", move || {
            record::make_private_directory(&settings.containers())?;
            Ok((
                Groups::detect(&settings.project, &settings.state),
                machine(),
                image::open(settings.images(), settings.registry.clone())?,
            ))
        })
        .await?
    };
    let network_settings = mesh_network::Settings {
        project: settings.project.clone(),
        namespace: start::network_namespace(entered.holder.pid)?,
        outbound: true,
    };
    let projects = settings.projects();
    let network = ProjectNetwork::open(network_settings)
        .await
        .map_err(|error| fault::network("open the project's network", error, &projects))?;
    let entered = {
        let settings = settings.clone();
        blocking("keep the holder", move || entered.keep(&settings)).await?
    };
    let capabilities = Capabilities {
        ground: "native".to_owned(),
        rootless: entered.rootless,
        missing: missing(&groups, &network, &entered),
    };
    let (sender, receiver) = mpsc::channel(EVENTS_MAX);
    let ground = Ground {
        volumes: Volumes::new(settings.volumes(), settings.project.clone()),
        settings,
        entered,
        machine,
        network,
        images,
        registries: Registries::default(),
        groups,
        trusted: Mutex::default(),
        phases: Arc::new(Phases::default()),
        events: sender,
        populating: Arc::new(Semaphore::new(1)),
        telling: Mutex::default(),
        tasks: TaskTracker::new(),
        stop: CancellationToken::new(),
    };
    let events = Mutex::new(Some(receiver));
    Ok(Arc::new(NativeRuntime { ground: Arc::new(ground), events, capabilities }))
}

/// Host name of this machine.
fn machine() -> String {
    nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn missing(groups: &Groups, network: &ProjectNetwork, entered: &Entered) -> Vec<String> {
    use mesh_sandbox::specification::UserNamespace;
    let mut missing = groups.missing(entered.rootless);
    missing.extend(network.missing());
    if entered.user_namespace == UserNamespace::Sole {
        missing.push(
            "there is one user id only: each container runs as the one user of its image; for more, give \
             this user a range (usermod --add-subuids 100000-165535 --add-subgids 100000-165535) and \
             install uidmap"
                .to_owned(),
        );
    }
    missing
}

impl Drop for NativeRuntime {
    fn drop(&mut self) {
        self.ground.stop.cancel();
        self.ground.tasks.close();
    }
}

impl NativeRuntime {
    /// Stops watching, serving names and publishing ports, and waits until that is done. Containers go
    /// on; the next runtime adopts them.
    pub async fn close(&self) {
        self.ground.stop.cancel();
        self.ground.tasks.close();
        self.ground.tasks.wait().await;
        self.ground.network.close().await;
    }

    /// Runs one blocking operation on the shared ground.
    async fn run<T: Send + 'static>(
        &self,
        attempted: &'static str,
        work: impl FnOnce(&Ground) -> Result<T, RuntimeError> + Send + 'static,
    ) -> Result<T, RuntimeError> {
        let ground = Arc::clone(&self.ground);
        blocking(attempted, move || work(&ground)).await
    }

    fn running(&self, id: &ContainerId) -> Result<Arc<Running>, RuntimeError> {
        lifecycle::running(&self.ground, id)
    }

    /// Keeps a container's fixed addresses from those that start before it and take any.
    fn reserve(&self, spec: &ContainerSpec) {
        let NetworkMode::Networks(attachments) = &spec.service.network.mode else { return };
        for (key, attachment) in attachments {
            if let (Some(address), Some(network)) =
                (attachment.ipv4_address, spec.resources.networks.get(key))
                && let Err(error) = self.ground.network.reserve(&network.name, &[address])
            {
                tracing::debug!(network = network.name, error = fault::chain(&error), "not reserved");
            }
        }
    }

    fn network_error(&self, step: &str, error: mesh_network::NetworkError) -> RuntimeError {
        fault::network(step, error, &self.ground.settings.projects())
    }
}

/// A command of Mesh's own binary that reads `payload`.
fn invocation<T: Serialize>(verb: &str, payload: &T) -> Result<Invocation, RuntimeError> {
    let payload = serde_json::to_string(payload).map_err(|error| RuntimeError::System {
        attempted: "could not encode what the shim is told".to_owned(),
        source: error.into(),
    })?;
    Ok(Invocation { arguments: vec!["shim".to_owned(), verb.to_owned()], payload, door: None })
}

#[async_trait]
impl Runtime for NativeRuntime {
    fn capabilities(&self) -> Capabilities {
        self.capabilities.clone()
    }

    fn events(&self) -> mpsc::Receiver<RuntimeEvent> {
        let taken = self.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        taken.unwrap_or_else(|| mpsc::channel(1).1)
    }

    async fn image(
        &self,
        request: ImageRequest,
        progress: mpsc::Sender<FetchProgress>,
    ) -> Result<HeldImage, RuntimeError> {
        image::resolve(&self.ground, request, progress).await
    }

    async fn create_network(&self, network: &Network) -> Result<(), RuntimeError> {
        let made = self.ground.network.create_network(network).await;
        made.map_err(|error| self.network_error(&format!("make network {}", network.name), error))
    }

    async fn networks(&self) -> Result<Vec<NetworkStatus>, RuntimeError> {
        let status = |network: mesh_network::PresentNetwork| NetworkStatus {
            name: network.name,
            subnet: network.subnet,
            gateway: network.gateway.into(),
            internal: network.internal,
        };
        Ok(self.ground.network.present().into_iter().map(status).collect())
    }

    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError> {
        match self.ground.network.remove_network(name).await {
            Ok(()) | Err(mesh_network::NetworkError::NoSuchNetwork { .. }) => Ok(()),
            Err(error) => Err(self.network_error(&format!("remove network {name}"), error)),
        }
    }

    async fn create_volume(&self, volume: &Volume) -> Result<(), RuntimeError> {
        let volume = volume.clone();
        self.run("make a volume", move |ground| ground.volumes.create(&volume)).await
    }

    async fn volumes(&self) -> Result<Vec<VolumeStatus>, RuntimeError> {
        self.run("list the volumes", |ground| ground.volumes.list()).await
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        let name = name.to_owned();
        self.run("remove a volume", move |ground| ground.volumes.remove(&name)).await
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        self.reserve(spec);
        let spec = spec.clone();
        self.run("make a container", move |ground| lifecycle::create(ground, &spec)).await
    }

    async fn start(&self, id: &ContainerId, streams: Option<RunStreams>) -> Result<Started, RuntimeError> {
        start::start(&self.ground, id, streams).await
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let id = id.clone();
        self.run("signal a container", move |ground| lifecycle::signal(ground, &id, signal)).await
    }

    async fn pause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let id = id.clone();
        self.run("freeze a container", move |ground| lifecycle::pause(ground, &id, true)).await
    }

    async fn unpause(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        let id = id.clone();
        self.run("thaw a container", move |ground| lifecycle::pause(ground, &id, false)).await
    }

    async fn remove(&self, id: &ContainerId, volumes: bool) -> Result<(), RuntimeError> {
        let id = id.clone();
        self.run("remove a container", move |ground| lifecycle::remove(ground, &id, volumes)).await
    }

    async fn ended(&self, id: &ContainerId) -> Result<Option<Exit>, RuntimeError> {
        if !self.ground.phases.is_at_rest(id) {
            return Ok(None);
        }
        let id = id.clone();
        self.run("look at a container", move |ground| Ok(adopt::ended(ground, &id))).await
    }

    async fn containers(&self) -> Result<Vec<Observed>, RuntimeError> {
        adopt::containers(&self.ground).await
    }

    async fn probe(&self, id: &ContainerId, probe: &Probe) -> ProbeOutcome {
        probe::probe(&self.ground, id, probe).await
    }

    async fn exec(&self, id: &ContainerId, request: &ExecRequest) -> Result<Invocation, RuntimeError> {
        let running = self.running(id)?;
        let place = probe::place(&self.ground, &running)?;
        let orders = invocation("exec", &conversion::exec(&running.spec, place, request)?)?;
        // The container's shim has no terminal to relay, and stays for what it starts.
        let served = !request.tty && !request.detach;
        Ok(Invocation { door: served.then(|| self.ground.settings.container(id)), ..orders })
    }

    async fn execute(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
        longest: Duration,
        lines: mpsc::Sender<String>,
    ) -> Result<Executed, RuntimeError> {
        execute::execute(&self.ground, id, request, longest, lines).await
    }

    async fn attach(&self, id: &ContainerId) -> Result<Invocation, RuntimeError> {
        let name = self.running(id)?.spec.name.clone();
        let directory = self.ground.settings.container(id);
        invocation("attach", &AttachSpecification { directory, name })
    }

    async fn copy(&self, id: &ContainerId, request: &CopyRequest) -> Result<Invocation, RuntimeError> {
        let (id, request) = (id.clone(), request.clone());
        let orders = self.run("find a container's files", move |ground| files::orders(ground, &id, &request));
        invocation("copy", &orders.await?)
    }

    async fn read_file(
        &self,
        id: &ContainerId,
        path: &str,
        bytes_max: usize,
    ) -> Result<Vec<u8>, RuntimeError> {
        execute::read_file(&self.ground, id, path, bytes_max).await
    }

    async fn ask(
        &self,
        id: &ContainerId,
        question: &Question,
        longest: Duration,
    ) -> Result<Reply, RuntimeError> {
        outside::ask(&self.ground, id, question, longest).await
    }

    async fn trust(&self, authorities: Vec<Trusted>) -> Result<(), RuntimeError> {
        self.run("have containers trust", move |ground| trust::trust(ground, authorities)).await
    }

    async fn tell(&self, id: &ContainerId, file: &Told) -> Result<(), RuntimeError> {
        let (directory, file, id) = (self.ground.settings.container(id), file.clone(), id.clone());
        self.run("tell a service something", move |ground| {
            let _telling = ground.telling.lock().unwrap_or_else(PoisonError::into_inner);
            let running = if file.secret { ground.phases.running(&id).ok() } else { None };
            let owner = running.and_then(|running| exchange::owner_of(running.record.process.pid));
            exchange::tell(&directory, &file, owner)
        })
        .await
    }

    async fn heard(
        &self,
        id: &ContainerId,
        file: &'static str,
        bytes_max: usize,
    ) -> Result<Option<Vec<u8>>, RuntimeError> {
        let directory = self.ground.settings.container(id);
        self.run("hear what a service says", move |_| exchange::heard(&directory, file, bytes_max)).await
    }

    fn lend_names(&self, id: &ContainerId, names: BTreeSet<String>) {
        self.ground.network.lend_names(id, names);
    }

    async fn try_port(&self, address: SocketAddr, protocol: Protocol) -> PortTrial {
        match mesh_network::try_port(address, protocol) {
            Ok(port) => PortTrial::Free(port),
            Err(mesh_network::NetworkError::PortTaken { .. }) => PortTrial::Taken,
            Err(mesh_network::NetworkError::PortForbidden { .. }) => PortTrial::Forbidden,
            Err(_) => PortTrial::NoAddress,
        }
    }

    async fn publish_lost(&self, id: &ContainerId) -> Result<(), RuntimeError> {
        lost_ports::publish_now(&self.ground, id).await
    }

    async fn usage(&self, id: &ContainerId) -> Result<Usage, RuntimeError> {
        let running = self.running(id)?;
        self.run("count what a container uses", move |_| Ok(statistics::usage(&running))).await
    }

    async fn processes(&self, id: &ContainerId) -> Result<Vec<ProcessStatus>, RuntimeError> {
        let running = self.running(id)?;
        self.run("list processes", move |_| Ok(statistics::processes(&lifecycle::members(&running)))).await
    }

    async fn release(&self) -> Result<(), RuntimeError> {
        release::release(&self.ground).await
    }
}
