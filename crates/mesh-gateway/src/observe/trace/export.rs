//! Spans to a collector: OTLP over HTTP, or over gRPC, a request for many at a time.
//!
//! Spans wait in a bounded queue. A collector that does not answer costs spans and nothing else: that this began is told
//! once, and how many it were when it answers again.

use super::{
    protobuf,
    span::{Span, Value},
};
use crate::config::statics;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{
    HeaderMap, Request, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, TE},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use mesh_tls::{Client, Identity, PemError, TlsError, Trust};
use rustls::pki_types::ServerName;
use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::mpsc::{Receiver, Sender, channel, error::TrySendError},
    task::JoinHandle,
    time::{Instant, timeout, timeout_at},
};
use tokio_rustls::TlsConnector;

/// Most spans that wait.
const SPANS_MAX: usize = 4_096;
/// Most that are sent at once, and how long the first of them waits for others.
const BATCH_SPANS: usize = 512;
const BATCH_EVERY: Duration = Duration::from_secs(2);
/// How long a collector may take for a request.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Most bytes of its answer that are looked at.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How long the last spans may take at the end.
const CLOSE_MAX: Duration = Duration::from_secs(5);
/// Where a collector takes traces.
const HTTP_PATH: &str = "/v1/traces";
const GRPC_PATH: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Why traces cannot be sent to anybody.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TracerError {
    #[error("invalid collector endpoint {0:?}")]
    Endpoint(String),
    #[error("{0:?} is no header for a collector")]
    Header(String),
    #[error("could not read what TLS with the collector needs")]
    Pem(#[from] PemError),
    #[error("could not make a configuration of TLS for the collector")]
    Tls(#[from] TlsError),
}

/// Why a collector did not take spans.
#[derive(Debug, thiserror::Error)]
enum SendError {
    #[error("could not connect to the collector")]
    Connect(#[source] io::Error),
    #[error("the collector and the gateway do not understand each other")]
    Http(#[from] hyper::Error),
    #[error("a request could not be made")]
    Request(#[from] hyper::http::Error),
    #[error("the collector took longer than {ANSWER_MAX:?}")]
    Slow,
    #[error("the collector answered {0}")]
    Status(StatusCode),
    #[error("the collector answered with gRPC's status {0}")]
    Grpc(String),
    #[error("the collector's answer is too large, or broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Hands spans to a task that sends them.
#[derive(Debug)]
pub(super) struct Exporter {
    queue: Mutex<Option<Sender<Span>>>,
    lost: Arc<AtomicU64>,
    task: Mutex<Option<JoinHandle<()>>>,
}

/// A collector, and how it is spoken to.
struct Collector {
    host: String,
    port: u16,
    /// None in the open.
    tls: Option<TlsConnector>,
    grpc: bool,
    path: String,
    headers: HeaderMap,
    resource: Vec<(String, Value)>,
}

impl Exporter {
    /// Has to be called where tasks can be started.
    pub(super) fn start(options: &statics::Tracing) -> Result<Self, TracerError> {
        let collector = Collector::new(options)?;
        let (queue, inbox) = channel(SPANS_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let task = tokio::spawn(run(collector, inbox, lost.clone()));
        Ok(Self { queue: Mutex::new(Some(queue)), lost, task: Mutex::new(Some(task)) })
    }

    pub(super) fn send(&self, span: Span) {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(queue) = &*queue else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Closed(_)) = queue.try_send(span)
            && self.lost.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::warn!("spans are lost: the collector does not keep up");
        }
    }

    /// Sends what is left.
    pub(super) async fn close(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(mut task) = task
            && timeout(CLOSE_MAX, &mut task).await.is_err()
        {
            task.abort();
        }
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }
}

async fn run(collector: Collector, mut inbox: Receiver<Span>, lost: Arc<AtomicU64>) {
    let mut batch = Vec::new();
    let mut told = false;
    while let Some(first) = inbox.recv().await {
        batch.push(first);
        let due = Instant::now() + BATCH_EVERY;
        while batch.len() < BATCH_SPANS {
            match timeout_at(due, inbox.recv()).await {
                Ok(Some(span)) => batch.push(span),
                Ok(None) | Err(_) => break,
            }
        }
        let count = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        let body = protobuf::request(&collector.resource, &batch);
        batch.clear();
        let sent = timeout(ANSWER_MAX, collector.send(body)).await.unwrap_or(Err(SendError::Slow));
        match sent {
            Ok(()) => {
                let lost = lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    tracing::warn!(lost, "the collector takes spans again");
                }
                told = false;
            }
            Err(error) => {
                lost.fetch_add(count, Ordering::Relaxed);
                if !told {
                    tracing::error!(error = %crate::chain(&error), "spans are lost");
                    told = true;
                }
            }
        }
    }
}

impl Collector {
    fn new(options: &statics::Tracing) -> Result<Self, TracerError> {
        let otlp = options.otlp.clone().unwrap_or_default();
        let resource = resource(options);
        if let Some(grpc) = &otlp.grpc {
            let wrong = || TracerError::Endpoint(grpc.endpoint.clone());
            let (host, port) = grpc.endpoint.rsplit_once(':').ok_or_else(wrong)?;
            return Ok(Self {
                host: host.trim_matches(['[', ']']).to_owned(),
                port: port.parse().map_err(|_| wrong())?,
                tls: if grpc.insecure { None } else { Some(connector(grpc.tls.as_ref(), true)?) },
                grpc: true,
                path: GRPC_PATH.to_owned(),
                headers: headers(&grpc.headers)?,
                resource,
            });
        }
        let http = otlp.http.unwrap_or_default();
        let wrong = || TracerError::Endpoint(http.endpoint.clone());
        let uri: Uri = http.endpoint.parse().map_err(|_| wrong())?;
        let secure = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(wrong()),
        };
        let path = uri.path_and_query().map_or("", |path| path.as_str());
        Ok(Self {
            host: uri.host().ok_or_else(wrong)?.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if secure { 443 } else { 80 }),
            tls: if secure { Some(connector(http.tls.as_ref(), false)?) } else { None },
            grpc: false,
            path: if matches!(path, "" | "/") { HTTP_PATH } else { path }.to_owned(),
            headers: headers(&http.headers)?,
            resource,
        })
    }

    async fn send(&self, body: Vec<u8>) -> Result<(), SendError> {
        let connected = TcpStream::connect((self.host.as_str(), self.port)).await;
        let stream = connected.map_err(SendError::Connect)?;
        match &self.tls {
            None => self.exchange(stream, body).await,
            Some(tls) => {
                let wrong = |error| SendError::Connect(io::Error::new(io::ErrorKind::InvalidInput, error));
                let name = ServerName::try_from(self.host.clone()).map_err(wrong)?;
                let stream = tls.connect(name, stream).await.map_err(SendError::Connect)?;
                self.exchange(stream, body).await
            }
        }
    }

    async fn exchange<S>(&self, stream: S, body: Vec<u8>) -> Result<(), SendError>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let io = TokioIo::new(stream);
        let request = self.request(body)?;
        if !self.grpc {
            let (mut sender, connection) = hyper::client::conn::http1::handshake(io).await?;
            return driven(connection, self.answered(sender.send_request(request))).await;
        }
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await?;
        driven(connection, self.answered(sender.send_request(request))).await
    }

    fn request(&self, body: Vec<u8>) -> Result<Request<Full<Bytes>>, hyper::http::Error> {
        let authority = match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        };
        let mut request = Request::post(&self.path).body(Full::default())?;
        *request.headers_mut() = self.headers.clone();
        let mut insert = |name: HeaderName, value: &'static str| {
            request.headers_mut().insert(name, HeaderValue::from_static(value));
        };
        let mut message = Vec::new();
        if self.grpc {
            insert(CONTENT_TYPE, "application/grpc");
            insert(TE, "trailers");
            // A message begins with whether it is compressed, and its length.
            message.push(0);
            message.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes());
            let scheme = if self.tls.is_some() { "https" } else { "http" };
            let uri = Uri::builder().scheme(scheme).authority(authority).path_and_query(&*self.path);
            *request.uri_mut() = uri.build()?;
        } else {
            insert(CONTENT_TYPE, "application/x-protobuf");
            request.headers_mut().insert(HOST, HeaderValue::from_str(&authority)?);
        }
        message.extend_from_slice(&body);
        *request.body_mut() = Full::new(Bytes::from(message));
        Ok(request)
    }

    async fn answered(
        &self,
        answer: impl Future<Output = hyper::Result<hyper::Response<hyper::body::Incoming>>>,
    ) -> Result<(), SendError> {
        let (head, body) = answer.await?.into_parts();
        if !head.status.is_success() {
            return Err(SendError::Status(head.status));
        }
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(SendError::Body)?;
        if self.grpc {
            let status = body.trailers().and_then(|trailers| trailers.get("grpc-status"));
            let status = status.or_else(|| head.headers.get("grpc-status"));
            let status = status.and_then(|status| status.to_str().ok()).unwrap_or("none");
            if status != "0" {
                return Err(SendError::Grpc(status.to_owned()));
            }
        }
        Ok(())
    }
}

/// Works on a connection until what it is for is done.
async fn driven<T>(
    connection: impl Future<Output = hyper::Result<()>>,
    work: impl Future<Output = Result<T, SendError>>,
) -> Result<T, SendError> {
    let (mut connection, mut work) = (std::pin::pin!(connection), std::pin::pin!(work));
    tokio::select! {
        biased;
        done = &mut work => return done,
        ended = &mut connection => ended?,
    }
    // A connection may end in good order before its last answer was looked at.
    work.await
}

fn headers(
    given: &crate::config::model::Named<crate::config::model::Hidden>,
) -> Result<HeaderMap, TracerError> {
    let mut headers = HeaderMap::new();
    for (name, value) in given {
        let wrong = || TracerError::Header(name.clone());
        let name: HeaderName = name.parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.expose()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    Ok(headers)
}

fn connector(
    options: Option<&crate::config::model::ClientTls>,
    grpc: bool,
) -> Result<TlsConnector, TracerError> {
    let mut client = Client::default();
    if let Some(options) = options {
        if options.insecure_skip_verify {
            client.trust = Trust::Insecure;
        } else if !options.ca.is_empty() {
            client.trust = Trust::Only(mesh_tls::certificates(Path::new(&options.ca))?);
        }
        if !options.cert.is_empty() {
            let identity = Identity::read(Path::new(&options.cert), Path::new(options.key.expose()))?;
            client.identity = Some(identity);
        }
    }
    let mut config = client.config()?;
    if grpc {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What all spans are of.
fn resource(options: &statics::Tracing) -> Vec<(String, Value)> {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut all: Vec<(String, String)> = vec![
        ("service.name".to_owned(), options.service_name.clone()),
        ("service.version".to_owned(), crate::api::LIKE_VERSION.to_owned()),
        ("telemetry.sdk.name".to_owned(), "mesh".to_owned()),
        ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
        ("telemetry.sdk.version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("host.name".to_owned(), host),
        ("os.type".to_owned(), "linux".to_owned()),
    ];
    for (name, value) in &options.resource_attributes {
        all.retain(|(known, _)| known != name);
        all.push((name.clone(), value.clone()));
    }
    all.into_iter().map(|(name, value)| (name, Value::Text(value))).collect()
}
