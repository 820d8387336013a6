//! What the shim forks, on its way to becoming the program.
//!
//! From the fork on it is seen in the container's pid namespace, while it has still all that its shim may do.
//! What keeps the container's programs from it until then is that its memory and descriptors are nobody's to
//! look into (a shim is not dumpable, and neither is what it forks), and that the file it is executed from lies
//! on a mount that is read-only, so that `/proc/<pid>/exe` cannot be written to once it is idle.

use super::{
    guest::Groups,
    wire::{self, Message, Request},
};
use crate::{
    channel,
    exec::{self, Namespaces},
    failure::{Attempt as _, Failure},
    run::container::{self, join_groups},
    specification::{ExecSpecification, Report, UserNamespace},
};
use mesh_linux::{
    descriptor::{close_between, close_from, place_standard},
    process::SingleThreaded,
};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, setns},
};
use std::{
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::PathBuf,
};

/// The namespaces of a container that a process can join by itself.
const ALL: CloneFlags = CloneFlags::CLONE_NEWCGROUP
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWNS);

/// Where it was forked.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) evidence: SingleThreaded,
    /// First process of the container, as the shim numbers it.
    pub(super) first: u32,
    /// Its control groups.
    pub(super) groups: &'a Groups,
    /// A handle on it.
    pub(super) container: &'a OwnedFd,
    /// A handle on the shim.
    pub(super) shim: &'a OwnedFd,
}

/// Becomes the program; comes back with a code where it could not, having told whoever reads the streams.
pub(super) fn main(place: Place<'_>, request: &Request) -> i32 {
    let failure = match keep_own(place, request).and_then(|()| prepare(place, request)) {
        Ok(program) => program.execute(),
        Err(failure) => failure,
    };
    let report = failure.report();
    let code = match &report {
        Report::ExecuteFailed { code, .. } => *code,
        Report::SetupFailed { .. } | Report::Started { .. } => exec::SETUP_FAILED,
    };
    channel::tell(&report);
    wire::say(&request.conversation, Message::NotExecuted(code));
    code
}

/// Takes the streams and lets everything go that is the shim's. None of its owners is used again here.
fn keep_own(place: Place<'_>, request: &Request) -> Result<(), Failure> {
    for (number, stream) in (0..).zip(&request.streams) {
        place_standard(stream, number).attempt(|| "place the standard streams")?;
    }
    let own = [place.container, place.shim, &request.orders, &request.conversation];
    let members = place.groups.members.iter().flatten();
    let kept = own.iter().map(|own| own.as_fd()).chain(members.map(AsFd::as_fd));
    let mut kept: Vec<u32> = kept.map(|kept| kept.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut next = 3;
    for number in kept {
        close_between(next, number);
        next = number + 1;
    }
    close_from(next).attempt(|| "close the shim's descriptors")
}

fn prepare(place: Place<'_>, request: &Request) -> Result<crate::execute::Program, Failure> {
    let specification: ExecSpecification = channel::read_orders(&request.orders)?;
    exec::lead()?;
    let namespace = specification.user_namespace;
    exec::join_own_groups(enter_groups(place, &specification.cgroups), namespace)?;
    let innermost = join(place, namespace)?;
    let program = exec::settle(&specification, innermost, false)?;
    container::finish(|| !has_ended(place.shim))?;
    Ok(program)
}

/// Joins the control groups that the orders name: those of the container, unless whoever gave the orders knows better.
fn enter_groups(place: Place<'_>, directories: &[PathBuf]) -> Result<(), Failure> {
    match &place.groups.members {
        Some(members) if directories == place.groups.directories => {
            members.iter().zip(directories).try_for_each(|(group, directory)| {
                let step = || format!("join control group {}", directory.display());
                group.join(place.evidence).attempt(step)
            })
        }
        _ => join_groups(place.evidence, directories),
    }
}

/// Joins the container's namespaces; that of process numbers is the one it was born into. Gives the innermost user
/// namespace where there may be one.
fn join(place: Place<'_>, namespace: UserNamespace) -> Result<Option<OwnedFd>, Failure> {
    if namespace != UserNamespace::Sole {
        match setns(place.container, ALL) {
            // One of them is the machine's, which an ordinary user may not join, and need not.
            Err(Errno::EPERM) => {}
            joined => return joined.map(|()| None).attempt(|| "join the container's namespaces"),
        }
    }
    Namespaces::open(place.first)?.join_after_fork()
}

/// Whether the process of a handle ended.
fn has_ended(pidfd: &OwnedFd) -> bool {
    let mut descriptors = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut descriptors, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
}
