//! One request over a connection of its own.

use super::address::{Address, Place};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use std::{io, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};

/// Largest answer that is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 256 << 10;

/// What TLS says of a certificate that nobody vouches for.
const UNKNOWN_ISSUER: &str = "invalid peer certificate: UnknownIssuer";

/// A request, and where it goes.
pub(super) struct Exchange<'a> {
    pub(super) address: Address,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: String,
    pub(super) tls: &'a mesh_tls::Client,
    pub(super) server_name: Option<&'a str>,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    /// Where it leads, where it is a redirection.
    pub(super) location: Option<String>,
    /// The namespace that it names.
    pub(super) namespace: Option<String>,
}

/// A stream that HTTP can be spoken over.
trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// Sends a request and reads its answer. The phrase of a failure says what went wrong.
pub(super) fn send(exchange: &Exchange<'_>, within: Duration) -> Result<Reply, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    runtime.block_on(async {
        match tokio::time::timeout(within, exchanged(exchange)).await {
            Ok(reply) => reply,
            Err(_) => Err("context deadline exceeded".to_owned()),
        }
    })
}

async fn exchanged(exchange: &Exchange<'_>) -> Result<Reply, String> {
    let stream = connect(exchange).await?;
    let builder = hyper::client::conn::http1::Builder::new().max_buf_size(HEAD_BYTES_MAX).clone();
    let (mut sender, connection) =
        builder.handshake(TokioIo::new(stream)).await.map_err(|error| said(&error))?;
    let asking = async {
        let request = request(exchange)?;
        let answer = sender.send_request(request).await.map_err(|error| said(&error))?;
        read(answer).await
    };
    tokio::pin!(asking);
    tokio::select! { biased;
        reply = &mut asking => return reply,
        // Its own error is also that of the request.
        _ = connection => {}
    }
    asking.await
}

/// An error of HTTP, with its cause. A server of TLS that is spoken to in plain text says so in its own way.
fn said(error: &hyper::Error) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None if error.is_incomplete_message() => "EOF".to_owned(),
        None => error.to_string(),
    }
}

async fn connect(exchange: &Exchange<'_>) -> Result<Box<dyn Stream>, String> {
    let (tls, host, port) = match &exchange.address.place {
        Place::Unix(path) => {
            let stream = UnixStream::connect(path).await;
            let stream = stream
                .map_err(|error| format!("dial unix {}: connect: {}", path.display(), words(&error)))?;
            return Ok(Box::new(stream));
        }
        Place::Tcp { tls, host, port, .. } => (*tls, host, *port),
    };
    let stream = TcpStream::connect((host.as_str(), port)).await;
    let shown = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    let stream = stream.map_err(|error| match error.raw_os_error() {
        Some(_) => format!("dial tcp {shown}: connect: {}", words(&error)),
        None => format!("dial tcp: lookup {host}: {error}"),
    })?;
    // Requests are small, and each is waited for.
    let _ = stream.set_nodelay(true);
    if !tls {
        return Ok(Box::new(stream));
    }
    let config = exchange.tls.config().map_err(|error| error.to_string())?;
    let name = exchange.server_name.unwrap_or(host);
    let name =
        ServerName::try_from(name.to_owned()).map_err(|_| format!("{name:?} is no name of a server"))?;
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = connector.connect(name, stream).await.map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData if error.to_string().contains("InvalidContentType") => {
            "http: server gave HTTP response to HTTPS client".to_owned()
        }
        _ => format!(
            "tls: {}",
            error.to_string().replace(
                UNKNOWN_ISSUER,
                "failed to verify certificate: x509: certificate signed by unknown authority"
            )
        ),
    })?;
    Ok(Box::new(stream))
}

/// An error of the system in small letters and without its number.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or_default().to_lowercase()
}

fn request(exchange: &Exchange<'_>) -> Result<Request<Full<Bytes>>, String> {
    let host = exchange.address.origin();
    let host = host.split_once("://").map_or("localhost", |(_, host)| host);
    let mut request = Request::builder()
        .method(exchange.method.clone())
        .uri(&exchange.target)
        .header(header::HOST, host)
        .header(header::USER_AGENT, concat!("mesh-vault/", env!("CARGO_PKG_VERSION")))
        .header(header::CONNECTION, "close");
    if let Some(headers) = request.headers_mut() {
        headers.extend(exchange.headers.clone());
    }
    request.body(Full::new(Bytes::from(exchange.body.clone()))).map_err(|error| error.to_string())
}

async fn read(answer: hyper::Response<hyper::body::Incoming>) -> Result<Reply, String> {
    let (head, body) = answer.into_parts();
    let limited = http_body_util::Limited::new(body, ANSWER_BYTES_MAX);
    let body = limited.collect().await.map_err(|error| format!("could not read the answer: {error}"))?;
    let text = |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let leads = matches!(head.status.as_u16(), 301 | 302 | 307);
    Ok(Reply {
        status: head.status,
        body: body.to_bytes().to_vec(),
        location: text("location").filter(|_| leads),
        namespace: text("x-vault-namespace"),
    })
}
