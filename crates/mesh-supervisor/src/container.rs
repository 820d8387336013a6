//! What the supervisor knows of one container, and the view of all of them that everybody may read.

use mesh_api::status::{CheckStatus, ContainerStatus, Health as ShownHealth, MountStatus, PortStatus, State};
use mesh_lifecycle::{
    health::Verdict,
    phase::{Exit, Greeting, Phase, Policy, StopOrder},
};
use mesh_model::{
    container::{ContainerId, ContainerSpec, arguments},
    mount::MountSource,
    project::Project,
    service::{Dependency, RestartPolicy},
    signal,
};
use mesh_plan::plan::{Present, PresentState};
use mesh_runtime::{
    exec::{ProbeOutcome, Verdict as ProbeVerdict},
    observed::{BoundPort, LostPort},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::words;

/// Most ports of a container that are told without being published.
const EXPOSED_MAX: usize = 4096;

/// What a container waits for, by service.
pub(crate) type Gates = BTreeMap<String, Dependency>;

/// One container.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    pub(crate) spec: Arc<ContainerSpec>,
    pub(crate) policy: Arc<Policy>,
    pub(crate) phase: Phase,
    pub(crate) gates: Arc<Gates>,
    /// Another container that must have ended with 0 before.
    pub(crate) after: Option<ContainerId>,
    pub(crate) facts: Facts,
    /// Number of its process, so that what is told of an earlier one is known as such.
    pub(crate) life: u64,
    /// A command ended it, whatever its phase was then, and none had it started since.
    pub(crate) dismissed: bool,
}

/// What was seen of a container; its phase decides, these only tell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Facts {
    pub(crate) pid: Option<u32>,
    pub(crate) created_unix_ms: u64,
    pub(crate) started_unix_ms: Option<u64>,
    pub(crate) exit: Option<Exit>,
    pub(crate) ready_after_ms: Option<u64>,
    pub(crate) restarts: u32,
    pub(crate) addresses: Arc<BTreeMap<String, IpAddr>>,
    pub(crate) ports: Arc<Vec<BoundPort>>,
    /// Names that it serves as a gateway.
    pub(crate) names: Arc<BTreeSet<String>>,
    /// Ports that it should have, and that something else took.
    pub(crate) lost: Arc<Vec<LostPort>>,
    pub(crate) probe: Option<Arc<ProbeOutcome>>,
    /// When that was, in milliseconds since 1970; 0: never. All views share it, so that no test makes a new one.
    pub(crate) probed_unix_ms: Arc<AtomicU64>,
    /// Since when its health is what it is.
    pub(crate) health_since_unix_ms: Option<u64>,
    /// Why it waits or failed, in words.
    pub(crate) detail: Option<String>,
    /// Why the ground could not start it.
    pub(crate) start_error: Option<StartError>,
    /// Why its hooks kept it from being stopped, the last time.
    pub(crate) stop_error: Option<String>,
}

/// Why the ground could not start a container, and what to do about it.
#[derive(Debug, Clone)]
pub(crate) struct StartError {
    pub(crate) reason: String,
    pub(crate) hint: Option<String>,
}

/// Everything, at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct View {
    pub(crate) project: Option<Arc<Project>>,
    pub(crate) containers: BTreeMap<ContainerId, Container>,
    /// How those ended that were removed last.
    pub(crate) departed: Arc<Vec<(ContainerId, Exit)>>,
}

impl Container {
    pub(crate) fn new(spec: Arc<ContainerSpec>, created_unix_ms: u64) -> Self {
        let restart = if spec.one_off { RestartPolicy::No } else { spec.service.restart };
        let probe = spec.service.healthcheck.resolve(spec.image.config.health.as_ref());
        let facts = Facts { created_unix_ms, ..Facts::default() };
        // Whoever ends a one-off container ends a program, not a service.
        let pre_stop = !spec.one_off && !spec.service.hooks.pre_stop.is_empty();
        let post_start = !spec.service.hooks.post_start.is_empty();
        let policy = Arc::new(Policy { restart, probe, post_start, pre_stop });
        Self {
            spec,
            policy,
            phase: Phase::Created,
            gates: Arc::default(),
            after: None,
            facts,
            life: 0,
            dismissed: false,
        }
    }

    pub(crate) fn service(&self) -> &str {
        &self.spec.service.name
    }

    /// How a command ends it: its own signal and grace period, unless the command says otherwise.
    pub(crate) fn stop_order(&self, signal: Option<i32>, grace: Option<Duration>) -> StopOrder {
        let service = &self.spec.service;
        let named = service.stop_signal.as_ref().or(self.spec.image.config.stop_signal.as_ref());
        let own = || named.and_then(|name| signal::number(name)).unwrap_or(words::SIGTERM);
        StopOrder {
            signal: signal.unwrap_or_else(own),
            grace: grace.unwrap_or(service.stop_grace_period),
            hooks: signal.is_none(),
        }
    }

    /// Whether it runs and no command is ending it.
    pub(crate) fn goes_on_running(&self) -> bool {
        matches!(self.phase, Phase::Up { leaving: None, .. })
    }

    /// Whether a command ended it while it had no process, so that its phase does not say so.
    pub(crate) fn is_dismissed(&self) -> bool {
        self.dismissed && matches!(self.phase, Phase::Failed { .. } | Phase::Blocked { .. })
    }

    /// Whether it runs, and something that was to run in it after its start failed.
    pub(crate) fn greeting_failed(&self) -> bool {
        matches!(self.phase, Phase::Up { greeting: Greeting::Failed(_), .. })
    }

    /// Whether it ran to its end by itself and well.
    pub(crate) fn completed(&self) -> bool {
        matches!(&self.phase, Phase::Exited { exit, commanded: false } if exit.code == 0)
    }

    /// It, as planning sees it.
    pub(crate) fn present(&self) -> Present {
        let state = match &self.phase {
            Phase::Starting { .. } | Phase::Up { .. } | Phase::Backoff { .. } => PresentState::Running,
            _ if self.completed() => PresentState::Completed,
            _ => PresentState::Down,
        };
        Present {
            id: self.spec.id.clone(),
            name: self.spec.name.clone(),
            service: self.service().to_owned(),
            index: self.spec.index,
            one_off: self.spec.one_off,
            config_hash: self.spec.config_hash.clone(),
            state,
            networks: self.spec.resources.networks.values().map(|network| network.name.clone()).collect(),
            anonymous_volumes: self.spec.anonymous_volumes.clone(),
        }
    }

    /// It, as the control API shows it.
    pub(crate) fn status(&self, orphan: bool) -> ContainerStatus {
        let (spec, facts) = (&self.spec, &self.facts);
        let state = self.state();
        let ended = matches!(state, State::Exited | State::Restarting);
        let runs = matches!(state, State::Running | State::Paused);
        let networks = &spec.resources.networks;
        let named = |key: &String| networks.get(key).map_or_else(|| key.clone(), |found| found.name.clone());
        ContainerStatus {
            id: spec.id.0.clone(),
            name: spec.name.clone(),
            project: spec.project.clone(),
            service: spec.service.name.clone(),
            index: spec.index,
            one_off: spec.one_off,
            orphan,
            image: spec.image.reference.clone(),
            image_digest: spec.image.digest.clone(),
            source: words::source(&spec.image),
            command: arguments(&spec.service, &spec.image),
            state,
            health: self.phase.verdict().map(|verdict| match verdict {
                Verdict::Starting => ShownHealth::Starting,
                Verdict::Healthy => ShownHealth::Healthy,
                Verdict::Unhealthy => ShownHealth::Unhealthy,
            }),
            check: if runs { self.check() } else { None },
            exit_code: facts.exit.filter(|_| ended).map(|exit| exit.code),
            out_of_memory: ended && facts.exit.is_some_and(|exit| exit.out_of_memory),
            pid: facts.pid.filter(|_| runs),
            created_unix_ms: facts.created_unix_ms,
            started_unix_ms: facts.started_unix_ms,
            finished_unix_ms: facts.exit.filter(|_| ended).map(|exit| exit.at_unix_ms),
            ready_after_ms: facts.ready_after_ms.filter(|_| runs),
            restarts: facts.restarts,
            detail: facts.detail.clone(),
            ports: if runs { ports(&facts.ports) } else { Vec::new() },
            certificate_troubles: Vec::new(),
            lost_ports: facts.lost.iter().filter(|_| runs).map(|lost| lost.reason.clone()).collect(),
            exposed: self.exposed(),
            addresses: facts
                .addresses
                .iter()
                .filter(|_| runs)
                .map(|(key, address)| (named(key), *address))
                .collect(),
            labels: spec.labels.clone(),
            hosts: facts.names.iter().filter(|_| runs).cloned().collect(),
            mounts: self.mounts(),
            networks: networks.values().map(|network| network.name.clone()).collect(),
        }
    }

    fn check(&self) -> Option<CheckStatus> {
        let probe = self.facts.probe.as_ref()?;
        Some(CheckStatus {
            at_unix_ms: self.facts.probed_unix_ms.load(Ordering::Relaxed),
            since_unix_ms: self.facts.health_since_unix_ms,
            passed: probe.verdict == ProbeVerdict::Passed,
            output: probe.output.clone(),
        })
    }

    fn mounts(&self) -> Vec<MountStatus> {
        let (spec, volumes) = (&self.spec, &self.spec.resources.volumes);
        let named = spec.service.mounts.iter().filter_map(|mount| match &mount.source {
            MountSource::Volume { key, .. } => {
                let name = volumes.get(key).map_or_else(|| key.clone(), |volume| volume.name.clone());
                Some(MountStatus { name, volume: true })
            }
            MountSource::Bind { path, .. } => {
                Some(MountStatus { name: path.display().to_string(), volume: false })
            }
            _ => None,
        });
        let anonymous =
            spec.anonymous_volumes.values().map(|name| MountStatus { name: name.clone(), volume: true });
        named.chain(anonymous).collect()
    }

    fn state(&self) -> State {
        match &self.phase {
            Phase::Created => State::Created,
            Phase::Held | Phase::Blocked { .. } => State::Waiting,
            // Nothing of it runs before its program was executed.
            Phase::Starting { restarts, .. } if restarts.total > 0 => State::Restarting,
            Phase::Starting { .. } => State::Starting,
            Phase::Stopping { unborn: Some(_), .. } => State::Starting,
            Phase::Stopping { .. } => State::Running,
            Phase::Up { paused: true, .. } => State::Paused,
            Phase::Up { .. } => State::Running,
            Phase::Backoff { .. } => State::Restarting,
            Phase::Exited { .. } => State::Exited,
            Phase::Failed { .. } => State::Dead,
        }
    }

    fn exposed(&self) -> Vec<String> {
        let published = |port: &String| {
            let mapped = &self.spec.service.network.ports;
            mapped.iter().any(|mapping| *port == format!("{}/{}", mapping.target, mapping.protocol))
        };
        let exposed = self.spec.image.config.exposed_ports.iter().chain(&self.spec.service.network.expose);
        let mut all: Vec<String> = exposed
            .flat_map(|ports| single(ports))
            .take(EXPOSED_MAX)
            .filter(|port| !published(port))
            .collect();
        all.sort();
        all.dedup();
        all
    }
}

/// The single ports of `80/tcp` or `8000-8010/udp`.
fn single(ports: &str) -> Vec<String> {
    let (numbers, protocol) = ports.split_once('/').unwrap_or((ports, "tcp"));
    let range = numbers.split_once('-').unwrap_or((numbers, numbers));
    match (range.0.parse::<u16>(), range.1.parse::<u16>()) {
        (Ok(first), Ok(last)) => {
            (first..=last).take(EXPOSED_MAX).map(|port| format!("{port}/{protocol}")).collect()
        }
        _ => Vec::new(),
    }
}

fn ports(bound: &[BoundPort]) -> Vec<PortStatus> {
    let shown =
        |port: &BoundPort| PortStatus { host: port.host, target: port.target, protocol: port.protocol };
    bound.iter().map(shown).collect()
}

impl View {
    /// Containers of a service that `up` made.
    pub(crate) fn of_service<'a>(&'a self, service: &'a str) -> impl Iterator<Item = &'a Container> {
        self.containers.values().filter(move |found| !found.spec.one_off && found.service() == service)
    }

    /// How a container ended, if it did and is there or was removed a while ago.
    pub(crate) fn exit_of(&self, id: &ContainerId) -> Option<Exit> {
        match self.containers.get(id).map(|found| &found.phase) {
            Some(Phase::Exited { exit, .. }) => Some(*exit),
            Some(_) => None,
            None => self.departed.iter().rev().find(|(departed, _)| departed == id).map(|(_, exit)| *exit),
        }
    }

    /// The project: as it was given, or, where that was lost, as the containers remember it.
    pub(crate) fn project(&self, name: &str) -> Arc<Project> {
        if let Some(project) = &self.project {
            return Arc::clone(project);
        }
        let mut project = Project {
            name: name.to_owned(),
            directory: "/".into(),
            files: Vec::new(),
            services: BTreeMap::new(),
            inactive: Vec::new(),
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            substitute: None,
            publishing: Default::default(),
            left_out: Default::default(),
        };
        for container in self.containers.values().filter(|found| !found.spec.one_off) {
            let (service, resources) = (&container.spec.service, &container.spec.resources);
            project.services.insert(service.name.clone(), service.clone());
            project.networks.extend(resources.networks.clone());
            project.volumes.extend(resources.volumes.clone());
        }
        Arc::new(project)
    }
}

/// The clock on the wall, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
