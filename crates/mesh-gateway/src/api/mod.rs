//! What the gateway tells about itself: Traefik's read API.
//!
//! Answers are made from the snapshot in force; nothing is kept and nothing can be changed. Secrets are `xxxx` in them,
//! because that is how the configuration is written by its own types.
//!
//! Deliberately absent: `/debug`, which is Go's, and the page's advertisements.

mod certificate;
mod dashboard;
mod dump;
mod entry_point;
mod item;
mod listing;
mod overview;
mod query;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

use crate::{
    certificates::Certificates,
    clock,
    config::statics::Statics,
    middleware::{Exchange, Reply, decoded},
    snapshot::Snapshot,
};
use bytes::Bytes;
pub(crate) use certificate::names;
use hyper::{
    HeaderMap, Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, X_CONTENT_TYPE_OPTIONS},
};
use item::Kind;
use query::Query;
use serde_json::{Value, json};
use std::{sync::Arc, time::SystemTime};

/// The version whose configuration and API this gateway has.
pub(crate) const LIKE_VERSION: &str = "3.7.9";
/// What Traefik calls its releases by; it has cheeses.
const CODENAME: &str = "mesh";
/// Says which page comes after this one.
const NEXT_PAGE: HeaderName = HeaderName::from_static("x-next-page");

/// What is asked about, beside what is routed.
#[derive(Debug)]
pub(crate) struct Api {
    statics: Arc<Statics>,
    started: SystemTime,
}

/// All that answers are made from.
struct View<'v> {
    statics: &'v Statics,
    started: SystemTime,
    snapshot: &'v Snapshot,
    /// None in tests of tables that say nothing of them.
    certificates: Option<&'v Certificates>,
}

/// Why a question has no answer.
enum Refusal {
    NotFound(String),
    Wrong(String),
    /// There is nothing at this path.
    Nowhere,
}

/// A part of the answer, if it has several.
struct Page {
    body: Value,
    next: Option<usize>,
}

impl From<Value> for Page {
    fn from(body: Value) -> Self {
        Self { body, next: None }
    }
}

impl Api {
    pub(crate) fn new(statics: Arc<Statics>) -> Self {
        Self { statics, started: SystemTime::now() }
    }

    /// Answers what a router sends to `api@internal`.
    pub(crate) fn answer(
        &self,
        exchange: &Exchange,
        snapshot: &Snapshot,
        certificates: &Certificates,
    ) -> Reply {
        let view = View {
            statics: &self.statics,
            started: self.started,
            snapshot,
            certificates: Some(certificates),
        };
        view.answer(&exchange.method, &exchange.path, exchange.query.as_deref(), &exchange.headers)
    }

    /// What `/ping` answers when the end has begun.
    pub(crate) fn ending(&self) -> StatusCode {
        let code = self.statics.ping.as_ref().map(|ping| ping.terminating_status_code);
        code.and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
    }

    /// Answers what a router sends to `dashboard@internal`.
    pub(crate) fn page(&self, exchange: &Exchange) -> Reply {
        match exchange.path.as_str() {
            _ if !reads(&exchange.method) => not_allowed(),
            "/" | "" | "/index.html" => dashboard::page(),
            _ => nowhere(),
        }
    }
}

fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

impl View<'_> {
    fn base(&self) -> &str {
        self.statics.api.as_ref().map_or("", |api| api.base_path.trim_end_matches('/'))
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>, headers: &HeaderMap) -> Reply {
        let Some(path) = path.strip_prefix(self.base()) else { return nowhere() };
        if !reads(method) {
            return not_allowed();
        }
        if self.statics.api.as_ref().is_some_and(|api| api.dashboard) {
            match path {
                "/" => return self.to_page(headers),
                "/dashboard/" => return dashboard::page(),
                _ => {}
            }
        }
        if path == "/api/support-dump" {
            return dump::answer(self);
        }
        match self.find(path, &Query::parse(query.unwrap_or_default())) {
            Ok(page) => {
                let mut reply = json_reply(StatusCode::OK, &page.body);
                if let Some(next) = page.next {
                    reply.headers.insert(NEXT_PAGE, HeaderValue::from(next));
                }
                reply
            }
            Err(Refusal::NotFound(message)) => refusal(StatusCode::NOT_FOUND, &message),
            Err(Refusal::Wrong(message)) => refusal(StatusCode::BAD_REQUEST, &message),
            Err(Refusal::Nowhere) => nowhere(),
        }
    }

    fn find(&self, path: &str, query: &Query) -> Result<Page, Refusal> {
        let rest = path.strip_prefix("/api/").ok_or(Refusal::Nowhere)?;
        let parts: Vec<&str> = rest.split('/').collect();
        match *parts.as_slice() {
            ["rawdata"] => Ok(self.raw_data().into()),
            ["overview"] => Ok(self.overview().into()),
            ["version"] => Ok(self.version().into()),
            ["entrypoints"] => self.entry_points(query),
            ["entrypoints", name] => self.entry_point(&decoded(name)),
            ["certificates"] => self.certificates(query),
            ["certificates", name] => self.certificate(name),
            [protocol, kind] => {
                let kind = Kind::named(protocol, kind).ok_or(Refusal::Nowhere)?;
                listing::list(&kind.entries(self), kind, self, query)
            }
            [protocol, kind, name] => {
                let kind = Kind::named(protocol, kind).ok_or(Refusal::Nowhere)?;
                let name = decoded(name);
                let missing = || Refusal::NotFound(format!("{} not found: {name}", kind.singular()));
                kind.one(self, &name).map(Page::from).ok_or_else(missing)
            }
            _ => Err(Refusal::Nowhere),
        }
    }

    fn version(&self) -> Value {
        let mut version = json!({
            "Version": LIKE_VERSION,
            "Codename": CODENAME,
            "startDate": clock::rfc3339(self.started),
        });
        if let (Some(api), Some(fields)) = (&self.statics.api, version.as_object_mut()) {
            if api.disable_dashboard_ad {
                fields.insert("disableDashboardAd".to_owned(), true.into());
            }
            if !api.dashboard_name.is_empty() {
                fields.insert("dashboardName".to_owned(), api.dashboard_name.as_str().into());
            }
        }
        version
    }

    /// Everything at once.
    fn raw_data(&self) -> Value {
        let mut all = serde_json::Map::new();
        for kind in Kind::ALL {
            let entries: serde_json::Map<String, Value> = kind.raw(self);
            if !entries.is_empty() {
                all.insert(kind.raw_name().to_owned(), entries.into());
            }
        }
        all.into()
    }

    /// Leads to the page; a prefix that somebody before this gateway took off is put back, if it is nothing but a path.
    fn to_page(&self, headers: &HeaderMap) -> Reply {
        let prefix =
            headers.get("x-forwarded-prefix").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let sound = prefix.starts_with('/') && !prefix.starts_with("//") && !prefix.contains(['\\', ':']);
        let prefix = if sound { prefix.trim_end_matches('/') } else { "" };
        let place = format!("{prefix}{}/dashboard/", self.base());
        let mut reply = Reply::plain(StatusCode::FOUND);
        match HeaderValue::from_str(&place) {
            Ok(place) => reply.headers.insert(LOCATION, place),
            Err(_) => return nowhere(),
        };
        reply
    }
}

fn json_reply(status: StatusCode, body: &Value) -> Reply {
    let mut headers = Box::new(HeaderMap::new());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let mut text = body.to_string();
    text.push('\n');
    Reply { status, headers, body: Bytes::from(text) }
}

/// As Go's server writes what went wrong: JSON that is called text.
fn refusal(status: StatusCode, message: &str) -> Reply {
    let mut reply = json_reply(status, &json!({ "message": message }));
    reply.headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    reply.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

fn nowhere() -> Reply {
    let mut reply = Reply::plain(StatusCode::NOT_FOUND);
    reply.body = Bytes::from_static(b"404 page not found\n");
    reply.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

fn not_allowed() -> Reply {
    let mut reply = Reply::plain(StatusCode::METHOD_NOT_ALLOWED);
    reply.headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    reply
}
