//! `--dry-run`: what a verb would do, told and not done.
//!
//! What is there is asked of the running supervisor. None is started for it: where none runs nothing of
//! the project does, or nobody attends to it at the moment, and then that is said.

use crate::{
    arguments::Verb,
    console,
    context::{Context, Target, containers},
    failure::CliError,
    supervisor,
};
use mesh_api::{
    message::{Action, ImageStage, Level, ObjectKind, Progress},
    options::{CreateOptions, Recreate, UpOptions},
    request::Request,
    status::{ContainerStatus, State},
};
use mesh_model::{
    image::{Image, ImageConfig, Source},
    project::Project,
};
use mesh_plan::{
    graph,
    outline::{Deed, Line, Object, outline},
    plan::{self, Observed},
};
use std::collections::{BTreeMap, BTreeSet};

/// Whether a verb itself knows how to be rehearsed, or changes nothing anyway. Of others it is told in a
/// sentence what they would do.
///
/// # Errors
/// For a verb of which nothing can be told.
pub(crate) fn is_known(context: &Context, verb: &Verb) -> Result<bool, CliError> {
    let text = match verb {
        Verb::Up(_)
        | Verb::Create(_)
        | Verb::Run(_)
        | Verb::Scale(_)
        | Verb::Start(_)
        | Verb::Stop(_)
        | Verb::Restart(_)
        | Verb::Kill(_)
        | Verb::Rm(_)
        | Verb::Down(_)
        | Verb::Pause(_)
        | Verb::Unpause(_)
        | Verb::Wait(_)
        | Verb::Ps(_)
        | Verb::Logs(_)
        | Verb::Top(_)
        | Verb::Stats(_)
        | Verb::Port(_)
        | Verb::Config(_)
        | Verb::Ls(_)
        | Verb::Images(_)
        | Verb::Volumes(_)
        | Verb::Vault(_)
        | Verb::Certs(_)
        | Verb::Events(_)
        | Verb::Graph(_)
        | Verb::Status(_)
        | Verb::Health(_)
        | Verb::Profiles(_)
        | Verb::Ip(_)
        | Verb::Trust(_)
        | Verb::Hosts(_)
        | Verb::Reset(_)
        | Verb::Backup(_)
        | Verb::Restore(_)
        | Verb::Verify(_) => return Ok(true),
        Verb::Shell(_) => "the shell would be opened",
        Verb::Exec(_) => "the program would be run",
        Verb::Attach(_) => "the container would be attached to",
        Verb::Cp(_) => "the files would be copied",
        Verb::Watch(_) => "the files would be watched",
        Verb::Pull(_) => "the images would be fetched",
        _ => return Err(CliError::said("--dry-run is not known to this verb")),
    };
    context.reporter().tell(Progress::Note { level: Level::Info, text: text.to_owned() });
    Ok(false)
}

/// What is done to one object.
pub(super) struct Told {
    object: ObjectKind,
    name: String,
    service: Option<String>,
    actions: &'static [Action],
}

impl Told {
    /// Something done to a container.
    pub(super) fn container(container: &ContainerStatus, actions: &'static [Action]) -> Self {
        let (name, service) = (container.name.clone(), Some(container.service.clone()));
        Self { object: ObjectKind::Container, name, service, actions }
    }

    /// Something done to a network or a volume.
    pub(super) fn object(object: ObjectKind, name: &str, actions: &'static [Action]) -> Self {
        Self { object, name: name.to_owned(), service: None, actions }
    }
}

/// Tells what would be done.
pub(super) fn tell(context: &Context, told: impl IntoIterator<Item = Told>) {
    let mut reporter = context.reporter();
    for Told { object, name, service, actions } in told {
        for action in actions {
            let (name, service) = (name.clone(), service.clone());
            reporter.tell(Progress::Object {
                object,
                name,
                service,
                action: *action,
                detail: None,
                elapsed_ms: 0,
            });
        }
    }
}

/// The containers of the services (none: all) that are there, in the order of stopping: dependents first.
/// Those of `run` are not among them.
pub(super) async fn present(target: &Target, services: &[String]) -> Result<Vec<ContainerStatus>, CliError> {
    let mut found = all(target).await?;
    found.retain(|one| !one.one_off && (services.is_empty() || services.contains(&one.service)));
    let levels = target.project.as_ref().map(|project| {
        let chosen: BTreeSet<String> = project.services.keys().cloned().collect();
        graph::levels(project, &chosen).unwrap_or_default()
    });
    let levels = levels.unwrap_or_default();
    // Those the file no longer has come first.
    let level = |one: &ContainerStatus| levels.iter().position(|level| level.contains(&one.service));
    found.sort_by_key(|one| (std::cmp::Reverse(level(one).unwrap_or(usize::MAX)), one.name.clone()));
    Ok(found)
}

/// All containers, those of `run` among them.
pub(super) async fn all(target: &Target) -> Result<Vec<ContainerStatus>, CliError> {
    match supervisor::running(&target.name, &target.paths).await? {
        Some(client) => containers(&client).await,
        None => {
            if target.paths.record.exists() {
                console::err_line(&format!(
                    "warning: no supervisor of project `{}` runs, and none is started to see what is there",
                    target.name
                ));
            }
            Ok(Vec::new())
        }
    }
}

/// Whether a container has a process.
pub(super) fn runs(container: &ContainerStatus) -> bool {
    matches!(container.state, State::Running | State::Paused | State::Restarting)
}

/// Tells what bringing the project up would do, or creating it alone.
pub(super) async fn up(
    context: &Context,
    target: &Target,
    project: &Project,
    create: CreateOptions,
    start: bool,
) -> Result<(), CliError> {
    if let Some(client) = supervisor::running(&target.name, &target.paths).await? {
        let options = UpOptions { create, no_start: !start, ..UpOptions::default() };
        let project = Box::new(project.clone());
        context.ask(&client, Request::Up { project, options }).await?;
        return Ok(());
    }
    all(target).await?;
    let chosen = graph::select(project, &create.services, create.no_deps).map_err(said)?;
    let images: BTreeMap<String, Image> =
        chosen.iter().map(|name| (name.clone(), unknown_image(project, name))).collect();
    let observed = Observed { volumes: volumes_on_disk(context, project), ..Observed::default() };
    // No container is made, so none needs an identity of its own.
    let plan = plan::plan(project, &options(create), &images, &observed, &mut || [0; 32]).map_err(said)?;
    let mut reporter = context.reporter();
    let references: BTreeSet<&String> = images.values().map(|image| &image.reference).collect();
    for reference in references.into_iter().filter(|reference| !reference.is_empty()) {
        let stage = ImageStage::Resolving { detail: "fetched unless it is stored".to_owned() };
        reporter.tell(Progress::Image { reference: reference.clone(), services: Vec::new(), stage });
    }
    tell(context, outline(&plan, project, start).into_iter().map(of_line));
    Ok(())
}

fn said(error: impl std::fmt::Display) -> CliError {
    CliError::said(error.to_string())
}

fn unknown_image(project: &Project, service: &str) -> Image {
    let reference = project.services.get(service).and_then(|service| service.image.clone());
    Image {
        reference: reference.unwrap_or_default(),
        digest: String::new(),
        source: Source::Oci,
        layers: Vec::new(),
        config: ImageConfig::default(),
    }
}

/// The project's own named volumes that are there: they outlive everything else of it.
pub(super) fn volumes_on_disk(context: &Context, project: &Project) -> BTreeSet<String> {
    let directory = context.home.data.join("volumes");
    let own = project.volumes.values().filter(|volume| !volume.external);
    own.map(|volume| volume.name.clone()).filter(|name| directory.join(name).exists()).collect()
}

fn options(create: CreateOptions) -> plan::Options {
    plan::Options {
        services: create.services,
        no_deps: create.no_deps,
        recreate: match create.recreate {
            Recreate::Changed => plan::Recreate::Changed,
            Recreate::Force => plan::Recreate::Force,
            Recreate::Never => plan::Recreate::Never,
        },
        renew_anonymous_volumes: create.renew_anonymous_volumes,
        always_recreate_deps: create.always_recreate_deps,
        remove_orphans: create.remove_orphans,
        rerun: create.rerun,
        scale: create.scale,
    }
}

fn of_line(line: Line) -> Told {
    let object = match line.object {
        Object::Network => ObjectKind::Network,
        Object::Volume => ObjectKind::Volume,
        Object::Container => ObjectKind::Container,
    };
    let actions: &'static [Action] = match line.deed {
        Deed::Create => &[Action::Creating, Action::Created],
        Deed::Recreate => &[Action::Recreating, Action::Recreated],
        Deed::Start => &[Action::Starting, Action::Started],
        Deed::Leave => &[Action::Running],
        Deed::LeaveCompleted => &[Action::Completed],
        Deed::Stop => &[Action::Stopping, Action::Stopped],
        Deed::Remove => &[Action::Removing, Action::Removed],
    };
    Told { object, name: line.name, service: line.service, actions }
}
