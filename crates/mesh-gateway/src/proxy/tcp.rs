//! Connections that are routed before anybody speaks HTTP.

use super::{announced::announcement, forwarded::Connected, handler::Context, looked::Looked};
use crate::{rule::Connection, snapshot::TcpRoute, upstream::reach};
use rustls::server::Acceptor;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::TcpStream,
};

/// Most bytes of what a TLS client says first.
const HELLO_BYTES_MAX: usize = 16 << 10;
/// How long it may take for it.
const HELLO_MAX: Duration = Duration::from_secs(10);

/// What a TLS client says first, as far as rules ask for it.
#[derive(Debug, Default)]
struct Hello {
    name: String,
    protocols: Vec<String>,
}

/// The two ends of a client's connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peers {
    pub(super) client: SocketAddr,
    /// The gateway's own; none where it could not be told.
    pub(super) here: Option<SocketAddr>,
}

/// Where a connection goes.
#[derive(Debug)]
pub(super) enum Way {
    Http,
    Tcp(TcpRoute),
    /// Its client may not.
    Nowhere,
}

/// The router that connections go to before they say anything, if there is one: servers that speak first need it.
pub(super) fn at_once(context: &Context, client: SocketAddr) -> Option<Way> {
    let snapshot = context.site.current();
    let table =
        snapshot.entry_points.get(&context.entry).filter(|table| table.has_tcp() && !table.speaks_tls())?;
    let client = Some(client.ip().to_canonical());
    let connection = Connection { server_name: "", client, protocols: &[] };
    Some(way(table.find_tcp(&connection, false)?, &connection))
}

/// Where a connection goes that has begun to speak.
pub(super) async fn route(context: &Context, from: &Connected, stream: &TcpStream) -> Way {
    let snapshot = context.site.snapshot();
    let Some(table) = snapshot.entry_points.get(&context.entry).filter(|table| table.has_tcp()) else {
        return Way::Http;
    };
    let hello = match from.tls {
        true => hello(stream).await.unwrap_or_default(),
        false => Hello::default(),
    };
    let client = Some(from.client.ip().to_canonical());
    let connection = Connection { server_name: &hello.name, client, protocols: &hello.protocols };
    match table.find_tcp(&connection, from.tls) {
        Some(route) => way(route, &connection),
        None => Way::Http,
    }
}

fn way(route: &TcpRoute, connection: &Connection<'_>) -> Way {
    if route.admits(connection) {
        return Way::Tcp(route.clone());
    }
    tracing::debug!(router = %route.name, client = ?connection.client, "a client may not");
    Way::Nowhere
}

/// Looks at the first message of TLS without taking it; none if it is not one.
async fn hello(stream: &TcpStream) -> Option<Hello> {
    let mut bytes = vec![0; HELLO_BYTES_MAX];
    let mut looked = Looked::new(HELLO_MAX);
    let mut before = 0;
    loop {
        let seen = stream.peek(&mut bytes).await.ok()?;
        if seen > before {
            let mut acceptor = Acceptor::default();
            acceptor.read_tls(&mut &bytes[..seen]).ok()?;
            if let Some(accepted) = acceptor.accept().ok()? {
                let hello = accepted.client_hello();
                let protocols = hello.alpn().into_iter().flatten();
                return Some(Hello {
                    name: hello.server_name().unwrap_or_default().to_lowercase(),
                    protocols: protocols.map(|name| String::from_utf8_lossy(name).into_owned()).collect(),
                });
            }
        }
        before = seen;
        if seen == bytes.len() || !looked.more(stream, seen).await {
            return None;
        }
    }
}

/// Hands bytes on between a client and the server whose turn it is, until one side ends.
pub(super) async fn serve<S>(context: &Context, route: &TcpRoute, ends: Peers, mut client: S)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Some(_held) = route.hold(ends.client.ip().to_canonical()) else {
        tracing::debug!(router = %route.name, client = %ends.client, "a client has too many connections");
        return;
    };
    let Some((to, among)) = route.destination.next() else {
        tracing::warn!(router = %route.name, "no available server");
        return;
    };
    let announced = among.announced.map(|version| announcement(version, ends)).unwrap_or_default();
    let mut server = match reach(&among.transport, &to.address, to.tls, &announced).await {
        Ok(server) => server,
        Err(error) => {
            let (server, error) = (&to.address, crate::chain(&error));
            tracing::debug!(router = %route.name, server, error, "a server cannot be reached");
            return;
        }
    };
    tokio::select! {
        _ = copy_bidirectional(&mut client, &mut server) => {}
        () = context.site.stop.cancelled() => {}
    }
}
