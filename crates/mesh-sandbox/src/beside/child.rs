//! What the shim forks, on its way to becoming the program.
//!
//! First it is a helper in the shim's own pid namespace, out of the container's sight; see [`birth`] for the
//! way on. It has closed everything that is the shim's before it joins anything, and what it needed of the machine before
//! the program is born. The file it is executed from lies on a mount that is read-only, so that `/proc/<pid>/exe`
//! cannot be written to once it is idle.

use super::{
    guest::Groups,
    wire::{self, Message, Request},
};
use crate::{
    birth::{self, Announcement},
    channel,
    exec::{self, Namespaces},
    execute::Program,
    failure::{Attempt as _, Failure},
    run::container::{self, join_groups},
    settings,
    specification::{ExecSpecification, Report, UserNamespace},
};
use mesh_linux::{
    descriptor::{close_between, close_from, place_standard},
    process::{SingleThreaded, die_with_parent},
};
use nix::{
    errno::Errno,
    sched::{CloneFlags, setns},
    sys::stat::{Mode, umask},
};
use std::{
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd},
    path::PathBuf,
};

/// The namespaces of a container that a process can join by itself.
const ALL: CloneFlags = CloneFlags::CLONE_NEWCGROUP
    .union(CloneFlags::CLONE_NEWIPC)
    .union(CloneFlags::CLONE_NEWUTS)
    .union(CloneFlags::CLONE_NEWNET)
    .union(CloneFlags::CLONE_NEWNS)
    .union(CloneFlags::CLONE_NEWPID);

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
}

/// Becomes the program; comes back with a code where it could not, having told whoever reads the streams, and in the
/// helper.
pub(super) fn main(place: Place<'_>, request: &Request, mut announcement: Announcement) -> i32 {
    let failure = match prepare(place, request, &mut announcement) {
        Ok(Some(program)) => program.execute(),
        Ok(None) => return 0,
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

/// The way to the program; `None` in the helper once the program was born.
fn prepare(
    place: Place<'_>,
    request: &Request,
    announcement: &mut Announcement,
) -> Result<Option<Program>, Failure> {
    die_with_parent().attempt(|| "tie the program to its shim")?;
    for (number, stream) in (0..).zip(&request.streams) {
        place_standard(stream, number).attempt(|| "place the standard streams")?;
    }
    // Of each of these steps, nothing that only it needed is left for the next.
    let own = [place.container.as_fd(), request.conversation.as_fd(), announcement.as_fd()];
    let members = place.groups.members.iter().flatten().map(AsFd::as_fd);
    keep(own.into_iter().chain([request.orders.as_fd()]).chain(members))?;
    let specification: ExecSpecification = channel::read_orders(&request.orders)?;
    let namespace = specification.user_namespace;
    umask(Mode::from_bits_truncate(0o022));
    exec::join_own_groups(enter_groups(place, &specification.cgroups), namespace)?;
    settings::adjust_oom_score(&specification.process, namespace)?;
    keep(own)?;
    let innermost = join(place, namespace)?;
    let lasting = [request.conversation.as_fd(), announcement.as_fd()];
    keep(lasting.into_iter().chain(innermost.iter().map(AsFd::as_fd)))?;
    let ready = birth::ready(&specification, innermost, None)?;
    if !birth::be_born(place.evidence, announcement)? {
        return Ok(None);
    }
    let program = birth::settle(&specification, ready, false)?;
    container::finish(|| announcement.listener_lives())?;
    if wire::is_gone(&request.conversation) {
        return Err(Failure::refused("start the program", "its caller is gone"));
    }
    Ok(Some(program))
}

/// Lets everything go but the standard streams and these. No owner of anything else is used again here.
fn keep<'a>(kept: impl IntoIterator<Item = BorrowedFd<'a>>) -> Result<(), Failure> {
    let mut kept: Vec<u32> = kept.into_iter().map(|kept| kept.as_raw_fd().cast_unsigned()).collect();
    kept.sort_unstable();
    let mut next = 3;
    for number in kept {
        close_between(next, number);
        next = number + 1;
    }
    close_from(next).attempt(|| "close the shim's descriptors")
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

/// Joins the container's namespaces; its pid namespace is for what is forked from here on. Gives the innermost user
/// namespace where there may be one.
fn join(place: Place<'_>, namespace: UserNamespace) -> Result<Option<OwnedFd>, Failure> {
    if namespace != UserNamespace::Sole {
        match setns(place.container, ALL) {
            // One of them is the machine's, which an ordinary user may not join, and need not.
            Err(Errno::EPERM) => {}
            joined => return joined.map(|()| None).attempt(|| "join the container's namespaces"),
        }
    }
    Namespaces::open(place.first)?.join()
}
