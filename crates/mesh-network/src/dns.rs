//! The name server of one container.
//!
//! It answers for the names of [`Directory`] and hands everything else, as it came, to the servers of
//! the host (or of the service), from the host's network namespace. Deliberately absent: a cache, as
//! the next server has one, and zone transfers.

use crate::{
    container::DnsSockets,
    names::{Directory, Finding},
    relay::ACCEPT_PAUSE,
    task::Spawner,
    upstream::{self, Transport},
};
use hickory_proto::{
    op::{Message, MessageType, Metadata, OpCode, ResponseCode},
    rr::{
        DNSClass, Name, RData, Record, RecordType,
        rdata::{A, PTR},
    },
};
use mesh_model::container::ContainerId;
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Answers stay true for this long: containers come and go.
const TTL_SECONDS: u32 = 2;
/// Addresses in one answer; more of them would not fit a datagram.
const ANSWERS_MAX: usize = 24;
/// Questions of one container that wait for other servers.
const FORWARDED_MAX: usize = 64;
/// Connections of one container.
const CONNECTIONS_MAX: usize = 16;
/// A connection without a question for so long is closed.
const CONNECTION_IDLE: Duration = Duration::from_secs(10);
/// Largest question over UDP, in bytes.
const QUESTION_BYTES_MAX: usize = 4096;

/// Answers one container.
pub(crate) struct Server {
    pub(crate) asker: ContainerId,
    pub(crate) directory: Arc<Mutex<Directory>>,
    /// Servers for all other names; empty: those of the host.
    pub(crate) upstream: Vec<IpAddr>,
    pub(crate) turn: AtomicUsize,
    pub(crate) forwarded: Semaphore,
}

enum Reply {
    Ready(Vec<u8>),
    Forward(Message),
    Nothing,
}

impl Server {
    pub(crate) fn new(asker: ContainerId, directory: Arc<Mutex<Directory>>, upstream: Vec<IpAddr>) -> Self {
        Self {
            asker,
            directory,
            upstream,
            turn: AtomicUsize::new(0),
            forwarded: Semaphore::new(FORWARDED_MAX),
        }
    }

    /// Serves until the scope of `spawner` ends.
    pub(crate) fn start(self, sockets: DnsSockets, spawner: &Spawner) -> std::io::Result<()> {
        let udp = Arc::new(UdpSocket::from_std(sockets.udp)?);
        let tcp = TcpListener::from_std(sockets.tcp)?;
        let server = Arc::new(self);
        spawner.spawn(server.clone().serve_datagrams(udp, spawner.clone()));
        spawner.spawn(server.serve_connections(tcp, spawner.clone()));
        Ok(())
    }

    async fn serve_datagrams(self: Arc<Self>, socket: Arc<UdpSocket>, spawner: Spawner) {
        let mut buffer = vec![0; QUESTION_BYTES_MAX];
        loop {
            let Ok((length, client)) = socket.recv_from(&mut buffer).await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let question = &buffer[..length];
            match self.reply(question) {
                Reply::Ready(answer) => drop(socket.send_to(&answer, client).await),
                Reply::Nothing => {}
                Reply::Forward(message) => {
                    let (server, socket, question) = (self.clone(), socket.clone(), question.to_vec());
                    spawner.spawn(async move {
                        let answer = server.forward(&question, &message, Transport::Udp).await;
                        drop(socket.send_to(&answer, client).await);
                    });
                }
            }
        }
    }

    async fn serve_connections(self: Arc<Self>, listener: TcpListener, spawner: Spawner) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            let Ok((stream, _)) = listener.accept().await else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let server = self.clone();
            spawner.spawn(async move {
                server.serve_connection(stream).await.unwrap_or_else(|error| {
                    tracing::trace!(%error, "connection for names ended");
                });
                drop(place);
            });
        }
    }

    async fn serve_connection(&self, mut stream: TcpStream) -> std::io::Result<()> {
        loop {
            let length = timeout(CONNECTION_IDLE, stream.read_u16()).await??;
            let mut question = vec![0; length.into()];
            timeout(CONNECTION_IDLE, stream.read_exact(&mut question)).await??;
            let answer = match self.reply(&question) {
                Reply::Ready(answer) => answer,
                Reply::Forward(message) => self.forward(&question, &message, Transport::Tcp).await,
                Reply::Nothing => return Ok(()),
            };
            let length = u16::try_from(answer.len()).map_err(std::io::Error::other)?;
            stream.write_u16(length).await?;
            stream.write_all(&answer).await?;
        }
    }

    /// What can be said at once.
    fn reply(&self, question: &[u8]) -> Reply {
        let Ok(message) = Message::from_vec(question) else { return Reply::Nothing };
        if message.metadata.message_type != MessageType::Query {
            return Reply::Nothing;
        }
        let [query] = message.queries.as_slice() else {
            return ready(&message, ResponseCode::FormErr, Vec::new());
        };
        if message.metadata.op_code != OpCode::Query || query.query_class() != DNSClass::IN {
            return ready(&message, ResponseCode::NotImp, Vec::new());
        }
        let directory = self.directory.lock().unwrap_or_else(PoisonError::into_inner);
        let reversed = (query.query_type() == RecordType::PTR).then(|| address_of(query.name())).flatten();
        let finding = match reversed {
            Some(address) => directory.name(&self.asker, address),
            None => directory.addresses(&self.asker, &query.name().to_ascii()),
        };
        drop(directory);
        let name = query.name().clone();
        match finding {
            Finding::Addresses(mut addresses) => {
                if !matches!(query.query_type(), RecordType::A | RecordType::ANY) {
                    return ready(&message, ResponseCode::NoError, Vec::new());
                }
                let turn = self.turn.fetch_add(1, Ordering::Relaxed);
                let first = turn % addresses.len().max(1);
                addresses.rotate_left(first);
                addresses.truncate(ANSWERS_MAX);
                let record = |address| Record::from_rdata(name.clone(), TTL_SECONDS, RData::A(A(address)));
                ready(&message, ResponseCode::NoError, addresses.into_iter().map(record).collect())
            }
            Finding::Name(text) => match Name::from_ascii(&text) {
                Ok(target) => {
                    let record = Record::from_rdata(name, TTL_SECONDS, RData::PTR(PTR(target)));
                    ready(&message, ResponseCode::NoError, vec![record])
                }
                Err(_) => ready(&message, ResponseCode::NoError, Vec::new()),
            },
            Finding::Nobody => ready(&message, ResponseCode::NXDomain, Vec::new()),
            Finding::Unknown => Reply::Forward(message),
        }
    }

    /// The answer of another server, or the failure to get one. Takes no longer than
    /// [`upstream::DEADLINE`].
    async fn forward(&self, question: &[u8], message: &Message, transport: Transport) -> Vec<u8> {
        let answer = match self.forwarded.try_acquire() {
            Ok(_place) => upstream::ask(&self.upstream, question, transport).await,
            Err(_) => None,
        };
        answer.unwrap_or_else(|| encode(message, ResponseCode::ServFail, Vec::new()))
    }
}

fn ready(message: &Message, code: ResponseCode, answers: Vec<Record>) -> Reply {
    Reply::Ready(encode(message, code, answers))
}

fn encode(message: &Message, code: ResponseCode, answers: Vec<Record>) -> Vec<u8> {
    let mut response = Message::response(message.metadata.id, message.metadata.op_code);
    response.metadata = Metadata::response_from_request(&message.metadata);
    response.metadata.response_code = code;
    response.metadata.recursion_available = true;
    response.add_queries(message.queries.iter().cloned());
    response.insert_answers(answers);
    response.to_vec().unwrap_or_default()
}

/// The address of a name such as `3.0.1.10.in-addr.arpa.`
fn address_of(name: &Name) -> Option<Ipv4Addr> {
    let text = name.to_ascii().to_ascii_lowercase();
    let mut parts = text.trim_end_matches('.').strip_suffix(".in-addr.arpa")?.split('.');
    let mut next = || parts.next()?.parse::<u8>().ok();
    let (d, c, b, a) = (next()?, next()?, next()?, next()?);
    parts.next().is_none().then(|| Ipv4Addr::new(a, b, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_names_are_addresses() {
        for (name, expected) in [
            ("3.0.1.10.in-addr.arpa.", Some(Ipv4Addr::new(10, 1, 0, 3))),
            ("0.1.10.in-addr.arpa.", None),
            ("1.3.0.1.10.in-addr.arpa.", None),
            ("300.0.1.10.in-addr.arpa.", None),
            ("3.0.1.10.", None),
        ] {
            assert_eq!(address_of(&Name::from_ascii(name).expect("name")), expected, "{name}");
        }
    }

    #[test]
    fn broken_questions_do_no_harm() {
        let server = Server::new(ContainerId("a".into()), Arc::default(), Vec::new());
        for length in 0..40 {
            for byte in [0_u8, 1, 0xc0, 0xff] {
                server.reply(&vec![byte; length]);
            }
        }
    }
}
