//! What a ground sees.

use crate::events::Exit;
use mesh_model::{
    container::ContainerSpec,
    network::{Protocol, Subnet},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

/// A container as it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// What it was made from.
    pub spec: ContainerSpec,
    /// Its state.
    pub state: ObservedState,
    /// When it was made, in milliseconds since 1970.
    pub created_unix_ms: u64,
    /// Addresses by network key, while it runs.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Published ports, while it runs.
    pub ports: Vec<BoundPort>,
    /// Ports that should be published and are not.
    pub lost: Vec<LostPort>,
}

/// State of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObservedState {
    /// Made, never started.
    Created,
    /// Its process runs.
    Running {
        /// Its process's id on this machine.
        pid: u32,
        /// Since when, in milliseconds since 1970.
        since_unix_ms: u64,
        /// Frozen.
        paused: bool,
    },
    /// Its process ended.
    Exited(Exit),
}

/// What a start gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    /// Id of the process on this machine.
    pub pid: u32,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
    /// Addresses by network key.
    pub addresses: BTreeMap<String, IpAddr>,
    /// Published ports.
    pub ports: Vec<BoundPort>,
}

/// A published port that is listened on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoundPort {
    /// Address on the host.
    pub host: SocketAddr,
    /// Port in the container.
    pub target: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A port that was published, and that something else took while nobody held it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LostPort {
    /// Where it was.
    pub port: BoundPort,
    /// Why it is not there, in words (`port 127.0.0.1:80/tcp is taken by nginx (process 7)`).
    pub reason: String,
}

/// A network that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkStatus {
    /// Name on the ground.
    pub name: String,
    /// Its subnet.
    pub subnet: Subnet,
    /// Its gateway.
    pub gateway: IpAddr,
    /// No way out.
    pub internal: bool,
}

/// A volume of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeStatus {
    /// Name on the ground.
    pub name: String,
    /// Key in the file; `None`: an anonymous one.
    pub key: Option<String>,
    /// Driver.
    pub driver: String,
    /// Options of the driver that it was made with.
    pub driver_opts: BTreeMap<String, String>,
    /// Place on this machine.
    pub mountpoint: String,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// CPU time since its start in nanoseconds.
    pub cpu_ns: u64,
    /// Memory in bytes, without the page cache.
    pub memory_bytes: u64,
    /// Limit of memory in bytes; that of the machine where there is none.
    pub memory_limit_bytes: u64,
    /// Number of processes and threads.
    pub pids: u64,
    /// Bytes received on all its networks.
    pub network_received_bytes: u64,
    /// Bytes sent on all its networks.
    pub network_sent_bytes: u64,
    /// Bytes read from block devices.
    pub block_read_bytes: u64,
    /// Bytes written to block devices.
    pub block_written_bytes: u64,
}

/// One process of a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessStatus {
    /// User, as a number.
    pub uid: u32,
    /// Id on this machine.
    pub pid: u32,
    /// Parent's id on this machine.
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

/// What a ground can do here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capabilities {
    /// Its name: `native`, `docker`.
    pub ground: String,
    /// Without root.
    pub rootless: bool,
    /// What cannot be had here, one sentence each with the way to mend it; told once at `up`.
    pub missing: Vec<String>,
}

/// What came of trying a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortTrial {
    /// It can be had; its number, also where any was asked for.
    Free(u16),
    /// Something has it.
    Taken,
    /// This user may not have it.
    Forbidden,
    /// The address is not this machine's.
    NoAddress,
}
