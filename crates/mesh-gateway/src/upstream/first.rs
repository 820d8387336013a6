//! Connections of HTTP/1.1 to servers.
//!
//! A connection has no task of its own: whoever waits for its answer, or reads it, carries it on meanwhile, and goes on
//! sending what is left of the request. So what comes from a server wakes only the task that wants it. While nobody uses
//! it, it is looked at now and then, and when it is to be used again.
//!
//! An answer whose body came with its head leaves the connection free at once; others hold it until they have ended.

use super::{Body, BodyError, dial::Stream, line::Line};
use crate::{
    http1::{self, ChunkError, Chunked, Ends, HeadError, Length, Piece, Told, Unsent},
    rewound::Rewound,
    turn,
};
use bytes::{Bytes, BytesMut};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body as _, Frame, SizeHint},
    header::{HeaderName, TRAILER},
};
use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::Weak,
    task::{Context, Poll, Waker, ready},
};
use tokio::{
    io::{AsyncRead as _, AsyncWrite as _, ReadBuf},
    task::unconstrained,
};
use tokio_util::io::poll_read_buf;

/// Most bytes of an answer's head.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes that are read at a time: at first, and of a body that goes on.
const READ_BYTES: usize = 8 << 10;
const READ_BYTES_MORE: usize = 64 << 10;
/// Most heads that announce another one.
const INTERIM_MAX: usize = 32;

/// Why there is no answer, or not all of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FirstError {
    /// Nothing of the request was sent.
    #[error("the connection ended before the request")]
    Unsent,
    #[error("the server ended the connection without an answer")]
    Unanswered(#[source] Option<io::Error>),
    #[error("the server ended the connection within its answer")]
    Cut(#[source] Option<io::Error>),
    #[error("the server's answer is no HTTP")]
    Head(#[from] HeadError),
    #[error("the head of the server's answer has more than {HEAD_BYTES_MAX} bytes")]
    Large,
    #[error("the server announces its answer again and again")]
    Interim,
    #[error("the server's answer is cut into no chunks")]
    Chunk(#[from] ChunkError),
    #[error("the request's body broke off")]
    Body(#[source] BodyError),
    #[error("the request's body is not as long as its head says")]
    Length,
}

/// A connection, for one request at a time.
pub(super) struct First {
    stream: Stream,
    read: BytesMut,
    unsent: Unsent,
    /// What is left of a request's body.
    sending: Option<Sending>,
    /// Whether its server has only got a part of a request.
    spoiled: bool,
}

/// A request's body on its way.
struct Sending {
    body: Body,
    /// How many bytes it still has to have; none if it is in chunks.
    left: Option<u64>,
    /// Names that may follow chunks.
    trailers: Vec<HeaderName>,
}

impl First {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, read: BytesMut::new(), unsent: Unsent::default(), sending: None, spoiled: false }
    }

    /// Whether a request can be sent, as far as is known on this side. What comes unasked is no answer.
    pub(super) fn is_free(&mut self) -> bool {
        if !self.is_done() {
            return false;
        }
        let mut byte = [0];
        let mut buffer = ReadBuf::new(&mut byte);
        let stream = &mut self.stream;
        // A task that has done much already would be told to wait, which says nothing of the connection.
        let look = unconstrained(poll_fn(|cx| Pin::new(&mut *stream).poll_read(cx, &mut buffer)));
        pin!(look).poll(&mut Context::from_waker(Waker::noop())).is_pending()
    }

    /// Whether nothing of the last request, or of its answer, is left.
    fn is_done(&self) -> bool {
        !self.spoiled && self.read.is_empty() && self.unsent.is_empty() && self.sending.is_none()
    }

    /// Sends a request, and waits for the answer's head. Its body is taken once something of it was sent; a request
    /// without one stays as it is. The connection goes back to `line` when the answer has ended.
    pub(super) async fn send(
        mut self,
        request: &mut Request<Body>,
        line: &Weak<Line>,
    ) -> Result<Response<Body>, FirstError> {
        let bodiless = request.method() == Method::HEAD;
        let length = length(request);
        http1::request_head(request.method(), request.uri(), request.headers(), length, self.unsent.bytes());
        turn::to_send().await;
        poll_fn(|cx| self.poll_write(cx)).await.map_err(|_| FirstError::Unsent)?;
        if !request.body().is_empty() {
            self.sending = Some(Sending::of(request, length));
        }
        let mut interim = 0;
        let told = poll_fn(|cx| {
            match self.poll_send(cx) {
                // What the server has said already may tell why.
                Poll::Ready(Err(FirstError::Unanswered(_))) => self.give_up(),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            self.poll_head(cx, bodiless, &mut interim)
        });
        let told = told.await?;
        Ok(self.answered(told, line))
    }

    /// Sends no more of a request.
    fn give_up(&mut self) {
        self.spoiled = true;
        self.unsent.clear();
        self.sending = None;
    }

    /// Writes once.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match ready!(Pin::new(&mut self.stream).poll_write(cx, self.unsent.left()))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => self.unsent.sent(count, READ_BYTES_MORE),
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what is left of a request, as far as that can be.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), FirstError>> {
        let lost = |error| FirstError::Unanswered(Some(error));
        loop {
            while !self.unsent.is_empty() {
                ready!(self.poll_write(cx)).map_err(lost)?;
            }
            let Some(sending) = &mut self.sending else { break };
            match sending.poll_next(cx, self.unsent.bytes()) {
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => self.sending = None,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    ready!(Pin::new(&mut self.stream).poll_flush(cx)).map_err(lost)?;
                    return Poll::Pending;
                }
            }
        }
        Pin::new(&mut self.stream).poll_flush(cx).map_err(lost)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<io::Result<usize>> {
        // Bytes that have been read before are the ones that the processor has at hand.
        let again = self.read.is_empty() && self.read.try_reclaim(bytes);
        if !again && self.read.capacity() - self.read.len() < bytes / 2 {
            self.read.reserve(bytes);
        }
        poll_read_buf(Pin::new(&mut self.stream), cx, &mut self.read)
    }

    /// The head of the answer; heads that only announce it are passed over (RFC 9110, section 15.2).
    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        bodiless: bool,
        interim: &mut usize,
    ) -> Poll<Result<Told, FirstError>> {
        loop {
            if !self.read.is_empty()
                && let Some(told) = http1::response(&mut self.read, bodiless)?
            {
                if !told.status.is_informational() || told.status == StatusCode::SWITCHING_PROTOCOLS {
                    return Poll::Ready(Ok(told));
                }
                *interim += 1;
                if *interim > INTERIM_MAX {
                    return Poll::Ready(Err(FirstError::Interim));
                }
                continue;
            }
            if self.read.len() > HEAD_BYTES_MAX {
                return Poll::Ready(Err(FirstError::Large));
            }
            let error = match ready!(self.poll_fill(cx, READ_BYTES)) {
                Ok(0) => None,
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            let begun = !self.read.is_empty() || *interim > 0;
            return Poll::Ready(Err(match begun {
                true => FirstError::Cut(error),
                false => FirstError::Unanswered(error),
            }));
        }
    }

    /// The answer with its body, and the way of the connection.
    fn answered(mut self, told: Told, line: &Weak<Line>) -> Response<Body> {
        let mut answer = Response::new(Body::Empty);
        (*answer.status_mut(), *answer.headers_mut()) = (told.status, told.headers);
        if told.status == StatusCode::SWITCHING_PROTOCOLS {
            *answer.body_mut() = Body::Switched(Box::new(Rewound { stream: self.stream, read: self.read }));
            return answer;
        }
        let here = u64::try_from(self.read.len()).unwrap_or(u64::MAX);
        match told.ends {
            Ends::After(length) if length <= here => {
                let body = self.read.split_to(usize::try_from(length).unwrap_or(usize::MAX)).freeze();
                *answer.body_mut() = Body::Whole(body);
                give_back(line, self, told.stays);
            }
            ends => {
                let chunked = Chunked::new();
                let connection = Some(self);
                let rest = Rest { connection, line: line.clone(), stays: told.stays, ends, chunked };
                *answer.body_mut() = Body::First(Box::new(rest));
            }
        }
        answer
    }
}

fn give_back(line: &Weak<Line>, mut connection: First, stays: bool) {
    if let Some(line) = line.upgrade().filter(|_| stays && connection.is_done()) {
        if connection.read.capacity() > READ_BYTES * 2 {
            connection.read = BytesMut::new();
        }
        line.keep(connection);
    }
}

/// How a server is told where a request ends.
fn length(request: &Request<Body>) -> Length {
    let body = request.body();
    if body.is_empty() {
        // Only where a body is expected is it said that there is none (RFC 9110, section 8.6).
        let expected = [Method::POST, Method::PUT, Method::PATCH].contains(request.method());
        return if expected { Length::Bytes(0) } else { Length::None };
    }
    let exact = body.size_hint().exact().or_else(|| http1::announced(request.headers()));
    exact.map_or(Length::Chunked, Length::Bytes)
}

impl Sending {
    fn of(request: &mut Request<Body>, length: Length) -> Self {
        let left = if let Length::Bytes(count) = length { Some(count) } else { None };
        let named = request.headers().get_all(TRAILER).into_iter().filter_map(|value| value.to_str().ok());
        let named = named.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok());
        let trailers = named.collect();
        Self { body: std::mem::take(request.body_mut()), left, trailers }
    }

    /// Takes the next part of the body to what is to be sent; whether there is more.
    fn poll_next(&mut self, cx: &mut Context<'_>, unsent: &mut Vec<u8>) -> Poll<Result<bool, FirstError>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(cx)) else {
            match self.left {
                None => http1::last_chunk(&HeaderMap::new(), unsent),
                Some(0) => {}
                Some(_) => return Poll::Ready(Err(FirstError::Length)),
            }
            return Poll::Ready(Ok(false));
        };
        let frame = frame.map_err(FirstError::Body)?;
        match frame.into_data() {
            Ok(data) => match &mut self.left {
                None => http1::chunk(&data, unsent),
                Some(left) => {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    *left = left.checked_sub(length).ok_or(FirstError::Length)?;
                    unsent.extend_from_slice(&data);
                }
            },
            Err(frame) => {
                let mut trailers = frame.into_trailers().unwrap_or_default();
                if self.left.is_some() {
                    return Poll::Ready(Ok(true));
                }
                let unnamed: Vec<HeaderName> =
                    trailers.keys().filter(|name| !self.trailers.contains(name)).cloned().collect();
                unnamed.iter().for_each(|name| drop(trailers.remove(name)));
                http1::last_chunk(&trailers, unsent);
                return Poll::Ready(Ok(false));
            }
        }
        Poll::Ready(Ok(true))
    }
}

/// What is still to come of an answer.
pub(crate) struct Rest {
    /// None once it has ended.
    connection: Option<First>,
    line: Weak<Line>,
    stays: bool,
    ends: Ends,
    chunked: Chunked,
}

impl Rest {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FirstError>>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
        // A server may answer before it has got all of the request.
        match connection.poll_send(cx) {
            Poll::Ready(Err(FirstError::Unanswered(_))) => connection.give_up(),
            Poll::Ready(Err(error)) => return self.broken(error),
            Poll::Ready(Ok(())) | Poll::Pending => {}
        }
        match ready!(self.poll_piece(cx)) {
            Ok(Piece::Data(data)) => {
                if self.is_over() {
                    self.end();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Ok(Piece::Trailers(trailers)) => {
                self.end();
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Ok(Piece::End | Piece::Partial) => {
                self.end();
                Poll::Ready(None)
            }
            Err(error) => self.broken(error),
        }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, FirstError>> {
        let Some(connection) = &mut self.connection else { return Poll::Ready(Ok(Piece::End)) };
        loop {
            let read = &mut connection.read;
            match &mut self.ends {
                Ends::After(0) => return Poll::Ready(Ok(Piece::End)),
                Ends::After(left) if !read.is_empty() => {
                    let take = usize::try_from(*left).unwrap_or(usize::MAX).min(read.len());
                    *left -= take as u64;
                    return Poll::Ready(Ok(Piece::Data(read.split_to(take).freeze())));
                }
                Ends::WithConnection if !read.is_empty() => {
                    return Poll::Ready(Ok(Piece::Data(read.split().freeze())));
                }
                Ends::Chunked => match self.chunked.next(read)? {
                    Piece::Partial => {}
                    piece => return Poll::Ready(Ok(piece)),
                },
                Ends::After(_) | Ends::WithConnection => {}
            }
            let error = match ready!(connection.poll_fill(cx, READ_BYTES_MORE)) {
                Ok(0) if self.ends == Ends::WithConnection => return Poll::Ready(Ok(Piece::End)),
                Ok(0) => None,
                Ok(_) => continue,
                Err(error) => Some(error),
            };
            return Poll::Ready(Err(FirstError::Cut(error)));
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.connection.is_none()
            || match self.ends {
                Ends::After(left) => left == 0,
                Ends::Chunked => self.chunked.is_over(),
                Ends::WithConnection => false,
            }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.ends {
            Ends::After(left) => SizeHint::with_exact(left),
            Ends::Chunked | Ends::WithConnection => SizeHint::new(),
        }
    }

    fn end(&mut self) {
        if let Some(connection) = self.connection.take() {
            give_back(&self.line, connection, self.stays);
        }
    }

    fn broken(&mut self, error: FirstError) -> Poll<Option<Result<Frame<Bytes>, FirstError>>> {
        self.connection = None;
        let by_server = !matches!(error, FirstError::Body(_) | FirstError::Length);
        if let Some(line) = self.line.upgrade().filter(|_| by_server) {
            line.broke_off(&error);
        }
        Poll::Ready(Some(Err(error)))
    }
}

/// A connection that goes on with something else, once both sides have agreed to it; with what the server has said
/// already.
pub(crate) type Switched = Rewound<Stream>;
