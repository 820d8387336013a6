//! A request as a line: in the two common formats, or as JSON.

use super::{
    super::record::{End, Record},
    fields::{Fields, Mode},
};
use crate::clock;
use hyper::{HeaderMap, Version};
use serde_json::{Value, json};
use std::{collections::BTreeMap, fmt::Write as _, sync::atomic::Ordering, time::Duration};

/// How lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Common,
    /// Without what Traefik adds to it.
    Generic,
    Json,
}

/// What stands where nothing is known.
const NOTHING: &str = "-";

impl Format {
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "common" => Self::Common,
            "genericCLF" => Self::Generic,
            "json" => Self::Json,
            _ => return None,
        })
    }

    pub(super) fn line(self, record: &Record, end: &End<'_>, fields: &Fields) -> Vec<u8> {
        let known = known(record, end, fields);
        let mut line = match self {
            Self::Json => json_line(record, end, known, fields),
            Self::Common | Self::Generic => common(self, record, end, &known, fields),
        };
        line.push('\n');
        line.into_bytes()
    }
}

fn nanoseconds(span: Duration) -> Value {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX).into()
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Host and port of an authority.
fn split(authority: &str) -> (&str, &str) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, port)
        }
        _ => (authority, NOTHING),
    }
}

/// Everything that is kept, by its name.
fn known(record: &Record, end: &End<'_>, fields: &Fields) -> BTreeMap<&'static str, Value> {
    let notes = record.notes();
    let mut known = BTreeMap::new();
    let mut add = |name: &'static str, value: Value| {
        if fields.keeps(name) {
            known.insert(name, value);
        }
    };
    let client = record.client.ip().to_canonical().to_string();
    let forwarded = record.headers.get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let query = record.query.as_ref().filter(|_| fields.keeps_query());
    let path = query.map_or_else(|| record.path.clone(), |query| format!("{}?{query}", record.path));
    let (host, port) = split(&record.host);
    add("StartUTC", clock::rfc3339(record.start).into());
    add("StartLocal", clock::rfc3339(record.start).into());
    add("Duration", nanoseconds(end.took));
    add("entryPointName", record.entry.as_str().into());
    add(
        "ClientAddr",
        std::net::SocketAddr::new(record.client.ip().to_canonical(), record.client.port()).to_string().into(),
    );
    add("ClientHost", forwarded.filter(|text| !text.is_empty()).unwrap_or(&client).into());
    add("ClientPort", record.client.port().to_string().into());
    add("ClientUsername", notes.user.as_deref().unwrap_or(NOTHING).into());
    add("RequestAddr", record.host.as_str().into());
    add("RequestHost", host.into());
    add("RequestPort", port.into());
    add("RequestMethod", record.method.as_str().into());
    add("RequestPath", path.into());
    add("RequestProtocol", version(record.version).into());
    add("RequestScheme", if record.tls.is_some() { "https" } else { "http" }.into());
    add("RequestContentSize", record.request_bytes.load(Ordering::Relaxed).into());
    add("RequestCount", record.number.into());
    add("RetryAttempts", notes.retries().into());
    add("DownstreamStatus", end.status.as_u16().into());
    add("DownstreamContentSize", end.response_bytes.into());
    if end.broken {
        add("DownstreamBroken", true.into());
    }
    if let Some(tls) = record.tls {
        add("TLSVersion", tls.version.into());
        add("TLSCipher", tls.cipher.into());
    }
    if let Some(told) = &notes.told {
        add("RouterName", told.router.as_str().into());
    }
    let first = notes.attempts.first();
    let origin = first.map_or(Duration::ZERO, |attempt| attempt.began.elapsed().min(end.took));
    let last = notes.attempts.last();
    let status = last.and_then(|attempt| attempt.status).map_or(0, |status| status.as_u16());
    add("OriginStatus", status.into());
    add("OriginDuration", nanoseconds(origin));
    add("OriginContentSize", last.map_or(0, |_| end.response_bytes).into());
    add("Overhead", nanoseconds(end.took.saturating_sub(origin)));
    if let Some(attempt) = last {
        let address = attempt.url.split_once("://").map_or(attempt.url.as_str(), |(_, rest)| rest);
        add("ServiceName", attempt.service.as_str().into());
        add("ServiceURL", attempt.url.as_str().into());
        add("ServiceAddr", address.split('/').next().unwrap_or(address).into());
    }
    if let Some(place) = record.place.as_ref().filter(|_| notes.told.as_ref().is_none_or(|told| told.tracing))
    {
        for (trace, span) in [("TraceId", "SpanId"), ("trace_id", "span_id")] {
            add(trace, place.trace.to_string().into());
            add(span, place.span.to_string().into());
        }
    }
    known
}

fn json_line(
    record: &Record,
    end: &End<'_>,
    known: BTreeMap<&'static str, Value>,
    fields: &Fields,
) -> String {
    let mut line: BTreeMap<String, Value> =
        known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    headers(&record.headers, "request_", fields, &mut line);
    if !record.notes().attempts.is_empty() {
        headers(end.headers, "origin_", fields, &mut line);
    }
    headers(end.headers, "downstream_", fields, &mut line);
    line.insert("level".to_owned(), "info".into());
    line.insert("msg".to_owned(), "".into());
    line.insert("time".to_owned(), clock::rfc3339(record.start + end.took).into());
    json!(line).to_string()
}

/// Headers under the names that Go gives them.
fn headers(headers: &HeaderMap, prefix: &str, fields: &Fields, line: &mut BTreeMap<String, Value>) {
    for name in headers.keys() {
        let value = match fields.header(name.as_str()) {
            Mode::Drop => continue,
            Mode::Redact => "REDACTED".to_owned(),
            Mode::Keep => {
                let values = headers.get_all(name).iter();
                values.map(|value| String::from_utf8_lossy(value.as_bytes())).collect::<Vec<_>>().join(",")
            }
        };
        line.insert(format!("{prefix}{}", canonical(name.as_str())), value.into());
    }
}

/// `user-agent` as `User-Agent`.
fn canonical(name: &str) -> String {
    let mut up = true;
    let letters = name.chars().map(|letter| {
        let shown = if up { letter.to_ascii_uppercase() } else { letter };
        up = letter == '-';
        shown
    });
    letters.collect()
}

fn common(
    format: Format,
    record: &Record,
    end: &End<'_>,
    known: &BTreeMap<&'static str, Value>,
    fields: &Fields,
) -> String {
    let bare = |name: &str| match known.get(name) {
        Some(Value::String(text)) if !text.is_empty() => plain(text),
        Some(Value::String(_)) | None => NOTHING.to_owned(),
        Some(value) => value.to_string(),
    };
    let quoted = |text: Option<&str>| match text {
        Some(text) if !text.is_empty() => format!("\"{}\"", plain(text).replace('"', "\\\"")),
        _ => format!("\"{NOTHING}\""),
    };
    let header = |name: &str| match fields.header(name) {
        Mode::Keep => quoted(record.headers.get(name).and_then(|value| value.to_str().ok())),
        Mode::Redact if record.headers.contains_key(name) => quoted(Some("REDACTED")),
        Mode::Redact | Mode::Drop => quoted(None),
    };
    let field = |name: &str| quoted(known.get(name).and_then(Value::as_str));
    let time = match known.contains_key("StartUTC") || known.contains_key("StartLocal") {
        true => clock::common(record.start),
        false => NOTHING.to_owned(),
    };
    let mut line = String::with_capacity(256);
    // A text takes whatever is written to it.
    let _ = write!(
        line,
        "{} - {} [{time}] \"{} {} {}\" {} {} {} {}",
        bare("ClientHost"),
        bare("ClientUsername"),
        bare("RequestMethod"),
        bare("RequestPath"),
        bare("RequestProtocol"),
        bare("DownstreamStatus"),
        bare("DownstreamContentSize"),
        header("referer"),
        header("user-agent"),
    );
    if format == Format::Common {
        let milliseconds = if known.contains_key("Duration") { end.took.as_millis() } else { 0 };
        let _ = write!(
            line,
            " {} {} {} {milliseconds}ms",
            bare("RequestCount"),
            field("RouterName"),
            field("ServiceURL")
        );
    }
    line
}

/// Without what would make two lines of one, or command a terminal.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}
