//! The PROXY protocol: what a load balancer in front says of a connection before its first byte.
//!
//! Both versions, as HAProxy's specification has them. What is said is believed of those only that the configuration
//! trusts; what others say is read and passed over. A connection that says nothing is what it is.

use super::{looked::Looked, tcp::Peers};
use crate::{
    config::statics::ProxyHeader,
    rule::{NetworkError, Networks},
    snapshot,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// What the second version begins with.
pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// What the first begins with, and most bytes of its line (section 2.1).
const WORD: &[u8] = b"PROXY ";
const LINE_BYTES_MAX: usize = 107;
/// Bytes of the second version's fixed part, and most of the rest.
pub(super) const FIXED_BYTES: usize = 16;
pub(super) const REST_BYTES_MAX: usize = 4 << 10;
/// The second version with its command: the balancer's own connection, or somebody's (section 2.2).
const LOCAL: u8 = 0x20;
const PROXIED: u8 = 0x21;
/// How long a client may take to say it.
const SAYING_MAX: Duration = Duration::from_secs(10);

/// Whom an entry point believes.
#[derive(Debug)]
pub(super) struct Announced {
    everyone: bool,
    trusted: Option<Networks>,
}

/// What a connection begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// More has to be seen.
    More,
    /// Something else.
    Nothing,
    /// So many bytes, and on whose behalf; none on the balancer's own.
    Header { length: usize, client: Option<SocketAddr> },
    /// It begins like a header and is none.
    Wrong,
}

impl Announced {
    pub(super) fn new(options: &ProxyHeader) -> Result<Self, NetworkError> {
        let trusted = match options.trusted_ips.is_empty() {
            true => None,
            false => Some(Networks::parse(&options.trusted_ips)?),
        };
        Ok(Self { everyone: options.insecure, trusted })
    }

    /// Whose connection it is, the header taken off; none if it is to be closed.
    pub(super) async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<SocketAddr> {
        let deadline = Instant::now() + SAYING_MAX;
        let mut seen = vec![0; FIXED_BYTES + REST_BYTES_MAX];
        let mut looked = Looked::new(SAYING_MAX);
        loop {
            let count = timeout_at(deadline, stream.peek(&mut seen)).await.ok()?.ok()?;
            match said(&seen[..count]) {
                Said::Nothing => return Some(peer),
                Said::Wrong => return None,
                Said::More if looked.more(stream, count).await => {}
                Said::More => return None,
                Said::Header { length, client } => {
                    stream.read_exact(&mut seen[..length]).await.ok()?;
                    let address = peer.ip().to_canonical();
                    let believed = self.everyone
                        || self.trusted.as_ref().is_some_and(|trusted| trusted.contain(address));
                    return Some(client.filter(|_| believed).unwrap_or(peer));
                }
            }
        }
    }
}

fn said(bytes: &[u8]) -> Said {
    let begins = |with: &[u8]| {
        let length = with.len().min(bytes.len());
        bytes[..length] == with[..length]
    };
    match () {
        () if bytes.len() >= SIGNATURE.len() && begins(SIGNATURE) => second(bytes),
        () if bytes.len() >= WORD.len() && begins(WORD) => first(bytes),
        () if begins(SIGNATURE) || begins(WORD) => Said::More,
        () => Said::Nothing,
    }
}

/// Whether bytes begin with a header of either version, and on whose behalf; how long it is.
pub(crate) fn preamble(bytes: &[u8]) -> Option<(usize, Option<SocketAddr>)> {
    match said(bytes) {
        Said::Header { length, client } => Some((length, client)),
        Said::More | Said::Nothing | Said::Wrong => None,
    }
}

/// A line of text.
fn first(bytes: &[u8]) -> Said {
    let shown = &bytes[..bytes.len().min(LINE_BYTES_MAX)];
    let Some(end) = shown.windows(2).position(|pair| pair == b"\r\n") else {
        return if shown.len() < LINE_BYTES_MAX { Said::More } else { Said::Wrong };
    };
    let Ok(line) = std::str::from_utf8(&shown[..end]) else { return Said::Wrong };
    let length = end + 2;
    let parts: Vec<&str> = line.split(' ').collect();
    match *parts.as_slice() {
        [_, "UNKNOWN", ..] => Said::Header { length, client: None },
        [_, family @ ("TCP4" | "TCP6"), source, _, port, _] => {
            let (Ok(address), Ok(port)) = (source.parse::<IpAddr>(), port.parse::<u16>()) else {
                return Said::Wrong;
            };
            if address.is_ipv4() != (family == "TCP4") {
                return Said::Wrong;
            }
            Said::Header { length, client: Some(SocketAddr::new(address, port)) }
        }
        _ => Said::Wrong,
    }
}

/// Bytes with their lengths, after the signature.
pub(super) fn second(bytes: &[u8]) -> Said {
    let Some((fixed, rest)) = bytes.split_at_checked(FIXED_BYTES) else { return Said::More };
    let rest_length = usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if fixed[12] >> 4 != 2 || rest_length > REST_BYTES_MAX {
        return Said::Wrong;
    }
    let Some(rest) = rest.get(..rest_length) else { return Said::More };
    let length = FIXED_BYTES + rest_length;
    // The lower half says whether it is the balancer's own connection (0) or somebody's (1).
    let client = match (fixed[12] & 0xf, fixed[13] >> 4) {
        (0, _) => None,
        (1, 1) if rest.len() >= 12 => {
            let address: [u8; 4] = [rest[0], rest[1], rest[2], rest[3]];
            Some(SocketAddr::new(address.into(), u16::from_be_bytes([rest[8], rest[9]])))
        }
        (1, 2) if rest.len() >= 36 => {
            let Ok(address) = <[u8; 16]>::try_from(&rest[..16]) else { return Said::Wrong };
            Some(SocketAddr::new(address.into(), u16::from_be_bytes([rest[32], rest[33]])))
        }
        // Of other families nothing is known here.
        (1, 0 | 3..) => None,
        _ => return Said::Wrong,
    };
    Said::Header { length, client }
}

/// What a server is told of a client's connection before its first byte. Addresses that are not of one family, or not
/// known, are not told.
pub(super) fn announcement(version: snapshot::Announced, ends: Peers) -> Vec<u8> {
    let canonical = |address: SocketAddr| SocketAddr::new(address.ip().to_canonical(), address.port());
    let client = canonical(ends.client);
    let here = ends.here.map(canonical).filter(|here| here.is_ipv4() == client.is_ipv4());
    match (version, here) {
        (snapshot::Announced::First, None) => b"PROXY UNKNOWN\r\n".to_vec(),
        (snapshot::Announced::First, Some(here)) => {
            let family = if client.is_ipv4() { "TCP4" } else { "TCP6" };
            let (from, to) = (client.ip(), here.ip());
            format!("PROXY {family} {from} {to} {} {}\r\n", client.port(), here.port()).into_bytes()
        }
        (snapshot::Announced::Second, here) => {
            let mut rest = Vec::new();
            for address in here.iter().flat_map(|here| [client.ip(), here.ip()]) {
                match address {
                    IpAddr::V4(address) => rest.extend(address.octets()),
                    IpAddr::V6(address) => rest.extend(address.octets()),
                }
            }
            for port in here.iter().flat_map(|here| [client.port(), here.port()]) {
                rest.extend(port.to_be_bytes());
            }
            // On behalf of somebody, by TCP; or of nobody who is known.
            let family = match here {
                None => [LOCAL, 0],
                Some(SocketAddr::V4(_)) => [PROXIED, 0x11],
                Some(SocketAddr::V6(_)) => [PROXIED, 0x21],
            };
            let length = u16::try_from(rest.len()).unwrap_or_default();
            [SIGNATURE, &family, &length.to_be_bytes(), &rest].concat()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).expect("short").to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    #[test]
    fn both_versions_are_read() {
        let header = |length, client: &str| Said::Header { length, client: client.parse().ok() };
        let four = [1, 2, 3, 4, 5, 6, 7, 8, 0x30, 0x39, 0, 80];
        for (bytes, expected) in [
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 12345 80\r\nGET".to_vec(), header(37, "1.2.3.4:12345")),
            (b"PROXY TCP6 ::1 ::2 1 2\r\n".to_vec(), header(24, "[::1]:1")),
            (b"PROXY UNKNOWN\r\n".to_vec(), header(15, "")),
            (b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(), Said::Wrong),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 99999 80\r\n".to_vec(), Said::Wrong),
            (b"PROXY TCP4 1.2.3.4".to_vec(), Said::More),
            (b"PROXY ".iter().copied().chain([b'x'; 200]).collect(), Said::Wrong),
            (b"PRO".to_vec(), Said::More),
            (b"POST / HTTP/1.1\r\n".to_vec(), Said::Nothing),
            (b"GET / HTTP/1.1\r\n".to_vec(), Said::Nothing),
            (b"\r\n\r\n".to_vec(), Said::More),
            (b"\x16\x03\x01".to_vec(), Said::Nothing),
            (binary(0x21, 0x11, &four), header(28, "1.2.3.4:12345")),
            (binary(0x20, 0, &[]), header(16, "")),
            (binary(0x21, 0x11, &four[..8]), Said::Wrong),
            (binary(0x31, 0x11, &four), Said::Wrong),
            (binary(0x21, 0x11, &four)[..20].to_vec(), Said::More),
            (binary(0x21, 0x11, &[0; REST_BYTES_MAX + 1]), Said::Wrong),
        ] {
            assert_eq!(said(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn what_is_announced_can_be_read() {
        for (client, here, line) in [
            ("1.2.3.4:5", Some("5.6.7.8:80"), "PROXY TCP4 1.2.3.4 5.6.7.8 5 80\r\n"),
            ("[::ffff:1.2.3.4]:5", Some("[::ffff:5.6.7.8]:80"), "PROXY TCP4 1.2.3.4 5.6.7.8 5 80\r\n"),
            ("[2001:db8::1]:5", Some("[::1]:80"), "PROXY TCP6 2001:db8::1 ::1 5 80\r\n"),
            ("[2001:db8::1]:5", Some("5.6.7.8:80"), "PROXY UNKNOWN\r\n"),
            ("1.2.3.4:5", None, "PROXY UNKNOWN\r\n"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            let ends = Peers { client: address(client), here: here.map(address) };
            let known = (!line.contains("UNKNOWN"))
                .then(|| SocketAddr::new(ends.client.ip().to_canonical(), ends.client.port()));
            let first = announcement(snapshot::Announced::First, ends);
            assert_eq!(String::from_utf8_lossy(&first), line);
            for bytes in [first, announcement(snapshot::Announced::Second, ends)] {
                assert_eq!(said(&bytes), Said::Header { length: bytes.len(), client: known }, "{client}");
            }
        }
    }

    #[tokio::test]
    async fn only_those_that_are_trusted_are_believed() {
        for (trusted, expected) in [("127.0.0.0/8", Some("1.2.3.4:5")), ("10.0.0.0/8", None)] {
            let options = ProxyHeader { trusted_ips: vec![trusted.to_owned()], ..ProxyHeader::default() };
            let announced = Announced::new(&options).expect("networks");
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            let mut client =
                TcpStream::connect(listener.local_addr().expect("an address")).await.expect("connected");
            let (mut server, peer) = listener.accept().await.expect("accepted");
            let said = tokio::spawn(async move {
                for part in ["PROXY TCP4 1.2", ".3.4 5.6.7.8 5 80\r", "\nGET"] {
                    client.write_all(part.as_bytes()).await.expect("written");
                    tokio::task::yield_now().await;
                }
                client
            });
            let found = announced.client(&mut server, peer).await.expect("a client");
            assert_eq!(found, expected.map_or(peer, |address| address.parse().expect("an address")));
            let mut rest = [0; 3];
            server.read_exact(&mut rest).await.expect("the rest");
            assert_eq!(&rest, b"GET");
            drop(said.await);
        }
    }
}
