//! When the server gives memory back.
//!
//! What a start, an unsealing or a busy time needed stays with the process otherwise: memory that was freed in the middle
//! of other memory, and the program's own pages. It is given back once after the seal was opened or closed, and once at the
//! beginning of each quiet time after a busy one, so a server that nobody asks anything does nothing. Pure: the clock is
//! whoever calls once a second. Absent: what is under load; its bounds are those of caches, bodies and connections.

use std::sync::atomic::{AtomicBool, Ordering};

/// Requests of one second from which on it is busy: more than health checks and a page that looks at a vault make.
const BUSY_REQUESTS: u64 = 32;
/// Seconds without a busy one that make a quiet time.
const QUIET_SECONDS: u32 = 5;

/// What was seen until now.
#[derive(Debug)]
pub(crate) struct Rest {
    /// Requests since the start, as of the last second.
    requests: u64,
    sealed: bool,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Something was done since memory was given back; so many seconds have been quiet since.
    Used { quiet: u32 },
    /// Nothing to give back.
    Rested,
}

impl Rest {
    /// Of a server that has just started.
    pub(crate) fn new(sealed: bool) -> Self {
        Self { requests: 0, sealed, state: State::Used { quiet: 0 } }
    }

    /// Whether memory is to be given back in this second; `requests` is their number since the start.
    pub(crate) fn second(&mut self, requests: u64, sealed: bool) -> bool {
        let busy = requests.saturating_sub(self.requests) >= BUSY_REQUESTS;
        let changed = sealed != self.sealed;
        (self.requests, self.sealed) = (requests, sealed);
        let due = match self.state {
            State::Used { quiet } => changed || !busy && quiet + 1 >= QUIET_SECONDS,
            State::Rested => changed,
        };
        self.state = match (self.state, busy) {
            (_, true) => State::Used { quiet: 0 },
            (_, false) if due => State::Rested,
            (State::Used { quiet }, false) => State::Used { quiet: quiet + 1 },
            (State::Rested, false) => State::Rested,
        };
        due
    }
}

/// Gives it back, beside whatever else runs; nothing while the last time is not over.
pub(crate) fn give_back() {
    static RUNNING: AtomicBool = AtomicBool::new(false);
    if RUNNING.swap(true, Ordering::AcqRel) {
        return;
    }
    // Done or not, nothing depends on it.
    drop(tokio::task::spawn_blocking(|| {
        mesh_linux::process::release_free_memory();
        mesh_linux::process::release_program_pages();
        RUNNING.store(false, Ordering::Release);
    }));
}

#[cfg(test)]
mod tests {
    use super::{BUSY_REQUESTS, QUIET_SECONDS, Rest};

    /// Seconds, each with its requests and whether the vault was sealed, and after which of them memory is given back.
    fn check(seconds: &[(u64, bool)], expected: &[usize]) {
        let mut rest = Rest::new(true);
        let mut requests = 0;
        let due = seconds.iter().enumerate().filter_map(|(index, (more, sealed))| {
            requests += more;
            rest.second(requests, *sealed).then_some(index)
        });
        assert_eq!(due.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn once_after_what_was_done_and_never_for_a_trickle() {
        let quiet = QUIET_SECONDS as usize;
        let trickle = BUSY_REQUESTS - 1;
        check(&[(trickle, true); 60], &[quiet - 1]);
        let mut seconds = vec![(0, true); 60];
        seconds[20] = (BUSY_REQUESTS, true);
        seconds[22] = (100_000, true);
        check(&seconds, &[quiet - 1, 22 + quiet]);
        check(&[(BUSY_REQUESTS, true); 60], &[]);
    }

    #[test]
    fn at_once_when_the_seal_was_opened_or_closed() {
        let quiet = QUIET_SECONDS as usize;
        let mut seconds = vec![(0, false); 60];
        seconds[..10].fill((0, true));
        seconds[40..].fill((0, true));
        check(&seconds, &[quiet - 1, 10, 40]);
        // Under load too: most of what an unsealing needed is not needed again.
        check(&[(0, true), (1_000, false), (1_000, false)], &[1]);
    }
}
