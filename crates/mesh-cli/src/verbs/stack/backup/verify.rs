//! `verify`: whether backups are as they were written.

use super::{
    Place,
    folder::Whole,
    manifest::{FILE, Manifest, Verdict},
};
use crate::{console, context::Context, failure::CliError, words};
use clap::Args;
use std::error::Error as _;

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// Name of the backup (default: the latest)
    #[arg(value_name = "NAME", conflicts_with = "all")]
    name: Option<String>,
    /// All backups
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    place: Place,
}

/// Does it.
pub(crate) fn run(context: &Context, arguments: &VerifyArguments) -> Result<u8, CliError> {
    let folder = arguments.place.folder(&context.target()?)?;
    let backups = match (arguments.all, arguments.name.as_deref()) {
        (true, _) => Whole::all(&folder)?,
        (false, name) => vec![Whole::find(&folder, name)?],
    };
    if backups.is_empty() {
        return Err(CliError::said(format!("there is no backup in {}", folder.display())));
    }
    let mut damaged = 0_usize;
    for backup in &backups {
        damaged += usize::from(!tell(backup));
    }
    match damaged {
        0 => Ok(0),
        _ => Err(CliError::said(format!("{damaged} of {} backups not as written", backups.len()))),
    }
}

/// Tells how each file of a backup is; whether all is well.
fn tell(backup: &Whole) -> bool {
    let (manifest, verdicts) = match check(backup) {
        Ok(checked) => checked,
        // One that cannot be read at all is damaged as well, and says nothing of the others.
        Err(error) => {
            let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
            console::out_line(&format!("{}: {error}{cause}", backup.name));
            return false;
        }
    };
    console::out_line(&format!(
        "{}, of project {}, {}",
        backup.name,
        manifest.project,
        words::timestamp(manifest.begun_unix_ms)
    ));
    for (file, verdict) in &verdicts {
        console::out_line(&format!("  {file}: {}", verdict.words()));
    }
    verdicts.iter().all(|(_, verdict)| *verdict == Verdict::Same)
}

/// The manifest, and how it and each file that it names is.
pub(super) fn check(backup: &Whole) -> Result<(Manifest, Vec<(String, Verdict)>), CliError> {
    let (manifest, same) = backup.manifest()?;
    let mut verdicts = vec![(FILE.to_owned(), if same { Verdict::Same } else { Verdict::Content })];
    for (name, entry) in &manifest.files {
        verdicts.push((name.clone(), Verdict::of(entry, backup.look(name)?.as_ref())));
    }
    Ok((manifest, verdicts))
}
