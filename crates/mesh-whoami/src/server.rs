//! The server: connections, and which page answers.

use crate::{
    answer::{self, Asked, Host},
    options::{Options, is_true},
    query, say,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http_body_util::{BodyExt as _, Either, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::{
        ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN, CONNECTION, CONTENT_DISPOSITION,
        CONTENT_TYPE, HeaderValue, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
    },
    service::service_fn,
    upgrade::Upgraded,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use mesh_tls::{PemError, ServerFiles, TlsError};
use sha1::{Digest as _, Sha1};
use std::{
    collections::BTreeMap,
    convert::Infallible,
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    task::{Context, Poll},
    time::{Duration, SystemTime},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Role, WebSocketConfig},
};

/// Connections at a time.
const CONNECTIONS_MAX: usize = 4096;
/// Largest body of a request that is told back, in bytes.
const BODY_BYTES_MAX: usize = 1 << 20;
/// Longest wait that a caller may ask for.
const WAIT_MAX: Duration = Duration::from_secs(300);
/// Longest time that a greeting by TLS may take.
const GREETING_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection that could not be taken.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Bytes that `/data` hands over at a time.
const PIECE: usize = 32 << 10;
/// Largest message of `/echo`, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// What an accepted key is made with (RFC 6455, section 1.3).
const WEB_SOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Why it ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error("could not start the runtime")]
    Runtime(#[source] io::Error),
    #[error("could not listen at port {port}")]
    Listen {
        port: u16,
        #[source]
        source: io::Error,
    },
    #[error("could not use the certificate")]
    Certificate(#[from] PemError),
    #[error("could not use TLS")]
    Tls(#[from] TlsError),
    #[error("could not watch signals")]
    Signals(#[source] io::Error),
}

type Answer = Response<Either<Full<Bytes>, Letters>>;

struct Site {
    options: Options,
    /// What `/health` answers.
    health: AtomicU16,
}

/// Serves until SIGTERM or SIGINT.
pub(crate) fn run(options: Options) -> Result<(), RunError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(RunError::Runtime)?;
    runtime.block_on(async {
        let watch = |kind| signal(kind).map_err(RunError::Signals);
        let (mut terminate, mut interrupt) =
            (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
        let port = options.port;
        let listener = listen(port).await.map_err(|source| RunError::Listen { port, source })?;
        let tls = acceptor(&options)?;
        say(&format!("Starting up{} on port {port}\n", if tls.is_some() { " with TLS" } else { "" }));
        tokio::select! {
            () = serve(listener, tls, options) => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        Ok(())
    })
}

/// Both families where there are two.
async fn listen(port: u16) -> io::Result<TcpListener> {
    match TcpListener::bind(SocketAddr::from(([0_u16; 8], port))).await {
        Ok(listener) => Ok(listener),
        Err(_) => TcpListener::bind(SocketAddr::from(([0_u8; 4], port))).await,
    }
}

fn acceptor(options: &Options) -> Result<Option<TlsAcceptor>, RunError> {
    let (Some(certificate), Some(key)) = (&options.certificate, &options.key) else { return Ok(None) };
    let files = Arc::new(ServerFiles::open(certificate.clone(), key.clone())?);
    let mut config = mesh_tls::server(files, options.authorities.as_deref().map(|path| (path, true)))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

pub(crate) async fn serve(listener: TcpListener, tls: Option<TlsAcceptor>, options: Options) {
    let site = Arc::new(Site { options, health: AtomicU16::new(StatusCode::OK.as_u16()) });
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Ok((stream, remote)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let (site, tls) = (Arc::clone(&site), tls.clone());
        tokio::spawn(async move {
            // Small answers must not wait for more of them.
            let _ = stream.set_nodelay(true);
            match tls {
                None => converse(stream, remote, site).await,
                Some(tls) => {
                    if let Ok(Ok(stream)) = timeout(GREETING_MAX, tls.accept(stream)).await {
                        converse(stream, remote, site).await;
                    }
                }
            }
            drop(place);
        });
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    remote: SocketAddr,
    site: Arc<Site>,
) {
    let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(respond(request, remote, &site).await) }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(hyper_util::rt::TokioTimer::new());
    // A caller that breaks off is no trouble of this server's.
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn respond(request: Request<Incoming>, remote: SocketAddr, site: &Site) -> Answer {
    let path = request.uri().path().to_owned();
    if path == "/echo" {
        return echo(request);
    }
    let (head, body) = request.into_parts();
    let Ok(body) = Limited::new(body, BODY_BYTES_MAX).collect().await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than is told back\n");
    };
    let asked = Asked {
        method: head.method,
        uri: head.uri,
        version: head.version,
        headers: head.headers,
        remote,
        body: body.to_bytes().to_vec(),
    };
    let answer = match path.as_str() {
        "/data" => data(&asked),
        "/bench" => plain(StatusCode::OK, "1"),
        "/api" => api(&asked, site),
        "/health" => health(&asked, site),
        _ => whoami(&asked, site).await,
    };
    if site.options.verbose {
        let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
        say(&answer::line(&asked, &now));
    }
    answer
}

async fn whoami(asked: &Asked, site: &Site) -> Answer {
    let wait = query::value(asked.uri.query(), "wait");
    if let Ok(wait) = humantime::parse_duration(&wait) {
        sleep(wait.min(WAIT_MAX)).await;
    }
    let text = answer::text(asked, &host(site), environment(asked).as_ref());
    typed("text/plain; charset=utf-8", text)
}

fn api(asked: &Asked, site: &Site) -> Answer {
    let mut answer = typed("application/json", answer::json(asked, &host(site), environment(asked).as_ref()));
    let headers = answer.headers_mut();
    if let Ok(origins) = HeaderValue::from_str(&site.options.allowed_origins) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origins);
    }
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("*"));
    answer
}

fn health(asked: &Asked, site: &Site) -> Answer {
    if asked.method != Method::POST {
        let status = StatusCode::from_u16(site.health.load(Ordering::Relaxed)).unwrap_or(StatusCode::OK);
        return plain(status, "");
    }
    match serde_json::from_slice::<u16>(&asked.body).ok().filter(|code| StatusCode::from_u16(*code).is_ok()) {
        Some(code) => {
            say(&format!("Update health check status code [{code}]\n"));
            site.health.store(code, Ordering::Relaxed);
            plain(StatusCode::OK, "")
        }
        None => plain(StatusCode::BAD_REQUEST, "the body is no status code\n"),
    }
}

fn data(asked: &Asked) -> Answer {
    let query = asked.uri.query();
    let unit: u64 = match query::value(query, "unit").to_ascii_lowercase().as_str() {
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        _ => 1,
    };
    let size = query::value(query, "size").parse::<i64>().unwrap_or(1).max(0).unsigned_abs();
    let letters = Letters { left: size.saturating_mul(unit) };
    let mut answer = Response::new(Either::Right(letters));
    if is_true(&query::value(query, "attachment")) {
        answer.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static("Attachment"));
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    }
    answer
}

/// Becomes a WebSocket that sends back each message (RFC 6455).
fn echo(mut request: Request<Incoming>) -> Answer {
    let Some(key) = request.headers().get(SEC_WEBSOCKET_KEY) else {
        return plain(StatusCode::BAD_REQUEST, "this speaks WebSocket only\n");
    };
    let accepted = Sha1::new().chain_update(key.as_bytes()).chain_update(WEB_SOCKET_GUID).finalize();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            send_back(upgraded).await;
        }
    });
    let mut answer = plain(StatusCode::SWITCHING_PROTOCOLS, "");
    let headers = answer.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accepted) = HeaderValue::from_str(&STANDARD.encode(accepted)) {
        headers.insert(SEC_WEBSOCKET_ACCEPT, accepted);
    }
    headers.remove(CONTENT_TYPE);
    answer
}

async fn send_back(upgraded: Upgraded) {
    let limits = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(limits)).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            return;
        }
    }
}

fn host(site: &Site) -> Host {
    let hostname =
        nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Host { name: site.options.name.clone(), hostname, addresses: addresses() }
}

/// Every address of this machine, in the order of its interfaces.
fn addresses() -> Vec<IpAddr> {
    let address = |found: nix::ifaddrs::InterfaceAddress| {
        let address = found.address?;
        let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
        four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
    };
    nix::ifaddrs::getifaddrs().map(|all| all.filter_map(address).collect()).unwrap_or_default()
}

fn environment(asked: &Asked) -> Option<BTreeMap<String, String>> {
    let lossy = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())
    };
    is_true(&query::value(asked.uri.query(), "env")).then(|| std::env::vars_os().map(lossy).collect())
}

fn plain(status: StatusCode, text: &'static str) -> Answer {
    let mut answer = typed("text/plain", text.into());
    *answer.status_mut() = status;
    answer
}

fn typed(kind: &'static str, content: Vec<u8>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(Bytes::from(content))));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// So many letters.
struct Letters {
    left: u64,
}

impl Body for Letters {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        static LETTERS: [u8; PIECE] = [b'a'; PIECE];
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let piece = usize::try_from(self.left).unwrap_or(PIECE).min(PIECE);
        self.left -= piece as u64;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&LETTERS[..piece])))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(GREETING_MAX, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[tokio::test]
    async fn pages_answer() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options::parse(&[], &|_| None).unwrap();
        let server = tokio::spawn(serve(listener, None, options));
        let get = async |target: &str| {
            ask(address, &format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n")).await
        };
        assert!(get("/any").await.contains("\nGET /any HTTP/1.1\r\nHost: a.test\r\n"));
        assert!(get("/api").await.contains("\"host\":\"a.test\""));
        assert!(get("/bench").await.ends_with("\r\n\r\n1"));
        assert!(get("/data?size=2&unit=kb").await.ends_with(&"a".repeat(2048)));
        assert!(get("/health").await.starts_with("HTTP/1.1 200"));
        assert!(get("/echo").await.starts_with("HTTP/1.1 400"));
        let post = "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
        assert!(ask(address, &format!("{post}503")).await.starts_with("HTTP/1.1 200"));
        assert!(get("/health").await.starts_with("HTTP/1.1 503"));
        assert!(ask(address, &format!("{post}abc")).await.starts_with("HTTP/1.1 400"));
        server.abort();
    }

    #[tokio::test]
    async fn a_web_socket_hears_itself() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = Options::parse(&[], &|_| None).unwrap();
        let server = tokio::spawn(serve(listener, None, options));
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The key and its answer are those of RFC 6455, section 1.3.
        let hello = "GET /echo HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        stream.write_all(hello.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap();
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        let mut socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        socket.send("hello".into()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap().as_str(), "hello");
        server.abort();
    }
}
