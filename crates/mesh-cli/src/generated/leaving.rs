//! What becomes of the values in a vault that goes with its volumes: they are brought back into the file before. Where
//! that cannot be done, and something outlives the vault that may have been made with them, nothing is removed.

use super::shelf;
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    vault::{self, ProjectVault, Shut},
};
use mesh_bootstrap::generated::{self, GeneratedError};
use mesh_model::{mount::MountSource, project::Project};
use mesh_store::{
    record,
    secrets::{At, Secrets},
};
use std::{collections::BTreeSet, path::PathBuf};

/// How to go on all the same.
const GOES_ON: &str = "`--forget-secrets` goes on without the values";

/// What is left of values in a vault that goes.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    /// Where the vault's keys were; none: no vault was seen.
    keys: Option<PathBuf>,
    /// Whoever takes it down does without the values.
    forgets: bool,
}

/// Brings values back into the file before the vault goes with its volumes.
pub(crate) async fn bring_back(
    context: &Context,
    target: &Target,
    forgets: bool,
) -> Result<Leaving, CliError> {
    let secrets = Secrets::of(&context.home.data, &target.name);
    let mut leaving = Leaving { keys: None, forgets };
    let moved = moved(&secrets)?;
    if moved.is_empty() {
        return Ok(leaving);
    }
    let Some(project) = with_vault(context, target)? else {
        return match forgets {
            true => Ok(leaving),
            false => Err(unseen(&moved)),
        };
    };
    let Some(vault) = ProjectVault::of(&project, &context.home.data) else { return Err(unseen(&moved)) };
    leaving.keys = Some(vault.keys.path().to_owned());
    match fetched(target, &project, &vault, &secrets).await {
        Ok(true) => Ok(leaving),
        Ok(false) => {
            let outliving = outliving(&project);
            if !outliving.is_empty() && !forgets {
                return Err(locked_out(&moved, &outliving));
            }
            console::err_line(&format!(
                "warning: the vault is not open, and goes with the values of {}",
                moved.join(", ")
            ));
            Ok(leaving)
        }
        Err(error) if forgets => {
            console::err_line(&format!("warning: the vault's values cannot be had: {}", words(&error)));
            Ok(leaving)
        }
        Err(error) => Err(refused(&error)),
    }
}

/// Forgets values that were in a vault of which nothing is left, and says so. Of one that was not seen nothing is known.
pub(crate) fn forget_gone(context: &Context, target: &Target, leaving: &Leaving) -> Result<(), CliError> {
    let is_gone = leaving.keys.as_ref().map_or(leaving.forgets, |keys| !keys.exists());
    if !is_gone {
        return Ok(());
    }
    let secrets = Secrets::of(&context.home.data, &target.name);
    let gone = moved(&secrets)?;
    for name in &gone {
        secrets.remove(name)?;
    }
    if !gone.is_empty() {
        console::err_line(&format!(
            "warning: the vault was not open, and is gone with the values of {}: `mesh up` makes others",
            gone.join(", ")
        ));
    }
    Ok(())
}

/// Those that the vault has.
fn moved(secrets: &Secrets) -> Result<Vec<String>, CliError> {
    let known = secrets.read()?.into_iter();
    Ok(known.filter(|(_, kept)| kept.value().is_none()).map(|(name, _)| name).collect())
}

/// The project as the files have it, or as it was brought up, where that has the vault: it may be in a profile.
fn with_vault(context: &Context, target: &Target) -> Result<Option<Box<Project>>, CliError> {
    let has_it = |project: &Project| ProjectVault::of(project, &context.home.data).is_some();
    if let Some(project) = target.project.as_ref().filter(|project| has_it(project)) {
        return Ok(Some(project.clone()));
    }
    Ok(match record::load(&target.paths.record)? {
        record::Loaded::Found(found) if has_it(&found.project) => Some(Box::new(found.project)),
        _ => None,
    })
}

/// Whether all of them are in the file again; `false`: the vault is not open.
async fn fetched(
    target: &Target,
    project: &Project,
    vault: &ProjectVault,
    secrets: &Secrets,
) -> Result<bool, CliError> {
    let containers = target.containers().await?;
    let asked = vault::apart(|| match vault.open(&containers) {
        Ok(open) => Ok(generated::bring_back(&shelf(&open, project), secrets).map(|_| true)?),
        Err(Shut::Absent | Shut::Sealed) => Ok(false),
        Err(Shut::Failed(error)) => Err(error),
    });
    if !asked? {
        return Ok(false);
    }
    // One that was deleted there can be had back as long as the vault is there.
    match secrets.read()?.into_iter().find_map(|(name, kept)| match kept.at {
        At::Vault(path) => Some((name, path)),
        At::File(_) => None,
    }) {
        Some((name, path)) => Err(GeneratedError::Lost { name, path }.into()),
        None => Ok(true),
    }
}

/// Volumes and directories with data that `down -v` leaves.
fn outliving(project: &Project) -> BTreeSet<String> {
    let mounts = project.services.values().flat_map(|service| &service.mounts);
    let of = |source: &MountSource| match source {
        MountSource::Volume { key, .. } => {
            let volume = project.volumes.get(key).filter(|volume| volume.external)?;
            Some(format!("volume {}", volume.name))
        }
        MountSource::Bind { path, .. } if path.is_dir() => Some(path.display().to_string()),
        _ => None,
    };
    mounts.filter(|mount| !mount.read_only).filter_map(|mount| of(&mount.source)).collect()
}

fn unseen(moved: &[String]) -> CliError {
    CliError::said(format!(
        "the project's vault, which has the values of {}, is none of its services",
        moved.join(", ")
    ))
    .with_hint(format!(
        "nothing was removed; is it in a profile that was not named? Then `--profile NAME`; {GOES_ON}"
    ))
}

fn locked_out(moved: &[String], outliving: &BTreeSet<String>) -> CliError {
    let outliving: Vec<&str> = outliving.iter().map(String::as_str).collect();
    CliError::said(format!(
        "the vault is not open, and would go with the values of {}, while {} would stay, and may need them",
        moved.join(", "),
        outliving.join(", ")
    ))
    .with_hint(format!(
        "nothing was removed; `mesh up` opens the vault, and the values are kept then; {GOES_ON}"
    ))
}

fn refused(error: &CliError) -> CliError {
    let hint = error.hint().map(|hint| format!("{hint}; ")).unwrap_or_default();
    CliError::said(format!("the vault's values cannot be had, and would go with it: {}", words(error)))
        .with_hint(format!("nothing was removed; {hint}{GOES_ON}"))
}

/// An error with its causes, in one line.
fn words(error: &CliError) -> String {
    let told = error.render(false);
    let told = told.split("\nhint: ").next().unwrap_or_default();
    told.trim_start_matches("error: ").to_owned()
}
