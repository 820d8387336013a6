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
};
use mesh_model::project::Project;
use mesh_redact::{Secret, exposed};
use mesh_store::secrets::{Recipe, Secrets};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
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
    let (mut lines, mut missing) = (BTreeMap::new(), Vec::new());
    for (name, kept) in desk.secrets.read()? {
        match desk.value(&name, None).await {
            Ok(Some(value)) => drop(lines.insert(name, Line { value, recipe: kept.recipe })),
            _ => missing.push(name),
        }
    }
    if !missing.is_empty() {
        console::err_line(&format!(
            "warning: the vault is not open, so that {} {} in the backup with its volume alone",
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

/// Puts both back where they are not there.
pub(super) fn put_back(
    context: &Context,
    target: &Target,
    backup: &Whole,
    manifest: &Manifest,
    key: Option<&Key>,
) -> Result<(), CliError> {
    let project = target.required_project()?;
    for (name, entry) in &manifest.files {
        match &entry.content {
            Content::Environment => put_environment(&project, &backup.text(name, key, FILE_BYTES_MAX)?)?,
            Content::Secrets => {
                let text = backup.text(name, key, FILE_BYTES_MAX)?;
                // The text of the error may repeat a value.
                let lines = serde_json::from_slice(&text)
                    .map_err(|_| CliError::said(format!("{name} of the backup is no file of secrets")))?;
                put_secrets(&Secrets::of(&context.home.data, &project.name), lines)?;
            }
            Content::Dump { .. } | Content::Volume { .. } => {}
        }
    }
    Ok(())
}

fn put_environment(project: &Project, text: &[u8]) -> Result<(), CliError> {
    let path = environment_path(project);
    let named = || format!("write {}", path.display());
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
        Ok(mut file) => {
            let written = file.write_all(text).and_then(|()| file.sync_all());
            written.map_err(CliError::io(named()))?;
            console::err_line(&format!(" File {}  Written", path.display()));
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if read(File::open(&path), &path)?.as_deref() != Some(text) {
                console::err_line(&format!("note: {} differs from the backup's, and stays", path.display()));
            }
        }
        Err(error) => return Err(CliError::io(named())(error)),
    }
    Ok(())
}

fn put_secrets(secrets: &Secrets, lines: BTreeMap<String, Line>) -> Result<(), CliError> {
    let mut differing = Vec::new();
    for (name, Line { value, recipe }) in lines {
        let kept = secrets.adopt(&name, value.clone(), recipe)?;
        if kept.value().is_some_and(|there| *there != value) {
            differing.push(name);
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
        put_secrets(&secrets, lines.into_iter().map(|(name, line)| (name.to_owned(), line)).collect())
            .unwrap();
        let kept = secrets.read().unwrap();
        let value = |name: &str| kept[name].value().unwrap().expose().clone();
        assert_eq!((value("a").as_str(), value("b").as_str()), ("here", "back"));
    }
}
