//! Requests that are sent elsewhere.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
};
use crate::config::{expression::compile, model};
use hyper::{
    Method, StatusCode, Uri,
    header::{HeaderValue, LOCATION},
};
use regex::Regex;

#[derive(Debug)]
pub(crate) struct RedirectScheme {
    scheme: String,
    port: Port,
    permanent: bool,
}

impl RedirectScheme {
    pub(super) fn new(config: &model::RedirectScheme) -> Result<Self, LayerError> {
        if config.scheme.is_empty() {
            return Err(LayerError::NoScheme);
        }
        let port = match config.port.as_str() {
            "" => own_port(&config.scheme).map_or_else(|| Port::Text(String::new()), Port::Number),
            text => text.parse().map_or_else(|_| Port::Text(format!(":{text}")), Port::Number),
        };
        Ok(Self { scheme: config.scheme.clone(), port, permanent: config.permanent })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        let (host, port) = split_port(&exchange.host);
        let scheme = scheme(exchange);
        let named = port.map_or_else(|| own_port(scheme), |port| port.parse().ok());
        let port = port.filter(|port| !is_own_port(scheme, port)).map(|port| format!(":{port}"));
        let target = exchange.target();
        let now = format!("{scheme}://{host}{}{target}", port.unwrap_or_default());
        let wanted = format!("{}://{host}{}{target}", self.scheme, self.port(exchange, named));
        if now == wanted { Ok(()) } else { Err(moved(&exchange.method, &wanted, self.permanent)) }
    }

    /// The port as it stands behind the host, with its colon, for a client that named one; empty for the scheme's own.
    fn port(&self, exchange: &Exchange, named: Option<u16>) -> String {
        match &self.port {
            Port::Text(text) => text.clone(),
            Port::Number(port) => {
                let port = named.map_or(*port, |named| exchange.published.seen(named, *port));
                if own_port(&self.scheme) == Some(port) { String::new() } else { format!(":{port}") }
            }
        }
    }
}

/// Where requests are sent.
#[derive(Debug)]
enum Port {
    Number(u16),
    /// What is none, as it stands behind the host.
    Text(String),
}

#[derive(Debug)]
pub(crate) struct RedirectLike {
    expression: Regex,
    replacement: String,
    permanent: bool,
}

impl RedirectLike {
    pub(super) fn new(config: &model::RedirectRegex) -> Result<Self, LayerError> {
        let expression = compile(&config.regex)?;
        Ok(Self { expression, replacement: config.replacement.clone(), permanent: config.permanent })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        let scheme = if exchange.tls { "https" } else { "http" };
        let now = format!("{scheme}://{}{}", exchange.host, exchange.target());
        if !self.expression.is_match(&now) {
            return Ok(());
        }
        let wanted = self.expression.replace_all(&now, self.replacement.as_str());
        if wanted.contains("://") && wanted.parse::<Uri>().is_err() {
            return Err(Reply::plain(StatusCode::BAD_GATEWAY));
        }
        if wanted == now { Ok(()) } else { Err(moved(&exchange.method, &wanted, self.permanent)) }
    }
}

fn is_own_port(scheme: &str, port: &str) -> bool {
    own_port(scheme).is_some_and(|own| port == own.to_string())
}

fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        _ => None,
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (name, Some(port).filter(|port| !port.is_empty()))
        }
        _ => (host, None),
    }
}

/// The scheme that the client used, by whoever may say so.
fn scheme(exchange: &Exchange) -> &'static str {
    let own = if exchange.tls { "https" } else { "http" };
    match exchange.header("x-forwarded-proto").map(str::to_ascii_lowercase).as_deref() {
        Some("http" | "ws") => "http",
        Some("https" | "wss") => "https",
        _ => own,
    }
}

fn moved(method: &Method, wanted: &str, permanent: bool) -> Reply {
    let status = match (permanent, method == Method::GET) {
        (false, true) => StatusCode::FOUND,
        (false, false) => StatusCode::TEMPORARY_REDIRECT,
        (true, true) => StatusCode::MOVED_PERMANENTLY,
        (true, false) => StatusCode::PERMANENT_REDIRECT,
    };
    let Ok(location) = HeaderValue::from_str(wanted) else {
        return Reply::plain(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let mut reply = Reply::plain(status);
    reply.headers.insert(LOCATION, location);
    reply
}
