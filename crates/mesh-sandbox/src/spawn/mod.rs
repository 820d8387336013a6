//! The caller's half: starting shims and holders.
//!
//! A shim leads a session of its own, away from the caller's terminal; its environment is empty; what
//! it is told lies in sealed memory on descriptor 3, and what it answers comes on descriptor 4.

mod holder;
mod maps;

pub use holder::{Holder, join_holder_user_namespace, start_holder};
pub use maps::{IdRange, map_ranges, subordinate_ranges};

use crate::{
    channel::{KEPT, REPORT_BYTES_MAX, REPORT_DESCRIPTOR, SPECIFICATION_DESCRIPTOR},
    specification::{CopySpecification, ExecSpecification, Report, RunSpecification},
};
use mesh_linux::{
    command::{Inheritance, UNRESERVED_DESCRIPTOR, inherit, read_only},
    descriptor::{duplicate_above, sealed_memory},
    process::{open_pidfd, start_time},
};
use nix::{fcntl::OFlag, unistd::pipe2};
use std::{
    io::{self, Read as _, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{net::UnixStream, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Characters of a container's id in process lists.
const SHORT_ID_CHARACTERS: usize = 12;

/// A process of Mesh's own could not be started or understood.
#[derive(Debug, thiserror::Error)]
pub enum SpawnError {
    /// What it is told could not be written down.
    #[error("could not prepare the specification of a shim")]
    Specification(#[source] io::Error),
    /// Descriptors could not be made.
    #[error("could not make descriptors for a shim")]
    Descriptors(#[source] io::Error),
    /// The binary could not be started.
    #[error("could not start {}", binary.display())]
    Start {
        /// It.
        binary: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A process is not there.
    #[error("there is no process {pid}")]
    NoProcess {
        /// Its number.
        pid: u32,
    },
    /// A holder could not make a namespace.
    #[error("the holder could not {step}")]
    Hold {
        /// What it attempted.
        step: String,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A holder did not say in time that it is ready.
    #[error("the holder was not ready after {seconds} s")]
    HolderSilent {
        /// How long was waited.
        seconds: u64,
    },
    /// The ids of a user namespace could not be mapped.
    #[error("could not write {}", path.display())]
    Map {
        /// The map.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// The ranges of ids could not be mapped.
    #[error(
        "{program} did not map this user's range of ids ({reason}); reinstall the package uidmap, or remove the range from /etc/subuid"
    )]
    MapRange {
        /// Program that was to do it.
        program: &'static str,
        /// What it said.
        reason: String,
    },
    /// A user namespace could not be joined.
    #[error("could not join the user namespace of process {pid}")]
    Join {
        /// Its holder.
        pid: u32,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// A shim that was started.
#[derive(Debug)]
pub struct Spawned {
    /// The shim, a child of this process: reap it through `pidfd`
    /// ([`mesh_linux::process::wait_pidfd`]) once that is readable.
    pub shim_pid: u32,
    /// Handle on the shim; readable once it ended.
    pub pidfd: OwnedFd,
    /// Where its one report comes ([`read_report`]). A container that was started is killed by its
    /// shim when this is closed before [`confirm`].
    pub report: UnixStream,
}

/// Starts the shim of a container.
///
/// `inherited` stay open in the shim under their numbers, so that the specification can name one as
/// `/proc/self/fd/N`. `stdio` are its standard streams ([`crate::specification::Output::Inherit`] and
/// `Terminal`); without, they are `/dev/null`.
///
/// # Errors
/// [`SpawnError`]. That the container could not be made is not among them: the report says so.
pub fn spawn_run(
    binary: &Path,
    spec: &RunSpecification,
    inherited: Vec<OwnedFd>,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<Spawned, SpawnError> {
    let (kept, renamed) = above_reserved(inherited)?;
    let moved = spec.network_namespace.as_ref().and_then(|path| {
        let number: i32 = path.to_str()?.strip_prefix("/proc/self/fd/")?.parse().ok()?;
        let (_, now) = renamed.iter().find(|(before, _)| *before == number)?;
        Some(RunSpecification {
            network_namespace: Some(format!("/proc/self/fd/{now}").into()),
            ..spec.clone()
        })
    });
    let payload = payload(moved.as_ref().unwrap_or(spec))?;
    let id: String = spec.id.chars().take(SHORT_ID_CHARACTERS).collect();
    let mut command = shim(binary, &["run", &id]);
    if let Some([stdin, stdout, stderr]) = stdio {
        command.stdin(stdin).stdout(stdout).stderr(stderr);
    }
    let (report, answer) = UnixStream::pair().map_err(SpawnError::Descriptors)?;
    let placed = vec![(payload, SPECIFICATION_DESCRIPTOR), (answer.into(), REPORT_DESCRIPTOR)];
    let child = start(binary, command, Inheritance { placed, kept, new_session: true })?;
    let shim_pid = child.id();
    let pidfd = open_pidfd(shim_pid).map_err(SpawnError::Descriptors)?;
    Ok(Spawned { shim_pid, pidfd, report })
}

/// Starts a program in a container, with its standard output and standard error piped and nothing to
/// read. The shim's exit code is the program's; see [`ExecSpecification`].
///
/// # Errors
/// [`SpawnError`]. That the program could not be executed shows in the exit code (126, 127) and on
/// standard error.
pub fn spawn_exec(binary: &Path, spec: &ExecSpecification) -> Result<Child, SpawnError> {
    let payload = payload(spec)?;
    let mut command = shim(binary, &["exec"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let placed = vec![(payload, SPECIFICATION_DESCRIPTOR)];
    start(binary, command, Inheritance { placed, kept: Vec::new(), new_session: true })
}

/// Starts work on a container's files, with its standard output and standard error piped and nothing to read. The
/// shim's exit code is 0 where it went well.
///
/// # Errors
/// [`SpawnError`]. Why the work failed shows on standard error.
pub fn spawn_copy(binary: &Path, spec: &CopySpecification) -> Result<Child, SpawnError> {
    let payload = payload(spec)?;
    let mut command = shim(binary, &["copy"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let placed = vec![(payload, SPECIFICATION_DESCRIPTOR)];
    start(binary, command, Inheritance { placed, kept: Vec::new(), new_session: true })
}

/// Reads a shim's report to its end, blocking. `None`: it ended without one.
#[must_use]
pub fn read_report(report: &UnixStream) -> Option<Report> {
    let mut text = Vec::new();
    report.take(REPORT_BYTES_MAX).read_to_end(&mut text).ok()?;
    serde_json::from_slice(&text).ok()
}

/// Tells a shim that it is kept on record that its container runs. From here on the container goes on
/// without whoever started it.
///
/// # Errors
/// Those of writing: the shim is gone, and its container with it.
pub fn confirm(mut report: UnixStream) -> io::Result<()> {
    report.write_all(&[KEPT])
}

/// When a process started, in clock ticks since boot: tells one process from a later one of the same
/// number.
///
/// # Errors
/// [`SpawnError::NoProcess`].
pub fn read_start_time(pid: u32) -> Result<u64, SpawnError> {
    start_time(pid).ok_or(SpawnError::NoProcess { pid })
}

fn payload(specification: &impl serde::Serialize) -> Result<OwnedFd, SpawnError> {
    serde_json::to_vec(specification)
        .map_err(io::Error::from)
        .and_then(|text| sealed_memory(c"mesh", &text))
        .map_err(SpawnError::Specification)
}

fn pipe() -> Result<(OwnedFd, OwnedFd), SpawnError> {
    pipe2(OFlag::O_CLOEXEC).map_err(|errno| SpawnError::Descriptors(errno.into()))
}

fn shim(binary: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(read_only(binary));
    command.arg0("mesh").arg("shim").args(arguments).env_clear();
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn start(binary: &Path, mut command: Command, inheritance: Inheritance) -> Result<Child, SpawnError> {
    inherit(&mut command, inheritance).map_err(SpawnError::Descriptors)?;
    command.spawn().map_err(|source| SpawnError::Start { binary: binary.to_owned(), source })
}

/// A descriptor's number before it was moved, and after.
type Renamed = (i32, i32);

/// Descriptors at numbers that collide with nothing, and which number became which.
fn above_reserved(inherited: Vec<OwnedFd>) -> Result<(Vec<OwnedFd>, Vec<Renamed>), SpawnError> {
    let (mut kept, mut renamed) = (Vec::with_capacity(inherited.len()), Vec::new());
    for descriptor in inherited {
        if descriptor.as_raw_fd() >= UNRESERVED_DESCRIPTOR {
            kept.push(descriptor);
            continue;
        }
        let moved = duplicate_above(&descriptor, UNRESERVED_DESCRIPTOR).map_err(SpawnError::Descriptors)?;
        renamed.push((descriptor.as_raw_fd(), moved.as_raw_fd()));
        kept.push(moved);
    }
    Ok((kept, renamed))
}
