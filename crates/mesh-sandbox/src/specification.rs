//! What a shim is told (descriptor 3, one JSON document) and what it answers (descriptor 4, one line).

use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// A container to run (`mesh shim run`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunSpecification {
    /// Container id, for messages.
    pub id: String,
    /// Directory of the container: `upper` and `work` of its overlay, `rootfs` its mount point,
    /// `exit.json` its end. Absolute.
    pub directory: PathBuf,
    /// Lower layers, lowest first; absolute.
    pub layers: Vec<PathBuf>,
    /// The process.
    pub process: ProcessSpecification,
    /// Host name.
    pub hostname: String,
    /// NIS domain name.
    pub domainname: Option<String>,
    /// Mounts, in the order they are made (sort by depth before).
    pub mounts: Vec<MountSpecification>,
    /// Directories of control groups to join, one a hierarchy on v1; absolute, made already.
    pub cgroups: Vec<PathBuf>,
    /// The namespace it is put into: an open descriptor's path (`/proc/self/fd/N`, inherited) or
    /// `/proc/<pid>/ns/net`. `None`: a new one with loopback up.
    pub network_namespace: Option<PathBuf>,
    /// Stay in the host's network namespace (`network_mode: host`).
    pub host_network: bool,
    /// Stay in the host's pid namespace.
    pub host_pid: bool,
    /// Stay in the host's ipc namespace.
    pub host_ipc: bool,
    /// A reaping process 1.
    pub init: bool,
    /// Root read-only.
    pub read_only: bool,
    /// Size of `/dev/shm` in bytes.
    pub shm_bytes: u64,
    /// Sysctls, written before the process starts.
    pub sysctls: BTreeMap<String, String>,
    /// Devices of the host: path on the host and path in the container.
    pub devices: Vec<(PathBuf, PathBuf)>,
    /// Whether the shim runs in a user namespace of Mesh's.
    pub user_namespace: UserNamespace,
    /// Where output goes.
    pub output: Output,
}

/// Which user ids there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserNamespace {
    /// Real root.
    None,
    /// A user namespace with a range of ids: 0 and the others are real in it.
    Range,
    /// A user namespace with one id, mapped to 0. The process of a container whose user is not root
    /// gets one more namespace in which that id is its own.
    Sole,
}

/// Where output goes.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Into a journal.
    Journal {
        /// Directory of the service's journal; absolute.
        directory: PathBuf,
        /// Largest size of one segment in bytes.
        segment_bytes_max: u64,
        /// Segments kept.
        segments_max: u32,
        /// Keep nothing.
        disabled: bool,
        /// Its streams are a terminal.
        #[serde(default)]
        terminal: bool,
        /// What those who are attached type is read by it.
        #[serde(default)]
        stdin: bool,
    },
    /// Descriptors 0, 1, 2 of the shim are the container's.
    Inherit,
    /// A terminal is made for it; descriptors 0 and 1 of the shim are relayed to it. Once the keys that
    /// let go of it were typed, they are closed, and one byte on descriptor 2 says so.
    Terminal {
        /// The keys; empty: there are none.
        #[serde(default)]
        detach_keys: Vec<u8>,
    },
}

/// A process, of `run` and of `exec`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProcessSpecification {
    /// Program and arguments; looked up in the PATH of `environment`.
    pub arguments: Vec<String>,
    /// Environment, whole: `PATH`, `HOME` and `HOSTNAME` are filled in by the shim where missing
    /// (`HOME` from the container's passwd).
    #[serde(with = "mesh_redact::exposed")]
    pub environment: Secret<BTreeMap<String, String>>,
    /// `name`, `uid`, `name:group`, `uid:gid`; looked up in the container's passwd and group. Empty: root.
    pub user: String,
    /// Further groups, names or numbers.
    pub groups: Vec<String>,
    /// Working directory; made if it is not there. Empty: `/`.
    pub working_dir: String,
    /// Capabilities kept, without `CAP_`.
    pub capabilities: Vec<String>,
    /// Set no-new-privileges.
    pub no_new_privileges: bool,
    /// Install the default seccomp filter.
    pub seccomp: bool,
    /// Resource limits by name (`nofile`): soft, hard; -1 unlimited.
    pub ulimits: BTreeMap<String, (i64, i64)>,
    /// -1000 to 1000.
    pub oom_score_adj: Option<i32>,
}

/// One mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MountSpecification {
    /// Path in the container; absolute. Resolved inside its root, whatever links it crosses.
    pub target: String,
    /// What.
    pub kind: MountKind,
    /// Read-only.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountKind {
    /// A file or directory of the machine (bind, volume, secret, config, hosts file).
    Bind {
        /// Path; absolute, and free of links: one that is on it by then is refused, not followed.
        source: PathBuf,
        /// A volume that is empty: first copy what the image has at the target, with its owner and
        /// mode; give it the owner and mode of the image's directory in any case.
        populate: bool,
        /// Give the source itself (not what is in it) this owner first: `user` or `user:group` of the container.
        owner: Option<String>,
    },
    /// Memory.
    Tmpfs {
        /// Size in bytes.
        size_bytes: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
        /// Owner of its root.
        uid: Option<u32>,
        /// Group of its root.
        gid: Option<u32>,
        /// Allow programs to be executed from it.
        exec: bool,
    },
    /// A small file that the shim writes into memory before the process starts: a secret or a config
    /// whose owner and mode matter. It never touches a disk.
    File {
        /// Its content.
        #[serde(with = "mesh_redact::exposed")]
        content: Secret<Vec<u8>>,
        /// Owner, a number or a name of the container; `None`: root.
        uid: Option<String>,
        /// Group, a number or a name of the container; `None`: root.
        gid: Option<String>,
        /// Mode.
        mode: u32,
    },
}

/// A program to run in a container that runs: by the container's shim, or by one of its own (`mesh shim exec`),
/// whose standard input and output it gets and whose exit code is the program's.
///
/// Its caller may give it an argument `detach-keys=1011` and a descriptor 5: once those bytes (here
/// control and P, control and Q) were typed into the program's terminal, the shim lets go of its streams,
/// writes a byte to that descriptor, and the program goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ExecSpecification {
    /// Process 1 of the container, as this machine (or the user namespace of Mesh) sees it.
    pub pid: u32,
    /// Control groups to join.
    pub cgroups: Vec<PathBuf>,
    /// The process.
    pub process: ProcessSpecification,
    /// Make a terminal and relay descriptors 0 and 1 to it.
    pub terminal: bool,
    /// Return at once.
    pub detach: bool,
    /// As for `run`.
    pub user_namespace: UserNamespace,
    /// Kill it after so many milliseconds (health tests); the shim then exits with 124.
    pub timeout_ms: Option<u64>,
    /// The container runs as this user where there is one id only.
    pub container_user: String,
}

/// A console to attach to (`mesh shim attach`): the streams of a container whose output goes to a journal.
/// The shim's exit code is the container's, or 128 and the number of the signal that ended the shim.
///
/// Its caller may give it arguments: `detach-keys=1011` (see [`ExecSpecification`]; the shim ends),
/// `no-stdin` (what is typed is not passed on) and `no-sig-proxy` (signals are the shim's).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AttachSpecification {
    /// Directory of the container.
    pub directory: PathBuf,
    /// The container, for messages.
    pub name: String,
}

/// Work on the files of a container (`mesh shim copy`).
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopySpecification {
    /// Process 1 of the container; 0 for one that does not run.
    pub pid: u32,
    /// The container's place, where it does not run.
    #[serde(default)]
    pub at_rest: Option<RestingPlace>,
    /// What to do.
    pub operation: CopyOperation,
    /// As for `run`.
    pub user_namespace: UserNamespace,
}

/// The files of a container that does not run: what its root will be made of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestingPlace {
    /// Its directory, as in [`RunSpecification`].
    pub directory: PathBuf,
    /// Lower layers, lowest first; absolute.
    pub layers: Vec<PathBuf>,
    /// What of the machine is mounted in it: volumes and binds, outermost first.
    pub mounts: Vec<MountSpecification>,
    /// Its root is read-only.
    pub read_only: bool,
    /// A process in the user namespace that its files belong to.
    pub holder: u32,
}

/// What to do with a container's files. Paths are those of the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyOperation {
    /// A path becomes a tar stream on standard output, whose entries begin with the path's last part; with
    /// `.` where that is what the path ends with.
    Out {
        /// The path.
        path: String,
    },
    /// The tar stream on standard input is unpacked.
    In {
        /// Into this directory, which is there.
        directory: String,
        /// For this user and group of the container, as in [`ProcessSpecification::user`]; `None`: for those
        /// that the stream says.
        owner: Option<String>,
    },
    /// A [`FileStatus`] is printed, as JSON.
    Look {
        /// The path; a link at its end is not followed.
        path: String,
    },
    /// A [`FileEntry`] a line is printed, as JSON, of what is there and below it.
    List {
        /// The path; links are not followed.
        path: String,
    },
    /// The content of a file is printed.
    Print {
        /// The path; links are followed.
        path: String,
        /// Bytes that it may have at most.
        bytes_max: usize,
    },
    /// Paths are removed, with everything in them; what is not there is no error.
    Remove {
        /// The paths.
        paths: Vec<String>,
    },
}

/// What is at a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileStatus {
    /// Anything.
    pub exists: bool,
    /// Kind and mode, as `stat` has them.
    pub mode: u32,
    /// Where a link leads.
    pub link: Option<String>,
}

/// One of several files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileEntry {
    /// Its path, from the one that was asked for; empty for that one itself.
    pub path: String,
    /// Kind and mode, as `stat` has them.
    pub mode: u32,
    /// Size in bytes.
    pub size: u64,
    /// Last change of its content, in seconds since 1970.
    pub modified_seconds: i64,
    /// Where a link leads.
    pub link: Option<String>,
}

/// What a shim says on descriptor 4 once: its container runs, or why not. After it the descriptor is closed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Report {
    /// The program was executed.
    Started {
        /// Process 1 of the container, as the shim sees it.
        pid: u32,
    },
    /// The sandbox could not be made.
    SetupFailed {
        /// What was attempted on what.
        step: String,
        /// Cause.
        reason: String,
    },
    /// The program could not be executed: 127 not found, 126 not executable.
    ExecuteFailed {
        /// The program.
        program: String,
        /// Cause.
        reason: String,
        /// 126 or 127.
        code: i32,
    },
}

/// `exit.json` in the container's directory: written by rename when the process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRecord {
    /// Exit code, or 128 and the number of the signal.
    pub code: i32,
    /// The kernel killed something in it for want of memory.
    pub out_of_memory: bool,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}
