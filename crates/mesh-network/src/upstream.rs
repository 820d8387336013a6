//! Asking the next name servers, from the host's network namespace.
//!
//! A question goes out as it came and an answer comes back as it is; a server that does not answer is
//! given up for the next one, all within [`DEADLINE`].

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

/// All servers together have this long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(4);
/// One server has this long before the next one is asked.
const SERVER_DEADLINE: Duration = Duration::from_secs(2);
/// Servers that are asked.
const SERVERS_MAX: usize = 3;
/// Largest answer over UDP, in bytes.
const ANSWER_BYTES_MAX: usize = 4096;
/// Largest file of servers that is read, in bytes.
const FILE_BYTES_MAX: usize = 64 * 1024;
/// Length of the header of a question or an answer, in bytes.
const HEADER_BYTES: usize = 12;
const FILE: &str = "/etc/resolv.conf";
const PORT: u16 = 53;

/// How a question came, and goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Transport {
    /// One datagram.
    Udp,
    /// A connection.
    Tcp,
}

/// Asks one server after the other; without any, those of the host. `None`: nobody answered.
pub(crate) async fn ask(servers: &[IpAddr], question: &[u8], transport: Transport) -> Option<Vec<u8>> {
    let servers = if servers.is_empty() { of_host().await } else { servers.to_vec() };
    let all = async {
        for server in servers.into_iter().take(SERVERS_MAX) {
            let answer = async {
                match transport {
                    Transport::Udp => ask_datagram(server, question).await,
                    Transport::Tcp => ask_connection(server, question).await,
                }
            };
            match timeout(SERVER_DEADLINE, answer).await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::debug!(%server, %error, "name server not reached"),
                Err(_) => tracing::debug!(%server, "name server did not answer"),
            }
        }
        None
    };
    timeout(DEADLINE, all).await.ok().flatten()
}

async fn ask_datagram(server: IpAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let own: SocketAddr = match server {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(own).await?;
    socket.connect((server, PORT)).await?;
    socket.send(question).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    loop {
        let length = socket.recv(&mut answer).await?;
        if length >= HEADER_BYTES && answer.get(..2) == question.get(..2) {
            answer.truncate(length);
            return Ok(answer);
        }
    }
}

async fn ask_connection(server: IpAddr, question: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect((server, PORT)).await?;
    stream.write_u16(u16::try_from(question.len()).map_err(io::Error::other)?).await?;
    stream.write_all(question).await?;
    let mut answer = vec![0; stream.read_u16().await?.into()];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// The host's servers now; a laptop changes them while a project runs.
async fn of_host() -> Vec<IpAddr> {
    let text = tokio::fs::read(FILE).await.unwrap_or_default();
    parse(&String::from_utf8_lossy(&text[..text.len().min(FILE_BYTES_MAX)]))
}

fn parse(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok()).flatten()
    });
    servers.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_read_from_the_file() {
        let text =
            "# nameserver 9.9.9.9\nnameserver 127.0.0.53\nsearch lan\nnameserver  ::1 # last\nnameserver x\n";
        assert_eq!(parse(text), ["127.0.0.53", "::1"].map(|a| a.parse::<IpAddr>().expect("address")));
    }
}
