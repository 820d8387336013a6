//! What is kept of a container on disk, so that the next supervisor knows it: `spec.json` (what it was
//! made from), `run.json` (the run that is or was) and `exit.json` (its end, written by the shim).
//!
//! Invariants: files are of mode 0600 and replaced by rename, so a reader sees the old one or the new
//! one; each carries a version; a file that cannot be read is an answer ([`Kept::Torn`]), never a
//! panic; a process is known by its id, its start time and the boot it belongs to, so that a number
//! used again is not taken for it.

use crate::settings::system;
use mesh_model::container::ContainerSpec;
use mesh_network::AttachmentRecord;
use mesh_runtime::{error::RuntimeError, observed::BoundPort};
use mesh_sandbox::specification::ExitRecord;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, fchown},
    path::Path,
    sync::OnceLock,
    time::UNIX_EPOCH,
};

/// Version of every file here.
const VERSION: u32 = 1;

/// Largest file that is read.
const RECORD_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The run of a container.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct RunRecord {
    /// The shim.
    pub(crate) shim: ProcessKey,
    /// First process of the container.
    pub(crate) process: ProcessKey,
    /// When it started, in milliseconds since 1970.
    pub(crate) started_at_unix_ms: u64,
    /// How it is connected; `None` off the project's networks.
    pub(crate) attachment: Option<AttachmentRecord>,
    /// Ports that are published.
    pub(crate) ports: Vec<BoundPort>,
    /// Ports that were published, and that something else took since.
    #[serde(default)]
    pub(crate) lost: Vec<BoundPort>,
    /// Variables that the start added to those of the image.
    #[serde(default)]
    pub(crate) variables: BTreeMap<String, String>,
    /// Frozen.
    pub(crate) paused: bool,
}

/// A process that a later process of the same id is not taken for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessKey {
    /// Process id.
    pub(crate) pid: u32,
    /// Start time in clock ticks since the boot.
    pub(crate) start_time: u64,
    /// The boot.
    pub(crate) boot: String,
}

impl ProcessKey {
    /// The process `pid` as it is now; `None` if it is gone.
    ///
    /// # Errors
    /// It cannot be looked at now.
    pub(crate) fn of(pid: u32) -> io::Result<Option<Self>> {
        let Some(start_time) = mesh_linux::process::find_start_time(pid)? else { return Ok(None) };
        Ok(Some(Self { pid, start_time, boot: boot()? }))
    }

    /// Whether it lives.
    ///
    /// # Errors
    /// That cannot be told now: no descriptor or memory is free to look.
    pub(crate) fn lives(&self) -> io::Result<bool> {
        let found = mesh_linux::process::find_start_time(self.pid)?;
        Ok(found == Some(self.start_time) && self.boot == boot()?)
    }

    /// Whether it lives, for all that is known: one that cannot be looked at is not taken for dead.
    pub(crate) fn is_alive(&self) -> bool {
        self.lives().unwrap_or(true)
    }
}

/// Identity of this boot; empty where the kernel does not say.
///
/// # Errors
/// It cannot be read now.
pub(crate) fn boot() -> io::Result<String> {
    static BOOT: OnceLock<String> = OnceLock::new();
    if let Some(boot) = BOOT.get() {
        return Ok(boot.clone());
    }
    let boot = match fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) => text.trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error),
    };
    Ok(BOOT.get_or_init(|| boot).clone())
}

/// What a file held.
#[derive(Debug)]
pub(crate) enum Kept<T> {
    /// A value.
    Whole(T),
    /// No such file.
    Absent,
    /// A file that is cut off, of another version, or not ours; the reason.
    Torn(String),
}

impl<T> Kept<T> {
    /// The value, where there is a whole one.
    pub(crate) fn whole(self) -> Option<T> {
        match self {
            Self::Whole(value) => Some(value),
            Self::Absent | Self::Torn(_) => None,
        }
    }
}

#[derive(Serialize, Deserialize)]
struct Versioned<T> {
    version: u32,
    value: T,
}

/// Reads `spec.json`.
pub(crate) fn read_spec(directory: &Path) -> Kept<ContainerSpec> {
    read(&directory.join("spec.json"))
}

/// When a container was made: its `spec.json` is written once. 0 where that cannot be told.
pub(crate) fn created_unix_ms(directory: &Path) -> u64 {
    let written = fs::metadata(directory.join("spec.json")).and_then(|metadata| metadata.modified());
    let since = written.ok().and_then(|at| at.duration_since(UNIX_EPOCH).ok()).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Writes `spec.json`.
pub(crate) fn write_spec(directory: &Path, spec: &ContainerSpec) -> Result<(), RuntimeError> {
    write(&directory.join("spec.json"), spec)
}

/// Reads `run.json`.
pub(crate) fn read_run(directory: &Path) -> Kept<RunRecord> {
    read(&directory.join("run.json"))
}

/// Writes `run.json`.
pub(crate) fn write_run(directory: &Path, run: &RunRecord) -> Result<(), RuntimeError> {
    write(&directory.join("run.json"), run)
}

/// Removes `run.json` and `exit.json`: a new start begins.
pub(crate) fn forget_run(directory: &Path) -> Result<(), RuntimeError> {
    for name in ["run.json", "exit.json"] {
        let path = directory.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(system("remove", &path, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Reads `exit.json`, which the shim writes bare.
pub(crate) fn read_exit(directory: &Path) -> Kept<ExitRecord> {
    match bounded(&directory.join("exit.json")) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_or_else(|error| Kept::Torn(error.to_string()), Kept::Whole)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Kept::Absent,
        Err(error) => Kept::Torn(error.to_string()),
    }
}

/// Writes `exit.json` for a shim that did not come to it.
pub(crate) fn write_exit(directory: &Path, exit: &ExitRecord) -> Result<(), RuntimeError> {
    let path = directory.join("exit.json");
    let bytes = serde_json::to_vec(exit).map_err(|error| system("encode", &path, error.into()))?;
    replace(&path, &bytes, 0o600).map_err(|error| system("write", &path, error))
}

/// Reads a versioned file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Kept<T> {
    let bytes = match bounded(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Kept::Absent,
        Err(error) => return Kept::Torn(error.to_string()),
    };
    match serde_json::from_slice::<Versioned<T>>(&bytes) {
        Ok(Versioned { version: VERSION, value }) => Kept::Whole(value),
        Ok(Versioned { version, .. }) => Kept::Torn(format!("version {version} is not known here")),
        Err(error) => Kept::Torn(error.to_string()),
    }
}

/// Writes a versioned file by rename.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), RuntimeError> {
    let bytes = serde_json::to_vec(&Versioned { version: VERSION, value })
        .map_err(|error| system("encode", path, error.into()))?;
    replace(path, &bytes, 0o600).map_err(|error| system("write", path, error))
}

/// Makes a directory and those above it that only its owner may enter.
pub(crate) fn make_private_directory(path: &Path) -> Result<(), RuntimeError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| system("make directory", path, error))
}

/// Replaces a file by rename.
pub(crate) fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_for(path, bytes, mode, None)
}

/// The same with an owner, a user and a group.
pub(crate) fn replace_for(path: &Path, bytes: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let fresh = path.with_file_name(name);
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(mode).open(&fresh)?;
    file.write_all(bytes)?;
    if let Some((user, group)) = owner {
        fchown(&file, Some(user), Some(group))?;
    }
    drop(file);
    fs::rename(&fresh, path)
}

fn bounded(path: &Path) -> io::Result<Vec<u8>> {
    let file = fs::File::open(path)?;
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn a_specification_comes_back() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let spec = fixture::spec();
        write_spec(directory.path(), &spec).expect("writes");
        assert_eq!(read_spec(directory.path()).whole(), Some(spec));
    }

    #[test]
    fn torn_and_foreign_files_are_answers() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("run.json");
        assert!(matches!(read_run(directory.path()), Kept::Absent));
        for text in ["", "{", "[]", "{\"version\":1}", "{\"version\":9,\"value\":{}}", "\u{0}\u{1}"] {
            fs::write(&path, text).expect("writes");
            assert!(matches!(read_run(directory.path()), Kept::Torn(_)), "{text:?}");
        }
        fs::write(directory.path().join("exit.json"), "{\"code\":").expect("writes");
        assert!(matches!(read_exit(directory.path()), Kept::Torn(_)));
    }

    #[test]
    fn a_process_is_known_by_more_than_its_number() {
        let own = ProcessKey::of(std::process::id()).expect("can be read").expect("this process lives");
        assert!(own.is_alive());
        assert!(!ProcessKey { start_time: own.start_time + 1, ..own.clone() }.is_alive());
        assert!(!ProcessKey { boot: "another".to_owned(), ..own }.is_alive());
    }
}
