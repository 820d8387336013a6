//! `pre_start`: containers that run to their end, one after the other, before the first container of
//! their service is started.
//!
//! They see what the service's own container sees: its networks, its environment, its volumes. Those that
//! ended well are removed; one that failed stays, to be looked at, until the next time.

use crate::{
    container::{Container, Gates, View},
    desk::Desk,
    ending::Fate,
    images::{ImageOverrides, Images},
    outlet::Outlet,
    owner::Command,
    random::Random,
    words::refusal,
};
use mesh_api::message::{Action, ApiError, ErrorKind};
use mesh_lifecycle::phase::Phase;
use mesh_model::{
    container::{ContainerId, ContainerSpec, Resources},
    health::Healthcheck,
    hook::{Hooks, InitContainer},
    image::Image,
    network::Attachment,
    project::Project,
    service::{NetworkMode, ProcessSettings, PullPolicy, RestartPolicy, Security, Service},
};
use mesh_plan::naming;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// The label by which such a container is known, and its value.
pub(crate) const HOOK_LABEL: (&str, &str) = ("com.docker.compose.hook", "pre_start");

/// Containers to start, each with what it waits for.
pub(crate) type Starts = Vec<(ContainerId, Arc<Gates>)>;

/// How a step of `pre_start` is called: `pre_start[0]`.
pub(crate) fn step_name(container: &Container) -> Option<String> {
    let is_step = container.spec.labels.get(HOOK_LABEL.0).is_some_and(|value| value == HOOK_LABEL.1);
    is_step.then(|| format!("pre_start[{}]", container.spec.index))
}

/// A project and services of it in which each step of `pre_start` with an image of its own is a service.
pub(crate) fn with_steps(project: &Project, chosen: &BTreeSet<String>) -> (Project, BTreeSet<String>) {
    let (mut project, mut chosen) = (project.clone(), chosen.clone());
    let steps: Vec<Service> = chosen
        .iter()
        .filter_map(|name| project.services.get(name))
        .flat_map(|service| service.hooks.pre_start.iter().enumerate().map(move |step| (service, step)))
        .filter_map(|(service, (number, step))| {
            let name = image_key(&service.name, number);
            step.image.clone().map(|image| Service { name, image: Some(image), ..service.clone() })
        })
        .collect();
    for step in steps {
        chosen.insert(step.name.clone());
        project.services.insert(step.name.clone(), step);
    }
    (project, chosen)
}

/// A name that no service can have.
fn image_key(service: &str, number: usize) -> String {
    format!("{service} pre_start[{number}]")
}

/// The service of a name that may be one of its steps'.
pub(crate) fn service_of(name: &str) -> &str {
    name.split_once(' ').map_or(name, |(service, _)| service)
}

impl Desk {
    /// Makes the steps that come before `start`, and has each container wait for the last step of its
    /// service. Gives the steps to start.
    pub(crate) async fn make_steps(&self, start: &Starts, outlet: &Outlet) -> Result<Starts, ApiError> {
        let (view, project) = self.project();
        let mut steps = Starts::new();
        for service in services_to_prepare(&view, &project, start) {
            let replicas: Vec<&Container> =
                start.iter().filter_map(|(id, _)| view.containers.get(id)).filter(of(service)).collect();
            let first = replicas.iter().min_by_key(|found| found.spec.index);
            let gates = start.iter().find(|(id, _)| first.is_some_and(|first| first.spec.id == *id));
            let (Some(first), Some((_, gates))) = (first, gates) else { continue };
            self.remove_steps(service, outlet).await?;
            let mut before = None;
            for (number, step) in service.hooks.pre_start.iter().enumerate() {
                let (spec, images) = self.step(&project, service, number, step, first, outlet).await?;
                let id = spec.id.clone();
                self.make_container(spec, Action::Created, outlet).await?;
                drop(images);
                steps.push((id.clone(), Arc::clone(gates)));
                if let Some(before) = before.replace(id.clone()) {
                    self.owner.tell(Command::After(vec![id], before)).await;
                }
            }
            if let Some(last) = before {
                let ids = replicas.iter().map(|found| found.spec.id.clone()).collect();
                self.owner.tell(Command::After(ids, last)).await;
            }
        }
        Ok(steps)
    }

    /// Removes the steps that ended well, and where they were `cut_off` those that still wait or run.
    pub(crate) async fn clear_steps(
        &self,
        steps: &Starts,
        cut_off: bool,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let view = self.owner.now();
        let goes = |id: &&ContainerId| match view.containers.get(*id).map(|found| &found.phase) {
            Some(Phase::Exited { exit, .. }) => exit.code == 0,
            Some(Phase::Failed { .. }) | None => false,
            Some(_) => cut_off,
        };
        let ids: Vec<ContainerId> = steps.iter().map(|(id, _)| id).filter(goes).cloned().collect();
        self.end(&ids, None, Fate::Goes { volumes: false }, outlet).await
    }

    /// Removes what steps of an earlier time left.
    async fn remove_steps(&self, service: &Service, outlet: &Outlet) -> Result<(), ApiError> {
        let view = self.owner.now();
        let left = view.containers.values().filter(|found| step_name(found).is_some());
        let ids: Vec<ContainerId> =
            left.filter(|found| found.service() == service.name).map(|found| found.spec.id.clone()).collect();
        self.end(&ids, None, Fate::Goes { volumes: false }, outlet).await
    }

    async fn step(
        &self,
        project: &Project,
        service: &Service,
        number: usize,
        step: &InitContainer,
        first: &Container,
        outlet: &Outlet,
    ) -> Result<(ContainerSpec, Images), ApiError> {
        let name = &service.name;
        if step.per_replica {
            return Err(refusal(
                ErrorKind::Request,
                format!(
                    "service {name:?} pre_start[{number}]: per_replica is not yet supported; remove per_replica or set it to false"
                ),
            ));
        }
        let (image, images) = self.step_image(project, service, number, step, first, outlet).await?;
        let made_of = one_step(service, step);
        let mut random = Random::open()?;
        let id = naming::container_id(random.next());
        random.check()?;
        let labels = BTreeMap::from(
            [
                ("com.docker.compose.project", project.name.as_str()),
                ("com.docker.compose.service", name.as_str()),
                HOOK_LABEL,
            ]
            .map(|(key, value)| (key.to_owned(), value.to_owned())),
        );
        let spec = ContainerSpec {
            name: format!("{}-{name}-pre_start-{number}-{}", project.name, id.short()),
            project: project.name.clone(),
            index: u32::try_from(number).unwrap_or(u32::MAX),
            one_off: true,
            image,
            config_hash: String::new(),
            resources: Resources::of(&made_of, project),
            service: made_of,
            labels,
            anonymous_volumes: first.spec.anonymous_volumes.clone(),
            id,
        };
        Ok((spec, images))
    }

    async fn step_image(
        &self,
        project: &Project,
        service: &Service,
        number: usize,
        step: &InitContainer,
        first: &Container,
        outlet: &Outlet,
    ) -> Result<(Image, Images), ApiError> {
        if step.image.is_none() {
            // The service's own container holds it.
            return Ok((first.spec.image.clone(), Images::default()));
        }
        let (project, _) = with_steps(project, &BTreeSet::from([service.name.clone()]));
        let key = image_key(&service.name, number);
        let overrides = ImageOverrides { pull: Some(PullPolicy::Missing), substitute: None };
        let mut images = self.images(&project, &BTreeSet::from([key.clone()]), overrides, outlet).await?;
        let image = images.by_service.remove(&key);
        let image = image.ok_or_else(|| refusal(ErrorKind::Image, format!("{key} has no image")))?;
        Ok((image, images))
    }
}

fn of(service: &Service) -> impl Fn(&&Container) -> bool + '_ {
    move |found| !found.spec.one_off && found.service() == service.name
}

/// The services among those to start that have steps and of which nothing runs.
fn services_to_prepare<'a>(view: &View, project: &'a Project, start: &Starts) -> Vec<&'a Service> {
    let starting: BTreeSet<&str> =
        start.iter().filter_map(|(id, _)| view.containers.get(id)).map(Container::service).collect();
    let lives = |found: &Container| found.phase.alive() || matches!(found.phase, Phase::Backoff { .. });
    project
        .services
        .values()
        .filter(|service| !service.hooks.pre_start.is_empty() && starting.contains(service.name.as_str()))
        .filter(|service| !view.of_service(&service.name).any(lives))
        .collect()
}

/// The service as one of its steps is made: the image's own program unless the step says otherwise.
fn one_step(service: &Service, step: &InitContainer) -> Service {
    let own_image = step.image.is_none();
    let inherited = |own: &Option<String>| if own_image { own.clone() } else { None };
    let mut environment = service.environment.clone();
    environment.extend(step.environment.clone());
    let mut made = service.clone();
    made.image = step.image.clone().or(made.image);
    made.container_name = None;
    made.scale = 1;
    made.process = ProcessSettings {
        entrypoint: None,
        command: step.command.clone(),
        user: step.user.clone().or_else(|| inherited(&service.process.user)),
        working_dir: step.working_dir.clone().or_else(|| inherited(&service.process.working_dir)),
        ..ProcessSettings::default()
    };
    made.environment = environment;
    made.healthcheck = Healthcheck::Disabled;
    made.restart = RestartPolicy::No;
    made.hooks = Hooks::default();
    made.security = Security {
        privileged: step.privileged,
        no_new_privileges: service.security.no_new_privileges,
        distrusts_gateway: service.security.distrusts_gateway,
        ..Security::default()
    };
    made.network.ports.clear();
    made.network.hostname = None;
    if let NetworkMode::Networks(attached) = &mut made.network.mode {
        // The fixed names and addresses belong to the service's own containers.
        attached.values_mut().for_each(|attachment| *attachment = Attachment::default());
    }
    made
}
