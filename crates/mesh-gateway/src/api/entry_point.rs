//! Entry points, as the API shows them.
//!
//! Unlike dynamic configuration, what an entry point has without being told is shown too.

use super::{Page, Refusal, View, listing, query::Query};
use crate::config::{model::Shown, statics::EntryPoint};
use serde_json::{Map, Value, json};

impl View<'_> {
    pub(super) fn entry_points(&self, query: &Query) -> Result<Page, Refusal> {
        let all: Vec<(&String, &EntryPoint)> = self.statics.entry_points.iter().collect();
        listing::page(&all, query, |(name, entry)| shown(name, entry))
    }

    pub(super) fn entry_point(&self, name: &str) -> Result<Page, Refusal> {
        let entry = self.statics.entry_points.get(name);
        let entry = entry.ok_or_else(|| Refusal::NotFound(format!("entry point not found: {name}")))?;
        Ok(shown(name, entry).into())
    }
}

fn shown(name: &str, entry: &EntryPoint) -> Value {
    let mut fields = object(entry);
    let transport = &entry.transport;
    let mut part = Map::new();
    part.insert("lifeCycle".to_owned(), object(&transport.life_cycle).into());
    part.insert("respondingTimeouts".to_owned(), object(&transport.responding_timeouts).into());
    for (key, value) in object(transport) {
        part.entry(key).or_insert(value);
    }
    fields.insert("transport".to_owned(), part.into());
    fields.insert("forwardedHeaders".to_owned(), object(&entry.forwarded_headers).into());
    let mut http = object(&entry.http);
    if entry.http.redirections.entry_point.is_none() {
        http.remove("redirections");
    }
    fields.insert("http".to_owned(), http.into());
    fields.insert("http2".to_owned(), object(&entry.http2).into());
    let told = &entry.observability;
    let told = json!({
        "accessLogs": told.access_logs,
        "metrics": told.metrics,
        "tracing": told.tracing,
        "traceVerbosity": told.trace_verbosity,
    });
    fields.insert("observability".to_owned(), told);
    fields.insert("name".to_owned(), name.into());
    fields.into()
}

fn object(value: &impl Shown) -> Map<String, Value> {
    match value.shown() {
        Value::Object(fields) => fields,
        _ => Map::new(),
    }
}
