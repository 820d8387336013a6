//! A way to one server, with the connections that are kept for it.
//!
//! A connection of HTTP/1.1 is lent to one request, and comes back once the answer has ended; one of HTTP/2 is shared.
//! A request that met the end of a kept connection is sent again only if nothing of it had been sent.

use super::{
    Body,
    dial::{DialError, Scheme, Stream, dial},
    first::{First, FirstError, HEAD_BYTES_MAX},
    transport::Transport,
    waiting::Waiting,
};
use hyper::{
    HeaderMap, Request, Response, StatusCode, Uri, Version,
    body::{Body as _, Frame, Incoming, SizeHint},
    client::conn::http2,
    header::{CONNECTION, HOST, HeaderName, HeaderValue, TE, TRANSFER_ENCODING, UPGRADE},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    error::Error,
    fmt, io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::sync::Notify;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Bytes of a stream that a server may send ahead, and of all streams of a connection; and most that wait for it.
const STREAM_WINDOW_BYTES: u32 = 64 << 10;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const STREAM_WAITING_BYTES_MAX: usize = 64 << 10;
/// How often the log has that a server is not who it should be.
const TELL_EVERY: Duration = Duration::from_secs(60);

type Second = http2::SendRequest<Body>;

/// Why a server gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SendError {
    /// Nothing of the request was sent.
    #[error("no connection")]
    Dial(#[from] DialError),
    #[error("the server broke off, or its answer is none")]
    Broken(#[from] FirstError),
    #[error("the stream of the answer broke off, or its answer is none")]
    Stream(#[source] hyper::Error),
    #[error("the server did not answer within {0:?}")]
    Slow(Duration),
    #[error("the request cannot be sent")]
    Request,
}

impl SendError {
    /// Whether the server can have got anything of the request.
    pub(crate) fn reached(&self) -> bool {
        !matches!(self, Self::Dial(_) | Self::Request | Self::Broken(FirstError::Unsent))
    }

    /// The status that stands for it, as Traefik chooses it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Slow(_) | Self::Dial(DialError::Slow { .. }) => StatusCode::GATEWAY_TIMEOUT,
            Self::Dial(DialError::Connect { source, .. }) if source.kind() == io::ErrorKind::TimedOut => {
                StatusCode::GATEWAY_TIMEOUT
            }
            // A server that breaks off while TLS is agreed on is as good as none; others are not what was configured.
            Self::Dial(DialError::Tls { source, .. }) if !is_of_tls(source) => StatusCode::BAD_GATEWAY,
            Self::Dial(DialError::Tls { .. } | DialError::Name(_) | DialError::Transport(_)) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::Request => StatusCode::BAD_REQUEST,
            Self::Dial(_) | Self::Broken(_) | Self::Stream(_) => StatusCode::BAD_GATEWAY,
        }
    }
}

fn is_of_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| (inner as &(dyn Error + 'static)).is::<rustls::Error>())
}

/// A way to one server.
pub(crate) struct Line {
    pub(super) transport: Arc<Transport>,
    pub(super) scheme: Scheme,
    /// Host and port.
    authority: String,
    waiting: Mutex<Waiting<First>>,
    shared: tokio::sync::Mutex<Option<Second>>,
    tasks: TaskTracker,
    stop: CancellationToken,
    own: Weak<Line>,
    /// When it was last told that the server is not who it should be.
    warned: Mutex<Option<Instant>>,
    /// When it was last told that it broke off an answer.
    broke: Mutex<Option<Instant>>,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line")
            .field("scheme", &self.scheme)
            .field("authority", &self.authority)
            .finish_non_exhaustive()
    }
}

impl Line {
    pub(super) fn new(
        transport: Arc<Transport>,
        scheme: Scheme,
        authority: String,
        tasks: TaskTracker,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            transport,
            scheme,
            authority,
            waiting: Mutex::default(),
            shared: tokio::sync::Mutex::default(),
            tasks,
            stop,
            own: own.clone(),
            warned: Mutex::default(),
            broke: Mutex::default(),
        })
    }

    /// Sends a request whose target is a path, and whose `Host` is what the server is to see. The answer's head; its
    /// body comes as the server sends it. A request of which nothing was sent stays where it was.
    pub(crate) async fn send(
        &self,
        request: &mut Option<Request<Body>>,
    ) -> Result<Response<Body>, SendError> {
        let Some(limit) = self.transport.answer else { return self.sent(request).await };
        // Until its body has gone, a request takes as long as its client does.
        if request.as_ref().is_none_or(|request| request.body().is_empty()) {
            let sent = tokio::time::timeout(limit, self.sent(request)).await;
            return sent.unwrap_or(Err(SendError::Slow(limit)));
        }
        let gone = Arc::new(Notify::new());
        let notice = |body| Body::made(Noticed { body, gone: Some(gone.clone()) });
        *request = request.take().map(|request| request.map(notice));
        let slow = async {
            gone.notified().await;
            tokio::time::sleep(limit).await;
        };
        tokio::select! {
            biased;
            sent = self.sent(request) => sent,
            () = slow => Err(SendError::Slow(limit)),
        }
    }

    async fn sent(&self, request: &mut Option<Request<Body>>) -> Result<Response<Body>, SendError> {
        // Whoever goes on with something else needs a connection of its own.
        let alone = request.as_ref().is_some_and(|request| request.headers().contains_key(UPGRADE));
        if self.scheme == Scheme::H2c && !alone {
            let sender = Box::pin(self.second()).await?;
            return Box::pin(self.send_second(sender, request)).await;
        }
        if !alone && let Some(sender) = self.known_second().await {
            return Box::pin(self.send_second(sender, request)).await;
        }
        let asked = request.as_mut().ok_or(SendError::Request)?;
        while let Some(connection) = self.take() {
            let replays = asked.method().is_safe() && asked.body().is_empty();
            match connection.send(asked, &self.own).await {
                // The connection ended before it took the request.
                Err(FirstError::Unsent) => continue,
                // Its server had ended it when the request was on its way. Asking once more changes nothing there
                // (RFC 9110, section 9.2.2), and a new connection says whether anybody is there.
                Err(FirstError::Unanswered(_)) if replays => break,
                sent => return Ok(sent?),
            }
        }
        let scheme = if self.scheme == Scheme::H2c { Scheme::Http } else { self.scheme };
        let stream = Box::pin(self.dial(scheme, !alone)).await?;
        if !stream.is_h2() {
            return Ok(First::new(stream).send(asked, &self.own).await?);
        }
        let sender = Box::pin(self.greet_second(stream)).await?;
        let mut shared = self.shared.lock().await;
        let sender = match shared.as_ref().filter(|known| !known.is_closed()) {
            // Somebody else was faster; the new connection ends.
            Some(known) => known.clone(),
            None => shared.insert(sender).clone(),
        };
        drop(shared);
        Box::pin(self.send_second(sender, request)).await
    }

    /// The answer of a shared connection.
    fn share(&self, answer: Response<Incoming>) -> Response<Body> {
        match answer.body().is_end_stream() {
            true => answer.map(Body::Incoming),
            false => answer.map(|body| Body::Second(body, self.own.clone())),
        }
    }

    async fn send_second(
        &self,
        mut sender: Second,
        request: &mut Option<Request<Body>>,
    ) -> Result<Response<Body>, SendError> {
        let taken = request.take().ok_or(SendError::Request)?;
        let mut taken = self.for_second(taken).ok_or(SendError::Request)?;
        for last in [false, true] {
            match sender.try_send_request(taken).await {
                Ok(answer) => return Ok(self.share(answer)),
                Err(mut error) => match error.take_message().filter(|_| !last) {
                    // The connection ended before it took the request.
                    Some(unsent) => {
                        taken = unsent;
                        sender = self.second().await?;
                    }
                    None => return Err(SendError::Stream(error.into_error())),
                },
            }
        }
        Err(SendError::Request)
    }

    /// The same request for HTTP/2: its host is part of its target, and nothing is between two hops but `TE`.
    fn for_second(&self, mut request: Request<Body>) -> Option<Request<Body>> {
        let headers = request.headers_mut();
        let host = headers.remove(HOST)?;
        headers.remove(CONNECTION);
        headers.remove(TRANSFER_ENCODING);
        let trailers = headers.get(TE).is_some_and(|value| value == "trailers");
        if !trailers {
            headers.remove(TE);
        }
        let target = request.uri().path_and_query()?.clone();
        let uri = Uri::builder().scheme(self.scheme.name()).authority(host.as_bytes()).path_and_query(target);
        *request.uri_mut() = uri.build().ok()?;
        *request.version_mut() = Version::HTTP_2;
        Some(request)
    }

    async fn known_second(&self) -> Option<Second> {
        if self.scheme != Scheme::Https {
            return None;
        }
        let shared = self.shared.lock().await;
        shared.as_ref().filter(|known| !known.is_closed()).cloned()
    }

    /// The connection of HTTP/2, made if there is none. Others wait for it meanwhile.
    async fn second(&self) -> Result<Second, SendError> {
        let mut shared = self.shared.lock().await;
        if let Some(known) = shared.as_ref().filter(|known| !known.is_closed()) {
            return Ok(known.clone());
        }
        let stream = self.dial(self.scheme, true).await?;
        Ok(shared.insert(self.greet_second(stream).await?).clone())
    }

    /// A new connection. A server whose TLS is not what was configured stays so until somebody acts: it is told, but not
    /// for each request.
    async fn dial(&self, scheme: Scheme, h2: bool) -> Result<Stream, DialError> {
        let dialled = dial(&self.transport, scheme, &self.authority, h2).await;
        if let Err(error @ DialError::Tls { source, .. }) = &dialled
            && is_of_tls(source)
            && is_due(&self.warned, Instant::now())
        {
            tracing::error!(server = %self.authority, error = crate::chain(error), "a server's TLS is not what was configured");
        }
        dialled
    }

    async fn greet_second(&self, stream: Stream) -> Result<Second, SendError> {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .max_send_buf_size(STREAM_WAITING_BYTES_MAX);
        builder.max_header_list_size(u32::try_from(HEAD_BYTES_MAX).unwrap_or(u32::MAX));
        if let Some((every, limit)) = self.transport.ping {
            builder.keep_alive_interval(every).keep_alive_timeout(limit).keep_alive_while_idle(true);
        }
        let (sender, connection) =
            builder.handshake(TokioIo::new(stream)).await.map_err(|source| self.no_http(source))?;
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                _ = connection => {}
                () = stop.cancelled() => {}
            }
        });
        Ok(sender)
    }

    /// Tells that an answer broke off, but not of each.
    pub(super) fn broke_off(&self, error: &(dyn Error + 'static)) {
        let (server, error) = (&self.authority, crate::chain(error));
        match () {
            // The gateway did.
            () if self.stop.is_cancelled() => {}
            () if is_due(&self.broke, Instant::now()) => {
                tracing::warn!(server, error, "a server broke off its answer")
            }
            () => tracing::debug!(server, error, "a server broke off its answer"),
        }
    }

    fn no_http(&self, source: hyper::Error) -> DialError {
        DialError::Http { authority: self.authority.clone(), source }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<First>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that waits for a request.
    fn take(&self) -> Option<First> {
        self.waiting().take(self.transport.waiting, First::is_free)
    }

    pub(super) fn keep(&self, connection: First) {
        self.waiting().keep(self.transport.waiting, connection, Instant::now());
    }

    /// Ends connections that have waited long enough, or that their server has ended; how many are left.
    pub(super) fn sweep(&self) -> usize {
        self.waiting().sweep(self.transport.waiting, Instant::now(), First::is_free)
    }

    /// Ends all connections that wait.
    pub(super) fn clear(&self) {
        self.waiting().clear();
    }
}

/// Whether something is to be told again; it counts as told then.
fn is_due(told: &Mutex<Option<Instant>>, now: Instant) -> bool {
    let mut told = told.lock().unwrap_or_else(PoisonError::into_inner);
    let due = told.is_none_or(|at| now.saturating_duration_since(at) >= TELL_EVERY);
    if due {
        *told = Some(now);
    }
    due
}

/// A body that says when it has gone.
struct Noticed {
    body: Body,
    gone: Option<Arc<Notify>>,
}

impl Drop for Noticed {
    fn drop(&mut self) {
        if let Some(gone) = self.gone.take() {
            gone.notify_one();
        }
    }
}

impl hyper::body::Body for Noticed {
    type Data = bytes::Bytes;
    type Error = super::BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if (frame.is_none() || self.body.is_end_stream())
            && let Some(gone) = self.gone.take()
        {
            gone.notify_one();
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

/// The head of a request to a server.
pub(crate) fn headed(
    method: hyper::Method,
    target: String,
    host: &str,
    mut headers: HeaderMap,
    body: Body,
) -> Option<Request<Body>> {
    let mut said = headers.get_all(HOST).iter();
    if said.next().is_none_or(|said| said != host) || said.next().is_some() {
        headers.insert(HOST, HeaderValue::from_str(host).ok()?);
    }
    headers.remove(HeaderName::from_static("proxy-connection"));
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = Uri::builder().path_and_query(target).build().ok()?;
    *request.headers_mut() = headers;
    Some(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_wrong_is_told_once_a_minute() {
        let told = Mutex::default();
        let begin = Instant::now();
        let due: Vec<u64> =
            (0..150).filter(|&second| is_due(&told, begin + Duration::from_secs(second))).collect();
        assert_eq!(due, [0, 60, 120]);
    }
}
