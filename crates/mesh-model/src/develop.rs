//! What `mesh watch` does as files of this machine change: `develop.watch`.

use crate::hook::Hook;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One entry of `develop.watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Watch {
    /// File or directory that is watched; absolute.
    pub path: PathBuf,
    /// What a change brings about.
    pub action: WatchAction,
    /// Where it goes in the container; absolute. Always there for actions that copy.
    pub target: Option<String>,
    /// Patterns, in the manner of `.dockerignore`, of what is left out, relative to `path`.
    pub ignore: Vec<String>,
    /// Patterns of what alone is watched, relative to `path`; empty: everything.
    pub include: Vec<String>,
    /// Copy everything once before watching begins.
    pub initial_sync: bool,
    /// What `sync+exec` runs after copying.
    pub exec: Option<Hook>,
    /// What the service's image is built from, whose `.dockerignore` counts here too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildFiles>,
}

/// The files that an image is built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildFiles {
    /// Directory of the context; absolute.
    pub context: PathBuf,
    /// The Dockerfile, relative to it; empty: none is named.
    pub dockerfile: String,
}

/// `develop.watch[].action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WatchAction {
    /// Build the image again and replace the containers.
    #[serde(rename = "rebuild")]
    Rebuild,
    /// Copy what changed into the containers.
    #[serde(rename = "sync")]
    Sync,
    /// Restart the containers.
    #[serde(rename = "restart")]
    Restart,
    /// Copy, then restart.
    #[serde(rename = "sync+restart")]
    SyncRestart,
    /// Copy, then run a command in the containers.
    #[serde(rename = "sync+exec")]
    SyncExec,
}

impl WatchAction {
    /// Whether it copies files into containers.
    #[must_use]
    pub fn copies(self) -> bool {
        matches!(self, Self::Sync | Self::SyncRestart | Self::SyncExec)
    }
}
