//! `down`: everything of the project ends, and in the end the supervisor.

use crate::{
    desk::Desk,
    ending::{Fate, remove_journal},
    outlet::Outlet,
    owner::Command,
};
use mesh_api::{
    message::{Action, Answer, ApiError, Level, ObjectKind},
    options::DownOptions,
};
use mesh_model::{container::ContainerId, project::Project};
use std::time::Duration;

impl Desk {
    pub(crate) async fn down(&self, options: DownOptions, outlet: &Outlet) -> Result<Answer, ApiError> {
        let mut turn = self.turn(true, outlet).await?;
        let (view, project) = self.project();
        self.check_services(&options.services)?;
        let grace = options.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let whole = options.services.is_empty();
        let known =
            |service: &String| project.services.contains_key(service) || project.inactive.contains(service);
        let (mut ids, mut orphans) = (Vec::<ContainerId>::new(), Vec::new());
        for container in view.containers.values() {
            let service = &container.spec.service.name;
            let wanted = if whole {
                known(service) || container.spec.one_off
            } else {
                options.services.contains(service)
            };
            if wanted || (whole && options.remove_orphans) {
                ids.push(container.spec.id.clone());
            } else if whole {
                orphans.push(container.spec.name.clone());
            }
        }
        self.end(&ids, grace, Fate::Goes { volumes: options.volumes }, outlet).await?;
        if !whole {
            let services = &options.services;
            turn.change(&project, |record| record.targets.retain(|name, _| !services.contains(name))).await?;
            return Ok(Answer::Done);
        }
        if !orphans.is_empty() {
            let names = orphans.join(", ");
            let text = format!(
                "containers of services that the file no longer has stay, and the networks with them: {names}; remove them with --remove-orphans"
            );
            outlet.note(Level::Warning, text).await;
            return Ok(Answer::Done);
        }
        self.remove_resources(&project, options.volumes, outlet).await?;
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
        volumes: bool,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let external = |name: &String| {
            project.networks.values().any(|network| network.external && network.name == *name)
                || project.volumes.values().any(|volume| volume.external && volume.name == *name)
        };
        let networks = self.ground("networks", self.runtime.networks()).await?;
        for name in networks.iter().map(|network| &network.name).filter(|name| !external(name)) {
            outlet.object(ObjectKind::Network, name, Action::Removing).await;
            self.ground(&format!("network {name}"), self.runtime.remove_network(name)).await?;
            outlet.object(ObjectKind::Network, name, Action::Removed).await;
        }
        if !volumes {
            return Ok(());
        }
        let found = self.ground("volumes", self.runtime.volumes()).await?;
        for volume in found.iter().filter(|volume| !external(&volume.name)) {
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
