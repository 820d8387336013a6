//! Entry points of UDP: each client has a session with one server, until neither has said anything for a while.
//!
//! Answers come from the address that was asked. One task owns the sessions of an entry point and hands each what its client says; a session hands back what its server
//! says. What finds no place is lost, as datagrams are: nobody waits for a slow one. Who a client is, is what its
//! datagrams say: sessions are bounded in number and in time.

use super::{
    datagram::{self, Pair},
    entry::BindError,
    handler::Site,
};
use crate::config::statics::EntryPoint;
use bytes::Bytes;
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc, watch},
    time::timeout,
};

/// Most sessions of an entry point at a time; each takes a descriptor.
const SESSIONS_MAX: usize = 8_192;
/// Largest datagram, in bytes.
const DATAGRAM_BYTES_MAX: usize = 65_535;
/// Datagrams that wait for a session; further ones are lost.
const WAITING_MAX: usize = 64;
/// Bytes of datagrams that wait for all sessions of an entry point together.
const WAITING_BYTES_MAX: usize = 32 << 20;
/// How long a server's name may take to be found, and for how long the answer holds.
const RESOLVE_MAX: Duration = Duration::from_secs(5);
const RESOLVED_FOR: Duration = Duration::from_secs(1);
/// How long a session lasts in which nobody says anything, where nothing is configured or no time at all.
const SILENCE_MAX: Duration = Duration::from_secs(3);
/// How often it is told at most that datagrams are lost.
const TOLD_EVERY: Duration = Duration::from_secs(60);
/// Pause after an error of the entry point's own socket.
const PAUSE: Duration = Duration::from_millis(50);

/// An entry point that listens.
#[derive(Debug)]
pub(crate) struct UdpEntry {
    name: String,
    socket: Arc<UdpSocket>,
    silence: Duration,
    sessions_max: usize,
    room: Arc<Semaphore>,
    addresses: Addresses,
    site: Arc<Site>,
}

/// What the owner knows of a session.
struct Session {
    /// Tells it from an earlier one of the same client.
    number: u64,
    said: mpsc::Sender<Waiting>,
}

/// A datagram that waits, and the room that it takes.
struct Waiting {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

/// Where names of servers lead. Whoever opens sessions by the thousand has a name looked for once at a time, and once a
/// second: others need the threads that do it.
#[derive(Debug, Clone, Default)]
struct Addresses(Arc<Mutex<HashMap<String, Found>>>);

/// When a name was looked for, and where it leads.
type Found = (Instant, Vec<SocketAddr>);

impl Addresses {
    async fn of(&self, server: &str) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = server.parse() {
            return Ok(vec![address]);
        }
        let mut known = self.0.clone().lock_owned().await;
        known.retain(|_, (at, _)| at.elapsed() < RESOLVED_FOR);
        if let Some((_, found)) = known.get(server) {
            return Ok(found.clone());
        }
        let name = server.to_owned();
        // It goes on when nobody waits for it any more, and nobody else begins meanwhile.
        let looked = tokio::spawn(async move {
            let found = lookup_host(&name).await.map(Iterator::collect).unwrap_or_default();
            known.insert(name, (Instant::now(), Vec::clone(&found)));
            found
        });
        looked.await.map_err(io::Error::other)
    }
}

impl UdpEntry {
    /// Listens; nobody is answered yet.
    pub(crate) async fn bind(name: &str, options: &EntryPoint, site: Arc<Site>) -> Result<Self, BindError> {
        let address = options.address.split('/').next().unwrap_or_default().to_owned();
        if address.rsplit_once(':').is_none_or(|(_, port)| port.parse::<u16>().is_err()) {
            return Err(BindError::Address { name: name.to_owned(), address: options.address.clone() });
        }
        let socket = datagram::listen(&address).await.map_err(|source| BindError::Listen {
            name: name.to_owned(),
            address: options.address.clone(),
            source,
        })?;
        Ok(Self {
            name: name.to_owned(),
            socket: Arc::new(socket),
            silence: options.udp.timeout.get().unwrap_or(SILENCE_MAX),
            sessions_max: SESSIONS_MAX,
            room: Arc::new(Semaphore::new(WAITING_BYTES_MAX)),
            addresses: Addresses::default(),
            site,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Takes datagrams until told to stop; sessions hand back what is still to come without it.
    pub(crate) async fn serve(self, mut stop: watch::Receiver<bool>) {
        // Each session says once that it has ended: there is room for all of them.
        let (ended, mut endings) = mpsc::channel::<(Pair, u64)>(self.sessions_max);
        let mut sessions: HashMap<Pair, Session> = HashMap::new();
        let (mut number, mut told) = (0, None);
        let mut datagram = vec![0; DATAGRAM_BYTES_MAX];
        loop {
            let received = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return,
                Some((pair, number)) = endings.recv() => {
                    if sessions.get(&pair).is_some_and(|session| session.number == number) {
                        sessions.remove(&pair);
                    }
                    continue;
                }
                received = datagram::receive(&self.socket, &mut datagram) => received,
            };
            let (size, pair) = match received {
                Ok(received) => received,
                Err(error) => {
                    tracing::debug!(entry = %self.name, %error, "a datagram was not received");
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
            };
            let taken = u32::try_from(size).unwrap_or(u32::MAX);
            let Ok(room) = self.room.clone().try_acquire_many_owned(taken) else { continue };
            let said = Waiting { bytes: Bytes::copy_from_slice(&datagram[..size]), _room: room };
            let said = match sessions.get(&pair) {
                None => said,
                Some(session) => match session.said.try_send(said) {
                    Ok(()) | Err(mpsc::error::TrySendError::Full(_)) => continue,
                    // It has ended just now.
                    Err(mpsc::error::TrySendError::Closed(said)) => said,
                },
            };
            sessions.remove(&pair);
            let Some((route, server)) = self.place(sessions.len(), &mut told) else { continue };
            number += 1;
            let (sender, receiver) = mpsc::channel(WAITING_MAX);
            // It is new, and has room.
            let _ = sender.try_send(said);
            sessions.insert(pair, Session { number, said: sender });
            let (socket, site, silence) = (self.socket.clone(), self.site.clone(), self.silence);
            let (ended, this, addresses) = (ended.clone(), number, self.addresses.clone());
            self.site.tasks.spawn(async move {
                let ending = tokio::select! {
                    ending = session(&socket, pair, (&server, &addresses), receiver, silence) => ending,
                    () = site.stop.cancelled() => Ok(()),
                };
                if let Err(error) = ending {
                    tracing::debug!(router = %route, client = %pair.client, server, %error, "a session ended by an error");
                }
                // Nobody is left to be told at the end of all.
                let _ = ended.try_send((pair, this));
            });
        }
    }

    /// The router and the server for a new session; none if there is no place, or nobody is there.
    fn place(&self, sessions: usize, told: &mut Option<Instant>) -> Option<(String, String)> {
        let lost = if sessions >= self.sessions_max {
            "there are too many sessions"
        } else if let Some(route) = self.site.current().udp.get(&self.name) {
            match route.destination.next() {
                Some(server) => return Some((route.name.clone(), server.to_owned())),
                None => "no available server",
            }
        } else {
            "no router asks for them"
        };
        if told.is_none_or(|last| last.elapsed() >= TOLD_EVERY) {
            *told = Some(Instant::now());
            tracing::warn!(entry = %self.name, "datagrams are lost: {lost}");
        }
        None
    }
}

/// Hands datagrams on between a client and a server until both are silent.
async fn session(
    socket: &UdpSocket,
    pair: Pair,
    (server, addresses): (&str, &Addresses),
    mut said: mpsc::Receiver<Waiting>,
    silence: Duration,
) -> io::Result<()> {
    let upstream = connect(server, addresses).await?;
    // Whoever gives out no more datagrams lets the session end by itself.
    let mut open = true;
    loop {
        let next = async {
            tokio::select! {
                from_client = said.recv(), if open => match from_client {
                    Some(waiting) => upstream.send(&waiting.bytes).await.map(drop),
                    None => {
                        open = false;
                        Ok(())
                    }
                },
                ready = upstream.readable() => {
                    ready?;
                    // Room for it is taken when it is there: most sessions wait.
                    let mut datagram = Vec::with_capacity(DATAGRAM_BYTES_MAX);
                    match upstream.try_recv_buf(&mut datagram) {
                        // A client that is not there any more is no error of anybody's.
                        Ok(_) => drop(datagram::answer(socket, pair, &datagram).await),
                        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                        Err(error) => return Err(error),
                    }
                    Ok(())
                }
            }
        };
        match timeout(silence, next).await {
            Ok(done) => done?,
            Err(_) => return Ok(()),
        }
    }
}

async fn connect(server: &str, addresses: &Addresses) -> io::Result<UdpSocket> {
    let found = timeout(RESOLVE_MAX, addresses.of(server)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in found {
        let own: SocketAddr = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(own).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

#[cfg(test)]
impl UdpEntry {
    /// The same, with fewer places.
    pub(super) fn with_sessions(self, most: usize) -> Self {
        Self { sessions_max: most, ..self }
    }
}
