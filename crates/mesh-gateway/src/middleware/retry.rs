//! Whether a request is sent again after it failed.
//!
//! Only requests without a body are: those with one are handed on as they come, and nothing of them is kept.

use super::LayerError;
use crate::config::model;
use hyper::{Method, StatusCode};
use std::{ops::RangeInclusive, time::Duration};

/// Most times that a request is sent, whatever is configured.
const ATTEMPTS_MAX: u32 = 100;
/// Longest wait between two of them.
const WAIT_MAX: Duration = Duration::from_secs(60);

#[derive(Debug)]
pub(crate) struct Retry {
    attempts: u32,
    statuses: Vec<RangeInclusive<u16>>,
    on_failure: bool,
    interval: Duration,
    any_method: bool,
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
            statuses: config.status.iter().map(|text| range(text)).collect::<Result<_, _>>()?,
            on_failure: !config.disable_retry_on_network_error,
            interval: config.initial_interval.get().unwrap_or_default(),
            any_method: config.retry_non_idempotent_method,
        })
    }

    /// How long is waited before a request is sent again that was sent so often; none if it is not. `status` is the
    /// server's answer, if there was one.
    pub(crate) fn again(&self, sent: u32, method: &Method, status: Option<StatusCode>) -> Option<Duration> {
        if sent >= self.attempts || !(self.any_method || method.is_idempotent()) {
            return None;
        }
        let wanted = match status {
            Some(status) => self.statuses.iter().any(|range| range.contains(&status.as_u16())),
            None => self.on_failure,
        };
        let wait = self.interval.saturating_mul(1 << sent.saturating_sub(1).min(16));
        wanted.then_some(wait.min(WAIT_MAX))
    }
}

/// `500` or `500-599`.
fn range(text: &str) -> Result<RangeInclusive<u16>, LayerError> {
    let wrong = || LayerError::StatusRange(text.to_owned());
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let code = |text: &str| text.trim().parse::<u16>().ok().filter(|code| (100..=599).contains(code));
    let (first, last) = (code(first).ok_or_else(wrong)?, code(last).ok_or_else(wrong)?);
    if first > last { Err(wrong()) } else { Ok(first..=last) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::Span;

    #[test]
    fn requests_are_sent_again_as_often_as_told() {
        let config = model::Retry {
            attempts: 3,
            initial_interval: Span::milliseconds(100),
            status: vec!["502-504".to_owned(), "429".to_owned()],
            ..Default::default()
        };
        let retry = Retry::new(&config).expect("a layer");
        let wait = |milliseconds| Some(Duration::from_millis(milliseconds));
        for (sent, method, status, expected) in [
            (1, Method::GET, None, wait(100)),
            (2, Method::GET, None, wait(200)),
            (3, Method::GET, None, None),
            (1, Method::POST, None, None),
            (1, Method::DELETE, Some(503), wait(100)),
            (1, Method::GET, Some(429), wait(100)),
            (1, Method::GET, Some(500), None),
        ] {
            let status = status.map(|code| StatusCode::from_u16(code).expect("a status"));
            assert_eq!(retry.again(sent, &method, status), expected, "{sent} {method} {status:?}");
        }
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
