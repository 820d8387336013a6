//! The files of a suite, read by Mesh and by Docker Compose. It runs where `MESH_COMPOSE_PEER` names a
//! `docker-compose` binary and `MESH_COMPOSE_SUITE` a folder; `docs/conformance.md` says what it found.

use mesh_compose::{InputFile, LoadOptions, load};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Most files of one run.
const FILES_MAX: usize = 5_000;

#[test]
fn the_files_of_a_suite_are_read_as_docker_compose_reads_them() {
    let (Ok(peer), Ok(suite)) = (env::var("MESH_COMPOSE_PEER"), env::var("MESH_COMPOSE_SUITE")) else {
        println!("skipped: MESH_COMPOSE_PEER and MESH_COMPOSE_SUITE do not name a binary and a folder");
        return;
    };
    let mut files = Vec::new();
    collect(Path::new(&suite), &mut files);
    files.sort();
    let (mut agreed, mut refused, mut differ) = (0, 0, 0);
    for file in &files {
        match (theirs(&peer, file), ours(file)) {
            (None, None) => refused += 1,
            (Some(theirs), Some(ours)) if theirs == ours => agreed += 1,
            (Some(theirs), Some(ours)) => {
                differ += 1;
                println!("{}: {}", file.display(), difference("", &theirs, &ours).unwrap_or_default());
            }
            (theirs, _) => {
                differ += 1;
                let by = if theirs.is_some() { "Mesh" } else { "Docker Compose" };
                println!("{}: refused by {by} only", file.display());
            }
        }
    }
    println!("{} files: {agreed} give the same, {refused} refused by both, {differ} differ", files.len());
    assert!(!files.is_empty(), "no Compose files in {suite}");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let overlay = name.contains("override");
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if (name.ends_with(".yaml") || name.ends_with(".yml")) && !overlay && files.len() < FILES_MAX {
            files.push(path);
        }
    }
}

fn theirs(peer: &str, file: &Path) -> Option<Value> {
    let output = Command::new(peer)
        .args(["-f".as_ref(), file.as_os_str()])
        .args(["config", "--format", "json"])
        .env_clear()
        .env("HOME", "/root")
        .current_dir(file.parent()?)
        .output()
        .expect("the peer runs");
    output.status.success().then(|| serde_json::from_slice(&output.stdout).ok()).flatten().map(comparable)
}

fn ours(file: &Path) -> Option<Value> {
    let options = LoadOptions {
        files: vec![InputFile::Path(file.to_owned())],
        working_directory: file.parent()?.to_owned(),
        environment: BTreeMap::from([("HOME".to_owned(), "/root".to_owned())]),
        interpolate: true,
        ..LoadOptions::default()
    };
    let loaded = load(&options).ok()?;
    serde_json::from_str(&loaded.document.to_json()).ok().map(comparable)
}

/// Without what only one of the two prints: free keys, which the peer leaves out of JSON, and entries
/// beside `services` that none of them uses, which it leaves out altogether.
fn comparable(mut value: Value) -> Value {
    free_keys(&mut value);
    let text = value.get("services").map(ToString::to_string).unwrap_or_default();
    for section in ["networks", "volumes", "secrets", "configs", "models"] {
        let Some(map) = value.get_mut(section).and_then(Value::as_object_mut) else { continue };
        map.retain(|key, _| text.contains(&format!("\"{key}\"")));
        if map.is_empty() {
            value.as_object_mut().map(|top| top.remove(section));
        }
    }
    value
}

fn free_keys(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("x-"));
            map.values_mut().for_each(free_keys);
        }
        Value::Array(items) => items.iter_mut().for_each(free_keys),
        _ => {}
    }
}

/// The first place where two values differ.
fn difference(place: &str, theirs: &Value, ours: &Value) -> Option<String> {
    match (theirs, ours) {
        _ if theirs == ours => None,
        (Value::Object(a), Value::Object(b)) => {
            let keys: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            keys.into_iter().find_map(|key| match (a.get(key), b.get(key)) {
                (Some(a), Some(b)) => difference(&format!("{place}.{key}"), a, b),
                (Some(a), None) => Some(format!("{place}.{key}: only theirs: {a}")),
                (None, b) => Some(format!("{place}.{key}: only ours: {}", b.unwrap_or(&Value::Null))),
            })
        }
        (a, b) => Some(format!("{place}: theirs {a}, ours {b}")),
    }
}
