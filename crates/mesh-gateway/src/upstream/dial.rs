//! New connections to servers.

use super::transport::Transport;
use rustix::net::sockopt;
use rustls::{ClientConfig, pki_types::ServerName};
use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long a server may take until its TLS stands.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// How long a server may take until there is a connection, where nothing is configured.
const DIAL_MAX: Duration = Duration::from_secs(30);

/// How long a server says nothing before it is asked whether it is there.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// How often a peer is asked then, and how many times before it counts as gone.
const QUESTION_EVERY: Duration = Duration::from_secs(15);
const QUESTIONS_MAX: u32 = 4;

/// Has the machine find out whether a silent peer is still there; a connection to one that is not ends. A socket that
/// cannot be told so works all the same.
pub(crate) fn keep_alive(stream: &TcpStream, silence: Duration) {
    let _ = sockopt::set_socket_keepalive(stream, true)
        .and_then(|()| sockopt::set_tcp_keepidle(stream, silence))
        .and_then(|()| sockopt::set_tcp_keepintvl(stream, QUESTION_EVERY))
        .and_then(|()| sockopt::set_tcp_keepcnt(stream, QUESTIONS_MAX));
}

/// What is spoken with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Scheme {
    Http,
    Https,
    /// HTTP/2 without TLS, known beforehand.
    H2c,
}

impl Scheme {
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "http" => Some(Self::Http),
            "https" => Some(Self::Https),
            "h2c" => Some(Self::H2c),
            _ => None,
        }
    }

    pub(crate) fn port(self) -> u16 {
        if self == Self::Https { 443 } else { 80 }
    }

    /// As requests name it.
    pub(crate) fn name(self) -> &'static str {
        if self == Self::Https { "https" } else { "http" }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DialError {
    #[error("{authority} cannot be reached")]
    Connect {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("{authority} did not answer within {limit:?}")]
    Slow { authority: String, limit: Duration },
    #[error("TLS with {authority} was not agreed on")]
    Tls {
        authority: String,
        #[source]
        source: io::Error,
    },
    #[error("{0:?} is no name that a certificate could be for")]
    Name(String),
    #[error(transparent)]
    Transport(#[from] super::transport::TransportError),
    #[error("{authority} speaks no HTTP")]
    Http {
        authority: String,
        #[source]
        source: hyper::Error,
    },
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Whether HTTP/2 was agreed on.
    pub(super) fn is_h2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

/// Connects; `h2` says whether HTTP/2 may be agreed on.
pub(super) async fn dial(
    transport: &Arc<Transport>,
    scheme: Scheme,
    authority: &str,
    h2: bool,
) -> Result<Stream, DialError> {
    let stream = connect(transport.dial, authority).await?;
    if scheme != Scheme::Https {
        return Ok(Stream::Plain(stream));
    }
    let stream = secure(transport, authority, stream, transport.tls(h2)?).await?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// Agrees on TLS with a server.
async fn secure(
    transport: &Transport,
    authority: &str,
    stream: TcpStream,
    config: Arc<ClientConfig>,
) -> Result<TlsStream<TcpStream>, DialError> {
    let host = match transport.server_name() {
        "" => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
        name => name,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let name = ServerName::try_from(host.to_owned()).map_err(|_| DialError::Name(host.to_owned()))?;
    let connected = timeout(HANDSHAKE_MAX, TlsConnector::from(config).connect(name, stream)).await;
    let authority = authority.to_owned();
    match connected {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(source)) => Err(DialError::Tls { authority, source }),
        Err(_) => Err(DialError::Slow { authority, limit: HANDSHAKE_MAX }),
    }
}

/// Connects to a server that is spoken to in whatever its clients speak; `first` is said before all else, TLS too.
pub(crate) async fn reach(
    transport: &Transport,
    authority: &str,
    tls: bool,
    first: &[u8],
) -> Result<Box<dyn Both>, DialError> {
    let mut stream = connect(transport.dial, authority).await?;
    if !first.is_empty() {
        let failed = |source| DialError::Connect { authority: authority.to_owned(), source };
        stream.write_all(first).await.map_err(failed)?;
    }
    if !tls {
        return Ok(Box::new(stream));
    }
    let mut config = (*transport.tls(false)?).clone();
    // What is spoken is not known here.
    config.alpn_protocols.clear();
    Ok(Box::new(secure(transport, authority, stream, Arc::new(config)).await?))
}

/// What is read from and written to.
pub(crate) trait Both: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Both for S {}

/// Connects without TLS.
async fn connect(limit: Option<Duration>, authority: &str) -> Result<TcpStream, DialError> {
    let limit = limit.unwrap_or(DIAL_MAX);
    let stream = match timeout(limit, TcpStream::connect(authority)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(source)) => return Err(DialError::Connect { authority: authority.to_owned(), source }),
        Err(_) => return Err(DialError::Slow { authority: authority.to_owned(), limit }),
    };
    // Small messages do not wait for more; a socket that cannot be told so works all the same.
    let _ = stream.set_nodelay(true);
    keep_alive(&stream, SILENCE_MAX);
    Ok(stream)
}

macro_rules! either {
    ($this:expr, $stream:ident => $do:expr) => {
        match $this.get_mut() {
            Stream::Plain($stream) => {
                let $stream = Pin::new($stream);
                $do
            }
            Stream::Tls($stream) => {
                let $stream = Pin::new(&mut **$stream);
                $do
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn servers_that_are_gone_are_noticed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let stream = connect(None, &address).await.expect("connected");
        assert!(sockopt::socket_keepalive(&stream).expect("an option"));
        assert_eq!(sockopt::tcp_keepidle(&stream).expect("an option"), SILENCE_MAX);
        assert_eq!(sockopt::tcp_keepcnt(&stream).expect("an option"), QUESTIONS_MAX);
    }
}
