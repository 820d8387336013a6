//! A token server's answer, and how long a token may be used.

use mesh_redact::Secret;
use serde::Deserialize;
use std::time::{Duration, Instant};

/// Largest answer of a token server, in bytes.
pub(crate) const ANSWER_BYTES_MAX: u64 = 256 << 10;
/// How long a token without a term may be used: what the specification says.
const TERM_DEFAULT: Duration = Duration::from_secs(60);
/// Longest time a token is kept, whatever its server says.
const TERM_MAX: Duration = Duration::from_secs(60 * 60);
/// How long before its end a token is no longer used, so that it does not end on its way.
const MARGIN: Duration = Duration::from_secs(5);

/// What is sent as `Authorization`, and until when.
#[derive(Debug, Clone)]
pub(crate) struct Grant {
    /// The header's value.
    pub(crate) header: Secret<String>,
    /// Until when; `None`: as long as it is taken.
    pub(crate) until: Option<Instant>,
    /// Whether it was had by credentials.
    pub(crate) known: bool,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    access_token: Option<String>,
    #[serde(default)]
    expires_in: Option<f64>,
}

impl Grant {
    /// Reads a token server's answer; `None` where it has no token.
    pub(crate) fn read(bytes: &[u8], now: Instant) -> Option<Self> {
        let answer: Answer = serde_json::from_slice(bytes).ok()?;
        let token = answer.token.or(answer.access_token).filter(|token| !token.is_empty())?;
        // Something that would end the header's line is no token.
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let term = answer.expires_in.filter(|seconds| *seconds > 0.0 && seconds.is_finite());
        let term = term.map_or(TERM_DEFAULT, |seconds| {
            Duration::try_from_secs_f64(seconds).unwrap_or(TERM_MAX).min(TERM_MAX)
        });
        let until = now + term.saturating_sub(MARGIN.min(term / 10));
        Some(Self { header: Secret::new(format!("Bearer {token}")), until: Some(until), known: false })
    }

    /// A header that serves until it is refused.
    pub(crate) fn lasting(header: String) -> Self {
        Self { header: Secret::new(header), until: None, known: false }
    }

    /// The same, had by credentials.
    pub(crate) fn known(self) -> Self {
        Self { known: true, ..self }
    }

    /// Whether it can still be used.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_have_a_term() {
        let now = Instant::now();
        let term = |text: &str| Grant::read(text.as_bytes(), now).map(|g| (g.until.unwrap() - now).as_secs());
        assert_eq!(term(r#"{"token":"t"}"#), Some(55));
        assert_eq!(term(r#"{"access_token":"t","expires_in":300}"#), Some(295));
        assert_eq!(term(r#"{"token":"t","expires_in":1e300}"#), Some(3595));
        assert_eq!(term(r#"{"token":"t","expires_in":-5}"#), Some(55));
        for text in ["{}", "[]", r#"{"token":""}"#, r#"{"token":"a\r\nHost: b"}"#, "nonsense"] {
            assert!(Grant::read(text.as_bytes(), now).is_none(), "{text}");
        }
        let grant = Grant::read(br#"{"token":"hunter2","expires_in":100}"#, now).unwrap();
        assert!(grant.is_fresh(now) && !grant.is_fresh(now + Duration::from_secs(96)));
        assert!(!format!("{grant:?}").contains("hunter2"));
    }
}
