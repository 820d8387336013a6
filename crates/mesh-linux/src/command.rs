//! Starting a program with descriptors at fixed numbers, in a session of its own; and from a file that
//! it cannot be used to change.

use crate::{
    descriptor::duplicate_above,
    mount::{Attributes, add_attributes},
};
use nix::libc;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::{
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd, RawFd},
        unix::process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Numbers from here on are never given a meaning by a parent and its child.
pub const UNRESERVED_DESCRIPTOR: RawFd = 10;

/// Where to execute `program` so that the processes it becomes have it on a read-only mount of their
/// own. A process that enters a container may be made to execute `/proc/self/exe` there, and whoever
/// holds that file open could write to it once it is idle; through such a mount nobody can. Where this
/// user may make no mounts it is the path itself.
///
/// One program a process is remembered: the first one asked for.
#[must_use]
pub fn read_only(program: &Path) -> PathBuf {
    static OPENED: OnceLock<Option<(PathBuf, OwnedFd)>> = OnceLock::new();
    match OPENED.get_or_init(|| Some((program.to_owned(), mount_read_only(program).ok()?))) {
        Some((opened, mounted)) if opened == program => {
            PathBuf::from(format!("/proc/self/fd/{}", mounted.as_raw_fd()))
        }
        _ => program.to_owned(),
    }
}

fn mount_read_only(program: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let mounted = open_tree(rustix::fs::CWD, program, flags)?;
    add_attributes(&mounted, Attributes { read_only: true, ..Attributes::default() }, false)?;
    // Out of the way of the numbers that a child's descriptors are placed at.
    duplicate_above(&mounted, UNRESERVED_DESCRIPTOR)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_started_read_only_cannot_be_written_through_itself() {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("program");
        std::fs::copy("/bin/sh", &program).unwrap();
        let path = read_only(&program);
        if path == program {
            println!("skipped: this user may make no mounts");
            return;
        }
        // The shell opens itself and becomes another program, so that the file is idle.
        let script = "exec 9< /proc/self/exe; exec /bin/sh -c ': >> /proc/self/fd/9'";
        let output = Command::new(path).args(["-c", script]).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("Read-only"), "{said}");
    }
}
