//! What comes in and what goes out, without a network.

use bytes::Bytes;
use mesh_redact::Secret;
use std::net::IpAddr;

/// An HTTP method, as far as the API knows them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads; lists with `list=true`.
    Get,
    /// Writes.
    Put,
    /// Writes.
    Post,
    /// Changes a part.
    Patch,
    /// Deletes.
    Delete,
    /// Lists.
    List,
    /// Asks for the status alone.
    Head,
    /// Asks what a path is for, as `help=1` does.
    Help,
    /// Asks what is allowed.
    Options,
    /// Any other.
    Other,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub struct Call {
    /// How.
    pub method: Method,
    /// What comes after `/v1/`, percent-decoded.
    pub path: String,
    /// Percent-decoded pairs in their order.
    pub query: Vec<(String, String)>,
    /// As it was sent.
    pub body: Bytes,
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `X-Vault-Token`, or what `Authorization: Bearer` carries.
    pub token: Option<Secret<String>>,
    /// `X-Vault-Wrap-TTL`.
    pub wrap_ttl: Option<String>,
    /// `X-Vault-Namespace`.
    pub namespace: Option<String>,
    /// Who is at the other end.
    pub remote: Option<IpAddr>,
    /// Whether `X-Vault-Request` was there.
    pub request_header: bool,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type`; empty with an empty body.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
    /// Further headers.
    pub headers: Vec<(String, String)>,
}

/// The content type of everything but raw answers.
pub(crate) const JSON: &str = "application/json";

impl Answer {
    /// JSON with a status. Go's encoder ends a body with a line feed, and so does this.
    #[must_use]
    pub fn json(status: u16, body: &impl serde::Serialize) -> Self {
        match serde_json::to_vec(body) {
            Ok(mut body) => {
                body.push(b'\n');
                Self { status, content_type: JSON.to_owned(), body, headers: Vec::new() }
            }
            Err(_) => Self::errors(500, &["internal error"]),
        }
    }

    /// `{"errors": [...]}`.
    #[must_use]
    pub fn errors(status: u16, errors: &[&str]) -> Self {
        let mut body = serde_json::json!({ "errors": errors }).to_string().into_bytes();
        body.push(b'\n');
        Self { status, content_type: JSON.to_owned(), body, headers: Vec::new() }
    }

    /// A status alone.
    #[must_use]
    pub fn empty(status: u16) -> Self {
        Self { status, content_type: String::new(), body: Vec::new(), headers: Vec::new() }
    }
}
