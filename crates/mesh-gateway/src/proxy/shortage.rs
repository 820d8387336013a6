//! Connections that cannot be accepted because the machine has nothing left for them.
//!
//! Nobody spins on such an error: between two attempts there is a pause. That it began is told once, and how often it
//! failed when connections have been accepted again for a while.

use std::{
    io,
    time::{Duration, Instant},
};

/// How long nobody is accepted after the machine had nothing left for a connection.
const PAUSE: Duration = Duration::from_millis(50);
/// How long it has to go well until it is over.
const CALM: Duration = Duration::from_secs(1);

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Shortage {
    failures: u64,
    last: Option<Instant>,
}

impl Shortage {
    /// That a connection could not be accepted; how long to wait.
    pub(super) fn failed(&mut self, entry: &str, error: &io::Error) -> Duration {
        if is_of_one(error) {
            tracing::debug!(entry, %error, "a connection ended before it was accepted");
            return Duration::ZERO;
        }
        if self.note(Instant::now()) {
            tracing::error!(entry, %error, "connections cannot be accepted");
        }
        PAUSE
    }

    /// That one was.
    pub(super) fn accepted(&mut self, entry: &str) {
        if self.last.is_none() {
            return;
        }
        if let Some(failures) = self.over(Instant::now()) {
            tracing::warn!(entry, failures, "connections are accepted again");
        }
    }

    /// Whether it is news.
    fn note(&mut self, now: Instant) -> bool {
        self.failures += 1;
        self.last.replace(now).is_none()
    }

    /// How often it failed, if that is over.
    fn over(&mut self, now: Instant) -> Option<u64> {
        self.last.filter(|last| now.saturating_duration_since(*last) >= CALM)?;
        self.last = None;
        Some(std::mem::take(&mut self.failures))
    }
}

/// Whether an error is of the connection that would have been accepted, and says nothing of the next one.
fn is_of_one(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_once_until_it_is_over() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let mut shortage = Shortage::default();
        assert_eq!(shortage.over(at(0)), None);
        let news: Vec<bool> = (0..4).map(|time| shortage.note(at(time * 50))).collect();
        assert_eq!(news, [true, false, false, false]);
        assert_eq!(shortage.over(at(500)), None, "one was accepted between two that were not");
        assert!(!shortage.note(at(600)));
        assert_eq!(shortage.over(at(1_600)), Some(5));
        assert_eq!((shortage.over(at(9_000)), shortage.note(at(9_000))), (None, true));
    }

    #[test]
    fn what_one_client_does_keeps_nobody_waiting() {
        let wait = |code| Shortage::default().failed("web", &io::Error::from_raw_os_error(code));
        let codes = [rustix::io::Errno::CONNABORTED, rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
        let waits = codes.map(|code| wait(code.raw_os_error()));
        assert_eq!(waits, [Duration::ZERO, PAUSE, PAUSE]);
    }
}
