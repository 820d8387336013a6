//! A connection to an origin: name, address, perhaps a proxy's tunnel, TLS, and HTTP/1.1 over it.

use super::{TransportError, proxy::Proxy, socks, tls::Tls, url::Origin};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    task::AbortHandle,
    time::timeout,
};

/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// Most letters told of a failure of TLS.
const TLS_TEXT_MAX: usize = 160;
/// Most headers of an answer.
const HEADERS_MAX: usize = 128;

/// A connection that can carry one request at a time.
#[derive(Debug)]
pub(crate) struct Connection {
    /// Where requests go in.
    pub(crate) sender: SendRequest<Full<Bytes>>,
    task: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A stream that HTTP can be spoken over.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// How a connection is to be made.
pub(crate) struct Way<'a> {
    /// Where to.
    pub(crate) origin: &'a Origin,
    /// Through what.
    pub(crate) proxy: Option<&'a Proxy>,
    /// With which certificates.
    pub(crate) tls: &'a Tls,
    /// Whether the server's certificate is looked at.
    pub(crate) verify: bool,
    /// How long all of it may take.
    pub(crate) within: Duration,
}

/// Makes the connection.
pub(crate) async fn connect(way: Way<'_>) -> Result<Connection, TransportError> {
    let within = way.within;
    let origin = way.origin.clone();
    timeout(within, open(way)).await.unwrap_or_else(|_| {
        let text = format!("no connection within {} s", within.as_secs_f64());
        let source = io::Error::new(io::ErrorKind::TimedOut, text);
        Err(TransportError::Connect { origin: origin.to_string(), source })
    })
}

async fn open(way: Way<'_>) -> Result<Connection, TransportError> {
    let Way { origin, proxy, tls, verify, .. } = way;
    let mut stream: Box<dyn Stream> = Box::new(tcp(proxy.map_or(origin, |proxy| &proxy.origin)).await?);
    if let Some(proxy) = proxy {
        if proxy.origin.tls {
            stream = encrypted(stream, &proxy.origin, tls, true).await?;
        }
        let failed = |source| TransportError::Proxy { proxy: proxy.shown(), source };
        if proxy.socks {
            socks::tunnel(&mut stream, origin, proxy).await.map_err(failed)?;
        } else if origin.tls {
            tunnel(&mut stream, origin, proxy).await.map_err(failed)?;
        }
    }
    if origin.tls {
        stream = encrypted(stream, origin, tls, verify).await?;
    }
    over_http(stream, origin).await
}

async fn encrypted(
    stream: Box<dyn Stream>,
    origin: &Origin,
    tls: &Tls,
    verify: bool,
) -> Result<Box<dyn Stream>, TransportError> {
    let config = tls.config(&origin.authority(), verify)?;
    let failed = |source| TransportError::Tls { origin: origin.to_string(), source };
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let connecting = tokio_rustls::TlsConnector::from(config).connect(name, stream);
    Ok(Box::new(connecting.await.map_err(|error| failed(brief(&error)))?))
}

async fn tcp(origin: &Origin) -> Result<TcpStream, TransportError> {
    let failed = |source| TransportError::Connect { origin: origin.to_string(), source };
    let stream = TcpStream::connect((origin.host.as_str(), origin.port)).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    Ok(stream)
}

/// An error of TLS without the long lists that a certificate can have.
fn brief(error: &io::Error) -> io::Error {
    let text = error.to_string();
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(TLS_TEXT_MAX).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    io::Error::new(error.kind(), short)
}

/// Asks a proxy for a way through.
async fn tunnel(stream: &mut Box<dyn Stream>, origin: &Origin, proxy: &Proxy) -> io::Result<()> {
    let host = if origin.host.contains(':') { format!("[{}]", origin.host) } else { origin.host.clone() };
    let target = format!("{host}:{}", origin.port);
    let mut head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = proxy.authorization() {
        head.push_str(&format!("Proxy-Authorization: {}\r\n", authorization.expose()));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.flush().await?;
    // Byte by byte, as what comes behind the head belongs to TLS; the answer is short.
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= HEAD_BYTES_MAX {
            return Err(io::Error::other("its answer has no end"));
        }
        answer.push(stream.read_u8().await?);
    }
    let line = String::from_utf8_lossy(answer.split(|&byte| byte == b'\r').next().unwrap_or_default());
    match line.split_whitespace().nth(1) {
        Some("200") => Ok(()),
        code => {
            let code = code.unwrap_or("nothing").chars().take(16).collect::<String>();
            Err(io::Error::other(format!("it answered {code} instead of making a tunnel")))
        }
    }
}

async fn over_http(stream: Box<dyn Stream>, origin: &Origin) -> Result<Connection, TransportError> {
    let (sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|source| TransportError::Http { origin: origin.to_string(), source })?;
    // The task lives as long as its `Connection`, which aborts it; its own error is also the request's.
    let task = tokio::spawn(async move {
        let _ = connection.await;
    });
    Ok(Connection { sender, task: task.abort_handle() })
}
