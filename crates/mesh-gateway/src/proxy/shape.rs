//! Bodies that become others on their way: smaller ones, and those of gRPC for browsers.

use crate::{
    middleware::{Encoding, Spelling, trailers_message},
    upstream::{Body, BodyError},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::{Bytes, BytesMut};
use flate2::{Compression, write::GzEncoder};
use hyper::{
    HeaderMap,
    body::{Body as HttpBody, Frame},
};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use std::{
    io::{self, Write as _},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Bytes that are gathered before they go on, as long as more come at once.
const GATHERED_BYTES: usize = 32 << 10;
/// How much is done to make an answer smaller, of 9 and of 11.
const GZIP_LEVEL: u32 = 5;
const BROTLI_LEVEL: u32 = 4;
const BROTLI_WINDOW_BITS: u32 = 19;

type Polled = Poll<Option<Result<Frame<Bytes>, BodyError>>>;

/// A body whose first frame was taken already.
pub(super) fn begun(first: Result<Frame<Bytes>, BodyError>, body: Body) -> Body {
    Body::made(Begun { first: Some(first), body })
}

struct Begun {
    first: Option<Result<Frame<Bytes>, BodyError>>,
    body: Body,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(first)),
            None => Pin::new(&mut self.body).poll_frame(cx),
        }
    }
}

/// A smaller body. What has come goes on when nothing more comes at once, so that streams are not held back.
pub(super) fn compressed(encoding: Encoding, body: Body) -> Body {
    let encoder = match encoding {
        Encoding::Gzip => Encoder::Gzip(Box::new(GzEncoder::new(Vec::new(), Compression::new(GZIP_LEVEL)))),
        Encoding::Brotli => Encoder::Brotli(Box::new(brotli::CompressorWriter::new(
            Vec::new(),
            GATHERED_BYTES,
            BROTLI_LEVEL,
            BROTLI_WINDOW_BITS,
        ))),
        Encoding::Zstd => Encoder::Zstd { gathered: Vec::new(), ready: Vec::new() },
    };
    Body::made(Compressed { encoder: Some(encoder), body, dirty: false, trailers: None })
}

enum Encoder {
    Gzip(Box<GzEncoder<Vec<u8>>>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    /// Each part is a frame of its own, which may follow one another (RFC 8878, section 3.1).
    Zstd {
        gathered: Vec<u8>,
        ready: Vec<u8>,
    },
}

impl Encoder {
    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        match self {
            Self::Gzip(encoder) => encoder.write_all(data),
            Self::Brotli(encoder) => encoder.write_all(data),
            Self::Zstd { gathered, ready } => {
                gathered.extend_from_slice(data);
                if gathered.len() >= GATHERED_BYTES {
                    ready.extend(zstd(gathered));
                }
                Ok(())
            }
        }
    }

    /// What is finished so far.
    fn take(&mut self) -> Vec<u8> {
        match self {
            Self::Gzip(encoder) => std::mem::take(encoder.get_mut()),
            Self::Brotli(encoder) => std::mem::take(encoder.get_mut()),
            Self::Zstd { ready, .. } => std::mem::take(ready),
        }
    }

    fn flush(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.flush()?,
            Self::Brotli(encoder) => encoder.flush()?,
            Self::Zstd { gathered, ready } if !gathered.is_empty() => ready.extend(zstd(gathered)),
            Self::Zstd { .. } => {}
        }
        Ok(self.take())
    }

    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::Gzip(encoder) => encoder.finish(),
            Self::Brotli(encoder) => Ok(encoder.into_inner()),
            Self::Zstd { mut gathered, mut ready } => {
                if !gathered.is_empty() || ready.is_empty() {
                    ready.extend(zstd(&mut gathered));
                }
                Ok(ready)
            }
        }
    }
}

fn zstd(gathered: &mut Vec<u8>) -> Vec<u8> {
    let frame = compress_to_vec(gathered.as_slice(), CompressionLevel::Fastest);
    gathered.clear();
    frame
}

struct Compressed {
    /// None once the body has ended.
    encoder: Option<Encoder>,
    body: Body,
    /// Whether something was written that has not gone on.
    dirty: bool,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Compressed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        loop {
            let Some(encoder) = &mut this.encoder else {
                return Poll::Ready(this.trailers.take().map(|trailers| Ok(Frame::trailers(trailers))));
            };
            let frame = match Pin::new(&mut this.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error))),
                Poll::Ready(None) => {
                    let rest = this.encoder.take().map(Encoder::finish).transpose()?.unwrap_or_default();
                    if rest.is_empty() {
                        continue;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                }
                Poll::Pending if this.dirty => {
                    this.dirty = false;
                    let flushed = encoder.flush()?;
                    if flushed.is_empty() {
                        return Poll::Pending;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(flushed.into()))));
                }
                Poll::Pending => return Poll::Pending,
            };
            match frame.into_data() {
                Ok(data) => {
                    encoder.write(&data)?;
                    this.dirty = true;
                    let ready = encoder.take();
                    if !ready.is_empty() {
                        return Poll::Ready(Some(Ok(Frame::data(ready.into()))));
                    }
                }
                Err(frame) => this.trailers = frame.into_trailers().ok(),
            }
        }
    }
}

/// The messages of a page's request.
pub(super) fn from_web(spelling: Spelling, body: Body) -> Body {
    match spelling {
        Spelling::Bytes => body,
        Spelling::Text => Body::made(FromText { left: BytesMut::new(), body }),
    }
}

/// Takes base 64 off; four letters at a time.
struct FromText {
    left: BytesMut,
    body: Body,
}

impl HttpBody for FromText {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        loop {
            let frame = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
                Some(frame) => frame?,
                None if this.left.is_empty() => return Poll::Ready(None),
                None => {
                    this.left.clear();
                    return Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof).into())));
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            this.left.extend_from_slice(&data);
            let whole = this.left.split_to(this.left.len() / 4 * 4);
            let mut decoded = Vec::with_capacity(whole.len());
            // Messages may each have an end of their own, so every four letters may.
            for four in whole.chunks(4) {
                decoded.extend(BASE64_STANDARD.decode(four)?);
            }
            if !decoded.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(decoded.into()))));
            }
        }
    }
}

/// The messages of an answer to a page, trailers among them.
pub(super) fn to_web(spelling: Spelling, body: Body) -> Body {
    Body::made(ToWeb { spelling, body, ended: false })
}

struct ToWeb {
    spelling: Spelling,
    body: Body,
    ended: bool,
}

impl HttpBody for ToWeb {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if this.ended {
            return Poll::Ready(None);
        }
        let bytes = match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            None => {
                this.ended = true;
                return Poll::Ready(None);
            }
            Some(frame) => match frame?.into_data() {
                Ok(data) => data,
                Err(frame) => {
                    this.ended = true;
                    trailers_message(&frame.into_trailers().unwrap_or_default())
                }
            },
        };
        let bytes = match this.spelling {
            Spelling::Bytes => bytes,
            Spelling::Text => BASE64_STANDARD.encode(&bytes).into(),
        };
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt as _;
    use std::io::Read as _;

    #[tokio::test]
    async fn what_was_made_smaller_becomes_what_it_was() {
        let text = "the same again and again; ".repeat(10_000);
        for encoding in [Encoding::Gzip, Encoding::Brotli, Encoding::Zstd] {
            let made =
                compressed(encoding, Body::whole(text.clone())).collect().await.expect("a body").to_bytes();
            assert!(made.len() < text.len() / 10, "{encoding:?}: {}", made.len());
            let mut back = Vec::new();
            match encoding {
                Encoding::Gzip => drop(flate2::read::GzDecoder::new(&made[..]).read_to_end(&mut back)),
                Encoding::Brotli => drop(brotli::Decompressor::new(&made[..], 4_096).read_to_end(&mut back)),
                Encoding::Zstd => {
                    let mut rest = &made[..];
                    while !rest.is_empty() {
                        let mut frame = ruzstd::decoding::StreamingDecoder::new(&mut rest).expect("a frame");
                        frame.read_to_end(&mut back).expect("a frame");
                    }
                }
            }
            assert_eq!(back, text.as_bytes(), "{encoding:?}");
        }
    }

    #[tokio::test]
    async fn pages_send_and_get_messages() {
        let asked = BASE64_STANDARD.encode(b"abcd") + &BASE64_STANDARD.encode(b"ef");
        let made = from_web(Spelling::Text, Body::whole(asked)).collect().await.expect("a body").to_bytes();
        assert_eq!(&made[..], b"abcdef");
        assert!(from_web(Spelling::Text, Body::whole("YWJ")).collect().await.is_err());
        let answer = to_web(Spelling::Text, Body::whole("abcd")).collect().await.expect("a body").to_bytes();
        assert_eq!(answer, BASE64_STANDARD.encode(b"abcd"));
    }
}
