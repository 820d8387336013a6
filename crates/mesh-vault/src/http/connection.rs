//! One connection: which HTTP it speaks, and its end.

use super::{Site, pulse::Pulse, request, stopped};
use crate::config::Listener;
use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{convert::Infallible, net::IpAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

/// How long a client may take until its TLS stands.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a client may take for its first bytes.
const GREETING_MAX: Duration = Duration::from_secs(30);
/// How long a client may take to receive an answer, stay silent and send the head of its next request.
const HEAD_MAX: Duration = Duration::from_secs(60);
/// Largest head of a request, in bytes; Go's servers have 1 MiB, of which nothing that Vault takes has need.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Requests at a time on one HTTP/2 connection, as Go's server has it.
const STREAMS_MAX: u32 = 250;
/// How often a silent HTTP/2 client is asked whether it is there, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(30);
const PONG_MAX: Duration = Duration::from_secs(10);
/// What HTTP/2 clients say first begins with this; no method of HTTP/1 does.
const HTTP2_GREETING: &[u8; 3] = b"PRI";

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: TcpStream,
    peer: IpAddr,
    acceptor: Option<TlsAcceptor>,
    site: Arc<Site>,
    options: Arc<Listener>,
    stop: watch::Receiver<bool>,
) {
    let caller = Caller { peer, site, options };
    let mut ended = stop.clone();
    // Whoever has said nothing yet is not waited for at the end.
    tokio::select! {
        greeted = greet(stream, acceptor, peer) => match greeted {
            Some(Greeted::Plain(stream, http2)) => converse(stream, http2, caller, stop).await,
            Some(Greeted::Tls(stream)) => {
                let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                converse(*stream, http2, caller, stop).await;
            }
            None => {}
        },
        () = stopped(&mut ended) => {}
    }
}

/// A connection of which is known what it speaks.
enum Greeted {
    /// In clear, and whether it is HTTP/2.
    Plain(TcpStream, bool),
    Tls(Box<TlsStream<TcpStream>>),
}

async fn greet(stream: TcpStream, acceptor: Option<TlsAcceptor>, peer: IpAddr) -> Option<Greeted> {
    let Some(acceptor) = acceptor else {
        let http2 = tokio::time::timeout(GREETING_MAX, speaks_http2(&stream)).await.ok()??;
        return Some(Greeted::Plain(stream, http2));
    };
    match tokio::time::timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => Some(Greeted::Tls(Box::new(stream))),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "TLS was not agreed on");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, "TLS took too long");
            None
        }
    }
}

#[derive(Clone)]
struct Caller {
    peer: IpAddr,
    site: Arc<Site>,
    options: Arc<Listener>,
}

/// What the client says first; none when it leaves.
async fn speaks_http2(stream: &TcpStream) -> Option<bool> {
    let mut first = [0; HTTP2_GREETING.len()];
    let seen = stream.peek(&mut first).await.ok()?;
    (seen > 0).then(|| first[..seen] == HTTP2_GREETING[..seen])
}

async fn converse<S>(stream: S, http2: bool, caller: Caller, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pulse = Arc::new(Pulse::default());
    let of_service = Arc::clone(&pulse);
    let service = service_fn(move |request: Request<Incoming>| {
        let (caller, pulse) = (caller.clone(), Arc::clone(&of_service));
        async move {
            let _busy = pulse.busy();
            Ok::<Response<_>, Infallible>(
                request::answer(&caller.site, &caller.options, caller.peer, request).await,
            )
        }
    });
    let stream = TokioIo::new(stream);
    // An error here is the client's: it broke off, or spoke no HTTP.
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder.timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
        builder.keep_alive_interval(PING_EVERY).keep_alive_timeout(PONG_MAX);
        let mut connection = pin!(builder.serve_connection(stream, service));
        tokio::select! {
            ended = connection.as_mut() => return drop(ended),
            () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
        }
        let _ = connection.await;
    } else {
        let mut builder = http1::Builder::new();
        // The library's own timeout makes a timer for each request; one for the connection will do.
        builder.header_read_timeout(None);
        builder.max_buf_size(HEAD_BYTES_MAX).max_header_size(HEAD_BYTES_MAX);
        let mut connection = pin!(builder.serve_connection(stream, service));
        let silent = pin!(pulse.silent_for(HEAD_MAX));
        tokio::select! {
            biased;
            ended = connection.as_mut() => return drop(ended),
            () = stopped(&mut stop) => connection.as_mut().graceful_shutdown(),
            // What is dropped is closed.
            () = silent => return,
        }
        let _ = connection.await;
    }
}
