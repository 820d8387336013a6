//! `start`, `stop`, `restart`, `kill`, `rm`, `pause` and `unpause`: commands on containers that are there.

use crate::{
    container::{Container, Gates, View},
    desk::Desk,
    ending::Fate,
    follow::Goal,
    outlet::Outlet,
    owner::Command,
    turn::{TURN_WAIT_MAX, Turn},
    up::Made,
    words::{self, refusal},
};
use mesh_api::message::{Action, Answer, ApiError, ErrorKind, Level};
use mesh_lifecycle::phase::Phase;
use mesh_model::{container::ContainerId, project::Project, signal};
use mesh_plan::graph;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

/// Longest time `kill` waits for the end of what it killed.
const KILLED_MAX: Duration = Duration::from_secs(10);
/// Time `kill` waits for its turn before it ends what another command is stopping.
const KILL_TURN_WAIT: Duration = Duration::from_millis(100);

impl Desk {
    /// Refuses names that are neither of the project nor of a container.
    pub(crate) fn check_services(&self, services: &[String]) -> Result<(), ApiError> {
        let (view, project) = self.project();
        let known = |name: &String| {
            project.services.contains_key(name)
                || project.inactive.contains(name)
                || view.containers.values().any(|found| found.service() == name)
        };
        match services.iter().find(|name| !known(name)) {
            Some(name) => Err(refusal(ErrorKind::Request, format!("no such service: {name}"))),
            None => Ok(()),
        }
    }

    /// Containers of the services (none: all) that `up` made.
    fn chosen(&self, services: &[String]) -> Result<(Arc<View>, Vec<ContainerId>), ApiError> {
        self.check_services(services)?;
        let view = self.owner.now();
        let wanted = |found: &&Container| {
            !found.spec.one_off && (services.is_empty() || services.contains(&found.spec.service.name))
        };
        let ids = view.containers.values().filter(wanted).map(|found| found.spec.id.clone()).collect();
        Ok((view, ids))
    }

    pub(crate) async fn start(
        &self,
        services: &[String],
        wait: bool,
        wait_timeout_ms: Option<u64>,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut turn = self.turn(false, outlet).await?;
        let (view, all) = self.chosen(&self.with_dependencies(services))?;
        if let Some(name) = services.iter().find(|name| view.of_service(name).next().is_none()) {
            let message = format!("service {name} has no container to start");
            return Err(ApiError {
                hint: Some(format!("make one with: mesh up {name}")),
                ..refusal(ErrorKind::Request, message)
            });
        }
        let resting = |id: &&ContainerId| {
            let phase = view.containers.get(*id).map(|found| &found.phase);
            !matches!(phase, Some(Phase::Up { .. } | Phase::Starting { .. }))
        };
        let start =
            self.gated(&view, &all.iter().filter(resting).cloned().collect::<Vec<_>>(), services.is_empty());
        let deadline = wait_timeout_ms.map(|timeout| Instant::now() + Duration::from_millis(timeout));
        let goal = if wait { Goal::Ready } else { Goal::Started };
        self.launch(Made { start, all, prepare: true }, goal, deadline, &mut turn, outlet).await
    }

    /// These services and what they wait for, as far as that has containers; none for all.
    fn with_dependencies(&self, services: &[String]) -> Vec<String> {
        let (view, project) = self.project();
        let mut found = services.to_vec();
        let mut next = 0;
        while let Some(name) = found.get(next) {
            let needed = project.services.get(name).map(graph::dependencies).unwrap_or_default();
            let there = |other: &String| !found.contains(other) && view.of_service(other).next().is_some();
            let more: Vec<String> = needed.into_keys().filter(there).collect();
            found.extend(more);
            next += 1;
        }
        found
    }

    /// Containers with what they wait for: of the `whole` project everything that shall be there, of a
    /// part of it only what is among them too.
    fn gated(&self, view: &View, ids: &[ContainerId], whole: bool) -> Vec<(ContainerId, Arc<Gates>)> {
        let project = view.project(&self.name);
        let chosen: Vec<&Container> = ids.iter().filter_map(|id| view.containers.get(id)).collect();
        let names: BTreeSet<&str> = chosen.iter().map(|found| found.service()).collect();
        let wanted = |name: &String| project.services.get(name).is_some_and(|service| service.scale > 0);
        let gates = |container: &Container| {
            let service = project.services.get(container.service()).unwrap_or(&container.spec.service);
            let mut gates = graph::dependencies(service);
            gates.retain(|other, _| names.contains(other.as_str()) || (whole && wanted(other)));
            Arc::new(gates)
        };
        chosen.iter().map(|found| (found.spec.id.clone(), gates(found))).collect()
    }

    pub(crate) async fn stop_services(
        &self,
        services: &[String],
        timeout_seconds: Option<u32>,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut turn = self.turn(true, outlet).await?;
        let (view, ids) = self.chosen(services)?;
        if let Err(error) = self.mark_stopped(&view, &ids, &mut turn).await {
            // A full disk is a reason to stop things, not to refuse it.
            let text = format!("the stop is not remembered beyond this supervisor: {}", error.message);
            outlet.note(Level::Warning, text).await;
        }
        let grace = seconds(timeout_seconds);
        // Nobody is made to wait for a stop that may take for ever: it goes on without its command.
        let patient = ids
            .iter()
            .filter_map(|id| view.containers.get(id))
            .any(|found| found.stop_order(None, grace).grace > TURN_WAIT_MAX);
        tokio::select! {
            ended = self.end(&ids, grace, Fate::Stays, outlet) => ended?,
            () = turn.interrupted(), if patient => {
                let message = "another command took over; what was being stopped goes on stopping".to_owned();
                return Err(refusal(ErrorKind::Busy, message));
            }
        }
        Ok(Answer::Done)
    }

    /// Remembers that a command stopped these, before it does.
    async fn mark_stopped(&self, view: &View, ids: &[ContainerId], turn: &mut Turn) -> Result<(), ApiError> {
        let project = view.project(&self.name);
        let names = ids.iter().filter_map(|id| view.containers.get(id)).map(|found| found.spec.name.clone());
        let names: Vec<String> = names.collect();
        turn.change(&project, |record| record.stopped.extend(names)).await
    }

    pub(crate) async fn restart(
        &self,
        services: &[String],
        timeout_seconds: Option<u32>,
        no_deps: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut turn = self.turn(true, outlet).await?;
        let (view, mut ids) = self.chosen(services)?;
        if !no_deps && !services.is_empty() {
            let followers = followers(&view.project(&self.name), services);
            let running = |found: &&Container| {
                followers.contains(found.service()) && !found.spec.one_off && found.phase.alive()
            };
            ids.extend(view.containers.values().filter(running).map(|found| found.spec.id.clone()));
            ids.sort();
            ids.dedup();
        }
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            let (name, service) = (&container.spec.name, container.service());
            outlet.container(name, service, Action::Restarting, None, None).await;
        }
        self.end(&ids, seconds(timeout_seconds), Fate::Stays, outlet).await?;
        let start = self.gated(&self.owner.now(), &ids, services.is_empty());
        let made = Made { start, all: ids.clone(), prepare: false };
        let answer = self.launch(made, Goal::Started, None, &mut turn, outlet).await?;
        for id in ids {
            self.owner.tell(Command::Announce(id, "restart")).await;
        }
        Ok(answer)
    }

    /// Waits for the turn of a `kill`. Who has it may be waiting for the very end that the kill brings, as
    /// a `stop` with a long grace does: then what is meant is killed before.
    async fn turn_to_kill(
        &self,
        services: &[String],
        signal: i32,
        outlet: &Outlet,
    ) -> Result<Turn, ApiError> {
        let turn = self.turn(true, outlet);
        tokio::pin!(turn);
        if signal == words::SIGKILL {
            match timeout(KILL_TURN_WAIT, &mut turn).await {
                Ok(turn) => return turn,
                Err(_) => {
                    let (view, ids) = self.chosen(services)?;
                    let stopping = |id: &ContainerId| {
                        let phase = view.containers.get(id).map(|found| &found.phase);
                        matches!(phase, Some(Phase::Stopping { .. } | Phase::Up { leaving: Some(_), .. }))
                    };
                    self.kill_ids(ids.into_iter().filter(stopping).collect(), signal).await;
                }
            }
        }
        turn.await
    }

    pub(crate) async fn kill(
        &self,
        services: &[String],
        signal: &str,
        remove_orphans: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let Some(number) = signal::number(signal) else {
            return Err(refusal(ErrorKind::Request, format!("no such signal: {signal}")));
        };
        let mut turn = self.turn_to_kill(services, number, outlet).await?;
        let (view, ids) = self.chosen(services)?;
        let project = view.project(&self.name);
        let wanted = |id: &&ContainerId| {
            view.containers.get(*id).is_some_and(|found| {
                found.phase.alive()
                    && (remove_orphans
                        || !services.is_empty()
                        || project.services.contains_key(found.service()))
            })
        };
        let ids: Vec<ContainerId> = ids.iter().filter(wanted).cloned().collect();
        let ends = |id: &&ContainerId| {
            let own = view.containers.get(*id).map(|found| found.stop_order(None, None).signal);
            matches!(number, 2 | 3 | words::SIGTERM | words::SIGKILL) || own == Some(number)
        };
        let (ending, told): (Vec<_>, Vec<_>) = ids.iter().partition(ends);
        let ending: Vec<ContainerId> = ending.into_iter().cloned().collect();
        self.mark_stopped(&view, &ending, &mut turn).await?;
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            let (name, service) = (&container.spec.name, container.service());
            outlet.container(name, service, Action::Killing, None, None).await;
        }
        self.kill_ids(ending.clone(), number).await;
        for id in told {
            self.ground("kill", self.runtime.signal(id, number)).await?;
            self.owner.tell(Command::Signalled(id.clone(), number)).await;
        }
        if number == words::SIGKILL {
            self.until_ended(&ending, KILLED_MAX).await;
        }
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            outlet.container(&container.spec.name, container.service(), Action::Killed, None, None).await;
        }
        Ok(Answer::Done)
    }

    pub(crate) async fn remove(
        &self,
        services: &[String],
        stop: bool,
        volumes: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut turn = self.turn(true, outlet).await?;
        let (view, ids) = self.chosen(services)?;
        let removable = |id: &&ContainerId| {
            let phase = view.containers.get(*id).map(|found| &found.phase);
            stop || phase.is_some_and(|phase| !phase.alive() && !matches!(phase, Phase::Backoff { .. }))
        };
        let ids: Vec<ContainerId> = ids.iter().filter(removable).cloned().collect();
        self.end(&ids, None, Fate::Goes { volumes }, outlet).await?;
        let names: BTreeSet<&String> =
            ids.iter().filter_map(|id| view.containers.get(id)).map(|found| &found.spec.name).collect();
        let project = view.project(&self.name);
        turn.change(&project, |record| record.stopped.retain(|name| !names.contains(name))).await?;
        Ok(Answer::Done)
    }

    pub(crate) async fn freeze(
        &self,
        services: &[String],
        freeze: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let _turn = self.turn(false, outlet).await?;
        let (view, ids) = self.chosen(services)?;
        let (begun, done) =
            if freeze { (Action::Pausing, Action::Paused) } else { (Action::Unpausing, Action::Unpaused) };
        let mut refused = None;
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            // What does not run is passed over.
            let Phase::Up { paused, .. } = container.phase else { continue };
            if paused == freeze {
                let state = if freeze { "already paused" } else { "not paused" };
                refused.get_or_insert(format!("container {} is {state}", container.spec.name));
                continue;
            }
            let (id, name, service) = (&container.spec.id, &container.spec.name, container.service());
            outlet.container(name, service, begun, None, None).await;
            let what = format!("service {service}");
            if freeze {
                self.ground(&what, self.runtime.pause(id)).await?;
            } else {
                self.ground(&what, self.runtime.unpause(id)).await?;
            }
            self.owner.tell(Command::Frozen(id.clone(), freeze)).await;
            outlet.container(name, service, done, None, None).await;
        }
        refused.map_or(Ok(Answer::Done), |message| Err(refusal(ErrorKind::Request, message)))
    }
}

/// Services that asked to be restarted along with one of `services`, directly or through others.
fn followers(project: &Project, services: &[String]) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = BTreeSet::new();
    let mut todo = services.to_vec();
    while let Some(name) = todo.pop() {
        for service in project.services.values() {
            let follows =
                graph::dependencies(service).get(&name).is_some_and(|dependency| dependency.restart);
            if follows && found.insert(service.name.clone()) {
                todo.push(service.name.clone());
            }
        }
    }
    found
}

fn seconds(timeout_seconds: Option<u32>) -> Option<Duration> {
    timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)))
}
