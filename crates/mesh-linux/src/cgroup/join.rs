//! Joining a group.

use crate::process::SingleThreaded;
use std::{
    fs::{File, OpenOptions},
    io::{self, Write as _},
    os::fd::{AsFd, BorrowedFd},
    path::Path,
};

/// Moves this process into the group with this directory.
///
/// # Errors
/// Those of opening and writing: the group is gone or full, or this user may not.
pub fn join(evidence: SingleThreaded, directory: &Path) -> io::Result<()> {
    Members::open(directory)?.join(evidence)
}

/// The list of a group's members, open: for a process whose children join one group again and again.
#[derive(Debug)]
pub struct Members(File);

impl Members {
    /// Opens that of the group with this directory.
    ///
    /// On version 1 it is the one of threads: a process of one thread is moved by it all the same and a hundred
    /// times as quick. Before it moves a process by `cgroup.procs`, the kernel waits until no thread can be under
    /// way anywhere, 10 ms and more.
    ///
    /// # Errors
    /// Those of opening: the group is gone, or this user may not.
    pub fn open(directory: &Path) -> io::Result<Self> {
        let open = |file: &str| OpenOptions::new().write(true).open(directory.join(file));
        match open("tasks") {
            Err(error) if error.kind() == io::ErrorKind::NotFound => open("cgroup.procs"),
            opened => opened,
        }
        .map(Self)
    }

    /// Moves this process into the group.
    ///
    /// # Errors
    /// Those of writing: the group is gone or full, or whoever opened it may not.
    pub fn join(&self, _evidence: SingleThreaded) -> io::Result<()> {
        (&self.0).write_all(b"0")
    }
}

impl AsFd for Members {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
