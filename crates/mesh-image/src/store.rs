//! The store's public face: asynchronous, cheap to clone, one per data directory and process. The
//! work blocks (files, child processes), so it is done on tokio's blocking threads; a caller that
//! stops waiting ends it.

use crate::{
    apt::{Apt, fetch::Downloads},
    error::ImageError,
    host,
    index::Index,
    layer::Layers,
    lease::Lease,
    lock::Lock,
    oci::{
        archive::Loaded,
        removal::{Prune, Use},
    },
    progress::{CancelOnDrop, Progress, Reporter, Request, Settings},
};
use mesh_model::image::{Image, Source};
use mesh_oci::{archive::Form, blobs::BlobDirectory, client::Client, platform::Platform};
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
    pub(crate) client: Client,
    /// Manifests, configs and packed layers of registries' images.
    pub(crate) blobs: BlobDirectory,
    /// Whether files can be given to other users here.
    pub(crate) owners_kept: bool,
    /// Whether attributes of the machine's own root can be set here.
    pub(crate) trusted: bool,
}

/// An image of the store, once for each name it has; one that has none is there once, without.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredImage {
    /// Name; `None`: it has none any more.
    pub reference: Option<String>,
    /// Content address; the id of a registry's image.
    pub digest: String,
    /// Digest of a registry's manifest or index, by which it can be had again.
    pub repository_digest: Option<String>,
    /// Platform, where it is a registry's.
    pub platform: Option<String>,
    /// What serves it.
    pub source: Source,
    /// Its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// Bytes of its layers; the base is counted in each image that uses it.
    pub bytes: u64,
    /// When it was fetched, seconds since 1970.
    pub created_seconds: u64,
    /// When it was made, seconds since 1970: as a registry's image says, if it does; packages were put together
    /// when they were fetched.
    pub made_seconds: Option<u64>,
}

/// What a removal did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Removed {
    /// Names that were taken away.
    pub untagged: Vec<String>,
    /// Ids of the images that went with their last name.
    pub deleted: Vec<String>,
    /// Images.
    pub images: u32,
    /// Layers that nothing else used.
    pub layers: u32,
    /// Bytes of them, and of what they were unpacked from.
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
            client: Client::new(settings.registry.clone()),
            blobs: BlobDirectory::new(directory.join("blobs")),
            owners_kept: host::may_change_owner(directory)?,
            trusted: host::may_set_trusted(directory)?,
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

    /// As [`ImageStore::resolve`], and holds the image: nobody removes it as long as the lease is there.
    ///
    /// # Errors
    /// As [`ImageStore::resolve`], and when the lease cannot be written.
    pub async fn resolve_and_hold(
        &self,
        request: &Request,
        progress: mpsc::Sender<Progress>,
    ) -> Result<(Image, Lease), ImageError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let reporter = Reporter::new(&request.reference, progress, cancelled);
        let request = request.clone();
        self.blocking(&request.reference.clone(), move |inner| {
            // From before it is found to after it is held nothing is removed.
            let _fetching = inner.fetching()?;
            let image = inner.resolve(&request, &reporter)?;
            let lease = inner.lease(&image)?;
            Ok((image, lease))
        })
        .await
    }

    /// What is stored.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        self.blocking("images", |inner| inner.list()).await
    }

    /// Loads the images of an archive that are for a platform (`None`: this machine's).
    ///
    /// # Errors
    /// When it is no archive of images, or an image of it cannot be unpacked.
    pub async fn load(
        &self,
        mut source: Box<dyn std::io::Read + Send>,
        platform: Option<Platform>,
        progress: mpsc::Sender<Progress>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _cancel = CancelOnDrop(Arc::clone(&cancelled));
        let reporter = Reporter::new("archive", progress, cancelled);
        self.blocking("archive", move |inner| inner.load(&mut *source, platform.as_ref(), &reporter)).await
    }

    /// Writes images into an archive, under the names that are given. Images made of packages are not
    /// handed on.
    ///
    /// # Errors
    /// When one is not stored, or the archive cannot be written.
    pub async fn save(
        &self,
        names: Vec<String>,
        form: Form,
        mut into: Box<dyn std::io::Write + Send>,
    ) -> Result<(), ImageError> {
        self.blocking("images", move |inner| inner.save(&names, form, &mut *into)).await
    }

    /// Gives an image, by name or id, another name.
    ///
    /// # Errors
    /// When there is no such image, the name cannot be one, packages stand in for the image, or the index
    /// cannot be written.
    pub async fn tag(&self, image: &str, name: &str) -> Result<(), ImageError> {
        let (image, name) = (image.to_owned(), name.to_owned());
        self.blocking(&image.clone(), move |inner| inner.tag(&image, &name)).await
    }

    /// Removes an image by its name or id, and what nothing else uses then. What containers were made of
    /// stays, by what `in_use` finds once nobody fetches any more; an image that one was made of keeps its last
    /// name unless it is `forced`.
    ///
    /// # Errors
    /// When there is no such image, when it is in use or has several names, and when the index or a layer
    /// cannot be removed.
    pub async fn remove(
        &self,
        reference: &str,
        in_use: impl FnOnce() -> Vec<Use> + Send + 'static,
        forced: bool,
    ) -> Result<Removed, ImageError> {
        let reference = reference.to_owned();
        self.blocking(&reference.clone(), move |inner| inner.remove_image(&reference, in_use, forced)).await
    }

    /// Removes images that no container was made of, and the layers, blobs and halves of downloads that
    /// nothing uses.
    ///
    /// # Errors
    /// When the index or a layer cannot be removed.
    pub async fn prune(
        &self,
        which: Prune,
        in_use: impl FnOnce() -> Vec<Use> + Send + 'static,
    ) -> Result<Removed, ImageError> {
        self.blocking("images", move |inner| inner.prune(which, in_use)).await
    }

    /// Bytes that [`ImageStore::prune`] would free.
    ///
    /// # Errors
    /// When the index or a layer cannot be read.
    pub async fn prunable(
        &self,
        which: Prune,
        in_use: impl FnOnce() -> Vec<Use> + Send + 'static,
    ) -> Result<u64, ImageError> {
        self.blocking("images", move |inner| inner.prunable(which, in_use)).await
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

    /// Held while images are removed: nobody fetches meanwhile.
    pub(crate) fn alone(&self) -> Result<Lock, ImageError> {
        Lock::exclusive(&self.lock_path("store"))
    }

    pub(crate) fn lock_path(&self, name: &str) -> PathBuf {
        self.settings.directory.join("locks").join(format!("{name}.lock"))
    }

    fn list(&self) -> Result<Vec<StoredImage>, ImageError> {
        let mut images = Vec::new();
        for (_, entry) in self.index.all()? {
            let mut names: Vec<_> = entry.references.iter().cloned().map(Some).collect();
            if names.is_empty() {
                names.push(None);
            }
            let record = entry.oci.as_ref();
            let again = record.map(|record| record.index.as_ref().unwrap_or(&record.manifest).to_string());
            for reference in names {
                images.push(StoredImage {
                    reference,
                    digest: entry.digest.clone(),
                    repository_digest: again.clone(),
                    platform: record.map(|record| record.platform.to_string()),
                    source: entry.source.clone(),
                    layers: entry.layers.iter().map(|id| self.layers.files(id)).collect(),
                    bytes: entry.bytes,
                    created_seconds: entry.created,
                    made_seconds: match record {
                        Some(record) => record.made.as_deref().and_then(crate::oci::made::seconds),
                        None => Some(entry.created),
                    },
                });
            }
        }
        images.sort_by(|a, b| a.reference.cmp(&b.reference));
        Ok(images)
    }
}
