//! Named volumes on disk: `<data>/volumes/<name>/_data`, with `volume.json` beside it.
//!
//! Invariants: a name is one path component; a folder inside a volume never leads out of it, links
//! included; an external volume is neither made nor removed here.

use crate::{
    conversion::{Backing, backing},
    record::{self, Kept},
    settings::system,
};
use mesh_model::project::Volume;
use mesh_runtime::{error::RuntimeError, observed::VolumeStatus};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};

/// The label by which Docker's tools know a volume without a name.
const ANONYMOUS_LABEL: &str = "com.docker.volume.anonymous";

/// Most volumes that are looked at for a list of projects.
const VOLUMES_MAX: usize = 100_000;

/// What is kept of a volume beside its content.
#[derive(Debug, Serialize, Deserialize)]
struct VolumeRecord {
    project: String,
    key: String,
    driver: String,
    driver_opts: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
}

/// Volumes of one user, seen from one project.
#[derive(Debug, Clone)]
pub(crate) struct Volumes {
    directory: PathBuf,
    project: String,
}

impl Volumes {
    /// Volumes under `directory`.
    pub(crate) fn new(directory: PathBuf, project: String) -> Self {
        Self { directory, project }
    }

    /// Makes a volume, or finds it; an external one must be there.
    pub(crate) fn create(&self, volume: &Volume) -> Result<(), RuntimeError> {
        let backing = backing(volume)?;
        let place = self.place(&volume.name)?;
        let data = place.join("_data");
        if volume.external {
            return match data.is_dir() {
                true => Ok(()),
                false => Err(RuntimeError::Missing { kind: "volume", name: volume.name.clone() }),
            };
        }
        record::make_private_directory(&self.directory)?;
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o711)
            .create(&place)
            .map_err(|error| system("make directory", &place, error))?;
        if matches!(backing, Backing::Directory) {
            make_data(&data)?;
        }
        let path = place.join("volume.json");
        if !path.exists() {
            let record = VolumeRecord {
                project: self.project.clone(),
                key: volume.key.clone(),
                driver: volume.driver.clone(),
                driver_opts: volume.driver_opts.clone(),
                labels: volume.labels.clone(),
            };
            record::write(&path, &record)?;
        }
        Ok(())
    }

    /// Makes a volume that the file gives no name, or finds it; gives the directory that is mounted.
    pub(crate) fn create_anonymous(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let volume = Volume {
            key: String::new(),
            name: name.to_owned(),
            external: false,
            driver: "local".to_owned(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::from([(ANONYMOUS_LABEL.to_owned(), String::new())]),
        };
        self.create(&volume)?;
        self.source(name, None)
    }

    /// Volumes of this project, by name.
    pub(crate) fn list(&self) -> Result<Vec<VolumeStatus>, RuntimeError> {
        let entries = match fs::read_dir(&self.directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(system("read", &self.directory, error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| system("read", &self.directory, error))?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let record = match record::read::<VolumeRecord>(&entry.path().join("volume.json")) {
                Kept::Whole(record) if record.project == self.project => record,
                Kept::Whole(_) | Kept::Absent => continue,
                Kept::Torn(reason) => {
                    tracing::warn!(volume = name, reason, "the record of a volume cannot be read");
                    continue;
                }
            };
            found.push(VolumeStatus {
                mountpoint: entry.path().join("_data").display().to_string(),
                name,
                key: Some(record.key).filter(|key| !key.is_empty()),
                driver: record.driver,
                driver_opts: record.driver_opts,
                labels: record.labels,
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Removes a volume with everything in it; one that is gone is no error.
    pub(crate) fn remove(&self, name: &str) -> Result<(), RuntimeError> {
        let place = self.place(name)?;
        match fs::remove_dir_all(&place) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(foreign(&place)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove", &place, error)),
            _ => Ok(()),
        }
    }

    /// The directory that is mounted for a volume, or for a folder in it; a path without links.
    pub(crate) fn source(&self, name: &str, subpath: Option<&str>) -> Result<PathBuf, RuntimeError> {
        let data = self.place(name)?.join("_data");
        if !data.is_dir() {
            return Err(RuntimeError::Missing { kind: "volume", name: name.to_owned() });
        }
        let root = data.canonicalize().map_err(|error| system("look at", &data, error))?;
        let Some(subpath) = subpath else { return Ok(root) };
        let missing = || RuntimeError::Missing { kind: "volume subpath", name: format!("{name}/{subpath}") };
        let whole = root.join(subpath).canonicalize().map_err(|_| missing())?;
        if whole.starts_with(&root) { Ok(whole) } else { Err(missing()) }
    }

    fn place(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let mut components = Path::new(name).components();
        match (components.next(), components.next()) {
            (Some(Component::Normal(_)), None) => Ok(self.directory.join(name)),
            _ => Err(RuntimeError::Unsupported {
                what: format!("volume name {name:?}"),
                reason: "a name is one word without slashes".to_owned(),
            }),
        }
    }
}

/// Names of the volumes under `directory`, by the projects that they belong to; for showing, so that what
/// cannot be read is left out.
#[must_use]
pub fn volumes_by_project(directory: &Path) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten().take(VOLUMES_MAX) {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Kept::Whole(record) = record::read::<VolumeRecord>(&entry.path().join("volume.json")) {
            found.entry(record.project).or_default().push(name);
        }
    }
    found.values_mut().for_each(|names| names.sort());
    found
}

/// A volume that holds files of ids that this process may not act for: those of a range that the user
/// had and has no more, or of root.
fn foreign(place: &Path) -> RuntimeError {
    RuntimeError::System {
        attempted: format!("could not remove {}", place.display()),
        source: io::Error::new(
            io::ErrorKind::PermissionDenied,
            "files in it belong to user ids that this user does not have (any more); give it back its range \
             in /etc/subuid and /etc/subgid, or remove them as root",
        ),
    }
}

/// Makes the directory that a volume's content lives in: 0755 whatever the umask, so that a process
/// of another user can enter it.
fn make_data(data: &Path) -> Result<(), RuntimeError> {
    match fs::create_dir(data) {
        Ok(()) => fs::set_permissions(data, fs::Permissions::from_mode(0o755))
            .map_err(|error| system("set the mode of", data, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(system("make directory", data, error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(name: &str, external: bool) -> Volume {
        Volume {
            key: "data".to_owned(),
            name: name.to_owned(),
            external,
            driver: "local".to_owned(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    #[test]
    fn a_volume_is_made_listed_and_removed() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let volumes = Volumes::new(directory.path().join("volumes"), "shop".to_owned());
        assert!(volumes.list().expect("lists").is_empty());
        for _ in 0..2 {
            volumes.create(&volume("shop_data", false)).expect("makes");
        }
        let other = Volumes::new(directory.path().join("volumes"), "other".to_owned());
        assert!(other.list().expect("lists").is_empty());
        other.create(&volume("shop_data", true)).expect("an external one is there");
        let by_project = volumes_by_project(&directory.path().join("volumes"));
        assert_eq!(by_project, BTreeMap::from([("shop".to_owned(), vec!["shop_data".to_owned()])]));
        let listed = volumes.list().expect("lists");
        assert_eq!((listed.len(), listed[0].key.as_deref()), (1, Some("data")));
        for _ in 0..2 {
            volumes.remove("shop_data").expect("removes");
        }
        assert!(matches!(volumes.create(&volume("gone", true)), Err(RuntimeError::Missing { .. })));
    }

    #[test]
    fn neither_names_nor_folders_lead_out() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let volumes = Volumes::new(directory.path().to_owned(), "shop".to_owned());
        for name in ["", "..", "a/b", "/etc"] {
            assert!(volumes.remove(name).is_err(), "{name:?}");
        }
        volumes.create(&volume("v", false)).expect("makes");
        let data = directory.path().join("v/_data");
        fs::create_dir(data.join("inside")).expect("makes");
        std::os::unix::fs::symlink("/etc", data.join("link")).expect("links");
        assert!(volumes.source("v", Some("inside")).is_ok());
        for subpath in ["link", "../..", "/etc", "absent"] {
            assert!(volumes.source("v", Some(subpath)).is_err(), "{subpath}");
        }
    }
}
