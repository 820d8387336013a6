//! A request until it has an answer, and the body of that, counted until it is over.

use super::record::{End, Record, Watch};
use bytes::Bytes;
use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body, Frame, SizeHint},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What Traefik says of a client that did not wait for its answer.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request that has no answer yet. One that never gets any, as its client has left or took too long, is told too.
#[derive(Debug)]
pub(crate) struct Unanswered(Option<Arc<Record>>);

impl Unanswered {
    pub(crate) fn new(watch: Watch) -> Self {
        Self(watch.0)
    }

    /// Watches the answer until its last byte; the guard lives as long.
    pub(crate) fn end<B, G>(mut self, answer: Response<B>, guard: G) -> Response<Watched<B, G>> {
        let watched = self.0.take().map(|record| (record, answer.status(), answer.headers().clone()));
        answer.map(|body| Watched::new(body, watched, guard))
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        let Some(record) = self.0.take() else { return };
        let status = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::BAD_REQUEST);
        let took = record.began.elapsed();
        record.end(&End { status, headers: &HeaderMap::new(), response_bytes: 0, took, broken: false });
    }
}

/// A body that says when it is over, be it that its client left.
#[derive(Debug)]
pub(crate) struct Watched<B, G> {
    inner: B,
    _guard: G,
    watcher: Watcher,
}

/// Apart from the body: what is pinned cannot be taken apart at its end.
#[derive(Debug)]
struct Watcher {
    of: Option<(Arc<Record>, StatusCode, HeaderMap)>,
    bytes: u64,
}

impl<B, G> Watched<B, G> {
    fn new(inner: B, of: Option<(Arc<Record>, StatusCode, HeaderMap)>, guard: G) -> Self {
        Self { inner, _guard: guard, watcher: Watcher { of, bytes: 0 } }
    }
}

impl Watcher {
    fn finish(&mut self, broken: bool) {
        if let Some((record, status, headers)) = self.of.take() {
            let took = record.began.elapsed();
            record.end(&End { status, headers: &headers, response_bytes: self.bytes, took, broken });
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.finish(false);
    }
}

impl<B: Body<Data = Bytes> + Unpin, G: Unpin> Body for Watched<B, G> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                    self.watcher.bytes = self.watcher.bytes.saturating_add(length);
                } else if let (Some(trailers), Some((_, _, headers))) =
                    (frame.trailers_ref(), &mut self.watcher.of)
                    && let Some(status) = trailers.get("grpc-status")
                {
                    headers.insert("grpc-status", status.clone());
                }
            }
            Some(Err(_)) => self.watcher.finish(true),
            None => self.watcher.finish(false),
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
