//! `restore`: the data of a project becomes that of a backup.
//!
//! Nothing is touched before every file was found as it was written. The volumes that there are are put aside, and empty
//! ones are filled while nothing runs; then the services that read their data themselves are started, with what they
//! need, and given theirs; at last the rest is. Only once all of it is ready do the new volumes count: whatever goes wrong
//! before, a signal or a kill included, has the old ones back.

use super::{
    KeyFile, Place,
    folder::{Source, Whole},
    manifest::{Content, Manifest, Verdict},
    plan::{at_work, filled_by_dumps, is_at_rest, parent_and_folder, through},
    programs::{Signals, feed, program},
    refuse_writers,
    seal::Key,
    settings,
    verify::check,
};
use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    files::Files,
    restoring,
    supervisor::Client,
    verbs::stack::{There, brought_up, confirmed},
};
use clap::Args;
use mesh_api::{
    options::{CreateOptions, FileOperation},
    request::Request,
    status::ContainerStatus,
};
use mesh_model::project::Project;
use mesh_store::aside::Aside;
use std::{collections::BTreeSet, path::PathBuf};

/// Times that a volume is looked at again because more was in it than one list has.
const CLEARINGS_MAX: usize = 1000;
/// What is said where a backup does not fit what is there.
const ELSEWHERE: &str = "nothing was changed; a backup is restored into the services that it was made of: bring them up \
                         (with their profiles), or remove all of it (`mesh reset`), and restore again";
/// Files of a list that is whole for certain: longer ones may have been cut.
const LISTED_WHOLE: usize = 100_000;

/// Arguments of `restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArguments {
    /// Name of the backup (default: the latest)
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    key: KeyFile,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: RestoreArguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    let folder = arguments.place.folder(&target)?;
    let backup = Whole::find(&folder, arguments.name.as_deref())?;
    let (manifest, verdicts) = check(&backup)?;
    if let Some((file, verdict)) = verdicts.iter().find(|(_, verdict)| *verdict != Verdict::Same) {
        return Err(CliError::said(format!("backup {}: {file} {}", backup.name, verdict.words()))
            .with_hint("nothing was changed; `mesh verify --all` tells which backups are whole"));
    }
    if manifest.project != target.name {
        console::err_line(&format!("warning: this is a backup of project {}", manifest.project));
    }
    let key = arguments.key.of_restore(&backup.name, &manifest)?;
    if context.settings.dry_run {
        for (file, entry) in &manifest.files {
            console::out_line(&match &entry.content {
                Content::Volume { key, .. } => {
                    format!("Volume {key} would have what is in {file}, and nothing else")
                }
                Content::Dump { service } => format!("Service {service} would read {file}"),
                Content::Environment => "A .env that is not there would be that of the backup".to_owned(),
                Content::Secrets => {
                    "Generated secrets that are not there would be those of the backup".to_owned()
                }
            });
        }
        return Ok(0);
    }
    let question = format!(
        "This stops project {}, and replaces its data by that of backup {}. Go on?",
        target.name, backup.name
    );
    if !arguments.yes && !confirmed(&question)? {
        return Err(CliError::said("nothing was changed").with_hint("`--yes` restores without asking"));
    }
    settings::put_back(context, &target, &backup, &manifest, key.as_ref())?;
    let mut signals = Signals::watch()?;
    let work = signals.unless_interrupted(Work::prepare(context, &target, backup, manifest, key)).await?;
    let aside = work.put_aside(context, &target)?;
    if let Err(error) = signals.unless_interrupted(work.restore(context, &aside)).await {
        restoring::put_back(&work.client, aside.aside).await?;
        return Err(error);
    }
    restoring::tell_staying(&aside.aside.keep()?);
    console::err_line(&format!(" Backup {}  Restored", work.backup.name));
    Ok(0)
}

/// What is put aside while a backup takes its place.
struct PutAside {
    aside: Aside,
    /// Volumes that are empty now.
    keys: BTreeSet<String>,
}

/// Whatever has containers is started, and waited for.
fn start(services: Vec<String>) -> Request {
    Request::Start { services, wait: true, wait_timeout_ms: None }
}

struct Work {
    backup: Whole,
    manifest: Manifest,
    key: Option<Key>,
    client: Client,
    project: Box<Project>,
    containers: Vec<ContainerStatus>,
    /// Services that ran before.
    ran: BTreeSet<String>,
}

impl Work {
    /// Makes containers where there are none, and stops those that run, once everything has a place to go to.
    async fn prepare(
        context: &Context,
        target: &Target,
        backup: Whole,
        manifest: Manifest,
        key: Option<Key>,
    ) -> Result<Self, CliError> {
        let there = There::find(target).await?.filter(|there| !there.containers.is_empty());
        let client = match there {
            Some(there) => there.client,
            None => {
                let project = as_backed_up(context, &manifest).await?;
                let client = target.supervise().await?;
                let options = CreateOptions {
                    substitute: context.settings.substitute,
                    ports: context.settings.ports,
                    take_over: context.settings.take_over,
                    ..CreateOptions::default()
                };
                context.ask(&client, Request::Create { project, options }).await?;
                client
            }
        };
        let project = brought_up(&client).await?;
        let project = project.ok_or_else(|| CliError::said("the supervisor knows nothing of the project"))?;
        let (one_offs, services) = containers(&client).await?.into_iter().partition(|one| one.one_off);
        let services: Vec<ContainerStatus> = services;
        let ran = services.iter().filter(|one| !is_at_rest(one.state)).map(|one| one.service.clone());
        let ran = ran.collect();
        let work = Self { backup, manifest, key, client, project, containers: services, ran };
        work.check_places()?;
        // What `run` made is not stopped with the project.
        work.refuse_writers(&one_offs)?;
        let stop = Request::Stop { services: Vec::new(), timeout_seconds: None };
        context.ask(&work.client, stop).await?;
        work.refuse_writers(&containers(&work.client).await?)?;
        Ok(work)
    }

    /// Refuses while a process that may write into one of the volumes is there.
    fn refuse_writers(&self, containers: &[ContainerStatus]) -> Result<(), CliError> {
        let volumes = self.manifest.files.values().filter_map(|entry| match &entry.content {
            Content::Volume { key, .. } => Some(key.as_str()),
            _ => None,
        });
        refuse_writers(&at_work(&self.project, containers, &volumes.collect(), is_at_rest))
    }

    /// Puts the old data aside: that of volumes that are in the backup, and that which dumps make anew.
    fn put_aside(&self, context: &Context, target: &Target) -> Result<PutAside, CliError> {
        let files = self.manifest.files.values();
        let (mut keys, mut dumped) = (BTreeSet::new(), BTreeSet::new());
        for entry in files {
            match &entry.content {
                Content::Volume { key, .. } => drop(keys.insert(key.clone())),
                Content::Dump { service } => drop(dumped.insert(service.as_str())),
                Content::Environment | Content::Secrets => {}
            }
        }
        keys.extend(filled_by_dumps(&self.project, &dumped).into_iter().map(str::to_owned));
        let volumes = context.home.data.join("volumes");
        let directory = |key: &String| {
            // One with options of its driver is somewhere else.
            let volume = self.project.volumes.get(key).filter(|volume| volume.driver_opts.is_empty())?;
            let directory = volumes.join(&volume.name);
            directory.join("_data").is_dir().then_some(directory)
        };
        let found = keys.iter().filter_map(|key| Some((key.clone(), directory(key)?)));
        let (keys, directories): (BTreeSet<String>, Vec<PathBuf>) = found.unzip();
        let ran = self.ran.iter().cloned().collect();
        let aside = Aside::begin(&target.paths.aside, directories, ran)?;
        if let Err(error) = aside.put_aside() {
            restoring::tell_staying(&aside.put_back()?);
            return Err(error.into());
        }
        Ok(PutAside { aside, keys })
    }

    async fn restore(&self, context: &Context, aside: &PutAside) -> Result<(), CliError> {
        self.fill_volumes(&aside.keys).await?;
        self.read_dumps(context).await?;
        context.ask(&self.client, start(Vec::new())).await.map(drop)
    }

    /// Refuses, before anything is changed, what has no place to go to.
    fn check_places(&self) -> Result<(), CliError> {
        for (file, entry) in &self.manifest.files {
            match &entry.content {
                Content::Volume { key, folder } => drop(self.place(key, folder)?),
                Content::Environment | Content::Secrets => {}
                Content::Dump { service } => {
                    let reads = self.project.services.get(service).is_some_and(|found| found.dump.is_some());
                    let there = self.containers.iter().any(|one| one.service == *service);
                    if !reads || !there {
                        return Err(CliError::said(format!("no service {service} is there to read {file}"))
                            .with_hint(ELSEWHERE));
                    }
                }
            }
        }
        Ok(())
    }

    /// The container and the path by which a volume is filled.
    fn place(&self, key: &str, folder: &str) -> Result<(String, String), CliError> {
        if self.project.volumes.get(key).is_some_and(|volume| volume.external) {
            let said = format!("volume {key} is external now: its data is not the project's alone");
            return Err(CliError::said(said).with_hint("nothing was changed"));
        }
        let found = through(&self.project, &self.containers, key, false);
        match found {
            Some((container, target)) if parent_and_folder(&target).1 == folder => Ok((container, target)),
            Some((_, target)) => {
                let said = format!("volume {key} was at a folder {folder}, and is at {target} now");
                Err(CliError::said(said).with_hint(ELSEWHERE))
            }
            None => {
                let said =
                    format!("no container may write the whole of volume {key} and has nothing else in it");
                Err(CliError::said(said).with_hint(ELSEWHERE))
            }
        }
    }

    async fn fill_volumes(&self, empty: &BTreeSet<String>) -> Result<(), CliError> {
        let files = Files { client: self.client.clone(), containers: Vec::new() };
        for (file, entry) in &self.manifest.files {
            let Content::Volume { key, folder } = &entry.content else { continue };
            let (container, target) = self.place(key, folder)?;
            let directory = parent_and_folder(&target).0.to_owned();
            if !empty.contains(key) {
                clear(&files, &container, &target).await?;
            }
            let operation = FileOperation::In { directory, archive: false };
            let command = files.command(&container, operation).await?;
            feed(&format!("filling volume {key}"), command, self.open(file)?).await?;
            console::err_line(&format!(" Volume {key}  Filled"));
        }
        Ok(())
    }

    async fn read_dumps(&self, context: &Context) -> Result<(), CliError> {
        let dumps: Vec<(&String, &String)> = self
            .manifest
            .files
            .iter()
            .filter_map(|(file, entry)| match &entry.content {
                Content::Dump { service } => Some((file, service)),
                _ => None,
            })
            .collect();
        if dumps.is_empty() {
            return Ok(());
        }
        let services: BTreeSet<String> = dumps.iter().map(|(_, service)| (*service).clone()).collect();
        context.ask(&self.client, start(services.into_iter().collect())).await?;
        for (file, service) in dumps {
            let dump = self.project.services.get(service).and_then(|found| found.dump.as_ref());
            let Some(dump) = dump else { continue };
            let command = program(&self.client, service, &dump.restore, dump.user.as_ref()).await?;
            let what = format!("the restore of service {service}");
            feed(&what, command, self.open(file)?).await?;
            console::err_line(&format!(" Service {service}  Read {file}"));
        }
        Ok(())
    }

    fn open(&self, file: &str) -> Result<Source, CliError> {
        self.backup.open(file, self.key.as_ref())
    }
}

/// The project with those services active that the backup was made of.
async fn as_backed_up(context: &Context, manifest: &Manifest) -> Result<Box<Project>, CliError> {
    let services: Vec<String> = manifest.services.iter().cloned().collect();
    let target = context.load(&services).await?;
    context.refuse_unsupported(&target, &services, true)?;
    let mut project = target.required_project()?;
    let others: Vec<String> =
        project.services.keys().filter(|name| !manifest.services.contains(*name)).cloned().collect();
    project.services.retain(|name, _| manifest.services.contains(name));
    project.inactive.extend(others);
    Ok(project)
}

/// Removes everything in a directory of a container, not the directory itself. What the image has there comes again by
/// itself at the next copy, as it does in every volume that is empty; files of the backup then replace it.
async fn clear(files: &Files, container: &str, directory: &str) -> Result<(), CliError> {
    for _ in 0..CLEARINGS_MAX {
        let listed = files.list(container, directory).await?;
        let first = |path: &String| path.split('/').next().filter(|part| !part.is_empty()).map(str::to_owned);
        let entries: BTreeSet<String> = listed.keys().filter_map(first).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let directory = directory.trim_end_matches('/');
        files.remove(container, entries.iter().map(|entry| format!("{directory}/{entry}")).collect()).await?;
        if listed.len() < LISTED_WHOLE {
            return Ok(());
        }
    }
    Err(CliError::said(format!("{directory} of container {container} does not become empty")))
}
