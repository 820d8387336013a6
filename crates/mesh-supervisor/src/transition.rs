//! What a change of phase means to those who watch, and the facts that are noted with it.

use crate::container::{Container, Facts, unix_ms};
use mesh_lifecycle::{
    health::Verdict,
    phase::{Exit, Greeting, Phase},
};
use mesh_runtime::{exec::ProbeOutcome, observed::Started};
use std::sync::Arc;

/// What of a change of phase is worth telling.
#[derive(PartialEq, Eq)]
pub(crate) enum Transition {
    None,
    Phase,
    Health(Verdict),
}

impl Transition {
    pub(crate) fn of(before: &Phase, after: &Phase) -> Self {
        match (before.verdict(), after.verdict()) {
            (Some(old), Some(new)) if old != new => return Self::Health(new),
            _ => {}
        }
        let state = |phase: &Phase| match phase {
            Phase::Up { paused, greeting, leaving, .. } => (*paused, greeting.clone(), leaving.is_some()),
            _ => Default::default(),
        };
        let same = std::mem::discriminant(before) == std::mem::discriminant(after);
        if same && state(before) == state(after) { Self::None } else { Self::Phase }
    }
}

/// Notes what a start gave.
pub(crate) fn note_start(facts: &mut Facts, started: Started) {
    facts.pid = Some(started.pid);
    facts.started_unix_ms = Some(started.at_unix_ms);
    facts.addresses = Arc::new(started.addresses);
    facts.ports = Arc::new(started.ports);
    facts.lost = Arc::default();
    facts.start_error = None;
}

/// Notes what goes with the phase that a container came to from `before`.
pub(crate) fn note_transition(container: &mut Container, before: &Phase, now: std::time::Instant) {
    let facts = &mut container.facts;
    let since_ms = |since: std::time::Instant| {
        u64::try_from(now.saturating_duration_since(since).as_millis()).unwrap_or(u64::MAX)
    };
    match (&container.phase, before) {
        (Phase::Up { health: None, .. }, Phase::Starting { since, .. }) => {
            facts.ready_after_ms = Some(since_ms(*since));
        }
        (Phase::Up { since, health: Some(health), .. }, _)
            if health.verdict == Verdict::Healthy && facts.ready_after_ms.is_none() =>
        {
            facts.ready_after_ms = Some(since_ms(*since));
        }
        (Phase::Starting { .. }, _) => {
            facts.ready_after_ms = None;
            facts.probe = None;
        }
        _ => {}
    }
    if before.verdict() != container.phase.verdict() {
        facts.health_since_unix_ms = container.phase.verdict().map(|_| unix_ms());
    }
    facts.detail = match &container.phase {
        Phase::Failed { reason } | Phase::Blocked { reason } => Some(reason.clone()),
        Phase::Up { leaving: Some(_), .. } => Some("its pre_stop hooks run".to_owned()),
        Phase::Up { greeting: Greeting::Failed(reason), .. } => Some(reason.clone()),
        Phase::Up { greeting: Greeting::Running, .. } => Some("its post_start hooks run".to_owned()),
        Phase::Backoff { .. } => {
            facts.start_error.as_ref().map(|error| format!("could not be started: {}", error.reason))
        }
        Phase::Held => facts.detail.take(),
        _ => None,
    };
    facts.restarts = match &container.phase {
        Phase::Stopping { .. } | Phase::Exited { .. } => facts.restarts,
        phase => phase.restarts(),
    };
}

/// The ground's word for an end in that of the state machine.
pub(crate) fn lifecycle_exit(exit: mesh_runtime::events::Exit) -> Exit {
    Exit { code: exit.code, out_of_memory: exit.out_of_memory, at_unix_ms: exit.at_unix_ms }
}

/// Whether a health test says anything that the last one did not; the time it took is not it.
pub(crate) fn is_news(known: Option<&ProbeOutcome>, outcome: &ProbeOutcome) -> bool {
    known.is_none_or(|known| known.verdict != outcome.verdict || known.output != outcome.output)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_runtime::exec::Verdict;
    use std::time::Duration;

    #[test]
    fn a_verdict_is_news_whatever_the_output() {
        let outcome = |verdict, output: &str, took_ms| ProbeOutcome {
            verdict,
            output: output.to_owned(),
            took: Duration::from_millis(took_ms),
        };
        let known = outcome(Verdict::Passed, "", 1);
        assert!(is_news(None, &known));
        for (now, news) in [
            (outcome(Verdict::Passed, "", 9), false),
            (outcome(Verdict::Passed, "slow", 1), true),
            (outcome(Verdict::Failed(1), "", 1), true),
            (outcome(Verdict::TimedOut, "", 1), true),
        ] {
            assert_eq!(is_news(Some(&known), &now), news, "{now:?}");
        }
    }
}
