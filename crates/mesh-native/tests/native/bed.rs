//! A project for one test: its directory, its runtime, and what a test asks of them.

use crate::root_file_system;
use mesh_model::{
    container::{ContainerId, ContainerSpec, Resources},
    health::{HealthTest, Healthcheck, Probe},
    image::{Image, ImageConfig, Source},
    limits::Limits,
    network::{Attachment, Network, PortMapping, Protocol, Published},
    service::{
        Logging, NetworkMode, NetworkSettings, ProcessSettings, PullPolicy, RestartPolicy,
        STOP_GRACE_PERIOD_DEFAULT, Security, Service,
    },
};
use mesh_native::{NativeRuntime, NativeSettings};
use mesh_runtime::{
    Runtime as _,
    error::RuntimeError,
    events::{Exit, RuntimeEvent},
    exec::{ProbeOutcome, Verdict},
    observed::Started,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    future::Future,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// Longest wait for anything that a test waits for.
pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
/// Time between two looks at it.
const LOOK: Duration = Duration::from_millis(5);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// One project.
pub(crate) struct Bed {
    pub(crate) settings: NativeSettings,
    pub(crate) runtime: Arc<NativeRuntime>,
    pub(crate) events: mpsc::Receiver<RuntimeEvent>,
    made: BTreeSet<ContainerId>,
}

/// Runs one test with a project of its own, and checks that it left nothing behind.
pub(crate) fn with_bed<F: Future<Output = Bed>>(test: impl FnOnce(Bed) -> F) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let settings = settings_in(directory.path());
    let entered = mesh_native::enter(&settings).expect("enters");
    let passed = panic::catch_unwind(AssertUnwindSafe(|| {
        reactor().block_on(async {
            let bed = test(Bed::new(settings.clone(), entered).await).await;
            bed.end().await;
        });
    }));
    if let Err(reason) = passed {
        put_away(&settings);
        panic::resume_unwind(reason);
    }
    assert!(!settings.state.join("holder.json").exists(), "the holder's record is gone");
    let left = control_groups(&settings.project);
    assert!(left.is_empty(), "control groups are left: {left:?}");
}

/// A project in a directory.
pub(crate) fn settings_in(directory: &Path) -> NativeSettings {
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    NativeSettings {
        registry: mesh_oci::settings::Settings::default(),
        project: format!("test-{}-{number}", std::process::id()),
        data: directory.join("data"),
        state: directory.join("state/projects/test"),
        binary: std::env::current_exe().expect("this binary"),
    }
}

pub(crate) fn reactor() -> tokio::runtime::Runtime {
    let reactor = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    reactor.expect("reactor")
}

/// Ends and removes whatever a test that failed left, as the next supervisor would.
fn put_away(settings: &NativeSettings) {
    let Ok(entered) = mesh_native::enter(settings) else { return };
    reactor().block_on(async {
        let mut bed = Bed::new(settings.clone(), entered).await;
        let left = bed.runtime.containers().await.unwrap_or_default();
        bed.made = left.into_iter().map(|observed| observed.spec.id).collect();
        bed.end().await;
    });
}

/// Directories of control groups of a project.
fn control_groups(project: &str) -> Vec<PathBuf> {
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    hierarchies
        .chain([PathBuf::from("/sys/fs/cgroup")])
        .map(|path| path.join("mesh").join(project))
        .filter(|path| path.exists())
        .collect()
}

impl Bed {
    async fn new(settings: NativeSettings, entered: mesh_native::Entered) -> Self {
        let runtime = mesh_native::open(settings.clone(), entered).await.expect("opens");
        let events = runtime.events();
        Self { settings, runtime, events, made: BTreeSet::new() }
    }

    /// Drops the runtime as a supervisor that ends does, and opens the next one. Entering again does
    /// nothing as root but find the holder.
    pub(crate) async fn reopened(self) -> Self {
        let Self { settings, runtime, events, made } = self;
        runtime.close().await;
        drop((runtime, events));
        let entered = mesh_native::enter(&settings).expect("enters again");
        Self { made, ..Self::new(settings, entered).await }
    }

    async fn end(mut self) {
        for id in self.made.clone() {
            if self.runtime.signal(&id, 9).await.is_ok() {
                self.exit(&id).await;
            }
            self.runtime.remove(&id, true).await.expect("removes");
        }
        assert!(self.runtime.containers().await.expect("lists").is_empty());
        for network in self.runtime.networks().await.expect("lists") {
            self.runtime.remove_network(&network.name).await.expect("removes");
        }
        self.runtime.release().await.expect("releases");
    }

    /// A service's container with a command line for the shell, on no network.
    pub(crate) fn spec(&self, service: &str, line: &str) -> ContainerSpec {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        ContainerSpec {
            anonymous_volumes: BTreeMap::new(),
            id: ContainerId(format!("{:08x}{:08x}", number, std::process::id()).repeat(4)),
            name: format!("{}-{service}-1", self.settings.project),
            project: self.settings.project.clone(),
            service: self.service(service),
            index: 1,
            one_off: false,
            image: image(line),
            config_hash: String::new(),
            resources: Resources::default(),
            labels: BTreeMap::new(),
        }
    }

    fn service(&self, name: &str) -> Service {
        Service {
            name: name.to_owned(),
            image: None,
            build: false,
            pull_policy: PullPolicy::Never,
            platform: None,
            container_name: None,
            scale: 1,
            process: ProcessSettings::default(),
            environment: BTreeMap::new(),
            environment_unset: Default::default(),
            labels: BTreeMap::new(),
            depends_on: BTreeMap::new(),
            healthcheck: Healthcheck::Disabled,
            restart: RestartPolicy::No,
            stop_signal: None,
            stop_grace_period: STOP_GRACE_PERIOD_DEFAULT,
            network: NetworkSettings {
                mode: NetworkMode::None,
                hostname: None,
                domainname: None,
                ports: Vec::new(),
                expose: Vec::new(),
                extra_hosts: Vec::new(),
                dns: Vec::new(),
                dns_search: Vec::new(),
                dns_opt: Vec::new(),
            },
            mounts: Vec::new(),
            secrets: Vec::new(),
            configs: Vec::new(),
            security: Security { no_new_privileges: true, ..Security::default() },
            limits: Limits::default(),
            ulimits: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            devices: Vec::new(),
            logging: Logging::default(),
            substitute: None,
            when_no_source: Default::default(),
            dump: None,
            hooks: Default::default(),
            watch: Vec::new(),
            provider: None,
            certificates: Vec::new(),
            repeat: None,
        }
    }

    /// Makes a network, and has `spec` join it.
    pub(crate) async fn join(&self, spec: &mut ContainerSpec, key: &str) {
        let network = Network {
            key: key.to_owned(),
            name: format!("{}_{key}", self.settings.project),
            internal: false,
            external: false,
            ipam: Vec::new(),
            driver: "bridge".to_owned(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        };
        self.runtime.create_network(&network).await.expect("makes a network");
        spec.resources.networks.insert(key.to_owned(), network);
        match &mut spec.service.network.mode {
            NetworkMode::Networks(joined) => {
                joined.insert(key.to_owned(), Attachment::default());
            }
            mode => *mode = NetworkMode::Networks([(key.to_owned(), Attachment::default())].into()),
        }
    }

    /// Makes a container.
    pub(crate) async fn make(&mut self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        self.made.insert(spec.id.clone());
        self.runtime.create(spec).await
    }

    /// Makes and starts a container.
    pub(crate) async fn start(&mut self, spec: &ContainerSpec) -> Result<Started, RuntimeError> {
        self.make(spec).await?;
        self.runtime.start(&spec.id, None).await
    }

    /// Waits until a container ended.
    pub(crate) async fn exit(&mut self, id: &ContainerId) -> Exit {
        let waiting = async {
            loop {
                match self.events.recv().await {
                    Some(RuntimeEvent::Exited { id: ended, exit }) if ended == *id => return exit,
                    Some(_) => {}
                    None => panic!("the stream of events ended"),
                }
            }
        };
        tokio::time::timeout(DEADLINE, waiting).await.expect("it ends")
    }

    /// Runs a line of shell in a container once.
    pub(crate) async fn ask(&self, spec: &ContainerSpec, line: &str) -> ProbeOutcome {
        let probe = Probe {
            test: HealthTest::Shell(line.to_owned()),
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(5),
            retries: 1,
            start_period: Duration::ZERO,
            start_interval: None,
        };
        self.runtime.probe(&spec.id, &probe).await
    }

    /// Runs a line of shell in a container until it succeeds; its output.
    pub(crate) async fn until(&self, spec: &ContainerSpec, line: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let outcome = self.ask(spec, line).await;
            if outcome.verdict == Verdict::Passed {
                return outcome.output;
            }
            assert!(Instant::now() < deadline, "{line}: {outcome:?}");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// What a container wrote to its journal so far.
    pub(crate) fn journal(&self, spec: &ContainerSpec) -> String {
        let directory = mesh_native::journal_directory(&self.settings.state, spec);
        let mut files: Vec<PathBuf> =
            fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        files.sort();
        files.iter().map(|path| fs::read_to_string(path).unwrap_or_default()).collect()
    }

    /// Directory of a container.
    pub(crate) fn directory(&self, spec: &ContainerSpec) -> PathBuf {
        self.settings.state.join("containers").join(&spec.id.0)
    }
}

/// A published port of any number.
pub(crate) fn port(target: u16) -> PortMapping {
    let host_ip = Some("127.0.0.1".parse().expect("valid"));
    PortMapping { host_ip, published: Published::Any, target, protocol: Protocol::Tcp }
}

fn image(line: &str) -> Image {
    let root: &Path = &root_file_system::directory().expect("looked at before");
    Image {
        reference: "busybox:test".to_owned(),
        digest: "sha256:0".to_owned(),
        source: Source::Oci,
        layers: vec![root.to_owned()],
        config: ImageConfig {
            command: ["/bin/sh", "-c", line].map(str::to_owned).to_vec(),
            environment: [("PATH".to_owned(), "/bin".to_owned())].into(),
            ..ImageConfig::default()
        },
    }
}
