//! What spans say, under the names of OpenTelemetry's conventions.

use super::context::{Place, SpanId};
use crate::observe::record::{Attempt, End, Record};
use hyper::{HeaderMap, StatusCode, Version, header::HeaderName, header::USER_AGENT};
use std::{sync::atomic::Ordering, time::SystemTime};

/// Which side of a call a span is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Internal = 1,
    Server = 2,
    Client = 3,
}

/// A value of an attribute.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Number(u64),
    Texts(Vec<String>),
}

/// A span that is over.
#[derive(Debug, Clone)]
pub(super) struct Span {
    pub(super) place: Place,
    pub(super) id: SpanId,
    pub(super) parent: Option<SpanId>,
    pub(super) name: String,
    pub(super) side: Side,
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    pub(super) attributes: Vec<(String, Value)>,
    pub(super) failed: bool,
}

/// What is put into spans beside what all have.
pub(super) struct Spans<'t> {
    pub(super) request_headers: &'t [HeaderName],
    pub(super) response_headers: &'t [HeaderName],
    pub(super) safe_parameters: &'t [String],
}

fn text(value: impl Into<String>) -> Value {
    Value::Text(value.into())
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => "1.1",
    }
}

impl Spans<'_> {
    pub(super) fn of(&self, record: &Record, place: &Place, end: &End<'_>) -> Vec<Span> {
        let notes = record.notes();
        let over = record.start + end.took;
        let blank = |id, parent, name: &str, side, start| Span {
            place: place.clone(),
            id,
            parent,
            name: name.to_owned(),
            side,
            start,
            end: over,
            attributes: Vec::new(),
            failed: false,
        };
        let mut root = blank(place.span, place.parent, record.method.as_str(), Side::Server, record.start);
        root.attributes = self.server(record);
        self.answered(&mut root, Some(end.status), end.headers);
        let mut spans = vec![root];
        let mut above = place.span;
        if let (Some(told), Some(routed)) = (notes.told.as_ref().filter(|told| told.detailed), notes.routed) {
            let mut router = blank(place.identity(), Some(above), "Router", Side::Internal, routed);
            router.attributes = vec![
                ("traefik.service.name".to_owned(), text(&told.service)),
                ("traefik.router.name".to_owned(), text(&told.router)),
                ("http.route".to_owned(), text(&told.rule)),
            ];
            above = router.id;
            spans.push(router);
            for ((name, kind), entered) in told.layers.iter().zip(&notes.entered) {
                let mut layer = blank(place.identity(), Some(above), kind, Side::Internal, *entered);
                layer.attributes = vec![("traefik.middleware.name".to_owned(), text(name))];
                above = layer.id;
                spans.push(layer);
            }
            if let Some(first) = notes.attempts.first() {
                let mut service =
                    blank(place.identity(), Some(above), "Service", Side::Internal, first.start);
                service.attributes = vec![("traefik.service.name".to_owned(), text(&first.service))];
                above = service.id;
                spans.push(service);
            }
        }
        for attempt in &notes.attempts {
            let Some(id) = attempt.span else { continue };
            let mut call = blank(id, Some(above), "ReverseProxy", Side::Client, attempt.start);
            call.end = attempt.took.map_or(over, |took| attempt.start + took);
            call.attributes = self.client(record, attempt);
            let none = HeaderMap::new();
            let last = notes.attempts.last().is_some_and(|last| last.span == attempt.span);
            self.answered(&mut call, attempt.status, if last { end.headers } else { &none });
            call.failed |= attempt.status.is_none_or(|status| status.as_u16() >= 400);
            spans.push(call);
        }
        spans
    }

    fn common(&self, record: &Record) -> Vec<(String, Value)> {
        let agent = record.headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let mut attributes = vec![
            ("http.request.method".to_owned(), text(record.method.as_str())),
            ("network.protocol.version".to_owned(), text(version(record.version))),
            ("user_agent.original".to_owned(), text(agent)),
        ];
        captured(&mut attributes, "request", self.request_headers, &record.headers);
        attributes
    }

    fn server(&self, record: &Record) -> Vec<(String, Value)> {
        let client = record.client.ip().to_canonical().to_string();
        let port = u64::from(record.client.port());
        let mut attributes = self.common(record);
        attributes.extend(
            [
                ("entry_point", text(&record.entry)),
                ("http.request.body.size", Value::Number(record.request_bytes.load(Ordering::Relaxed))),
                ("url.path", text(&record.path)),
                ("url.query", text(self.safe_query(record.query.as_deref()))),
                ("url.scheme", text(if record.tls.is_some() { "https" } else { "http" })),
                ("server.address", text(&record.host)),
                ("network.peer.address", text(&client)),
                ("client.address", text(client)),
                ("client.port", Value::Number(port)),
                ("network.peer.port", Value::Number(port)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        attributes
    }

    fn client(&self, record: &Record, attempt: &Attempt) -> Vec<(String, Value)> {
        let (scheme, authority) = attempt.url.split_once("://").unwrap_or(("http", &attempt.url));
        let authority = authority.split('/').next().unwrap_or(authority);
        let default = if scheme == "https" { 443 } else { 80 };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, port.parse().unwrap_or(default)),
            None => (authority, default),
        };
        let query = self.safe_query(record.query.as_deref());
        let mark = if query.is_empty() { "" } else { "?" };
        let mut attributes = self.common(record);
        attributes.extend(
            [
                ("url.full", text(format!("{scheme}://{authority}{}{mark}{query}", record.path))),
                ("url.scheme", text(scheme)),
                ("network.peer.address", text(host)),
                ("network.peer.port", Value::Number(port)),
                ("server.address", text(host)),
                ("server.port", Value::Number(port)),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        attributes
    }

    fn answered(&self, span: &mut Span, status: Option<StatusCode>, headers: &HeaderMap) {
        if let Some(status) = status {
            span.failed = status.as_u16() >= 500;
            let status = Value::Number(u64::from(status.as_u16()));
            span.attributes.push(("http.response.status_code".to_owned(), status));
        }
        captured(&mut span.attributes, "response", self.response_headers, headers);
    }

    /// What follows the question mark, without values that may be secrets.
    fn safe_query(&self, query: Option<&str>) -> String {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let pairs = pairs.map(|pair| {
            let name = pair.split('=').next().unwrap_or(pair);
            let safe = self.safe_parameters.iter().any(|safe| safe == name);
            if safe { pair.to_owned() } else { format!("{name}=REDACTED") }
        });
        pairs.collect::<Vec<_>>().join("&")
    }
}

fn captured(attributes: &mut Vec<(String, Value)>, of: &str, names: &[HeaderName], headers: &HeaderMap) {
    for name in names.iter().filter(|name| **name != USER_AGENT) {
        let values = headers.get_all(name).iter();
        let values: Vec<String> =
            values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect();
        if !values.is_empty() {
            attributes.push((format!("http.{of}.header.{name}"), Value::Texts(values)));
        }
    }
}
