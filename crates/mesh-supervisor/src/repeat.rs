//! Services that are run again (`x-mesh.repeat`): once one has ended, it is started once more after its interval.
//!
//! Invariants: what a command ended is not started; nothing is started before its conditions hold, and nothing is held
//! for want of them; a run that failed is tried again sooner, and seldomer each time. When the last run ended is on
//! record with the container, so that neither this supervisor's end nor a jump of the clock loses the interval. Absent
//! on purpose: times of the day, and more than one run at once.

use crate::{
    certificates::Clock,
    container::{Container, Gates, View},
    gate::{Gate, gate},
    owner::{Command, OwnerLink},
};
use mesh_lifecycle::phase::Phase;
use mesh_model::container::ContainerId;
use mesh_plan::graph;
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Longest time between two looks at the clock: it may be set meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Shortest time between two looks.
const REST: Duration = Duration::from_millis(500);
/// Time after the first run that failed until the next; doubled by each further one, up to the interval.
const PAUSE_FIRST: Duration = Duration::from_secs(10);

/// The services of one project that are run again.
pub(crate) struct Repeats {
    name: String,
    owner: OwnerLink,
    clock: Clock,
}

/// What is known of a container that ended.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// The life that was counted last.
    life: u64,
    failures: u32,
    /// When it failed without having run, in milliseconds since 1970.
    unrun_ms: u64,
}

/// A container whose turn comes.
struct Due {
    id: ContainerId,
    at_ms: u64,
    gates: Arc<Gates>,
}

impl Repeats {
    pub(crate) fn new(name: String, owner: OwnerLink, clock: Clock) -> Self {
        Self { name, owner, clock }
    }

    /// Looks after all of them until `stop`.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let mut views = self.owner.view.clone();
        let mut known = BTreeMap::new();
        loop {
            let view = Arc::clone(&views.borrow_and_update());
            let now = (self.clock)();
            let all = self.due(&view, &mut known, now);
            let (due, later): (Vec<Due>, Vec<Due>) = all.into_iter().partition(|one| one.at_ms <= now);
            let mut held = false;
            for Due { id, gates, .. } in due {
                let Some(found) = view.containers.get(&id) else { continue };
                let waiting = Container { gates: Arc::clone(&gates), ..found.clone() };
                if matches!(gate(&waiting, &view.containers), Gate::Open) {
                    tracing::info!(container = %found.spec.name, "it is run again");
                    self.owner.tell(Command::Repeat(id, gates)).await;
                } else {
                    held = true;
                }
            }
            let next = later.iter().map(|one| Duration::from_millis(one.at_ms - now)).min();
            let wait = next.into_iter().chain(held.then_some(LOOK_EVERY)).min();
            let wait = wait.map(|wait| wait.clamp(REST, LOOK_EVERY));
            tokio::select! { biased;
                () = stop.cancelled() => return,
                changed = views.changed() => if changed.is_err() { return },
                () = sleep(wait.unwrap_or_default()), if wait.is_some() => {}
            }
        }
    }

    /// Those that ended by themselves, each with when its turn comes.
    fn due(&self, view: &View, known: &mut BTreeMap<ContainerId, Known>, now_ms: u64) -> Vec<Due> {
        known.retain(|id, _| view.containers.contains_key(id));
        let project = view.project(&self.name);
        let mut all = Vec::new();
        // One that failed or waits in vain has no end by which it could be told that a command ended it.
        for found in view.containers.values().filter(|found| !found.spec.one_off && !found.is_dismissed()) {
            let service = project.services.get(found.service()).unwrap_or(&found.spec.service);
            let Some(interval) = service.repeat else { continue };
            let known = known.entry(found.spec.id.clone()).or_default();
            let Some(at_ms) = turn(&found.phase, found.life, interval, known, now_ms) else { continue };
            let mut gates = graph::dependencies(service);
            gates.retain(|other, _| project.services.get(other).is_some_and(|service| service.scale > 0));
            all.push(Due { id: found.spec.id.clone(), at_ms, gates: Arc::new(gates) });
        }
        all
    }
}

/// When a container is started again, in milliseconds since 1970; `None`: not by its own interval.
fn turn(phase: &Phase, life: u64, interval: Duration, known: &mut Known, now_ms: u64) -> Option<u64> {
    let (failed, since_ms) = match phase {
        Phase::Exited { commanded: true, .. } => return None,
        Phase::Exited { exit, .. } => (exit.code != 0, exit.at_unix_ms),
        Phase::Failed { .. } | Phase::Blocked { .. } => {
            if known.unrun_ms == 0 {
                known.unrun_ms = now_ms;
                known.failures = known.failures.saturating_add(1);
            }
            (true, known.unrun_ms)
        }
        _ => {
            known.unrun_ms = 0;
            return None;
        }
    };
    if known.life != life {
        known.life = life;
        known.failures = if failed { known.failures.saturating_add(1) } else { 0 };
    }
    let pause = if failed { pause(known.failures, interval) } else { interval };
    // A clock that was put back would have it wait for ever.
    Some(since_ms.min(now_ms).saturating_add(u64::try_from(pause.as_millis()).unwrap_or(u64::MAX)))
}

fn pause(failures: u32, interval: Duration) -> Duration {
    PAUSE_FIRST.saturating_mul(1_u32 << failures.saturating_sub(1).min(16)).min(interval)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fake::{Script, project, service},
        tests::Rig,
    };
    use mesh_api::request::Request;
    use mesh_lifecycle::phase::Exit;

    const HOUR: Duration = Duration::from_secs(3600);

    fn exited(code: i32, at_unix_ms: u64, commanded: bool) -> Phase {
        Phase::Exited { exit: Exit { code, out_of_memory: false, at_unix_ms }, commanded }
    }

    #[test]
    fn whoever_ended_has_a_turn_by_how_it_ended() {
        let mut known = Known::default();
        let mut check = |phase: Phase, life: u64, want: Option<u64>| {
            assert_eq!(turn(&phase, life, HOUR, &mut known, 50_000), want, "{phase:?}");
        };
        check(Phase::Created, 0, None);
        check(exited(0, 1_000, true), 1, None);
        check(exited(0, 1_000, false), 1, Some(3_601_000));
        check(exited(0, 1_000, false), 1, Some(3_601_000));
        // Seen twice, it failed once.
        check(exited(1, 2_000, false), 2, Some(12_000));
        check(exited(1, 2_000, false), 2, Some(12_000));
        check(exited(1, 3_000, false), 3, Some(23_000));
        check(exited(0, 4_000, false), 4, Some(3_604_000));
        check(exited(1, 5_000, false), 5, Some(15_000));
        // The end of one that is said to lie ahead was before the clock was put back.
        check(exited(0, 90_000, false), 6, Some(3_650_000));
        check(Phase::Failed { reason: String::new() }, 6, Some(60_000));
    }

    #[test]
    fn failures_grow_rarer_up_to_the_interval() {
        for (failures, want) in [(1, 10), (2, 20), (4, 80), (60, 3600)] {
            assert_eq!(pause(failures, HOUR), Duration::from_secs(want));
        }
        assert_eq!(pause(3, Duration::from_secs(5)), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_could_not_start_rests_once_a_command_ended_it() {
        let rig = Rig::new().await;
        let mut job = service("job");
        job.repeat = Some(HOUR);
        rig.fake.script("job", Script { start_error: Some("no".into()), ..Script::default() });
        rig.up(&project(vec![job]), false).await.unwrap_err();
        let repeats = Repeats::new("p".into(), rig.desk.owner.clone(), Arc::new(|| 0));
        let due = || {
            let due = repeats.due(&rig.desk.owner.now(), &mut BTreeMap::new(), 0);
            due.into_iter().map(|one| (one.id, one.gates)).next()
        };
        let (id, gates) = due().expect("it failed by itself");
        rig.done(Request::Stop { services: Vec::new(), timeout_seconds: None }).await;
        assert!(due().is_none());
        // Nor does one start it that saw it before.
        rig.desk.owner.tell(Command::Repeat(id.clone(), gates)).await;
        assert!(rig.desk.owner.now().containers[&id].is_dismissed());
        // A command that starts it ends that.
        rig.up(&rig.desk.owner.now().project("p").as_ref().clone(), false).await.unwrap_err();
        assert!(due().is_some());
    }
}
