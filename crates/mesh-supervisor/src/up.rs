//! `up`, `create`, `scale` and `pull`: from a project to containers that run.
//!
//! Images first, then the plan, then what it says: networks and volumes, removals and replacements,
//! new containers, and at last the starts, which the owner gates. Whatever fails leaves what was made.

use crate::{
    container::{Container, Gates, View},
    desk::{Desk, hung_up, interrupted},
    ending::Fate,
    follow::{Aim, Goal},
    images::{ImageOverrides, Obtained, tell_left_out},
    init::{service_of, with_steps},
    outlet::Outlet,
    owner::Command,
    random::Random,
    resources::{present_network, tell_changed_volumes},
    said::Listener,
    turn::Turn,
    words::{self, refusal},
};
use futures_util::{StreamExt, stream};
use mesh_api::{
    message::{Action, Answer, ApiError, ErrorKind, Level},
    options::{CreateOptions, Recreate, UpOptions},
};
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    image::Image,
    project::Project,
};
use mesh_plan::{
    graph::{self, GraphError},
    plan::{self, Observed, Plan, PlanError, Step},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// Containers made at once.
const CREATIONS_AT_ONCE_MAX: usize = 8;

/// What making the containers left to be started and followed.
pub(crate) struct Made {
    /// Containers to start, each with what it waits for.
    pub(crate) start: Vec<(ContainerId, Arc<Gates>)>,
    /// All containers of the chosen services.
    pub(crate) all: Vec<ContainerId>,
    /// Whether what a file has run before a start is run.
    pub(crate) prepare: bool,
}

/// What is made in place of what.
struct Work {
    make: Vec<(Action, Box<ContainerSpec>)>,
    replaced: Vec<ContainerId>,
    stopped: Vec<ContainerId>,
    made: Made,
}

impl Desk {
    pub(crate) async fn up(
        &self,
        project: Project,
        options: UpOptions,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        if options.create.dry_run {
            return self.rehearse(&project, &options.create, !options.no_start, outlet).await;
        }
        let grace = options.timeout_seconds.map(|seconds| Duration::from_secs(u64::from(seconds)));
        let mut turn = self.turn(false, outlet).await?;
        let made = self.make(project, &options.create, grace, &mut turn, outlet).await?;
        self.tell_address(&self.project().1, outlet).await;
        self.tell_stand_ins(&self.project().1, outlet).await;
        if options.no_start {
            return Ok(Answer::Done);
        }
        let deadline = options.wait_timeout_ms.map(|timeout| Instant::now() + Duration::from_millis(timeout));
        let goal = if options.wait { Goal::Ready } else { Goal::Started };
        let all = made.all.clone();
        let answer = self.launch(made, goal, deadline, &mut turn, outlet).await?;
        self.regain_ports(&all).await?;
        Ok(answer)
    }

    /// Starts what was made and follows it to the goal.
    pub(crate) async fn launch(
        &self,
        made: Made,
        goal: Goal,
        deadline: Option<Instant>,
        turn: &mut Turn,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let steps = match made.prepare {
            true => self.make_steps(&made.start, outlet).await?,
            false => Vec::new(),
        };
        let started: Vec<ContainerId> = steps.iter().chain(&made.start).map(|(id, _)| id.clone()).collect();
        self.unmark_stopped(&started, turn).await?;
        let said = Listener::to(&self.owner.speaker);
        let held = steps.iter().cloned().chain(made.start).collect();
        self.owner.tell(Command::Hold(held)).await;
        let unchanged: Vec<ContainerId> =
            made.all.iter().filter(|id| !started.contains(id)).cloned().collect();
        let ids = match goal {
            Goal::Ready => [started.as_slice(), unchanged.as_slice()].concat(),
            Goal::Started => started,
        };
        let followed =
            self.follow(Aim { ids: &ids, unchanged: &unchanged, goal, deadline }, said, turn, outlet).await;
        self.clear_steps(&steps, followed.is_err(), outlet).await?;
        followed.map(|()| Answer::Done)
    }

    pub(crate) async fn create(
        &self,
        project: Project,
        options: CreateOptions,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        if options.dry_run {
            return self.rehearse(&project, &options, false, outlet).await;
        }
        let mut turn = self.turn(false, outlet).await?;
        self.make(project, &options, None, &mut turn, outlet).await?;
        Ok(Answer::Done)
    }

    pub(crate) async fn scale(
        &self,
        scale: BTreeMap<String, u32>,
        no_deps: bool,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        let mut turn = self.turn(false, outlet).await?;
        let Some(project) = turn.record().map(|record| record.project.clone()) else {
            return Err(refusal(ErrorKind::Request, "nothing of this project was ever started"));
        };
        let services = scale.keys().cloned().collect();
        let options = CreateOptions { services, no_deps, scale, ..CreateOptions::default() };
        let made = self.make(project, &options, None, &mut turn, outlet).await?;
        self.launch(made, Goal::Started, None, &mut turn, outlet).await
    }

    pub(crate) async fn pull(
        &self,
        project: Project,
        services: &[String],
        named: &[String],
        overrides: ImageOverrides,
        outlet: &Outlet,
    ) -> Result<Answer, ApiError> {
        self.check_name(&project)?;
        let chosen = graph::select(&project, services, true).map_err(graph_error)?;
        tokio::select! { biased;
            () = outlet.gone() => Err(hung_up()),
            obtained = self.obtain(&project, &chosen, named, overrides, outlet) => {
                tell_left_out(&project, &obtained?.left_out, outlet).await;
                Ok(Answer::Done)
            }
        }
    }

    /// Carries out the plan up to the starts.
    pub(crate) async fn make(
        &self,
        mut project: Project,
        options: &CreateOptions,
        grace: Option<Duration>,
        turn: &mut Turn,
        outlet: &Outlet,
    ) -> Result<Made, ApiError> {
        self.check_name(&project)?;
        self.check_checkout(&project, options.take_over, turn)?;
        self.tell_limits(outlet).await;
        self.choose_ports(&mut project, options.ports).await;
        let chosen = graph::select(&project, &options.services, options.no_deps).map_err(graph_error)?;
        graph::levels(&project, &chosen).map_err(graph_error)?;
        let overrides = ImageOverrides { pull: options.pull, substitute: options.substitute };
        let images = tokio::select! { biased;
            () = outlet.gone() => return Err(hung_up()),
            () = turn.interrupted() => return Err(interrupted()),
            images = self.images_with_steps(&project, &chosen, &options.services, overrides, outlet) => images?,
        };
        let Obtained { images, left_out } = images;
        tell_left_out(&project, &left_out, outlet).await;
        graph::leave_out(&mut project, left_out, &chosen, &options.services, options.no_deps)
            .map_err(graph_error)?;
        let project = Arc::new(project);
        let plan = self.plan(&project, options, &images.by_service, outlet).await?;
        self.check_external(&project, &plan).await?;
        turn.change(&project, |record| {
            record.project = Project::clone(&project);
            record.targets.extend(plan.targets.clone());
        })
        .await?;
        self.owner.tell(Command::Project(Some(Arc::clone(&project)))).await;
        self.make_resources(&project, &plan, outlet).await?;
        if !options.ignore_orphans {
            tell_orphans(plan.orphans.iter().map(|orphan| orphan.name.as_str()), outlet).await;
        }
        let surplus: Vec<ContainerId> = plan.removals.iter().map(|old| old.id.clone()).collect();
        let outdated = plan.outdated.clone();
        let work = divide(&self.owner.now(), &project, plan, outlet).await;
        // A new container is there before the one it replaces ends: one that cannot be made costs
        // nothing, and its anonymous volumes always belong to somebody.
        self.make_containers(work.make, outlet).await?;
        // The containers hold them from here on.
        drop(images);
        self.end(&surplus, grace, Fate::Goes { volumes: false }, outlet).await?;
        let replacing = self.end(&work.replaced, grace, Fate::Replaced, outlet).await;
        if replacing.is_err() {
            // Those that could not be ended stay in their places.
            let view = self.owner.now();
            let stays = |id: &&ContainerId| view.containers.contains_key(*id);
            let kept: Vec<&ContainerId> = work.replaced.iter().filter(stays).collect();
            let surplus = surplus_replacements(&view, &kept, &work.made.all);
            self.end(&surplus, None, Fate::Replaced, outlet).await?;
        }
        replacing?;
        self.end(&work.stopped, grace, Fate::Stays, outlet).await?;
        self.remake_networks(&project, &outdated, outlet).await?;
        Ok(work.made)
    }

    /// The images of services, and of what runs before their start.
    async fn images_with_steps(
        &self,
        project: &Project,
        chosen: &BTreeSet<String>,
        named: &[String],
        overrides: ImageOverrides,
        outlet: &Outlet,
    ) -> Result<Obtained, ApiError> {
        let (with_steps, all) = with_steps(project, chosen);
        let mut obtained = self.obtain(&with_steps, &all, named, overrides, outlet).await?;
        // A service goes where one of its steps does.
        let left_out = obtained.left_out.into_iter();
        obtained.left_out = left_out.map(|(name, reason)| (service_of(&name).to_owned(), reason)).collect();
        Ok(obtained)
    }

    pub(crate) fn check_name(&self, project: &Project) -> Result<(), ApiError> {
        if project.name == self.name {
            return Ok(());
        }
        let message = format!("this is the supervisor of {}, not of {}", self.name, project.name);
        Err(refusal(ErrorKind::Request, message))
    }

    pub(crate) async fn plan(
        &self,
        project: &Project,
        options: &CreateOptions,
        images: &BTreeMap<String, Image>,
        outlet: &Outlet,
    ) -> Result<Plan, ApiError> {
        let networks = self.ground("networks", self.runtime.networks()).await?;
        let volumes = self.ground("volumes", self.runtime.volumes()).await?;
        tell_changed_volumes(project, &volumes, outlet).await;
        let observed = Observed {
            containers: self.owner.now().containers.values().map(|found| found.present()).collect(),
            networks: networks.into_iter().map(present_network).collect(),
            volumes: volumes.into_iter().map(|volume| volume.name).collect(),
        };
        let options = plan::Options {
            services: options.services.clone(),
            no_deps: options.no_deps,
            recreate: match options.recreate {
                Recreate::Changed => plan::Recreate::Changed,
                Recreate::Force => plan::Recreate::Force,
                Recreate::Never => plan::Recreate::Never,
            },
            renew_anonymous_volumes: options.renew_anonymous_volumes,
            always_recreate_deps: options.always_recreate_deps,
            remove_orphans: options.remove_orphans,
            rerun: options.rerun.clone(),
            scale: options.scale.clone(),
        };
        let mut random = Random::open()?;
        let plan = plan::plan(project, &options, images, &observed, &mut || random.next());
        random.check()?;
        plan.map_err(|error| match error {
            PlanError::Graph(error) => graph_error(error),
            other => refusal(ErrorKind::Request, other.to_string()),
        })
    }

    async fn make_containers(
        &self,
        specs: Vec<(Action, Box<ContainerSpec>)>,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        // Before any of them is started: what it trusts is there from its start on.
        if specs.iter().any(|(_, spec)| spec.image.source.is_gateway())
            && let Err(error) = self.authority.prepare().await
        {
            outlet.note(Level::Warning, words::chain(&error)).await;
        }
        let replacing = |made: &&(Action, Box<ContainerSpec>)| made.0 == Action::Recreated;
        let replacements: Vec<ContainerId> =
            specs.iter().filter(replacing).map(|(_, spec)| spec.id.clone()).collect();
        let results: Vec<Result<(), ApiError>> = stream::iter(specs)
            .map(|(action, spec)| async move { self.make_container(*spec, action, outlet).await })
            .buffer_unordered(CREATIONS_AT_ONCE_MAX)
            .collect()
            .await;
        let result = words::together(results.into_iter().filter_map(Result::err).collect());
        if result.is_err() {
            // What was to be replaced stays in its place.
            let view = self.owner.now();
            let made =
                replacements.into_iter().filter(|id| view.containers.contains_key(id)).collect::<Vec<_>>();
            self.end(&made, None, Fate::Replaced, outlet).await?;
        }
        result
    }

    /// Makes one container; `action` is what is told once it is there.
    pub(crate) async fn make_container(
        &self,
        spec: ContainerSpec,
        action: Action,
        outlet: &Outlet,
    ) -> Result<(), ApiError> {
        let begun = if action == Action::Recreated { Action::Recreating } else { Action::Creating };
        let (name, service) = (spec.name.clone(), spec.service.name.clone());
        outlet.container(&name, &service, begun, None, None).await;
        self.ground(&format!("service {service}"), self.runtime.create(&spec)).await?;
        let source = words::source(&spec.image);
        self.owner.tell(Command::Insert(vec![Arc::new(spec)])).await;
        outlet.container(&name, &service, action, Some(source), None).await;
        Ok(())
    }

    /// Forgets that a command had stopped these.
    async fn unmark_stopped(&self, ids: &[ContainerId], turn: &mut Turn) -> Result<(), ApiError> {
        let (view, project) = self.project();
        let names: Vec<&String> =
            ids.iter().filter_map(|id| view.containers.get(id)).map(|found| &found.spec.name).collect();
        turn.change(&project, |record| record.stopped.retain(|name| !names.contains(&name))).await
    }
}

/// Splits the plan's steps into what is made, replaced, stopped and started, and tells what stays.
async fn divide(view: &View, project: &Project, plan: Plan, outlet: &Outlet) -> Work {
    let mut work = Work {
        make: Vec::new(),
        replaced: Vec::new(),
        stopped: Vec::new(),
        made: Made { start: Vec::new(), all: Vec::new(), prepare: true },
    };
    let gates: BTreeMap<String, Arc<Gates>> =
        plan.gates.into_iter().map(|(service, gates)| (service, Arc::new(gates))).collect();
    let gates_of = |service: &String| gates.get(service).cloned().unwrap_or_default();
    let mut renewed: BTreeSet<String> = BTreeSet::new();
    for step in plan.containers {
        let (id, service) = match step {
            Step::Create(spec) => {
                let key = (spec.id.clone(), spec.service.name.clone());
                work.make.push((Action::Created, spec));
                key
            }
            Step::Recreate { old, new } => {
                let key = (new.id.clone(), old.service.clone());
                work.replaced.push(old.id);
                work.make.push((Action::Recreated, new));
                renewed.insert(key.1.clone());
                key
            }
            Step::Start(old) => (old.id, old.service),
            Step::Leave(old) => {
                work.made.all.push(old.id.clone());
                let follows = gates_of(&old.service)
                    .iter()
                    .any(|(other, dependency)| dependency.restart && renewed.contains(other));
                let found = view.containers.get(&old.id);
                let alive = found.is_some_and(|found| found.phase.alive());
                if found.is_some_and(Container::greeting_failed) {
                    // It runs; what failed in it is tried once more.
                    work.made.start.push((old.id.clone(), gates_of(&old.service)));
                    continue;
                }
                if follows && alive {
                    renewed.insert(old.service.clone());
                    work.stopped.push(old.id.clone());
                    work.made.start.push((old.id, gates_of(&old.service)));
                } else {
                    let completed = view.containers.get(&old.id).is_some_and(|found| found.completed());
                    let action = if completed { Action::Completed } else { Action::Running };
                    outlet.container(&old.name, &old.service, action, None, None).await;
                }
                continue;
            }
        };
        work.made.all.push(id.clone());
        work.made.start.push((id, gates_of(&service)));
    }
    for displaced in plan.displaced {
        let Some(found) = view.containers.get(&displaced.id).filter(|found| found.phase.alive()) else {
            continue;
        };
        let mut waits = graph::dependencies(&found.spec.service);
        waits.retain(|other, _| project.services.get(other).is_some_and(|service| service.scale > 0));
        work.stopped.push(displaced.id.clone());
        work.made.start.push((displaced.id, Arc::new(waits)));
    }
    work
}

/// Tells of containers of services that the file no longer has.
pub(crate) async fn tell_orphans(names: impl Iterator<Item = &str>, outlet: &Outlet) {
    let names: Vec<&str> = names.collect();
    if !names.is_empty() {
        let text = format!(
            "Found orphan containers ({}) for this project. If you removed or renamed this service in your compose file, you can run this command with the --remove-orphans flag to clean it up.",
            names.join(", ")
        );
        outlet.note(Level::Warning, text).await;
    }
}

/// Those of the new containers whose predecessors, by name, are there still.
fn surplus_replacements(view: &View, kept: &[&ContainerId], new: &[ContainerId]) -> Vec<ContainerId> {
    let name = |id: &ContainerId| view.containers.get(id).map(|found| found.spec.name.as_str());
    let kept_names: BTreeSet<&str> = kept.iter().filter_map(|id| name(id)).collect();
    let surplus =
        |id: &&ContainerId| !kept.contains(id) && name(id).is_some_and(|name| kept_names.contains(name));
    new.iter().filter(surplus).cloned().collect()
}

/// An error in the choice of services.
pub(crate) fn graph_error(error: GraphError) -> ApiError {
    let hint = match &error {
        GraphError::NoSuchService { inactive: true, .. } => {
            Some("no chosen profile activates it; choose one with --profile".to_owned())
        }
        _ => None,
    };
    ApiError { hint, ..refusal(ErrorKind::Request, error.to_string()) }
}
