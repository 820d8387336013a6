//! State of a project, as shown.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// One container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// Id, 64 hexadecimal digits.
    pub id: String,
    /// Name.
    pub name: String,
    /// Project.
    pub project: String,
    /// Service.
    pub service: String,
    /// Number among the service's containers, from 1.
    pub index: u32,
    /// Made by `run`.
    pub one_off: bool,
    /// Its service is not in the file any more.
    pub orphan: bool,
    /// Image reference as the file has it.
    pub image: String,
    /// Content address of the image that serves it.
    pub image_digest: String,
    /// What serves it (`debian 15.18 for 16.4`, `oci`).
    pub source: String,
    /// Command line.
    pub command: Vec<String>,
    /// State.
    pub state: State,
    /// Health, where it has a check.
    pub health: Option<Health>,
    /// Its last health test, once there was one.
    #[serde(default)]
    pub check: Option<CheckStatus>,
    /// Exit code, once it ended.
    pub exit_code: Option<i32>,
    /// The kernel killed it for want of memory.
    pub out_of_memory: bool,
    /// Process on this machine, while it runs.
    pub pid: Option<u32>,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// When it was last started.
    pub started_unix_ms: Option<u64>,
    /// When it last ended.
    pub finished_unix_ms: Option<u64>,
    /// Milliseconds from its start until it was healthy (without a check: until it ran).
    pub ready_after_ms: Option<u64>,
    /// Automatic restarts so far.
    pub restarts: u32,
    /// Why it waits or failed, in words.
    pub detail: Option<String>,
    /// Published ports.
    pub ports: Vec<PortStatus>,
    /// Why ports that it should have are not published, a sentence each.
    #[serde(default)]
    pub lost_ports: Vec<String>,
    /// What is wrong with its certificates, a sentence each.
    #[serde(default)]
    pub certificate_troubles: Vec<String>,
    /// Ports it listens on that are not published, as `5432/tcp`.
    pub exposed: Vec<String>,
    /// Addresses by network name.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Host names that it serves as a gateway, in small letters.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// What of outside is mounted in it.
    #[serde(default)]
    pub mounts: Vec<MountStatus>,
    /// Names of its networks, whether or not it runs.
    #[serde(default)]
    pub networks: Vec<String>,
}

/// The last health test of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckStatus {
    /// When it ended, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Since when the container's health is what it is, in milliseconds since 1970.
    pub since_unix_ms: Option<u64>,
    /// Whether it passed.
    pub passed: bool,
    /// What it said.
    pub output: String,
}

/// Something mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MountStatus {
    /// Name of the volume, or path on this machine.
    pub name: String,
    /// A volume.
    pub volume: bool,
}

/// State of a container, in Docker's words plus `waiting` and `starting`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the word that is shown")]
pub enum State {
    Created,
    Waiting,
    Starting,
    Running,
    Paused,
    Restarting,
    Exited,
    Dead,
}

/// Health of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "each is the word that is shown")]
pub enum Health {
    Starting,
    Healthy,
    Unhealthy,
}

/// A published port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortStatus {
    /// Address on the host.
    pub host: SocketAddr,
    /// Port in the container.
    pub target: u16,
    /// `tcp` or `udp`.
    pub protocol: mesh_model::network::Protocol,
}

/// Usage of one container.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UsageRow {
    /// Container id.
    pub id: String,
    /// Container name.
    pub name: String,
    /// Service.
    pub service: String,
    /// When it was read, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// CPU time since its start in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// Its limit in bytes.
    pub memory_limit_bytes: u64,
    /// Processes.
    pub pids: u64,
    /// Received bytes.
    pub network_received_bytes: u64,
    /// Sent bytes.
    pub network_sent_bytes: u64,
    /// Read bytes.
    pub block_read_bytes: u64,
    /// Written bytes.
    pub block_written_bytes: u64,
}

/// One process of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessRow {
    /// Container name.
    pub name: String,
    /// Service.
    pub service: String,
    /// User, as a number.
    pub uid: u32,
    /// Process on this machine.
    pub pid: u32,
    /// Its parent.
    pub parent_pid: u32,
    /// Start, in milliseconds since 1970.
    pub started_unix_ms: u64,
    /// CPU time in milliseconds.
    pub cpu_ms: u64,
    /// Command line.
    pub command: String,
    /// Its terminal, as `pts/0`; `?`: none.
    #[serde(default)]
    pub terminal: String,
}

/// A certificate of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateRow {
    /// Container name.
    pub name: String,
    /// Service.
    pub service: String,
    /// Its file in the container.
    pub file: String,
    /// How it stands.
    pub standing: CertificateStanding,
    /// From when on it is renewed, in seconds since 1970; `None`: nothing says how, or it cannot be read.
    pub renewed_from_unix_seconds: Option<i64>,
    /// Why it cannot be read, or was not renewed the last time.
    pub trouble: Option<String>,
    /// What it says, where it can be read.
    pub found: Option<CertificateFacts>,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateFacts {
    /// Whose it is.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// Its number with its issuer.
    pub serial: String,
    /// From when on it holds, in seconds since 1970.
    pub from_unix_seconds: i64,
    /// Until when it holds, in seconds since 1970.
    pub until_unix_seconds: i64,
}

/// How a certificate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CertificateStanding {
    /// Nothing has to be done.
    Good,
    /// Its time to be renewed has come.
    Due,
    /// It is over.
    Expired,
    /// Its file cannot be read.
    Unreadable,
}

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileStatus {
    /// Anything.
    pub exists: bool,
    /// Kind and mode, as `stat` has them.
    pub mode: u32,
    /// Where a link leads.
    pub link: Option<String>,
}

/// One of the files of a container.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path, from the one that was asked for; empty for that one itself.
    pub path: String,
    /// Kind and mode, as `stat` has them.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content, in seconds since 1970.
    pub modified_seconds: i64,
    /// Where a link leads.
    pub link: Option<String>,
}

/// One volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeRow {
    /// Name.
    pub name: String,
    /// Driver.
    pub driver: String,
    /// Place on this machine.
    pub mountpoint: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}
