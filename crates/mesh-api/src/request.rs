//! What a client asks.

use crate::options::{CreateOptions, DownOptions, ExecOptions, FileOperation, RunOptions, UpOptions};
use crate::tagged;
use mesh_model::{project::Project, registry::RegistryVariables};
use serde::{Deserialize, Serialize};

/// Version of the wire; a supervisor of another one says so instead of guessing.
pub const VERSION: u32 = 1;

/// One request with its version.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Envelope {
    /// [`VERSION`] of the client.
    pub version: u32,
    /// How the client has registries asked, where its request may fetch images. `None`: as the supervisor would.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registry: Option<RegistryVariables>,
    /// The request.
    #[serde(with = "tagged")]
    pub request: Request,
}

/// One request. `services` empty means all services of the project. On the wire it is a field of an [`Envelope`], and
/// has the name of its method among its fields.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Is somebody there? Answered with the version of the binary.
    Ping,
    /// Reconcile to the project (`up`). Streams progress; ends when all is started, or with `wait`
    /// when all is healthy or complete.
    Up {
        /// The project.
        project: Box<Project>,
        /// How.
        options: UpOptions,
    },
    /// Make containers without starting them (`create`).
    Create {
        /// The project.
        project: Box<Project>,
        /// How.
        options: CreateOptions,
    },
    /// Fetch images (`pull`).
    Pull {
        /// The project.
        project: Box<Project>,
        /// Services; empty: all.
        services: Vec<String>,
        /// Fetch again what is stored.
        refresh: bool,
        /// Overrides the project's policy.
        substitute: Option<mesh_model::project::Substitute>,
        /// Which of the services somebody named: those may not be left out where nothing serves their images.
        /// `None`: all of them.
        #[serde(default)]
        named: Option<Vec<String>>,
    },
    /// Stop and remove everything of the project (`down`).
    Down(DownOptions),
    /// Start what was made (`start`).
    Start {
        /// Services.
        services: Vec<String>,
        /// Wait until healthy.
        wait: bool,
        /// Give up waiting after so many milliseconds.
        wait_timeout_ms: Option<u64>,
    },
    /// Stop (`stop`).
    Stop {
        /// Services.
        services: Vec<String>,
        /// Over the services' own grace periods, in seconds.
        timeout_seconds: Option<u32>,
    },
    /// Stop and start (`restart`).
    Restart {
        /// Services.
        services: Vec<String>,
        /// Over the services' own grace periods, in seconds.
        timeout_seconds: Option<u32>,
        /// Leave dependents alone that asked to be restarted along.
        no_deps: bool,
    },
    /// Send a signal (`kill`).
    Kill {
        /// Services.
        services: Vec<String>,
        /// Signal by name or number.
        signal: String,
        /// Also containers of services the file no longer has.
        remove_orphans: bool,
    },
    /// Remove stopped containers (`rm`).
    Remove {
        /// Services.
        services: Vec<String>,
        /// Stop them first.
        stop: bool,
        /// Remove anonymous volumes too.
        volumes: bool,
    },
    /// Freeze (`pause`).
    Pause {
        /// Services.
        services: Vec<String>,
    },
    /// Thaw (`unpause`).
    Unpause {
        /// Services.
        services: Vec<String>,
    },
    /// Change the number of containers (`scale`).
    Scale {
        /// Number by service.
        scale: std::collections::BTreeMap<String, u32>,
        /// Leave dependencies alone.
        no_deps: bool,
    },
    /// Containers of the project (`ps`).
    Containers,
    /// The project the supervisor holds, if it was given one.
    Project,
    /// How to run a program in a container (`exec`). A pipe may come with it, three times: what the caller's shim
    /// writes into it is the exit code of the program, for `events`.
    Exec(ExecOptions),
    /// How to be at the streams of a container (`attach`).
    Attach {
        /// Service.
        service: String,
        /// Number among its containers, from 1; `None`: the first that runs.
        #[serde(default)]
        index: Option<u32>,
    },
    /// Run a one-off container (`run`). Three descriptors (0, 1, 2) come with it unless detached.
    Run {
        /// The project.
        project: Box<Project>,
        /// How.
        options: RunOptions,
    },
    /// Certificates of running services (`certs ls`).
    Certificates {
        /// Services.
        services: Vec<String>,
    },
    /// Make those anew that are about to expire (`certs renew`).
    RenewCertificates {
        /// Services.
        services: Vec<String>,
        /// The others too.
        force: bool,
    },
    /// How to work on the files of a container (`cp`, `watch`).
    Files {
        /// Name of the container.
        container: String,
        /// What to do.
        operation: FileOperation,
    },
    /// Usage of containers (`stats`).
    Stats {
        /// Services.
        services: Vec<String>,
    },
    /// Processes of containers (`top`).
    Top {
        /// Services.
        services: Vec<String>,
    },
    /// Volumes of the project (`volumes`).
    Volumes,
    /// Events (`events`), until the client hangs up.
    Events {
        /// Begin with those that are still known, not older than this (milliseconds since 1970); `None`: from
        /// now on.
        #[serde(default)]
        since_unix_ms: Option<u64>,
        /// Also those of programs that run in containers beside their own: `exec`, hooks, health tests.
        #[serde(default)]
        programs: bool,
    },
    /// Wait until containers stopped (`wait`); answered with the exit code of the first.
    Wait {
        /// Services.
        services: Vec<String>,
    },
    /// End the supervisor and leave the containers as they are.
    Shutdown,
}

impl Request {
    /// The verb of the command that asks.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Up { .. } => "up",
            Self::Create { .. } => "create",
            Self::Pull { .. } => "pull",
            Self::Down(_) => "down",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Kill { .. } => "kill",
            Self::Remove { .. } => "rm",
            Self::Pause { .. } => "pause",
            Self::Unpause { .. } => "unpause",
            Self::Scale { .. } => "scale",
            Self::Containers => "ps",
            Self::Project => "config",
            Self::Exec(_) => "exec",
            Self::Attach { .. } => "attach",
            Self::Run { .. } => "run",
            Self::Files { .. } => "cp",
            Self::Certificates { .. } | Self::RenewCertificates { .. } => "certs",
            Self::Stats { .. } => "stats",
            Self::Top { .. } => "top",
            Self::Volumes => "volumes",
            Self::Events { .. } => "events",
            Self::Wait { .. } => "wait",
            Self::Shutdown => "shutdown",
        }
    }

    /// Whether it may fetch images.
    #[must_use]
    pub fn may_fetch(&self) -> bool {
        matches!(
            self,
            Self::Up { .. } | Self::Create { .. } | Self::Pull { .. } | Self::Scale { .. } | Self::Run { .. }
        )
    }

    /// Whether its end depends on something else than the supervisor: others who have the turn, services, the
    /// client.
    #[must_use]
    pub fn may_last(&self) -> bool {
        !matches!(
            self,
            Self::Ping
                | Self::Project
                | Self::Containers
                | Self::Exec(_)
                | Self::Attach { .. }
                | Self::Files { .. }
                | Self::Stats { .. }
                | Self::Top { .. }
                | Self::Volumes
                | Self::Shutdown
        )
    }
}
