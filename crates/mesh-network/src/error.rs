//! What can go wrong with networks, in terms of the file.

use mesh_model::network::{Protocol, Subnet};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
};

/// A failure of one operation on a project's networks.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// The kernel refused a change to links, addresses or routes.
    #[error("could not {attempted}")]
    Netlink {
        /// What was attempted on what.
        attempted: String,
        /// The kernel's answer.
        #[source]
        source: rtnetlink::Error,
    },
    /// The kernel refused a system call.
    #[error("could not {attempted}")]
    System {
        /// What was attempted on what.
        attempted: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// There is no such network.
    #[error("no such network: {name}")]
    NoSuchNetwork {
        /// Its name on the ground.
        name: String,
    },
    /// A network that is to be removed still has containers.
    #[error("network {name} is still used by {containers} containers")]
    NetworkInUse {
        /// Its name on the ground.
        name: String,
        /// How many.
        containers: usize,
    },
    /// The network is there with another configuration.
    #[error("network {name} is there with subnet {present}, the file asks for {wanted}")]
    NetworkDiffers {
        /// Its name on the ground.
        name: String,
        /// As it is.
        present: Subnet,
        /// As the file has it.
        wanted: Subnet,
    },
    /// Two networks of the project overlap.
    #[error("subnet {subnet} of network {name} overlaps {other} of network {holder}")]
    SubnetTaken {
        /// Network that asked.
        name: String,
        /// What it asked for.
        subnet: Subnet,
        /// What is there.
        other: Subnet,
        /// Network that has it.
        holder: String,
    },
    /// A subnet, range or gateway that cannot serve.
    #[error("addresses of network {name} cannot serve: {reason}")]
    SubnetUnusable {
        /// Its name on the ground.
        name: String,
        /// Why.
        reason: String,
    },
    /// No subnet is free within the project.
    #[error("no subnet is free for network {name}")]
    NoSubnetLeft {
        /// Its name on the ground.
        name: String,
    },
    /// A fixed address is taken.
    #[error("address {address} of network {name} is taken by {holder}")]
    AddressTaken {
        /// Its name on the ground.
        name: String,
        /// The address.
        address: Ipv4Addr,
        /// Who has it: a container's short id, or `its gateway`.
        holder: String,
    },
    /// A fixed address is not of the network.
    #[error("address {address} is not a host's address in subnet {subnet} of network {name}")]
    AddressOutside {
        /// Its name on the ground.
        name: String,
        /// The address.
        address: Ipv4Addr,
        /// The network's subnet.
        subnet: Subnet,
    },
    /// Every address is taken.
    #[error("network {name} has no address left")]
    NoAddressLeft {
        /// Its name on the ground.
        name: String,
    },
    /// A hardware address that is none.
    #[error("{text} is not a hardware address")]
    HardwareAddress {
        /// As written.
        text: String,
    },
    /// A name that an interface cannot have, or that two of a container would have.
    #[error(
        "{text} cannot name an interface: it takes 1 to 15 letters, digits, `-`, `_` or `.`, once a container"
    )]
    InterfaceName {
        /// As written.
        text: String,
    },
    /// The container is attached already.
    #[error("container {id} is attached already")]
    AlreadyAttached {
        /// Its short id.
        id: String,
    },
    /// The container is not attached.
    #[error("container {id} is not attached to any network")]
    NotAttached {
        /// Its short id.
        id: String,
    },
    /// A port of the host is taken.
    #[error("port {address}/{protocol} is taken")]
    PortTaken {
        /// Address and port; of a range, the first.
        address: SocketAddr,
        /// Protocol.
        protocol: Protocol,
    },
    /// A port that this user may not bind.
    #[error("port {address} may not be bound by this user")]
    PortForbidden {
        /// Address and port.
        address: SocketAddr,
    },
    /// The networks were closed.
    #[error("the project's networks were closed")]
    Closed,
}

impl NetworkError {
    pub(crate) fn netlink(attempted: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Self {
        move |source| Self::Netlink { attempted: attempted.into(), source }
    }

    pub(crate) fn system(attempted: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::System { attempted: attempted.into(), source }
    }
}
