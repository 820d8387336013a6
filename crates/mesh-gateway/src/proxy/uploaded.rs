//! What a client sends after a request's head.
//!
//! Whoever sends it on learns from a server only that it broke off; here is noted when it was the client who did, so
//! that no server is blamed for it. Trailers are held to what is asked of headers, and what may not be is dropped: there
//! is nobody left to refuse the request to.

use super::{forwarded::Forwarding, handler::Underscores, unwanted::Leftover};
use crate::upstream::BodyError;
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode, Version,
    body::{Body, Frame, Incoming, SizeHint},
    header::HeaderName,
};
use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Sleep, sleep};

/// What a client is to blame for, once it is.
#[derive(Debug, Clone, Default)]
pub(super) struct Blame(Arc<OnceLock<Fault>>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// It broke off.
    Gone,
    /// It sent what means nothing.
    Garbled,
    /// It took too long.
    Slow,
}

/// Why a client's body is not whole, where its connection does not say so.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("the client's stream ended before its body did")]
    Unended,
    #[error("the client did not send its body within {0:?}")]
    Late(Duration),
}

/// Marks an answer to a client that did not send what it began to: no server failed.
#[derive(Debug, Clone, Copy)]
pub(super) struct ByClient;

impl Blame {
    /// The status of a request that its client did not send whole.
    pub(super) fn status(&self) -> Option<StatusCode> {
        self.0.get().map(|fault| match fault {
            Fault::Garbled => StatusCode::BAD_REQUEST,
            Fault::Slow => StatusCode::REQUEST_TIMEOUT,
            // "Client closed request", as nginx has it and Traefik took it over.
            Fault::Gone => StatusCode::from_u16(499).unwrap_or(StatusCode::BAD_REQUEST),
        })
    }
}

/// Which trailers go on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted {
    pub(super) underscores: Underscores,
    /// Whether the client may say on whose behalf it asks.
    pub(super) managed: bool,
}

impl Admitted {
    fn filter(self, trailers: &mut HeaderMap) {
        let refused = |name: &&HeaderName| {
            (self.underscores != Underscores::Keep && name.as_str().contains('_'))
                || (!self.managed && Forwarding::is_managed(name))
                || FRAMING.contains(&name.as_str())
        };
        let refused: Vec<HeaderName> = trailers.keys().filter(refused).cloned().collect();
        for name in refused {
            trailers.remove(name);
        }
    }
}

/// What says where a request ends, whose it is, or goes no further than one hop: never a trailer (RFC 9110, 6.5.1).
const FRAMING: &[&str] = &[
    "authorization",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A client's body.
pub(super) struct Uploaded {
    /// None once all of it has come.
    body: Option<Incoming>,
    /// Who gets it when nobody reads it any more.
    leftover: Leftover,
    blame: Blame,
    admitted: Admitted,
    /// Whether its end is told apart from the end of its stream.
    is_stream: bool,
    /// By when all of it has to be there, and how long that was.
    due: Option<(Pin<Box<Sleep>>, Duration)>,
}

impl Uploaded {
    /// A body whose head came by this version just now. `within` is how long all of it may take.
    pub(super) fn new(
        body: Incoming,
        version: Version,
        within: Option<Duration>,
        blame: Blame,
        admitted: Admitted,
        leftover: Leftover,
    ) -> Self {
        let due = within.map(|within| (Box::pin(sleep(within)), within));
        Self { body: Some(body), leftover, blame, admitted, is_stream: version == Version::HTTP_2, due }
    }

    /// Whose fault it is that the body is not whole. The first one is the reason of all others.
    fn cut(&self, fault: Fault, why: impl Into<BodyError>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let _ = self.blame.0.set(fault);
        Poll::Ready(Some(Err(why.into())))
    }
}

impl Drop for Uploaded {
    fn drop(&mut self) {
        if let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) {
            self.leftover.take(body);
        }
    }
}

impl Body for Uploaded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some((due, within)) = &mut self.due
            && due.as_mut().poll(cx).is_ready()
        {
            let within = *within;
            return self.cut(Fault::Slow, Cut::Late(within));
        }
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        match ready!(Pin::new(&mut *body).poll_frame(cx)) {
            Some(Ok(mut frame)) => {
                if let Some(trailers) = frame.trailers_mut() {
                    self.admitted.filter(trailers);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => self.cut(fault(&error), error),
            // A stream that is reset without an error looks like one that has ended, and is not.
            None if self.is_stream && !self.is_end_stream() => self.cut(Fault::Gone, Cut::Unended),
            None => {
                self.body = None;
                Poll::Ready(None)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

fn fault(error: &hyper::Error) -> Fault {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return match error.kind() {
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => Fault::Garbled,
                _ => Fault::Gone,
            };
        }
        next = error.source();
    }
    Fault::Gone
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn trailers_say_no_more_than_headers_may() {
        for (underscores, managed, expected) in [
            (Underscores::Keep, false, &["grpc-status", "x_own"][..]),
            (Underscores::Delete, false, &["grpc-status"]),
            (Underscores::Reject, true, &["grpc-status", "x-forwarded-for"]),
            (Underscores::Keep, true, &["grpc-status", "x-forwarded-for", "x_own", "x_real_ip"]),
        ] {
            let mut trailers = HeaderMap::new();
            for name in
                ["grpc-status", "x-forwarded-for", "x_real_ip", "x_own", "content-length", "host", "cookie"]
            {
                trailers.insert(HeaderName::from_static(name), HeaderValue::from_static("1"));
            }
            Admitted { underscores, managed }.filter(&mut trailers);
            let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
            left.sort_unstable();
            assert_eq!(left, expected, "{underscores:?} {managed}");
        }
    }
}
