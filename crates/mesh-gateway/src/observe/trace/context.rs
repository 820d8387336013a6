//! Which trace a request belongs to: the W3C's Trace Context.

use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};
use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

const PARENT: HeaderName = HeaderName::from_static("traceparent");
const STATE: HeaderName = HeaderName::from_static("tracestate");
/// Longest state that is handed on, in bytes (the specification asks for at least this much).
const STATE_BYTES_MAX: usize = 512;
/// The flag of a trace that is kept.
const SAMPLED: u8 = 1;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TraceId(pub(super) [u8; 16]);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SpanId(pub(super) [u8; 8]);

fn hexadecimal(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hexadecimal(&self.0, f)
    }
}

impl TraceId {
    /// Whether it is among the share of traces that is kept. Everybody who asks this of a trace hears the same.
    pub(super) fn is_within(self, share: f64) -> bool {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        let number = u64::from_be_bytes([a, b, c, d, e, f, g, h]) >> 1;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a share is between nothing and all, and need not be exact"
        )]
        let limit = (share.clamp(0.0, 1.0) * (1_u64 << 63) as f64) as u64;
        number < limit
    }
}

/// Numbers that nobody else has. They name and do not guard, so the hash that maps are seeded by is enough.
#[derive(Debug, Clone, Default)]
pub(super) struct Identities {
    seed: RandomState,
    count: Arc<AtomicU64>,
}

impl Identities {
    fn number(&self) -> u64 {
        // None may be zero (section 3.2.2.3).
        self.seed.hash_one(self.count.fetch_add(1, Ordering::Relaxed)).max(1)
    }

    pub(super) fn trace(&self) -> TraceId {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&self.number().to_be_bytes());
        id[8..].copy_from_slice(&self.number().to_be_bytes());
        TraceId(id)
    }

    pub(super) fn span(&self) -> SpanId {
        SpanId(self.number().to_be_bytes())
    }
}

/// What whoever came before says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Parent {
    pub(super) trace: TraceId,
    pub(super) span: SpanId,
    pub(super) sampled: bool,
    pub(super) state: String,
}

impl Parent {
    /// None if nothing is said, or nothing that means anything.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(PARENT).iter();
        let (text, None) = (given.next()?.to_str().ok()?, given.next()) else { return None };
        let mut parts = text.split('-');
        let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let [version] = bytes::<1>(version)?;
        // Version 0 ends here; a later one may go on, and 255 is none.
        if version == 0xff || (version == 0 && parts.next().is_some()) {
            return None;
        }
        let (trace, span, [flags]) = (bytes::<16>(trace)?, bytes::<8>(span)?, bytes::<1>(flags)?);
        if trace == [0; 16] || span == [0; 8] {
            return None;
        }
        let states = headers.get_all(STATE).iter().filter_map(|value| value.to_str().ok());
        let state = states.collect::<Vec<_>>().join(",");
        let state = if state.len() > STATE_BYTES_MAX { String::new() } else { state };
        Some(Self { trace: TraceId(trace), span: SpanId(span), sampled: flags & SAMPLED != 0, state })
    }
}

/// Digits in small letters; other ones mean nothing here.
fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    let sound = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != 2 * N || !text.bytes().all(sound) {
        return None;
    }
    let mut out = [0; N];
    for (at, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(out)
}

/// Where a request is in its trace.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) trace: TraceId,
    pub(crate) span: SpanId,
    pub(crate) sampled: bool,
    pub(super) parent: Option<SpanId>,
    pub(super) state: String,
    pub(super) identities: Identities,
}

impl Place {
    pub(super) fn identity(&self) -> SpanId {
        self.identities.span()
    }

    /// A step further, which the next hop is told.
    pub(crate) fn step(&self, headers: &mut HeaderMap) -> SpanId {
        let span = self.identities.span();
        let text = format!("00-{}-{span}-{:02x}", self.trace, u8::from(self.sampled));
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(PARENT, value);
        }
        headers.remove(STATE);
        if let Some(value) = HeaderValue::from_str(&self.state).ok().filter(|value| !value.is_empty()) {
            headers.insert(STATE, value);
        }
        span
    }
}
