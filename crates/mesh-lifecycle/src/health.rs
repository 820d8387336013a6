//! The health of a running container, probe by probe.
//!
//! Until the first success probes come quickly, because readiness is to be noticed when it is there
//! and not at the next interval: a cheap probe every [`GAP_FIRST`], a costly one less often, so that
//! probing takes at most a fifth of one CPU, and more slowly once [`QUICK_FOR`] has passed. Quick
//! probes that fail must not make a container unhealthy earlier than the file says, so failures count
//! only after the start period and then at the pace of the declared interval.

use mesh_model::health::Probe;
use std::time::{Duration, Instant};

/// Time between two probes right after the start.
pub const GAP_FIRST: Duration = Duration::from_millis(50);
/// Time after the start in which a cheap probe keeps that pace.
pub const QUICK_FOR: Duration = Duration::from_secs(30);
/// A probe is followed by a gap of at most so many times its own duration while it is quick.
const GAP_PER_DURATION: u32 = 4;

/// Verdict on a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No probe passed yet, and not too many failed.
    Starting,
    /// The last probe passed, or not enough failed since.
    Healthy,
    /// So many failed in a row.
    Unhealthy,
}

/// What is known of a container's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The verdict.
    pub verdict: Verdict,
    /// Counted failures in a row.
    pub failures: u32,
    /// Start of the process.
    started: Instant,
    /// Gap before the next quick probe.
    gap: Duration,
    /// Before the first success: from when on a failure counts.
    counts_from: Instant,
    /// When the next probe is due; `None` while one runs.
    due: Option<Instant>,
    /// Whether one ever passed.
    passed: bool,
}

impl Health {
    /// Health of a container whose process started at `started`; the first probe is due at once.
    #[must_use]
    pub fn new(started: Instant, now: Instant, probe: &Probe) -> Self {
        Self {
            verdict: Verdict::Starting,
            failures: 0,
            started,
            gap: GAP_FIRST,
            counts_from: now.max(started + probe.start_period) + probe.interval,
            due: Some(now),
            passed: false,
        }
    }

    /// When the next probe is due; `None` while one runs.
    #[must_use]
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// The same, with a probe under way.
    #[must_use]
    pub fn probing(self) -> Self {
        Self { due: None, ..self }
    }

    /// The same, with a probe due at once (after a pause).
    #[must_use]
    pub fn resumed(self, now: Instant) -> Self {
        Self { due: Some(now), ..self }
    }

    /// Health after a probe that ended `now` after `took`.
    #[must_use]
    pub fn probed(self, passed: bool, took: Duration, now: Instant, probe: &Probe) -> Self {
        if passed {
            let due = Some(now + probe.interval);
            return Self { verdict: Verdict::Healthy, failures: 0, passed: true, due, ..self };
        }
        let mut next = self;
        if self.passed || now >= self.counts_from {
            next.failures = self.failures.saturating_add(1);
            next.counts_from = now + probe.interval;
        }
        if next.failures >= probe.retries {
            next.verdict = Verdict::Unhealthy;
        }
        next.gap = self.next_gap(took, now, probe);
        let wait = if self.passed { probe.interval } else { self.gap };
        next.due = Some(now + wait);
        if !self.passed && next.counts_from > now {
            // A probe falls on the moment from which a failure counts.
            next.due = Some((now + wait).min(next.counts_from));
        }
        next
    }

    fn next_gap(&self, took: Duration, now: Instant, probe: &Probe) -> Duration {
        let age = now.saturating_duration_since(self.started);
        let in_start_period = age < probe.start_period;
        let longest = match probe.start_interval {
            Some(start_interval) if in_start_period => start_interval,
            _ => probe.interval,
        };
        let grown = self.gap.mul_f64(1.5);
        let gap = if age < QUICK_FOR { grown.min(took * GAP_PER_DURATION).max(GAP_FIRST) } else { grown };
        gap.min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::health::HealthTest;

    fn probe(interval: u64, retries: u32, start_period: u64) -> Probe {
        Probe {
            test: HealthTest::Shell("true".into()),
            interval: Duration::from_secs(interval),
            timeout: Duration::from_secs(5),
            retries,
            start_period: Duration::from_secs(start_period),
            start_interval: None,
        }
    }

    /// Runs probes that take `took_ms` and pass from `ready_ms` on; gives the time of the first
    /// verdict that is not `Starting`, in milliseconds, and the number of probes.
    fn check(probe: &Probe, took_ms: u64, ready_ms: u64) -> (Verdict, u64, u32) {
        let start = Instant::now();
        let mut health = Health::new(start, start, probe);
        for number in 1..10_000 {
            let begun = health.due().unwrap();
            health = health.probing();
            let now = begun + Duration::from_millis(took_ms);
            let passed = begun.duration_since(start).as_millis() >= u128::from(ready_ms);
            health = health.probed(passed, Duration::from_millis(took_ms), now, probe);
            if health.verdict != Verdict::Starting {
                let at = u64::try_from(now.duration_since(start).as_millis()).unwrap();
                return (health.verdict, at, number);
            }
        }
        panic!("no verdict");
    }

    #[test]
    fn readiness_is_noticed_within_a_tenth_of_a_second() {
        for ready_ms in [0, 1, 130, 900, 4_800, 20_000] {
            let (verdict, at, _) = check(&probe(30, 3, 0), 10, ready_ms);
            assert_eq!(verdict, Verdict::Healthy);
            assert!(at - ready_ms <= 100, "{ready_ms}: {at}");
        }
    }

    #[test]
    fn costly_probes_come_less_often() {
        let (_, _, probes) = check(&probe(30, 3, 60), 1_000, 25_000);
        assert!(probes <= 15, "{probes}");
    }

    #[test]
    fn a_container_is_not_unhealthy_before_the_file_says() {
        for (interval, retries, start_period) in [(30, 3, 0), (5, 1, 0), (2, 10, 40), (1, 3, 0), (600, 2, 0)]
        {
            let (verdict, at, _) = check(&probe(interval, retries, start_period), 0, u64::MAX);
            let want = 1_000 * (start_period + interval * u64::from(retries));
            assert_eq!(verdict, Verdict::Unhealthy);
            assert!((want..want + 500).contains(&at), "{interval} {retries} {start_period}: {at}");
        }
    }

    #[test]
    fn after_the_first_success_probes_keep_the_interval_and_failures_in_a_row_count() {
        let (probe, start) = (probe(10, 2, 60), Instant::now());
        let mut health = Health::new(start, start, &probe);
        let mut now = start;
        for (passed, want) in [
            (true, Verdict::Healthy),
            (false, Verdict::Healthy),
            (true, Verdict::Healthy),
            (false, Verdict::Healthy),
            (false, Verdict::Unhealthy),
            (false, Verdict::Unhealthy),
            (true, Verdict::Healthy),
        ] {
            health = health.probing().probed(passed, Duration::ZERO, now, &probe);
            assert_eq!(health.verdict, want);
            assert_eq!(health.due(), Some(now + probe.interval));
            now += probe.interval;
        }
    }
}
