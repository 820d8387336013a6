//! Whether a client keeps its connection waiting, and for how long.
//!
//! A request under way is no silence, however long it takes: what it waits for has bounds of its own.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Stands for a request under way.
const BUSY: u64 = u64::MAX;

/// One of a connection that answers one request at a time.
#[derive(Debug)]
pub(super) struct Pulse {
    opened: Instant,
    /// Milliseconds from `opened` to the last answer.
    quiet_since: AtomicU64,
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct Busy<'a>(&'a Pulse);

impl Default for Pulse {
    fn default() -> Self {
        Self { opened: Instant::now(), quiet_since: AtomicU64::new(0) }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        let since = u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(BUSY - 1);
        self.0.quiet_since.store(since, Ordering::Relaxed);
    }
}

impl Pulse {
    /// A request begins.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.quiet_since.store(BUSY, Ordering::Relaxed);
        Busy(self)
    }

    /// Until the client has been silent for so long.
    pub(super) async fn silent_for(&self, limit: Duration) {
        loop {
            let since = self.quiet_since.load(Ordering::Relaxed);
            let end = match since {
                BUSY => Instant::now() + limit,
                since => self.opened + Duration::from_millis(since) + limit,
            };
            if end <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(end).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Pulse;
    use std::{pin::pin, time::Duration};

    #[tokio::test(start_paused = true)]
    async fn only_silence_counts() {
        let limit = Duration::from_secs(60);
        let pulse = Pulse::default();
        let mut silent = pin!(pulse.silent_for(limit));
        let mut over = async |after: u64| {
            tokio::select! {
                biased;
                () = silent.as_mut() => true,
                () = tokio::time::sleep(Duration::from_secs(after)) => false,
            }
        };
        assert!(!over(59).await);
        let busy = pulse.busy();
        assert!(!over(600).await, "a request under way is no silence");
        drop(busy);
        assert!(!over(59).await, "it begins with the answer");
        drop(pulse.busy());
        assert!(!over(59).await, "and anew with each");
        assert!(over(2).await);
    }
}
