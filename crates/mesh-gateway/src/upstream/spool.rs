//! Bodies that are read whole, so that they can be sent more than once: the beginning in memory, the rest in a file
//! that has no name.

use super::{Body, BodyError};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use hyper::{
    HeaderMap,
    body::{Body as HttpBody, Frame, SizeHint},
};
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

/// Most bytes of a body that is read whole where nothing is configured.
const BODY_BYTES_MAX: u64 = 1 << 30;
/// Bytes that are read from a file at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Why a body is not there whole.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SpoolError {
    #[error("the body has more than {limit} bytes")]
    TooLarge {
        limit: u64,
        /// The same body, with what was read of it at the front.
        body: Body,
    },
    #[error("the body broke off")]
    Broken(#[source] BodyError),
    #[error("the body could not be put into a file")]
    File(#[source] io::Error),
}

/// How a body is read whole.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spool {
    /// Most bytes of it.
    pub(crate) bytes_max: Option<u64>,
    /// Most of them in memory.
    pub(crate) memory_bytes_max: usize,
}

/// A body that is there whole.
#[derive(Debug, Clone)]
pub(crate) struct Spooled {
    head: Bytes,
    file: Option<Arc<File>>,
    length: u64,
    trailers: Option<HeaderMap>,
}

impl Spool {
    /// Reads a body to its end.
    pub(crate) async fn read(self, mut body: Body) -> Result<Spooled, SpoolError> {
        let limit = self.bytes_max.unwrap_or(BODY_BYTES_MAX);
        let mut read = Spooled { head: Bytes::new(), file: None, length: 0, trailers: None };
        let mut head = BytesMut::new();
        if HttpBody::size_hint(&body).lower() > limit {
            return Err(SpoolError::TooLarge { limit, body });
        }
        while let Some(frame) = body.frame().await {
            match frame.map_err(SpoolError::Broken)?.into_data() {
                Ok(data) => {
                    if read.length + data.len() as u64 > limit {
                        read.head = head.freeze();
                        let read = Some(read.replay());
                        let body = Body::made(Joined { read, next: Some(data), body });
                        return Err(SpoolError::TooLarge { limit, body });
                    }
                    let length = data.len() as u64;
                    if read.file.is_none() && head.len() + data.len() <= self.memory_bytes_max {
                        head.extend_from_slice(&data);
                    } else {
                        let at = read.length - head.len() as u64;
                        read.file = Some(write(read.file.take(), at, data).await.map_err(SpoolError::File)?);
                    }
                    read.length += length;
                }
                Err(frame) => read.trailers = frame.into_trailers().ok(),
            }
        }
        read.head = head.freeze();
        Ok(read)
    }
}

/// Files are written where nobody else waits for it.
async fn write(file: Option<Arc<File>>, at: u64, data: Bytes) -> io::Result<Arc<File>> {
    let written = tokio::task::spawn_blocking(move || {
        let file = file.map_or_else(|| tempfile::tempfile().map(Arc::new), Ok)?;
        file.write_all_at(&data, at)?;
        Ok(file)
    });
    written.await.map_err(io::Error::other)?
}

impl Spooled {
    pub(crate) fn len(&self) -> u64 {
        self.length
    }

    /// The body, once more.
    pub(crate) fn body(&self) -> Body {
        if self.length == 0 && self.trailers.is_none() {
            return Body::Empty;
        }
        if self.file.is_none() && self.trailers.is_none() {
            return Body::Whole(self.head.clone());
        }
        Body::made(self.replay())
    }

    fn replay(&self) -> Replay {
        Replay {
            head: Some(self.head.clone()).filter(|head| !head.is_empty()),
            file: self.file.clone(),
            at: 0,
            left: self.length,
            trailers: self.trailers.clone(),
        }
    }
}

/// A body that is read from where it was put.
struct Replay {
    head: Option<Bytes>,
    file: Option<Arc<File>>,
    /// In the file.
    at: u64,
    left: u64,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Replay {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(head) = self.head.take() {
            self.left = self.left.saturating_sub(head.len() as u64);
            return Poll::Ready(Some(Ok(Frame::data(head))));
        }
        if self.left == 0 {
            return Poll::Ready(self.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
        }
        let Some(file) = self.file.clone() else { return Poll::Ready(None) };
        let mut chunk = vec![0; CHUNK_BYTES.min(usize::try_from(self.left).unwrap_or(CHUNK_BYTES))];
        // It was written a moment ago: this is a copy from memory, and not a wait.
        match file.read_at(&mut chunk, self.at) {
            Ok(0) => Poll::Ready(Some(Err(io::ErrorKind::UnexpectedEof.into()))),
            Ok(read) => {
                chunk.truncate(read);
                self.at += read as u64;
                self.left = self.left.saturating_sub(read as u64);
                Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
            }
            Err(error) => Poll::Ready(Some(Err(error))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0 && self.head.is_none() && self.trailers.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// What was read of a body, and then the rest of it.
struct Joined {
    read: Option<Replay>,
    next: Option<Bytes>,
    body: Body,
}

impl HttpBody for Joined {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(read) = &mut self.read {
            match Pin::new(read).poll_frame(cx) {
                Poll::Ready(None) => self.read = None,
                frame => return frame.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
            }
        }
        if let Some(next) = self.next.take() {
            return Poll::Ready(Some(Ok(Frame::data(next))));
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}
