//! `backup`, `verify` and `restore`: the data of a project in a folder, each file with its digest.
//!
//! A service that says how (`x-mesh.backup`) is asked for its data while it runs; volumes of all others are read
//! while the services that have them are frozen, so that they are as of one moment. What is made is hidden until it is
//! whole. Deliberately absent: schedules, and encryption: the folder is its user's alone.

mod folder;
mod manifest;
mod name;
mod plan;
mod programs;
mod restore;
mod verify;

pub(crate) use restore::{RestoreArguments, run as restore};
pub(crate) use verify::{VerifyArguments, run as verify};

use super::There;
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    files::Files,
    words,
};
use clap::Args;
use folder::Partial;
use manifest::{Content, Entry, Manifest};
use mesh_api::{options::FileOperation, request::Request};
use plan::{Plan, plan};
use programs::{keep, program, unless_interrupted};
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

/// Arguments of `backup`.
#[derive(Debug, Args)]
pub(crate) struct BackupArguments {
    #[command(flatten)]
    place: Place,
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
    let plan = plan(project, &there.containers).map_err(CliError::said)?;
    for sentence in &plan.absent {
        console::err_line(&format!("warning: {sentence}, and is not in the backup"));
    }
    if plan.dumps.is_empty() && plan.volumes.is_empty() {
        return Err(CliError::said(format!("project `{}` has no data to keep", target.name)));
    }
    if context.settings.dry_run {
        rehearse(&plan, &folder);
        return Ok(0);
    }
    let begun_unix_ms = words::now_unix_ms();
    let partial = Partial::begin(&folder, begun_unix_ms)?;
    let services = project.services.keys().cloned().collect();
    let mut manifest = Manifest::new(target.name.clone(), begun_unix_ms, services);
    unless_interrupted(take_dumps(&there, &plan, &partial, &mut manifest)).await?;
    take_volumes(context, &there, &plan, &partial, &mut manifest).await?;
    let path = partial.finish(&manifest)?;
    console::out_line(&path.display().to_string());
    Ok(0)
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

/// The volumes, while whoever writes into them is frozen; they are thawed whatever comes of it.
async fn take_volumes(
    context: &Context,
    there: &There,
    plan: &Plan,
    partial: &Partial,
    manifest: &mut Manifest,
) -> Result<(), CliError> {
    let services: Vec<String> = plan.pause.iter().cloned().collect();
    let frozen = !services.is_empty();
    if frozen
        && let Err(error) = context.ask(&there.client, Request::Pause { services: services.clone() }).await
    {
        console::err_line("note: where services cannot be frozen, `mesh stop` before a backup does as well");
        // Some may have been.
        let _ = context.ask(&there.client, Request::Unpause { services }).await;
        return Err(error);
    }
    let taken = unless_interrupted(read_volumes(there, plan, partial, manifest)).await;
    if frozen {
        context.ask(&there.client, Request::Unpause { services }).await?;
    }
    taken
}

async fn read_volumes(
    there: &There,
    plan: &Plan,
    partial: &Partial,
    manifest: &mut Manifest,
) -> Result<(), CliError> {
    let files = Files { client: there.client.clone(), containers: Vec::new() };
    for volume in &plan.volumes {
        let operation = FileOperation::Out { path: volume.target.clone() };
        let command = files.command(&volume.container, operation).await?;
        let mut file = partial.file(&volume.file)?;
        keep(&format!("the copy of volume {}", volume.key), command, &mut file).await?;
        let content = Content::Volume { key: volume.key.clone(), folder: volume.folder().to_owned() };
        note(manifest, &volume.file, content, file)?;
    }
    Ok(())
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
