//! Traces: spans as OpenTelemetry has them, and the W3C's headers that join them.
//!
//! A request has a span of its own and one for each time that it was sent to a server; a router that asks for it in
//! detail has the steps between. Whether a trace is kept is decided once, at its root: by whoever came before, or by its
//! number.
//!
//! Deliberately absent: baggage, and the headers of other makers.

mod context;
mod export;
mod protobuf;
mod span;

pub(crate) use context::{Place, SpanId};
pub(crate) use export::TracerError;

use super::record::{End, Record};
use crate::config::{Warning, statics};
use context::{Identities, Parent};
use export::Exporter;
use hyper::{HeaderMap, header::HeaderName};
use span::Spans;

/// Makes spans of requests.
#[derive(Debug)]
pub(crate) struct Tracer {
    identities: Identities,
    sample_rate: f64,
    request_headers: Vec<HeaderName>,
    response_headers: Vec<HeaderName>,
    safe_parameters: Vec<String>,
    exporter: Exporter,
}

impl Tracer {
    pub(super) fn new(options: &statics::Tracing, warnings: &mut Vec<Warning>) -> Result<Self, TracerError> {
        let names = |names: &[String]| names.iter().filter_map(|name| name.parse().ok()).collect();
        let sample_rate = options.sample_rate;
        if !(0.0..=1.0).contains(&sample_rate) {
            let message =
                format!("sampleRate {sample_rate} is not between 0 and 1, and taken as the nearer of them");
            warnings.push(Warning { place: "tracing".to_owned(), message });
        }
        Ok(Self {
            identities: Identities::default(),
            sample_rate,
            request_headers: names(&options.captured_request_headers),
            response_headers: names(&options.captured_response_headers),
            safe_parameters: options.safe_query_params.clone(),
            exporter: Exporter::start(options)?,
        })
    }

    /// The request headers that spans have.
    pub(super) fn captured(&self) -> impl Iterator<Item = &HeaderName> {
        self.request_headers.iter()
    }

    /// Where a request is in its trace.
    pub(super) fn place(&self, headers: &HeaderMap) -> Place {
        let parent = Parent::of(headers);
        let trace = parent.as_ref().map_or_else(|| self.identities.trace(), |parent| parent.trace);
        let sampled =
            parent.as_ref().map_or_else(|| trace.is_within(self.sample_rate), |parent| parent.sampled);
        Place {
            trace,
            span: self.identities.span(),
            sampled,
            parent: parent.as_ref().map(|parent| parent.span),
            state: parent.map(|parent| parent.state).unwrap_or_default(),
            identities: self.identities.clone(),
        }
    }

    pub(super) fn end(&self, record: &Record, end: &End<'_>) {
        let Some(place) = record.place.as_ref().filter(|place| place.sampled) else { return };
        let spans = Spans {
            request_headers: &self.request_headers,
            response_headers: &self.response_headers,
            safe_parameters: &self.safe_parameters,
        };
        for span in spans.of(record, place, end) {
            self.exporter.send(span);
        }
    }

    pub(super) async fn close(&self) {
        self.exporter.close().await;
    }
}
