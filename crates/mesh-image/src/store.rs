//! The store's public face: asynchronous, cheap to clone, one per data directory and process. The
//! work blocks (files, child processes), so it is done on tokio's blocking threads; a caller that
//! stops waiting ends it.

use crate::{
    apt::{Apt, fetch::Downloads},
    error::ImageError,
    host,
    index::Index,
    layer::Layers,
    lock::Lock,
    progress::{CancelOnDrop, Progress, Reporter, Request, Settings},
};
use mesh_model::image::{Image, Source};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};
use tokio::sync::mpsc;

/// Images on this machine.
#[derive(Debug, Clone)]
pub struct ImageStore {
    pub(crate) inner: Arc<Inner>,
}

/// What the blocking side works with.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) settings: Settings,
    pub(crate) apt: Apt,
    pub(crate) downloads: Downloads,
    pub(crate) layers: Layers,
    pub(crate) index: Index,
    /// Whether files can be given to other users here.
    pub(crate) owners_kept: bool,
}

/// An image of the store, once for each reference it was asked for by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Reference as the file had it.
    pub reference: String,
    /// Content address.
    pub digest: String,
    /// What serves it.
    pub source: Source,
    /// Its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Bytes of its layers; the base is counted in each image that uses it.
    pub bytes: u64,
    /// When it was fetched, seconds since 1970.
    pub created_seconds: u64,
}

/// What a removal did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Removed {
    /// Images.
    pub images: u32,
    /// Layers that nothing else used.
    pub layers: u32,
    /// Bytes of them.
    pub bytes: u64,
}

impl ImageStore {
    /// Opens the store, making it where it is not there, and removes what killed runs left.
    ///
    /// # Errors
    /// When its directory cannot be made or written.
    pub fn open(settings: Settings) -> Result<Self, ImageError> {
        Self::open_with_sources(settings, Path::new("/etc/apt"))
    }

    /// As [`ImageStore::open`], with the package sources configured in another directory than `/etc/apt`.
    ///
    /// # Errors
    /// As [`ImageStore::open`].
    pub fn open_with_sources(mut settings: Settings, configured: &Path) -> Result<Self, ImageError> {
        let given = settings.directory.clone();
        settings.directory =
            std::path::absolute(&given).map_err(|source| ImageError::io("find", &given, source))?;
        let directory = &settings.directory;
        fs::create_dir_all(directory).map_err(|source| ImageError::io("create", directory, source))?;
        let inner = Inner {
            apt: Apt::open(directory.join("apt"), configured.to_owned())?,
            downloads: Downloads::open(directory.join("downloads"))?,
            layers: Layers::open(directory)?,
            index: Index::open(directory)?,
            owners_kept: host::may_change_owner(directory)?,
            settings,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Resolves a reference, fetching what is not stored. Progress is told as long as the receiver
    /// keeps up. Dropping the future ends the work.
    ///
    /// # Errors
    /// When no source serves the image, or it cannot be fetched or written: see [`ImageError`].
    pub async fn resolve(
        &self,
        request: &Request,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Image, ImageError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let reporter = Reporter::new(&request.reference, progress, cancelled);
        let request = request.clone();
        self.blocking(&request.reference.clone(), move |inner| inner.resolve(&request, &reporter)).await
    }

    /// What is stored.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        self.blocking("images", |inner| inner.list()).await
    }

    /// Removes an image by its reference, and the layers that nothing else uses. `in_use` are layers
    /// (or directories below them) of containers; they stay.
    ///
    /// # Errors
    /// When the index or a layer cannot be removed.
    pub async fn remove(&self, reference: &str, in_use: Vec<PathBuf>) -> Result<Removed, ImageError> {
        let reference = reference.to_owned();
        self.blocking(&reference.clone(), move |inner| inner.remove(Some(&reference), &in_use)).await
    }

    /// Removes every image that has a layer not in use, and the layers that nothing else uses.
    ///
    /// # Errors
    /// When the index or a layer cannot be removed.
    pub async fn prune(&self, in_use: Vec<PathBuf>) -> Result<Removed, ImageError> {
        self.blocking("images", move |inner| inner.remove(None, &in_use)).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        what: &str,
        work: impl FnOnce(&Inner) -> Result<T, ImageError> + Send + 'static,
    ) -> Result<T, ImageError> {
        let inner = Arc::clone(&self.inner);
        let outcome = tokio::task::spawn_blocking(move || work(&inner)).await;
        outcome.map_err(|source| ImageError::Task { reference: what.to_owned(), source })?
    }
}

impl Inner {
    /// Held beside others while images are fetched, alone while layers are removed.
    pub(crate) fn fetching(&self) -> Result<Lock, ImageError> {
        Lock::shared(&self.lock_path("store"))
    }

    pub(crate) fn lock_path(&self, name: &str) -> PathBuf {
        self.settings.directory.join("locks").join(format!("{name}.lock"))
    }

    fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        let mut images = Vec::new();
        for (_, entry) in self.index.all()? {
            for reference in &entry.references {
                images.push(StoredImage {
                    reference: reference.clone(),
                    digest: entry.digest.clone(),
                    source: entry.source.clone(),
                    layers: entry.layers.iter().map(|id| self.layers.files(id)).collect(),
                    bytes: entry.bytes,
                    created_seconds: entry.created,
                });
            }
        }
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }

    fn remove(&self, reference: Option<&str>, in_use: &[PathBuf]) -> Result<Removed, ImageError> {
        let _alone = Lock::exclusive(&self.lock_path("store"))?;
        let used = |id: &str| {
            let files = self.layers.files(id);
            in_use.iter().any(|path| path.starts_with(&files))
        };
        let mut removed = Removed::default();
        let mut kept: Vec<String> = Vec::new();
        for (key, mut entry) in self.index.all()? {
            let goes = match reference {
                Some(reference) => entry.references.remove(reference) && entry.references.is_empty(),
                None => !entry.layers.iter().all(|id| used(id)),
            };
            if goes {
                self.index.remove(&key)?;
                removed.images += 1;
                continue;
            }
            if reference.is_some() {
                self.index.write(&key, &entry)?;
            }
            kept.extend(entry.layers);
        }
        let (layers, bytes) = self.layers.retain(&|id| used(id) || kept.iter().any(|kept| kept == id))?;
        Ok(Removed { layers, bytes, ..removed })
    }
}
