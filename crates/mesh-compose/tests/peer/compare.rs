//! One case, read by both.

use crate::cases::Case;
use mesh_compose::{InputFile, LoadOptions, load};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

/// Variables that both see; the names and values that tests of the suites use.
const VARIABLES: [(&str, &str); 7] = [
    ("HOME", "/root"),
    ("FOO", "first"),
    ("BAR", ""),
    ("JSON", "{\"json\":2}"),
    ("QUX", "qux_from_environment"),
    // Nothing is fetched from elsewhere.
    ("COMPOSE_EXPERIMENTAL_GIT_REMOTE", "false"),
    ("COMPOSE_EXPERIMENTAL_OCI_REMOTE", "false"),
];
/// Longest that the peer may take for one file, in seconds.
const PEER_SECONDS_MAX: &str = "60";
/// Most characters shown of a value.
const SHOWN_CHARS_MAX: usize = 200;

fn directory(case: &Case) -> PathBuf {
    case.directory.clone().or_else(|| case.files[0].parent().map(Path::to_owned)).unwrap_or_default()
}

/// What the peer prints, or the last line of why it does not.
pub(crate) fn theirs(peer: &str, case: &Case) -> Result<Value, String> {
    let directory = directory(case);
    let mut command = Command::new("timeout");
    command.args([PEER_SECONDS_MAX, peer]);
    for file in &case.files {
        command.arg("-f").arg(file);
    }
    command.arg("--project-directory").arg(&directory).args(["-p", "suite", "config", "--format", "json"]);
    let output = command
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(VARIABLES)
        .current_dir(&directory)
        .output()
        .expect("the peer runs");
    if output.status.success() {
        return serde_json::from_slice(&output.stdout).map_err(|error| error.to_string());
    }
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(shown(said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default()))
}

/// What Mesh prints, or the first of why it does not.
pub(crate) fn ours(case: &Case) -> Result<Value, String> {
    let directory = directory(case);
    let variables = VARIABLES.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let options = LoadOptions {
        files: case.files.iter().cloned().map(InputFile::Path).collect(),
        working_directory: directory.clone(),
        project_directory: Some(directory),
        project_name: Some("suite".to_owned()),
        environment: BTreeMap::from(variables),
        interpolate: true,
        ..LoadOptions::default()
    };
    match load(&options) {
        Ok(loaded) => serde_json::from_str(&loaded.document.to_json()).map_err(|error| error.to_string()),
        Err(error) => {
            let first = error.findings().and_then(|findings| findings.errors().next());
            Err(shown(&first.map_or_else(|| error.to_string(), ToString::to_string)))
        }
    }
}

/// The first place where two values differ.
pub(crate) fn difference(place: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        _ if theirs == ours => None,
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(&format!("{place}.{key}"), a, b),
                (Some(a), None) => Some(format!("{place}.{key}: only theirs: {}", shown(&a.to_string()))),
                (None, b) => {
                    let b = b.unwrap_or(&Value::Null).to_string();
                    Some(format!("{place}.{key}: only ours: {}", shown(&b)))
                }
            })
        }
        (a, b) => Some(format!("{place}: theirs {}, ours {}", shown(&a.to_string()), shown(&b.to_string()))),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS_MAX).collect()
}
