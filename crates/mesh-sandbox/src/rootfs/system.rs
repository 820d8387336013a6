//! `/proc`, `/dev` and `/sys` of a container.

use super::{Missing, Root};
use crate::{
    failure::{Attempt as _, Failure},
    mounting::{bind, file_system},
    specification::{RunSpecification, UserNamespace},
};
use mesh_linux::mount::{Attributes, add_attributes};
use nix::mount::MsFlags;
use rustix::fs::{Mode, OFlags, mkdirat, openat, symlinkat};
use std::{
    os::fd::{AsFd as _, BorrowedFd},
    path::{Path, PathBuf},
};

/// Devices every container has.
const DEVICES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];

/// Links in `/dev`.
const LINKS: [(&str, &str); 6] = [
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// Where control groups are shown.
const CGROUPS: &str = "/sys/fs/cgroup";

fn inert() -> MsFlags {
    MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC
}

pub(super) fn mount_all(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    let proc = root.ensure("proc", Missing::Directory)?;
    file_system("proc", &proc, inert(), None, "/proc")?;
    devices(root, specification)?;
    system(root, specification)
}

fn devices(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    let place = root.ensure("dev", Missing::Directory)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    file_system("tmpfs", &place, flags, Some("mode=755,size=65536k"), "/dev")?;
    let directory = root.find("dev", OFlags::PATH | OFlags::DIRECTORY).attempt(|| "open /dev")?;
    for device in DEVICES {
        let made = file(directory.as_fd(), device)?;
        bind(&Path::new("/dev").join(device), &made, &format!("/dev/{device}"))?;
    }
    for (link, target) in LINKS {
        symlinkat(target, &directory, link).attempt(|| format!("link /dev/{link}"))?;
    }
    let sub = |path: &str| root.ensure(&format!("dev/{path}"), Missing::Directory);
    let terminals = sub("pts")?;
    let own = "newinstance,ptmxmode=0666,mode=0620";
    let with_group = format!("{own},gid=5");
    let options = if specification.user_namespace == UserNamespace::Sole { own } else { &with_group };
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    file_system("devpts", &terminals, quiet, Some(options), "/dev/pts")?;
    let shared = sub("shm")?;
    if specification.host_ipc {
        bind(Path::new("/dev/shm"), &shared, "/dev/shm")?;
    } else {
        let options = format!("mode=1777,size={}", specification.shm_bytes);
        file_system("tmpfs", &shared, inert(), Some(&options), "/dev/shm")?;
    }
    let queues = sub("mqueue")?;
    if specification.host_ipc {
        // A machine without message queues has nothing to share.
        let _ = bind(Path::new("/dev/mqueue"), &queues, "/dev/mqueue");
        Ok(())
    } else {
        file_system("mqueue", &queues, inert(), None, "/dev/mqueue")
    }
}

/// Devices of the specification; after its mounts, since one may be inside of another.
pub(super) fn bind_devices(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    for (source, target) in &specification.devices {
        let shown = target.to_string_lossy();
        let missing = if source.is_dir() { Missing::Directory } else { Missing::File };
        let place = root.ensure(&shown, missing)?;
        bind(source, &place, &shown)?;
    }
    Ok(())
}

fn file(directory: BorrowedFd<'_>, name: &str) -> Result<std::os::fd::OwnedFd, Failure> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::from_raw_mode(0o666)).attempt(|| format!("make /dev/{name}"))
}

/// `/sys`, read-only. Without a network namespace of its own a user namespace may not mount one: then
/// the machine's is bound, or it stays empty.
fn system(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    let place = root.ensure("sys", Missing::Directory)?;
    let flags = inert() | MsFlags::MS_RDONLY;
    if file_system("sysfs", &place, flags, None, "/sys").is_err() {
        if bind(Path::new("/sys"), &place, "/sys").is_err() {
            return file_system("tmpfs", &place, flags, Some("mode=755,size=0"), "/sys");
        }
        let bound = root.find("sys", OFlags::PATH).attempt(|| "open /sys")?;
        let read_only = Attributes { read_only: true, ..Attributes::default() };
        return add_attributes(&bound, read_only, true).attempt(|| "make /sys read-only");
    }
    // Runtimes size themselves by the group they see; a container without it merely sees none.
    let _ = groups(root, &specification.cgroups);
    Ok(())
}

/// Shows the container its own control groups, read-only, where the kernel shows the machine's.
fn groups(root: &Root, directories: &[PathBuf]) -> Result<(), Failure> {
    let open =
        |path: &str| root.find(path, OFlags::PATH | OFlags::DIRECTORY).attempt(|| format!("open {path}"));
    let read_only = Attributes { read_only: true, no_devices: true, no_set_id: true, no_execute: true };
    let below: Vec<(&PathBuf, String)> = directories
        .iter()
        .filter_map(|path| {
            let first = path.strip_prefix(CGROUPS).ok()?.iter().next()?;
            Some((path, first.to_str()?.to_owned()))
        })
        .collect();
    let unified = Path::new(CGROUPS).join("cgroup.controllers").exists();
    if below.is_empty() {
        return Ok(());
    }
    let place = open(CGROUPS)?;
    if unified {
        bind(&directories[0], &place, CGROUPS)?;
        return add_attributes(open(CGROUPS)?, read_only, true).attempt(|| "restrict control groups");
    }
    file_system("tmpfs", &place, inert(), Some("mode=755,size=64k"), CGROUPS)?;
    let top = open(CGROUPS)?;
    for (path, hierarchy) in below {
        mkdirat(&top, hierarchy.as_str(), Mode::from_raw_mode(0o755))
            .attempt(|| format!("make {hierarchy}"))?;
        let shown = format!("{CGROUPS}/{hierarchy}");
        bind(path, &open(&shown)?, &shown)?;
    }
    add_attributes(&top, read_only, true).attempt(|| "restrict control groups")
}
