//! The phase of one container, and how events change it.

use crate::{
    health::{Health, Verdict},
    restart::{Restarts, allowed},
};
use mesh_model::{health::Probe, service::RestartPolicy};
use std::time::{Duration, Instant};

/// What the file says of a container's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Its health check.
    pub probe: Option<Probe>,
    /// Whether something runs in it once a command started it.
    pub post_start: bool,
    /// Whether something runs in it before a command stops it.
    pub pre_stop: bool,
}

/// How far the `post_start` hooks of a container are that a command started.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Greeting {
    /// There is none, or all ended well.
    #[default]
    Done,
    /// They run.
    Running,
    /// One failed, and why, in words.
    Failed(String),
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Exit code, or 128 and the signal's number.
    pub code: i32,
    /// The kernel killed something in it for want of memory.
    pub out_of_memory: bool,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// Where a container is in its life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Phase {
    /// Made, and nobody wants it to run.
    Created,
    /// To be started as soon as its conditions hold.
    Held,
    /// Its process is being made.
    Starting {
        /// When that began.
        since: Instant,
        /// Restarts so far.
        restarts: Restarts,
    },
    /// Its process runs.
    Up {
        /// Since when.
        since: Instant,
        /// Restarts so far.
        restarts: Restarts,
        /// Its health, where it has a check.
        health: Option<Health>,
        /// Frozen by a command; probes wait.
        paused: bool,
        /// What runs in it after its start.
        greeting: Greeting,
        /// A command ends it, and its `pre_stop` hooks run before that.
        leaving: Option<StopOrder>,
    },
    /// It ended and is started again later.
    Backoff {
        /// When.
        until: Instant,
        /// Restarts so far, with this one.
        restarts: Restarts,
        /// How it ended.
        exit: Exit,
    },
    /// A command ends it.
    Stopping {
        /// When it is killed, or killed again.
        kill_at: Instant,
        /// The process was still being made when the command came.
        unborn: Option<StopOrder>,
    },
    /// Its process ended and no policy starts it again.
    Exited {
        /// How.
        exit: Exit,
        /// A command ended it.
        commanded: bool,
    },
    /// It could not be started.
    Failed {
        /// Why, in words.
        reason: String,
    },
    /// A condition it waited for can no longer hold.
    Blocked {
        /// Why, in words.
        reason: String,
    },
}

/// How a command ends a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StopOrder {
    /// The signal that asks it to.
    pub signal: i32,
    /// Time between that signal and the kill.
    pub grace: Duration,
    /// Whether its `pre_stop` hooks run before.
    pub hooks: bool,
}

/// What happens to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A command wants it to run once its conditions hold.
    Hold,
    /// The command that wanted it to run was given up.
    Release,
    /// Its conditions hold.
    Clear,
    /// A condition can no longer hold.
    Block(String),
    /// Its process was executed.
    Started,
    /// Its `post_start` hooks ended: well, or with a reason in words.
    Greeted(Result<(), String>),
    /// Its `pre_stop` hooks ended: well, or with a reason in words, and then it is not stopped.
    TakenLeave(Result<(), String>),
    /// Its process could not be executed.
    StartFailed(String),
    /// It runs already, since `since`; told once by a new supervisor.
    Adopted {
        /// Since when.
        since: Instant,
        /// Frozen.
        paused: bool,
    },
    /// It was found ended by a new supervisor; `stopped`: a command of an earlier one did it.
    AdoptedExited {
        /// How it ended.
        exit: Exit,
        /// A command stopped it.
        stopped: bool,
    },
    /// Its process ended.
    Exited(Exit),
    /// A probe ended.
    Probed {
        /// Whether it passed.
        passed: bool,
        /// Time it took.
        took: Duration,
    },
    /// A command ends it.
    Stop(StopOrder),
    /// It was frozen.
    Paused,
    /// It was thawed.
    Unpaused,
    /// Time passed; to be told when [`Phase::deadline`] is reached, harmless otherwise.
    Tick,
}

/// What the caller is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the process, and tell [`Event::Started`] or [`Event::StartFailed`].
    Start,
    /// Run one health test, and tell [`Event::Probed`].
    Probe,
    /// Run the `post_start` hooks, and tell [`Event::Greeted`].
    Greet,
    /// Run the `pre_stop` hooks, and tell [`Event::TakenLeave`].
    TakeLeave,
    /// Let a frozen container run, so that it can act on the signal that follows.
    Thaw,
    /// Send a signal.
    Signal(i32),
    /// Kill every process of it.
    Kill,
}

/// Time after which a kill that did not end a container is repeated.
pub const KILL_AGAIN_AFTER: Duration = Duration::from_secs(2);

impl Phase {
    /// When [`Event::Tick`] is due; `None`: never, as things are.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Up { health: Some(health), paused: false, .. } => health.due(),
            Self::Backoff { until, .. } => Some(*until),
            Self::Stopping { kill_at, unborn: None } => Some(*kill_at),
            _ => None,
        }
    }

    /// Verdict on its health; `None` where it has no check or does not run.
    #[must_use]
    pub fn verdict(&self) -> Option<Verdict> {
        match self {
            Self::Up { health, .. } => health.map(|health| health.verdict),
            _ => None,
        }
    }

    /// Whether a process of it may exist.
    #[must_use]
    pub fn alive(&self) -> bool {
        matches!(self, Self::Starting { .. } | Self::Up { .. } | Self::Stopping { .. })
    }

    /// Restarts so far, as far as its phase knows.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        match self {
            Self::Starting { restarts, .. } | Self::Up { restarts, .. } | Self::Backoff { restarts, .. } => {
                restarts.total
            }
            _ => 0,
        }
    }
}

/// The phase after `event`, and what is to be done. An event that means nothing in a phase (a probe
/// that ended after its container did) changes nothing.
#[must_use]
pub fn step(phase: Phase, event: Event, now: Instant, policy: &Policy) -> (Phase, Vec<Effect>) {
    match event {
        Event::Tick => tick(phase, now),
        Event::Exited(exit) => (exited(phase, exit, now, policy), Vec::new()),
        Event::Stop(order) => stop(phase, order, now, policy),
        Event::Hold => hold(phase),
        Event::Started => started(phase, now, policy),
        Event::Adopted { since, paused } => (up(since, now, Restarts::default(), policy, paused), Vec::new()),
        Event::TakenLeave(result) => taken_leave(phase, result, now),
        Event::AdoptedExited { exit, stopped } if !stopped => {
            (after_exit(exit, Restarts::default(), Duration::ZERO, now, policy), Vec::new())
        }
        Event::AdoptedExited { exit, .. } => (Phase::Exited { exit, commanded: true }, Vec::new()),
        Event::Clear if phase == Phase::Held => {
            (Phase::Starting { since: now, restarts: Restarts::default() }, vec![Effect::Start])
        }
        event => (simple(phase, event, now, policy), Vec::new()),
    }
}

fn simple(phase: Phase, event: Event, now: Instant, policy: &Policy) -> Phase {
    match (phase, event) {
        (Phase::Held, Event::Release) => Phase::Created,
        (Phase::Held, Event::Block(reason)) => Phase::Blocked { reason },
        (Phase::Starting { restarts, .. }, Event::StartFailed(reason)) => {
            let again = Exit { code: 128, out_of_memory: false, at_unix_ms: 0 };
            if restarts.total > 0 && allowed(policy.restart, again.code, restarts) {
                after_exit(again, restarts, Duration::ZERO, now, policy)
            } else {
                Phase::Failed { reason }
            }
        }
        (Phase::Stopping { unborn: Some(_), .. }, Event::StartFailed(_)) => Phase::Created,
        (
            Phase::Up { since, restarts, health: Some(health), paused, greeting, leaving },
            Event::Probed { passed, took },
        ) => {
            let health = policy.probe.as_ref().map(|probe| match paused {
                true => health,
                false => health.probed(passed, took, now, probe),
            });
            Phase::Up { since, restarts, health, paused, greeting, leaving }
        }
        (
            Phase::Up { since, restarts, health, paused, greeting: Greeting::Running, leaving },
            Event::Greeted(result),
        ) => {
            let greeting = result.map_or_else(Greeting::Failed, |()| Greeting::Done);
            Phase::Up { since, restarts, health, paused, greeting, leaving }
        }
        (Phase::Up { since, restarts, health, greeting, leaving, .. }, Event::Paused) => {
            Phase::Up { since, restarts, health, paused: true, greeting, leaving }
        }
        (Phase::Up { since, restarts, health, greeting, leaving, .. }, Event::Unpaused) => {
            let health = health.map(|health| health.resumed(now));
            Phase::Up { since, restarts, health, paused: false, greeting, leaving }
        }
        (phase, _) => phase,
    }
}

/// A command wants it to run. One that runs, and whose hooks failed, is given them once more.
fn hold(phase: Phase) -> (Phase, Vec<Effect>) {
    match phase {
        Phase::Created
        | Phase::Exited { .. }
        | Phase::Failed { .. }
        | Phase::Blocked { .. }
        | Phase::Backoff { .. } => (Phase::Held, Vec::new()),
        Phase::Up { since, restarts, health, paused, greeting: Greeting::Failed(_), leaving } => {
            let greeting = Greeting::Running;
            (Phase::Up { since, restarts, health, paused, greeting, leaving }, vec![Effect::Greet])
        }
        phase => (phase, Vec::new()),
    }
}

fn started(phase: Phase, now: Instant, policy: &Policy) -> (Phase, Vec<Effect>) {
    match phase {
        // What a policy starts again is not greeted: no command asked for it.
        Phase::Starting { restarts, .. } if policy.post_start && restarts.total == 0 => {
            let health = policy.probe.as_ref().map(|probe| Health::new(now, now, probe));
            let greeting = Greeting::Running;
            let phase = Phase::Up { since: now, restarts, health, paused: false, greeting, leaving: None };
            (phase, vec![Effect::Greet])
        }
        Phase::Starting { restarts, .. } => (up(now, now, restarts, policy, false), Vec::new()),
        Phase::Stopping { unborn: Some(order), .. } => {
            let kill_at = now + order.grace;
            (Phase::Stopping { kill_at, unborn: None }, vec![Effect::Signal(order.signal)])
        }
        phase => (phase, Vec::new()),
    }
}

fn up(since: Instant, now: Instant, restarts: Restarts, policy: &Policy, paused: bool) -> Phase {
    let health = policy.probe.as_ref().map(|probe| Health::new(since, now, probe));
    Phase::Up { since, restarts, health, paused, greeting: Greeting::Done, leaving: None }
}

/// The hooks before the stop ended. Where one failed the container goes on as it was.
fn taken_leave(phase: Phase, result: Result<(), String>, now: Instant) -> (Phase, Vec<Effect>) {
    match phase {
        Phase::Up { leaving: Some(order), paused, .. } if result.is_ok() => end(order, paused, now),
        Phase::Up { since, restarts, health, paused, greeting, leaving: Some(_) } => {
            (Phase::Up { since, restarts, health, paused, greeting, leaving: None }, Vec::new())
        }
        phase => (phase, Vec::new()),
    }
}

/// A process is asked to end.
fn end(order: StopOrder, paused: bool, now: Instant) -> (Phase, Vec<Effect>) {
    let signal = Effect::Signal(order.signal);
    let effects = if paused { vec![Effect::Thaw, signal] } else { vec![signal] };
    (Phase::Stopping { kill_at: now + order.grace, unborn: None }, effects)
}

fn exited(phase: Phase, exit: Exit, now: Instant, policy: &Policy) -> Phase {
    match phase {
        Phase::Starting { restarts, .. } => after_exit(exit, restarts, Duration::ZERO, now, policy),
        Phase::Up { leaving: Some(_), .. } => Phase::Exited { exit, commanded: true },
        Phase::Up { since, restarts, .. } => {
            after_exit(exit, restarts, now.saturating_duration_since(since), now, policy)
        }
        Phase::Stopping { .. } => Phase::Exited { exit, commanded: true },
        phase => phase,
    }
}

fn after_exit(exit: Exit, restarts: Restarts, ran: Duration, now: Instant, policy: &Policy) -> Phase {
    if !allowed(policy.restart, exit.code, restarts) {
        return Phase::Exited { exit, commanded: false };
    }
    let restarts = restarts.after(ran);
    Phase::Backoff { until: now + restarts.pause(), restarts, exit }
}

fn stop(phase: Phase, order: StopOrder, now: Instant, policy: &Policy) -> (Phase, Vec<Effect>) {
    let kill_at = now + order.grace;
    match phase {
        Phase::Held => (Phase::Created, Vec::new()),
        Phase::Starting { .. } => (Phase::Stopping { kill_at, unborn: Some(order) }, Vec::new()),
        Phase::Up { since, restarts, health, paused, greeting, leaving }
            if order.hooks && policy.pre_stop =>
        {
            // They run already where another command came before; this one's wish counts for the end.
            let effects = match (leaving, paused) {
                (Some(_), _) => Vec::new(),
                (None, true) => vec![Effect::Thaw, Effect::TakeLeave],
                (None, false) => vec![Effect::TakeLeave],
            };
            let leaving = Some(order);
            (Phase::Up { since, restarts, health, paused: false, greeting, leaving }, effects)
        }
        Phase::Up { paused, .. } => end(order, paused, now),
        Phase::Backoff { exit, .. } => (Phase::Exited { exit, commanded: true }, Vec::new()),
        Phase::Stopping { unborn: Some(_), .. } => {
            (Phase::Stopping { kill_at, unborn: Some(order) }, Vec::new())
        }
        // A second, more hurried command shortens the wait; it never lengthens it.
        Phase::Stopping { kill_at: earlier, unborn: None } => {
            let kill_at = earlier.min(now + order.grace);
            (Phase::Stopping { kill_at, unborn: None }, vec![Effect::Signal(order.signal)])
        }
        Phase::Exited { exit, .. } => (Phase::Exited { exit, commanded: true }, Vec::new()),
        phase => (phase, Vec::new()),
    }
}

fn tick(phase: Phase, now: Instant) -> (Phase, Vec<Effect>) {
    if phase.deadline().is_none_or(|deadline| deadline > now) {
        return (phase, Vec::new());
    }
    match phase {
        Phase::Up { since, restarts, health, paused, greeting, leaving } => {
            let health = health.map(Health::probing);
            (Phase::Up { since, restarts, health, paused, greeting, leaving }, vec![Effect::Probe])
        }
        Phase::Backoff { restarts, .. } => (Phase::Starting { since: now, restarts }, vec![Effect::Start]),
        Phase::Stopping { unborn, .. } => {
            (Phase::Stopping { kill_at: now + KILL_AGAIN_AFTER, unborn }, vec![Effect::Kill])
        }
        phase => (phase, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::health::HealthTest;

    const ORDER: StopOrder = StopOrder { signal: 15, grace: Duration::from_secs(10), hooks: true };

    fn policy(restart: RestartPolicy) -> Policy {
        Policy { restart, probe: None, post_start: false, pre_stop: false }
    }

    fn exit(code: i32) -> Exit {
        Exit { code, out_of_memory: false, at_unix_ms: 1 }
    }

    /// Feeds events, one a second; gives the last phase's name and all effects.
    fn check(policy: &Policy, events: &[Event], want: &str, effects: &[Effect]) {
        let mut now = Instant::now();
        let (mut phase, mut found) = (Phase::Created, Vec::new());
        for event in events {
            let (next, more) = step(phase, event.clone(), now, policy);
            phase = next;
            found.extend(more);
            now += Duration::from_secs(1);
        }
        assert!(format!("{phase:?}").starts_with(want), "{events:?}: {phase:?}, not {want}");
        assert_eq!(found, effects, "{events:?}");
    }

    #[test]
    fn a_life_goes_through_its_phases() {
        use Event::{Clear, Exited, Hold, Release, StartFailed, Started, Stop, Tick};
        let start = [Hold, Clear, Started];
        let with = |more: &[Event]| [&start, more].concat();
        let no = policy(RestartPolicy::No);
        let always = policy(RestartPolicy::Always);
        let twice = policy(RestartPolicy::OnFailure { max_attempts: Some(1) });
        check(&no, &[Hold, Release], "Created", &[]);
        check(&no, &[Clear], "Created", &[]);
        check(&no, &[Hold, Event::Block("db exited".into()), Clear], "Blocked", &[]);
        check(&no, &start, "Up", &[Effect::Start]);
        check(&no, &[Hold, Clear, StartFailed("no such file".into())], "Failed", &[Effect::Start]);
        check(&no, &[Hold, Clear, Exited(exit(0)), Started], "Exited", &[Effect::Start]);
        check(&no, &with(&[Exited(exit(1)), Tick]), "Exited", &[Effect::Start]);
        let again = [Effect::Start, Effect::Start];
        check(&always, &with(&[Exited(exit(0)), Tick, Started]), "Up", &again);
        check(&twice, &with(&[Exited(exit(1)), Tick, Started, Exited(exit(1)), Tick]), "Exited", &again);
        check(&always, &with(&[Exited(exit(0)), Tick, StartFailed("busy".into())]), "Backoff", &again);
        check(&always, &with(&[Exited(exit(0)), Stop(ORDER), Tick]), "Exited", &[Effect::Start]);
        let stopped = [Effect::Start, Effect::Signal(15)];
        check(&always, &with(&[Stop(ORDER), Tick]), "Stopping", &stopped);
        check(&always, &with(&[Stop(ORDER), Exited(exit(137)), Tick]), "Exited", &stopped);
        check(&always, &[Hold, Clear, Stop(ORDER), Started], "Stopping", &stopped);
        check(&always, &[Hold, Stop(ORDER), Clear], "Created", &[]);
        let thawed = [Effect::Start, Effect::Thaw, Effect::Signal(15)];
        check(&no, &with(&[Event::Paused, Stop(ORDER)]), "Stopping", &thawed);
    }

    #[test]
    fn hooks_come_after_the_start_and_before_the_stop_of_a_command() {
        use Event::{Clear, Exited, Greeted, Hold, Started, Stop, TakenLeave, Tick};
        let policy = Policy {
            post_start: true,
            pre_stop: true,
            ..policy(RestartPolicy::OnFailure { max_attempts: None })
        };
        let start = [Hold, Clear, Started];
        let with = |more: &[Event]| [&start, more].concat();
        let greeted = [Effect::Start, Effect::Greet];
        check(&policy, &with(&[]), "Up", &greeted);
        check(&policy, &with(&[Greeted(Ok(()))]), "Up", &greeted);
        let failed = Greeted(Err("no".into()));
        check(&policy, &with(std::slice::from_ref(&failed)), "Up", &greeted);
        // The next command that wants it to run tries them again, a policy that starts it does not run them.
        let again = [Effect::Start, Effect::Greet, Effect::Greet];
        check(&policy, &with(&[failed, Hold, Greeted(Ok(())), Hold]), "Up", &again);
        let restarted = [Effect::Start, Effect::Greet, Effect::Start];
        check(&policy, &with(&[Exited(exit(1)), Tick, Started]), "Up", &restarted);
        let left = [Effect::Start, Effect::Greet, Effect::TakeLeave, Effect::Signal(15)];
        check(&policy, &with(&[Stop(ORDER)]), "Up", &left[..3]);
        check(&policy, &with(&[Stop(ORDER), Stop(ORDER)]), "Up", &left[..3]);
        check(&policy, &with(&[Stop(ORDER), TakenLeave(Ok(()))]), "Stopping", &left);
        check(&policy, &with(&[Stop(ORDER), TakenLeave(Err("no".into())), Tick]), "Up", &left[..3]);
        check(&policy, &with(&[Stop(ORDER), Exited(exit(1)), TakenLeave(Ok(()))]), "Exited", &left[..3]);
        let kill = Stop(StopOrder { signal: 9, grace: Duration::ZERO, hooks: false });
        let killed = [Effect::Start, Effect::Greet, Effect::TakeLeave, Effect::Signal(9)];
        check(&policy, &with(&[Stop(ORDER), kill, TakenLeave(Ok(()))]), "Stopping", &killed);
        let thawed = [Effect::Start, Effect::Greet, Effect::Thaw, Effect::TakeLeave];
        check(&policy, &with(&[Event::Paused, Stop(ORDER)]), "Up", &thawed);
    }

    #[test]
    fn a_deaf_process_is_killed_after_its_grace_and_again() {
        let policy = policy(RestartPolicy::No);
        let begun = Instant::now();
        let up = up(begun, begun, Restarts::default(), &policy, false);
        let (mut phase, _) = step(up, Event::Stop(ORDER), begun, &policy);
        assert_eq!(phase.deadline(), Some(begun + ORDER.grace));
        for (seconds, want) in [(9, vec![]), (10, vec![Effect::Kill]), (11, vec![]), (12, vec![Effect::Kill])]
        {
            let (next, effects) = step(phase, Event::Tick, begun + Duration::from_secs(seconds), &policy);
            assert_eq!(effects, want, "{seconds}");
            phase = next;
        }
        let hurried = StopOrder { grace: Duration::ZERO, ..ORDER };
        let now = begun + Duration::from_secs(13);
        let (phase, _) = step(phase, Event::Stop(hurried), now, &policy);
        assert_eq!(phase.deadline(), Some(now));
    }

    #[test]
    fn what_a_command_stopped_stays_stopped_when_it_is_found_again() {
        let policy = policy(RestartPolicy::Always);
        for (stopped, want) in [(true, "Exited"), (false, "Backoff")] {
            check(&policy, &[Event::AdoptedExited { exit: exit(0), stopped }], want, &[]);
        }
    }

    #[test]
    fn health_is_probed_while_it_runs_and_not_while_it_is_frozen() {
        let probe = Probe {
            test: HealthTest::Shell("true".into()),
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(30),
            retries: 3,
            start_period: Duration::ZERO,
            start_interval: None,
        };
        let policy = Policy { probe: Some(probe), ..policy(RestartPolicy::No) };
        let now = Instant::now();
        let phase = up(now, now, Restarts::default(), &policy, false);
        assert_eq!(phase.verdict(), Some(Verdict::Starting));
        let (phase, effects) = step(phase, Event::Tick, now, &policy);
        assert_eq!((effects, phase.deadline()), (vec![Effect::Probe], None));
        let passed = Event::Probed { passed: true, took: Duration::ZERO };
        let (phase, _) = step(phase, passed, now, &policy);
        assert_eq!(phase.verdict(), Some(Verdict::Healthy));
        let (phase, _) = step(phase, Event::Paused, now, &policy);
        assert_eq!(phase.deadline(), None);
        let (phase, _) = step(phase, Event::Unpaused, now, &policy);
        assert_eq!(phase.deadline(), Some(now));
    }
}
