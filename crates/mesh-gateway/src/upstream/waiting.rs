//! Connections that wait for a request.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many may wait, and how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) count: usize,
    /// How long those wait that are more than that. A server with more requests at a time than connections may wait
    /// would else lose one after nearly each answer, and get a new one with the next request.
    pub(super) surplus: Duration,
    pub(super) longest: Duration,
}

/// They are in the order in which they began to wait; who waited least is used first.
#[derive(Debug)]
pub(super) struct Waiting<C> {
    all: VecDeque<(Instant, C)>,
}

impl<C> Default for Waiting<C> {
    fn default() -> Self {
        Self { all: VecDeque::new() }
    }
}

impl<C> Waiting<C> {
    /// One that can be used; what is in its way ends.
    pub(super) fn take(&mut self, bounds: Bounds, is_free: impl Fn(&mut C) -> bool) -> Option<C> {
        while let Some((since, mut found)) = self.all.pop_back() {
            if since.elapsed() < bounds.longest && is_free(&mut found) {
                return Some(found);
            }
        }
        None
    }

    /// Lets one wait from `now` on.
    pub(super) fn keep(&mut self, bounds: Bounds, connection: C, now: Instant) {
        if self.all.len() >= bounds.count {
            if bounds.surplus.is_zero() {
                return;
            }
            self.trim(bounds, now);
        }
        self.all.push_back((now, connection));
    }

    /// Ends those that have waited long enough by `now`, or that are not free; how many are left.
    pub(super) fn sweep(&mut self, bounds: Bounds, now: Instant, is_free: impl Fn(&mut C) -> bool) -> usize {
        self.all.retain_mut(|(since, connection)| {
            now.saturating_duration_since(*since) < bounds.longest && is_free(connection)
        });
        self.trim(bounds, now);
        self.all.len()
    }

    pub(super) fn clear(&mut self) {
        self.all.clear();
    }

    /// Ends those of the surplus whose time is over.
    fn trim(&mut self, bounds: Bounds, now: Instant) {
        let over = |since: &Instant| now.saturating_duration_since(*since) >= bounds.surplus;
        while self.all.len() > bounds.count && self.all.front().is_some_and(|(since, _)| over(since)) {
            self.all.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds =
        Bounds { count: 2, surplus: Duration::from_secs(1), longest: Duration::from_secs(90) };

    fn left(waiting: &Waiting<u32>) -> Vec<u32> {
        waiting.all.iter().map(|(_, connection)| *connection).collect()
    }

    #[test]
    fn a_surplus_waits_shortly_and_the_oldest_of_it_goes() {
        let begin = Instant::now();
        let mut waiting = Waiting::default();
        (0..5).for_each(|connection| waiting.keep(BOUNDS, connection, begin));
        assert_eq!(waiting.sweep(BOUNDS, begin + Duration::from_millis(999), |_| true), 5);
        waiting.keep(BOUNDS, 5, begin + Duration::from_secs(1));
        assert_eq!(left(&waiting), [3, 4, 5], "there is room before one is added");
        assert_eq!(waiting.take(BOUNDS, |_| true), Some(5));
        assert_eq!(waiting.sweep(BOUNDS, begin + Duration::from_secs(2), |_| true), 2);
    }

    #[test]
    fn where_a_number_was_asked_for_there_is_no_surplus() {
        let strict = Bounds { surplus: Duration::ZERO, ..BOUNDS };
        let begin = Instant::now();
        let mut waiting = Waiting::default();
        (0..5).for_each(|connection| waiting.keep(strict, connection, begin));
        assert_eq!(left(&waiting), [0, 1]);
        let none = Bounds { count: 0, ..strict };
        let mut waiting = Waiting::default();
        waiting.keep(none, 1, begin);
        assert!(left(&waiting).is_empty());
    }

    #[test]
    fn what_has_ended_or_waited_too_long_is_not_used() {
        let begin = Instant::now();
        let mut waiting = Waiting::default();
        (0..3).for_each(|connection| waiting.keep(BOUNDS, connection, begin));
        assert_eq!(waiting.take(BOUNDS, |&mut connection| connection == 0), Some(0));
        waiting.keep(BOUNDS, 7, begin);
        assert_eq!(waiting.sweep(BOUNDS, begin + BOUNDS.longest, |_| true), 0);
    }
}
