//! A request on its way, with all that its layers do not see: its body, and what its connection is to go on with.

use super::{forwarded::Connected, hop, uploaded::Blame};
use crate::{middleware::Exchange, upstream::Body};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
    upgrade::OnUpgrade,
};

/// What a web socket's server shows that it has read (RFC 6455, section 11.3.1), and its bytes.
const KEY: HeaderName = HeaderName::from_static("sec-websocket-key");
const KEY_BYTES: usize = 16;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) exchange: Exchange,
    pub(super) body: Body,
    pub(super) from: Connected,
    pub(super) upgrade: Option<Upgrade>,
    /// Whether its client sent it whole.
    pub(super) blame: Blame,
}

/// What a client wants to go on with.
#[derive(Debug)]
pub(super) struct Upgrade {
    pub(super) protocol: HeaderValue,
    pub(super) client: OnUpgrade,
    /// Asked for in a stream of HTTP/2 (RFC 8441), where there is no change of protocols.
    pub(super) in_stream: bool,
}

impl Upgrade {
    pub(super) fn is_web_socket(&self) -> bool {
        self.protocol.as_bytes().eq_ignore_ascii_case(b"websocket")
    }

    /// Asks a server to go on so.
    pub(super) fn ask(&self, headers: &mut HeaderMap) {
        hop::ask_for(headers, self.protocol.clone());
        // A stream needs no key; a server of HTTP/1.1 asks for one.
        if self.in_stream && !headers.contains_key(KEY) {
            let mut bytes = [0; KEY_BYTES];
            // Whoever cannot be given a random key gets one that is not: it only tells answers of servers from others.
            let _ = mesh_tls::provider().secure_random.fill(&mut bytes);
            if let Ok(key) = HeaderValue::from_str(&BASE64_STANDARD.encode(bytes)) {
                headers.insert(KEY, key);
            }
        }
    }
}

/// Marks an answer that stands for a server that was not reached: nothing of the request was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unreached;

impl Call {
    /// The same request without a body, for somebody else.
    pub(super) fn copy(&self, body: Body) -> Self {
        Self {
            exchange: self.exchange.clone(),
            body,
            from: self.from.clone(),
            upgrade: None,
            blame: Blame::default(),
        }
    }
}
