//! The command line of the real binary, without a project that runs.

use std::{
    path::Path,
    process::{Command, Output},
};
use tempfile::TempDir;

fn mesh(directory: &Path, line: &str) -> Output {
    mesh_with(directory, line, &[])
}

/// With further variables.
fn mesh_with(directory: &Path, line: &str, variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mesh"))
        .args(line.split_whitespace())
        .current_dir(directory)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("MESH_HOME", directory.join("home"))
        .envs(variables.iter().copied())
        .output()
        .expect("the binary runs")
}

#[track_caller]
fn check(directory: &Path, line: &str, code: i32, words: &[&str]) {
    check_with(directory, line, &[], code, words);
}

#[track_caller]
fn check_with(directory: &Path, line: &str, variables: &[(&str, &str)], code: i32, words: &[&str]) {
    let output = mesh_with(directory, line, variables);
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "mesh {line}:\n{text}");
    for word in words {
        assert!(text.contains(word), "no {word:?} in `mesh {line}`:\n{text}");
    }
    assert!(!text.contains("panicked"), "mesh {line}:\n{text}");
}

#[test]
fn help_and_version_need_no_project() {
    let home = TempDir::new().expect("a directory");
    check(home.path(), "--help", 0, &["Usage: mesh", "COMPOSE_FILE", "Exit codes", "doctor"]);
    check(home.path(), "up --help", 0, &["--wait-timeout", "--remove-orphans"]);
    check(home.path(), "version --short", 0, &[env!("CARGO_PKG_VERSION")]);
    check(home.path(), "version -f json", 0, &["{\"version\":\""]);
    check(home.path(), "--version", 0, &["mesh "]);
    check(home.path(), "completion bash", 0, &["complete -F"]);
    check(home.path(), "completion fish", 0, &["complete -c mesh"]);
}

#[test]
fn what_is_wrong_is_one() {
    let home = TempDir::new().expect("a directory");
    check(home.path(), "fly", 1, &["unrecognized subcommand"]);
    check(home.path(), "exec", 1, &["required"]);
    check(home.path(), "", 0, &["Usage: mesh"]);
    check(home.path(), "build", 1, &["error: `mesh build` is not available yet"]);
    check(home.path(), "shim", 2, &["shim"]);
    check(home.path(), "supervisor", 2, &["usage"]);
    check(home.path(), "-p nothing exec a true", 1, &["error: service `a` is not running"]);
}

#[test]
fn looking_at_nothing_starts_nothing() {
    let home = TempDir::new().expect("a directory");
    check(home.path(), "-p nothing ps", 0, &["NAME"]);
    check(home.path(), "-p nothing logs", 0, &[]);
    check(
        home.path(),
        "-p nothing down",
        0,
        &["warning: No resource found to remove for project \"nothing\"."],
    );
    check(home.path(), "ls --format json", 0, &["[]"]);
    assert!(!home.path().join("home/run").exists(), "no supervisor was started");
}

#[test]
fn config_prints_and_lists() {
    let home = TempDir::new().expect("a directory");
    let file = "name: shop\nservices:\n  web:\n    image: nginx:${TAG:-1}\n    depends_on: [db]\n  db:\n    image: postgres:16\n    volumes: [\"data:/var/lib/postgresql/data\"]\nvolumes:\n  data: {}\n";
    std::fs::write(home.path().join("compose.yaml"), file).expect("a file");
    check(home.path(), "config", 0, &["name: shop", "nginx:1"]);
    check(home.path(), "config --services", 0, &["db\nweb\n"]);
    check(home.path(), "config --volumes", 0, &["data\n"]);
    check(home.path(), "config --images", 0, &["nginx:1\npostgres:16\n"]);
    check(home.path(), "config -q", 0, &[]);
    check(home.path(), "graph", 0, &["  0  db", "  1  web  <- db started"]);
    check(home.path(), "graph --format dot", 0, &["\"db\" -> \"web\""]);
    let json = mesh(home.path(), "config --format json").stdout;
    let document: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    assert_eq!(document["services"]["db"]["image"], "postgres:16");
    check(home.path(), "logs dbb", 1, &["error: no such service: dbb", "hint: did you mean `db`?"]);
    std::fs::write(home.path().join("compose.yaml"), "services: [").expect("a file");
    check(home.path(), "config", 1, &["compose.yaml:1"]);
}

#[test]
fn a_home_that_cannot_be_one_is_told_with_a_way_out() {
    let directory = TempDir::new().expect("a directory");
    let file = "name: shop\nservices:\n  web:\n    image: busybox\n";
    std::fs::write(directory.path().join("compose.yaml"), file).expect("a file");
    let (taken, long) = (directory.path().join("taken"), directory.path().join("x".repeat(120)));
    std::fs::write(&taken, "").expect("a file");
    let (taken, long) = (taken.display().to_string(), long.display().to_string());
    for (home, words) in [
        (taken.as_str(), ["error: could not keep the project's state in", "hint: MESH_HOME"]),
        (long.as_str(), ["error: the path of the control socket is too long", "hint: choose a shorter"]),
        ("home", ["error: MESH_HOME is not an absolute path", ""]),
    ] {
        check_with(directory.path(), "up -d", &[("MESH_HOME", home)], 1, &words);
    }
    assert!(!Path::new(&long).exists(), "nothing was made before it was known to serve");
}

#[test]
fn services_are_guessed_and_environments_are_kept_short() {
    let home = TempDir::new().expect("a directory");
    let file =
        "name: shop\nservices:\n  web:\n    image: nginx:${TAG}\n    environment: {P: \"${DB_PASSWORD}\"}\n";
    std::fs::write(home.path().join("compose.yaml"), file).expect("a file");
    std::fs::write(home.path().join(".env"), "TAG=1\nDB_PASSWORD=hunter2\n").expect("a file");
    check(home.path(), "up -d wbe", 1, &["error: no such service: wbe", "hint: did you mean `web`?"]);
    check(home.path(), "run db", 1, &["error: no such service: db", "hint: the services are web"]);
    let shown = |line| String::from_utf8_lossy(&mesh(home.path(), line).stdout).into_owned();
    let environment = shown("config --environment");
    assert!(environment.contains("COMPOSE_PROJECT_NAME=shop\nDB_PASSWORD=hunter2\n"), "{environment}");
    let explained = shown("config --explain DB_PASSWORD");
    assert!(explained.starts_with("DB_PASSWORD = ***  from .env:2\n"), "{explained}");
    assert!(!explained.contains("hunter2"), "{explained}");
    assert!(shown("config --explain DB_PASSWORD --show-secrets").contains("hunter2"));
    assert_eq!(shown("config --profiles"), "");
}
