//! The store of layers: a directory each, named by what it is made of.
//!
//! A layer is built in a sibling of its place, under a lock of its own, and renamed into place once
//! its files and then its manifest are on the disk; so a directory that is in place is complete, two
//! callers build it once, and a kill leaves only a sibling that the next run removes.

pub(crate) mod accounts;
pub(crate) mod fixups;
pub(crate) mod libraries;
pub(crate) mod place;
pub(crate) mod tree;
pub(crate) mod unpack;

use crate::{apt::closure::Package, error::ImageError, lock::Lock};
use mesh_oci::digest::Digest;
use serde::{Deserialize, Serialize};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Version of what a layer is made of; another one makes other layers.
pub(crate) const FORMAT: u32 = 1;
/// Depth to which a leftover tree is made removable; no layer is deeper.
const DEPTH_MAX: usize = 256;

/// What a layer is made of; its presence says that the layer is complete.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) format: u32,
    /// Whether files have the owners their packages say.
    pub(crate) owners_kept: bool,
    pub(crate) packages: Vec<Package>,
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// What is known of a layer of a registry's image.
    #[serde(default)]
    pub(crate) oci: Option<OciLayer>,
}

/// What is known of a layer of a registry's image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OciLayer {
    /// Digest of its archive, decompressed.
    pub(crate) diff_id: Digest,
    /// It hides every layer below it.
    pub(crate) hides_all: bool,
    /// Directories that its archive does not have: their owner and mode are those of the layer below.
    pub(crate) implicit: Vec<String>,
}

/// The directory of layers.
#[derive(Debug, Clone)]
pub(crate) struct Layers {
    directory: PathBuf,
    locks: PathBuf,
}

impl Layers {
    pub(crate) fn open(store: &Path) -> Result<Self, ImageError> {
        let layers = Self { directory: store.join("layers"), locks: store.join("locks") };
        for path in [&layers.directory, &layers.locks] {
            fs::create_dir_all(path).map_err(|source| ImageError::io("create", path, source))?;
        }
        layers.sweep()?;
        Ok(layers)
    }

    /// Its files, as a directory that an overlay can use.
    pub(crate) fn files(&self, id: &str) -> PathBuf {
        self.directory.join(id).join("fs")
    }

    /// Whether it is there; a directory in place is complete.
    pub(crate) fn is_complete(&self, id: &str) -> bool {
        self.directory.join(id).join("manifest.json").exists()
    }

    /// Its bytes, as its manifest has them.
    pub(crate) fn bytes(&self, id: &str) -> u64 {
        self.manifest(id).ok().flatten().map_or(0, |manifest| manifest.bytes)
    }

    /// What it is made of; `None`: it is not there, or its manifest is torn.
    pub(crate) fn manifest(&self, id: &str) -> Result<Option<Manifest>, ImageError> {
        let path = self.directory.join(id).join("manifest.json");
        match fs::read(&path) {
            Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(ImageError::io("read", &path, source)),
        }
    }

    /// Builds the layer unless it is there. `make` fills the directory it is given and returns what
    /// the layer is made of.
    pub(crate) fn build(
        &self,
        id: &str,
        make: impl FnOnce(&Path) -> Result<Manifest, ImageError>,
    ) -> Result<(), ImageError> {
        if self.is_complete(id) {
            return Ok(());
        }
        let _alone = Lock::exclusive(&self.lock_path(id))?;
        if self.is_complete(id) {
            return Ok(());
        }
        let (place, building) = (self.directory.join(id), self.building(id));
        remove_tree(&building)?;
        remove_tree(&place)?;
        let outcome = self.fill(&building, make).and_then(|()| {
            fs::rename(&building, &place)
                .map_err(|source| ImageError::io("rename into place", &place, source))
        });
        if outcome.is_err() {
            // The first failure is the one to tell; what stays is swept by the next run.
            let _ = remove_tree(&building);
        }
        outcome?;
        sync_directory(&self.directory)
    }

    fn fill(
        &self,
        building: &Path,
        make: impl FnOnce(&Path) -> Result<Manifest, ImageError>,
    ) -> Result<(), ImageError> {
        let files = building.join("fs");
        fs::create_dir_all(&files).map_err(|source| ImageError::io("create", &files, source))?;
        let open_mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&files, open_mode)
            .map_err(|source| ImageError::io("set the mode of", &files, source))?;
        let manifest = make(&files)?;
        // The files first, then what vouches for them.
        let handle = fs::File::open(&files).map_err(|source| ImageError::io("open", &files, source))?;
        rustix::fs::syncfs(&handle).map_err(|error| ImageError::io("sync", &files, error.into()))?;
        let path = building.join("manifest.json");
        let bytes = serde_json::to_vec(&manifest).unwrap_or_default();
        fs::write(&path, bytes).map_err(|source| ImageError::io("write", &path, source))?;
        let written = fs::File::open(&path).and_then(|file| file.sync_all());
        written.map_err(|source| ImageError::io("sync", &path, source))?;
        sync_directory(building)
    }

    /// The names of the layers that are there.
    pub(crate) fn complete(&self) -> Result<Vec<String>, ImageError> {
        let mut names = self.names()?;
        names.retain(|name| !name.starts_with(BUILDING));
        Ok(names)
    }

    /// Removes what killed runs left: a layer being built whose lock nobody holds.
    fn sweep(&self) -> Result<(), ImageError> {
        for name in self.names()? {
            let Some(id) = name.strip_prefix(BUILDING) else { continue };
            if let Some(_alone) = Lock::try_exclusive(&self.lock_path(id))? {
                remove_tree(&self.building(id))?;
            }
        }
        Ok(())
    }

    /// Removes the layers that `keep` does not want; gives how many, and their bytes.
    pub(crate) fn retain(&self, keep: &dyn Fn(&str) -> bool) -> Result<(u32, u64), ImageError> {
        let (mut layers, mut bytes) = (0, 0);
        for id in self.names()? {
            if id.starts_with(BUILDING) || keep(&id) {
                continue;
            }
            let Some(_alone) = Lock::try_exclusive(&self.lock_path(&id))? else { continue };
            let freed = self.bytes(&id);
            // Renamed first, so that a kill in the middle leaves no half layer in place.
            let building = self.building(&id);
            remove_tree(&building)?;
            let place = self.directory.join(&id);
            fs::rename(&place, &building).map_err(|source| ImageError::io("rename", &place, source))?;
            remove_tree(&building)?;
            layers += 1;
            bytes += freed;
        }
        Ok((layers, bytes))
    }

    fn names(&self) -> Result<Vec<String>, ImageError> {
        let entries = fs::read_dir(&self.directory)
            .map_err(|source| ImageError::io("read", &self.directory, source))?;
        Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
    }

    fn building(&self, id: &str) -> PathBuf {
        self.directory.join(format!("{BUILDING}{id}"))
    }

    fn lock_path(&self, id: &str) -> PathBuf {
        self.locks.join(format!("layer-{id}.lock"))
    }
}

/// Prefix of a layer being built.
const BUILDING: &str = ".building-";

fn sync_directory(path: &Path) -> Result<(), ImageError> {
    fs::File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(|source| ImageError::io("sync", path, source))
}

/// Removes a tree, if it is there; directories without write permission are made writable first,
/// which an ordinary user needs.
fn remove_tree(path: &Path) -> Result<(), ImageError> {
    let first = match fs::remove_dir_all(path) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => error,
    };
    if first.kind() != std::io::ErrorKind::PermissionDenied {
        return Err(ImageError::io("remove", path, first));
    }
    make_removable(path, 0);
    fs::remove_dir_all(path).map_err(|source| ImageError::io("remove", path, source))
}

fn make_removable(directory: &Path, depth: usize) {
    // Failing here shows in the removal that follows.
    let _ = fs::set_permissions(directory, fs::Permissions::from_mode(0o700));
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries.flatten().filter(|_| depth < DEPTH_MAX) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            make_removable(&entry.path(), depth + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        Manifest { format: FORMAT, owners_kept: true, packages: Vec::new(), bytes: 7, oci: None }
    }

    #[test]
    fn a_layer_is_built_once_and_whole() {
        let store = tempfile::tempdir().unwrap();
        let layers = Layers::open(store.path()).unwrap();
        let failed = layers.build("a", |files| {
            fs::write(files.join("half"), "x").unwrap();
            Err(ImageError::DiskFull { path: files.to_owned() })
        });
        assert!(matches!(failed, Err(ImageError::DiskFull { .. })));
        assert!(!layers.is_complete("a") && layers.names().unwrap().is_empty());
        let count = std::sync::atomic::AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    layers.build("a", |files| {
                        count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                        fs::write(files.join("whole"), "x").unwrap();
                        Ok(manifest())
                    })
                });
            }
        });
        assert_eq!(count.into_inner(), 1);
        assert!(layers.files("a").join("whole").exists() && layers.is_complete("a"));
        assert_eq!(layers.retain(&|_| false).unwrap(), (1, 7));
        assert!(!layers.is_complete("a"));
    }

    #[test]
    fn leftovers_of_a_killed_run_are_swept() {
        let store = tempfile::tempdir().unwrap();
        let left = store.path().join("layers/.building-b/fs/dir");
        fs::create_dir_all(&left).unwrap();
        fs::set_permissions(&left, fs::Permissions::from_mode(0o500)).unwrap();
        let held = store.path().join("layers/.building-c");
        fs::create_dir_all(&held).unwrap();
        fs::create_dir_all(store.path().join("locks")).unwrap();
        let _building = Lock::exclusive(&store.path().join("locks/layer-c.lock")).unwrap();
        Layers::open(store.path()).unwrap();
        assert!(!store.path().join("layers/.building-b").exists() && held.exists());
    }
}
