//! Images that are about to be used: found or fetched, while no container that is made of them is on record yet.
//!
//! A lease is a file with what is held, locked for as long as whoever took it lives: one that was killed lets
//! go with its process. It is taken while the store's lock is held beside others, and read while that is held
//! alone, so that no removal comes between an image and its lease.

use crate::{
    error::ImageError,
    oci::removal::Use,
    store::{ImageStore, Inner},
};
use mesh_model::image::Image;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
    time::SystemTime,
};

/// Most bytes of a lease that are read.
const LEASE_BYTES_MAX: u64 = 1 << 20;
/// Most leases that are looked at; more than these were left by processes that were killed.
const LEASES_MAX: usize = 100_000;

/// An image that nobody removes until this is dropped, or its process ends.
#[derive(Debug)]
pub struct Lease {
    path: PathBuf,
    _locked: File,
}

impl Drop for Lease {
    fn drop(&mut self) {
        // One that cannot be removed is removed by the next who looks: it is locked no more.
        let _ = fs::remove_file(&self.path);
    }
}

/// What a lease holds.
#[derive(Debug, Serialize, Deserialize)]
struct Content {
    pid: u32,
    digest: String,
    layers: Vec<PathBuf>,
}

impl ImageStore {
    /// Directory of the leases below a store.
    pub(crate) fn leases(store: &Path) -> PathBuf {
        store.join("leases")
    }
}

impl Inner {
    /// Holds an image. The store's lock must be held, so that the image is still whole.
    pub(crate) fn lease(&self, image: &Image) -> Result<Lease, ImageError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let directory = ImageStore::leases(&self.settings.directory);
        fs::create_dir_all(&directory).map_err(|source| ImageError::io("create", &directory, source))?;
        let (pid, number) = (std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let path = directory.join(format!("{pid}-{number}-{}", now.as_nanos()));
        let failed = |source| ImageError::io("write", &path, source);
        let mut file = File::create_new(&path).map_err(failed)?;
        let content = Content { pid, digest: image.digest.clone(), layers: image.layers.clone() };
        let written = file.lock().and_then(|()| {
            let bytes = serde_json::to_vec(&content).map_err(io::Error::from)?;
            file.write_all(&bytes)
        });
        let lease = Lease { path: path.clone(), _locked: file };
        written.map_err(failed).map(|()| lease)
    }

    /// Who uses images: those that hold one, and the containers that `in_use` finds. In this order: what is held
    /// until its container is on record is seen by one of both.
    pub(crate) fn users(&self, in_use: impl FnOnce() -> Vec<Use>) -> Result<Vec<Use>, ImageError> {
        let mut users = self.held()?;
        users.extend(in_use());
        Ok(users)
    }

    /// What is held; leases of processes that are gone are removed.
    fn held(&self) -> Result<Vec<Use>, ImageError> {
        let directory = ImageStore::leases(&self.settings.directory);
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(ImageError::io("read", &directory, source)),
        };
        let mut held = Vec::new();
        for path in entries.flatten().take(LEASES_MAX).map(|entry| entry.path()) {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ImageError::io("open", &path, source)),
            };
            match file.try_lock_shared() {
                Ok(()) => drop(fs::remove_file(&path)),
                Err(TryLockError::WouldBlock) => held.extend(read(&path, &file)?),
                Err(TryLockError::Error(source)) => return Err(ImageError::io("lock", &path, source)),
            }
        }
        Ok(held)
    }
}

/// The lease in a file that somebody holds. One that is just let go of holds nothing.
fn read(path: &Path, file: &File) -> Result<Option<Use>, ImageError> {
    let mut text = Vec::new();
    file.take(LEASE_BYTES_MAX)
        .read_to_end(&mut text)
        .map_err(|source| ImageError::io("read", path, source))?;
    let Ok(Content { pid, digest, layers }) = serde_json::from_slice(&text) else { return Ok(None) };
    Ok(Some(Use { project: String::new(), container: format!("process {pid}"), digest, layers }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{layer::FORMAT, oci::removal::Prune, progress::Settings};
    use mesh_model::image::{ImageConfig, Source};

    /// A store with one image of one layer, and the image.
    fn stored(directory: &Path) -> (ImageStore, Image) {
        let store = ImageStore::open(Settings::new(directory.to_owned())).expect("a store");
        let layer = directory.join("layers/one");
        fs::create_dir_all(layer.join("fs")).expect("a layer");
        let manifest = format!(r#"{{"format":{FORMAT},"owners_kept":true,"packages":[],"bytes":1}}"#);
        fs::write(layer.join("manifest.json"), manifest).expect("a manifest");
        let image = Image {
            reference: "x".to_owned(),
            digest: "sha256:1".to_owned(),
            source: Source::Oci,
            layers: vec![store.inner.layers.files("one")],
            config: ImageConfig::default(),
        };
        let (config, layers) = (ImageConfig::default(), vec!["one".to_owned()]);
        let mut entry = crate::index::Entry::new(image.digest.clone(), Source::Oci, layers, config, 1, 1);
        entry.references.insert("x".to_owned());
        store.inner.index.write("x", &entry).expect("an entry");
        (store, image)
    }

    #[test]
    fn what_is_held_is_not_removed_and_a_lease_ends_with_its_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, image) = stored(directory.path());
        let lease = store.inner.lease(&image).expect("held");
        let error = store.inner.remove_image("sha256:1", Vec::new, false).expect_err("held");
        assert!(error.to_string().contains("process"), "{error}");
        let removed = store.inner.prune(Prune::Unused, Vec::new).expect("prunes");
        assert_eq!((removed.images, removed.layers), (0, 0));
        // Its name may go by force; its layers stay.
        store.inner.remove_image("sha256:1", Vec::new, true).expect("forced");
        assert!(store.inner.layers.is_complete("one"));
        drop(lease);
        assert_eq!(store.inner.prune(Prune::Unused, Vec::new).expect("prunes").layers, 1);
        assert!(!store.inner.layers.is_complete("one"));
    }

    #[test]
    fn a_lease_of_a_process_that_is_gone_holds_nothing() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, _) = stored(directory.path());
        let left = ImageStore::leases(directory.path()).join("1-0-0");
        fs::create_dir_all(left.parent().expect("a parent")).expect("a directory");
        fs::write(&left, r#"{"pid":1,"digest":"sha256:1","layers":[]}"#).expect("a lease");
        assert_eq!(store.inner.prune(Prune::Unused, Vec::new).expect("prunes").images, 1);
        assert!(!left.exists());
    }

    #[test]
    fn who_has_made_a_container_by_the_time_it_is_looked_is_seen() {
        let directory = tempfile::tempdir().expect("a directory");
        let (store, image) = stored(directory.path());
        let lease = store.inner.lease(&image).expect("held");
        // The container is on record just before the lease ends.
        let of = Use {
            project: "p".to_owned(),
            container: "p-x-1".to_owned(),
            digest: image.digest,
            layers: image.layers,
        };
        let users = store.inner.users(move || {
            drop(lease);
            vec![of]
        });
        assert_eq!(users.expect("read").len(), 2);
    }
}
