//! How long a connection lasts: how many requests it brings, and for how long it may bring none.
//!
//! Pure bookkeeping beside a clock; whoever serves the connection asks [`Lasting::ends`] and does what it says.

use crate::config::statics::Transport;
use futures_util::{Stream, stream};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, sleep_until},
};

/// What is to be done with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    /// Nothing more is taken; what is under way is finished.
    Close,
    /// Somebody takes too long to read an answer.
    Cut,
}

/// The limits of a connection; none where nothing is configured.
#[derive(Debug, Clone, Copy)]
struct Limits {
    requests: Option<u64>,
    lasts: Option<Duration>,
    idle: Option<Duration>,
    answer: Option<Duration>,
}

/// What is known of a connection.
#[derive(Debug)]
pub(super) struct Lasting {
    limits: Limits,
    born: Instant,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    requests: u64,
    /// When those began that are under way, in that order.
    underway: VecDeque<(Instant, u64)>,
    idle_since: Instant,
}

/// A request that is under way, until its answer's last byte.
#[derive(Debug)]
pub(super) struct Underway {
    of: Arc<Lasting>,
    number: u64,
}

impl Lasting {
    pub(super) fn new(transport: &Transport) -> Arc<Self> {
        let now = Instant::now();
        let limits = Limits {
            requests: u64::try_from(transport.keep_alive_max_requests).ok().filter(|count| *count > 0),
            lasts: transport.keep_alive_max_time.get(),
            idle: transport.responding_timeouts.idle_timeout.get(),
            answer: transport.responding_timeouts.write_timeout.get(),
        };
        let state = State { requests: 0, underway: VecDeque::new(), idle_since: now };
        Arc::new(Self { limits, born: now, state: Mutex::new(state), changed: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begin(self: &Arc<Self>) -> Underway {
        let began = Instant::now();
        let mut state = self.state();
        state.requests += 1;
        let number = state.requests;
        state.underway.push_back((began, number));
        drop(state);
        // Only these two look at what begins; the others look at what ends.
        if self.limits.requests.is_some() || self.limits.answer.is_some() {
            self.changed.notify_one();
        }
        Underway { of: self.clone(), number }
    }

    /// Whether it has brought as many requests as it may.
    pub(super) fn is_spent(&self) -> bool {
        self.limits.requests.is_some_and(|most| self.state().requests >= most)
    }

    /// What is to be done now, or when to ask again.
    fn verdict(&self, now: Instant) -> Result<Over, Option<Instant>> {
        let state = self.state();
        if self.limits.requests.is_some_and(|most| state.requests >= most) {
            return Ok(Over::Close);
        }
        let oldest = state.underway.front().map(|(began, _)| *began);
        // With a request under way the question is asked again later, so that nobody has to tell of its end.
        let idle_from = if oldest.is_none() { state.idle_since } else { now };
        let due = [
            (self.limits.lasts.map(|span| self.born + span), Over::Close),
            (self.limits.idle.map(|span| idle_from + span), Over::Close),
            (oldest.zip(self.limits.answer).map(|(began, span)| began + span), Over::Cut),
        ];
        let due = due.iter().filter_map(|(at, over)| at.map(|at| (at, *over))).min_by_key(|(at, _)| *at);
        match due {
            Some((at, over)) if at <= now => Ok(over),
            Some((at, _)) => Err(Some(at)),
            None => Err(None),
        }
    }

    /// What is to be done with the connection, one after the other: it is closed, at the latest when all is to stop, and
    /// cut if somebody takes too long to read even then.
    pub(super) fn ends(self: &Arc<Self>, stop: watch::Receiver<bool>) -> impl Stream<Item = Over> + use<> {
        let lasting = self.clone();
        stream::unfold((stop, false), move |(mut stop, closing)| {
            let lasting = lasting.clone();
            async move {
                let over = match closing {
                    true => lasting.late().await,
                    false => tokio::select! {
                        _ = stop.wait_for(|stop| *stop) => Over::Close,
                        over = lasting.over() => over,
                    },
                };
                Some((over, (stop, true)))
            }
        })
    }

    /// Waits until the last answers of a connection that is being closed have had their time, and what is left of those
    /// that are over as much again.
    async fn late(&self) -> Over {
        let closing = Instant::now();
        let Some(span) = self.limits.answer else { return std::future::pending().await };
        loop {
            let changed = self.changed.notified();
            let at = self.late_at(closing, span);
            if at <= Instant::now() {
                return Over::Cut;
            }
            tokio::select! {
                () = changed => {}
                () = sleep_until(at) => {}
            }
        }
    }

    fn late_at(&self, closing: Instant, span: Duration) -> Instant {
        let state = self.state();
        match state.underway.front() {
            Some((began, _)) => *began + span,
            None => state.idle_since.max(closing) + span,
        }
    }

    /// Waits until something is to be done.
    async fn over(&self) -> Over {
        loop {
            let changed = self.changed.notified();
            match self.verdict(Instant::now()) {
                Ok(over) => return over,
                Err(None) => changed.await,
                Err(Some(at)) => tokio::select! {
                    () = changed => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }
}

impl Drop for Underway {
    fn drop(&mut self) {
        let mut state = self.of.state();
        // They begin one after the other: so their numbers are in order.
        if let Ok(at) = state.underway.binary_search_by_key(&self.number, |(_, number)| *number) {
            state.underway.remove(at);
        }
        let idle = state.underway.is_empty();
        if idle {
            state.idle_since = Instant::now();
        }
        drop(state);
        // A deadline that has moved further away is found out when the old one comes.
        if idle && self.of.limits.answer.is_some() {
            self.of.changed.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{duration::Span, statics::RespondingTimeouts};
    use futures_util::{FutureExt as _, StreamExt as _};

    fn transport(requests: i64, lasts: i64, idle: i64, answer: i64) -> Transport {
        Transport {
            keep_alive_max_requests: requests,
            keep_alive_max_time: Span::seconds(lasts),
            responding_timeouts: RespondingTimeouts {
                idle_timeout: Span::seconds(idle),
                write_timeout: Span::seconds(answer),
                ..RespondingTimeouts::default()
            },
            ..Transport::default()
        }
    }

    #[test]
    fn connections_last_as_long_as_they_may() {
        let none = Lasting::new(&transport(0, 0, 0, 0));
        assert_eq!(none.verdict(none.born + Duration::from_secs(1_000_000)), Err(None));

        let counted = Lasting::new(&transport(2, 0, 0, 0));
        let first = counted.begin();
        assert_eq!(counted.verdict(counted.born), Err(None));
        drop((first, counted.begin()));
        assert_eq!(counted.verdict(counted.born), Ok(Over::Close));

        let limited = Lasting::new(&transport(0, 60, 10, 5));
        let at = |count| limited.born + Duration::from_secs(count);
        assert_eq!(limited.verdict(at(0)), Err(Some(at(10))));
        assert_eq!(limited.verdict(at(10)), Ok(Over::Close));
        let underway = limited.begin();
        let due = limited.state().underway[0].0 + Duration::from_secs(5);
        assert_eq!(limited.verdict(at(0)), Err(Some(due)));
        assert_eq!(limited.verdict(due), Ok(Over::Cut));
        let again = Lasting::new(&transport(0, 0, 10, 0));
        let long = again.begin();
        let later = again.born + Duration::from_secs(30);
        assert_eq!(again.verdict(later), Err(Some(later + Duration::from_secs(10))));
        drop(long);
        assert_eq!(again.verdict(later), Ok(Over::Close));
        drop(underway);
        let idle_since = limited.state().idle_since;
        assert_eq!(limited.verdict(at(1)), Err(Some(idle_since + Duration::from_secs(10))));
        assert_eq!(limited.verdict(at(60)), Ok(Over::Close));
    }

    #[test]
    fn what_is_closed_is_cut_in_time() {
        let lasting = Lasting::new(&transport(1, 0, 0, 5));
        let span = Duration::from_secs(5);
        let at = |count| lasting.born + Duration::from_secs(count);
        let underway = lasting.begin();
        let began = lasting.state().underway[0].0;
        assert_eq!(lasting.verdict(began + span), Ok(Over::Close));
        assert_eq!(lasting.late_at(at(3), span), began + span, "an answer has its time from its request on");
        drop(underway);
        assert_eq!(lasting.late_at(at(3), span), at(8), "what is left of it has as much");
        lasting.state().idle_since = at(4);
        assert_eq!(lasting.late_at(at(3), span), at(9));
    }

    #[tokio::test]
    async fn whoever_reads_too_slowly_is_cut_after_the_last_answer_too() {
        for (answer, cut) in [(50, true), (0, false)] {
            let (stop, stopped) = watch::channel(false);
            let mut limits = transport(0, 0, 0, 0);
            limits.responding_timeouts.write_timeout = Span::milliseconds(answer);
            let lasting = Lasting::new(&limits);
            let mut ends = Box::pin(lasting.ends(stopped));
            stop.send(true).expect("somebody looks at it");
            assert_eq!(ends.next().await, Some(Over::Close));
            let _underway = lasting.begin();
            assert_eq!(ends.next().now_or_never(), None, "it has its time");
            if cut {
                let patience = Duration::from_secs(20);
                assert_eq!(tokio::time::timeout(patience, ends.next()).await, Ok(Some(Over::Cut)));
            }
        }
    }

    #[tokio::test]
    async fn whoever_waits_is_woken() {
        let limited = Lasting::new(&transport(1, 0, 0, 0));
        let waiting = tokio::spawn({
            let limited = limited.clone();
            async move { limited.over().await }
        });
        tokio::task::yield_now().await;
        drop(limited.begin());
        let patience = Duration::from_secs(20);
        let over = tokio::time::timeout(patience, waiting).await.expect("in time").expect("a verdict");
        assert_eq!(over, Over::Close);
        let mut short = transport(0, 0, 0, 0);
        short.responding_timeouts.idle_timeout = Span::milliseconds(5);
        let idle = Lasting::new(&short);
        assert_eq!(tokio::time::timeout(patience, idle.over()).await, Ok(Over::Close));
    }
}
