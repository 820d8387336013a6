//! Taking images out of the store: names first, then what nothing needs any more.
//!
//! Everything here is done with the store's lock held alone, so that nobody fetches meanwhile. What
//! containers were made of stays whatever happens to its name.

use super::install::name_key;
use crate::{
    error::ImageError,
    index::Entry,
    store::{Inner, Removed},
};
use mesh_oci::digest::Digest;
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// A container, and what it was made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Use {
    /// Its project; empty: it is not made yet, and a process holds the image for it.
    pub project: String,
    /// Its name, or that process.
    pub container: String,
    /// Digest of its image.
    pub digest: String,
    /// Its layers.
    pub layers: Vec<PathBuf>,
}

/// What a removal is to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prune {
    /// What has no name and no container.
    Unnamed,
    /// What has no container.
    Unused,
}

impl Inner {
    /// Takes an image's name away, and the image with its last name. An id takes all names, if it has
    /// several only where it is `forced`. One that a container was made of loses its names then, and stays.
    pub(crate) fn remove_image(
        &self,
        text: &str,
        in_use: impl FnOnce() -> Vec<Use>,
        forced: bool,
    ) -> Result<Removed, ImageError> {
        let _alone = self.alone()?;
        let in_use = &self.users(in_use)?;
        let mut taken = self.taken(text)?;
        if taken.is_empty() {
            return Err(ImageError::NoSuchImage { text: text.to_owned() });
        }
        let by_name = taken.iter().any(|(_, _, names)| names.iter().any(|name| is_name(name, text)));
        if by_name {
            taken.iter_mut().for_each(|(_, _, names)| names.retain(|name| is_name(name, text)));
        } else if !forced {
            let names: BTreeSet<String> = taken.iter().flat_map(|(_, _, names)| names.clone()).collect();
            if names.len() > 1 {
                let names = names.into_iter().collect::<Vec<_>>().join(", ");
                return Err(ImageError::SeveralNames { id: text.to_owned(), names });
            }
        }
        let mut removed = Removed::default();
        for (key, mut entry, names) in taken {
            entry.references.retain(|name| !names.contains(name));
            let last = entry.references.is_empty() && !self.is_elsewhere(&key, &entry)?;
            let user = in_use.iter().find(|user| user.digest == entry.digest);
            if last && let Some(user) = user.filter(|_| !forced || names.is_empty()) {
                let (image, container, project) =
                    (text.to_owned(), user.container.clone(), user.project.clone());
                return Err(match project.is_empty() {
                    true => ImageError::Held { image, holder: container },
                    false => ImageError::InUse { image, container, project },
                });
            }
            removed.untagged.extend(names);
            if last && user.is_some() {
                // Its container has it still: it goes with the first removal after that.
                self.keep_unnamed(&key, entry)?;
                continue;
            }
            if entry.references.is_empty() {
                self.index.remove(&key)?;
            } else {
                self.index.write(&key, &entry)?;
            }
            if last {
                removed.images += 1;
                removed.deleted.push(entry.digest);
            }
        }
        self.sweep(in_use, false, &mut removed)?;
        Ok(removed)
    }

    /// Keeps an image without a name.
    fn keep_unnamed(&self, key: &str, mut entry: Entry) -> Result<(), ImageError> {
        let own = entry.oci.as_mut().map(|record| {
            record.name = None;
            name_key(&record.manifest.to_string(), "")
        });
        match own {
            Some(own) if own != key => {
                self.index.write(&own, &entry)?;
                self.index.remove(key)
            }
            _ => self.index.write(key, &entry),
        }
    }

    /// An image that has a name needs no entry without one.
    pub(super) fn forget_unnamed(&self, manifest: &Digest) -> Result<(), ImageError> {
        self.index.remove(&name_key(&manifest.to_string(), ""))
    }

    /// Removes what nothing needs.
    pub(crate) fn prune(
        &self,
        which: Prune,
        in_use: impl FnOnce() -> Vec<Use>,
    ) -> Result<Removed, ImageError> {
        let _alone = self.alone()?;
        let in_use = &self.users(in_use)?;
        let mut removed = Removed::default();
        for (key, entry) in self.index.all()? {
            let used = in_use.iter().any(|user| user.digest == entry.digest);
            if used || (which == Prune::Unnamed && !entry.references.is_empty()) {
                continue;
            }
            self.index.remove(&key)?;
            removed.images += 1;
            removed.untagged.extend(entry.references);
            removed.deleted.push(entry.digest);
        }
        self.sweep(in_use, true, &mut removed)?;
        Ok(removed)
    }

    /// What a prune would take, without taking it.
    pub(crate) fn prunable(
        &self,
        which: Prune,
        in_use: impl FnOnce() -> Vec<Use>,
    ) -> Result<u64, ImageError> {
        let _alone = self.alone()?;
        let in_use = &self.users(in_use)?;
        let mut kept = Needed::default();
        for (_, entry) in self.index.all()? {
            let used = in_use.iter().any(|user| user.digest == entry.digest);
            if used || (which == Prune::Unnamed && !entry.references.is_empty()) {
                kept.add(&entry);
            }
        }
        let mut bytes = 0;
        for name in self.layers.complete()? {
            if !kept.layers.contains(&name) && !self.is_used(&name, in_use) {
                bytes += self.layers.bytes(&name);
            }
        }
        for (path, size) in self.blob_files()? {
            if !kept.has_blob(&path) {
                bytes += size;
            }
        }
        Ok(bytes)
    }

    /// The entries that a text names, with the names of each that go.
    pub(super) fn taken(&self, text: &str) -> Result<Vec<(String, Entry, Vec<String>)>, ImageError> {
        let mut taken: Vec<_> = self.named_or_begun(text)?;
        for (key, entry) in self.index.all()? {
            let named = entry.oci.is_none() && entry.references.iter().any(|name| is_name(name, text));
            if named || (entry.oci.is_none() && entry.digest == text) {
                taken.push((key, entry));
            }
        }
        let with_names = |(key, entry): (String, Entry)| {
            let names = entry.references.iter().cloned().collect();
            (key, entry, names)
        };
        Ok(taken.into_iter().map(with_names).collect())
    }

    /// Whether another entry has the same image.
    fn is_elsewhere(&self, key: &str, entry: &Entry) -> Result<bool, ImageError> {
        Ok(self.index.all()?.iter().any(|(other, known)| other != key && known.digest == entry.digest))
    }

    /// Removes layers and blobs that no entry has; layers of containers stay.
    fn sweep(&self, in_use: &[Use], halves_too: bool, removed: &mut Removed) -> Result<(), ImageError> {
        let mut kept = Needed::default();
        self.index.all()?.iter().for_each(|(_, entry)| kept.add(entry));
        let keep = |id: &str| kept.layers.contains(id) || self.is_used(id, in_use);
        let (layers, bytes) = self.layers.retain(&keep)?;
        removed.layers += layers;
        removed.bytes += bytes;
        for (path, size) in self.blob_files()? {
            let whole = path.extension().is_none() && !is_hidden(&path);
            if kept.has_blob(&path) || (!whole && !halves_too) {
                continue;
            }
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(ImageError::io("remove", &path, error));
                }
                _ => removed.bytes += size,
            }
        }
        Ok(())
    }

    fn is_used(&self, layer: &str, in_use: &[Use]) -> bool {
        let files = self.layers.files(layer);
        in_use.iter().flat_map(|user| &user.layers).any(|path| path.starts_with(&files))
    }

    /// Every file among the blobs with its size: whole ones, and halves of those that were cut off.
    fn blob_files(&self) -> Result<Vec<(PathBuf, u64)>, ImageError> {
        let root = self.blobs.root();
        let mut found = Vec::new();
        for folder in [root.to_owned(), root.join("sha256"), root.join("sha512")] {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ImageError::io("read", &folder, source)),
            };
            for entry in entries.flatten() {
                if let Ok(data) = entry.metadata()
                    && data.is_file()
                {
                    found.push((entry.path(), data.len()));
                }
            }
        }
        Ok(found)
    }
}

/// What the entries of the index need.
#[derive(Default)]
struct Needed {
    layers: BTreeSet<String>,
    blobs: BTreeSet<Digest>,
}

impl Needed {
    fn add(&mut self, entry: &Entry) {
        self.layers.extend(entry.layers.iter().cloned());
        self.blobs.extend(entry.oci.iter().flat_map(|record| record.blobs.iter().cloned()));
    }

    fn has_blob(&self, path: &Path) -> bool {
        let part = |path: Option<&std::ffi::OsStr>| {
            path.and_then(|part| part.to_str()).unwrap_or_default().to_owned()
        };
        let text = format!("{}:{}", part(path.parent().and_then(Path::file_name)), part(path.file_name()));
        Digest::parse(&text).is_ok_and(|digest| self.blobs.contains(&digest))
    }
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a name of the index is the one that was given, in full or as people write it.
fn is_name(name: &str, text: &str) -> bool {
    use mesh_oci::reference::Reference;
    let full = |text: &str| Reference::parse(text).map(|reference| super::install::canonical(&reference));
    name == text || matches!((full(name), full(text)), (Ok(one), Ok(other)) if one == other)
}
