//! How many requests in a time, for each source of them.
//!
//! Each source has a bucket of tokens that fills evenly; a request takes one. One that is not there yet is waited for,
//! if that is not long. Buckets are bounded in number: those that were used least lately make room.

use super::{
    LayerError,
    exchange::{Exchange, Reply},
    source::Source,
};
use crate::config::model;
use arc_swap::ArcSwap;
use hyper::{
    StatusCode,
    header::{HeaderValue, RETRY_AFTER},
};
use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Most sources that are told apart at a time.
const SOURCES_MAX: usize = 65_536;
/// Longest wait for a token where there is less than one in a second.
const SLOW_WAIT_MAX: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct RateLimit {
    /// Tokens in a second; none for no limit.
    rate: Option<f64>,
    burst: f64,
    wait_max: Duration,
    source: Source,
    /// Handed on to the layer of the same name when the configuration is read anew.
    buckets: ArcSwap<Buckets>,
}

/// By hashes of sources, whose text is as long as clients like. The keys of the hash are nobody's to guess, so sources
/// that meet in one bucket meet by accident, which so few of them hardly do.
#[derive(Debug, Default)]
struct Buckets {
    keys: RandomState,
    known: Mutex<HashMap<u64, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl RateLimit {
    pub(super) fn new(config: &model::RateLimit) -> Result<Self, LayerError> {
        if config.redis.given {
            return Err(LayerError::NotYet("rateLimit in Redis"));
        }
        let period = config.period.get().unwrap_or(Duration::from_secs(1));
        #[expect(
            clippy::cast_precision_loss,
            reason = "no limit is told apart from its neighbour at such a size"
        )]
        let (average, burst) = (config.average as f64, config.burst.max(1) as f64);
        let rate = (config.average > 0).then(|| average / period.as_secs_f64());
        let wait_max = match rate {
            Some(rate) if rate >= 1.0 => Duration::from_secs_f64(0.5 / rate.trunc()),
            _ => SLOW_WAIT_MAX,
        };
        let source = Source::new(config.source_criterion.as_ref())?;
        Ok(Self { rate, burst, wait_max, source, buckets: ArcSwap::default() })
    }

    /// How long a request waits before it goes on; an answer, if that would be too long.
    pub(crate) fn admit(&self, exchange: &Exchange, now: Instant) -> Result<Duration, Reply> {
        let Some(rate) = self.rate else { return Ok(Duration::ZERO) };
        let shared = self.buckets.load();
        let source = shared.keys.hash_one(self.source.of(exchange));
        let mut buckets = shared.known.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SOURCES_MAX && !buckets.contains_key(&source) {
            self.make_room(&mut buckets, rate, now);
        }
        let bucket = buckets.entry(source).or_insert(Bucket { tokens: self.burst, at: now });
        let passed = now.saturating_duration_since(bucket.at).as_secs_f64();
        let tokens = (bucket.tokens + passed * rate).min(self.burst) - 1.0;
        // What is missing comes at the rate at which all do; a wait past any clock is past every limit.
        let wait = Duration::try_from_secs_f64((-tokens / rate).max(0.0)).unwrap_or(Duration::MAX);
        if wait > self.wait_max {
            return Err(late(wait));
        }
        *bucket = Bucket { tokens, at: now };
        Ok(wait)
    }

    /// Goes on with what the same limit has counted before.
    pub(super) fn take_over(&self, before: &Self) {
        if self.rate == before.rate && self.burst == before.burst && self.source == before.source {
            self.buckets.store(before.buckets.load_full());
        }
    }

    /// Forgets full buckets, which say nothing, and if there are none, those used least lately: an eighth of all at a
    /// time, so that many sources do not cost a look at all of them each.
    fn make_room(&self, buckets: &mut HashMap<u64, Bucket>, rate: f64, now: Instant) {
        let fill = Duration::try_from_secs_f64(self.burst / rate).unwrap_or(Duration::MAX);
        buckets.retain(|_, bucket| now.saturating_duration_since(bucket.at) < fill);
        if buckets.len() < SOURCES_MAX {
            return;
        }
        let mut times: Vec<Instant> = buckets.values().map(|bucket| bucket.at).collect();
        let (_, limit, _) = times.select_nth_unstable(SOURCES_MAX / 8);
        let mut excess = SOURCES_MAX / 8;
        buckets.retain(|_, bucket| {
            let goes = excess > 0 && bucket.at <= *limit;
            excess -= usize::from(goes);
            !goes
        });
    }
}

fn late(wait: Duration) -> Reply {
    let mut reply = Reply::plain(StatusCode::TOO_MANY_REQUESTS);
    let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
    reply.headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    reply
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::Span;

    fn exchange(client: &str) -> Exchange {
        Exchange {
            host: "a.test".to_owned(),
            path: "/".to_owned(),
            client: client.parse().ok(),
            ..Exchange::default()
        }
    }

    #[test]
    fn sources_have_tokens_of_their_own() {
        let config = model::RateLimit { average: 10, burst: 2, ..Default::default() };
        let limit = RateLimit::new(&config).expect("a layer");
        let begin = Instant::now();
        let at = |milliseconds| begin + Duration::from_millis(milliseconds);
        for (client, milliseconds, expected) in [
            ("10.0.0.1:1", 0, Some(0)),
            ("10.0.0.1:2", 0, Some(0)),
            ("10.0.0.1:3", 0, None),
            ("10.0.0.2:1", 0, Some(0)),
            ("10.0.0.1:1", 60, Some(40)),
            ("10.0.0.1:1", 100, None),
            ("10.0.0.1:1", 300, Some(0)),
        ] {
            let found = limit.admit(&exchange(client), at(milliseconds));
            let found = found.as_ref().map(|wait| wait.as_millis()).map_err(|reply| reply.status);
            assert_eq!(found, expected.ok_or(StatusCode::TOO_MANY_REQUESTS), "{client} at {milliseconds}");
        }
    }

    #[test]
    fn the_same_limit_goes_on_counting() {
        let config = model::RateLimit { average: 1, burst: 1, ..Default::default() };
        let (now, client) = (Instant::now(), exchange("10.0.0.1:1"));
        for (average, expected) in [(1, false), (2, true)] {
            let before = RateLimit::new(&config).expect("a layer");
            let _ = before.admit(&client, now).expect("the first");
            // One more waits, and takes its token beforehand.
            while before.admit(&client, now).is_ok() {}
            let after = RateLimit::new(&model::RateLimit { average, ..config.clone() }).expect("a layer");
            after.take_over(&before);
            assert_eq!(after.admit(&client, now).is_ok(), expected, "{average}");
        }
    }

    #[test]
    fn no_average_is_no_limit_and_sources_are_bounded() {
        let limit = RateLimit::new(&model::RateLimit::default()).expect("a layer");
        let now = Instant::now();
        assert!((0..100).all(|_| limit.admit(&exchange("10.0.0.1:1"), now).is_ok()));
        let slow = model::RateLimit { average: 1, period: Span::seconds(3_600), ..Default::default() };
        let limit = RateLimit::new(&slow).expect("a layer");
        for number in 0..SOURCES_MAX + 10 {
            let client = format!("[2001:db8::{:x}:{:x}]:1", number >> 16, number & 0xffff);
            limit.admit(&exchange(&client), now).expect("the first of its source");
        }
        assert!(limit.buckets.load().known.lock().expect("unpoisoned").len() <= SOURCES_MAX);
    }
}
