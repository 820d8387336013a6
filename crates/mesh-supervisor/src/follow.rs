//! Following containers on their way to a goal, and telling each step.

use crate::{
    container::{Container, View},
    desk::{Desk, hung_up, interrupted},
    outlet::Outlet,
    said::{self, Listener},
    turn::Turn,
    words::refusal,
};
use mesh_api::message::{Action, ApiError, ErrorKind};
use mesh_lifecycle::{
    condition::CRASH_LOOP_STREAK,
    health::Verdict,
    phase::{Greeting, Phase},
};
use mesh_model::container::ContainerId;
use std::{collections::BTreeMap, time::Duration};
use tokio::time::{Instant, sleep_until};

/// Time that a container without health check must have run before it is called ready. Nothing else
/// tells a server that runs from a program that is about to fail over its configuration, and programs
/// fail early; half a second is also when `docker compose up --wait` first looks.
const SETTLE: Duration = Duration::from_millis(500);

/// Time in which others that fail are waited for once one has, so that they are told together; one that is just
/// being started is waited for longer.
const GATHER: Duration = Duration::from_millis(250);
const GATHER_MAX: Duration = Duration::from_secs(10);

/// How far containers are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Goal {
    /// The process was started.
    Started,
    /// It is healthy, runs without a check, or ended well.
    Ready,
}

/// Which containers are followed, and how far.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Aim<'a> {
    pub(crate) ids: &'a [ContainerId],
    /// Those among them that were not started now; of these only health is told.
    pub(crate) unchanged: &'a [ContainerId],
    pub(crate) goal: Goal,
    pub(crate) deadline: Option<Instant>,
}

impl<'a> Aim<'a> {
    /// All of them were started now.
    pub(crate) fn started(ids: &'a [ContainerId], goal: Goal) -> Self {
        Self { ids, unchanged: &[], goal, deadline: None }
    }
}

/// Where a container is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Reached,
    Pending,
    Failed,
}

/// Judges one container as it is `now`.
pub(crate) fn way(phase: &Phase, goal: Goal, now: Instant) -> Way {
    match (phase, goal) {
        (Phase::Failed { .. } | Phase::Blocked { .. }, _) => Way::Failed,
        (Phase::Up { greeting: Greeting::Failed(_), .. }, _) => Way::Failed,
        (Phase::Created | Phase::Held | Phase::Starting { .. }, _) => Way::Pending,
        (Phase::Up { greeting: Greeting::Running, .. }, _) => Way::Pending,
        (_, Goal::Started) => Way::Reached,
        (Phase::Up { .. }, Goal::Ready) => match phase.verdict() {
            None if settles_at(phase).is_some_and(|at| at > now) => Way::Pending,
            None | Some(Verdict::Healthy) => Way::Reached,
            Some(Verdict::Starting) => Way::Pending,
            Some(Verdict::Unhealthy) => Way::Failed,
        },
        (Phase::Exited { exit, .. }, Goal::Ready) if exit.code == 0 => Way::Reached,
        (Phase::Exited { .. }, Goal::Ready) => Way::Failed,
        (Phase::Backoff { restarts, .. }, Goal::Ready) if restarts.streak >= CRASH_LOOP_STREAK => Way::Failed,
        (Phase::Backoff { .. } | Phase::Stopping { .. }, Goal::Ready) => Way::Pending,
    }
}

/// When a container without health check is taken for one that runs.
fn settles_at(phase: &Phase) -> Option<Instant> {
    match phase {
        Phase::Up { since, health: None, .. } => Some(Instant::from_std(*since + SETTLE)),
        _ => None,
    }
}

/// What is told of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Shown {
    action: Action,
    detail: Option<String>,
}

fn shown(container: &Container) -> Option<Shown> {
    let facts = &container.facts;
    let (action, detail) = match &container.phase {
        Phase::Created => return None,
        Phase::Held => (Action::Waiting, facts.detail.clone()),
        Phase::Starting { .. } => (Action::Starting, None),
        Phase::Up { greeting: Greeting::Running, .. } => (Action::Starting, Some("post_start".to_owned())),
        Phase::Up { greeting: Greeting::Failed(reason), .. } => (Action::Failed, Some(reason.clone())),
        Phase::Up { .. } if container.phase.verdict() == Some(Verdict::Healthy) => (Action::Healthy, None),
        Phase::Up { .. } => (Action::Started, None),
        Phase::Backoff { exit, .. } => {
            let ended = || crate::words::exit(exit, container.spec.service.limits.memory_bytes);
            (Action::Restarting, Some(facts.detail.clone().unwrap_or_else(ended)))
        }
        Phase::Stopping { .. } => (Action::Stopping, None),
        Phase::Exited { .. } if container.completed() => (Action::Completed, None),
        Phase::Exited { exit, .. } => {
            (Action::Exited, Some(crate::words::exit(exit, container.spec.service.limits.memory_bytes)))
        }
        Phase::Failed { reason } | Phase::Blocked { reason } => (Action::Failed, Some(reason.clone())),
    };
    Some(Shown { action, detail })
}

/// Tells what changed since it last looked.
#[derive(Default)]
struct Teller {
    known: BTreeMap<ContainerId, Shown>,
}

impl Teller {
    async fn tell(&mut self, view: &View, aim: Aim<'_>, outlet: &Outlet) {
        for container in aim.ids.iter().filter_map(|id| view.containers.get(id)) {
            let Some(now) = shown(container) else { continue };
            if self.known.get(&container.spec.id) == Some(&now) {
                continue;
            }
            let unchanged = aim.unchanged.contains(&container.spec.id);
            if unchanged && matches!(now.action, Action::Started | Action::Completed) {
                continue;
            }
            let elapsed_ms = container.facts.ready_after_ms.filter(|_| now.action == Action::Healthy);
            let (name, service) = (&container.spec.name, container.service());
            outlet.container(name, service, now.action, now.detail.clone(), elapsed_ms).await;
            self.known.insert(container.spec.id.clone(), now);
        }
    }
}

impl Desk {
    /// Follows containers, and what `said` tells of their hooks, until all reached the goal, one failed, the deadline passed, the client hung
    /// up, or another command wants the turn. In the last two cases what still waits is released.
    pub(crate) async fn follow(
        &self,
        aim: Aim<'_>,
        mut said: Listener,
        turn: &mut Turn,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let Aim { ids, goal, deadline, .. } = aim;
        let mut views = self.owner.view.clone();
        let mut teller = Teller::default();
        let mut failed_at = None;
        let result = loop {
            let view = views.borrow_and_update().clone();
            // Lines come before what follows from their hooks.
            said.tell_rest(&view, ids, outlet).await;
            teller.tell(&view, aim, outlet).await;
            let now = Instant::now();
            let settled = ids
                .iter()
                .filter_map(|id| settles_at(&view.containers.get(id)?.phase))
                .filter(|at| goal == Goal::Ready && *at > now)
                .min();
            let gathered = match progress_of(&view, ids, goal, now) {
                Way::Reached => return Ok(()),
                Way::Pending => None,
                Way::Failed => {
                    let since = *failed_at.get_or_insert(now);
                    Some(since + if is_starting(&view, ids) { GATHER_MAX } else { GATHER })
                }
            };
            if gathered.is_some_and(|at| at <= now || all_decided(&view, ids, goal, now)) {
                break Err(self.failure(&view, ids, goal).await);
            }
            if let Some(gone) = ids.iter().find(|id| !view.containers.contains_key(*id)) {
                break Err(refusal(
                    ErrorKind::Busy,
                    format!("container {} was removed meanwhile", gone.short()),
                ));
            }
            tokio::select! { biased;
                () = outlet.gone() => break Err(hung_up()),
                () = self.stop.cancelled() => break Err(refusal(ErrorKind::Busy, "the supervisor ends")),
                () = turn.interrupted() => break Err(interrupted()),
                heard = said.next() => said::tell(heard, &view, ids, outlet).await,
                changed = views.changed() => if changed.is_err() { break Err(interrupted()) },
                () = sleep_until(settled.unwrap_or(now)), if settled.is_some() => {}
                () = sleep_until(gathered.unwrap_or(now)), if gathered.is_some() => {}
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    let view = self.owner.now();
                    break Err(self.timed_out(&view, ids, goal).await);
                }
            }
        };
        self.owner.tell(crate::owner::Command::Release(ids.to_vec())).await;
        result
    }
}

/// Whether a process of one of them is being made.
fn is_starting(view: &View, ids: &[ContainerId]) -> bool {
    let starting = |found: &Container| matches!(found.phase, Phase::Starting { .. });
    ids.iter().filter_map(|id| view.containers.get(id)).any(starting)
}

/// Whether each of them has reached the goal or failed.
fn all_decided(view: &View, ids: &[ContainerId], goal: Goal, now: Instant) -> bool {
    let decided = |found: &Container| way(&found.phase, goal, now) != Way::Pending;
    ids.iter().filter_map(|id| view.containers.get(id)).all(decided)
}

fn progress_of(view: &View, ids: &[ContainerId], goal: Goal, now: Instant) -> Way {
    let ways: Vec<Way> = ids
        .iter()
        .map(|id| view.containers.get(id).map_or(Way::Pending, |found| way(&found.phase, goal, now)))
        .collect();
    if ways.contains(&Way::Failed) {
        Way::Failed
    } else if ways.contains(&Way::Pending) {
        Way::Pending
    } else {
        Way::Reached
    }
}
