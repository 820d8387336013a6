//! Whether a service may start, judged by the phases of the services it waits for.

use crate::{
    health::Verdict,
    phase::{Greeting, Phase},
};
use mesh_model::service::Condition;

/// A container that ended so many times in a row without lasting is taken for one that never will:
/// with the pauses between, some 25 seconds.
pub const CRASH_LOOP_STREAK: u32 = 9;

/// Whether a condition holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It does.
    Holds,
    /// Not yet.
    Waits,
    /// It cannot any more, and why, in words that follow the name of the service.
    Never(String),
}

/// Judges `condition` over all containers of one service. Of several containers all must fulfil it.
/// Where there is no container there is nothing to wait for that could come.
#[must_use]
pub fn judge<'a>(condition: Condition, phases: impl IntoIterator<Item = &'a Phase>) -> Standing {
    let mut all = None;
    for phase in phases {
        match judge_one(condition, phase) {
            Standing::Never(reason) => return Standing::Never(reason),
            Standing::Waits => all = Some(Standing::Waits),
            Standing::Holds => all = all.or(Some(Standing::Holds)),
        }
    }
    all.unwrap_or_else(|| Standing::Never("has no container".into()))
}

fn judge_one(condition: Condition, phase: &Phase) -> Standing {
    match phase {
        Phase::Failed { reason } => return Standing::Never(format!("could not be started: {reason}")),
        Phase::Blocked { reason } => return Standing::Never(format!("cannot start: {reason}")),
        Phase::Up { greeting: Greeting::Failed(reason), .. } => return Standing::Never(reason.clone()),
        Phase::Created | Phase::Held | Phase::Starting { .. } => return Standing::Waits,
        // Health can come while hooks run; whoever waits for the start alone waits for them too.
        Phase::Up { greeting: Greeting::Running, .. } if condition == Condition::ServiceStarted => {
            return Standing::Waits;
        }
        _ => {}
    }
    match (condition, phase) {
        (Condition::ServiceStarted, _) => Standing::Holds,
        (Condition::ServiceHealthy, Phase::Up { health, .. }) => match health.map(|health| health.verdict) {
            Some(Verdict::Healthy) => Standing::Holds,
            Some(Verdict::Starting) => Standing::Waits,
            Some(Verdict::Unhealthy) => Standing::Never("is unhealthy".into()),
            None => Standing::Never("has no health check".into()),
        },
        (Condition::ServiceHealthy, Phase::Exited { exit, .. }) => {
            Standing::Never(format!("exited with {}", exit.code))
        }
        (_, Phase::Backoff { restarts, exit, .. }) if restarts.streak >= CRASH_LOOP_STREAK => {
            Standing::Never(format!("keeps exiting with {}", exit.code))
        }
        (Condition::ServiceCompletedSuccessfully, Phase::Exited { exit, .. }) if exit.code == 0 => {
            Standing::Holds
        }
        (Condition::ServiceCompletedSuccessfully, Phase::Exited { exit, .. }) => {
            Standing::Never(format!("did not complete: it exited with {}", exit.code))
        }
        _ => Standing::Waits,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{health::Health, phase::Exit, restart::Restarts};
    use mesh_model::health::{HealthTest, Probe};
    use std::time::{Duration, Instant};

    fn up(verdict: Option<Verdict>) -> Phase {
        let probe = Probe {
            test: HealthTest::Shell(String::new()),
            interval: Duration::ZERO,
            timeout: Duration::ZERO,
            retries: 1,
            start_period: Duration::ZERO,
            start_interval: None,
        };
        let now = Instant::now();
        let health = verdict.map(|verdict| {
            let mut health = Health::new(now, now, &probe);
            health.verdict = verdict;
            health
        });
        Phase::Up {
            since: now,
            restarts: Restarts::default(),
            health,
            paused: false,
            greeting: Greeting::Done,
            leaving: None,
        }
    }

    fn ended(code: i32) -> Phase {
        Phase::Exited { exit: Exit { code, out_of_memory: false, at_unix_ms: 0 }, commanded: false }
    }

    fn check(condition: Condition, phases: &[Phase], want: &str) {
        let found = match judge(condition, phases) {
            Standing::Holds => "holds".to_owned(),
            Standing::Waits => "waits".to_owned(),
            Standing::Never(reason) => reason,
        };
        assert_eq!(found, want, "{condition:?} {phases:?}");
    }

    #[test]
    fn conditions_are_judged_by_phase() {
        use Condition::{ServiceCompletedSuccessfully as Completed, ServiceHealthy as Healthy};
        let started = Condition::ServiceStarted;
        for condition in [started, Healthy, Completed] {
            check(condition, &[], "has no container");
            check(condition, &[Phase::Held], "waits");
            let failed = Phase::Failed { reason: "port taken".into() };
            check(condition, &[failed], "could not be started: port taken");
        }
        check(started, &[up(None)], "holds");
        check(started, &[up(None), Phase::Held], "waits");
        check(started, &[ended(1)], "holds");
        for (greeting, want) in [
            (Greeting::Running, "waits"),
            (Greeting::Failed("post_start failed".into()), "post_start failed"),
        ] {
            let Phase::Up { since, restarts, health, paused, leaving, .. } = up(None) else { panic!() };
            check(started, &[Phase::Up { since, restarts, health, paused, greeting, leaving }], want);
        }
        check(Healthy, &[up(None)], "has no health check");
        check(Healthy, &[up(Some(Verdict::Starting))], "waits");
        check(Healthy, &[up(Some(Verdict::Healthy))], "holds");
        check(Healthy, &[up(Some(Verdict::Healthy)), up(Some(Verdict::Starting))], "waits");
        check(Healthy, &[up(Some(Verdict::Unhealthy))], "is unhealthy");
        check(Healthy, &[ended(3)], "exited with 3");
        check(Completed, &[up(None)], "waits");
        for (streak, want) in [(1, "waits"), (CRASH_LOOP_STREAK, "keeps exiting with 7")] {
            let restarts = Restarts { total: 20, streak };
            let exit = Exit { code: 7, out_of_memory: false, at_unix_ms: 0 };
            check(Healthy, &[Phase::Backoff { until: Instant::now(), restarts, exit }], want);
        }
        check(Completed, &[ended(0)], "holds");
        check(Completed, &[ended(0), ended(2)], "did not complete: it exited with 2");
    }
}
