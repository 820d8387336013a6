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
    settings::Settings,
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
use mesh_store::aside::{Aside, Hold};
use std::{collections::BTreeSet, path::PathBuf};

/// Times that a volume is looked at again because more was in it than one list has.
const CLEARINGS_MAX: usize = 1000;
/// What is said where a backup does not fit what is there.
const ELSEWHERE: &str = "no data was changed; a backup is restored into the services that it was made of: bring them up \
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
    let key = arguments.key.of_restore(&backup, &manifest)?;
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
    let settings = Settings::read(&backup, &manifest, key.as_ref())?;
    let mut signals = Signals::watch()?;
    let preparing = Work::prepare(context, &target, &settings, backup, manifest, key);
    let (work, PutAside { aside, keys, of_vault }) = signals.unless_interrupted(preparing).await?;
    // From here on whatever goes wrong has what ran before run again.
    if let Err(error) = signals.unless_interrupted(work.restore(context, &aside, &keys)).await {
        restoring::put_back(&work.client, aside).await?;
        return Err(error);
    }
    let staying = aside.keep()?;
    settings.settle(context, &target, &of_vault)?;
    restoring::remove_staying(&staying);
    console::err_line(&format!(" Backup {}  Restored", work.backup.name));
    Ok(0)
}

/// What is about to be put aside while a backup takes its place.
struct PutAside {
    aside: Aside,
    /// Volumes that are empty then.
    keys: BTreeSet<String>,
    /// Generated secrets that a vault has in one of them.
    of_vault: Vec<String>,
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
}

impl Work {
    /// Makes containers where there are none. Once everything has a place to go to, and nobody else is at work on the
    /// volumes, it is written down which are put aside; nothing is stopped before.
    async fn prepare(
        context: &Context,
        target: &Target,
        settings: &Settings,
        backup: Whole,
        manifest: Manifest,
        key: Option<Key>,
    ) -> Result<(Self, PutAside), CliError> {
        let there = There::find(target).await?.filter(|there| !there.containers.is_empty());
        let made = there.is_none();
        let client = match there {
            Some(there) => there.client,
            None => {
                // Containers are made with them.
                settings.put_environment(context, target)?;
                settings.put_secrets(context, target, &[])?;
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
        let mut work = Self { backup, manifest, key, client, project, containers: Vec::new() };
        work.look().await?;
        let mut of_vault = settings.rescue(context, target, &work.project, &work.replaced()).await?;
        let hold = Hold::take(&target.paths.aside)?;
        // Another restore may have been at work until now, or an `up` that moved values into the vault again.
        let ran = work.look().await?;
        let again = settings.rescue(context, target, &work.project, &work.replaced()).await?;
        of_vault.extend(again.into_iter().filter(|name| !of_vault.contains(name)).collect::<Vec<_>>());
        if !made {
            settings.put_environment(context, target)?;
            settings.put_secrets(context, target, &of_vault)?;
        }
        let (keys, directories) = work.to_put_aside(context);
        let aside = hold.begin(directories, ran)?;
        Ok((work, PutAside { aside, keys, of_vault }))
    }

    /// Looks what is there, and refuses what does not fit. Gives the services that run.
    async fn look(&mut self) -> Result<Vec<String>, CliError> {
        let (one_offs, services): (Vec<_>, Vec<_>) =
            containers(&self.client).await?.into_iter().partition(|one| one.one_off);
        self.containers = services;
        self.check_places()?;
        // What `run` made is not stopped with the project.
        self.refuse_writers(&one_offs)?;
        let ran = self.containers.iter().filter(|one| !is_at_rest(one.state)).map(|one| one.service.clone());
        Ok(ran.collect::<BTreeSet<String>>().into_iter().collect())
    }

    /// Refuses while a process that may write into one of the volumes is there.
    fn refuse_writers(&self, containers: &[ContainerStatus]) -> Result<(), CliError> {
        let volumes = self.manifest.files.values().filter_map(|entry| match &entry.content {
            Content::Volume { key, .. } => Some(key.as_str()),
            _ => None,
        });
        refuse_writers(&at_work(&self.project, containers, &volumes.collect(), is_at_rest))
    }

    /// The volumes whose data is replaced: those that are in the backup, and those that dumps make anew.
    fn replaced(&self) -> BTreeSet<String> {
        let files = self.manifest.files.values();
        let (mut keys, mut dumped) = (BTreeSet::new(), BTreeSet::new());
        for entry in files {
            match &entry.content {
                Content::Volume { key, .. } => drop(keys.insert(key.clone())),
                Content::Dump { service } => drop(dumped.insert(service.as_str())),
                Content::Environment | Content::Secrets => {}
            }
        }
        keys.extend(filled_by_dumps(&self.project, &self.containers, &dumped).into_iter().map(str::to_owned));
        keys
    }

    /// Those of them that are put aside, with their directories.
    fn to_put_aside(&self, context: &Context) -> (BTreeSet<String>, Vec<PathBuf>) {
        let keys = self.replaced();
        let volumes = context.home.data.join("volumes");
        let directory = |key: &String| {
            // One with options of its driver is somewhere else.
            let volume = self.project.volumes.get(key).filter(|volume| volume.driver_opts.is_empty())?;
            let directory = volumes.join(&volume.name);
            directory.join("_data").is_dir().then_some(directory)
        };
        keys.iter().filter_map(|key| Some((key.clone(), directory(key)?))).unzip()
    }

    async fn restore(
        &self,
        context: &Context,
        aside: &Aside,
        keys: &BTreeSet<String>,
    ) -> Result<(), CliError> {
        let stop = Request::Stop { services: Vec::new(), timeout_seconds: None };
        context.ask(&self.client, stop).await?;
        self.refuse_writers(&containers(&self.client).await?)?;
        aside.put_aside()?;
        self.fill_volumes(keys).await?;
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
            return Err(CliError::said(said).with_hint("no data was changed"));
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
