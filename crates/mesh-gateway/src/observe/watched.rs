//! The body of an answer, counted until it is over.

use super::record::{End, Record};
use bytes::Bytes;
use hyper::{
    HeaderMap, StatusCode,
    body::{Body, Frame, SizeHint},
};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

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
    pub(super) fn new(inner: B, of: Option<(Arc<Record>, StatusCode, HeaderMap)>, guard: G) -> Self {
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
