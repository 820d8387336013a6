//! `down`: everything of the project ends, and in the end the supervisor.
//!
//! Invariants: what a container uses that stays is not removed; as long as one stays, so does the supervisor. A
//! container of `run` that is at work stays unless it is asked for with the orphans: whoever started it is not who
//! takes the services down.

use crate::{
    container::Container,
    desk::Desk,
    ending::{Fate, remove_journal},
    init::step_name,
    outlet::Outlet,
    owner::Command,
};
use mesh_api::{
    message::{Action, Answer, ApiError, Level, ObjectKind},
    options::DownOptions,
};
use mesh_lifecycle::phase::Phase;
use mesh_model::{container::ContainerId, project::Project};
use std::{collections::BTreeSet, time::Duration};

impl Desk {
    pub(crate) async fn down(&self, options: DownOptions, outlet: &Outlet) -> Result<Answer, ApiError> {
        let mut turn = self.turn(true, outlet).await?;
        let (view, project) = self.project();
        self.check_services(&options.services)?;
        let grace = options.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let whole = options.services.is_empty();
        let known =
            |service: &String| project.services.contains_key(service) || project.inactive.contains(service);
        let (mut ids, mut staying) = (Vec::<ContainerId>::new(), Staying::default());
        for container in view.containers.values() {
            let service = &container.spec.service.name;
            let meant = if whole {
                known(service) || container.spec.one_off || options.remove_orphans
            } else {
                options.services.contains(service)
            };
            let goes_on = is_at_work_for_run(container) && !options.remove_orphans;
            match (meant, goes_on) {
                (true, false) => ids.push(container.spec.id.clone()),
                (true, true) => staying.add(container),
                (false, _) if whole => staying.add(container),
                (false, _) => {}
            }
        }
        self.end(&ids, grace, Fate::Goes { volumes: options.volumes }, outlet).await?;
        if whole {
            self.remove_resources(&project, &staying, options.volumes, outlet).await?;
        } else {
            let services = &options.services;
            turn.change(&project, |record| record.targets.retain(|name, _| !services.contains(name))).await?;
        }
        for text in staying.words() {
            outlet.note(Level::Warning, text).await;
        }
        if !whole || !staying.is_empty() {
            return Ok(Answer::Done);
        }
        let released = self.ground("the project", self.runtime.release()).await;
        if released.is_err() {
            // Part of the ground is gone; only a new supervisor finds out what is left of it.
            self.stop.cancel();
        }
        released?;
        remove_journal(self.journal.clone()).await;
        let cleared = turn.clear().await;
        self.owner.tell(Command::Project(None)).await;
        // Nothing can be made on a ground that was released: a command that waits for its turn is told
        // that this supervisor ends, and asks the next one.
        self.stop.cancel();
        cleared.map(|()| Answer::Done)
    }

    async fn remove_resources(
        &self,
        project: &Project,
        staying: &Staying,
        volumes: bool,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let external = |name: &String| {
            project.networks.values().any(|network| network.external && network.name == *name)
                || project.volumes.values().any(|volume| volume.external && volume.name == *name)
        };
        let networks = self.ground("networks", self.runtime.networks()).await?;
        let unused = |name: &&String| !external(name) && !staying.uses.contains(*name);
        for name in networks.iter().map(|network| &network.name).filter(unused) {
            outlet.object(ObjectKind::Network, name, Action::Removing).await;
            self.ground(&format!("network {name}"), self.runtime.remove_network(name)).await?;
            outlet.object(ObjectKind::Network, name, Action::Removed).await;
        }
        if !volumes {
            return Ok(());
        }
        let found = self.ground("volumes", self.runtime.volumes()).await?;
        for volume in found.iter().filter(|volume| unused(&&volume.name)) {
            // Anonymous ones went with their containers; those left are of containers long gone.
            let told = volume.key.is_some();
            if told {
                outlet.object(ObjectKind::Volume, &volume.name, Action::Removing).await;
            }
            self.ground(&format!("volume {}", volume.name), self.runtime.remove_volume(&volume.name)).await?;
            if told {
                outlet.object(ObjectKind::Volume, &volume.name, Action::Removed).await;
            }
        }
        Ok(())
    }
}

/// What a `down` leaves there.
#[derive(Debug, Default)]
struct Staying {
    orphans: Vec<String>,
    of_run: Vec<String>,
    /// Names of the networks and volumes that these use.
    uses: BTreeSet<String>,
}

impl Staying {
    fn add(&mut self, container: &Container) {
        let spec = &container.spec;
        let list = if is_at_work_for_run(container) { &mut self.of_run } else { &mut self.orphans };
        list.push(spec.name.clone());
        self.uses.extend(spec.resources.networks.values().map(|network| network.name.clone()));
        self.uses.extend(spec.resources.volumes.values().map(|volume| volume.name.clone()));
        self.uses.extend(spec.anonymous_volumes.values().cloned());
    }

    fn is_empty(&self) -> bool {
        self.orphans.is_empty() && self.of_run.is_empty()
    }

    /// What the user is told of them.
    fn words(&self) -> impl Iterator<Item = String> {
        let kinds = [
            ("services that the file no longer has", &self.orphans),
            ("`run` that are at work", &self.of_run),
        ];
        kinds.into_iter().filter(|(_, names)| !names.is_empty()).map(|(of, names)| {
            let names = names.join(", ");
            format!("containers of {of} stay, and what they use: {names}; remove them with --remove-orphans")
        })
    }
}

/// Whether it is one of `run` whose program runs.
fn is_at_work_for_run(container: &Container) -> bool {
    let runs = matches!(container.phase, Phase::Starting { .. } | Phase::Up { .. });
    container.spec.one_off && step_name(container).is_none() && runs
}
