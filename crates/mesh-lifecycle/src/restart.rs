//! When a container that ended is started again.

use mesh_model::service::RestartPolicy;
use std::time::Duration;

/// First pause before a restart.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
pub const BACKOFF_MAX: Duration = Duration::from_secs(60);
/// A container that ran so long starts again with the first pause.
pub const BACKOFF_RESET_AFTER: Duration = Duration::from_secs(10);

/// How often a container was started again since a command started it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restarts {
    /// All of them.
    pub total: u32,
    /// Those in a row that did not last [`BACKOFF_RESET_AFTER`]; gives the next pause.
    pub streak: u32,
}

impl Restarts {
    /// The count after one more restart of a container that ran for `ran`.
    #[must_use]
    pub fn after(self, ran: Duration) -> Self {
        let streak = if ran >= BACKOFF_RESET_AFTER { 0 } else { self.streak };
        Self { total: self.total.saturating_add(1), streak: streak.saturating_add(1) }
    }

    /// The pause before the restart that is counted last.
    #[must_use]
    pub fn pause(self) -> Duration {
        let doublings = self.streak.saturating_sub(1).min(16);
        (BACKOFF_FIRST * 2_u32.pow(doublings)).min(BACKOFF_MAX)
    }
}

/// Whether `policy` starts a container again that ended with `code` after `restarts` so far.
#[must_use]
pub fn allowed(policy: RestartPolicy, code: i32, restarts: Restarts) -> bool {
    match policy {
        RestartPolicy::No => false,
        RestartPolicy::Always | RestartPolicy::UnlessStopped => true,
        RestartPolicy::OnFailure { max_attempts } => {
            code != 0 && max_attempts.is_none_or(|max| restarts.total < max)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_a_minute_and_start_over_after_a_lasting_run() {
        let mut restarts = Restarts::default();
        let pauses: Vec<u64> = (0..12)
            .map(|_| {
                restarts = restarts.after(Duration::ZERO);
                u64::try_from(restarts.pause().as_millis()).unwrap()
            })
            .collect();
        let want = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600, 51_200, 60_000, 60_000];
        assert_eq!(pauses, want);
        assert_eq!(restarts.after(BACKOFF_RESET_AFTER).pause(), BACKOFF_FIRST);
        assert_eq!(restarts.after(BACKOFF_RESET_AFTER).total, 13);
    }

    #[test]
    fn policies_decide() {
        let on_failure = |max_attempts| RestartPolicy::OnFailure { max_attempts };
        for (policy, code, total, want) in [
            (RestartPolicy::No, 1, 0, false),
            (RestartPolicy::Always, 0, 99, true),
            (RestartPolicy::UnlessStopped, 1, 99, true),
            (on_failure(None), 1, 99, true),
            (on_failure(None), 0, 0, false),
            (on_failure(Some(2)), 1, 1, true),
            (on_failure(Some(2)), 1, 2, false),
        ] {
            assert_eq!(
                allowed(policy, code, Restarts { total, streak: 0 }),
                want,
                "{policy:?} {code} {total}"
            );
        }
    }
}
