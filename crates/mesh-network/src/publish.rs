//! Ports of the host that lead into containers.
//!
//! The listener is an ordinary socket of the host; the connection to the container is made by a
//! socket of the project's namespace, so a container sees its network's gateway as the peer.
//! One that reads the PROXY protocol is told the client before the client's first byte.

use crate::{
    announce::{Beginning, header},
    error::NetworkError,
    record::BoundPort,
    relay::{ACCEPT_PAUSE, FLOW_QUEUE_MAX, flow, join},
    task::{Spawner, Worker},
};
use mesh_model::network::{PortMapping, Protocol, Published};
use nix::{
    errno::Errno,
    sys::socket::{
        AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket,
        sockopt,
    },
};
use std::{
    collections::HashMap,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::{AsRawFd, OwnedFd},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpSocket, TcpStream, UdpSocket},
    sync::{Semaphore, mpsc},
    time::{sleep, timeout},
};

/// Connections through the published ports of one container.
const CONNECTIONS_MAX: usize = 1024;
/// Clients of one published UDP port.
const FLOWS_MAX: usize = 1024;
/// Connections that the kernel keeps until they are accepted.
const BACKLOG: i32 = 1024;
/// A container has this long to accept.
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Attempts to find a port that is free for both families.
const ANY_ATTEMPTS_MAX: usize = 16;

/// A port that is held.
pub(crate) struct Bound {
    pub(crate) port: BoundPort,
    socket: OwnedFd,
}

/// Holds every port of `mappings`, or none.
pub(crate) fn bind_all(mappings: &[PortMapping]) -> Result<Vec<Bound>, NetworkError> {
    let mut all = Vec::new();
    for mapping in mappings {
        all.extend(bind_mapping(mapping)?);
    }
    Ok(all)
}

fn bind_mapping(mapping: &PortMapping) -> Result<Vec<Bound>, NetworkError> {
    match mapping.published {
        Published::Port(port) => bind_port(mapping, port),
        Published::OneOf(first, last) => {
            let taken = || NetworkError::PortTaken {
                address: (mapping.host_ip.unwrap_or(Ipv4Addr::UNSPECIFIED.into()), first).into(),
                protocol: mapping.protocol,
            };
            let mut attempts = (first..=last).map(|port| bind_port(mapping, port));
            let free = attempts.find(|result| !matches!(result, Err(NetworkError::PortTaken { .. })));
            free.unwrap_or_else(|| Err(taken()))
        }
        Published::Any => {
            // The other family's port of the same number may be taken: then another one is chosen.
            let mut result = bind_port(mapping, 0);
            for _ in 1..ANY_ATTEMPTS_MAX {
                match result {
                    Err(NetworkError::PortTaken { .. }) => result = bind_port(mapping, 0),
                    other => return other,
                }
            }
            result
        }
    }
}

/// Holds one port; without an address, on all of both families, as far as the host has them.
fn bind_port(mapping: &PortMapping, port: u16) -> Result<Vec<Bound>, NetworkError> {
    let hold = |ip: IpAddr, port| hold(SocketAddr::new(ip, port), mapping.target, mapping.protocol);
    if let Some(ip) = mapping.host_ip {
        return Ok(vec![hold(ip, port)?]);
    }
    let first = hold(Ipv4Addr::UNSPECIFIED.into(), port)?;
    let port = first.port.host.port();
    match hold(Ipv6Addr::UNSPECIFIED.into(), port) {
        Ok(second) => Ok(vec![first, second]),
        Err(NetworkError::System { source, .. }) if no_family(&source) => Ok(vec![first]),
        Err(error) => Err(error),
    }
}

fn no_family(error: &io::Error) -> bool {
    [Errno::EAFNOSUPPORT, Errno::EADDRNOTAVAIL, Errno::EPROTONOSUPPORT]
        .iter()
        .any(|errno| error.raw_os_error() == Some(*errno as i32))
}

fn hold(address: SocketAddr, target: u16, protocol: Protocol) -> Result<Bound, NetworkError> {
    let (socket, host) = open(address, protocol).map_err(|errno| match errno {
        Errno::EADDRINUSE => NetworkError::PortTaken { address, protocol },
        Errno::EACCES => NetworkError::PortForbidden { address },
        errno => NetworkError::system(format!("listen on {address}/{protocol}"))(errno.into()),
    })?;
    Ok(Bound { port: BoundPort { host, target, protocol }, socket })
}

fn open(address: SocketAddr, protocol: Protocol) -> nix::Result<(OwnedFd, SocketAddr)> {
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let kind = match protocol {
        Protocol::Tcp => SockType::Stream,
        Protocol::Udp => SockType::Datagram,
    };
    let fd = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if address.is_ipv6() {
        setsockopt(&fd, sockopt::Ipv6V6Only, &true)?;
    }
    if protocol == Protocol::Tcp {
        // Of datagrams it would let two listeners share a port.
        setsockopt(&fd, sockopt::ReuseAddr, &true)?;
    }
    bind(fd.as_raw_fd(), &SockaddrStorage::from(address))?;
    if protocol == Protocol::Tcp {
        listen(&fd, Backlog::new(BACKLOG)?)?;
    }
    let held: SockaddrStorage = nix::sys::socket::getsockname(fd.as_raw_fd())?;
    let port = held
        .as_sockaddr_in()
        .map(nix::sys::socket::SockaddrIn::port)
        .or_else(|| held.as_sockaddr_in6().map(nix::sys::socket::SockaddrIn6::port));
    Ok((fd, SocketAddr::new(address.ip(), port.unwrap_or(address.port()))))
}

/// Whether a port could be listened on now, and its number: 0 asks for any that is free.
///
/// # Errors
/// It is taken, may not be bound, or its address is not of this machine.
pub fn try_port(address: SocketAddr, protocol: Protocol) -> Result<u16, NetworkError> {
    hold(address, 0, protocol).map(|bound| bound.port.host.port())
}

/// Serves held ports until the scope of `spawner` ends.
pub(crate) fn serve(
    all: Vec<Bound>,
    container: Ipv4Addr,
    beginning: Beginning,
    worker: &Worker,
    spawner: &Spawner,
) -> io::Result<()> {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    for bound in all {
        let target = SocketAddr::from((container, bound.port.target));
        match bound.port.protocol {
            Protocol::Tcp => {
                let listener = TcpListener::from_std(bound.socket.into())?;
                let (worker, places) = (worker.clone(), places.clone());
                let way = Way { target, beginning, worker };
                spawner.spawn(accept(listener, way, places, spawner.clone()));
            }
            Protocol::Udp => {
                let socket = Arc::new(UdpSocket::from_std(bound.socket.into())?);
                spawner.spawn(receive(socket, target, worker.clone(), spawner.clone()));
            }
        }
    }
    Ok(())
}

/// Where connections lead, and how they begin there.
#[derive(Clone)]
struct Way {
    target: SocketAddr,
    beginning: Beginning,
    worker: Worker,
}

impl Way {
    /// Serves one connection to its end.
    async fn relay(&self, client: TcpStream, from: SocketAddr) -> io::Result<()> {
        let mut server = connect(&self.worker, self.target).await?;
        if self.beginning == Beginning::Announced {
            // At once: the server may be one that speaks first.
            timeout(CONNECT_DEADLINE, server.write_all(&header(from, client.local_addr()?))).await??;
        }
        join(client, server).await
    }
}

async fn accept(listener: TcpListener, way: Way, places: Arc<Semaphore>, spawner: Spawner) {
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (client, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                let target = way.target;
                tracing::warn!(%target, %error, "connection to a published port not accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let way = way.clone();
        spawner.spawn(async move {
            if let Err(error) = way.relay(client, from).await {
                let target = way.target;
                tracing::debug!(%target, %error, "published connection ended");
            }
            drop(place);
        });
    }
}

/// Connects to a container from the project's namespace.
pub(crate) async fn connect(worker: &Worker, target: SocketAddr) -> io::Result<TcpStream> {
    let socket = worker.run(TcpSocket::new_v4).await?;
    timeout(CONNECT_DEADLINE, socket.connect(target)).await?
}

async fn receive(host: Arc<UdpSocket>, target: SocketAddr, worker: Worker, spawner: Spawner) {
    let mut flows: HashMap<SocketAddr, mpsc::Sender<Vec<u8>>> = HashMap::new();
    let mut buffer = vec![0; crate::relay::DATAGRAM_BYTES_MAX];
    loop {
        let Ok((length, client)) = host.recv_from(&mut buffer).await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let datagram = buffer[..length].to_vec();
        if let Some(flow) = flows.get(&client)
            && !flow.is_closed()
        {
            // A full queue drops the datagram, as any network may.
            let _ = flow.try_send(datagram);
            continue;
        }
        if flows.len() >= FLOWS_MAX {
            flows.retain(|_, flow| !flow.is_closed());
            if flows.len() >= FLOWS_MAX {
                continue;
            }
        }
        let (sender, inbox) = mpsc::channel(FLOW_QUEUE_MAX);
        let _ = sender.try_send(datagram);
        flows.insert(client, sender);
        let (host, worker) = (host.clone(), worker.clone());
        spawner.spawn(async move {
            match connect_datagrams(&worker, target).await {
                Ok(socket) => flow(inbox, socket, |answer| drop(host.try_send_to(answer, client))).await,
                Err(error) => tracing::debug!(%target, %error, "published datagrams not passed on"),
            }
        });
    }
}

async fn connect_datagrams(worker: &Worker, target: SocketAddr) -> io::Result<UdpSocket> {
    let socket = worker
        .run(move || {
            let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
            socket.connect(target)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .await?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(published: Published, protocol: Protocol) -> PortMapping {
        PortMapping { host_ip: Some(Ipv4Addr::LOCALHOST.into()), published, target: 80, protocol }
    }

    #[test]
    fn taken_ports_are_told_and_ranges_go_on() {
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let held = bind_all(&[mapping(Published::Any, protocol)]).expect("any");
            let port = held[0].port.host.port();
            assert_ne!(port, 0);
            let Err(error) = bind_all(&[mapping(Published::Port(port), protocol)]) else { panic!("taken") };
            assert_eq!(error.to_string(), format!("port 127.0.0.1:{port}/{protocol} is taken"));
            if port < u16::MAX - 20 {
                let ranged =
                    bind_all(&[mapping(Published::OneOf(port, port + 20), protocol)]).expect("range");
                assert!(ranged[0].port.host.port() > port);
            }
            drop(held);
            bind_all(&[mapping(Published::Port(port), protocol)]).expect("free again");
        }
    }
}
