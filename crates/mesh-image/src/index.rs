//! What is stored: a small file per way an image was asked for, saying which layers serve it. It is
//! all that a resolve of a stored image reads.
//!
//! A file that cannot be read as one counts as not there: it is written anew by the next fetch.

use crate::{apt::write_atomic, error::ImageError};
use mesh_model::image::{ImageConfig, Source};
use mesh_oci::{digest::Digest, platform::Platform};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// Version of the file.
const FORMAT: u32 = 1;

/// One stored image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    format: u32,
    /// References it was asked for by.
    pub(crate) references: BTreeSet<String>,
    pub(crate) digest: String,
    pub(crate) source: Source,
    /// Names of its layers, lowest first.
    pub(crate) layers: Vec<String>,
    pub(crate) config: ImageConfig,
    /// Bytes of its layers, the base's too.
    pub(crate) bytes: u64,
    /// Seconds since 1970.
    pub(crate) created: u64,
    /// What is known of it where it came from a registry or an archive.
    #[serde(default)]
    pub(crate) oci: Option<OciRecord>,
}

/// What is known of an image of a registry or an archive.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct OciRecord {
    /// Its name in full; `None`: it lost it to another image, or never had one.
    pub(crate) name: Option<String>,
    /// Digest of its manifest.
    pub(crate) manifest: Digest,
    /// Digest of the index that its manifest was chosen from.
    pub(crate) index: Option<Digest>,
    pub(crate) platform: Platform,
    /// When it was made, as it says itself.
    pub(crate) made: Option<String>,
    /// Manifest, config and layers, as they came.
    pub(crate) blobs: Vec<Digest>,
}

impl Entry {
    pub(crate) fn new(
        digest: String,
        source: Source,
        layers: Vec<String>,
        config: ImageConfig,
        bytes: u64,
        created: u64,
    ) -> Self {
        let references = BTreeSet::new();
        Self { format: FORMAT, references, digest, source, layers, config, bytes, created, oci: None }
    }
}

/// The directory of entries.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    directory: PathBuf,
}

impl Index {
    pub(crate) fn open(store: &Path) -> Result<Self, ImageError> {
        let directory = store.join("index");
        fs::create_dir_all(&directory).map_err(|source| ImageError::io("create", &directory, source))?;
        Ok(Self { directory })
    }

    pub(crate) fn read(&self, key: &str) -> Result<Option<Entry>, ImageError> {
        let path = self.path(key);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(ImageError::io("read", &path, source)),
        };
        match serde_json::from_slice::<Entry>(&bytes) {
            Ok(entry) => Ok((entry.format == FORMAT).then_some(entry)),
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "entry of the image index is broken and will be written anew");
                Ok(None)
            }
        }
    }

    pub(crate) fn write(&self, key: &str, entry: &Entry) -> Result<(), ImageError> {
        let bytes = serde_json::to_vec_pretty(entry).unwrap_or_default();
        write_atomic(&self.path(key), &bytes)
    }

    pub(crate) fn remove(&self, key: &str) -> Result<(), ImageError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(ImageError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Every entry with its key, in the order of keys.
    pub(crate) fn all(&self) -> Result<Vec<(String, Entry)>, ImageError> {
        self.all_below("")
    }

    /// Every entry whose key begins so.
    pub(crate) fn all_below(&self, prefix: &str) -> Result<Vec<(String, Entry)>, ImageError> {
        let entries = fs::read_dir(&self.directory)
            .map_err(|source| ImageError::io("read", &self.directory, source))?;
        let mut keys: Vec<String> = entries
            .flatten()
            .filter_map(|entry| entry.file_name().to_string_lossy().strip_suffix(".json").map(str::to_owned))
            .filter(|key| key.starts_with(prefix))
            .collect();
        keys.sort();
        let mut all = Vec::new();
        for key in keys {
            if let Some(entry) = self.read(&key)? {
                all.push((key, entry));
            }
        }
        Ok(all)
    }

    fn path(&self, key: &str) -> PathBuf {
        self.directory.join(format!("{key}.json"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_kept_and_broken_ones_do_not_count() {
        let store = tempfile::tempdir().unwrap();
        let index = Index::open(store.path()).unwrap();
        assert!(index.read("a").unwrap().is_none());
        let entry =
            Entry::new("sha256:1".into(), Source::Oci, vec!["l".into()], ImageConfig::default(), 3, 4);
        index.write("a", &entry).unwrap();
        fs::write(store.path().join("index/b.json"), "{broken").unwrap();
        let all = index.all().unwrap();
        assert_eq!((all.len(), all[0].0.as_str(), all[0].1.bytes), (1, "a", 3));
        index.remove("a").unwrap();
        index.remove("a").unwrap();
        assert!(index.read("a").unwrap().is_none());
    }
}
