//! `mesh config` beside `docker compose config`, byte for byte, over the Compose files of a suite. It runs
//! where `MESH_COMPOSE_PEER` names a `docker-compose` binary and `MESH_COMPOSE_SUITE` folders, with `:`
//! between; `MESH_COMPOSE_MODES` picks modes by name, `MESH_COMPOSE_SHOWN` how many differences of each are
//! shown. It compares, it does not judge.
#![allow(missing_docs, clippy::print_stdout, reason = "a report is what it is for")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// Most files of one run.
const FILES_MAX: usize = 5_000;
/// Differences shown of a mode, unless a variable says otherwise.
const SHOWN: usize = 12;

/// A way to call `config`.
struct Mode {
    name: &'static str,
    flags: &'static [&'static str],
    /// The peer has no order of its own here.
    unordered: bool,
}

const fn ordered(name: &'static str, flags: &'static [&'static str]) -> Mode {
    Mode { name, flags, unordered: false }
}

const fn unordered(name: &'static str, flags: &'static [&'static str]) -> Mode {
    Mode { name, flags, unordered: true }
}

const MODES: [Mode; 19] = [
    ordered("yaml", &[]),
    ordered("json", &["--format", "json"]),
    ordered("as-written", &["--no-interpolate"]),
    ordered("as-written-json", &["--no-interpolate", "--format", "json"]),
    ordered("no-normalize", &["--no-normalize"]),
    ordered("no-path-resolution", &["--no-path-resolution"]),
    ordered("no-env-resolution", &["--no-env-resolution"]),
    ordered("no-consistency", &["--no-consistency"]),
    ordered("quiet", &["-q"]),
    ordered("hash", &["--hash", "*"]),
    unordered("services", &["--services"]),
    unordered("images", &["--images"]),
    unordered("volumes", &["--volumes"]),
    unordered("networks", &["--networks"]),
    unordered("models", &["--models"]),
    unordered("profiles", &["--profiles"]),
    unordered("variables", &["--variables"]),
    ordered("variables-json", &["--variables", "--format", "json"]),
    ordered("environment", &["--environment"]),
];

/// What came of one mode.
#[derive(Default)]
struct Count {
    same: usize,
    refused: usize,
    differ: usize,
    ours_only: usize,
    theirs_only: usize,
}

#[test]
fn config_prints_what_docker_compose_prints() {
    let (Ok(peer), Ok(suite)) = (env::var("MESH_COMPOSE_PEER"), env::var("MESH_COMPOSE_SUITE")) else {
        println!("skipped: MESH_COMPOSE_PEER and MESH_COMPOSE_SUITE do not name a binary and folders");
        return;
    };
    let mut files = Vec::new();
    suite.split(':').for_each(|folder| collect(Path::new(folder), &mut files));
    files.sort();
    assert!(!files.is_empty(), "no Compose files in {suite}");
    let wanted = env::var("MESH_COMPOSE_MODES").unwrap_or_default();
    let chosen = |mode: &&Mode| wanted.is_empty() || wanted.split(',').any(|name| name == mode.name);
    println!(
        "{:<20} {:>6} {:>8} {:>7} {:>10} {:>12}",
        "mode", "same", "refused", "differ", "ours only", "theirs only"
    );
    for mode in MODES.iter().filter(chosen) {
        let count = compare(&peer, mode, &files);
        println!(
            "{:<20} {:>6} {:>8} {:>7} {:>10} {:>12}",
            mode.name, count.same, count.refused, count.differ, count.ours_only, count.theirs_only
        );
    }
}

fn compare(peer: &str, mode: &Mode, files: &[PathBuf]) -> Count {
    let shown_max = env::var("MESH_COMPOSE_SHOWN").ok().and_then(|text| text.parse().ok()).unwrap_or(SHOWN);
    let (mut count, mut shown) = (Count::default(), 0);
    for file in files {
        let (theirs, ours) = (run(peer, file, mode), run(env!("CARGO_BIN_EXE_mesh"), file, mode));
        let told = match (theirs.status.code(), ours.status.code()) {
            (Some(0), Some(0)) => {
                let (theirs, ours) = (text(&theirs, mode), text(&ours, mode));
                if theirs == ours {
                    count.same += 1;
                    continue;
                }
                count.differ += 1;
                difference(&theirs, &ours)
            }
            (theirs_code, ours_code) if theirs_code == ours_code => {
                count.refused += 1;
                continue;
            }
            (Some(0), _) => {
                count.theirs_only += 1;
                format!("refused by Mesh only: {}", first_line(&ours.stderr))
            }
            (theirs_code, _) => {
                count.ours_only += 1;
                format!("refused by Docker Compose only ({theirs_code:?}): {}", first_line(&theirs.stderr))
            }
        };
        if shown < shown_max {
            println!("  {} {}: {told}", mode.name, file.display());
        }
        shown += 1;
    }
    count
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if path.is_dir() && !path.is_symlink() {
            collect(&path, files);
        } else if (name.ends_with(".yaml") || name.ends_with(".yml")) && files.len() < FILES_MAX {
            files.push(path);
        }
    }
}

fn run(program: &str, file: &Path, mode: &Mode) -> Output {
    let directory = file.parent().expect("a file is in a directory");
    Command::new(program)
        .args(["-f".as_ref(), file.as_os_str()])
        .arg("config")
        .args(mode.flags)
        .env_clear()
        .env("HOME", "/root")
        .env("PWD", directory)
        .current_dir(directory)
        .output()
        .expect("the program runs")
}

fn text(output: &Output, mode: &Mode) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !mode.unordered {
        return text;
    }
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n")
}

/// The first line where two texts differ.
fn difference(theirs: &str, ours: &str) -> String {
    let lines = theirs.lines().zip(ours.lines()).enumerate();
    match lines.into_iter().find(|(_, (theirs, ours))| theirs != ours) {
        Some((number, (theirs, ours))) => format!("line {}: theirs `{theirs}`, ours `{ours}`", number + 1),
        None => format!("theirs has {} bytes, ours {}", theirs.len(), ours.len()),
    }
}

fn first_line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let line = text.lines().find(|line| !line.contains("level=warning") && !line.trim().is_empty());
    line.unwrap_or_default().to_owned()
}
