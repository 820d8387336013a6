//! Networks of a project in a network namespace of its own: bridges, names, published ports, the way
//! out.
//!
//! The process stays in the host's network namespace and changes nothing there. Each network is a
//! bridge in the project's namespace, each container has a namespace with a veth a network. Names are
//! served on 127.0.0.11 inside each container's namespace; ports are published by listeners of the
//! host; the way out is a TUN device that this process serves. All of it works with the capabilities of
//! a user namespace of one's own.
//!
//! Invariants:
//! - a container reaches containers of its own networks and, unless they are all internal, the world;
//!   no other container, no other network's gateway;
//! - bridges and veths outlive this process, and [`ProjectNetwork::open`] finds them again; names,
//!   ports and the way out are served again by [`ProjectNetwork::adopt`] and
//!   [`ProjectNetwork::publish`];
//! - nothing is written to disk.
//!
//! Deliberately absent: IPv6 inside a project, drivers other than `bridge`, ICMP to the world.

mod announce;
mod book;
mod container;
mod dns;
mod error;
mod link;
mod names;
mod outbound;
mod patience;
mod project;
mod publish;
mod record;
mod relay;
mod source;
mod task;
mod upstream;

pub use announce::Beginning;
pub use container::DNS_ADDRESS;
pub use error::NetworkError;
pub use project::{ProjectNetwork, Settings};
pub use publish::try_port;
pub use record::{AttachRequest, Attached, AttachmentRecord, BoundPort, NetworkRecord, PresentNetwork};
