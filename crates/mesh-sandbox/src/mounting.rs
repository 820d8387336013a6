//! Mounting on open paths, so that no name is looked up twice.

use crate::failure::{Attempt as _, Failure};
use nix::mount::{MsFlags, mount};
use std::{
    os::fd::{AsFd, AsRawFd as _},
    path::Path,
};

/// Name of an open path for calls that take names; good while it stays open.
pub(crate) fn name(descriptor: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", descriptor.as_fd().as_raw_fd())
}

/// Mounts a file system of the kernel's on an open path.
pub(crate) fn file_system(
    kind: &str,
    target: &impl AsFd,
    flags: MsFlags,
    options: Option<&str>,
    shown: &str,
) -> Result<(), Failure> {
    mount(Some(kind), name(target).as_str(), Some(kind), flags, options)
        .attempt(|| format!("mount {kind} on {shown}"))
}

/// Binds a file or directory, with what is mounted below it, on an open path.
pub(crate) fn bind(source: &Path, target: &impl AsFd, shown: &str) -> Result<(), Failure> {
    bind_path(source, source, target, shown)
}

/// As [`bind`], what is held open at `source`; `named` is what messages call it.
pub(crate) fn bind_open(
    source: &impl AsFd,
    named: &Path,
    target: &impl AsFd,
    shown: &str,
) -> Result<(), Failure> {
    bind_path(Path::new(&name(source)), named, target, shown)
}

fn bind_path(source: &Path, named: &Path, target: &impl AsFd, shown: &str) -> Result<(), Failure> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    mount(Some(source), name(target).as_str(), None::<&str>, flags, None::<&str>)
        .attempt(|| format!("bind {} on {shown}", named.display()))
}
