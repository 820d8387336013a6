//! Arguments to API calls, answers to a terminal.
//!
//! Raw arguments become [`settings`](self) once, a verb turns them into requests, and what comes back
//! is rendered. The verbs, their flags and their exit codes are those of `docker compose`, and each
//! is a module. Deliberately absent: any knowledge of a ground. What this machine can do is asked
//! through [`Hooks`]; everything else goes through a project's supervisor.

mod arguments;
mod console;
mod context;
mod dispatch;
mod environment;
mod failure;
mod invocation;
mod journal;
mod loading;
mod progress;
mod settings;
mod supervisor;
mod table;
mod terminal;
mod verbs;
mod words;

use std::{collections::BTreeMap, path::Path, process::ExitCode};

/// What the binary knows and this crate does not.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Version of the binary.
    pub version: &'static str,
    /// Looks at what this machine can do.
    pub doctor: fn() -> Vec<DoctorCheck>,
    /// Bytes of the images that are stored in a directory, by their content addresses.
    pub image_sizes: fn(&Path) -> BTreeMap<String, u64>,
}

/// One thing that `doctor` looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DoctorCheck {
    /// What, in a word or three.
    pub name: String,
    /// Whether it serves.
    pub verdict: DoctorVerdict,
    /// What was found.
    pub detail: String,
    /// How to mend it; `None` where nothing needs to be done.
    pub remedy: Option<String>,
}

/// Whether something serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DoctorVerdict {
    /// All of it.
    Good,
    /// Projects run, and something is less than it could be.
    Limited,
    /// Projects do not run.
    Missing,
}

/// Reads the command line and the environment, does what they ask, and tells how it ended.
#[must_use]
pub fn main(hooks: Hooks) -> ExitCode {
    dispatch::main(hooks)
}
