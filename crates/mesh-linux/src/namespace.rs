//! Namespaces: who owns one, whether two are one, the id maps of a user namespace.

use nix::libc;
use std::{
    fs, io,
    os::{
        fd::{AsFd, AsRawFd, FromRawFd, OwnedFd},
        unix::fs::MetadataExt as _,
    },
};

/// The user namespace that owns `namespace` (for a user namespace: itself is not meant; ask
/// [`parent`]).
///
/// # Errors
/// `PermissionDenied` where the owner is outside of what this process may see.
pub fn owner(namespace: impl AsFd) -> io::Result<OwnedFd> {
    request(namespace, libc::NS_GET_USERNS)
}

/// The parent of a user namespace or pid namespace.
///
/// # Errors
/// `PermissionDenied` where the parent is outside of what this process may see.
pub fn parent(namespace: impl AsFd) -> io::Result<OwnedFd> {
    request(namespace, libc::NS_GET_PARENT)
}

fn request(namespace: impl AsFd, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: these requests take no argument and give a new descriptor or an error.
    let number = unsafe { libc::ioctl(namespace.as_fd().as_raw_fd(), request) };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Whether two descriptors or paths are the same namespace.
///
/// # Errors
/// Those of `fstat`.
pub fn same(one: impl AsFd, other: impl AsFd) -> io::Result<bool> {
    let identity = |descriptor: &dyn AsRawFd| -> io::Result<(u64, u64)> {
        let data = fs::metadata(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
        Ok((data.dev(), data.ino()))
    };
    Ok(identity(&one.as_fd())? == identity(&other.as_fd())?)
}

/// Maps the one id 0 of the parent user namespace to `id` (user) and `group_id` in the one this
/// process is in: only right after it was unshared.
///
/// # Errors
/// Those of writing the maps.
pub fn map_single_id(outer_user: u32, user: u32, outer_group: u32, group: u32) -> io::Result<()> {
    fs::write("/proc/self/uid_map", format!("{user} {outer_user} 1"))?;
    fs::write("/proc/self/setgroups", "deny")?;
    fs::write("/proc/self/gid_map", format!("{group} {outer_group} 1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn a_namespace_is_itself_and_no_other() {
        let network = File::open("/proc/self/ns/net").unwrap();
        let again = File::open("/proc/self/ns/net").unwrap();
        let mount = File::open("/proc/self/ns/mnt").unwrap();
        assert!(same(&network, &again).unwrap());
        assert!(!same(&network, &mount).unwrap());
        let user = File::open("/proc/self/ns/user").unwrap();
        assert!(same(owner(&network).unwrap(), &user).unwrap());
    }
}
