//! Running programs in containers.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, os::fd::OwnedFd, time::Duration};

/// A program to run in a running container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExecRequest {
    /// Program and arguments.
    pub command: Vec<String>,
    /// Further environment.
    pub environment: BTreeMap<String, String>,
    /// User; `None`: the container's.
    pub user: Option<String>,
    /// Working directory; `None`: the container's.
    pub working_dir: Option<String>,
    /// Allocate a terminal.
    pub tty: bool,
    /// Keep all capabilities.
    pub privileged: bool,
    /// Return at once and leave it running.
    pub detach: bool,
}

/// Files to copy. The archive is a tar stream on standard output (out) or standard input (in).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "direction")]
pub enum CopyRequest {
    /// A path of the container becomes a tar stream.
    Out {
        /// Path in the container.
        path: String,
        /// Follow a link at its end.
        follow_link: bool,
    },
    /// A tar stream is unpacked under a directory of the container.
    In {
        /// Directory in the container.
        directory: String,
        /// Keep uid and gid of the archive.
        archive: bool,
    },
}

/// A command of Mesh's own binary that the caller runs in its own process, so that terminal, signals
/// and pipes are the caller's and no byte passes through the supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invocation {
    /// Arguments after the binary's own name (`shim exec`).
    pub arguments: Vec<String>,
    /// What it reads on descriptor 3; holds environment values, so it is never put on a command line.
    pub payload: String,
}

/// Descriptors given to the process of a one-off container (`run`) in place of the journal.
#[derive(Debug)]
pub struct RunStreams {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// How one health test ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeOutcome {
    /// Verdict.
    pub verdict: Verdict,
    /// Its output, standard output and error together; at most [`PROBE_OUTPUT_BYTES_MAX`].
    pub output: String,
    /// Time it took.
    pub took: Duration,
}

/// Verdict of one health test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Exit code 0.
    Passed,
    /// Another exit code.
    Failed(i32),
    /// It took longer than it may, and was killed.
    TimedOut,
    /// It could not be run.
    NotRun,
}

/// Largest output of a probe that is kept, in bytes.
pub const PROBE_OUTPUT_BYTES_MAX: usize = 4096;
