//! Whether a request is sent again after it failed.
//!
//! One that did not reach its server is sent again whatever it is. For one that was answered, its method has to allow
//! that, and its body has to be kept.

use super::{LayerError, Statuses};
use crate::config::model;
use hyper::{Method, StatusCode};
use std::time::{Duration, Instant};

/// Most times that a request is sent, whatever is configured.
const ATTEMPTS_MAX: u32 = 100;
/// Longest wait between two of them.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Retry {
    attempts: u32,
    statuses: Statuses,
    on_failure: bool,
    interval: Duration,
    /// After which nothing is sent again.
    timeout: Option<Duration>,
    any_method: bool,
    body_bytes_max: Option<u64>,
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// Nothing of it reached a server; the status stands for that.
    Unreached(StatusCode),
    Answered(StatusCode),
}

impl Retry {
    pub(super) fn new(config: &model::Retry) -> Result<Self, LayerError> {
        if config.status.is_empty() && config.disable_retry_on_network_error {
            return Err(LayerError::NothingToRetry);
        }
        if config.attempts <= 0 {
            return Err(LayerError::Attempts(config.attempts));
        }
        Ok(Self {
            attempts: u32::try_from(config.attempts).unwrap_or(ATTEMPTS_MAX).min(ATTEMPTS_MAX),
            statuses: Statuses::parse(&config.status)?,
            on_failure: !config.disable_retry_on_network_error,
            interval: config.initial_interval.get().unwrap_or_default(),
            timeout: config.timeout.get(),
            any_method: config.retry_non_idempotent_method,
            body_bytes_max: config.max_request_body_bytes.and_then(|size| u64::try_from(size).ok()),
        })
    }

    /// Whether what servers answer to such a request matters; then its body is kept, up to a size.
    pub(crate) fn minds_answers(&self, method: &Method) -> bool {
        let safe = ![Method::POST, Method::PATCH].contains(method) && method.as_str() != "LOCK";
        self.attempts > 1 && !self.statuses.is_empty() && (self.any_method || safe)
    }

    pub(crate) fn body_bytes_max(&self) -> Option<u64> {
        self.body_bytes_max
    }

    /// How long is waited before a request is sent again that was sent so often; none if it is not.
    pub(crate) fn again(&self, sent: u32, since: Instant, attempt: Attempt, minds: bool) -> Option<Duration> {
        let late = self.timeout.is_some_and(|timeout| since.elapsed() >= timeout);
        let wanted = match attempt {
            Attempt::Unreached(status) => self.on_failure || minds && self.statuses.contain(status),
            Attempt::Answered(status) => minds && self.statuses.contain(status),
        };
        (sent < self.attempts && !late && wanted).then(|| self.wait(sent))
    }

    /// The wait grows to twice the interval at the last attempt.
    fn wait(&self, sent: u32) -> Duration {
        let steps = f64::from(self.attempts.saturating_sub(1).max(1));
        let growth = 2_f64.powf(f64::from(sent.saturating_sub(1)) / steps);
        self.interval.mul_f64(growth).min(WAIT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::Span;

    const UNREACHED: Attempt = Attempt::Unreached(StatusCode::BAD_GATEWAY);

    #[test]
    fn requests_are_sent_again_as_often_as_told() {
        let config = model::Retry {
            attempts: 3,
            initial_interval: Span::milliseconds(100),
            status: vec!["502-504".to_owned(), "429".to_owned()],
            ..Default::default()
        };
        let retry = Retry::new(&config).expect("a layer");
        let answered = |code| Attempt::Answered(StatusCode::from_u16(code).expect("a status"));
        for (sent, method, attempt, expected) in [
            (1, Method::GET, UNREACHED, Some(100)),
            (2, Method::GET, UNREACHED, Some(141)),
            (3, Method::GET, UNREACHED, None),
            (1, Method::POST, UNREACHED, Some(100)),
            (1, Method::POST, answered(503), None),
            (1, Method::DELETE, answered(503), Some(100)),
            (1, Method::GET, answered(429), Some(100)),
            (1, Method::GET, answered(500), None),
        ] {
            let minds = retry.minds_answers(&method);
            let wait = retry.again(sent, Instant::now(), attempt, minds);
            assert_eq!(wait.map(|wait| wait.as_millis()), expected, "{sent} {method} {attempt:?}");
        }
        let timed = Retry::new(&model::Retry { timeout: Span::milliseconds(1), ..config }).expect("a layer");
        let before =
            Instant::now().checked_sub(Duration::from_secs(1)).expect("a machine that is on for a while");
        assert_eq!(timed.again(1, before, UNREACHED, true), None);
        for (attempts, statuses, silent) in
            [(0, &[][..], false), (2, &["x"], false), (2, &["504-500"], false), (2, &[], true)]
        {
            let config = model::Retry {
                attempts,
                status: statuses.iter().map(|&text| text.to_owned()).collect(),
                disable_retry_on_network_error: silent,
                ..Default::default()
            };
            assert!(Retry::new(&config).is_err(), "{config:?}");
        }
    }
}
