//! A ground of the imagination for tests: services behave as scripted, and everything asked is written
//! down with its time.

mod script;
pub(crate) mod vault;

pub(crate) use script::Script;

use crate::init::HOOK_LABEL;
pub(crate) use crate::sample::{checked, project, service, waiting};
use async_trait::async_trait;
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    health::Probe,
    image::{Image, ImageConfig, Source},
    network::{Network, Protocol, Subnet},
    project::Volume,
    service::{Condition, RestartPolicy},
};
use mesh_runtime::{
    Runtime,
    error::RuntimeError,
    events::{Exit, FetchProgress, RuntimeEvent},
    exchange::Told,
    exec::{CopyRequest, ExecRequest, Executed, Invocation, ProbeOutcome, RunStreams, Verdict},
    observed::{
        Capabilities, NetworkStatus, Observed, ObservedState, PortTrial, ProcessStatus, Started, Usage,
        VolumeStatus,
    },
    question::{Question, Reply},
    request::{HeldImage, ImageRequest},
    trust::Trusted,
};
use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

/// First argument of a program that writes its file and may fail after that.
pub(crate) const FAILS_LATE: &str = "late";

struct FakeContainer {
    spec: ContainerSpec,
    state: ObservedState,
    created_unix_ms: u64,
    started: Instant,
    lives: usize,
    passed: bool,
    completed: bool,
}

#[derive(Default)]
struct State {
    containers: BTreeMap<ContainerId, FakeContainer>,
    networks: BTreeMap<String, NetworkStatus>,
    /// By name; `None`: an anonymous one.
    volumes: BTreeMap<String, Option<Volume>>,
    scripts: BTreeMap<String, Script>,
    log: Vec<(Duration, String)>,
    violations: Vec<String>,
    events: Option<mpsc::Sender<RuntimeEvent>>,
    boot: u32,
    ports: BTreeMap<SocketAddr, PortTrial>,
    held: BTreeMap<String, usize>,
    /// By service and path.
    files: BTreeMap<(String, String), Vec<u8>>,
    /// What programs write, by their names: a path and its content each time they end well.
    letters: BTreeMap<String, VecDeque<(String, Vec<u8>)>>,
    /// How far the wall's clock was put ahead.
    ahead: Duration,
    vault: Option<Arc<vault::FakeVault>>,
}

/// The ground. It outlives supervisors, as a real one does.
pub(crate) struct Fake {
    state: Mutex<State>,
    begun: Instant,
}

impl Fake {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), begun: Instant::now() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    pub(crate) fn script(&self, service: &str, script: Script) {
        self.lock().scripts.insert(service.to_owned(), script);
    }

    /// What comes of trying a port from now on; others are free.
    pub(crate) fn port(&self, address: &str, trial: PortTrial) {
        self.lock().ports.extend(address.parse().map(|address| (address, trial)));
    }

    /// A file of a service's containers; `None`: it is gone.
    pub(crate) fn file(&self, service: &str, path: &str, content: Option<&str>) {
        let key = (service.to_owned(), path.to_owned());
        let mut state = self.lock();
        match content {
            Some(content) => drop(state.files.insert(key, content.into())),
            None => drop(state.files.remove(&key)),
        }
    }

    /// What a service was told in a file, or has in one.
    pub(crate) fn told(&self, service: &str, path: &str) -> Option<Vec<u8>> {
        self.lock().files.get(&(service.to_owned(), path.to_owned())).cloned()
    }

    /// A program writes this when it next ends well, after what it was given before. One of [`FAILS_LATE`] writes it
    /// whatever its end.
    pub(crate) fn writes(&self, program: &str, path: &str, content: &str) {
        let letter = (path.to_owned(), content.as_bytes().to_vec());
        self.lock().letters.entry(program.to_owned()).or_default().push_back(letter);
    }

    /// The clock on the wall: it stood at 1970 when this was made.
    pub(crate) fn unix_ms(&self) -> u64 {
        let age = self.begun.elapsed() + self.lock().ahead;
        u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
    }

    /// Puts the clock on the wall ahead.
    pub(crate) fn put_ahead(&self, by: Duration) {
        self.lock().ahead += by;
    }

    /// What was asked since the last time, without times.
    pub(crate) fn take_log(&self) -> Vec<String> {
        self.lock().log.drain(..).map(|(_, words)| words).collect()
    }

    /// When something was first asked, in milliseconds since the beginning.
    pub(crate) fn when(&self, words: &str) -> u128 {
        let state = self.lock();
        let found = state.log.iter().find(|(_, known)| known == words);
        found.unwrap_or_else(|| panic!("{words} is not in {:?}", state.log)).0.as_millis()
    }

    /// Starts that came before their conditions held.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Images that nobody may remove.
    pub(crate) fn held(&self) -> usize {
        self.lock().held.values().sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.containers.is_empty() && state.networks.is_empty()
    }

    /// The process of a service's container ends by itself.
    pub(crate) fn crash(&self, service: &str, code: i32) {
        let ids: Vec<ContainerId> = {
            let state = self.lock();
            let found = state.containers.values().filter(|found| found.spec.service.name == service);
            found.map(|found| found.spec.id.clone()).collect()
        };
        ids.iter().for_each(|id| self.end(id, code));
    }

    /// Identity of the machine's boot.
    pub(crate) fn boot(&self) -> String {
        format!("boot {}", self.lock().boot)
    }

    /// The machine is restarted: nothing runs any more.
    pub(crate) fn reboot(&self) {
        self.lock().events = None;
        let ids: Vec<ContainerId> = self.lock().containers.keys().cloned().collect();
        ids.iter().for_each(|id| self.end(id, 137));
        self.lock().boot += 1;
    }

    /// From here on no exit is reported.
    pub(crate) fn fall_silent(&self) {
        let (sender, _) = mpsc::channel(1);
        self.lock().events = Some(sender);
    }

    /// Names of the volumes that are there.
    pub(crate) fn volumes(&self) -> Vec<String> {
        self.lock().volumes.keys().cloned().collect()
    }

    fn note(&self, words: String) {
        let at = self.begun.elapsed();
        self.lock().log.push((at, words));
    }

    fn script_of(&self, id: &ContainerId) -> Script {
        let state = self.lock();
        let service = state.containers.get(id).map(|found| match found.spec.labels.get(HOOK_LABEL.0) {
            Some(hook) => format!("{} {hook}[{}]", found.spec.service.name, found.spec.index),
            None => found.spec.service.name.clone(),
        });
        service.and_then(|service| state.scripts.get(&service).cloned()).unwrap_or_default()
    }

    fn end(&self, id: &ContainerId, code: i32) {
        let mut state = self.lock();
        let Some(container) = state.containers.get_mut(id) else { return };
        if !matches!(container.state, ObservedState::Running { .. }) {
            return;
        }
        let service = container.spec.service.name.clone();
        let script = state.scripts.get(&service).cloned().unwrap_or_default();
        let exit = Exit { code, out_of_memory: script.out_of_memory, at_unix_ms: 1 };
        if let Some(container) = state.containers.get_mut(id) {
            container.state = ObservedState::Exited(exit);
            container.completed |= code == 0;
        }
        if let Some(events) = &state.events {
            let _ = events.try_send(RuntimeEvent::Exited { id: id.clone(), exit });
        }
    }

    /// Whether what a container waits for was true once, as the ground knows it.
    fn check_gates(state: &mut State, id: &ContainerId) {
        let Some(container) = state.containers.get(id) else { return };
        if container.spec.service.restart != RestartPolicy::No || container.spec.one_off {
            return;
        }
        let (name, waits) = (container.spec.name.clone(), container.spec.service.depends_on.clone());
        for (other, dependency) in waits {
            let mut others = state.containers.values().filter(|found| found.spec.service.name == other);
            let held = others.any(|found| match dependency.condition {
                Condition::ServiceStarted => found.lives > 0,
                Condition::ServiceHealthy => found.passed,
                Condition::ServiceCompletedSuccessfully => found.completed,
            });
            if !held {
                state.violations.push(format!("{name} started before {other}"));
            }
        }
    }
}

/// The fake as a shared ground; the timers it starts need it whole.
pub(crate) struct FakeRuntime(pub(crate) Arc<Fake>);

impl FakeRuntime {
    fn end_later(&self, id: &ContainerId, after: Duration, code: i32, life: usize) {
        let (fake, id) = (Arc::clone(&self.0), id.clone());
        tokio::spawn(async move {
            sleep(after).await;
            let same = fake.lock().containers.get(&id).is_some_and(|found| found.lives == life);
            if same {
                fake.end(&id, code);
            }
        });
    }
}

/// An image that is held: how many there are of one is counted.
struct Held(Arc<Fake>, String);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(count) = self.0.lock().held.get_mut(&self.1) {
            *count -= 1;
        }
    }
}

fn missing(id: &ContainerId) -> RuntimeError {
    RuntimeError::Missing { kind: "container", name: id.0.clone() }
}

#[async_trait]
impl Runtime for FakeRuntime {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ground: "fake".into(), rootless: false, missing: vec!["no gravity".into()] }
    }

    fn events(&self) -> mpsc::Receiver<RuntimeEvent> {
        let (sender, receiver) = mpsc::channel(1024);
        self.0.lock().events = Some(sender);
        receiver
    }

    async fn image(
        &self,
        request: ImageRequest,
        _progress: mpsc::Sender<FetchProgress>,
    ) -> Result<HeldImage, RuntimeError> {
        if request.reference == "none" {
            let reason = "nobody knows it".to_owned();
            return Err(RuntimeError::NoImage { reference: request.reference, reason, hint: None });
        }
        let embedded = request.reference.strip_prefix("embedded/").map(|service| Source::Embedded {
            service: service.to_owned(),
            version: String::new(),
            binary: "/mesh".to_owned(),
        });
        let image = Image {
            digest: format!("sha256:{}", request.reference),
            reference: request.reference,
            source: embedded.unwrap_or(Source::Oci),
            layers: vec![],
            config: ImageConfig::default(),
        };
        *self.0.lock().held.entry(image.reference.clone()).or_default() += 1;
        Ok(HeldImage::new(image.clone(), Held(Arc::clone(&self.0), image.reference)))
    }

    async fn create_network(&self, network: &Network) -> Result<(), RuntimeError> {
        self.note(format!("network {}", network.name));
        let subnet = network.ipam.first().map(|pool| pool.subnet);
        let subnet = subnet.or_else(|| Subnet::parse("172.18.0.0/16")).expect("a subnet");
        let gateway = subnet.nth(1).expect("an address");
        let status =
            NetworkStatus { name: network.name.clone(), subnet, gateway, internal: network.internal };
        self.0.lock().networks.entry(network.name.clone()).or_insert(status);
        Ok(())
    }

    async fn networks(&self) -> Result<Vec<NetworkStatus>, RuntimeError> {
        Ok(self.0.lock().networks.values().cloned().collect())
    }

    async fn remove_network(&self, name: &str) -> Result<(), RuntimeError> {
        let mut state = self.0.lock();
        let on_it = |found: &FakeContainer| {
            let mut networks = found.spec.resources.networks.values();
            matches!(found.state, ObservedState::Running { .. })
                && networks.any(|network| network.name == name)
        };
        assert!(!state.containers.values().any(on_it), "network {name} is in use");
        if state.networks.remove(name).is_some() {
            state.log.push((self.0.begun.elapsed(), format!("remove network {name}")));
        }
        Ok(())
    }

    async fn create_volume(&self, volume: &Volume) -> Result<(), RuntimeError> {
        let mut state = self.0.lock();
        if volume.external && !state.volumes.contains_key(&volume.name) {
            return Err(RuntimeError::Missing { kind: "volume", name: volume.name.clone() });
        }
        state.volumes.entry(volume.name.clone()).or_insert_with(|| Some(volume.clone()));
        Ok(())
    }

    async fn volumes(&self) -> Result<Vec<VolumeStatus>, RuntimeError> {
        let volume = |(name, volume): (&String, &Option<Volume>)| VolumeStatus {
            name: name.clone(),
            key: volume.as_ref().map(|volume| volume.key.clone()),
            driver: "local".into(),
            driver_opts: volume.as_ref().map(|volume| volume.driver_opts.clone()).unwrap_or_default(),
            mountpoint: String::new(),
            labels: BTreeMap::new(),
        };
        Ok(self.0.lock().volumes.iter().map(volume).collect())
    }

    async fn remove_volume(&self, name: &str) -> Result<(), RuntimeError> {
        self.0.lock().volumes.remove(name);
        Ok(())
    }

    async fn create(&self, spec: &ContainerSpec) -> Result<(), RuntimeError> {
        self.note(format!("create {}", spec.name));
        let mut state = self.0.lock();
        if state.scripts.get(&spec.service.name).is_some_and(|script| script.create_error) {
            return Err(RuntimeError::Setup { step: "overlay".into(), reason: "scripted".into() });
        }
        let held = state.held.get(&spec.image.reference).copied().unwrap_or_default();
        let used = || state.containers.values().any(|found| found.spec.image.digest == spec.image.digest);
        assert!(held > 0 || used(), "the image of {} may be gone", spec.name);
        // One is there while it is being replaced.
        let same = state.containers.values().filter(|found| found.spec.name == spec.name).count();
        assert!(same < 2, "{} is there twice already", spec.name);
        state.volumes.extend(spec.anonymous_volumes.values().map(|name| (name.clone(), None)));
        let container = FakeContainer {
            spec: spec.clone(),
            state: ObservedState::Created,
            created_unix_ms: crate::container::unix_ms(),
            started: Instant::now(),
            lives: 0,
            passed: false,
            completed: false,
        };
        state.containers.insert(spec.id.clone(), container);
        Ok(())
    }

    async fn start(&self, id: &ContainerId, _streams: Option<RunStreams>) -> Result<Started, RuntimeError> {
        let script = self.script_of(id);
        let name = self.0.lock().containers.get(id).map(|found| found.spec.name.clone());
        self.note(format!("start {}", name.ok_or_else(|| missing(id))?));
        Fake::check_gates(&mut self.0.lock(), id);
        sleep(script.start_delay).await;
        if let Some(reason) = script.start_error {
            return Err(RuntimeError::Execute { program: "server".into(), reason });
        }
        let life = {
            let mut state = self.0.lock();
            let container = state.containers.get_mut(id).ok_or_else(|| missing(id))?;
            assert!(!matches!(container.state, ObservedState::Running { .. }), "started twice");
            let since_unix_ms = crate::container::unix_ms();
            container.state = ObservedState::Running { pid: 1, since_unix_ms, paused: false };
            container.started = Instant::now();
            container.lives += 1;
            container.lives
        };
        if let Some((after, code)) = script.exits.get(life - 1) {
            self.end_later(id, *after, *code, life);
        }
        Ok(Started { pid: 1, at_unix_ms: 1, addresses: BTreeMap::new(), ports: vec![] })
    }

    async fn signal(&self, id: &ContainerId, signal: i32) -> Result<(), RuntimeError> {
        let script = self.script_of(id);
        let (name, life) = {
            let state = self.0.lock();
            let container = state.containers.get(id).ok_or_else(|| missing(id))?;
            if !matches!(container.state, ObservedState::Running { .. }) {
                return Err(RuntimeError::NotRunning);
            }
            (container.spec.name.clone(), container.lives)
        };
        self.note(format!("signal {signal} {name}"));
        if signal == 9 {
            self.end(id, 137);
        } else if signal == 15 && !script.deaf {
            self.end_later(id, script.stop_delay, 143, life);
        }
        Ok(())
    }

    async fn pause(&self, _id: &ContainerId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn unpause(&self, _id: &ContainerId) -> Result<(), RuntimeError> {
        Ok(())
    }

    async fn ended(&self, id: &ContainerId) -> Result<Option<Exit>, RuntimeError> {
        Ok(self.0.lock().containers.get(id).and_then(|found| match found.state {
            ObservedState::Exited(exit) => Some(exit),
            _ => None,
        }))
    }

    async fn remove(&self, id: &ContainerId, volumes: bool) -> Result<(), RuntimeError> {
        let removed = {
            let mut state = self.0.lock();
            let running = |found: &FakeContainer| matches!(found.state, ObservedState::Running { .. });
            assert!(!state.containers.get(id).is_some_and(running), "removed while it runs");
            state.containers.remove(id)
        };
        if let Some(removed) = removed {
            self.note(format!("remove {}", removed.spec.name));
            if volumes {
                let gone = removed.spec.anonymous_volumes.values();
                gone.for_each(|name| drop(self.0.lock().volumes.remove(name)));
            }
        }
        Ok(())
    }

    async fn containers(&self) -> Result<Vec<Observed>, RuntimeError> {
        let observed = |found: &FakeContainer| Observed {
            spec: found.spec.clone(),
            state: found.state,
            created_unix_ms: found.created_unix_ms,
            addresses: BTreeMap::new(),
            ports: vec![],
            lost: vec![],
        };
        Ok(self.0.lock().containers.values().map(observed).collect())
    }

    async fn probe(&self, id: &ContainerId, _probe: &Probe) -> ProbeOutcome {
        let script = self.script_of(id);
        let took = Duration::from_millis(5);
        sleep(took).await;
        let mut state = self.0.lock();
        let Some(container) = state.containers.get_mut(id) else {
            return ProbeOutcome { verdict: Verdict::NotRun, output: "gone".into(), took };
        };
        let ready = script.healthy_after.is_some_and(|after| container.started.elapsed() >= after);
        container.passed |= ready;
        let verdict = if ready { Verdict::Passed } else { Verdict::Failed(1) };
        ProbeOutcome { verdict, output: "no answer yet".into(), took }
    }

    async fn exec(&self, _id: &ContainerId, request: &ExecRequest) -> Result<Invocation, RuntimeError> {
        Ok(Invocation { arguments: request.command.clone(), payload: "{}".into(), door: None })
    }

    async fn execute(
        &self,
        id: &ContainerId,
        request: &ExecRequest,
        longest: Duration,
        lines: mpsc::Sender<String>,
    ) -> Result<Executed, RuntimeError> {
        let script = self.script_of(id);
        let name = self.0.lock().containers.get(id).map(|found| found.spec.name.clone());
        let name = name.ok_or_else(|| missing(id))?;
        self.note(format!("hook {} {name}", request.command.join(" ")));
        let (took, code) = script.hooks.get(&request.command[0]).copied().unwrap_or_default();
        let _ = lines.send("done".to_owned()).await;
        sleep(took.min(longest)).await;
        let running = self.0.lock().containers.get(id).map(|found| found.state);
        if !matches!(running, Some(ObservedState::Running { .. })) {
            return Err(RuntimeError::NotRunning);
        }
        let code = (took <= longest).then_some(code);
        if code == Some(0) || request.command.get(1).is_some_and(|word| word == FAILS_LATE) {
            let mut state = self.0.lock();
            let service = state.containers.get(id).map(|found| found.spec.service.name.clone());
            let letter = state.letters.get_mut(&request.command[0]).and_then(VecDeque::pop_front);
            if let (Some(service), Some((path, content))) = (service, letter) {
                state.files.insert((service, path), content);
            }
        }
        Ok(Executed { code, stdout: "done\n".into(), stderr: String::new() })
    }

    async fn copy(&self, _id: &ContainerId, _request: &CopyRequest) -> Result<Invocation, RuntimeError> {
        Ok(Invocation { arguments: vec![], payload: "{}".into(), door: None })
    }

    async fn read_file(&self, id: &ContainerId, path: &str, _: usize) -> Result<Vec<u8>, RuntimeError> {
        let state = self.0.lock();
        let container = state.containers.get(id).ok_or_else(|| missing(id))?;
        let path = path.trim_start_matches("/run/mesh/told/").to_owned();
        let found = state.files.get(&(container.spec.service.name.clone(), path.clone()));
        found.cloned().ok_or_else(|| RuntimeError::System {
            attempted: format!("could not read {path} in the container"),
            source: std::io::ErrorKind::NotFound.into(),
        })
    }

    async fn ask(&self, _: &ContainerId, question: &Question, _: Duration) -> Result<Reply, RuntimeError> {
        let vault = self.0.lock().vault.clone();
        vault.map(|vault| vault.answer(question)).ok_or(RuntimeError::NotRunning)
    }

    async fn tell(&self, id: &ContainerId, file: &Told) -> Result<(), RuntimeError> {
        let mut state = self.0.lock();
        let service = state.containers.get(id).ok_or_else(|| missing(id))?.spec.service.name.clone();
        state.files.insert((service, file.name.to_owned()), file.content.expose().clone());
        Ok(())
    }

    async fn trust(&self, authorities: Vec<Trusted>) -> Result<(), RuntimeError> {
        let all: String = authorities.into_iter().map(|one| one.pem).collect();
        self.0.lock().files.insert(("everybody".to_owned(), "trusts".to_owned()), all.into_bytes());
        Ok(())
    }

    async fn try_port(&self, address: SocketAddr, _protocol: Protocol) -> PortTrial {
        let free = if address.port() == 0 { 40_000 } else { address.port() };
        self.0.lock().ports.get(&address).copied().unwrap_or(PortTrial::Free(free))
    }

    async fn usage(&self, _id: &ContainerId) -> Result<Usage, RuntimeError> {
        Ok(Usage::default())
    }

    async fn processes(&self, _id: &ContainerId) -> Result<Vec<ProcessStatus>, RuntimeError> {
        Ok(vec![])
    }

    async fn release(&self) -> Result<(), RuntimeError> {
        self.note("release".into());
        Ok(())
    }
}

impl FakeRuntime {
    fn note(&self, words: String) {
        self.0.note(words);
    }

    fn script_of(&self, id: &ContainerId) -> Script {
        self.0.script_of(id)
    }

    fn end(&self, id: &ContainerId, code: i32) {
        self.0.end(id, code);
    }
}
