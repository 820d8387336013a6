//! What a client still sends when it has its answer.
//!
//! A server may answer before it has read all of a request, and nobody wants the rest then. But a connection that is
//! closed while something comes in is reset, and its client loses what it has not read yet (RFC 9112, section 9.6); and
//! clients of HTTP/2 that are told to stop together with the answer forget it. So for a moment the rest is read, and
//! goes nowhere.

use http_body_util::BodyExt as _;
use hyper::{Version, body::Incoming};
use std::{
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long the rest of a request is read after its answer.
const REST_MAX: Duration = Duration::from_secs(2);
/// Bytes that are read at a time.
const READ_BYTES: usize = 8 << 10;

/// Whether something was left of a request of HTTP/1.1; it is its connection's last one then.
#[derive(Debug, Clone, Default)]
pub(super) struct Unread(Arc<AtomicBool>);

/// What is left of a request's body when nobody reads it any more, and waits for its answer's end.
#[derive(Debug, Clone)]
pub(super) enum Leftover {
    First(Unread),
    Stream(Arc<Stream>),
}

#[derive(Debug)]
pub(super) struct Stream {
    left: Mutex<Left>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

#[derive(Debug)]
enum Left {
    Nothing,
    Rest(Incoming),
    /// The answer is over.
    Answered,
}

/// Kept for as long as an answer is under way.
#[derive(Debug)]
pub(super) struct Answering(Leftover);

impl Drop for Answering {
    fn drop(&mut self) {
        if let Leftover::Stream(stream) = &self.0
            && let Left::Rest(body) = stream.put(Left::Answered)
        {
            stream.read(body);
        }
    }
}

impl Leftover {
    pub(super) fn new(
        version: Version,
        unread: &Unread,
        tasks: &TaskTracker,
        stop: &CancellationToken,
    ) -> Self {
        if version != Version::HTTP_2 {
            return Self::First(unread.clone());
        }
        let (tasks, stop) = (tasks.clone(), stop.clone());
        Self::Stream(Arc::new(Stream { left: Mutex::new(Left::Nothing), tasks, stop }))
    }

    pub(super) fn answering(&self) -> Answering {
        Answering(self.clone())
    }

    /// Takes what nobody reads any more.
    pub(super) fn take(&self, body: Incoming) {
        match self {
            Self::First(unread) => unread.0.store(true, Ordering::Relaxed),
            Self::Stream(stream) => {
                let mut left = stream.left.lock().unwrap_or_else(PoisonError::into_inner);
                match &*left {
                    Left::Answered => stream.read(body),
                    Left::Nothing | Left::Rest(_) => *left = Left::Rest(body),
                }
            }
        }
    }
}

impl Stream {
    fn put(&self, left: Left) -> Left {
        mem::replace(&mut *self.left.lock().unwrap_or_else(PoisonError::into_inner), left)
    }

    /// Reads what is left; when it is dropped its client is told to stop.
    fn read(&self, mut body: Incoming) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            let all = async { while body.frame().await.is_some_and(|frame| frame.is_ok()) {} };
            // What is late is not wanted either.
            let _ = stop.run_until_cancelled(timeout(REST_MAX, all)).await;
        });
    }
}

/// A connection that is not closed before its client has had time to read its last answer.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    unread: Unread,
    closing: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, unread: Unread) -> Self {
        Self { stream, unread, closing: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Says that nothing more comes, and reads what still does.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, unread, closing } = &mut *self;
        if closing.is_none() {
            ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
            if !unread.0.load(Ordering::Relaxed) {
                return Poll::Ready(Ok(()));
            }
        }
        let closing = closing.get_or_insert_with(|| Box::pin(sleep(REST_MAX)));
        loop {
            // Looked at before each read: where a client sends without a pause, a task has used up its turn before it
            // comes to ask a timer, and that says nothing then.
            if closing.deadline() <= Instant::now() {
                return Poll::Ready(Ok(()));
            }
            let mut room = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut buffer = ReadBuf::uninit(&mut room);
            match Pin::new(&mut *stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {}
                // It has ended, whichever way.
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return closing.as_mut().poll(cx).map(Ok),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncWriteExt as _, join, repeat, sink};

    #[tokio::test]
    async fn who_sends_without_a_pause_is_closed_in_time_too() {
        let unread = Unread::default();
        unread.0.store(true, Ordering::Relaxed);
        let mut lingering = Lingering::new(join(repeat(0), sink()), unread);
        // Its time is over.
        lingering.closing = Some(Box::pin(sleep(Duration::ZERO)));
        let closed = timeout(Duration::from_secs(20), lingering.shutdown()).await;
        closed.expect("in time").expect("it is closed");
    }
}
