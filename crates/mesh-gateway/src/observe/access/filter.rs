//! Which requests are written down.

use crate::config::statics::Filters;
use std::{ops::RangeInclusive, time::Duration};

/// A request is, if one of these wants it; all are, if there is none.
#[derive(Debug, Default)]
pub(super) struct Filter {
    statuses: Vec<RangeInclusive<u16>>,
    retried: bool,
    longer_than: Option<Duration>,
}

impl Filter {
    /// What is no range of statuses is given back.
    pub(super) fn new(options: &Filters) -> Result<Self, String> {
        let range = |text: &String| {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            let code = |text: &str| text.trim().parse::<u16>().ok();
            code(first).zip(code(last)).map(|(first, last)| first..=last).ok_or_else(|| text.clone())
        };
        Ok(Self {
            statuses: options.status_codes.iter().map(range).collect::<Result<_, _>>()?,
            retried: options.retry_attempts,
            longer_than: options.min_duration.get(),
        })
    }

    pub(super) fn keeps(&self, status: u16, retries: u64, took: Duration) -> bool {
        let none = self.statuses.is_empty() && !self.retried && self.longer_than.is_none();
        none || self.statuses.iter().any(|range| range.contains(&status))
            || self.retried && retries > 0
            || self.longer_than.is_some_and(|limit| took > limit)
    }
}
