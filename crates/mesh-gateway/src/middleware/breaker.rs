//! No requests for a service that fails, until it may have recovered.
//!
//! Answers of the last seconds are counted. When the condition holds, requests are answered here; after a while some are
//! let through, more and more of them, and then all, unless the condition holds again.

use super::{
    LayerError,
    exchange::Reply,
    predicate::{Call, Function, Kind, Predicate, Value},
};
use crate::config::model;
use arc_swap::ArcSwap;
use bytes::Bytes;
use hyper::StatusCode;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

const FUNCTIONS: &[Function] = &[
    ("NetworkErrorRatio", Kind::Number, 0),
    ("ResponseCodeRatio", Kind::Number, 4),
    ("LatencyAtQuantileMS", Kind::Number, 1),
    ("RequestThreshold", Kind::Truth, 1),
];
/// Answers are counted by the second, for so many of them.
const SECONDS_MAX: usize = 10;
/// Times are kept by six spans of ten seconds.
const SPANS_MAX: usize = 6;
const SPAN: Duration = Duration::from_secs(10);
/// Times that are within a sixteenth of each other are one.
const STEPS: u32 = 16;

#[derive(Debug)]
pub(crate) struct Breaker {
    condition: Predicate,
    check_period: Duration,
    fallback: Duration,
    recovery: Duration,
    status: StatusCode,
    /// What [`Self::condition`] was read from.
    expression: String,
    state: ArcSwap<Mutex<State>>,
}

#[derive(Debug)]
struct State {
    phase: Phase,
    checked: Option<Instant>,
    seconds: Vec<(Instant, Counts)>,
    spans: Vec<(Instant, BTreeMap<u32, u64>)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Phase {
    /// All requests go through.
    Standby,
    /// None does.
    Tripped { until: Instant },
    /// Some do.
    Recovering { since: Instant, until: Instant, allowed: u32, denied: u32 },
}

#[derive(Debug, Default)]
struct Counts {
    total: u64,
    network_errors: u64,
    statuses: BTreeMap<u16, u64>,
}

/// A request that went through; its end is noted when this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    breaker: Arc<Breaker>,
    begin: Instant,
    status: StatusCode,
}

impl Watched {
    pub(crate) fn new(breaker: &Arc<Breaker>, begin: Instant, status: StatusCode) -> Self {
        Self { breaker: breaker.clone(), begin, status }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let now = Instant::now();
        self.breaker.note(self.status, now.duration_since(self.begin), now);
    }
}

impl Breaker {
    pub(super) fn new(config: &model::CircuitBreaker) -> Result<Self, LayerError> {
        let status = StatusCode::from_u16(config.response_code).ok();
        let or = |span: crate::config::duration::Span, unsaid| span.get().unwrap_or(unsaid);
        Ok(Self {
            condition: Predicate::parse(&config.expression, FUNCTIONS)?,
            check_period: or(config.check_period, Duration::from_millis(100)),
            fallback: or(config.fallback_duration, Duration::from_secs(10)),
            recovery: or(config.recovery_duration, Duration::from_secs(10)),
            status: status.ok_or(LayerError::Status(config.response_code))?,
            expression: config.expression.clone(),
            state: ArcSwap::from_pointee(Mutex::new(State::new())),
        })
    }

    /// Goes on as the same breaker was before a new configuration.
    pub(super) fn take_over(&self, before: &Self) {
        let times = |breaker: &Self| (breaker.check_period, breaker.fallback, breaker.recovery);
        if self.expression == before.expression && times(self) == times(before) {
            self.state.store(before.state.load_full());
        }
    }

    /// Whether a request goes through; an answer, if it does not.
    pub(crate) fn admit(&self, now: Instant) -> Result<(), Reply> {
        let state = self.state.load();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.admits(now, self.recovery) {
            return Ok(());
        }
        let reason = self.status.canonical_reason().unwrap_or_default();
        Err(Reply { body: Bytes::from_static(reason.as_bytes()), ..Reply::empty(self.status) })
    }

    fn note(&self, status: StatusCode, took: Duration, now: Instant) {
        let state = self.state.load();
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.record(status, took, now);
        if state.checked.is_some_and(|checked| now.duration_since(checked) < self.check_period) {
            return;
        }
        state.checked = Some(now);
        if matches!(state.phase, Phase::Tripped { .. })
            || !self.condition.holds(&|call| state.value(call, now))
        {
            return;
        }
        *state = State {
            phase: Phase::Tripped { until: now + self.fallback },
            checked: Some(now),
            ..State::new()
        };
    }
}

impl State {
    fn new() -> Self {
        Self { phase: Phase::Standby, checked: None, seconds: Vec::new(), spans: Vec::new() }
    }

    fn admits(&mut self, now: Instant, recovery: Duration) -> bool {
        if let Phase::Tripped { until } = self.phase {
            if now < until {
                return false;
            }
            self.phase = Phase::Recovering { since: now, until: now + recovery, allowed: 0, denied: 0 };
        }
        let Phase::Recovering { since, until, allowed, denied } = &mut self.phase else { return true };
        if now > *until {
            self.phase = Phase::Standby;
            return true;
        }
        // Half of all at the end: from there on as many go through as do not.
        let wanted = 0.5 * now.duration_since(*since).as_secs_f64() / recovery.as_secs_f64();
        let share = f64::from(*allowed + 1) / f64::from(*allowed + 1 + *denied);
        let admitted = share < wanted;
        *(if admitted { allowed } else { denied }) += 1;
        admitted
    }

    fn record(&mut self, status: StatusCode, took: Duration, now: Instant) {
        let fresh = |begin: &Instant, length: Duration| now.saturating_duration_since(*begin) < length;
        if !self.seconds.last().is_some_and(|(begin, _)| fresh(begin, Duration::from_secs(1))) {
            let window = Duration::from_secs(SECONDS_MAX as u64);
            self.seconds.retain(|(begin, _)| fresh(begin, window));
            self.seconds.push((now, Counts::default()));
        }
        if let Some((_, counts)) = self.seconds.last_mut() {
            counts.total += 1;
            let network = [StatusCode::BAD_GATEWAY, StatusCode::GATEWAY_TIMEOUT].contains(&status);
            counts.network_errors += u64::from(network);
            *counts.statuses.entry(status.as_u16()).or_default() += 1;
        }
        if !self.spans.last().is_some_and(|(begin, _)| fresh(begin, SPAN)) {
            let window = SPAN * u32::try_from(SPANS_MAX).unwrap_or(1);
            self.spans.retain(|(begin, _)| fresh(begin, window));
            self.spans.push((now, BTreeMap::new()));
        }
        if let Some((_, times)) = self.spans.last_mut() {
            *times.entry(step(took)).or_default() += 1;
        }
    }

    fn value(&self, call: &Call, now: Instant) -> Value {
        let window = Duration::from_secs(SECONDS_MAX as u64);
        let fresh = self.seconds.iter().filter(|(begin, _)| now.saturating_duration_since(*begin) < window);
        let sum = |of: &dyn Fn(&Counts) -> u64| fresh.clone().map(|(_, counts)| of(counts)).sum::<u64>();
        let between = |first: f64, last: f64| {
            let is = |status: u16| f64::from(status) >= first && f64::from(status) < last;
            sum(&|counts| {
                counts.statuses.iter().filter(|(status, _)| is(**status)).map(|(_, count)| count).sum()
            })
        };
        match (call.name, call.arguments.as_slice()) {
            ("NetworkErrorRatio", _) => {
                Value::Number(ratio(sum(&|counts| counts.network_errors), sum(&|counts| counts.total)))
            }
            ("ResponseCodeRatio", [a, b, c, d]) => Value::Number(ratio(between(*a, *b), between(*c, *d))),
            ("LatencyAtQuantileMS", [quantile]) => Value::Number(self.latency(*quantile)),
            ("RequestThreshold", [least]) => Value::Truth(number(sum(&|counts| counts.total)) >= *least),
            _ => Value::Truth(false),
        }
    }

    /// Milliseconds that so many of a hundred requests took at most.
    fn latency(&self, quantile: f64) -> f64 {
        let mut all: BTreeMap<u32, u64> = BTreeMap::new();
        for (step, count) in self.spans.iter().flat_map(|(_, times)| times) {
            *all.entry(*step).or_default() += count;
        }
        let wanted = number(all.values().sum()) * quantile / 100.0;
        let mut seen = 0;
        for (step, count) in all {
            seen += count;
            if number(seen) >= wanted {
                return (f64::from(step) / f64::from(STEPS)).exp2() / 1_000.0;
            }
        }
        0.0
    }
}

/// A time as the logarithm of its microseconds, in steps.
fn step(took: Duration) -> u32 {
    let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX).max(1);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a logarithm of a number from 1 to 2^32, in sixteenths, is from 0 to 512"
    )]
    let step = (f64::from(microseconds).log2() * f64::from(STEPS)).round() as u32;
    step
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

#[expect(clippy::cast_precision_loss, reason = "counts of requests of a minute")]
fn number(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::duration::Span;

    fn breaker(expression: &str) -> Breaker {
        let config = model::CircuitBreaker {
            expression: expression.to_owned(),
            fallback_duration: Span::seconds(10),
            recovery_duration: Span::seconds(10),
            ..Default::default()
        };
        Breaker::new(&config).expect("a breaker")
    }

    #[test]
    fn the_same_breaker_stays_open() {
        let now = Instant::now();
        for (expression, expected) in
            [("NetworkErrorRatio() > 0.5", false), ("NetworkErrorRatio() > 0.6", true)]
        {
            let breaker = |expression: &str| {
                let config = model::CircuitBreaker {
                    expression: expression.to_owned(),
                    response_code: 503,
                    ..Default::default()
                };
                Breaker::new(&config).expect("a layer")
            };
            let (before, after) = (breaker("NetworkErrorRatio() > 0.5"), breaker(expression));
            before.note(StatusCode::BAD_GATEWAY, Duration::ZERO, now);
            assert!(before.admit(now).is_err());
            after.take_over(&before);
            assert_eq!(after.admit(now).is_ok(), expected, "{expression}");
        }
    }

    #[test]
    fn conditions_trip() {
        let start = Instant::now();
        for (expression, status, took, trips) in [
            ("NetworkErrorRatio() > 0.5", 502, 1, true),
            ("NetworkErrorRatio() > 0.5", 500, 1, false),
            ("ResponseCodeRatio(500, 600, 0, 600) > 0.25", 500, 1, true),
            ("ResponseCodeRatio(500, 600, 0, 600) > 0.25", 404, 1, false),
            ("LatencyAtQuantileMS(50.0) > 100", 200, 120, true),
            ("LatencyAtQuantileMS(50.0) > 100", 200, 90, false),
            ("RequestThreshold(5) && NetworkErrorRatio() > 0.5", 502, 1, true),
            ("RequestThreshold(50) && NetworkErrorRatio() > 0.5", 502, 1, false),
        ] {
            let breaker = breaker(expression);
            for count in 0..10 {
                let status = StatusCode::from_u16(status).expect("a status");
                breaker.note(status, Duration::from_millis(took), start + Duration::from_millis(200 * count));
            }
            let refused = breaker.admit(start + Duration::from_secs(2)).is_err();
            assert_eq!(refused, trips, "{expression} {status} {took}");
        }
    }

    #[test]
    fn a_service_recovers_little_by_little() {
        let (breaker, start) = (breaker("NetworkErrorRatio() > 0.5"), Instant::now());
        let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
        breaker.note(StatusCode::BAD_GATEWAY, Duration::ZERO, start);
        let refused = breaker.admit(at(9.0)).expect_err("refused");
        assert_eq!(
            (refused.status, &refused.body[..]),
            (StatusCode::SERVICE_UNAVAILABLE, &b"Service Unavailable"[..])
        );
        let admitted = |from: f64| {
            (0..100).filter(|step| breaker.admit(at(from + f64::from(*step) / 100.0)).is_ok()).count()
        };
        let (first, last) = (admitted(10.1), admitted(18.5));
        assert!(first < 10 && last > 30, "{first} {last}");
        assert_eq!(admitted(21.0), 100);
        for wrong in ["", "Nobody() > 1", "NetworkErrorRatio()"] {
            let config = model::CircuitBreaker { expression: wrong.to_owned(), ..Default::default() };
            assert!(Breaker::new(&config).is_err(), "{wrong}");
        }
    }
}
