//! `run`: one container for one command, with the caller's own streams.

use crate::{
    container::{Container, Gates},
    desk::{Desk, hung_up},
    ending::Fate,
    events,
    follow::{Aim, Goal},
    images::{ImageOverrides, Images},
    outlet::{Outlet, Output},
    owner::Command,
    random::Random,
    said::Listener,
    turn::Turn,
    up::{graph_error, tell_orphans},
    words::refusal,
};
use mesh_api::{
    message::{Action, Answer, ApiError, ErrorKind},
    options::{CreateOptions, RunOptions},
};
use mesh_lifecycle::phase::Phase;
use mesh_model::{
    container::{ContainerId, ContainerSpec, Resources},
    project::Project,
    service::{NetworkMode, RestartPolicy, Service},
};
use mesh_plan::{
    graph::{self, GraphError},
    hash, naming,
};
use mesh_runtime::exec::RunStreams;
use std::{collections::BTreeSet, sync::Arc};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::{self, Receiver},
};

/// What `--rm` means.
const REMOVED: Fate = Fate::Goes { volumes: true };

impl Desk {
    pub(crate) async fn run_one_off(
        &self,
        project: Project,
        options: RunOptions,
        streams: Option<RunStreams>,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let (streams, notice) = noticing(streams, &options)?;
        let (id, name) = {
            let mut turn = self.turn(false, outlet).await?;
            let (spec, images) = self.prepare(project, &options, &mut turn, outlet).await?;
            let (id, name) = (spec.id.clone(), spec.name.clone());
            let gates = self.gates(&spec.service, options.no_deps);
            self.make_container(spec, Action::Created, outlet).await?;
            drop(images);
            if let Some(streams) = streams {
                self.owner.tell(Command::Streams(id.clone(), streams)).await;
            }
            let said = Listener::to(&self.owner.speaker);
            self.owner.tell(Command::Hold(vec![(id.clone(), gates)])).await;
            let aim = Aim::started(std::slice::from_ref(&id), Goal::Started);
            let started = self.follow(aim, said, &mut turn, outlet).await;
            if started.is_err() && options.remove {
                self.end(std::slice::from_ref(&id), None, REMOVED, outlet).await?;
            }
            started?;
            (id, name)
        };
        if options.detach {
            return Ok(Answer::Started { name, id: id.0 });
        }
        let code = self.until_exit(&id, notice, outlet).await;
        if code.is_err() {
            self.end(std::slice::from_ref(&id), None, Fate::Stays, outlet).await?;
        }
        if options.remove {
            self.end(std::slice::from_ref(&id), None, REMOVED, outlet).await?;
        }
        Ok(Answer::Exit { code: code? })
    }

    /// Starts what the service needs, and says what its container is made from, with the hold on its image.
    async fn prepare(
        &self,
        mut project: Project,
        options: &RunOptions,
        turn: &mut Turn,
        outlet: &Outlet,
    ) -> Result<(ContainerSpec, Images), ApiError> {
        self.check_name(&project)?;
        self.check_checkout(&project, options.take_over, turn)?;
        self.choose_ports(&mut project, options.ports).await;
        self.treat_orphans(&project, options, outlet).await?;
        let Some(service) = project.services.get(&options.service) else {
            let inactive = project.inactive.contains(&options.service);
            return Err(graph_error(GraphError::NoSuchService { name: options.service.clone(), inactive }));
        };
        let mut service = one_off(service, options);
        self.beside_others(&project, &mut service);
        let needs = graph::dependencies(&service);
        if !options.no_deps && !needs.is_empty() {
            let there = |name: &String| project.services.contains_key(name);
            let services: Vec<String> = needs.into_keys().filter(there).collect();
            let create = CreateOptions {
                services,
                substitute: options.substitute,
                ports: options.ports,
                take_over: options.take_over,
                // They were seen to.
                ignore_orphans: true,
                ..CreateOptions::default()
            };
            if !create.services.is_empty() {
                // The file's own form of the service stays in the record; this one is for one time.
                let stored = self.stored(&project, &options.service, turn);
                let made = self.make(stored, &create, None, turn, outlet).await?;
                self.launch(made, Goal::Started, None, turn, outlet).await?;
            }
        }
        let chosen = BTreeSet::from([service.name.clone()]);
        let overrides = ImageOverrides { pull: None, substitute: options.substitute };
        let mut images = self.images(&project, &chosen, overrides, outlet).await?;
        let image = images
            .by_service
            .remove(&service.name)
            .ok_or_else(|| refusal(ErrorKind::Image, format!("service {} has no image", service.name)))?;
        let resources = Resources::of(&service, &project);
        let there = self.ground("networks", self.runtime.networks()).await?;
        let there: BTreeSet<String> = there.into_iter().map(|network| network.name).collect();
        for network in resources.networks.values().filter(|network| !there.contains(&network.name)) {
            self.make_network(network).await?;
        }
        for volume in resources.volumes.values() {
            self.make_volume(volume).await?;
        }
        let mut random = Random::open()?;
        let id = naming::container_id(random.next());
        let anonymous_volumes = naming::anonymous_volumes(&service, &image, |_| None, &mut || random.next());
        random.check()?;
        let config_hash = hash::config_hash(&service, &resources, &image);
        let name =
            options.name.clone().unwrap_or_else(|| naming::one_off_name(&project.name, &service.name, &id));
        let mut labels = naming::labels(&project, &service, 1, true, &config_hash, &image.digest);
        labels.insert("com.docker.compose.slug".to_owned(), id.0.clone());
        let project = project.name;
        let spec = ContainerSpec {
            id,
            name,
            project,
            service,
            index: 1,
            one_off: true,
            image,
            config_hash,
            resources,
            labels,
            anonymous_volumes,
        };
        Ok((spec, images))
    }

    /// Removes the containers of services that the file no longer has, or tells of them.
    async fn treat_orphans(
        &self,
        project: &Project,
        options: &RunOptions,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let view = self.owner.now();
        let known = |name: &str| {
            project.services.contains_key(name) || project.inactive.iter().any(|one| one == name)
        };
        let orphans: Vec<&Container> =
            view.containers.values().filter(|found| !found.spec.one_off && !known(found.service())).collect();
        if options.remove_orphans {
            let ids: Vec<ContainerId> = orphans.iter().map(|found| found.spec.id.clone()).collect();
            return self.end(&ids, None, Fate::Goes { volumes: false }, outlet).await;
        }
        if !options.ignore_orphans {
            tell_orphans(orphans.iter().map(|found| found.spec.name.as_str()), outlet).await;
        }
        Ok(())
    }

    /// The project to store: the one sent, but with the service as it was stored before.
    fn stored(&self, project: &Project, service: &str, turn: &Turn) -> Project {
        let mut stored = project.clone();
        if let Some(known) = turn.record().and_then(|record| record.project.services.get(service)) {
            stored.services.insert(service.to_owned(), known.clone());
        }
        stored
    }

    /// What the container waits for, of what is there.
    fn gates(&self, service: &Service, no_deps: bool) -> Arc<Gates> {
        let view = self.owner.now();
        let mut gates = graph::dependencies(service);
        gates.retain(|other, _| !no_deps && view.of_service(other).next().is_some());
        Arc::new(gates)
    }

    /// Tells the client that it is let go; what it started goes on.
    async fn tell_let_go(&self, id: &ContainerId, outlet: &Outlet) {
        let event = self.owner.now().containers.get(id).map(|found| events::of(found, "detach"));
        if let Some(event) = event {
            outlet.send(Output::Event(event)).await;
        }
    }

    /// The exit code of a container, once it ended.
    async fn until_exit(
        &self,
        id: &ContainerId,
        notice: Option<Receiver>,
        outlet: &Outlet,
    ) -> Result<i32, ApiError> {
        let ended = self.owner.until(|view| {
            let phase = view.containers.get(id).map(|found| &found.phase);
            !phase.is_some_and(|phase| phase.alive() || *phase == Phase::Held)
        });
        tokio::pin!(ended);
        tokio::select! { biased;
            () = &mut ended => {}
            () = let_go(notice) => {
                self.tell_let_go(id, outlet).await;
                ended.await;
            }
            () = outlet.gone() => return Err(hung_up()),
        }
        let ended = self.owner.now().exit_of(id);
        let gone = || refusal(ErrorKind::Busy, "the container was removed, or the supervisor ends");
        ended.map(|exit| exit.code).ok_or_else(gone)
    }
}

/// Streams as the ground wants them: with a terminal, the place of standard error is where it is heard
/// that the client let go of it.
fn noticing(
    streams: Option<RunStreams>,
    options: &RunOptions,
) -> Result<(Option<RunStreams>, Option<Receiver>), ApiError> {
    let streams = match streams {
        Some(streams) if options.tty => streams,
        other => return Ok((other, None)),
    };
    let failed = |error| refusal(ErrorKind::Internal, format!("could not make a pipe: {error}"));
    let (sender, receiver) = pipe::pipe().map_err(failed)?;
    let stderr = sender.into_blocking_fd().map_err(failed)?;
    let detach_keys = options.detach_keys.clone();
    Ok((Some(RunStreams { stderr, detach_keys, ..streams }), Some(receiver)))
}

/// Resolves once the client let go of its terminal.
async fn let_go(notice: Option<Receiver>) {
    if let Some(mut notice) = notice
        && notice.read_u8().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// The service as `run` makes it: no restarts, no fixed name, and its ports and names only if asked for.
fn one_off(service: &Service, options: &RunOptions) -> Service {
    let mut service = service.clone();
    service.restart = RestartPolicy::No;
    service.container_name = None;
    service.scale = 1;
    service.process.tty = options.tty;
    service.process.stdin_open = !options.detach;
    if !options.service_ports {
        service.network.ports.clear();
    }
    if !options.use_aliases
        && let NetworkMode::Networks(attached) = &mut service.network.mode
    {
        for attachment in attached.values_mut() {
            attachment.aliases.clear();
            // The fixed addresses belong to the service's own containers.
            attachment.ipv4_address = None;
            attachment.ipv6_address = None;
        }
    }
    service
}
