//! Messages as bytes.

use super::head::is_last;
use crate::clock;
use hyper::{
    HeaderMap, Method, StatusCode, Uri,
    header::{CONTENT_LENGTH, DATE, HeaderName, HeaderValue, TRANSFER_ENCODING},
};
use std::io::Write as _;

/// Bytes that are still to be sent.
#[derive(Debug, Default)]
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    /// Where more is written to.
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    pub(crate) fn left(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sent >= self.bytes.len()
    }

    /// Notes that so many were sent. Room for more than `keep` bytes is given back with the last one.
    pub(crate) fn sent(&mut self, count: usize, keep: usize) {
        self.sent += count;
        if self.is_empty() {
            self.clear();
            if self.bytes.capacity() > keep {
                self.bytes = Vec::new();
            }
        }
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.sent = 0;
    }
}

/// How whoever reads a message is told where its body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Length {
    /// The headers say what there is to say.
    Said,
    /// There is no body, and nobody expects one.
    None,
    Bytes(u64),
    Chunked,
}

impl Length {
    /// Whether a field is to be left out, because this says what it would.
    fn replaces(self, name: &HeaderName) -> bool {
        match self {
            Self::Said => name == TRANSFER_ENCODING,
            Self::None | Self::Bytes(_) | Self::Chunked => {
                name == CONTENT_LENGTH || name == TRANSFER_ENCODING
            }
        }
    }

    fn write(self, out: &mut Vec<u8>) {
        // Writing to bytes in memory never fails.
        let _ = match self {
            Self::Said | Self::None => Ok(()),
            Self::Bytes(count) => write!(out, "content-length: {count}\r\n"),
            Self::Chunked => out.write_all(b"transfer-encoding: chunked\r\n"),
        };
    }
}

fn fields(headers: &HeaderMap, length: Length, out: &mut Vec<u8>) {
    let room: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    out.reserve(room + 64);
    for (name, value) in headers.iter().filter(|(name, _)| !length.replaces(name)) {
        field(name, value, out);
    }
    length.write(out);
}

fn field(name: &HeaderName, value: &HeaderValue, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value.as_bytes());
    out.extend_from_slice(b"\r\n");
}

/// The head of a request.
pub(crate) fn request_head(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    length: Length,
    out: &mut Vec<u8>,
) {
    let target = uri.path_and_query().map_or("/", hyper::http::uri::PathAndQuery::as_str);
    out.reserve(method.as_str().len() + target.len() + 16);
    out.extend_from_slice(method.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    fields(headers, length, out);
    out.extend_from_slice(b"\r\n");
}

/// The head of an answer, with the time if it says none (RFC 9110, section 6.6.1). `last` tells the client that nothing
/// is answered after it.
pub(crate) fn response_head(
    status: StatusCode,
    headers: &HeaderMap,
    length: Length,
    last: bool,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"HTTP/1.1 ");
    out.extend_from_slice(status.as_str().as_bytes());
    out.extend_from_slice(b" ");
    out.extend_from_slice(status.canonical_reason().unwrap_or("<none>").as_bytes());
    out.extend_from_slice(b"\r\n");
    fields(headers, length, out);
    if last && !is_last(headers) {
        out.extend_from_slice(b"connection: close\r\n");
    }
    if !headers.contains_key(DATE) {
        out.extend_from_slice(b"date: ");
        clock::dated(|date| out.extend_from_slice(date));
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

/// A chunk; of none there is none, since it would be the last.
pub(crate) fn chunk(data: &[u8], out: &mut Vec<u8>) {
    if data.is_empty() {
        return;
    }
    out.reserve(data.len() + 20);
    let _ = write!(out, "{:X}\r\n", data.len());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// The end of a body in chunks, with what follows it.
pub(crate) fn last_chunk(trailers: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    fields(trailers, Length::Said, out);
    out.extend_from_slice(b"\r\n");
}
