//! What the supervisor remembers of a project between two of its lives.
//!
//! The record holds what cannot be seen on the ground: the project as it was last given, how many
//! containers each service shall have, and which containers a command stopped, so that the next
//! supervisor does not start them again. It is written whole to a new file, synced and renamed.

use crate::replace::replace;
use mesh_model::project::Project;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Version of the file's format.
pub const RECORD_VERSION: u32 = 1;
/// Largest record that is read, in bytes.
pub const RECORD_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most corrupted records that are kept beside the good one.
pub const CORRUPT_FILES_MAX: u32 = 20;

/// The record of one project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProjectRecord {
    /// [`RECORD_VERSION`].
    pub version: u32,
    /// The project as it was last given.
    pub project: Project,
    /// Services that are meant to run, each with its number of containers.
    pub targets: BTreeMap<String, u32>,
    /// Names of containers that a command stopped; no restart policy starts them again.
    pub stopped: BTreeSet<String>,
    /// The boot under which it was written ([`boot`]); empty: not known.
    #[serde(default)]
    pub boot: String,
}

/// A record as it was found.
#[derive(Debug)]
pub enum Loaded {
    /// There is none.
    Absent,
    /// It is good.
    Found(Box<ProjectRecord>),
    /// It could not be understood, and now lies at `moved_to`.
    Corrupt {
        /// Where it was moved.
        moved_to: PathBuf,
        /// What was wrong with it.
        reason: String,
    },
}

/// A record could not be read, written or removed.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} the project's record {}", path.display())]
pub struct RecordError {
    /// `read`, `write`, `remove`, `move aside`.
    pub operation: &'static str,
    /// The file.
    pub path: PathBuf,
    /// Cause.
    #[source]
    pub source: io::Error,
}

impl RecordError {
    fn of(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { operation, path, source }
    }
}

impl ProjectRecord {
    /// A record of a project of which nothing runs yet.
    #[must_use]
    pub fn new(project: Project) -> Self {
        Self {
            version: RECORD_VERSION,
            project,
            targets: BTreeMap::new(),
            stopped: BTreeSet::new(),
            boot: String::new(),
        }
    }
}

/// Identity of this boot of the machine; empty where the kernel does not say.
#[must_use]
pub fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// Reads the record at `path`. One that cannot be understood is moved aside and reported.
///
/// # Errors
/// When the file is there and cannot be read, or cannot be moved aside.
pub fn load(path: &Path) -> Result<Loaded, RecordError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Loaded::Absent),
        Err(error) => return Err(RecordError::of("read", path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(RECORD_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(RecordError::of("read", path))?;
    match parse(&bytes) {
        Ok(record) => Ok(Loaded::Found(Box::new(record))),
        Err(reason) => {
            let moved_to = free_name(path);
            fs::rename(path, &moved_to).map_err(RecordError::of("move aside", path))?;
            Ok(Loaded::Corrupt { moved_to, reason })
        }
    }
}

/// Writes the record: a new file beside it, synced, renamed over it, mode 0600.
///
/// # Errors
/// When any of these fails; the old record is then still whole.
pub fn save(path: &Path, record: &ProjectRecord) -> Result<(), RecordError> {
    debug_assert_eq!(record.version, RECORD_VERSION);
    let failed = || RecordError::of("write", path);
    let bytes = serde_json::to_vec(record).map_err(|error| failed()(error.into()))?;
    replace(path, &bytes).map_err(failed())
}

/// Removes the record; one that is not there is removed already.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove(path: &Path) -> Result<(), RecordError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(RecordError::of("remove", path)(error)),
        _ => Ok(()),
    }
}

fn parse(bytes: &[u8]) -> Result<ProjectRecord, String> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(format!("it is larger than {RECORD_BYTES_MAX} bytes"));
    }
    // The message of a JSON error gives line and column, never content.
    let place = |error: serde_json::Error| {
        format!("it is not a record: {:?} error at column {}", error.classify(), error.column())
    };
    let found: Version = serde_json::from_slice(bytes).map_err(place)?;
    if found.version != RECORD_VERSION {
        return Err(format!("its version is {}, this binary reads {RECORD_VERSION}", found.version));
    }
    serde_json::from_slice(bytes).map_err(place)
}

/// The first free `<name>.corrupt-<n>`; the last one is reused when all are taken.
fn free_name(path: &Path) -> PathBuf {
    let name = |number: u32| {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".corrupt-{number}"));
        PathBuf::from(name)
    };
    (1..CORRUPT_FILES_MAX).map(name).find(|path| !path.exists()).unwrap_or_else(|| name(CORRUPT_FILES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn record() -> ProjectRecord {
        let mut record = ProjectRecord::new(Project {
            name: "hub".into(),
            directory: "/p".into(),
            files: vec!["/p/compose.yaml".into()],
            services: BTreeMap::new(),
            inactive: vec![],
            networks: BTreeMap::new(),
            volumes: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            substitute: None,
            publishing: Default::default(),
            left_out: Default::default(),
        });
        record.targets.insert("db".into(), 2);
        record.stopped.insert("hub-db-2".into());
        record
    }

    #[test]
    fn a_record_comes_back_as_it_was_and_is_private() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("project.json");
        assert!(matches!(load(&path).unwrap(), Loaded::Absent));
        save(&path, &record()).unwrap();
        save(&path, &record()).unwrap();
        let Loaded::Found(found) = load(&path).unwrap() else { panic!("not found") };
        assert_eq!(*found, record());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_understood_is_moved_aside() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("project.json");
        let whole = serde_json::to_string(&record()).unwrap();
        let cases = ["", "{", "[]", "{\"version\":99}", "\u{0}\u{1}", &whole[..whole.len() / 2]];
        for (number, content) in cases.iter().enumerate() {
            fs::write(&path, content).unwrap();
            let Loaded::Corrupt { moved_to, .. } = load(&path).unwrap() else { panic!("{content}") };
            assert_eq!(moved_to, root.path().join(format!("project.json.corrupt-{}", number + 1)));
            assert_eq!(fs::read_to_string(moved_to).unwrap(), *content);
            assert!(!path.exists());
        }
    }
}
