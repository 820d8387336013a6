//! How often something is tried again, and how long is waited before.

use crate::{error::OciError, http::TransportError};
use std::time::Duration;

/// Attempts that bring nothing, in a row.
pub(super) const ATTEMPTS_MAX: u32 = 5;
/// Attempts in all, however much each of them brings.
const ATTEMPTS_IN_ALL_MAX: u32 = 200;
/// Longest wait between two attempts.
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// Longest wait that a registry may ask for; past it the user decides.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(30);

/// The attempts at one thing.
pub(super) struct Retry {
    backoff: Duration,
    in_row: u32,
    in_all: u32,
}

impl Retry {
    pub(super) fn new(backoff: Duration) -> Self {
        Self { backoff, in_row: 0, in_all: 0 }
    }

    /// The last attempt brought something: what counts in a row begins anew.
    pub(super) fn progressed(&mut self) {
        self.in_row = 0;
    }

    /// Waits if it is worth another attempt, and says whether it is.
    pub(super) async fn again(&mut self, error: &OciError) -> bool {
        self.in_row += 1;
        self.in_all += 1;
        let wait = match error {
            OciError::Limited { after_seconds: Some(seconds), .. } => Duration::from_secs(*seconds),
            error if passes(error) => {
                self.backoff.saturating_mul(1 << (self.in_row - 1).min(16)).min(BACKOFF_MAX)
            }
            _ => return false,
        };
        if self.in_row >= ATTEMPTS_MAX || self.in_all >= ATTEMPTS_IN_ALL_MAX || wait > RETRY_AFTER_MAX {
            return false;
        }
        tracing::debug!(error = %error, wait_ms = wait.as_millis() as u64, "asking a registry again");
        tokio::time::sleep(wait).await;
        true
    }

    /// The error as it is told, with the number of attempts.
    pub(super) fn told(&self, error: OciError) -> OciError {
        match error {
            OciError::Transport { what, registry, source, .. } => {
                OciError::Transport { what, registry, attempts: self.in_all.max(1), source }
            }
            other => other,
        }
    }
}

/// Whether an error may be gone the next time.
fn passes(error: &OciError) -> bool {
    match error {
        OciError::Transport { source, .. } | OciError::TokenTransport { source, .. } => matches!(
            source,
            TransportError::Http { .. }
                | TransportError::Short { .. }
                | TransportError::Timeout { .. }
                | TransportError::Connect { .. }
                | TransportError::Proxy { .. }
                | TransportError::Tls { .. }
        ),
        OciError::Status { status, .. } => matches!(status, 408 | 500..=599),
        OciError::Limited { .. } => true,
        _ => false,
    }
}
