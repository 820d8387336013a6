//! The native ground on this machine: real shims, namespaces, control groups.
//!
//! This binary is the shim too (`native shim run`), and so it has no test harness: one test after the
//! other runs in it, each with a project, a directory and a runtime of its own. Needs root and, the
//! first time, Debian's package `busybox-static`; without them every test is reported as skipped.

#![expect(clippy::print_stdout, reason = "this binary is its own test harness")]

mod bed;
mod cases;
mod holder;
mod root_file_system;

use std::{panic, process::ExitCode};

/// A test: its name and what it does.
type Case = (&'static str, fn());

/// First word of this binary where it runs the one test that an ordinary user runs.
const ORDINARY_USER: &str = "ordinary-user";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|word| word == "shim") {
        return ExitCode::from(u8::try_from(mesh_sandbox::main(&arguments)).unwrap_or(1));
    }
    if arguments.first().is_some_and(|word| word == ORDINARY_USER) {
        cases::as_an_ordinary_user();
        return ExitCode::SUCCESS;
    }
    let cases = cases::ALL;
    if arguments.iter().any(|word| word == "--list") {
        let ignored = arguments.iter().any(|word| word == "--ignored");
        for (name, _) in cases.iter().filter(|_| !ignored) {
            println!("{name}: test");
        }
        return ExitCode::SUCCESS;
    }
    let exact = arguments.iter().any(|word| word == "--exact");
    let filters: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |name: &str| {
        filters.is_empty()
            || filters.iter().any(|word| if exact { name == *word } else { name.contains(word.as_str()) })
    };
    let missing = missing();
    let mut failed = Vec::new();
    for (name, case) in cases.iter().filter(|(name, _)| chosen(name)) {
        if let Some(reason) = &missing {
            println!("test {name} ... skipped: {reason}");
            continue;
        }
        let passed = panic::catch_unwind(case).is_ok();
        println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
        if !passed {
            failed.push(*name);
        }
    }
    match failed.as_slice() {
        [] => ExitCode::SUCCESS,
        names => {
            println!("failed: {}", names.join(", "));
            ExitCode::FAILURE
        }
    }
}

/// Why nothing can be tried here.
fn missing() -> Option<String> {
    if !nix::unistd::geteuid().is_root() {
        return Some("needs root".to_owned());
    }
    root_file_system::directory().err()
}
