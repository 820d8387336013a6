//! A request on its way, as layers see and change it.

use crate::{observe::Watch, published::Published, rule::encoded};
use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{CONTENT_TYPE, HeaderValue},
};
use rustls::pki_types::CertificateDer;
use std::{net::SocketAddr, sync::Arc};

/// A request without its body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Exchange {
    pub(crate) method: Method,
    /// As the client wrote it, with its port.
    pub(crate) host: String,
    /// Encoded.
    pub(crate) path: String,
    /// Encoded, without its question mark.
    pub(crate) query: Option<String>,
    pub(crate) headers: HeaderMap,
    pub(crate) client: Option<SocketAddr>,
    pub(crate) tls: bool,
    /// What the client said where it comes from, before any layer.
    pub(crate) origin: Option<HeaderValue>,
    /// The certificates that the client showed, its own first.
    pub(crate) peer: Arc<[CertificateDer<'static>]>,
    /// Cookies that whoever was asked about the request set.
    pub(crate) cookies: Vec<HeaderValue>,
    /// By which ports of the machine this gateway is reached.
    pub(crate) published: Arc<Published>,
    /// Whoever wants to know what becomes of it.
    pub(crate) watch: Watch,
}

/// An answer of the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: Box<HeaderMap>,
    pub(crate) body: Bytes,
}

impl Reply {
    /// A status alone.
    pub(crate) fn empty(status: StatusCode) -> Self {
        Self { status, headers: Box::default(), body: Bytes::new() }
    }

    /// A status with its reason as text.
    pub(crate) fn plain(status: StatusCode) -> Self {
        let mut headers = Box::new(HeaderMap::new());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        let reason = status.canonical_reason().unwrap_or_default();
        Self { status, headers, body: Bytes::from_static(reason.as_bytes()) }
    }
}

impl Exchange {
    /// Path and query.
    pub(crate) fn target(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The first value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// The path with all its encoded characters decoded; those that are no UTF-8 stay as they are.
pub(crate) fn decoded(path: &str) -> String {
    let bytes = path.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let value = (byte == b'%').then(|| bytes.get(at + 1..at + 3).and_then(encoded)).flatten();
        out.push(value.unwrap_or(byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8(out).unwrap_or_else(|_| path.to_owned())
}

/// Encodes what cannot stand in a path.
pub(crate) fn encode(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@%".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Whether a decoded path says the same once it is normalised: no empty part, none that stands for here or above.
pub(crate) fn is_normal(path: &str) -> bool {
    let mut parts = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(part) = parts.next() {
        if matches!(part, "." | "..") || (part.is_empty() && parts.peek().is_some()) {
            return false;
        }
    }
    true
}

/// With a slash at the front, unless there is nothing.
pub(crate) fn rooted(path: String) -> String {
    if path.is_empty() || path.starts_with('/') { path } else { format!("/{path}") }
}
