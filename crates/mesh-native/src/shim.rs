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
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    time::{Duration, Instant},
};

/// Longest wait for a shim's report. Filling a large volume from an image is in it.
const REPORT_WAIT_MAX: Duration = Duration::from_secs(120);

/// Longest wait for a shim that reported a failure to end by itself.
const END_WAIT_MAX: Duration = Duration::from_secs(5);

/// A shim whose container runs, and which ends it when this is dropped before [`Shim::kept`].
#[derive(Debug)]
pub(crate) struct Shim {
    /// The shim.
    pub(crate) shim: ProcessKey,
    /// First process of the container.
    pub(crate) process: ProcessKey,
    /// Where it hears that the run is on record.
    listening: UnixStream,
}

impl Shim {
    /// Lets the container go on without this process: its run is on record.
    ///
    /// # Errors
    /// The shim is gone.
    pub(crate) fn kept(self) -> io::Result<()> {
        spawn::confirm(self.listening)
    }
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
    let error = match report(&spawned.report) {
        Some(Report::Started { pid }) => match (key(spawned.shim_pid), key(pid)) {
            (Ok(shim), Ok(process)) => return Ok(Shim { shim, process, listening: spawned.report }),
            (Err(error), _) | (_, Err(error)) => failed(error.to_string()),
        },
        Some(Report::SetupFailed { step, reason }) => RuntimeError::Setup { step, reason },
        Some(Report::ExecuteFailed { program, reason, code: _ }) => RuntimeError::Execute { program, reason },
        None => failed("it ended, or kept silent, before its container ran".to_owned()),
    };
    drop(spawned.report);
    reap(&spawned.pidfd);
    Err(error)
}

/// The shim's report, waited for as long as it may take.
fn report(listening: &UnixStream) -> Option<Report> {
    readable(listening, REPORT_WAIT_MAX).then(|| spawn::read_report(listening))?
}

/// Waits for a shim that failed to end, and ends it if it does not.
fn reap(pidfd: &OwnedFd) {
    if !readable(pidfd, END_WAIT_MAX) {
        let _ = process::signal_pidfd(pidfd, libc::SIGKILL);
    }
    let _ = process::wait_pidfd(pidfd, true);
}

/// Whether a descriptor becomes readable in time.
pub(crate) fn readable(descriptor: impl AsFd, wait_max: Duration) -> bool {
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
fn key(pid: u32) -> io::Result<ProcessKey> {
    match ProcessKey::of(pid)? {
        Some(key) => Ok(key),
        None => Ok(ProcessKey { pid, start_time: 0, boot: record::boot()? }),
    }
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
    let pidfd = handle(key)?;
    sent(process::signal_pidfd(&pidfd, number))
}

/// Kills a process of Mesh's own and reaps it where it is a child of this one; where another supervisor
/// started it, init does that. One that is gone is no error.
///
/// # Errors
/// It may live still.
pub(crate) fn end(key: &ProcessKey) -> Result<(), RuntimeError> {
    let killed = handle(key).and_then(|pidfd| {
        sent(process::signal_pidfd(&pidfd, libc::SIGKILL))?;
        let _ = process::wait_pidfd(&pidfd, true);
        Ok(())
    });
    match killed {
        Err(RuntimeError::NotRunning) => Ok(()),
        other => other,
    }
}

/// A handle on this very process.
fn handle(key: &ProcessKey) -> Result<OwnedFd, RuntimeError> {
    let pidfd = sent(process::open_pidfd(key.pid))?;
    // The number may have been used again before the handle was opened.
    match sent(key.lives())? {
        true => Ok(pidfd),
        false => Err(RuntimeError::NotRunning),
    }
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

fn sent<T>(result: io::Result<T>) -> Result<T, RuntimeError> {
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
