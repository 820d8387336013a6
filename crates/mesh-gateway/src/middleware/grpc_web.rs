//! gRPC for browsers: what a page may send becomes what servers of gRPC understand, and back.
//!
//! Bodies are changed by whoever has them; here is decided whether, and what the headers become.

use super::exchange::{Exchange, Reply};
use crate::config::model;
use bytes::{BufMut as _, Bytes, BytesMut};
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
        ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE,
        ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, CONTENT_TYPE,
        HeaderValue, TE, VARY,
    },
};

const WEB: &str = "application/grpc-web";
const TEXT: &str = "application/grpc-web-text";
const GRPC: &str = "application/grpc";
/// How long a browser remembers what it may, in seconds.
const MAX_AGE: &str = "600";
/// The first byte of a message that holds trailers.
const TRAILERS: u8 = 0x80;

#[derive(Debug)]
pub(crate) struct GrpcWeb {
    origins: Vec<String>,
}

/// How a page sends its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spelling {
    Bytes,
    /// In base 64.
    Text,
}

impl GrpcWeb {
    pub(super) fn new(config: &model::GrpcWeb) -> Self {
        Self { origins: config.allow_origins.clone() }
    }

    fn allows(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default();
        self.origins.iter().any(|allowed| allowed == "*" || allowed == origin)
    }

    /// The answer to a browser that asks whether it may.
    pub(crate) fn preflight(&self, exchange: &Exchange) -> Option<Reply> {
        let asked = exchange.header(ACCESS_CONTROL_REQUEST_HEADERS.as_str())?.to_lowercase();
        let is_asked = exchange.method == Method::OPTIONS
            && exchange.header(ACCESS_CONTROL_REQUEST_METHOD.as_str()) == Some("POST")
            && asked.split(',').any(|name| name.trim() == "x-grpc-web");
        let origin = exchange.origin.as_ref().filter(|_| is_asked)?;
        let mut reply = Reply::empty(StatusCode::NO_CONTENT);
        reply.headers.insert(VARY, HeaderValue::from_static("Origin"));
        if self.allows(origin) {
            let headers = &mut reply.headers;
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
            headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
            if let Ok(asked) = HeaderValue::from_str(&asked) {
                headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked);
            }
        }
        Some(reply)
    }

    /// Makes a page's request one of gRPC; how its messages are sent, if it is one.
    pub(crate) fn begin(exchange: &mut Exchange) -> Option<Spelling> {
        let kind = exchange.header(CONTENT_TYPE.as_str()).filter(|_| exchange.method == Method::POST)?;
        let (spelling, rest) = match kind.strip_prefix(TEXT) {
            Some(rest) => (Spelling::Text, rest),
            None => (Spelling::Bytes, kind.strip_prefix(WEB)?),
        };
        let kind = HeaderValue::from_str(&format!("{GRPC}{rest}")).ok()?;
        exchange.headers.insert(CONTENT_TYPE, kind);
        exchange.headers.insert(TE, HeaderValue::from_static("trailers"));
        exchange.headers.remove(CONTENT_LENGTH);
        Some(spelling)
    }

    /// Makes the head of a server's answer one that a page understands.
    pub(crate) fn end(&self, exchange: &Exchange, spelling: Spelling, headers: &mut HeaderMap) {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let base = if spelling == Spelling::Text { TEXT } else { WEB };
        let rest = kind.and_then(|kind| kind.strip_prefix(GRPC)).unwrap_or_default();
        if let Ok(kind) = HeaderValue::from_str(&format!("{base}{rest}")) {
            headers.insert(CONTENT_TYPE, kind);
        }
        headers.remove(CONTENT_LENGTH);
        headers.remove("trailer");
        if let Some(origin) = exchange.origin.as_ref().filter(|origin| self.allows(origin)) {
            let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
            names.extend(["grpc-status", "grpc-message"]);
            let exposed = HeaderValue::from_str(&names.join(", "));
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
            headers.append(VARY, HeaderValue::from_static("Origin"));
            if let Ok(exposed) = exposed {
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
    }
}

/// Trailers as a message of their own.
pub(crate) fn trailers_message(trailers: &HeaderMap) -> Bytes {
    let mut text = BytesMut::new();
    for (name, value) in trailers {
        text.put_slice(name.as_str().as_bytes());
        text.put_slice(b": ");
        text.put_slice(value.as_bytes());
        text.put_slice(b"\r\n");
    }
    let mut message = BytesMut::new();
    message.put_u8(TRAILERS);
    message.put_u32(u32::try_from(text.len()).unwrap_or(u32::MAX));
    message.put(text);
    message.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_become_those_of_the_other_side() {
        let layer = GrpcWeb::new(&model::GrpcWeb { allow_origins: vec!["https://a.test".to_owned()] });
        for (kind, expected, back) in [
            ("application/grpc-web+proto", Some("application/grpc+proto"), "application/grpc-web+proto"),
            ("application/grpc-web-text", Some("application/grpc"), "application/grpc-web-text"),
            ("application/json", None, ""),
        ] {
            let mut exchange = Exchange { method: Method::POST, ..Exchange::default() };
            exchange.origin = Some(HeaderValue::from_static("https://a.test"));
            exchange.headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            let spelling = GrpcWeb::begin(&mut exchange);
            assert_eq!(spelling.is_some(), expected.is_some(), "{kind}");
            let Some(spelling) = spelling else { continue };
            assert_eq!(exchange.headers[CONTENT_TYPE], expected.expect("a type"));
            let mut answer = HeaderMap::new();
            answer.insert(CONTENT_TYPE, exchange.headers[CONTENT_TYPE].clone());
            layer.end(&exchange, spelling, &mut answer);
            assert_eq!(answer[CONTENT_TYPE], back);
            assert_eq!(answer[ACCESS_CONTROL_ALLOW_ORIGIN], "https://a.test");
        }
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        assert_eq!(&trailers_message(&trailers)[..], b"\x80\x00\x00\x00\x10grpc-status: 0\r\n");
    }

    #[test]
    fn browsers_are_told_whether_they_may() {
        let layer = GrpcWeb::new(&model::GrpcWeb { allow_origins: vec!["*".to_owned()] });
        let mut exchange = Exchange { method: Method::OPTIONS, ..Exchange::default() };
        exchange.origin = Some(HeaderValue::from_static("https://a.test"));
        assert!(layer.preflight(&exchange).is_none());
        exchange.headers.insert(ACCESS_CONTROL_REQUEST_METHOD, HeaderValue::from_static("POST"));
        exchange
            .headers
            .insert(ACCESS_CONTROL_REQUEST_HEADERS, HeaderValue::from_static("X-Grpc-Web, x-user-agent"));
        let reply = layer.preflight(&exchange).expect("an answer");
        assert_eq!(reply.headers[ACCESS_CONTROL_ALLOW_METHODS], "POST");
    }
}
