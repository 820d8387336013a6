//! Arguments to API calls, answers to a terminal.
//!
//! Raw arguments become [`settings`](self) once, a verb turns them into requests, and what comes back
//! is rendered. The verbs, their flags and their exit codes are those of `docker compose`, and each
//! is a module. Deliberately absent: any knowledge of a ground. What this machine can do is asked
//! through [`Hooks`]; everything else goes through a project's supervisor.

mod arguments;
mod console;
mod context;
#[cfg(test)]
mod coverage;
mod dispatch;
mod environment;
mod environments;
mod failure;
mod files;
mod generated;
mod invocation;
mod journal;
mod keeper;
mod layout;
mod loading;
mod menu;
mod moment;
mod progress;
mod provider;
mod reading;
mod restoring;
mod settings;
mod supervisor;
mod table;
mod template;
mod terminal;
mod vault;
mod verbs;
mod watch;
mod words;

use std::{collections::BTreeMap, os::fd::BorrowedFd, path::Path, process::ExitCode};

/// What the binary knows and this crate does not.
#[derive(Debug, Clone, Copy)]
pub struct Hooks {
    /// Version of the binary.
    pub version: &'static str,
    /// Looks at what this machine can do.
    pub doctor: fn() -> Vec<DoctorCheck>,
    /// The images that are stored in a directory, by their content addresses.
    pub images: fn(&Path) -> BTreeMap<String, ImageFacts>,
    /// What the containers of every project were made of; the directory is that of the state.
    pub image_uses: fn(&Path) -> Vec<mesh_image::Use>,
    /// Enters a user namespace, for work on the layers of an ordinary user.
    pub enter_user_namespace: fn() -> Result<(), String>,
    /// Names of the volumes that are kept in a directory, by their projects.
    pub volumes: fn(&Path) -> BTreeMap<String, Vec<String>>,
    /// Has the shim of a container run a program.
    pub run_through_door: RunThroughDoor,
}

/// Has the shim of the container with this directory run what the orders say on three streams, and waits for its end.
/// `None`: nothing was started. To be called by a process's only thread.
pub type RunThroughDoor = fn(&Path, &[u8], [BorrowedFd<'_>; 3]) -> Option<ThroughDoor>;

/// How a program ended that the shim of a container ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThroughDoor {
    /// With this code.
    Ended(i32),
    /// It could not be executed, which has this code, and it said why.
    NotExecuted(i32),
}

/// What is known of a stored image.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageFacts {
    /// Bytes of its layers.
    pub bytes: u64,
    /// When it was made, in milliseconds since 1970; `None`: it does not say.
    pub created_unix_ms: Option<u64>,
    /// When it got its name here, in milliseconds since 1970.
    pub tagged_unix_ms: Option<u64>,
    /// What it is for, as `linux/amd64`; empty: this machine.
    pub platform: String,
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
