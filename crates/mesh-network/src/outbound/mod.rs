//! The way out of a project: a TUN device that this process reads and writes.
//!
//! The kernel of the project's namespace speaks TCP with the containers, ordinary sockets of the host
//! speak it with the world; between them this module only changes addresses and copies bytes. A
//! container's segment towards the world comes out of the device, is readdressed as one from the
//! device's peer to our listener, and goes back in. The question for a connection is held until the
//! host has connected, so that a refusal is seen as one. Datagrams are relayed by a socket a flow.
//!
//! Refused: addresses of the project itself (so it is no way around isolation), loopback, multicast,
//! broadcast. [`HOST_GATEWAY`] means the host's 127.0.0.1, for those containers that asked for it, known
//! by their address. Deliberately absent: ICMP (a `ping` to the world gets no answer), IP fragments, IPv6.

mod packet;
mod sessions;

use crate::{
    book::Book,
    link::Links,
    patience::patiently,
    relay::{ACCEPT_PAUSE, DATAGRAM_BYTES_MAX, FLOW_QUEUE_MAX, flow, join},
    task::{Spawner, Worker},
};
use mesh_linux::tun;
use nix::sys::socket::{setsockopt, sockopt};
use packet::{FRAME_BYTES_MAX, Headers, Transport};
use sessions::{Pair, Passage, Sessions};
use std::{
    collections::HashMap,
    ffi::OsString,
    io,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    io::unix::AsyncFd,
    net::{TcpListener, TcpStream, UdpSocket},
    sync::mpsc,
    time::{interval, sleep, timeout},
};

/// What `host-gateway` means: the host's loopback address, seen from a container.
pub(crate) const HOST_GATEWAY: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
/// Our end of the device.
const OWN: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 2);
/// The end that stands for the containers.
const PEER: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 3);

const DEVICE_NAME: &str = "mesh-out";
/// The world has this long to accept a connection.
const CONNECT_DEADLINE: Duration = Duration::from_secs(20);
/// Flows of datagrams at once.
const FLOWS_MAX: usize = 1024;
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
/// Packets that are handled before other tasks have their turn.
const PACKETS_PER_TURN_MAX: usize = 64;

/// The way out, open.
#[derive(Clone)]
pub(crate) struct WayOut {
    /// Index of its device in the project's namespace.
    pub(crate) device_index: u32,
    gate: Arc<Gate>,
}

struct Gate {
    device: AsyncFd<OwnedFd>,
    listener: SocketAddrV4,
    book: Arc<Mutex<Book>>,
    table: Mutex<Table>,
    spawner: Spawner,
}

struct Table {
    sessions: Sessions<TcpStream>,
    flows: HashMap<Pair, mpsc::Sender<Vec<u8>>>,
}

impl WayOut {
    /// Opens the device in the namespace of `worker` and serves it until the scope of `spawner` ends.
    pub(crate) async fn open(
        worker: &Worker,
        links: &Links,
        book: Arc<Mutex<Book>>,
        spawner: &Spawner,
    ) -> io::Result<Self> {
        let device = patiently(|| worker.run(|| tun::open(DEVICE_NAME))).await?;
        let device_index = links.raise_device(DEVICE_NAME, OWN, PEER).await.map_err(io::Error::other)?;
        let listener = worker
            .run(|| {
                crate::container::set(&format!("ipv4/conf/{DEVICE_NAME}/rp_filter"), "0")?;
                let listener = std::net::TcpListener::bind((OWN, 0))?;
                // Nothing but what this process has put into the device is accepted.
                setsockopt(&listener, sockopt::BindToDevice, &OsString::from(DEVICE_NAME))?;
                listener.set_nonblocking(true)?;
                Ok(listener)
            })
            .await?;
        let listener = TcpListener::from_std(listener)?;
        let port = listener.local_addr()?.port();
        let gate = Arc::new(Gate {
            device: watch(device)?,
            listener: SocketAddrV4::new(OWN, port),
            book,
            table: Mutex::new(Table { sessions: Sessions::new(), flows: HashMap::new() }),
            spawner: spawner.clone(),
        });
        spawner.spawn(gate.clone().pump());
        spawner.spawn(gate.clone().accept(listener));
        Ok(Self { device_index, gate })
    }

    /// Ends what a container's address has under way.
    pub(crate) fn forget(&self, container: Ipv4Addr) {
        let mut table = self.gate.table();
        table.sessions.forget(container);
        table.flows.retain(|(source, _), _| *source.ip() != container);
    }
}

#[expect(deprecated, reason = "its successor is unsafe, for descriptors that may close; an OwnedFd does not")]
fn watch(device: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    AsyncFd::new(device)
}

impl Gate {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads the device until it is gone.
    async fn pump(self: Arc<Self>) {
        let mut frame = vec![0; FRAME_BYTES_MAX];
        let mut sweep = interval(SWEEP_INTERVAL);
        loop {
            tokio::select! {
                _ = sweep.tick() => {
                    let mut table = self.table();
                    table.sessions.sweep(Instant::now());
                    table.flows.retain(|_, flow| !flow.is_closed());
                }
                readable = self.device.readable() => {
                    let Ok(mut readable) = readable else { return };
                    for _ in 0..PACKETS_PER_TURN_MAX {
                        match readable.try_io(|device| Ok(nix::unistd::read(device, &mut frame)?)) {
                            Ok(Ok(length)) => self.handle(&mut frame[..length]),
                            Ok(Err(error)) => {
                                tracing::warn!(%error, "way out not read");
                                sleep(ACCEPT_PAUSE).await;
                                break;
                            }
                            Err(_would_block) => break,
                        }
                    }
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    fn handle(self: &Arc<Self>, frame: &mut [u8]) {
        let Some(headers) = Headers::read(frame) else { return };
        if headers.source == self.listener {
            let pair = self.table().sessions.pair(headers.destination.port());
            if let Some((container, destination)) = pair {
                headers.readdress(frame, destination, container);
                self.write(frame);
            }
            return;
        }
        let pair = (headers.source, headers.destination);
        if !self.owns(*pair.0.ip()) {
            return;
        }
        match headers.transport {
            Transport::Udp => self.pass_datagram(pair, headers.datagram(frame)),
            Transport::Tcp { .. } => self.pass_segment(&headers, pair, frame),
        }
    }

    fn pass_segment(self: &Arc<Self>, headers: &Headers, pair: Pair, frame: &mut [u8]) {
        let mut table = self.table();
        if headers.opens() && table.sessions.is_new(pair) {
            let target = self.target(pair);
            let place = target.and_then(|target| Some((target, table.sessions.begin(pair)?)));
            drop(table);
            match place {
                Some((target, (port, token))) => {
                    let (gate, frame, headers) = (self.clone(), frame.to_vec(), *headers);
                    self.spawner.spawn(async move {
                        tokio::select! {
                            () = token.cancelled() => {}
                            () = gate.connect(target, port, headers, frame) => {}
                        }
                    });
                }
                None => self.refuse(headers, frame),
            }
            return;
        }
        let passage = table.sessions.passage(pair);
        drop(table);
        match passage {
            Passage::Pass(port) => {
                headers.readdress(frame, SocketAddrV4::new(PEER, port), self.listener);
                self.write(frame);
            }
            Passage::Wait => {}
            Passage::Unknown => self.refuse(headers, frame),
        }
    }

    /// Connects to the world, then lets the container's question go on to the listener.
    async fn connect(&self, target: SocketAddrV4, port: u16, headers: Headers, mut frame: Vec<u8>) {
        let pair = (headers.source, headers.destination);
        match timeout(CONNECT_DEADLINE, TcpStream::connect(target)).await {
            Ok(Ok(host)) => {
                if self.table().sessions.connected(port, pair, host, Instant::now()) {
                    headers.readdress(&mut frame, SocketAddrV4::new(PEER, port), self.listener);
                    self.write(&frame);
                }
            }
            Ok(Err(_)) | Err(_) => {
                self.table().sessions.end(port, pair, Instant::now());
                self.refuse(&headers, &frame);
            }
        }
    }

    /// Takes the containers' ends and joins each with the host's.
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (container, peer) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "connection to the world not accepted");
                    sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let opened = match peer {
                SocketAddr::V4(peer) if *peer.ip() == PEER => self.table().sessions.open(peer.port()),
                _ => None,
            };
            let Some((host, pair, token)) = opened else { continue };
            let gate = self.clone();
            self.spawner.spawn(async move {
                tokio::select! {
                    () = token.cancelled() => {}
                    result = join(container, host) => if let Err(error) = result {
                        tracing::debug!(%error, "connection to the world ended");
                    }
                }
                gate.table().sessions.end(peer.port(), pair, Instant::now());
            });
        }
    }

    fn pass_datagram(self: &Arc<Self>, pair: Pair, content: &[u8]) {
        let Some(target) = self.target(pair) else { return };
        if content.len() > DATAGRAM_BYTES_MAX {
            return;
        }
        let mut table = self.table();
        if let Some(flow) = table.flows.get(&pair)
            && !flow.is_closed()
        {
            // A full queue drops the datagram, as any network may.
            let _ = flow.try_send(content.to_vec());
            return;
        }
        if table.flows.len() >= FLOWS_MAX {
            return;
        }
        let (sender, inbox) = mpsc::channel(FLOW_QUEUE_MAX);
        let _ = sender.try_send(content.to_vec());
        table.flows.insert(pair, sender);
        drop(table);
        let gate = self.clone();
        self.spawner.spawn(async move {
            let socket = async {
                let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await?;
                socket.connect(target).await?;
                io::Result::Ok(socket)
            };
            match socket.await {
                Ok(socket) => flow(inbox, socket, |answer| gate.answer(pair, answer)).await,
                Err(error) => tracing::debug!(%error, "datagrams to the world not passed on"),
            }
        });
    }

    fn answer(&self, (container, destination): Pair, content: &[u8]) {
        if let Some(frame) = packet::datagram(destination, container, content) {
            self.write(&frame);
        }
    }

    fn refuse(&self, headers: &Headers, frame: &[u8]) {
        if let Some(refusal) = headers.refusal(frame) {
            self.write(&refusal);
        }
    }

    /// Puts a packet into the device. A full device drops it, and whoever sent it sends it again.
    fn write(&self, frame: &[u8]) {
        if let Err(error) = nix::unistd::write(self.device.get_ref().as_fd(), frame) {
            tracing::trace!(%error, "packet dropped at the way out");
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn owns(&self, address: Ipv4Addr) -> bool {
        self.book().owns(address)
    }

    /// Where the host connects to for a container. `None`: that is refused.
    fn target(&self, (container, destination): Pair) -> Option<SocketAddrV4> {
        let ip = *destination.ip();
        match ip {
            HOST_GATEWAY => {
                let allowed = self.book().may_reach_host(*container.ip());
                allowed.then(|| SocketAddrV4::new(Ipv4Addr::LOCALHOST, destination.port()))
            }
            OWN | PEER => None,
            _ if ip.is_loopback() || ip.is_multicast() || ip.is_broadcast() || ip.octets()[0] == 0 => None,
            _ => (!self.owns(ip)).then_some(destination),
        }
    }
}
