//! The network namespace of one container, seen from inside: settings, sockets, addresses.

use crate::{error::NetworkError, link::Links, patience::patiently, task::on_own_thread};
use mesh_linux::netns;
use nix::sys::socket::{setsockopt, sockopt};
use rtnetlink::{packet_route::RouteNetlinkMessage, proto};
use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    os::fd::OwnedFd,
    sync::Arc,
};
use tokio::runtime::Handle;

/// Where a container's names are served, inside its namespace.
pub const DNS_ADDRESS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11)), 53);

/// Connection whose task must run while its [`Links`] are used.
pub(crate) type Connection = proto::Connection<RouteNetlinkMessage>;

/// Sockets for names, made inside the namespace and served outside of it.
pub(crate) struct DnsSockets {
    pub(crate) udp: UdpSocket,
    pub(crate) tcp: TcpListener,
}

/// A namespace that was made.
pub(crate) struct Made {
    pub(crate) namespace: OwnedFd,
    pub(crate) sockets: DnsSockets,
    pub(crate) links: Links,
    pub(crate) connection: Connection,
}

/// Makes a namespace with its loopback device up.
pub(crate) async fn make() -> Result<Made, NetworkError> {
    let runtime = Handle::current();
    on_own_thread(move || {
        let namespace = netns::create()?;
        settle();
        netns::loopback_up()?;
        let sockets = dns_sockets()?;
        let _in_runtime = runtime.enter();
        let (links, connection) = netlink()?;
        Ok(Made { namespace, sockets, links, connection })
    })
    .await
    .map_err(NetworkError::system("make the network namespace of a container"))
}

/// Opens the sockets for names in a namespace that is there.
pub(crate) async fn enter(namespace: OwnedFd) -> Result<DnsSockets, NetworkError> {
    let namespace = Arc::new(namespace);
    let attempt = || {
        let namespace = namespace.clone();
        on_own_thread(move || {
            netns::enter(&namespace)?;
            dns_sockets()
        })
    };
    patiently(attempt)
        .await
        .map_err(NetworkError::system("serve names in the network namespace of a container"))
}

/// Opens netlink in the namespace of the calling thread, which must be in a runtime's context.
pub(crate) fn netlink() -> io::Result<(Links, Connection)> {
    let (connection, handle, _messages) = rtnetlink::new_connection()?;
    Ok((Links(handle), connection))
}

/// Settings a container expects. A kernel without one of them is no reason to fail.
fn settle() {
    for (name, value) in [
        ("ipv4/ip_forward", "0"),
        ("ipv4/ip_unprivileged_port_start", "0"),
        ("ipv4/ping_group_range", "0 2147483647"),
        ("ipv6/conf/default/disable_ipv6", "1"),
    ] {
        set(name, value).unwrap_or_else(|error| tracing::debug!(name, %error, "setting not applied"));
    }
}

/// Writes a setting of the calling thread's namespace.
pub(crate) fn set(name: &str, value: &str) -> io::Result<()> {
    fs::write(format!("/proc/sys/net/{name}"), value)
}

fn dns_sockets() -> io::Result<DnsSockets> {
    let udp = UdpSocket::bind(DNS_ADDRESS)?;
    // A name server of the container's own may bind the port on all addresses if it sets this too.
    setsockopt(&udp, sockopt::ReuseAddr, &true)?;
    udp.set_nonblocking(true)?;
    let tcp = TcpListener::bind(DNS_ADDRESS)?;
    tcp.set_nonblocking(true)?;
    Ok(DnsSockets { udp, tcp })
}
