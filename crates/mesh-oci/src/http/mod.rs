//! HTTP/1.1 with TLS, proxies and a pool of connections: one request, one answer whose body streams.
//!
//! Redirects, credentials and retries are not here: they are the registry client's.

mod connect;
pub mod proxy;
mod socks;
mod tls;
pub(crate) mod url;

use bytes::Bytes;
use connect::{Connection, Way, connect};
use http_body_util::{BodyExt as _, Full};
use hyper::{HeaderMap, Request, StatusCode, body::Incoming, header};
use proxy::{Proxies, Proxy, Unusable};
use std::{
    collections::HashMap,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tls::Tls;
use tokio::time::timeout;
use url::{Origin, Url};

/// Longest time that making a connection may take.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// Idle connections kept for one origin.
const IDLE_MAX: usize = 8;
/// How long a connection may lie idle; shorter than servers usually keep them.
const IDLE_FOR: Duration = Duration::from_secs(20);

/// Why a request had no answer.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// Name or port did not answer.
    #[error("could not connect to {origin}")]
    Connect {
        /// Scheme, host and port.
        origin: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The proxy gave no way through.
    #[error("could not get through the proxy {proxy}")]
    Proxy {
        /// Scheme, host and port.
        proxy: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The proxy of the environment is of a kind that is not supported.
    #[error("could not go to {origin}")]
    NoProxy {
        /// Scheme, host and port.
        origin: String,
        /// Why not.
        #[source]
        source: Unusable,
    },
    /// TLS failed.
    #[error("could not agree on TLS with {origin}")]
    Tls {
        /// Scheme, host and port.
        origin: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The machine has no certificates to check servers with.
    #[error("this machine has no certificates to check registries with: install ca-certificates")]
    NoCertificates,
    /// A registry's own certificate could not be read.
    #[error("could not use the certificates in {}", path.display())]
    Certificate {
        /// File or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nothing came in time.
    #[error("{what} from {origin} within {seconds} s")]
    Timeout {
        /// Scheme, host and port.
        origin: String,
        /// What did not come: `no answer`.
        what: &'static str,
        /// How long was waited.
        seconds: f64,
    },
    /// The connection broke, or what came was no HTTP.
    #[error("the connection to {origin} failed")]
    Http {
        /// Scheme, host and port.
        origin: String,
        /// Why.
        #[source]
        source: hyper::Error,
    },
    /// The connection ended before the body did.
    #[error("{origin} stopped in the middle")]
    Short {
        /// Scheme, host and port.
        origin: String,
    },
    /// A body is larger than anything that is wanted.
    #[error("{origin} sent more than {limit} bytes")]
    TooLarge {
        /// Scheme, host and port.
        origin: String,
        /// The most that is read.
        limit: u64,
    },
    /// A request could not be written.
    #[error("no request can be made of {url}")]
    Request {
        /// Address without its query.
        url: String,
    },
}

/// A request: a `GET`, a `HEAD`, or a `POST` of a form.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    /// Headers besides `Host` and `User-Agent`; values that are secret are marked so.
    pub(crate) headers: HeaderMap,
    /// The form of a `POST`.
    pub(crate) form: Option<mesh_redact::Secret<String>>,
    /// Only the head of the answer is wanted.
    pub(crate) head: bool,
    /// How long the answer may take to begin, the connection included.
    pub(crate) within: Duration,
    /// Whether the server's certificate is looked at.
    pub(crate) verify: bool,
}

/// Connections to any number of origins.
#[derive(Debug)]
pub(crate) struct Transport {
    tls: Tls,
    proxies: Proxies,
    user_agent: String,
    idle: Arc<Idle>,
}

type Key = (Origin, bool);

#[derive(Debug, Default)]
struct Idle {
    connections: Mutex<HashMap<Key, Vec<(Connection, Instant)>>>,
}

impl Idle {
    fn take(&self, key: &Key) -> Option<Connection> {
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, kept| {
            kept.retain(|(connection, since)| since.elapsed() < IDLE_FOR && !connection.sender.is_closed());
            !kept.is_empty()
        });
        let (connection, _) = all.get_mut(key)?.pop()?;
        Some(connection)
    }

    fn put(&self, key: Key, connection: Connection) {
        if connection.sender.is_closed() {
            return;
        }
        let mut all = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = all.entry(key).or_default();
        if kept.len() < IDLE_MAX {
            kept.push((connection, Instant::now()));
        }
    }
}

/// The answer to a request; its body is still on its way.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Status.
    pub(crate) status: StatusCode,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) body: Body,
}

/// A body on its way; its connection serves again once it is read to its end.
#[derive(Debug)]
pub(crate) struct Body {
    incoming: Incoming,
    connection: Option<Connection>,
    key: Key,
    idle: Arc<Idle>,
}

impl Transport {
    pub(crate) fn new(certificates: Vec<PathBuf>, proxies: Proxies, user_agent: String) -> Self {
        Self { tls: Tls::new(certificates), proxies, user_agent, idle: Arc::default() }
    }

    /// Sends a request, over a connection that lies idle or a new one.
    pub(crate) async fn send(&self, url: &Url, call: &Call) -> Result<Answer, TransportError> {
        let key = (url.origin.clone(), call.verify);
        if let Some(connection) = self.idle.take(&key)
            && let Ok(answer) = self.exchange(connection, url, call).await
        {
            return Ok(answer);
        }
        // None was idle, or the server had just closed it: nothing of this kind changes anything there,
        // so that asking again is safe.
        let way = Way {
            origin: &url.origin,
            proxy: self.proxy(&url.origin)?,
            tls: &self.tls,
            verify: call.verify,
            within: call.within.min(CONNECT_MAX),
        };
        let connection = connect(way).await?;
        self.exchange(connection, url, call).await
    }

    fn proxy(&self, origin: &Origin) -> Result<Option<&Proxy>, TransportError> {
        let failed = |source| TransportError::NoProxy { origin: origin.to_string(), source };
        self.proxies.of(origin).map_err(failed)
    }

    async fn exchange(
        &self,
        mut connection: Connection,
        url: &Url,
        call: &Call,
    ) -> Result<Answer, TransportError> {
        let origin = url.origin.to_string();
        let request = self.request(url, call)?;
        let failed = |source| TransportError::Http { origin: origin.clone(), source };
        let answering = async {
            connection.sender.ready().await.map_err(failed)?;
            connection.sender.send_request(request).await.map_err(failed)
        };
        let answer = timeout(call.within, answering).await.unwrap_or_else(|_| {
            Err(TransportError::Timeout {
                origin: origin.clone(),
                what: "no answer",
                seconds: call.within.as_secs_f64(),
            })
        })?;
        let (head, incoming) = answer.into_parts();
        let key = (url.origin.clone(), call.verify);
        let body = Body { incoming, connection: Some(connection), key, idle: self.idle.clone() };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    fn request(&self, url: &Url, call: &Call) -> Result<Request<Full<Bytes>>, TransportError> {
        let proxy = self.proxy(&url.origin)?.filter(|proxy| !url.origin.tls && !proxy.socks);
        // A proxy without a tunnel is told the whole address.
        let target = if proxy.is_some() { format!("{}{}", url.origin, url.path) } else { url.path.clone() };
        let mut request = Request::builder()
            .method(match call.form {
                Some(_) => "POST",
                None if call.head => "HEAD",
                None => "GET",
            })
            .uri(target)
            .header(header::HOST, url.origin.authority())
            .header(header::USER_AGENT, &self.user_agent);
        if let Some(authorization) = proxy.and_then(Proxy::authorization) {
            request = request.header(header::PROXY_AUTHORIZATION, authorization.expose());
        }
        let body = match &call.form {
            Some(form) => {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
                Bytes::from(form.expose().clone())
            }
            None => Bytes::new(),
        };
        if let Some(headers) = request.headers_mut() {
            headers.extend(call.headers.clone());
        }
        request.body(Full::new(body)).map_err(|_| TransportError::Request { url: url.to_string() })
    }
}

impl Body {
    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self, within: Duration) -> Result<Option<Bytes>, TransportError> {
        loop {
            let frame =
                timeout(within, self.incoming.frame()).await.map_err(|_| TransportError::Timeout {
                    origin: self.key.0.to_string(),
                    what: "nothing more",
                    seconds: within.as_secs_f64(),
                })?;
            match frame {
                None => {
                    if let Some(connection) = self.connection.take() {
                        self.idle.put(self.key.clone(), connection);
                    }
                    return Ok(None);
                }
                Some(Err(source)) => {
                    return Err(TransportError::Http { origin: self.key.0.to_string(), source });
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Ok(Some(data)),
                    Err(_trailers) => {}
                },
            }
        }
    }

    /// The error of a body that ended too early.
    pub(crate) fn too_short(&self) -> TransportError {
        TransportError::Short { origin: self.key.0.to_string() }
    }

    /// The error of a body that hardly moves.
    pub(crate) fn too_slow(&self, within: Duration) -> TransportError {
        TransportError::Timeout {
            origin: self.key.0.to_string(),
            what: "next to nothing",
            seconds: within.as_secs_f64(),
        }
    }

    /// All of it, if it is not larger than `limit` and comes within `within`.
    pub(crate) async fn all(&mut self, limit: u64, within: Duration) -> Result<Vec<u8>, TransportError> {
        let origin = self.key.0.to_string();
        let reading = async {
            let mut bytes = Vec::new();
            while let Some(piece) = self.next(within).await? {
                if (bytes.len() + piece.len()) as u64 > limit {
                    return Err(TransportError::TooLarge { origin: origin.clone(), limit });
                }
                bytes.extend_from_slice(&piece);
            }
            Ok(bytes)
        };
        timeout(within, reading).await.unwrap_or_else(|_| {
            Err(TransportError::Timeout {
                origin: origin.clone(),
                what: "no whole answer",
                seconds: within.as_secs_f64(),
            })
        })
    }
}
