//! A service and how its containers are made.

use crate::{
    backup::Dump,
    certificate::Certificate,
    develop::Watch,
    health::Healthcheck,
    hook::Hooks,
    limits::{Limits, Ulimit},
    mount::{FileMount, Mount},
    network::{Attachment, PortMapping},
    project::{Substitute, WhenNoSource},
    provider::Provider,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

/// Time between the stop signal and the kill, when the file names none.
pub const STOP_GRACE_PERIOD_DEFAULT: Duration = Duration::from_secs(10);

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// Name in the file.
    pub name: String,
    /// Image reference as written; `None` where only `build` is given.
    pub image: Option<String>,
    /// Whether the file has a `build` section.
    pub build: bool,
    /// `pull_policy`.
    pub pull_policy: PullPolicy,
    /// `platform`, such as `linux/arm64`.
    pub platform: Option<String>,
    /// Name of the one container, where the file fixes it.
    pub container_name: Option<String>,
    /// Number of containers (`scale`, `deploy.replicas`).
    pub scale: u32,
    /// How the process is started.
    pub process: ProcessSettings,
    /// Environment, with `env_file` merged in and everything interpolated.
    pub environment: BTreeMap<String, String>,
    /// Variables of the image that it does not get: those that the file names without a value.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub environment_unset: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Services this one waits for, by name.
    pub depends_on: BTreeMap<String, Dependency>,
    /// Health check.
    pub healthcheck: Healthcheck,
    /// Restart policy.
    pub restart: RestartPolicy,
    /// Signal that asks the process to stop, by name (`SIGINT`); `None`: the image decides.
    pub stop_signal: Option<String>,
    /// Time between that signal and the kill.
    pub stop_grace_period: Duration,
    /// How it is connected.
    pub network: NetworkSettings,
    /// Volumes, binds and tmpfs.
    pub mounts: Vec<Mount>,
    /// Secrets, as files.
    pub secrets: Vec<FileMount>,
    /// Configs, as files.
    pub configs: Vec<FileMount>,
    /// Isolation.
    pub security: Security,
    /// Resource limits.
    pub limits: Limits,
    /// `ulimits`, by name (`nofile`).
    pub ulimits: BTreeMap<String, Ulimit>,
    /// `sysctls`.
    pub sysctls: BTreeMap<String, String>,
    /// Devices of the host, as written (`/dev/x:/dev/y:rwm`).
    pub devices: Vec<String>,
    /// Bounds of the journal, from `logging.options` (`max-size`, `max-file`).
    pub logging: Logging,
    /// `x-mesh.substitute` of the service, over the project's.
    pub substitute: Option<Substitute>,
    /// `x-mesh.when-no-source`: what becomes of it where nothing serves its image.
    #[serde(default, skip_serializing_if = "WhenNoSource::is_default")]
    pub when_no_source: WhenNoSource,
    /// `x-mesh.backup`: how its data gets into a backup; `None`: as its volumes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dump: Option<Dump>,
    /// What runs before its start, after it, and before its end.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
    /// `develop.watch`: what a change of files brings about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub watch: Vec<Watch>,
    /// `provider`: what brings the service up in place of a container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<Provider>,
    /// `x-mesh.certificate`: what its containers hold that expires.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// `x-mesh.repeat`: the time after which it is run again, once it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Duration>,
}

/// How the process of a container is started.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ProcessSettings {
    /// `entrypoint`; `None`: the image's. An empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// `command`; `None`: the image's (unless `entrypoint` is set, which clears it).
    pub command: Option<Vec<String>>,
    /// `user`, as `name`, `uid`, `name:group`, `uid:gid`.
    pub user: Option<String>,
    /// `group_add`, names or numbers.
    pub group_add: Vec<String>,
    /// `working_dir`.
    pub working_dir: Option<String>,
    /// Run a reaping init as process 1.
    pub init: bool,
    /// Give it a terminal.
    pub tty: bool,
    /// Keep its standard input open.
    pub stdin_open: bool,
}

/// How the containers of a service are connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSettings {
    /// Which network stack it has.
    pub mode: NetworkMode,
    /// Host name; `None`: the container's short id.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// Published ports.
    pub ports: Vec<PortMapping>,
    /// Ports that it listens on beside those of its image, as `80/tcp` or `8000-8010/udp`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Lines for the hosts file: name and address; the address may be `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Name servers asked instead of the host's.
    pub dns: Vec<IpAddr>,
    /// Search domains.
    pub dns_search: Vec<String>,
    /// Resolver options.
    pub dns_opt: Vec<String>,
}

/// `network_mode`, or the networks joined.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkMode {
    /// Member of these networks, by key. Never empty.
    Networks(BTreeMap<String, Attachment>),
    /// The host's own stack.
    Host,
    /// Loopback only.
    None,
    /// The stack of another service's container.
    Service(String),
}

/// What must be true of another service before this one starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dependency {
    /// The condition.
    pub condition: Condition,
    /// Whether its absence is an error (`required: false` only warns).
    pub required: bool,
    /// Whether this service is restarted when the other one is, by an explicit command.
    pub restart: bool,
}

/// `depends_on.condition`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// The container runs.
    ServiceStarted,
    /// The health check passed.
    ServiceHealthy,
    /// The container exited with 0.
    ServiceCompletedSuccessfully,
}

/// `restart` (or `deploy.restart_policy`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Never.
    #[default]
    No,
    /// On every exit that no command asked for.
    Always,
    /// The same, but a stop survives a restart of the supervisor.
    UnlessStopped,
    /// On a non-zero exit, at most so many times (`None`: without limit).
    OnFailure {
        /// Limit of attempts.
        max_attempts: Option<u32>,
    },
}

/// `pull_policy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// The file says nothing: if it is not stored, and by `pull`.
    #[default]
    Unset,
    /// If it is not stored, `pull` too.
    Missing,
    /// At every `up`.
    Always,
    /// Never.
    Never,
    /// Only by building.
    Build,
    /// If what is stored was fetched longer ago than this (`daily`, `every_12h`).
    Every(Duration),
}

/// Isolation of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Security {
    /// Capabilities added to the default set, without `CAP_`; `ALL` is possible.
    pub cap_add: Vec<String>,
    /// Capabilities taken from it; `ALL` is possible.
    pub cap_drop: Vec<String>,
    /// All capabilities, no seccomp filter, devices of the host.
    pub privileged: bool,
    /// `security_opt: no-new-privileges`. Mesh sets the flag unless the file says `false`.
    pub no_new_privileges: bool,
    /// `security_opt: seccomp:unconfined`.
    pub seccomp_unconfined: bool,
    /// Root file system read-only.
    pub read_only: bool,
    /// `pid: host`.
    pub host_pid: bool,
    /// `ipc: host`.
    pub host_ipc: bool,
    /// `x-mesh.trust: false`: its containers do not trust the authority of the project's gateway.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub distrusts_gateway: bool,
}

/// Bounds of a service's journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// Largest size of one segment in bytes.
    pub segment_bytes_max: u64,
    /// Number of segments kept.
    pub segments_max: u32,
    /// `driver: none`: keep nothing.
    pub disabled: bool,
    /// `attach: false`: `up` and `logs` show nothing of it unless it is named.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unattached: bool,
}

impl Default for Logging {
    fn default() -> Self {
        Self { segment_bytes_max: 10 * 1024 * 1024, segments_max: 3, disabled: false, unattached: false }
    }
}
