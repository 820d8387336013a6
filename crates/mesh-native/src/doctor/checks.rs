//! What the facts mean. Pure.

use super::{
    Check,
    Verdict::{Degraded, Missing, Ok},
    machine::{ControlGroups, Machine},
};

/// Oldest kernel that has every call Mesh makes (`close_range` with close-on-exec).
const KERNEL_MIN: (u32, u32) = (5, 11);

/// Ids that images are written for.
const SUBORDINATE_IDS_WANTED: u64 = 65_536;

/// Free space below which a stack of a few images may not fit, in bytes.
const DISK_WANTED_BYTES: u64 = 2 * 1024 * 1024 * 1024;

/// First port that always needs no privilege.
const HIGH_PORT: u16 = 1024;

fn ok(name: &'static str, detail: impl Into<String>) -> Check {
    Check { name, verdict: Ok, detail: detail.into(), remedy: None }
}

fn degraded(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, verdict: Degraded, detail: detail.into(), remedy: Some(remedy.into()) }
}

fn missing(name: &'static str, detail: impl Into<String>, remedy: impl Into<String>) -> Check {
    Check { name, verdict: Missing, detail: detail.into(), remedy: Some(remedy.into()) }
}

pub(super) fn kernel(machine: &Machine) -> Check {
    let mut numbers = machine.kernel.split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let detail = format!("Linux {}", machine.kernel);
    match version >= KERNEL_MIN {
        true => ok("kernel", detail),
        false => missing("kernel", detail, format!("boot Linux {}.{} or later", KERNEL_MIN.0, KERNEL_MIN.1)),
    }
}

pub(super) fn privileges(machine: &Machine) -> Check {
    let name = "privileges";
    match (&machine.user_namespace_refused, machine.root) {
        (_, true) => ok(name, "root"),
        (None, false) => ok(name, format!("{}, in a user namespace", machine.user)),
        (Some(reason), false) => missing(
            name,
            format!("no user namespace for {}: {reason}", machine.user),
            allow_user_namespaces(machine),
        ),
    }
}

/// The sysctl that stands in the way, where one is known.
fn allow_user_namespaces(machine: &Machine) -> &'static str {
    if machine.userns_clone.as_deref() == Some("0") {
        "as root: sysctl -w kernel.unprivileged_userns_clone=1, or run Mesh as root"
    } else if machine.userns_apparmor.as_deref() == Some("1") {
        "as root: sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run Mesh as root"
    } else {
        "as root: sysctl -w user.max_user_namespaces=10000, or run Mesh as root"
    }
}

pub(super) fn user_ids(machine: &Machine) -> Check {
    let name = "user ids";
    if machine.root {
        return ok(name, "all");
    }
    match (machine.subordinate_ids, machine.newuidmap) {
        (0, _) => degraded(
            name,
            "one: every container runs as the one user its image steps down to",
            format!(
                "as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {}",
                machine.user
            ),
        ),
        (_, false) => {
            degraded(name, "a range in /etc/subuid, and no newuidmap to use it", "install the package uidmap")
        }
        (_, true) if machine.range_refused.is_some() => degraded(
            name,
            format!("one, and a range: {}", machine.range_refused.as_deref().unwrap_or_default()),
            "as root: apt-get install --reinstall uidmap",
        ),
        (count, true) if count < SUBORDINATE_IDS_WANTED => degraded(
            name,
            format!("{count}, and images are written for {SUBORDINATE_IDS_WANTED}"),
            format!("give {} a longer range in /etc/subuid and /etc/subgid", machine.user),
        ),
        (count, true) => ok(name, format!("{count}, by newuidmap")),
    }
}

pub(super) fn overlay(machine: &Machine) -> Check {
    match &machine.overlay_refused {
        None => ok("overlay", "mounted"),
        Some(reason) => missing(
            "overlay",
            format!("could not be mounted: {reason}"),
            match machine.root {
                true => "load it (modprobe overlay), or boot a kernel that has it",
                false => "allow user namespaces, load it (modprobe overlay), or run Mesh as root",
            },
        ),
    }
}

pub(super) fn control_groups(machine: &Machine) -> Check {
    match &machine.control_groups {
        ControlGroups::Usable(version) => ok("control groups", version.clone()),
        ControlGroups::Busy(group) => degraded(
            "control groups",
            format!(
                "no limits of memory, processors and processes: {} holds processes itself",
                group.display()
            ),
            "run Mesh from a control group of its own below it",
        ),
        ControlGroups::Closed(reason) => degraded(
            "control groups",
            format!("no limits of memory, processors and processes: {reason}"),
            match machine.root {
                true => "mount /sys/fs/cgroup writable",
                false => {
                    "run from a session with delegation (systemd-run --user --scope -p Delegate=yes), or as root"
                }
            },
        ),
    }
}

pub(super) fn way_out(machine: &Machine) -> Check {
    match &machine.tun_refused {
        None => ok("way out", "/dev/net/tun"),
        Some(reason) => degraded(
            "way out",
            format!("containers cannot reach other machines: /dev/net/tun: {reason}"),
            "as root: modprobe tun, and let the user open /dev/net/tun",
        ),
    }
}

pub(super) fn packages(machine: &Machine) -> Check {
    match machine.absent_programs.as_slice() {
        [] => ok("packages", "apt-get and dpkg-deb"),
        absent => missing(
            "packages",
            format!("{} not there", absent.join(" and ")),
            "run Mesh on Debian or a distribution made from it",
        ),
    }
}

pub(super) fn low_ports(machine: &Machine) -> Check {
    match (machine.root, machine.first_port) {
        (true, _) => ok("low ports", "all"),
        (false, first) if first < HIGH_PORT => ok("low ports", format!("from {first}")),
        (false, first) => degraded(
            "low ports",
            format!("ports below {first} cannot be published"),
            "as root: sysctl -w net.ipv4.ip_unprivileged_port_start=80, or publish higher ones",
        ),
    }
}

pub(super) fn seccomp(machine: &Machine) -> Check {
    match machine.seccomp {
        true => ok("seccomp", "the kernel filters system calls"),
        false => degraded(
            "seccomp",
            "the kernel does not filter system calls",
            "boot a kernel with CONFIG_SECCOMP_FILTER",
        ),
    }
}

pub(super) fn disk(machine: &Machine) -> Check {
    let (place, free) = &machine.disk;
    let mib = |bytes: u64| format!("{} MiB free at {}", bytes / (1024 * 1024), place.display());
    match free {
        Some(bytes) if *bytes >= DISK_WANTED_BYTES => ok("disk space", mib(*bytes)),
        Some(bytes) => degraded("disk space", mib(*bytes), "free some, or set MESH_HOME to a larger disk"),
        None => degraded(
            "disk space",
            format!("cannot be told at {}", place.display()),
            "set MESH_HOME to a local disk",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine {
            kernel: "6.1.0-18-amd64".to_owned(),
            root: false,
            user: "ann".to_owned(),
            user_namespace_refused: None,
            userns_clone: None,
            userns_apparmor: None,
            subordinate_ids: 65_536,
            newuidmap: true,
            range_refused: None,
            overlay_refused: None,
            control_groups: ControlGroups::Usable("v2".to_owned()),
            tun_refused: None,
            absent_programs: Vec::new(),
            first_port: 80,
            seccomp: true,
            disk: ("/home".into(), Some(DISK_WANTED_BYTES)),
        }
    }

    type Examine = fn(&Machine) -> Check;

    /// Changes the facts and asks for the verdict and a word of the remedy.
    fn check(examine: Examine, change: fn(&mut Machine), verdict: super::super::Verdict, remedy: &str) {
        let mut machine = machine();
        assert_eq!(examine(&machine).verdict, Ok, "nothing is wrong yet");
        change(&mut machine);
        let check = examine(&machine);
        assert_eq!(check.verdict, verdict, "{check:?}");
        assert!(check.remedy.as_deref().unwrap_or_default().contains(remedy), "{check:?}");
    }

    #[test]
    fn each_lack_has_its_verdict_and_its_remedy() {
        check(kernel, |m| m.kernel = "5.10.0-9".to_owned(), Missing, "5.11");
        check(kernel, |m| m.kernel = "strange".to_owned(), Missing, "5.11");
        check(privileges, |m| m.user_namespace_refused = Some("EPERM".to_owned()), Missing, "max_user");
        check(
            privileges,
            |m| {
                m.user_namespace_refused = Some("EPERM".to_owned());
                m.userns_clone = Some("0".to_owned());
            },
            Missing,
            "userns_clone",
        );
        check(user_ids, |m| m.subordinate_ids = 0, Degraded, "usermod");
        check(user_ids, |m| m.newuidmap = false, Degraded, "uidmap");
        check(user_ids, |m| m.subordinate_ids = 65_535, Degraded, "longer");
        check(user_ids, |m| m.range_refused = Some("EPERM".to_owned()), Degraded, "reinstall");
        check(overlay, |m| m.overlay_refused = Some("EPERM".to_owned()), Missing, "modprobe");
        check(
            control_groups,
            |m| m.control_groups = ControlGroups::Closed("read-only".to_owned()),
            Degraded,
            "delegation",
        );
        check(control_groups, |m| m.control_groups = ControlGroups::Busy("/x".into()), Degraded, "below it");
        check(way_out, |m| m.tun_refused = Some("ENOENT".to_owned()), Degraded, "tun");
        check(packages, |m| m.absent_programs = vec!["apt-get"], Missing, "Debian");
        check(low_ports, |m| m.first_port = 1024, Degraded, "ip_unprivileged_port_start");
        check(seccomp, |m| m.seccomp = false, Degraded, "CONFIG_SECCOMP_FILTER");
        check(disk, |m| m.disk.1 = Some(DISK_WANTED_BYTES - 1), Degraded, "MESH_HOME");
    }
}
