//! Options of requests, as resolved from the command line.

use mesh_model::project::{Ports, Substitute};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What to do with containers that are there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recreate {
    /// Replace those whose configuration changed.
    #[default]
    Changed,
    /// Replace all.
    Force,
    /// Replace none.
    Never,
}

/// Options of `up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpOptions {
    /// How containers are made.
    pub create: CreateOptions,
    /// Only make, do not start.
    pub no_start: bool,
    /// Wait until healthy or complete.
    pub wait: bool,
    /// Give up waiting after so many milliseconds.
    pub wait_timeout_ms: Option<u64>,
    /// Grace period for containers that are replaced, in seconds.
    pub timeout_seconds: Option<u32>,
}

/// Options of `create`, shared with `up`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateOptions {
    /// Services; empty: all active ones. Their dependencies come along.
    pub services: Vec<String>,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// What to do with containers that are there.
    pub recreate: Recreate,
    /// Replace dependencies too.
    pub always_recreate_deps: bool,
    /// Do not keep anonymous volumes of replaced containers.
    pub renew_anonymous_volumes: bool,
    /// Remove containers of services the file no longer has.
    pub remove_orphans: bool,
    /// Say nothing of them.
    pub ignore_orphans: bool,
    /// Services whose containers run again although they completed.
    pub rerun: Vec<String>,
    /// Tell what would be done, and do nothing.
    pub dry_run: bool,
    /// Number of containers by service, over the file's.
    pub scale: BTreeMap<String, u32>,
    /// `--pull`: over the services' own policy.
    pub pull: Option<mesh_model::service::PullPolicy>,
    /// `--substitute`: over the project's policy.
    pub substitute: Option<Substitute>,
    /// `--ports`: over the project's way, from now on.
    pub ports: Option<Ports>,
    /// Go on with containers that came from another directory.
    pub take_over: bool,
}

/// Options of `down`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct DownOptions {
    /// Services; empty: the whole project with its networks.
    pub services: Vec<String>,
    /// Remove named and anonymous volumes.
    pub volumes: bool,
    /// Remove containers of services the file no longer has.
    pub remove_orphans: bool,
    /// Over the services' own grace periods, in seconds.
    pub timeout_seconds: Option<u32>,
}

/// Options of `exec`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecOptions {
    /// Service.
    pub service: String,
    /// Number among its containers, from 1; `None`: the first that runs.
    pub index: Option<u32>,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Further environment.
    pub environment: BTreeMap<String, String>,
    /// User.
    pub user: Option<String>,
    /// Working directory.
    pub working_dir: Option<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep all capabilities.
    pub privileged: bool,
    /// Leave it running.
    pub detach: bool,
}

/// Work on the files of one container. Paths are the container's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FileOperation {
    /// A path becomes a tar stream on standard output, whose entries begin with the path's last part; they
    /// have no such part where the path ends with `.`.
    Out {
        /// The path.
        path: String,
    },
    /// The tar stream on standard input is unpacked.
    In {
        /// Into this directory, which is there.
        directory: String,
        /// For the container's user, if it has one, in place of the owners that the stream says.
        archive: bool,
    },
    /// What is at a path is printed: a [`crate::status::FileStatus`], as JSON.
    Look {
        /// The path; a link at its end is not followed.
        path: String,
    },
    /// What is at a path and below it is printed: a [`crate::status::FileEntry`] a line, as JSON; nothing where
    /// nothing is. Of very many the rest is left out.
    List {
        /// The path; links are not followed.
        path: String,
    },
    /// Paths are removed, with everything in them; what is not there is no error.
    Remove {
        /// The paths.
        paths: Vec<String>,
    },
}

/// Options of `run`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RunOptions {
    /// Service, with the overrides of the command line applied to it in the project sent along.
    pub service: String,
    /// Name of the container; `None`: `<project>-<service>-run-<hex>`.
    pub name: Option<String>,
    /// Remove the container when it ends.
    pub remove: bool,
    /// Leave it running.
    pub detach: bool,
    /// Leave dependencies alone.
    pub no_deps: bool,
    /// Publish the service's own ports.
    pub service_ports: bool,
    /// Join networks under the service's own names.
    pub use_aliases: bool,
    /// Allocate a terminal.
    pub tty: bool,
    /// `--substitute`.
    pub substitute: Option<Substitute>,
    /// `--ports`: over the project's way, from now on.
    pub ports: Option<Ports>,
    /// Go on with containers that came from another directory.
    pub take_over: bool,
    /// Remove containers of services the file no longer has.
    pub remove_orphans: bool,
    /// Say nothing of them.
    pub ignore_orphans: bool,
    /// Keys that let go of the terminal: an event `detach` of the container says so, and hanging up does
    /// not end it any more. Empty: there are none.
    pub detach_keys: Vec<u8>,
}
