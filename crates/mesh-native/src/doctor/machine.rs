//! What is looked at: facts, without a judgement.

use crate::groups::Groups;
use mesh_sandbox::spawn;
use std::{
    fs,
    io::Read as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Facts about this machine and this user.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    /// Release of the kernel, such as `6.1.0-18-amd64`.
    pub(super) kernel: String,
    /// Runs as root.
    pub(super) root: bool,
    /// Name of the user, or the number.
    pub(super) user: String,
    /// Why a user namespace could not be made; `None`: it could.
    pub(super) user_namespace_refused: Option<String>,
    /// `kernel.unprivileged_userns_clone`, where the kernel has it.
    pub(super) userns_clone: Option<String>,
    /// `kernel.apparmor_restrict_unprivileged_userns`, where the kernel has it.
    pub(super) userns_apparmor: Option<String>,
    /// Ids that one range each of `/etc/subuid` and `/etc/subgid` gives the user.
    pub(super) subordinate_ids: u64,
    /// `newuidmap` and `newgidmap` are there.
    pub(super) newuidmap: bool,
    /// Why they did not map the range; `None`: they did, or there is nothing to map.
    pub(super) range_refused: Option<String>,
    /// Why an overlay could not be mounted; `None`: it could.
    pub(super) overlay_refused: Option<String>,
    /// Whether limits can be set.
    pub(super) control_groups: ControlGroups,
    /// Why `/dev/net/tun` could not be opened; `None`: it could.
    pub(super) tun_refused: Option<String>,
    /// Programs that are needed and not there.
    pub(super) absent_programs: Vec<&'static str>,
    /// First port that needs no privilege.
    pub(super) first_port: u16,
    /// The kernel filters system calls.
    pub(super) seccomp: bool,
    /// Where data goes, and free bytes there; `None`: cannot be told.
    pub(super) disk: (PathBuf, Option<u64>),
}

/// Control groups of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ControlGroups {
    /// Limits can be set; which.
    Usable(String),
    /// This user may not make any; the reason.
    Closed(String),
    /// The one that this user may divide holds processes itself.
    Busy(PathBuf),
}

impl Machine {
    /// Looks.
    pub(super) fn look(data: &Path) -> Self {
        let root = nix::unistd::geteuid().is_root();
        let user = nix::unistd::User::from_uid(nix::unistd::geteuid())
            .ok()
            .flatten()
            .map_or_else(|| nix::unistd::geteuid().to_string(), |user| user.name);
        let has_newuidmap = ["newuidmap", "newgidmap"].iter().all(|name| program(name).is_some());
        Self {
            kernel: read("/proc/sys/kernel/osrelease").unwrap_or_default(),
            root,
            user_namespace_refused: if root { None } else { attempt(&unshare(root, "true")).err() },
            userns_clone: read("/proc/sys/kernel/unprivileged_userns_clone"),
            userns_apparmor: read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns"),
            subordinate_ids: if root { 0 } else { subordinate_ids() },
            newuidmap: has_newuidmap,
            range_refused: if root || !has_newuidmap { None } else { try_ranges().err() },
            overlay_refused: try_overlay(root).err(),
            control_groups: control_groups(),
            tun_refused: fs::File::options()
                .read(true)
                .write(true)
                .open("/dev/net/tun")
                .err()
                .map(|error| error.to_string()),
            absent_programs: ["apt-get", "dpkg-deb"]
                .into_iter()
                .filter(|name| program(name).is_none())
                .collect(),
            first_port: read("/proc/sys/net/ipv4/ip_unprivileged_port_start")
                .and_then(|text| text.parse().ok())
                .unwrap_or(1024),
            seccomp: read("/proc/sys/kernel/seccomp/actions_avail")
                .is_some_and(|text| text.contains("errno")),
            disk: free_bytes(data),
            user,
        }
    }
}

fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// A program in the usual places, whatever the caller's PATH is.
fn program(name: &str) -> Option<PathBuf> {
    ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
        .iter()
        .map(|place| Path::new(place).join(name))
        .find(|path| path.exists())
}

/// How many ids the kernel's maps give this user, by the shorter of its two ranges.
fn subordinate_ids() -> u64 {
    let (users, groups) = spawn::subordinate_ranges();
    users.zip(groups).map_or(0, |((_, users), (_, groups))| users.min(groups))
}

/// Maps this user's ranges for real, in a user namespace that ends at once.
fn try_ranges() -> Result<(), String> {
    let (Some(users), Some(groups)) = spawn::subordinate_ranges() else { return Ok(()) };
    let path = program("unshare").ok_or("unshare is not there")?;
    let mut child = Command::new(path)
        .args(["--user", "sh", "-c", "echo; read line"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| error.to_string())?;
    // One byte: the namespace is there. Without one, another check tells why there is none.
    let mut byte = [0];
    let made = child.stdout.as_mut().is_some_and(|stdout| stdout.read_exact(&mut byte).is_ok());
    let mapped = match made {
        true => spawn::map_ranges(child.id(), users, groups).map_err(|error| error.to_string()),
        false => Ok(()),
    };
    drop(child.stdin.take());
    let _ = child.wait();
    mapped
}

/// The words that run a line of shell in a mount namespace of its own, where it is root.
fn unshare(root: bool, line: &str) -> Vec<String> {
    let ids: &[&str] = if root { &[] } else { &["--user", "--map-root-user"] };
    let mut words = vec!["unshare".to_owned(), "--mount".to_owned()];
    words.extend(ids.iter().map(|word| (*word).to_owned()));
    words.extend(["sh", "-c", line].map(str::to_owned));
    words
}

fn attempt(words: &[String]) -> Result<(), String> {
    let path = program(&words[0]).ok_or_else(|| format!("{} is not there", words[0]))?;
    let output = Command::new(path)
        .args(&words[1..])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| error.to_string())?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let text = String::from_utf8_lossy(&output.stderr);
            let line = text.lines().next().unwrap_or("it failed without a word");
            // The kernel's word for a limit of namespaces that is reached.
            Err(line.replace("No space left on device", "the limit of namespaces is reached"))
        }
    }
}

/// Mounts an overlay for real. Its directories lie in a memory file system of the namespace's own, so
/// that nothing is left behind.
fn try_overlay(root: bool) -> Result<(), String> {
    let option = if root { "" } else { ",userxattr" };
    attempt(&unshare(
        root,
        &format!(
            "mount -t tmpfs tmpfs /mnt && cd /mnt && mkdir lower upper work root && \
             mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work{option} root && \
             touch root/file"
        ),
    ))
}

/// Makes a group, limits it and removes it.
fn control_groups() -> ControlGroups {
    let groups = Groups::detect(&format!("doctor-{}", std::process::id()), Path::new("/"));
    let refused = groups.missing(false);
    groups.release();
    match (refused.is_empty(), groups.busy()) {
        (true, _) => ControlGroups::Usable("memory, processors and processes can be limited".to_owned()),
        (false, Some(group)) => ControlGroups::Busy(group.to_owned()),
        (false, None) => ControlGroups::Closed("none can be made".to_owned()),
    }
}

fn free_bytes(data: &Path) -> (PathBuf, Option<u64>) {
    let place = data.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/")).to_owned();
    let free = nix::sys::statvfs::statvfs(&place)
        .ok()
        .map(|found| found.blocks_available().saturating_mul(found.fragment_size()));
    (place, free)
}
