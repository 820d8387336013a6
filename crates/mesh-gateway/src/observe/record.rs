//! What is known of one request, noted while it is on its way.

use super::{
    Observer, Told,
    access::AccessLog,
    metrics::Metrics,
    trace::{Place, SpanId, Tracer},
};
use crate::upstream::{Body, BodyError};
use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use hyper::{
    HeaderMap, Method, Request, StatusCode, Version,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, REFERER, UPGRADE, USER_AGENT},
};
use std::{
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::{Duration, Instant, SystemTime},
};

/// Most attempts of which a trace tells.
const ATTEMPTS_TOLD_MAX: usize = 32;

/// What goes with a request; nothing, if nobody wants to know of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Watch(pub(super) Option<Arc<Record>>);

/// What a TLS connection agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) version: &'static str,
    pub(crate) cipher: &'static str,
}

/// What is known of a request.
#[derive(Debug)]
pub(crate) struct Record {
    observer: Arc<Observer>,
    pub(super) entry: String,
    pub(super) number: u64,
    pub(super) start: SystemTime,
    pub(super) began: Instant,
    pub(super) method: Method,
    pub(super) host: String,
    pub(super) path: String,
    pub(super) query: Option<String>,
    pub(super) version: Version,
    pub(super) client: SocketAddr,
    pub(super) tls: Option<Agreed>,
    pub(super) headers: HeaderMap,
    pub(super) protocol: &'static str,
    pub(super) place: Option<Place>,
    pub(super) request_bytes: AtomicU64,
    notes: Mutex<Notes>,
}

/// What happened to it.
#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) told: Option<Arc<Told>>,
    pub(super) routed: Option<SystemTime>,
    pub(super) user: Option<String>,
    /// When it came to each of its router's layers, as far as it came.
    pub(super) entered: Vec<SystemTime>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) attempts_count: u64,
}

/// One time that it was sent to a server.
#[derive(Debug, Clone)]
pub(super) struct Attempt {
    pub(super) service: String,
    pub(super) url: String,
    pub(super) start: SystemTime,
    pub(super) began: Instant,
    pub(super) took: Option<Duration>,
    pub(super) status: Option<StatusCode>,
    pub(super) span: Option<SpanId>,
}

/// A request's body that is counted.
struct Counted {
    body: Body,
    record: Arc<Record>,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
            self.record.request_bytes.fetch_add(length, Ordering::Relaxed);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// How it ended.
#[derive(Debug)]
pub(super) struct End<'e> {
    pub(super) status: StatusCode,
    pub(super) headers: &'e HeaderMap,
    pub(super) response_bytes: u64,
    pub(super) took: Duration,
    /// Whether the answer broke off before its end. A client that left is not told apart from one that stayed.
    pub(super) broken: bool,
}

impl Agreed {
    /// Under the names that Traefik has for them.
    pub(crate) fn of(connection: &rustls::CommonState) -> Option<Self> {
        let version = match connection.protocol_version()? {
            rustls::ProtocolVersion::TLSv1_2 => "1.2",
            rustls::ProtocolVersion::TLSv1_3 => "1.3",
            _ => "unknown",
        };
        let cipher = match connection.negotiated_cipher_suite()?.suite().as_str().unwrap_or("unknown") {
            "TLS13_AES_128_GCM_SHA256" => "TLS_AES_128_GCM_SHA256",
            "TLS13_AES_256_GCM_SHA384" => "TLS_AES_256_GCM_SHA384",
            "TLS13_CHACHA20_POLY1305_SHA256" => "TLS_CHACHA20_POLY1305_SHA256",
            other => other,
        };
        Some(Self { version, cipher })
    }
}

impl Observer {
    /// Begins to watch a request.
    pub(crate) fn begin<B: hyper::body::Body>(
        self: &Arc<Self>,
        entry: &str,
        client: SocketAddr,
        tls: Option<Agreed>,
        request: &Request<B>,
    ) -> Watch {
        if self.is_idle() {
            return Watch(None);
        }
        let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
        let host = request.uri().authority().map(hyper::http::uri::Authority::as_str).or_else(|| text(HOST));
        Watch(Some(Arc::new(Record {
            entry: entry.to_owned(),
            number: self.requests.fetch_add(1, Ordering::Relaxed) + 1,
            start: SystemTime::now(),
            began: Instant::now(),
            method: request.method().clone(),
            host: host.unwrap_or_default().to_owned(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().map(str::to_owned),
            version: request.version(),
            client,
            tls,
            protocol: protocol(request.headers()),
            place: self.tracer.as_ref().map(|tracer| tracer.place(request.headers())),
            headers: self.wanted(request.headers()),
            request_bytes: AtomicU64::new(request.body().size_hint().exact().unwrap_or(0)),
            notes: Mutex::default(),
            observer: self.clone(),
        })))
    }

    /// The headers that somebody will ask for.
    fn wanted(&self, headers: &HeaderMap) -> HeaderMap {
        if self.access.as_ref().is_some_and(AccessLog::wants_headers) {
            return headers.clone();
        }
        let mut wanted = HeaderMap::new();
        let labels = self.metrics.iter().flat_map(Metrics::labels);
        let captured = self.tracer.iter().flat_map(Tracer::captured);
        let names = [USER_AGENT, REFERER].into_iter().chain(labels.chain(captured).cloned());
        for name in names.chain([hyper::header::HeaderName::from_static("x-forwarded-for")]) {
            for value in headers.get_all(&name) {
                wanted.append(&name, value.clone());
            }
        }
        wanted
    }
}

/// Which of the protocols over HTTP a request is, as Traefik tells them apart.
fn protocol(headers: &HeaderMap) -> &'static str {
    let has = |name, wanted: &str| {
        let text = headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        text.split(',').any(|token| token.trim().eq_ignore_ascii_case(wanted))
    };
    let kind = headers.get(CONTENT_TYPE).map_or(&[][..], |value| value.as_bytes());
    match () {
        () if has(CONNECTION, "upgrade") && has(UPGRADE, "websocket") => "websocket",
        () if has(ACCEPT, "text/event-stream") => "sse",
        () if kind.starts_with(b"application/grpc-web") => "grpc-web",
        () if kind.starts_with(b"application/grpc") => "grpc",
        () => "http",
    }
}

impl Record {
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn told(&self) -> Option<Arc<Told>> {
        self.notes().told.clone()
    }

    pub(super) fn end(&self, end: &End<'_>) {
        self.observer.end(self, end);
    }
}

impl Notes {
    /// How often it was sent again.
    pub(super) fn retries(&self) -> u64 {
        self.attempts_count.saturating_sub(1)
    }
}

impl Watch {
    /// Which router it goes to.
    pub(crate) fn routed(&self, told: &Arc<Told>) {
        if let Some(record) = &self.0 {
            let mut notes = record.notes();
            notes.told = Some(told.clone());
            notes.routed = Some(SystemTime::now());
        }
    }

    /// The request's body, its bytes counted where nobody knows them beforehand.
    pub(crate) fn counted(&self, body: Body) -> Body {
        match &self.0 {
            Some(record) if body.size_hint().exact().is_none() => {
                Body::made(Counted { body, record: record.clone() })
            }
            _ => body,
        }
    }

    /// Whose it is.
    pub(crate) fn user(&self, name: &str) {
        if let Some(record) = &self.0 {
            record.notes().user = Some(name.to_owned());
        }
    }

    /// That it has come to a layer, of which so many are left with this one. What it comes to again is not noted again.
    pub(crate) fn entered(&self, left: usize) {
        let Some(record) = &self.0 else { return };
        let mut notes = record.notes();
        let Some(told) = notes.told.as_ref().filter(|told| told.detailed) else { return };
        if told.layers.len().checked_sub(left) == Some(notes.entered.len()) {
            notes.entered.push(SystemTime::now());
        }
    }

    /// That it is sent to a server now; the server is told what trace it belongs to.
    pub(crate) fn sending(&self, service: &str, url: &str, headers: &mut HeaderMap) {
        let Some(record) = &self.0 else { return };
        let mut notes = record.notes();
        let traced = notes.told.as_ref().is_none_or(|told| told.tracing);
        let span = record.place.as_ref().filter(|_| traced).map(|place| place.step(headers));
        let attempt = Attempt {
            service: service.to_owned(),
            url: url.to_owned(),
            start: SystemTime::now(),
            began: Instant::now(),
            took: None,
            status: None,
            span,
        };
        notes.attempts_count += 1;
        if notes.attempts.len() >= ATTEMPTS_TOLD_MAX {
            notes.attempts.pop();
        }
        notes.attempts.push(attempt);
    }

    /// What the server said, or that it said nothing.
    pub(crate) fn received(&self, status: Option<StatusCode>) {
        let Some(record) = &self.0 else { return };
        if let Some(attempt) = record.notes().attempts.last_mut() {
            attempt.status = status;
            attempt.took = Some(attempt.began.elapsed());
        }
    }
}
