//! `backup`, `verify` and `restore`: the data of a project in a folder, each file with its digest.
//!
//! A service that says how (`x-mesh.backup`) is asked for its data while it runs; volumes of all others are read
//! while the services that have them are frozen, so that they are as of one moment. What is made is hidden until it is
//! whole. The folder is its user's alone; with a key its files are sealed as well. Deliberately absent: schedules.

mod folder;
mod manifest;
mod name;
mod plan;
mod programs;
mod restore;
mod seal;
mod settings;
mod verify;

pub(crate) use restore::{RestoreArguments, run as restore};
pub(crate) use verify::{VerifyArguments, run as verify};

use super::There;
use crate::{
    console,
    context::{Context, Target, containers},
    failure::CliError,
    files::Files,
    words,
};
use clap::Args;
use folder::{Partial, Whole};
use manifest::{Content, Entry, Manifest};
use mesh_api::{options::FileOperation, request::Request, status::State};
use mesh_model::project::Project;
use plan::{Plan, at_work, is_still, plan, unknown};
use programs::{Signals, keep, program};
use seal::Key;
use std::path::PathBuf;

/// The folder of backups beside a Compose file.
const FOLDER: &str = "backups";

/// Where backups are.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// Directory of the backups (default: `backups` beside the Compose file)
    #[arg(short, long, value_name = "DIRECTORY")]
    output: Option<PathBuf>,
}

impl Place {
    fn folder(&self, target: &Target) -> Result<PathBuf, CliError> {
        match (&self.output, &target.project) {
            (Some(output), _) => std::path::absolute(output).map_err(CliError::io("find the backups")),
            (None, Some(project)) => Ok(project.directory.join(FOLDER)),
            (None, None) => {
                Err(CliError::said("nothing says where backups are").with_hint("`--output DIRECTORY`"))
            }
        }
    }
}

/// The key of sealed backups.
#[derive(Debug, Args)]
pub(crate) struct KeyFile {
    /// Key that the backup's files are sealed by; `backup` makes one where there is none
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyFile {
    /// The key that is asked for, made where there is none.
    fn of_backup(&self) -> Result<Option<Key>, CliError> {
        let Some(path) = &self.key_file else { return Ok(None) };
        let (key, made) = Key::of(path, true)?;
        if made {
            console::err_line(&format!(
                "note: made the key {}: without it nobody can restore this backup, so keep it elsewhere too",
                path.display()
            ));
        }
        Ok(Some(key))
    }

    /// The key that opens a backup, whose manifest was written by whoever has it.
    fn of_restore(&self, backup: &Whole, manifest: &Manifest) -> Result<Option<Key>, CliError> {
        let name = &backup.name;
        let Some(mark) = &manifest.sealed else {
            return match &self.key_file {
                None => Ok(None),
                // Whoever may write there could have put it in the place of a sealed one.
                Some(_) => Err(CliError::said(format!("backup {name} is not sealed, and a key was given"))
                    .with_hint("nothing was changed; without `--key-file` it is restored as it is")),
            };
        };
        let path = self.key_file.as_ref().ok_or_else(|| {
            CliError::said(format!("backup {name} is sealed"))
                .with_hint("`--key-file FILE` says by which key")
        })?;
        let (key, _) = Key::of(path, false)?;
        if key.mark()? != *mark {
            let said = format!("{} is not the key of backup {name}", path.display());
            return Err(CliError::said(said).with_hint("nothing was changed"));
        }
        let Some(id) = &manifest.id else {
            console::err_line(&format!(
                "warning: backup {name} is of a version that did not seal manifests: the key does not prove which files \
                 it had"
            ));
            return Ok(Some(key));
        };
        let key = key.of_id(id)?;
        if !backup.is_proved(manifest, &key)? {
            let said = format!("the manifest of backup {name} was not written by whoever has its key");
            return Err(CliError::said(said).with_hint("nothing was changed; an older backup may be whole"));
        }
        Ok(Some(key))
    }
}

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    key: KeyFile,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: BackupArguments) -> Result<u8, CliError> {
    let target = context.own_target()?;
    let folder = arguments.place.folder(&target)?;
    let nothing = || {
        CliError::said(format!("nothing of project `{}` is there", target.name))
            .with_hint("`mesh up` starts it; what was started before is read whether or not it runs")
    };
    let there = There::find(&target).await?.ok_or_else(nothing)?;
    let project = there.project.as_deref().filter(|_| !there.containers.is_empty()).ok_or_else(nothing)?;
    refuse_unknown(project, &there)?;
    let plan = plan(project, &there.containers).map_err(CliError::said)?;
    for sentence in &plan.absent {
        console::err_line(&format!("warning: {sentence}, and is not in the backup"));
    }
    if plan.dumps.is_empty() && plan.volumes.is_empty() {
        return Err(CliError::said(format!("project `{}` has no data to keep", target.name)));
    }
    refuse_writers(&expected_writers(project, &there, &plan))?;
    if context.settings.dry_run {
        rehearse(&plan, &folder);
        return Ok(0);
    }
    let key = arguments.key.of_backup()?;
    let mut signals = Signals::watch()?;
    let begun_unix_ms = words::now_unix_ms();
    let services = project.services.keys().cloned().collect();
    let mut manifest = Manifest::new(target.name.clone(), begun_unix_ms, services);
    let key = match key {
        None => None,
        Some(key) => {
            let id = Key::new_id()?;
            manifest.sealed = Some(key.mark()?);
            Some(key.of_id(manifest.id.insert(id))?)
        }
    };
    let partial = Partial::begin(&folder, begun_unix_ms, key)?;
    signals.unless_interrupted(settings::take(context, &target, &partial, &mut manifest)).await?;
    signals.unless_interrupted(take_dumps(&there, &plan, &partial, &mut manifest)).await?;
    let volumes = Volumes { context, there: &there, project, plan: &plan };
    volumes.take(&mut signals, &partial, &mut manifest).await?;
    let path = signals.unless_interrupted(async { partial.finish(&manifest) }).await?;
    console::out_line(&path.display().to_string());
    Ok(0)
}

/// A service that is there and not known may have data of which nothing would be in the backup.
fn refuse_unknown(project: &Project, there: &There) -> Result<(), CliError> {
    let names: Vec<&str> = unknown(project, &there.containers).into_iter().collect();
    if names.is_empty() {
        return Ok(());
    }
    let said = format!("services have containers and were not part of the last `up`: {}", names.join(", "));
    Err(CliError::said(said).with_hint(
        "bring them up with their profiles (`mesh --profile NAME up`, `--profile '*'` for all), or remove their containers",
    ))
}

/// Those that cannot be frozen: services that are about to write, and containers of `run`.
fn expected_writers(project: &Project, there: &There, plan: &Plan) -> Vec<String> {
    let keys = plan.keys();
    let mut names =
        at_work(project, &there.containers, &keys, |state| state == State::Running || is_still(state));
    names.extend(at_work(project, &there.one_offs, &keys, is_still));
    names
}

fn refuse_writers(names: &[String]) -> Result<(), CliError> {
    if names.is_empty() {
        return Ok(());
    }
    let said = format!("a volume of the backup may be written meanwhile by {}", names.join(", "));
    Err(CliError::said(said).with_hint("wait until these have ended, or have started; or stop them"))
}

fn rehearse(plan: &Plan, folder: &std::path::Path) {
    for dump in &plan.dumps {
        console::out_line(&format!("{} would be written by service {}", dump.dump.file, dump.service));
    }
    for volume in &plan.volumes {
        console::out_line(&format!("{} would be read from {}", volume.file, volume.container));
    }
    if !plan.pause.is_empty() {
        let names: Vec<&str> = plan.pause.iter().map(String::as_str).collect();
        console::out_line(&format!("Frozen meanwhile: {}", names.join(", ")));
    }
    console::out_line(&format!("All of it would be in a new folder of {}", folder.display()));
}

/// What services write of themselves.
async fn take_dumps(
    there: &There,
    plan: &Plan,
    partial: &Partial,
    manifest: &mut Manifest,
) -> Result<(), CliError> {
    for dump in &plan.dumps {
        let (service, dump) = (&dump.service, &dump.dump);
        let command = program(&there.client, service, &dump.command, dump.user.as_ref()).await?;
        let mut file = partial.file(&dump.file)?;
        keep(&format!("the backup of service {service}"), command, &mut file).await?;
        let content = Content::Dump { service: service.clone() };
        note(manifest, &dump.file, content, file)?;
    }
    Ok(())
}

/// The volumes of a backup, and who has them.
struct Volumes<'a> {
    context: &'a Context,
    there: &'a There,
    project: &'a Project,
    plan: &'a Plan,
}

impl Volumes<'_> {
    /// Reads them while whoever writes into them is frozen; they are thawed whatever comes of it.
    async fn take(
        &self,
        signals: &mut Signals,
        partial: &Partial,
        manifest: &mut Manifest,
    ) -> Result<(), CliError> {
        if self.plan.pause.is_empty() {
            return signals.unless_interrupted(self.read(partial, manifest)).await;
        }
        let services: Vec<String> = self.plan.pause.iter().cloned().collect();
        let (context, client) = (self.context, &self.there.client);
        let pause = context.ask(client, Request::Pause { services: services.clone() });
        if let Err(error) = signals.unless_interrupted(pause).await {
            if !matches!(error, CliError::Interrupted) {
                console::err_line(
                    "note: where services cannot be frozen, `mesh stop` before a backup does as well",
                );
            }
            // Some may have been.
            let _ = context.ask(client, Request::Unpause { services }).await;
            return Err(error);
        }
        let taken = signals.unless_interrupted(self.read(partial, manifest)).await;
        // Not to be interrupted: nobody else would thaw them.
        let thawed = context.ask(client, Request::Unpause { services }).await;
        taken.and(thawed.map(drop))
    }

    async fn read(&self, partial: &Partial, manifest: &mut Manifest) -> Result<(), CliError> {
        let now = containers(&self.there.client).await?;
        refuse_writers(&at_work(self.project, &now, &self.plan.keys(), is_still))?;
        let files = Files { client: self.there.client.clone(), containers: Vec::new() };
        for volume in &self.plan.volumes {
            let operation = FileOperation::Out { path: volume.target.clone() };
            let command = files.command(&volume.container, operation).await?;
            let mut file = partial.file(&volume.file)?;
            keep(&format!("the copy of volume {}", volume.key), command, &mut file).await?;
            let content = Content::Volume { key: volume.key.clone(), folder: volume.folder().to_owned() };
            note(manifest, &volume.file, content, file)?;
        }
        Ok(())
    }
}

/// Ends a file, notes it, and tells it.
fn note(
    manifest: &mut Manifest,
    name: &str,
    content: Content,
    file: folder::Writing,
) -> Result<(), CliError> {
    let found = file.finish()?;
    console::err_line(&format!(" File {name}  Written ({})", words::decimal_bytes(found.bytes)));
    let entry = Entry { content, bytes: found.bytes, sha256: found.sha256 };
    manifest.files.insert(name.to_owned(), entry);
    Ok(())
}
