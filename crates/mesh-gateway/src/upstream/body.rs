//! Bodies on their way, in both directions.

use super::{
    first::{Rest, Switched},
    line::Line,
};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Weak,
    task::{Context, Poll, ready},
};

/// Why a body broke off.
pub(crate) type BodyError = Box<dyn Error + Send + Sync>;

type Other = Pin<Box<dyn HttpBody<Data = Bytes, Error = BodyError> + Send>>;

/// A stream of HTTP/2 that was reset without an error, and without its end.
#[derive(Debug, thiserror::Error)]
#[error("its stream ended before its body did")]
struct Unended;

/// A body: none, one that is there whole, one that comes, or one that is made from another.
#[derive(Default)]
pub(crate) enum Body {
    #[default]
    Empty,
    Whole(Bytes),
    Incoming(Incoming),
    /// Of a server, whose connection is kept for the next request once it has ended.
    First(Box<Rest>),
    /// Of a server, as a stream of a connection that is shared.
    Second(Incoming, Weak<Line>),
    /// None: the connection goes on with something else.
    Switched(Box<Switched>),
    Other(Other),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole",
            Self::Incoming(_) => "Incoming",
            Self::First(_) => "First",
            Self::Second(..) => "Second",
            Self::Switched(_) => "Switched",
            Self::Other(_) => "Other",
        })
    }
}

impl Body {
    pub(crate) fn whole(bytes: impl Into<Bytes>) -> Self {
        Self::Whole(bytes.into())
    }

    /// A body that something else makes.
    pub(crate) fn made<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BodyError>,
    {
        Self::Other(Box::pin(body.map_err(Into::into)))
    }

    /// The same body; `guard` is dropped when it has ended, or when nobody wants it any more.
    pub(crate) fn guarded(self, guard: impl Send + Unpin + 'static) -> Self {
        Self::made(Guarded { body: self, guard: Some(guard) })
    }

    pub(crate) fn is_empty(&self) -> bool {
        HttpBody::is_end_stream(self)
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut *self {
            Self::Empty | Self::Switched(_) => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Incoming(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::First(rest) => {
                rest.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Second(body, line) => {
                let broken: BodyError = match ready!(Pin::new(&mut *body).poll_frame(cx)) {
                    Some(Ok(frame)) => return Poll::Ready(Some(Ok(frame))),
                    Some(Err(error)) => error.into(),
                    // It would pass for a whole one.
                    None if !body.is_end_stream() => Unended.into(),
                    None => return Poll::Ready(None),
                };
                if let Some(line) = line.upgrade() {
                    line.broke_off(&*broken);
                }
                *self = Self::Empty;
                Poll::Ready(Some(Err(broken)))
            }
            Self::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty | Self::Switched(_) => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Incoming(body) | Self::Second(body, _) => body.is_end_stream(),
            Self::First(rest) => rest.is_over(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty | Self::Switched(_) => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(body) | Self::Second(body, _) => body.size_hint(),
            Self::First(rest) => rest.size_hint(),
            Self::Other(body) => body.size_hint(),
        }
    }
}

/// A body with something that is held for as long as it lasts.
struct Guarded<G> {
    body: Body,
    guard: Option<G>,
}

impl<G: Unpin> HttpBody for Guarded<G> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) || self.body.is_end_stream() {
            self.guard = None;
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
