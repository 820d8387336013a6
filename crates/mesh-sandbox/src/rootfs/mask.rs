//! What of the kernel a container does not see or may not change.

use super::Root;
use crate::{
    failure::{Attempt as _, Failure},
    mounting::{bind, file_system, name},
    specification::RunSpecification,
};
use mesh_linux::mount::{Attributes, add_attributes};
use nix::mount::MsFlags;
use rustix::fs::{FileType, OFlags, fstat};
use std::{fs, path::Path};

/// Hidden: they tell about, or reach, the machine rather than the container.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Read-only: writing to them changes the machine.
const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Sysctls that belong to a namespace, by prefix.
const OF_IPC: [&str; 4] = ["fs.mqueue.", "kernel.msg", "kernel.sem", "kernel.shm"];

/// Hides and protects what [`MASKED`] and [`READ_ONLY`] say, unless the container is privileged.
pub(super) fn mask(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    let process = &specification.process;
    let privileged = !process.seccomp && process.capabilities.iter().any(|name| name == "SYS_ADMIN");
    if privileged {
        return Ok(());
    }
    for path in MASKED {
        let Ok(found) = root.find(path, OFlags::PATH) else { continue };
        let kind = fstat(&found).map(|stat| FileType::from_raw_mode(stat.st_mode));
        if kind == Ok(FileType::Directory) {
            let flags = MsFlags::MS_RDONLY | MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
            file_system("tmpfs", &found, flags, Some("size=0"), path)?;
        } else {
            bind(Path::new("/dev/null"), &found, path)?;
        }
    }
    for path in READ_ONLY {
        let Ok(found) = root.find(path, OFlags::PATH) else { continue };
        bind(Path::new(&name(&found)), &found, path)?;
        let bound = root.find(path, OFlags::PATH).attempt(|| format!("open {path}"))?;
        let attributes = Attributes { read_only: true, no_devices: true, no_set_id: true, no_execute: true };
        add_attributes(&bound, attributes, true).attempt(|| format!("make {path} read-only"))?;
    }
    Ok(())
}

/// Writes the specification's sysctls.
pub(super) fn write_sysctls(root: &Root, specification: &RunSpecification) -> Result<(), Failure> {
    for (key, value) in &specification.sysctls {
        let dotted = key.replace('/', ".");
        if let Some(reason) = refusal(&dotted, specification.host_network, specification.host_ipc) {
            return Err(Failure::refused(format!("set sysctl {key}"), reason));
        }
        let path = format!("/proc/sys/{}", dotted.replace('.', "/"));
        let file = root.find(&path, OFlags::PATH).attempt(|| format!("set sysctl {key}"))?;
        fs::write(name(&file), value).attempt(|| format!("set sysctl {key} to {value}"))?;
    }
    Ok(())
}

/// Why a sysctl may not be set; `None`: it may.
fn refusal(key: &str, host_network: bool, host_ipc: bool) -> Option<&'static str> {
    if key.split('.').any(|part| part.is_empty()) || key.contains("..") {
        return Some("it is no name of a sysctl");
    }
    if key.starts_with("net.") {
        return host_network.then_some("the container uses the machine's network");
    }
    if OF_IPC.iter().any(|prefix| key.starts_with(prefix)) {
        return host_ipc.then_some("the container uses the machine's IPC");
    }
    Some("it belongs to the whole machine, not to a container")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_container_owns_can_be_set() {
        for (key, allowed) in [
            ("net.core.somaxconn", true),
            ("kernel.shmmax", true),
            ("fs.mqueue.msg_max", true),
            ("vm.overcommit_memory", false),
            ("kernel.hostname", false),
            ("net...evil", false),
            ("", false),
        ] {
            assert_eq!(refusal(key, false, false).is_none(), allowed, "{key}");
        }
        assert!(refusal("net.core.somaxconn", true, false).is_some());
    }
}
