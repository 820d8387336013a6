//! Whose connections the engine relays: clients of published ports, whose relay says who they are.
//!
//! The relay connects from one address, begins each connection with a header of the PROXY protocol's second version,
//! and is believed without any configuration. Nobody else is: not the gateway's neighbours, whatever they say, for they
//! do not send under that address. What the relay's address sends without such a header, as the engine's probes do, is
//! what it is. A header that clients or balancers behind the relay say is left for the entry point's own options.

use super::{
    announced::{FIXED_BYTES, REST_BYTES_MAX, SIGNATURE, Said, second},
    looked::Looked,
};
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Read as _},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    io::AsyncReadExt as _,
    net::TcpStream,
    time::{Instant, timeout_at},
};

/// The relay says it at once; who says nothing for so long is none that it speaks for.
const SAYING_MAX: Duration = Duration::from_secs(2);
/// Largest file of addresses, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Why it is not known who relays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelaysError {
    #[error("could not read relays from {}", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{} is not a list of addresses", path.display())]
    Form {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
}

/// The addresses that the engine relays from.
#[derive(Debug, Default)]
pub(crate) struct Relays(BTreeSet<IpAddr>);

impl Relays {
    /// Reads them; nobody relays where there is no such file.
    ///
    /// # Errors
    /// It is there, and cannot be read.
    pub(crate) fn read(path: Option<&Path>) -> Result<Self, RelaysError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let failed = |source| RelaysError::Read { path: path.to_owned(), source };
        let mut text = Vec::new();
        match fs::File::open(path) {
            Ok(file) => file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(failed)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(failed(error)),
        };
        let addresses = serde_json::from_slice(&text);
        addresses.map(Self).map_err(|source| RelaysError::Form { path: path.to_owned(), source })
    }

    /// Whose connection it is, the relay's header taken off; none if it is to be closed.
    pub(super) async fn client(&self, stream: &mut TcpStream, peer: SocketAddr) -> Option<SocketAddr> {
        if !self.0.contains(&peer.ip().to_canonical()) {
            return Some(peer);
        }
        let deadline = Instant::now() + SAYING_MAX;
        let mut seen = vec![0; FIXED_BYTES + REST_BYTES_MAX];
        let mut looked = Looked::new(SAYING_MAX);
        loop {
            let Ok(count) = timeout_at(deadline, stream.peek(&mut seen)).await else { return Some(peer) };
            let count = count.ok()?;
            match said(&seen[..count]) {
                Said::Nothing => return Some(peer),
                Said::Wrong => return None,
                Said::More if looked.more(stream, count).await => {}
                Said::More => return (count < SIGNATURE.len()).then_some(peer),
                Said::Header { length, client } => {
                    stream.read_exact(&mut seen[..length]).await.ok()?;
                    return Some(client.unwrap_or(peer));
                }
            }
        }
    }
}

/// The second version alone: the first is never the relay's.
fn said(bytes: &[u8]) -> Said {
    let length = SIGNATURE.len().min(bytes.len());
    match bytes[..length] == SIGNATURE[..length] {
        true if length == SIGNATURE.len() => second(bytes),
        true => Said::More,
        false => Said::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    fn header(client: [u8; 4], port: u16) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([0x21, 0x11, 0, 12]);
        bytes.extend(client);
        bytes.extend([127, 0, 0, 1]);
        bytes.extend(port.to_be_bytes());
        bytes.extend([0, 80]);
        bytes
    }

    #[test]
    fn only_the_second_version_is_the_relays() {
        let one = header([198, 51, 100, 2], 7);
        let client = "198.51.100.2:7".parse().ok();
        let mut long = one.clone();
        long[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
        for (bytes, expected) in [
            (one.clone(), Said::Header { length: 28, client }),
            ([&one[..], &one].concat(), Said::Header { length: 28, client }),
            (one[..27].to_vec(), Said::More),
            (one[..5].to_vec(), Said::More),
            (Vec::new(), Said::More),
            (long, Said::Wrong),
            (b"PROXY TCP4 1.2.3.4 5.6.7.8 5 80\r\n".to_vec(), Said::Nothing),
            (b"PRO".to_vec(), Said::Nothing),
            (b"\r\n\r\nGET".to_vec(), Said::Nothing),
            (b"GET / HTTP/1.1\r\n".to_vec(), Said::Nothing),
            (b"\x16\x03\x01".to_vec(), Said::Nothing),
        ] {
            assert_eq!(said(&bytes), expected, "{:?}", String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_list_of_addresses_is_read_and_anything_else_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("relays.json");
        assert!(Relays::read(None).expect("none").0.is_empty());
        assert!(Relays::read(Some(&path)).expect("no file").0.is_empty());
        fs::write(&path, r#"["172.18.0.1"]"#).expect("written");
        let read = Relays::read(Some(&path)).expect("a list");
        assert!(read.0.contains(&IpAddr::from([172, 18, 0, 1])) && read.0.len() == 1);
        for wrong in ["", "{}", r#"["172.18.0.0/16"]"#, r#""172.18.0.1""#] {
            fs::write(&path, wrong).expect("written");
            assert!(matches!(Relays::read(Some(&path)), Err(RelaysError::Form { .. })), "{wrong}");
        }
    }

    /// Whose connection it is that begins so, and what is left of it. `None`: it is closed.
    async fn found(relay: &str, begins: Vec<u8>) -> Option<(String, Vec<u8>)> {
        let relays = Relays(BTreeSet::from([relay.parse().expect("an address")]));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut client = TcpStream::connect(address).await.expect("connected");
        let (mut server, peer) = listener.accept().await.expect("accepted");
        let said = tokio::spawn(async move {
            for part in begins.chunks(9) {
                client.write_all(part).await.expect("written");
                tokio::task::yield_now().await;
            }
            client
        });
        let client = relays.client(&mut server, peer).await?;
        drop(said.await);
        let mut rest = Vec::new();
        // What follows a fault of the connection is nothing that was left.
        let _ = server.read_to_end(&mut rest).await;
        Some((if client == peer { "peer".to_owned() } else { client.to_string() }, rest))
    }

    #[tokio::test]
    async fn the_relay_alone_is_believed() {
        let ours = header([198, 51, 100, 2], 7);
        let forged = header([192, 0, 2, 9], 9);
        let with = |parts: &[&[u8]]| parts.concat();
        let mut wrong = ours.clone();
        wrong[12] = 0x31;
        for (relay, begins, expected) in [
            ("127.0.0.1", with(&[&ours, b"GET"]), Some(("198.51.100.2:7", b"GET".to_vec()))),
            // What a client says behind it is not ours.
            ("127.0.0.1", with(&[&ours, &forged]), Some(("198.51.100.2:7", forged.clone()))),
            ("127.0.0.1", b"GET / HTTP/1.1".to_vec(), Some(("peer", b"GET / HTTP/1.1".to_vec()))),
            ("127.0.0.1", Vec::new(), Some(("peer", Vec::new()))),
            ("127.0.0.1", wrong, None),
            // A neighbour.
            ("127.0.0.2", with(&[&forged, b"GET"]), Some(("peer", with(&[&forged, b"GET"])))),
        ] {
            let expected = expected.map(|(client, rest)| (client.to_owned(), rest));
            let text = String::from_utf8_lossy(&begins).into_owned();
            assert_eq!(found(relay, begins).await, expected, "{relay} {text:?}");
        }
    }

    #[tokio::test]
    async fn a_silent_connection_from_the_relay_is_served_and_half_a_header_is_not() {
        let ours = header([198, 51, 100, 2], 7);
        let mut all = tokio::task::JoinSet::new();
        for (count, served) in [(0, true), (3, true), (20, false)] {
            let begins = ours[..count].to_vec();
            all.spawn(async move {
                let relays = Relays(BTreeSet::from([IpAddr::from([127, 0, 0, 1])]));
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
                let address = listener.local_addr().expect("an address");
                let mut client = TcpStream::connect(address).await.expect("connected");
                let (mut server, peer) = listener.accept().await.expect("accepted");
                client.write_all(&begins).await.expect("written");
                assert_eq!(relays.client(&mut server, peer).await, served.then_some(peer), "{count}");
            });
        }
        while let Some(done) = all.join_next().await {
            done.expect("as expected");
        }
    }
}
