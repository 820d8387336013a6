//! What a supervisor says.

use crate::status::{CertificateRow, ContainerStatus, ProcessRow, UsageRow, VolumeRow};
use mesh_model::project::Project;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One line from the server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Message {
    /// Something went on; more follows.
    Progress(Progress),
    /// Something happened (`events`); more follows.
    Event(Event),
    /// The end, as asked.
    Answer(Answer),
    /// The end, not as asked.
    Error(ApiError),
}

/// The end of a request that went well.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done; nothing to say.
    Done,
    /// Somebody is there.
    Pong {
        /// Version of the binary.
        version: String,
        /// Its process.
        pid: u32,
    },
    /// Containers, in order of service and number.
    Containers(Vec<ContainerStatus>),
    /// The project, if there is one.
    Project(Option<Box<Project>>),
    /// A command for the caller to run.
    Invocation {
        /// Arguments after the binary's own name.
        arguments: Vec<String>,
        /// What it reads on descriptor 3.
        payload: String,
        /// Version of the binary that wrote it, and can read it. Empty if it was not told.
        #[serde(default)]
        version: String,
        /// Directory of a container whose shim may be asked to do the same, and quicker.
        #[serde(default)]
        door: Option<PathBuf>,
    },
    /// Usage.
    Stats(Vec<UsageRow>),
    /// Processes.
    Top(Vec<ProcessRow>),
    /// Volumes.
    Volumes(Vec<VolumeRow>),
    /// Certificates of running services.
    Certificates(Vec<CertificateRow>),
    /// An exit code (`wait`, `run`).
    Exit {
        /// The code.
        code: i32,
    },
    /// A one-off container runs on its own (`run -d`).
    Started {
        /// Its name.
        name: String,
        /// Its id.
        #[serde(default)]
        id: String,
    },
}

/// Something that goes on while a request is worked on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Progress {
    /// A sentence for the user, told once.
    Note {
        /// How serious.
        level: Level,
        /// The sentence.
        text: String,
    },
    /// A hook of a service printed a line.
    Said {
        /// Whose it is (`web-1 ->`).
        source: String,
        /// The line.
        line: String,
    },
    /// An image is being fetched.
    Image {
        /// Reference as the file has it.
        reference: String,
        /// Services that use it.
        services: Vec<String>,
        /// How far.
        stage: ImageStage,
    },
    /// A step on an object.
    Object {
        /// What it is.
        object: ObjectKind,
        /// Its name.
        name: String,
        /// Its service, for containers.
        service: Option<String>,
        /// What is done to it.
        action: Action,
        /// More words (`waiting for db to be healthy`, `debian 15.18 for 16.4`).
        detail: Option<String>,
        /// Milliseconds since the step before it on the same object; for `Healthy`, since its start.
        elapsed_ms: u64,
    },
}

/// How far the fetching of an image is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum ImageStage {
    /// Finding out what is needed.
    Resolving {
        /// What is being asked.
        detail: String,
    },
    /// Bytes are coming.
    Downloading {
        /// So far.
        bytes: u64,
        /// In all; 0: unknown.
        bytes_total: u64,
    },
    /// A layer of it goes on.
    Layer {
        /// The layer, in short.
        layer: String,
        /// How far.
        step: mesh_model::image::LayerStage,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        bytes_total: u64,
    },
    /// Bytes become files.
    Unpacking {
        /// So far.
        done: u32,
        /// In all.
        total: u32,
    },
    /// It is there.
    Ready {
        /// What serves it (`debian 15.18 for 16.4`).
        source: String,
    },
    /// It cannot be had; why is the error's to say.
    Failed,
    /// Nothing serves it, and its services are left out.
    LeftOut,
}

/// How serious a note is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// For knowing.
    Info,
    /// For thinking about.
    Warning,
}

/// Kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKind {
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
    /// A service that has none: a provider's.
    Service,
}

/// What is done to an object. `Compose` prints the same words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the word that is printed")]
pub enum Action {
    Creating,
    Created,
    Recreating,
    Recreated,
    Starting,
    Started,
    Running,
    Waiting,
    Healthy,
    Completed,
    Restarting,
    Stopping,
    Stopped,
    Killing,
    Killed,
    Pausing,
    Paused,
    Unpausing,
    Unpaused,
    Removing,
    Removed,
    Exited,
    Failed,
}

/// Something that happened, for `events`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its container was made by `run`.
    #[serde(default)]
    pub one_off: bool,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Container id.
    pub id: String,
    /// Container name.
    pub name: String,
    /// Service.
    pub service: String,
    /// Docker's word: `create start die stop kill pause unpause destroy health_status: healthy oom
    /// exec_create: sh exec_start: sh exec_die`.
    pub action: String,
    /// Image reference.
    pub image: String,
    /// More, such as `exitCode`.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Why a request was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// Class of it, for exit codes and tests.
    pub kind: ErrorKind,
    /// One sentence: what happened, where.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Services that failed, each with what is known.
    pub failures: Vec<Failure>,
}

/// Class of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The request itself: unknown service, wrong option, other version.
    Request,
    /// An image.
    Image,
    /// A container, network or volume of the ground.
    Ground,
    /// A service failed or did not become healthy.
    Service,
    /// A wait ran out of time.
    Timeout,
    /// Another request of this kind is under way.
    Busy,
    /// The supervisor is about to end: nothing was done, and the next one can be asked the same.
    Ending,
    /// Something inside.
    Internal,
}

/// A service that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Failure {
    /// Service.
    pub service: String,
    /// Container.
    pub container: String,
    /// What happened (`exited with 1`, `killed: out of memory (limit 64 MiB)`, `unhealthy after 3 probes`).
    pub reason: String,
    /// Output of the last health test.
    pub probe_output: Option<String>,
    /// Last lines of its journal; at most 20.
    pub log_tail: Vec<String>,
    /// Services that wait for it.
    pub blocks: Vec<String>,
}
