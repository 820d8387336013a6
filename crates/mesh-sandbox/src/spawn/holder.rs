//! The holder of a project's namespaces: started, mapped, waited for; and joined.

use super::{SpawnError, maps, pipe, read_start_time, shim, start};
use crate::{
    channel::{REPORT_DESCRIPTOR, SPECIFICATION_DESCRIPTOR},
    hold::{HolderReport, MAPPED, ROOT, ROOTLESS, STAY},
    specification::UserNamespace,
};
use mesh_linux::command::Inheritance;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
    unistd::read,
};
use std::{
    fs::File,
    io::{self, Write as _},
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    process::Child,
    time::{Duration, Instant},
};

/// How long a holder may take for each step, in seconds.
const HOLDER_DEADLINE_S: u64 = 10;
/// Longest line of a holder, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// A holder that is ready. It ends with this value unless it is told to stay, so that none is left that
/// nobody has a record of.
#[derive(Debug)]
pub struct Holder {
    /// Its number, as this process sees it.
    pub pid: u32,
    /// When it started; see [`read_start_time`].
    pub start_time: u64,
    /// Which ids its user namespace has.
    pub user_namespace: UserNamespace,
    answer: File,
}

impl Holder {
    /// Has it stay when this process is gone: to be called once its record is kept.
    ///
    /// # Errors
    /// [`SpawnError::Descriptors`] where it ended meanwhile.
    pub fn stay(mut self) -> Result<(), SpawnError> {
        self.answer.write_all(STAY).map_err(SpawnError::Descriptors)
    }
}

/// Starts a holder: a process with a new network namespace, and where `rootless` with a new user
/// namespace that has as many ids as this user was given (`/etc/subuid`, `newuidmap`), else one. It
/// lives as long as what is given back here, or until it is killed where that was told to stay.
///
/// # Errors
/// [`SpawnError`]; [`SpawnError::Hold`] where the kernel allows no namespace. Nothing is left then.
pub fn start_holder(binary: &Path, rootless: bool) -> Result<Holder, SpawnError> {
    let (report, child_report) = pipe()?;
    let (child_answer, answer) = pipe()?;
    let command = shim(binary, &["hold", if rootless { ROOTLESS } else { ROOT }]);
    let placed = vec![(child_answer, SPECIFICATION_DESCRIPTOR), (child_report, REPORT_DESCRIPTOR)];
    let mut child = start(binary, command, Inheritance { placed, kept: Vec::new(), new_session: true })?;
    let result = follow(&child, rootless, &report, answer);
    if result.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    result
}

fn follow(child: &Child, rootless: bool, report: &OwnedFd, answer: OwnedFd) -> Result<Holder, SpawnError> {
    let pid = child.id();
    let mut answer = File::from(answer);
    let mut user_namespace = UserNamespace::None;
    if rootless {
        match next(report)? {
            HolderReport::WaitingForMaps => {}
            HolderReport::Failed { step, errno } => return Err(failed(step, errno)),
            HolderReport::Ready { .. } => return Err(failed("wait for the id maps".to_owned(), 0)),
        }
        user_namespace = maps::write(pid)?;
        answer.write_all(MAPPED).map_err(SpawnError::Descriptors)?;
    }
    match next(report)? {
        HolderReport::Ready { .. } => {
            Ok(Holder { pid, start_time: read_start_time(pid)?, user_namespace, answer })
        }
        HolderReport::Failed { step, errno } => Err(failed(step, errno)),
        HolderReport::WaitingForMaps => Err(failed("get ready".to_owned(), 0)),
    }
}

fn failed(step: String, errno: i32) -> SpawnError {
    SpawnError::Hold { step, source: io::Error::from_raw_os_error(errno) }
}

/// The holder's next line.
fn next(report: &OwnedFd) -> Result<HolderReport, SpawnError> {
    let deadline = Instant::now() + Duration::from_secs(HOLDER_DEADLINE_S);
    let mut line = Vec::new();
    while line.len() < LINE_BYTES_MAX {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut descriptors = [PollFd::new(report.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        if poll(&mut descriptors, timeout).unwrap_or(0) == 0 {
            if left.is_zero() {
                return Err(SpawnError::HolderSilent { seconds: HOLDER_DEADLINE_S });
            }
            continue;
        }
        let mut byte = [0];
        match read(report, &mut byte) {
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => {
                return serde_json::from_slice(&line).map_err(|error| SpawnError::Hold {
                    step: "be understood".to_owned(),
                    source: error.into(),
                });
            }
            Ok(_) => line.push(byte[0]),
            Err(nix::errno::Errno::EINTR) => {}
            Err(errno) => return Err(SpawnError::Descriptors(errno.into())),
        }
    }
    Err(SpawnError::Hold { step: "get ready".to_owned(), source: io::ErrorKind::UnexpectedEof.into() })
}

/// Moves this process into the user namespace of a holder, where it is root. To be called before this
/// process has any second thread; the kernel refuses it otherwise.
///
/// # Errors
/// [`SpawnError::Join`].
pub fn join_holder_user_namespace(pid: u32) -> Result<(), SpawnError> {
    let join = |source| SpawnError::Join { pid, source };
    let namespace = File::open(format!("/proc/{pid}/ns/user")).map_err(join)?;
    setns(namespace, CloneFlags::CLONE_NEWUSER).map_err(|errno| join(errno.into()))
}
