//! Spans as OTLP's messages (opentelemetry-proto 1, `ExportTraceServiceRequest`).
//!
//! Only what is sent is written; the numbers of the fields are those of the published definitions.

use super::span::{Span, Value};
use std::time::{SystemTime, UNIX_EPOCH};

/// Who made the spans.
const SCOPE: &str = "mesh-gateway";
/// The status of what failed.
const STATUS_ERROR: u64 = 2;

/// A message that grows by fields.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(u8::try_from(value & 0x7f).unwrap_or(0) | 0x80);
            value >>= 7;
        }
        self.0.push(u8::try_from(value).unwrap_or(0));
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed64(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn fixed32(&mut self, field: u64, value: u32) {
        self.varint(field << 3 | 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u64, value: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(u64::try_from(value.len()).unwrap_or(0));
        self.0.extend_from_slice(value);
    }

    fn message(&mut self, field: u64, write: impl FnOnce(&mut Self)) {
        let mut inner = Self::default();
        write(&mut inner);
        self.bytes(field, &inner.0);
    }

    fn attribute(&mut self, field: u64, name: &str, value: &Value) {
        self.message(field, |pair| {
            pair.bytes(1, name.as_bytes());
            pair.message(2, |out| out.value(value));
        });
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Text(text) => self.bytes(1, text.as_bytes()),
            Value::Number(number) => self.number(3, *number),
            Value::Texts(texts) => self.message(5, |list| {
                for text in texts {
                    list.message(1, |one| one.bytes(1, text.as_bytes()));
                }
            }),
        }
    }

    fn span(&mut self, span: &Span) {
        self.bytes(1, &span.place.trace.0);
        self.bytes(2, &span.id.0);
        if !span.place.state.is_empty() {
            self.bytes(3, span.place.state.as_bytes());
        }
        if let Some(parent) = span.parent {
            self.bytes(4, &parent.0);
        }
        self.bytes(5, span.name.as_bytes());
        self.number(6, span.side as u64);
        self.fixed64(7, nanoseconds(span.start));
        self.fixed64(8, nanoseconds(span.end));
        for (name, value) in &span.attributes {
            self.attribute(9, name, value);
        }
        if span.failed {
            self.message(15, |status| status.number(3, STATUS_ERROR));
        }
        self.fixed32(16, u32::from(span.place.sampled));
    }
}

fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A request that brings spans.
pub(super) fn request(resource: &[(String, Value)], spans: &[Span]) -> Vec<u8> {
    let mut request = Message::default();
    request.message(1, |resource_spans| {
        resource_spans.message(1, |out| {
            for (name, value) in resource {
                out.attribute(1, name, value);
            }
        });
        resource_spans.message(2, |scope_spans| {
            scope_spans.message(1, |scope| {
                scope.bytes(1, SCOPE.as_bytes());
                scope.bytes(2, env!("CARGO_PKG_VERSION").as_bytes());
            });
            for span in spans {
                scope_spans.message(2, |out| out.span(span));
            }
        });
    });
    request.0
}
