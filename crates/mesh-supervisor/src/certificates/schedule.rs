//! When a certificate is renewed. Pure: times come in, times go out.

use mesh_tls::Facts;
use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    time::Duration,
};

/// Time after the first failure until the next attempt; doubled by each further one.
const PAUSE_FIRST: Duration = Duration::from_secs(10);
/// Longest time between two attempts.
const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// Part of the time before the end by which renewals are spread: that of many containers does not come at once.
const SPREAD_PART: u64 = 10;
/// The part of a certificate's life in which it is renewed where nothing else is said.
const LAST_PART: i64 = 3;

/// When a certificate is to be renewed, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// From then on.
    pub(crate) opens: i64,
    /// It has expired.
    pub(crate) closes: i64,
}

/// How a certificate stands in its window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing has to be done.
    Good,
    /// It is to be renewed.
    Due,
    /// It is too late.
    Expired,
}

impl Window {
    /// The last `before` of its life, or the last third. A new certificate is never in it: at most two thirds of a
    /// life are window, however short the life is.
    pub(crate) fn of(facts: &Facts, before: Option<Duration>) -> Self {
        let life = facts.until_unix_seconds.saturating_sub(facts.from_unix_seconds).max(0);
        let part = life / LAST_PART;
        let asked = before.map(|before| i64::try_from(before.as_secs()).unwrap_or(i64::MAX));
        let before = asked.map_or(part, |asked| asked.min(life - part));
        Self { opens: facts.until_unix_seconds.saturating_sub(before), closes: facts.until_unix_seconds }
    }

    /// How it stands at a moment.
    pub(crate) fn at(self, now: i64) -> Standing {
        match now {
            _ if now >= self.closes => Standing::Expired,
            _ if now >= self.opens => Standing::Due,
            _ => Standing::Good,
        }
    }

    /// When the one of `whose` is renewed: a while after the window opens, the same one each time.
    pub(crate) fn turn(self, whose: &str) -> i64 {
        let mut hasher = DefaultHasher::new();
        whose.hash(&mut hasher);
        let length = u64::try_from(self.closes.saturating_sub(self.opens)).unwrap_or_default();
        let spread = length / SPREAD_PART;
        let after = if spread == 0 { 0 } else { hasher.finish() % spread };
        self.opens.saturating_add(i64::try_from(after).unwrap_or_default())
    }
}

/// Time until the next attempt after so many that failed, with so many seconds left: the less is left, the sooner.
pub(crate) fn pause(failures: u32, left_seconds: i64) -> Duration {
    let doubled = PAUSE_FIRST.saturating_mul(1_u32 << failures.saturating_sub(1).min(16));
    let left = Duration::from_secs(u64::try_from(left_seconds).unwrap_or_default());
    let hurried = if left.is_zero() { PAUSE_MAX } else { (left / 4).max(PAUSE_FIRST) };
    doubled.min(PAUSE_MAX).min(hurried)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn facts(from: i64, until: i64) -> Facts {
        Facts {
            subject: String::new(),
            issuer: String::new(),
            names: Vec::new(),
            serial: String::new(),
            from_unix_seconds: from,
            until_unix_seconds: until,
        }
    }

    #[test]
    fn the_last_part_of_a_life_is_for_renewing() {
        let days = |days: u64| Some(Duration::from_secs(days * 86_400));
        for (life, before, want) in [
            (90 * DAY, None, 60 * DAY),
            (365 * DAY, days(30), 335 * DAY),
            // A new one is never due.
            (DAY, days(30), DAY / 3),
            (60, days(30), 20),
            (0, None, 0),
        ] {
            let window = Window::of(&facts(0, life), before);
            assert_eq!(window, Window { opens: want, closes: life }, "{life} {before:?}");
            assert!(life == 0 || window.at(0) == Standing::Good);
            let turn = window.turn("web-1");
            assert!((window.opens..=window.opens + life / 10).contains(&turn), "{turn}");
            assert_eq!(turn, window.turn("web-1"));
        }
        let window = Window { opens: 10, closes: 20 };
        for (now, want) in
            [(9, Standing::Good), (10, Standing::Due), (19, Standing::Due), (20, Standing::Expired)]
        {
            assert_eq!(window.at(now), want, "{now}");
        }
    }

    #[test]
    fn certificates_of_one_life_have_turns_of_their_own() {
        let window = Window { opens: 0, closes: 100 * DAY };
        let turns: std::collections::BTreeSet<i64> =
            (0..50).map(|number| window.turn(&format!("web-{number}"))).collect();
        assert!(turns.len() > 45, "{turns:?}");
    }

    #[test]
    fn attempts_grow_rarer_and_hurry_towards_the_end() {
        for (failures, left, want) in [
            (1, 30 * DAY, 10),
            (2, 30 * DAY, 20),
            (5, 30 * DAY, 160),
            (60, 30 * DAY, 3600),
            (60, 400, 100),
            (60, 8, 10),
            (3, 0, 40),
            (60, -5, 3600),
        ] {
            assert_eq!(pause(failures, left), Duration::from_secs(want), "{failures} {left}");
        }
    }
}
