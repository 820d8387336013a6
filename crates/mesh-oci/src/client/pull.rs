//! A whole image: its layers, side by side, into a directory of blobs.

use super::{Client, Resolved};
use crate::{
    blobs::{BlobDirectory, BlobError, open_partial},
    error::OciError,
    manifest::{Descriptor, Platform},
    reference::Reference,
};
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

pub use super::blob::Progress;

/// How often it is looked whether another process still fetches a layer.
const BUSY_WAIT: Duration = Duration::from_millis(100);

/// What happens while an image is pulled. Layers are counted from 0, lowest first, as in the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullEvent {
    /// A layer was already there ([`PullEvent::Done`] follows), or is not wanted.
    Present {
        /// Which.
        layer: usize,
    },
    /// Bytes of a layer came.
    Layer {
        /// Which.
        layer: usize,
        /// Bytes so far.
        done: u64,
        /// Bytes in all.
        total: u64,
    },
    /// Another process fetches the same layer; it is waited for.
    Waiting {
        /// Which.
        layer: usize,
    },
    /// A layer is there, whole and verified.
    Done {
        /// Which.
        layer: usize,
        /// Where.
        path: PathBuf,
    },
}

/// An image whose blobs are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// What the reference leads to.
    pub resolved: Resolved,
    /// The layers' files, lowest first.
    pub layers: Vec<PathBuf>,
}

impl Client {
    /// Resolves a reference and fetches all its blobs into a directory: layers, config, manifest, index.
    ///
    /// # Errors
    /// Those of [`Client::resolve`] and [`Client::fetch_layers`].
    pub async fn pull_image(
        &self,
        reference: &Reference,
        platform: &Platform,
        blobs: &BlobDirectory,
        tell: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<Pulled, OciError> {
        let resolved = self.resolve(reference, platform).await?;
        self.fetch_layers(&resolved, blobs, &|_, _| true, tell).await?;
        resolved.keep(blobs)?;
        let layers = resolved.manifest.layers.iter().map(|layer| blobs.path(&layer.digest)).collect();
        Ok(Pulled { resolved, layers })
    }

    /// Fetches the layers that are wanted and not there, as many at a time as the settings allow. `wanted` is
    /// asked once for each layer with its number; `tell` hears of each layer as it comes, so that unpacking
    /// can start with the first. The first failure stops the others; what has come of them is kept.
    ///
    /// # Errors
    /// Those of [`Client::fetch_blob`], and where the disk has no room.
    pub async fn fetch_layers(
        &self,
        resolved: &Resolved,
        blobs: &BlobDirectory,
        wanted: &(dyn Fn(usize, &Descriptor) -> bool + Send + Sync),
        tell: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<(), OciError> {
        let layers = &resolved.manifest.layers;
        let mut places: HashMap<_, Vec<usize>> = HashMap::new();
        let mut first = Vec::new();
        for (index, layer) in layers.iter().enumerate() {
            if !wanted(index, layer) {
                tell(PullEvent::Present { layer: index });
                continue;
            }
            let of_digest = places.entry(&layer.digest).or_default();
            of_digest.push(index);
            if of_digest.len() == 1 {
                first.push(index);
            }
        }
        self.room(resolved, blobs, &first)?;
        let mut open: FuturesUnordered<_> = first
            .iter()
            .map(|&index| self.fetch_layer(&resolved.reference, index, &layers[index], blobs, tell))
            .collect();
        while let Some(outcome) = open.next().await {
            let index = outcome?;
            let digest = &layers[index].digest;
            for &layer in places.get(digest).into_iter().flatten() {
                tell(PullEvent::Done { layer, path: blobs.path(digest) });
            }
        }
        Ok(())
    }

    async fn fetch_layer(
        &self,
        reference: &Reference,
        index: usize,
        layer: &Descriptor,
        blobs: &BlobDirectory,
        tell: &(dyn Fn(PullEvent) + Send + Sync),
    ) -> Result<usize, OciError> {
        let kept = |source| OciError::Blob { reference: reference.to_string(), source };
        // The semaphore is never closed.
        let _turn = self.inner.downloads.acquire().await;
        let partial = blobs.partial(&layer.digest);
        let mut waiting = false;
        let file = loop {
            if blobs.has(&layer.digest, layer.size) {
                tell(PullEvent::Present { layer: index });
                return Ok(index);
            }
            if let Some(file) = open_partial(&partial).map_err(kept)? {
                break file;
            }
            if !std::mem::replace(&mut waiting, true) {
                tell(PullEvent::Waiting { layer: index });
            }
            tokio::time::sleep(BUSY_WAIT).await;
        };
        // The lock is held by the file, until the blob has its name.
        let held = file.try_clone().map_err(BlobError::file("open", &partial)).map_err(kept)?;
        let progress = |done, total| tell(PullEvent::Layer { layer: index, done, total });
        self.download(reference, layer, &partial, file, &progress).await?;
        let path = blobs.path(&layer.digest);
        fs::rename(&partial, &path).map_err(BlobError::file("name", &path)).map_err(kept)?;
        drop(held);
        Ok(index)
    }

    /// Fails where the disk has no room for what is still to come.
    fn room(&self, resolved: &Resolved, blobs: &BlobDirectory, wanted: &[usize]) -> Result<(), OciError> {
        let layers = &resolved.manifest.layers;
        let needed = wanted
            .iter()
            .map(|&index| &layers[index])
            .filter(|layer| !blobs.has(&layer.digest, layer.size))
            .map(|layer| {
                let have = fs::metadata(blobs.partial(&layer.digest)).map_or(0, |metadata| metadata.len());
                layer.size.saturating_sub(have)
            })
            .fold(0_u64, u64::saturating_add);
        match free(blobs.root()) {
            Some((folder, free)) if needed > free => {
                Err(OciError::NoSpace { reference: resolved.reference.to_string(), needed, free, folder })
            }
            _ => Ok(()),
        }
    }
}

impl Resolved {
    /// Writes config, manifest and index into a directory of blobs, for who wants to hand the image on.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn keep(&self, blobs: &BlobDirectory) -> Result<(), OciError> {
        let kept = |source| OciError::Blob { reference: self.reference.to_string(), source };
        blobs.write(&self.manifest.config.digest, &self.config_bytes).map_err(kept)?;
        blobs.write(&self.manifest_digest, &self.manifest_bytes).map_err(kept)?;
        if let Some(index) = &self.index {
            blobs.write(&self.digest, index).map_err(kept)?;
        }
        Ok(())
    }
}

/// Bytes free for us where a folder is, or will be.
fn free(folder: &Path) -> Option<(PathBuf, u64)> {
    let there = folder.ancestors().find(|folder| folder.is_dir())?;
    let statistics = rustix::fs::statvfs(there).ok()?;
    Some((there.to_owned(), statistics.f_bavail.saturating_mul(statistics.f_frsize)))
}
