//! Bodies on their way, in both directions.

use super::line::Lender;
use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use std::{
    error::Error,
    fmt,
    pin::Pin,
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
    /// Of a server whose connection is shared, or carried on by whoever reads and kept for the next request once it has
    /// ended.
    Lent(Incoming, Option<Lender>),
    Other(Other),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Whole(_) => "Whole",
            Self::Incoming(_) => "Incoming",
            Self::Lent(..) => "Lent",
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
            Self::Empty => Poll::Ready(None),
            Self::Whole(bytes) => {
                let bytes = std::mem::take(bytes);
                *self = Self::Empty;
                Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
            }
            Self::Incoming(body) => {
                Pin::new(body).poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Into::into)))
            }
            Self::Lent(body, lender) => {
                let mut frame = Pin::new(&mut *body).poll_frame(cx);
                if frame.is_pending()
                    && let Some(lender) = lender
                {
                    lender.carry_on(cx);
                    frame = Pin::new(&mut *body).poll_frame(cx);
                }
                let frame = match ready!(frame) {
                    Some(Ok(frame)) => Some(Ok(frame)),
                    Some(Err(error)) => {
                        if let Some(lender) = lender.take() {
                            lender.broke_off(&error);
                        }
                        Some(Err(error.into()))
                    }
                    // It would pass for a whole one.
                    None if lender.as_ref().is_some_and(Lender::is_shared) && !body.is_end_stream() => {
                        if let Some(lender) = lender.take() {
                            lender.broke_off(&Unended);
                        }
                        Some(Err(Unended.into()))
                    }
                    None => None,
                };
                if (frame.is_none() || body.is_end_stream())
                    && let Some(lender) = lender.take()
                {
                    lender.give_back();
                }
                Poll::Ready(frame)
            }
            Self::Other(body) => body.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Whole(bytes) => bytes.is_empty(),
            Self::Incoming(body) | Self::Lent(body, _) => body.is_end_stream(),
            Self::Other(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Incoming(body) | Self::Lent(body, _) => body.size_hint(),
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
