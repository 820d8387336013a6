//! Attributes of mounts that are there.

use nix::{
    errno::Errno,
    libc,
    mount::{MsFlags, mount},
    sys::statvfs::{FsFlags, fstatvfs},
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

/// What can be added to a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Attributes {
    /// No writing through it.
    pub read_only: bool,
    /// Device files do not work.
    pub no_devices: bool,
    /// Set-user-id bits do not work.
    pub no_set_id: bool,
    /// Programs cannot be executed from it.
    pub no_execute: bool,
}

/// Adds attributes to the mount whose root `target` is (an open path); with `recursive` to those below
/// it as well. What it had stays, which is what a user namespace demands of locked attributes.
///
/// # Errors
/// Those of `mount_setattr`; on a kernel before 5.12 those of a remount, which is never recursive.
pub fn add_attributes(target: impl AsFd, add: Attributes, recursive: bool) -> io::Result<()> {
    let mut set = 0_u64;
    for (wanted, flag) in [
        (add.read_only, libc::MOUNT_ATTR_RDONLY),
        (add.no_devices, libc::MOUNT_ATTR_NODEV),
        (add.no_set_id, libc::MOUNT_ATTR_NOSUID),
        (add.no_execute, libc::MOUNT_ATTR_NOEXEC),
    ] {
        if wanted {
            set |= flag;
        }
    }
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is an empty C string, and the structure is alive and of the stated size.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            target.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    match result {
        0 => Ok(()),
        _ if Errno::last() == Errno::ENOSYS => remount(target, add),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The older way: a remount with the flags it has and those to add.
fn remount(target: impl AsFd, add: Attributes) -> io::Result<()> {
    let has = fstatvfs(target.as_fd())?.flags();
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
    for (present, wanted, flag) in [
        (has.contains(FsFlags::ST_RDONLY), add.read_only, MsFlags::MS_RDONLY),
        (has.contains(FsFlags::ST_NODEV), add.no_devices, MsFlags::MS_NODEV),
        (has.contains(FsFlags::ST_NOSUID), add.no_set_id, MsFlags::MS_NOSUID),
        (has.contains(FsFlags::ST_NOEXEC), add.no_execute, MsFlags::MS_NOEXEC),
        (has.contains(FsFlags::ST_NOATIME), false, MsFlags::MS_NOATIME),
        (has.contains(FsFlags::ST_NODIRATIME), false, MsFlags::MS_NODIRATIME),
        (has.contains(FsFlags::ST_RELATIME), false, MsFlags::MS_RELATIME),
    ] {
        if present || wanted {
            flags |= flag;
        }
    }
    let path = format!("/proc/self/fd/{}", target.as_fd().as_raw_fd());
    Ok(mount(None::<&str>, path.as_str(), None::<&str>, flags, None::<&str>)?)
}
