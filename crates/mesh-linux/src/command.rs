//! Starting a program with descriptors at fixed numbers, in a session of its own.

use crate::descriptor::duplicate_above;
use nix::libc;
use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    process::Command,
};

/// Numbers from here on are never given a meaning by a parent and its child.
pub const UNRESERVED_DESCRIPTOR: RawFd = 10;

/// How the child of a [`Command`] differs from its parent.
#[derive(Debug, Default)]
pub struct Inheritance {
    /// Descriptors and the number each has in the child (below [`UNRESERVED_DESCRIPTOR`], above 2).
    pub placed: Vec<(OwnedFd, RawFd)>,
    /// Descriptors that keep their number, which is [`UNRESERVED_DESCRIPTOR`] or higher.
    pub kept: Vec<OwnedFd>,
    /// Lead a new session, away from the caller's terminal and process group.
    pub new_session: bool,
}

/// Arranges that the child of `command` gets what `inheritance` says. The descriptors stay open in
/// this process until `command` is dropped.
///
/// # Errors
/// `InvalidInput` for a number outside of its range; else those of duplicating a descriptor.
pub fn inherit(command: &mut Command, inheritance: Inheritance) -> io::Result<()> {
    let Inheritance { placed, kept, new_session } = inheritance;
    let mut moves = Vec::with_capacity(placed.len());
    for (descriptor, number) in placed {
        if !(3..UNRESERVED_DESCRIPTOR).contains(&number) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // First out of the way of every number that is a goal.
        moves.push((duplicate_above(&descriptor, UNRESERVED_DESCRIPTOR)?, number));
    }
    if kept.iter().any(|descriptor| descriptor.as_raw_fd() < UNRESERVED_DESCRIPTOR) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let prepare = move || {
        for (descriptor, number) in &moves {
            // SAFETY: plain system call with numbers; in the forked child nobody owns the goal.
            if unsafe { libc::dup2(descriptor.as_raw_fd(), *number) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        for descriptor in &kept {
            // SAFETY: clears a flag of an open descriptor.
            if unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, 0) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        // SAFETY: takes and touches nothing. It fails only for a process group's leader: then the
        // process has a group of its own already.
        if new_session && unsafe { libc::setsid() } < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only: it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(prepare);
    }
    Ok(())
}
