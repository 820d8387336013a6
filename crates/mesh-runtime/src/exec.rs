//! Running programs in containers.

use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, os::fd::OwnedFd, path::PathBuf, time::Duration};

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

/// Work on a container's files. The archive is a tar stream on standard output (out) or standard input
/// (in).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "direction")]
pub enum CopyRequest {
    /// A path of the container becomes a tar stream.
    Out {
        /// Path in the container; a link at its end is not followed.
        path: String,
    },
    /// A tar stream is unpacked under a directory of the container.
    In {
        /// Directory in the container.
        directory: String,
        /// For the container's user, if it has one, in place of the owners that the archive says.
        archive: bool,
    },
    /// What is at a path is printed, as JSON: `exists`, `mode`, `link`.
    Look {
        /// Path in the container; a link at its end is not followed.
        path: String,
    },
    /// What is at a path and below it is printed, a JSON document a line: `path`, `mode`, `size`,
    /// `modified_seconds`, `link`.
    List {
        /// Path in the container; links are not followed.
        path: String,
    },
    /// The content of a file is printed.
    Print {
        /// Path in the container; links are followed.
        path: String,
        /// Bytes that it may have at most.
        bytes_max: usize,
    },
    /// Paths are removed, with everything in them.
    Remove {
        /// Paths in the container.
        paths: Vec<String>,
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
    /// Directory of a container whose shim may be asked to do the same; where it does, nothing is to be run.
    pub door: Option<PathBuf>,
}

/// Descriptors given to the process of a one-off container (`run`) in place of the journal. With a
/// terminal, `stderr` is where one byte says that the caller let go of it.
#[derive(Debug)]
pub struct RunStreams {
    /// Standard input.
    pub stdin: OwnedFd,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
    /// Keys that let go of the terminal; empty: there are none.
    pub detach_keys: Vec<u8>,
}

/// How a program ended that was run to its end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Executed {
    /// Its exit code; `None`: it took longer than it may, and was killed.
    pub code: Option<i32>,
    /// The end of its standard output; at most [`EXECUTED_OUTPUT_BYTES_MAX`].
    pub stdout: String,
    /// The end of its standard error; at most [`EXECUTED_OUTPUT_BYTES_MAX`].
    pub stderr: String,
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

/// How much of each stream of a program is kept that is run to its end, in bytes.
pub const EXECUTED_OUTPUT_BYTES_MAX: usize = 2048;

/// Largest output of a probe that is kept, in bytes.
pub const PROBE_OUTPUT_BYTES_MAX: usize = 4096;
