//! Connections under way through the way out. Pure: the clock is given.
//!
//! A connection of a container becomes one from the device's peer to our listener; the port of the
//! peer tells which. A port is kept for [`LINGER`] after the end, for the last segments of both sides.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddrV4},
    time::{Duration, Instant},
};
use tokio_util::sync::CancellationToken;

/// Connections at once, those that linger included.
pub(crate) const SESSIONS_MAX: usize = 4096;
/// A port is kept for so long after the end of its connection.
pub(crate) const LINGER: Duration = Duration::from_secs(30);
/// Ports of the device's peer.
const PORT_FIRST: u16 = 1024;

/// Both ends as the container sees them.
pub(crate) type Pair = (SocketAddrV4, SocketAddrV4);

/// How far a connection is. `S` is the host's end of it.
#[derive(Debug)]
enum State<S> {
    /// The host connects.
    Connecting,
    /// The host has connected, the container's end is on its way to the listener.
    Ready { host: S, since: Instant },
    /// Bytes flow.
    Open,
    /// Both ends are gone.
    Ended { since: Instant },
}

#[derive(Debug)]
struct Session<S> {
    pair: Pair,
    state: State<S>,
    token: CancellationToken,
}

/// What to do with a container's segment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// It goes to the listener, from this port of the peer.
    Pass(u16),
    /// It is a repetition of a question that is being worked on.
    Wait,
    /// Nobody knows the connection.
    Unknown,
}

/// All connections.
#[derive(Debug)]
pub(crate) struct Sessions<S> {
    by_port: HashMap<u16, Session<S>>,
    by_pair: HashMap<Pair, u16>,
    next: u16,
}

impl<S> Sessions<S> {
    pub(crate) fn new() -> Self {
        Self { by_port: HashMap::new(), by_pair: HashMap::new(), next: PORT_FIRST }
    }

    /// Where a segment of a container belongs.
    pub(crate) fn passage(&self, pair: Pair) -> Passage {
        let Some(port) = self.by_pair.get(&pair) else { return Passage::Unknown };
        match self.by_port.get(port).map(|session| &session.state) {
            Some(State::Connecting) => Passage::Wait,
            Some(State::Ready { .. } | State::Open | State::Ended { .. }) => Passage::Pass(*port),
            None => Passage::Unknown,
        }
    }

    /// Whether a question for a connection is a new one.
    pub(crate) fn is_new(&self, pair: Pair) -> bool {
        let session = self.by_pair.get(&pair).and_then(|port| self.by_port.get(port));
        session.is_none_or(|session| matches!(session.state, State::Ended { .. }))
    }

    /// Enters a new connection. `None`: there are too many.
    pub(crate) fn begin(&mut self, pair: Pair) -> Option<(u16, CancellationToken)> {
        if let Some(port) = self.by_pair.remove(&pair) {
            self.by_port.remove(&port);
        }
        if self.by_port.len() >= SESSIONS_MAX {
            let ended = self.by_port.iter().filter_map(|(port, session)| match session.state {
                State::Ended { since } => Some((since, *port)),
                _ => None,
            });
            let (_, oldest) = ended.min()?;
            self.remove(oldest);
        }
        while self.by_port.contains_key(&self.next) {
            self.next = self.after_next();
        }
        let port = self.next;
        self.next = self.after_next();
        let token = CancellationToken::new();
        self.by_pair.insert(pair, port);
        self.by_port.insert(port, Session { pair, state: State::Connecting, token: token.clone() });
        Some((port, token))
    }

    /// The host has connected. `false`: nobody waits any more.
    pub(crate) fn connected(&mut self, port: u16, pair: Pair, host: S, now: Instant) -> bool {
        match self.by_port.get_mut(&port) {
            Some(session) if session.pair == pair => {
                session.state = State::Ready { host, since: now };
                true
            }
            _ => false,
        }
    }

    /// The container's end has come to the listener: gives the host's.
    pub(crate) fn open(&mut self, port: u16) -> Option<(S, Pair, CancellationToken)> {
        let session = self.by_port.get_mut(&port)?;
        match std::mem::replace(&mut session.state, State::Open) {
            State::Ready { host, .. } => Some((host, session.pair, session.token.clone())),
            other => {
                session.state = other;
                None
            }
        }
    }

    /// Both ends are gone; or, before the connection was open, there never was one.
    pub(crate) fn end(&mut self, port: u16, pair: Pair, now: Instant) {
        match self.by_port.get_mut(&port) {
            Some(session) if session.pair == pair => match session.state {
                State::Connecting => self.remove(port),
                _ => session.state = State::Ended { since: now },
            },
            _ => {}
        }
    }

    /// Both ends as the container knows them.
    pub(crate) fn pair(&self, port: u16) -> Option<Pair> {
        self.by_port.get(&port).map(|session| session.pair)
    }

    /// Ends every connection of a container's address.
    pub(crate) fn forget(&mut self, container: Ipv4Addr) {
        self.retain(|session| *session.pair.0.ip() != container);
    }

    /// Drops what has lingered or waited for long enough.
    pub(crate) fn sweep(&mut self, now: Instant) {
        self.retain(|session| match session.state {
            State::Ended { since } | State::Ready { since, .. } => now.duration_since(since) < LINGER,
            State::Connecting | State::Open => true,
        });
    }

    fn retain(&mut self, keep: impl Fn(&Session<S>) -> bool) {
        self.by_port.retain(|_, session| {
            let keep = keep(session);
            if !keep {
                session.token.cancel();
            }
            keep
        });
        self.by_pair.retain(|_, port| self.by_port.contains_key(port));
    }

    fn remove(&mut self, port: u16) {
        if let Some(session) = self.by_port.remove(&port) {
            self.by_pair.remove(&session.pair);
        }
    }

    fn after_next(&self) -> u16 {
        self.next.checked_add(1).unwrap_or(PORT_FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(port: u16) -> Pair {
        let container = Ipv4Addr::from(0x0a01_0002);
        (SocketAddrV4::new(container, port), SocketAddrV4::new(Ipv4Addr::new(198, 51, 100, 1), 80))
    }

    #[test]
    fn a_connection_goes_its_way() {
        let (mut sessions, now) = (Sessions::new(), Instant::now());
        assert_eq!(sessions.passage(pair(1)), Passage::Unknown);
        let (port, token) = sessions.begin(pair(1)).expect("place");
        assert!(!sessions.is_new(pair(1)));
        assert_eq!(sessions.passage(pair(1)), Passage::Wait);
        assert!(sessions.open(port).is_none());
        assert!(sessions.connected(port, pair(1), "host", now));
        assert_eq!(sessions.passage(pair(1)), Passage::Pass(port));
        assert_eq!(sessions.open(port).map(|(host, pair, _)| (host, pair)), Some(("host", pair(1))));
        assert!(sessions.open(port).is_none());
        sessions.end(port, pair(1), now);
        assert!(sessions.is_new(pair(1)));
        assert_eq!(sessions.passage(pair(1)), Passage::Pass(port));
        sessions.sweep(now + LINGER);
        assert_eq!(sessions.passage(pair(1)), Passage::Unknown);
        assert!(token.is_cancelled());
    }

    #[test]
    fn a_container_that_went_is_forgotten() {
        let mut sessions = Sessions::<()>::new();
        let (port, token) = sessions.begin(pair(1)).expect("place");
        sessions.forget(*pair(1).0.ip());
        assert!(token.is_cancelled());
        assert!(!sessions.connected(port, pair(1), (), Instant::now()));
    }

    #[test]
    fn their_number_is_bounded() {
        let (mut sessions, now) = (Sessions::new(), Instant::now());
        let ports: Vec<u16> =
            (0..SESSIONS_MAX as u16).map(|n| sessions.begin(pair(n)).expect("place").0).collect();
        assert!(sessions.begin(pair(u16::MAX)).is_none());
        assert!(sessions.connected(ports[5], pair(5), (), now));
        assert!(sessions.open(ports[5]).is_some());
        sessions.end(ports[5], pair(5), now);
        assert!(sessions.begin(pair(u16::MAX)).is_some());
        assert!(sessions.pair(ports[5]).is_none());
    }
}
