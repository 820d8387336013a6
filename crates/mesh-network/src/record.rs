//! What joining networks takes, and what is left to remember of it.

use mesh_model::{
    container::ContainerId,
    network::{Attachment, Network, Protocol, Subnet},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    os::fd::OwnedFd,
};

/// A container that joins networks.
#[derive(Debug, Clone)]
pub struct AttachRequest {
    /// Which.
    pub id: ContainerId,
    /// Names it is known by on each of its networks: service, container, short id, host name.
    pub names: Vec<String>,
    /// Networks it joins, highest priority first.
    pub networks: Vec<(Network, Attachment)>,
    /// Name servers for all other names; empty: those of the host.
    pub upstream_dns: Vec<IpAddr>,
    /// It may reach the host's 127.0.0.1, at the address of
    /// [`host_gateway`](crate::ProjectNetwork::host_gateway).
    pub host_gateway: bool,
    /// It may send under other addresses than its own: it administers its network itself.
    pub any_source: bool,
}

/// A network that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PresentNetwork {
    /// Its name on the ground.
    pub name: String,
    /// Its subnet.
    pub subnet: Subnet,
    /// Its gateway.
    pub gateway: Ipv4Addr,
    /// No way out.
    pub internal: bool,
}

/// A container that joined.
#[derive(Debug)]
pub struct Attached {
    /// Its network namespace. It lives as long as a process or descriptor holds it.
    pub namespace: OwnedFd,
    /// What [`adopt`](crate::ProjectNetwork::adopt) needs.
    pub record: AttachmentRecord,
}

/// How a container is attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachmentRecord {
    /// Names on each of its networks.
    pub names: Vec<String>,
    /// Its networks, highest priority first.
    pub networks: Vec<NetworkRecord>,
    /// Name servers for all other names; empty: those of the host.
    pub upstream_dns: Vec<IpAddr>,
    /// It may reach the host's 127.0.0.1. What does not say so may not.
    #[serde(default)]
    pub host_gateway: bool,
}

/// How a container is attached to one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// Key in the file.
    pub key: String,
    /// Name on the ground.
    pub name: String,
    /// Its address there.
    pub address: Ipv4Addr,
    /// The network has no way out.
    pub internal: bool,
    /// Names it has there alone.
    pub aliases: Vec<String>,
}

impl AttachmentRecord {
    /// Addresses by network key.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<String, IpAddr> {
        self.networks.iter().map(|network| (network.key.clone(), network.address.into())).collect()
    }
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
