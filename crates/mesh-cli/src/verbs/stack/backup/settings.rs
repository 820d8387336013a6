//! What a project is started with, in a backup: its `.env`, and the secrets that were generated for it.
//!
//! Both are for a machine that has neither. What is there stays, and that it differs is said.

use super::{
    folder::{Partial, Whole},
    manifest::{Content, Manifest},
    note,
    seal::Key,
};
use crate::{
    console,
    context::{Context, Target},
    failure::CliError,
    generated::Desk,
    vault::ProjectVault,
};
use mesh_bootstrap::generated::GeneratedError;
use mesh_model::{mount::MountSource, project::Project};
use mesh_redact::{Secret, exposed};
use mesh_store::secrets::{Recipe, Secrets};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{File, OpenOptions},
    io::{ErrorKind, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::PathBuf,
};

/// Their files in a backup.
pub(super) const ENVIRONMENT_FILE: &str = "project.env";
pub(super) const SECRETS_FILE: &str = "project-secrets.json";
/// Bytes of each of them.
const FILE_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(with = "exposed")]
    value: Secret<String>,
    #[serde(default)]
    recipe: Option<Recipe>,
}

fn environment_path(project: &Project) -> PathBuf {
    project.directory.join(".env")
}

/// Writes both into a backup, as far as they are there.
pub(super) async fn take(
    context: &Context,
    target: &Target,
    partial: &Partial,
    manifest: &mut Manifest,
) -> Result<(), CliError> {
    let project = target.required_project()?;
    let path = environment_path(&project);
    if let Some(text) = read(File::open(&path), &path)? {
        let mut file = partial.file(ENVIRONMENT_FILE)?;
        file.write(&text)?;
        note(manifest, ENVIRONMENT_FILE, Content::Environment, file)?;
    }
    let desk = Desk::new(context, target)?;
    let (mut lines, mut missing, mut reason) = (BTreeMap::new(), Vec::new(), String::new());
    for (name, kept) in desk.secrets.read()? {
        match desk.value(&name, None).await {
            Ok(Some(value)) => drop(lines.insert(name, Line { value, recipe: kept.recipe })),
            Ok(None) => {}
            // No copy of the vault's volume has it either.
            Err(error @ CliError::Generated(GeneratedError::Lost { .. })) => return Err(error),
            Err(error) => {
                missing.push(name);
                reason = error.to_string();
            }
        }
    }
    if !missing.is_empty() {
        console::err_line(&format!(
            "warning: {} {} in the backup with the vault's volume alone: {reason}",
            missing.join(", "),
            if missing.len() == 1 { "is" } else { "are" }
        ));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let text = serde_json::to_vec(&lines).map_err(|_| CliError::said("the secrets cannot be written"))?;
    let mut file = partial.file(SECRETS_FILE)?;
    file.write(&text)?;
    note(manifest, SECRETS_FILE, Content::Secrets, file)
}

/// Both, read from a backup.
#[derive(Default)]
pub(super) struct Settings {
    environment: Option<Secret<Vec<u8>>>,
    lines: BTreeMap<String, Line>,
}

impl Settings {
    pub(super) fn read(backup: &Whole, manifest: &Manifest, key: Option<&Key>) -> Result<Self, CliError> {
        let mut settings = Self::default();
        for (name, entry) in &manifest.files {
            let text = || backup.text(name, key, FILE_BYTES_MAX).map(Secret::new);
            match &entry.content {
                Content::Environment => settings.environment = Some(text()?),
                Content::Secrets => {
                    // The text of the error may repeat a value.
                    settings.lines = serde_json::from_slice(text()?.expose())
                        .map_err(|_| CliError::said(format!("{name} of the backup is no file of secrets")))?;
                }
                Content::Dump { .. } | Content::Volume { .. } => {}
            }
        }
        Ok(settings)
    }

    /// Puts back the `.env` where there is none.
    pub(super) fn put_environment(&self, context: &Context, target: &Target) -> Result<(), CliError> {
        let Some(text) = &self.environment else { return Ok(()) };
        let project = target.required_project()?;
        if !put_environment(&project, text.expose())? {
            return Ok(());
        }
        // A file that cannot be read again (standard input) says nothing of it.
        match context.load_as_it_is(&[]) {
            Ok(now) if now.name != target.name => Err(CliError::said(format!(
                "the backup's .env, which was written, makes this project {}, and no longer {}",
                now.name, target.name
            ))
            .with_hint("no data was changed; restore again, or remove it")),
            _ => Ok(()),
        }
    }

    /// Puts back the secrets that are not there, but for those whose values are settled at the end.
    pub(super) fn put_secrets(
        &self,
        context: &Context,
        target: &Target,
        of_vault: &[String],
    ) -> Result<(), CliError> {
        let lines = self.lines.iter().filter(|(name, _)| !of_vault.contains(name));
        put_secrets(&Secrets::of(&context.home.data, &target.name), lines)
    }

    /// Brings what a vault has, whose volumes are about to be replaced, back into the file: nothing else would have it.
    /// Gives the names of what that vault had.
    pub(super) async fn rescue(
        &self,
        context: &Context,
        target: &Target,
        project: &Project,
        replaced: &BTreeSet<String>,
    ) -> Result<Vec<String>, CliError> {
        let desk = Desk::new(context, target)?;
        let of_vault = ProjectVault::of(project, &context.home.data).is_some_and(|vault| {
            let mut mounts =
                vault.services.iter().filter_map(|name| project.services.get(name)).flat_map(|it| &it.mounts);
            mounts.any(
                |mount| matches!(&mount.source, MountSource::Volume { key, .. } if replaced.contains(key)),
            )
        });
        let mut moved = desk.secrets.read()?;
        moved.retain(|_, kept| kept.value().is_none());
        if !of_vault {
            return Ok(Vec::new());
        }
        for name in moved.keys() {
            match desk.value(name, None).await {
                Ok(Some(value)) => desk.secrets.brought_back(name, value)?,
                // The backup's comes in its place.
                _ if self.lines.contains_key(name) => {}
                Ok(None) => return Err(only_there(name, "")),
                Err(error) => return Err(only_there(name, &error.to_string())),
            }
        }
        Ok(moved.into_keys().collect())
    }

    /// Of what a vault had whose volumes are the backup's now, the backup's values count.
    pub(super) fn settle(
        &self,
        context: &Context,
        target: &Target,
        names: &[String],
    ) -> Result<(), CliError> {
        let secrets = Secrets::of(&context.home.data, &target.name);
        for name in names {
            match self.lines.get(name) {
                Some(Line { value, recipe }) => secrets.restored(name, value.clone(), recipe.clone())?,
                None => console::err_line(&format!(
                    "warning: the backup has no value of {name}, and data may have been made with another one: what is \
                     here stays: `mesh secrets set {name}` changes it"
                )),
            }
        }
        Ok(())
    }
}

fn only_there(name: &str, reason: &str) -> CliError {
    let said = format!(
        "the only value of {name} is in the project's vault, whose volume would be replaced, and cannot be read"
    );
    CliError::said(if reason.is_empty() { said } else { format!("{said}: {reason}") }).with_hint(
        "no data was changed; open the vault (`mesh up`, `mesh vault unseal`) and restore again, or, where it is gone for \
         good, `mesh reset` before",
    )
}

/// Whether it was written.
fn put_environment(project: &Project, text: &[u8]) -> Result<bool, CliError> {
    let path = environment_path(project);
    let named = || format!("write {}", path.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let written = file.write_all(text).and_then(|()| file.sync_all());
            written.map_err(CliError::io(named()))?;
            console::err_line(&format!(" File {}  Written", path.display()));
            Ok(true)
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if read(File::open(&path), &path)?.as_deref() != Some(text) {
                console::err_line(&format!("note: {} differs from the backup's, and stays", path.display()));
            }
            Ok(false)
        }
        Err(error) => Err(CliError::io(named())(error)),
    }
}

fn put_secrets<'a>(
    secrets: &Secrets,
    lines: impl Iterator<Item = (&'a String, &'a Line)>,
) -> Result<(), CliError> {
    let mut differing = Vec::new();
    for (name, Line { value, recipe }) in lines {
        let kept = secrets.adopt(name, value.clone(), recipe.clone())?;
        if kept.value().is_some_and(|there| there != value) {
            differing.push(name.as_str());
        }
    }
    if !differing.is_empty() {
        console::err_line(&format!(
            "warning: {} had other values when the backup was made, and data may have been made with those; what is here \
             stays: `mesh secrets set NAME` changes it",
            differing.join(", ")
        ));
    }
    Ok(())
}

/// `None`: it is not there.
fn read(file: std::io::Result<File>, path: &std::path::Path) -> Result<Option<Vec<u8>>, CliError> {
    let named = || format!("read {}", path.display());
    let file = match file {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(CliError::io(named()))?,
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(CliError::io(named()))?;
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_back_where_there_are_none() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(home.path(), "shop");
        let line = |value: &str| Line { value: Secret::new(value.to_owned()), recipe: None };
        secrets.set("a", Secret::new("here".to_owned())).unwrap();
        let lines = [("a", line("other")), ("b", line("back"))];
        let lines: BTreeMap<String, Line> =
            lines.into_iter().map(|(name, line)| (name.to_owned(), line)).collect();
        put_secrets(&secrets, lines.iter()).unwrap();
        let kept = secrets.read().unwrap();
        let value = |name: &str| kept[name].value().unwrap().expose().clone();
        assert_eq!((value("a").as_str(), value("b").as_str()), ("here", "back"));
    }
}
