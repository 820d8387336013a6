//! Shims as processes: starting one and hearing its report, signalling what it runs. Blocking.

use crate::{
    fault,
    record::{self, ProcessKey, RunRecord},
};
use mesh_linux::{command::UNRESERVED_DESCRIPTOR, descriptor, process};
use mesh_runtime::error::RuntimeError;
use mesh_sandbox::{
    spawn,
    specification::{Report, RunSpecification},
};
use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
    path::Path,
    time::{Duration, Instant},
};

/// Longest wait for a shim's report. Filling a large volume from an image is in it.
const REPORT_WAIT_MAX: Duration = Duration::from_secs(120);

/// Longest wait for a shim that reported a failure to end by itself.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// A shim whose container runs.
#[derive(Debug)]
pub(crate) struct Shim {
    /// The shim.
    pub(crate) shim: ProcessKey,
    /// First process of the container.
    pub(crate) process: ProcessKey,
}

/// Starts a shim and waits until its container's program was executed.
///
/// # Errors
/// What the shim says, or that it said nothing.
pub(crate) fn run(
    binary: &Path,
    specification: &RunSpecification,
    inherited: Vec<OwnedFd>,
    stdio: Option<[OwnedFd; 3]>,
) -> Result<Shim, RuntimeError> {
    let failed = |reason: String| RuntimeError::Setup { step: "start the shim".to_owned(), reason };
    let spawned = spawn::spawn_run(binary, specification, inherited, stdio)
        .map_err(|error| failed(fault::chain(&error)))?;
    let shim = key(spawned.shim_pid);
    let error = match report(spawned.report) {
        Some(Report::Started { pid }) => return Ok(Shim { shim, process: key(pid) }),
        Some(Report::SetupFailed { step, reason }) => RuntimeError::Setup { step, reason },
        Some(Report::ExecuteFailed { program, reason, code: _ }) => RuntimeError::Execute { program, reason },
        None => failed("it ended, or kept silent, before its container ran".to_owned()),
    };
    reap(&spawned.pidfd);
    Err(error)
}

/// The shim's report, waited for as long as it may take.
fn report(descriptor: OwnedFd) -> Option<Report> {
    readable(&descriptor, REPORT_WAIT_MAX).then(|| spawn::read_report(descriptor))?
}

/// Waits for a shim that failed to end, and ends it if it does not.
fn reap(pidfd: &OwnedFd) {
    if !readable(pidfd, END_WAIT_MAX) {
        let _ = process::signal_pidfd(pidfd, libc::SIGKILL);
    }
    let _ = process::wait_pidfd(pidfd, true);
}

/// Whether a descriptor becomes readable in time.
fn readable(descriptor: &OwnedFd, wait_max: Duration) -> bool {
    let deadline = Instant::now() + wait_max;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(descriptor.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) => return false,
            Ok(_) => return true,
            Err(Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

/// The record of a process that just started. One that ended already has no start time; then nothing
/// alive is ever taken for it.
fn key(pid: u32) -> ProcessKey {
    ProcessKey::of(pid).unwrap_or(ProcessKey { pid, start_time: 0, boot: record::boot() })
}

/// A descriptor at a number that a child may inherit it at.
pub(crate) fn inheritable(fd: OwnedFd) -> Result<OwnedFd, RuntimeError> {
    if fd.as_raw_fd() >= UNRESERVED_DESCRIPTOR {
        return Ok(fd);
    }
    descriptor::duplicate_above(&fd, UNRESERVED_DESCRIPTOR).map_err(|source| RuntimeError::System {
        attempted: "could not duplicate a descriptor".to_owned(),
        source,
    })
}

/// Sends a signal to a process, and never to another one that has its number now.
///
/// # Errors
/// [`RuntimeError::NotRunning`] if it is gone.
pub(crate) fn signal(key: &ProcessKey, number: i32) -> Result<(), RuntimeError> {
    let pidfd = process::open_pidfd(key.pid).map_err(|_| RuntimeError::NotRunning)?;
    if !key.is_alive() {
        return Err(RuntimeError::NotRunning);
    }
    sent(process::signal_pidfd(&pidfd, number))
}

/// Sends a signal to a process that was just listed.
pub(crate) fn signal_number(pid: u32, number: i32) -> Result<(), RuntimeError> {
    match process::open_pidfd(pid) {
        Ok(pidfd) => match sent(process::signal_pidfd(&pidfd, number)) {
            Err(RuntimeError::NotRunning) => Ok(()),
            other => other,
        },
        Err(_) => Ok(()),
    }
}

fn sent(result: io::Result<()>) -> Result<(), RuntimeError> {
    result.map_err(|source| match source.raw_os_error() {
        Some(libc::ESRCH) => RuntimeError::NotRunning,
        _ => RuntimeError::System {
            attempted: "could not signal a process of the container".to_owned(),
            source,
        },
    })
}

/// Kills what is left of a run.
pub(crate) fn kill(run: &RunRecord) {
    let _ = signal(&run.process, libc::SIGKILL);
}
