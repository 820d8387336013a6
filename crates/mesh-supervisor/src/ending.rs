//! Ending containers: dependents first, those of one level side by side, each with its own grace.

use crate::{
    container::Container,
    desk::Desk,
    hooks::HOOK_MAX,
    outlet::Outlet,
    owner::Command,
    said::{self, Listener},
    words::{refusal, together},
};
use futures_util::{StreamExt, stream};
use mesh_api::message::{Action, ApiError, ErrorKind};
use mesh_lifecycle::phase::{KILL_AGAIN_AFTER, Phase};
use mesh_model::{container::ContainerId, project::Project};
use mesh_plan::graph;
use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// Containers removed at once.
const REMOVALS_AT_ONCE_MAX: usize = 16;
/// Time a container may take to end after it was killed.
const END_AFTER_KILL_MAX: Duration = Duration::from_secs(30);

/// Time that another command may take for removing a container.
const REMOVED_BY_ANOTHER_MAX: Duration = Duration::from_secs(60);

/// What becomes of containers that were ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// They stay as they are.
    Stays,
    /// They are removed in favour of new ones, which go on with their volumes and their journals.
    Replaced,
    /// They are removed with their journals, and where asked for with their anonymous volumes.
    Goes {
        /// Anonymous volumes go too.
        volumes: bool,
    },
}

/// Removes journals; what cannot be removed is told in the log and costs only its space.
pub(crate) async fn remove_journal(directory: PathBuf) {
    let removed = spawn_blocking(move || match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            tracing::warn!(directory = %directory.display(), error = %error, "a journal could not be removed");
        }
        _ => {}
    });
    // A panic is told by its own task.
    let _ = removed.await;
}

/// A container that one command is removing, so that no other one does.
struct Claim<'a> {
    removing: &'a Mutex<BTreeSet<ContainerId>>,
    id: ContainerId,
}

impl<'a> Claim<'a> {
    /// `None`: another command has it.
    fn on(removing: &'a Mutex<BTreeSet<ContainerId>>, id: &ContainerId) -> Option<Self> {
        let mut claimed = removing.lock().unwrap_or_else(PoisonError::into_inner);
        claimed.insert(id.clone()).then(|| Self { removing, id: id.clone() })
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.removing.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.id);
    }
}

impl Desk {
    /// Stops containers in reverse order of their dependencies and does with them what `fate` says.
    pub(crate) async fn end(
        &self,
        ids: &[ContainerId],
        grace: Option<Duration>,
        fate: Fate,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let (view, project) = self.project();
        let chosen = ids.iter().filter_map(|id| view.containers.get(id));
        for level in stop_levels(&project, chosen) {
            self.stop_side_by_side(&level, grace, outlet).await?;
            if fate != Fate::Stays {
                self.remove_side_by_side(&level, fate, outlet).await?;
            }
        }
        Ok(())
    }

    async fn stop_side_by_side(
        &self,
        ids: &[ContainerId],
        grace: Option<Duration>,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let view = self.owner.now();
        let alive = |id: &&ContainerId| view.containers.get(*id).is_some_and(|found| found.phase.alive());
        let mut ending: Vec<ContainerId> = ids.iter().filter(alive).cloned().collect();
        let (mut longest, mut failures) = (Duration::ZERO, Vec::new());
        for container in ending.iter().filter_map(|id| view.containers.get(id)) {
            let hooks = u32::try_from(container.spec.service.hooks.pre_stop.len()).unwrap_or(u32::MAX);
            let hooks = HOOK_MAX.saturating_mul(hooks);
            longest = longest.max(container.stop_order(None, grace).grace.saturating_add(hooks));
            outlet.container(&container.spec.name, container.service(), Action::Stopping, None, None).await;
        }
        let mut views = self.owner.view.clone();
        let mut said = Listener::to(&self.owner.speaker);
        self.owner.tell(Command::Stop { ids: ids.to_vec(), signal: None, grace }).await;
        let told = async {
            while !ending.is_empty() {
                let view = views.borrow_and_update().clone();
                said.tell_rest(&view, ids, outlet).await;
                let (left, ended): (Vec<_>, Vec<_>) = ending
                    .drain(..)
                    .partition(|id| view.containers.get(id).is_some_and(|found| found.phase.alive()));
                let (left, kept): (Vec<_>, Vec<_>) = left.into_iter().partition(
                    |id| !matches!(view.containers.get(id), Some(found) if found.goes_on_running()),
                );
                for container in kept.iter().filter_map(|id| view.containers.get(id)) {
                    let reason = container.facts.stop_error.clone();
                    let (name, service) = (&container.spec.name, container.service());
                    outlet.container(name, service, Action::Failed, reason.clone(), None).await;
                    failures.push(not_stopped(service, &reason.unwrap_or_default()));
                }
                for container in ended.iter().filter_map(|id| view.containers.get(id)) {
                    let (name, service) = (&container.spec.name, container.service());
                    self.owner.tell(Command::Announce(container.spec.id.clone(), "stop")).await;
                    outlet.container(name, service, Action::Stopped, None, None).await;
                }
                ending = left;
                if ending.is_empty() {
                    return;
                }
                tokio::select! {
                    changed = views.changed() => if changed.is_err() { return },
                    heard = said.next() => said::tell(heard, &view, ids, outlet).await,
                }
            }
        };
        match timeout(longest.saturating_add(END_AFTER_KILL_MAX), told).await {
            Ok(()) => together(failures),
            Err(_) => Err(refusal(ErrorKind::Ground, "a container did not end although it was killed")),
        }
    }

    async fn remove_side_by_side(
        &self,
        ids: &[ContainerId],
        fate: Fate,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let results: Vec<Result<(), ApiError>> = stream::iter(ids.to_vec())
            .map(|id| async move { self.remove_one(&id, fate, outlet).await })
            .buffer_unordered(REMOVALS_AT_ONCE_MAX)
            .collect()
            .await;
        together(results.into_iter().filter_map(Result::err).collect())
    }

    async fn remove_one(&self, id: &ContainerId, fate: Fate, outlet: &Outlet) -> Result<(), ApiError> {
        let Some(_claim) = Claim::on(&self.removing, id) else {
            // Another command removes it: `run --rm` and a `down` at the same time.
            let removed = self.owner.until(|view| !view.containers.contains_key(id));
            let _ = timeout(REMOVED_BY_ANOTHER_MAX, removed).await;
            return Ok(());
        };
        let view = self.owner.now();
        let Some(container) = view.containers.get(id) else { return Ok(()) };
        let (name, service) = (&container.spec.name, container.service());
        outlet.container(name, service, Action::Removing, None, None).await;
        let volumes = fate == Fate::Goes { volumes: true };
        self.ground(&format!("container {name}"), self.runtime.remove(id, volumes)).await?;
        if fate != Fate::Replaced {
            remove_journal(self.journal.join(name.replace('/', "_"))).await;
        }
        self.owner.tell(Command::Forget(id.clone())).await;
        outlet.container(name, service, Action::Removed, None, None).await;
        Ok(())
    }

    /// Keeps a signal that ends containers from being taken for a crash, and sends it.
    pub(crate) async fn kill_ids(&self, ids: Vec<ContainerId>, signal: i32) {
        let grace = Some(if signal == crate::words::SIGKILL { KILL_AGAIN_AFTER } else { NEVER_KILLED });
        self.owner.tell(Command::Stop { ids, signal: Some(signal), grace }).await;
    }

    /// Waits until none of them has a process, or the time is over.
    pub(crate) async fn until_ended(&self, ids: &[ContainerId], longest: Duration) {
        let alive = |found: &Container| found.phase.alive() && !matches!(found.phase, Phase::Created);
        let ended = self.owner.until(|view| !ids.iter().filter_map(|id| view.containers.get(id)).any(alive));
        // Running out of time is told by the state itself.
        let _ = timeout(longest, ended).await;
    }
}

/// A hook kept a container from being stopped.
fn not_stopped(service: &str, reason: &str) -> ApiError {
    let hint = Some(format!("it goes on running; `mesh kill {service}` ends it without its hooks"));
    ApiError { hint, ..refusal(ErrorKind::Service, format!("service {service}: {reason}")) }
}

/// Grace of a signal that a person chose: it is not followed by a kill.
const NEVER_KILLED: Duration = Duration::from_secs(365 * 24 * 3600);

/// Containers in levels, those that end first in front. One-off containers and those of services that
/// the project no longer has end before all others.
fn stop_levels<'a>(
    project: &Project,
    containers: impl Iterator<Item = &'a Container>,
) -> Vec<Vec<ContainerId>> {
    let all: BTreeSet<String> = project.services.keys().cloned().collect();
    // A cycle cannot have been started; if one is there all the same, everything ends at once.
    let mut order = graph::levels(project, &all).unwrap_or_default();
    order.reverse();
    let mut levels = vec![Vec::new(); order.len() + 1];
    for container in containers {
        let place = order.iter().position(|level| level.iter().any(|name| name == container.service()));
        let level = match place {
            Some(place) if !container.spec.one_off => place + 1,
            _ => 0,
        };
        levels[level].push(container.spec.id.clone());
    }
    levels.retain(|level| !level.is_empty());
    levels
}
