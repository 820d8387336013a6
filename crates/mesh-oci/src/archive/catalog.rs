//! What an archive's lists say: which of its files are which image.

use super::{
    ArchiveError,
    read::{Image, Limits},
};
use crate::{
    blobs::{BlobDirectory, BlobError},
    compression::{Compression, TELLING_BYTES},
    config::{CONFIG_BYTES_MAX, ImageConfig},
    digest::Digest,
    manifest::{
        Descriptor, Document, INDEX_DEPTH_MAX, Index, LAYERS_MAX, MANIFEST_BYTES_MAX, Manifest,
        ManifestError, Platform, shortened,
    },
    media,
    reference::Reference,
};
use serde::Deserialize;
use std::{
    cell::Cell,
    collections::BTreeMap,
    fs::File,
    io::{self, Read as _},
};

/// How many links lead to a file at most.
const LINKS_MAX: usize = 8;
/// Bytes of manifests and configs that are read for all images together: the same large config can be named
/// by any number of them.
const DOCUMENT_BYTES_MAX: u64 = 64 << 20;
/// Full name of an image, as containerd notes it.
const NAME_FULL: &str = "io.containerd.image.name";
/// Name or tag of an image, as OCI has it.
const NAME_OCI: &str = "org.opencontainers.image.ref.name";

/// What an archive holds, besides blobs that lie under their digest.
#[derive(Default)]
pub(super) struct Contents {
    /// Lists and configs.
    pub(super) small: BTreeMap<String, Vec<u8>>,
    /// Bytes of them.
    pub(super) small_bytes: u64,
    /// Layers that lie under another name than their digest.
    pub(super) loose: BTreeMap<String, Digest>,
    links: BTreeMap<String, String>,
}

impl Contents {
    pub(super) fn link(&mut self, name: &str, target: &str, symbolic: bool) {
        let folder = name.rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = if symbolic { plain(&format!("{folder}/{target}")) } else { plain(target) };
        if let Some(target) = target {
            self.links.insert(name.to_owned(), target);
        }
    }

    /// A name after all links.
    fn followed(&self, name: &str) -> Option<String> {
        let mut name = plain(name)?;
        for _ in 0..LINKS_MAX {
            match self.links.get(&name) {
                Some(target) => name.clone_from(target),
                None => return Some(name),
            }
        }
        None
    }
}

/// A path without `.` and `..`; `None` where it leads out.
pub(super) fn plain(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Where blobs are looked for, and how much may still be read of them.
struct Shelf<'a> {
    blobs: &'a BlobDirectory,
    platform: &'a Platform,
    left: Cell<u64>,
}

impl Shelf<'_> {
    /// Takes bytes off what may be read.
    fn spend(&self, bytes: u64) -> Result<(), ArchiveError> {
        match self.left.get().checked_sub(bytes) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(ArchiveError::TooMuch { what: "bytes of lists", limit: DOCUMENT_BYTES_MAX }),
        }
    }

    fn content(&self, blob: &Descriptor, limit: u64, what: String) -> Result<Vec<u8>, ArchiveError> {
        self.spend(blob.size.min(limit))?;
        content(self.blobs, blob, limit, what)
    }
}

/// One image of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

/// The images that the lists name and the platform can run. What has to be written for them beside the
/// archive's own blobs is put into `made`.
pub(super) fn images(
    contents: &Contents,
    blobs: &BlobDirectory,
    platform: &Platform,
    limits: &Limits,
    made: &mut Vec<(Digest, Vec<u8>)>,
) -> Result<Vec<Image>, ArchiveError> {
    let shelf = Shelf { blobs, platform, left: Cell::new(DOCUMENT_BYTES_MAX) };
    let docker: Option<Vec<Listed>> = list(contents, "manifest.json")?;
    let layout: Option<Index> = list(contents, "index.json")?;
    if let Some(index) = layout.filter(|index| !index.manifests.is_empty()) {
        check_count(index.manifests.len(), limits)?;
        return from_layout(&index, docker.as_deref().unwrap_or_default(), &shelf);
    }
    let docker = docker.ok_or(ArchiveError::NoImages)?;
    check_count(docker.len(), limits)?;
    let mut found = Vec::new();
    let mut others = Vec::new();
    for listed in &docker {
        let image = from_docker(listed, contents, &shelf, made)?;
        let made_for = &image.config.platform;
        if made_for.os.is_empty() || platform.distance(made_for).is_some() {
            found.push(image);
        } else {
            others.push(shortened(&made_for.to_string()));
        }
    }
    some(found, &others, platform)
}

fn some(found: Vec<Image>, others: &[String], platform: &Platform) -> Result<Vec<Image>, ArchiveError> {
    if found.is_empty() {
        let offers = if others.is_empty() { "no images".to_owned() } else { others.join(", ") };
        return Err(ArchiveError::NoPlatform { platform: platform.to_string(), offers });
    }
    Ok(found)
}

fn check_count(found: usize, limits: &Limits) -> Result<(), ArchiveError> {
    match found as u64 > limits.images_max {
        true => Err(ArchiveError::TooMuch { what: "images", limit: limits.images_max }),
        false => Ok(()),
    }
}

fn list<T: for<'de> Deserialize<'de>>(
    contents: &Contents,
    name: &'static str,
) -> Result<Option<T>, ArchiveError> {
    let Some(bytes) = contents.small.get(name) else { return Ok(None) };
    serde_json::from_slice(bytes).map(Some).map_err(|source| ArchiveError::List { name, source })
}

fn named(text: &str) -> Result<Reference, ArchiveError> {
    Reference::parse(text).map_err(|source| ArchiveError::Name { name: shortened(text), source })
}

/// The images of an OCI layout.
fn from_layout(index: &Index, docker: &[Listed], shelf: &Shelf<'_>) -> Result<Vec<Image>, ArchiveError> {
    let mut found: Vec<Image> = Vec::new();
    let mut others = Vec::new();
    for entry in &index.manifests {
        let Some(mut image) = of_entry(entry, shelf, INDEX_DEPTH_MAX, &mut others)? else {
            continue;
        };
        image.references = names_of(entry)?;
        for listed in docker {
            // A docker archive of today notes the same image in both lists.
            if plain(&listed.config).is_some_and(|path| path.ends_with(image.manifest.config.digest.hex())) {
                for tag in listed.repo_tags.iter().flatten() {
                    let reference = named(tag)?;
                    if !image.references.contains(&reference) {
                        image.references.push(reference);
                    }
                }
            }
        }
        // One entry for each name is how layouts say that an image has several.
        match found.iter_mut().find(|known| known.manifest_digest == image.manifest_digest) {
            Some(known) => {
                let new: Vec<_> =
                    image.references.into_iter().filter(|name| !known.references.contains(name)).collect();
                known.references.extend(new);
            }
            None => found.push(image),
        }
    }
    some(found, &others, shelf.platform)
}

/// The names that a layout's entry has.
fn names_of(entry: &Descriptor) -> Result<Vec<Reference>, ArchiveError> {
    if let Some(name) = entry.annotations.get(NAME_FULL) {
        return Ok(vec![named(name)?]);
    }
    match entry.annotations.get(NAME_OCI) {
        // A word alone is a tag, of an image whose name is not told.
        Some(name) if name.contains(['/', ':']) => Ok(vec![named(name)?]),
        _ => Ok(Vec::new()),
    }
}

/// The image that an entry leads to on a platform; notes what it is for where it is for another.
fn of_entry(
    entry: &Descriptor,
    shelf: &Shelf<'_>,
    depth: usize,
    others: &mut Vec<String>,
) -> Result<Option<Image>, ArchiveError> {
    if entry.artifact_type.is_some() {
        return Ok(None);
    }
    if let Some(offered) =
        entry.platform.as_ref().filter(|offered| shelf.platform.distance(offered).is_none())
    {
        if offered.os != "unknown" {
            others.push(shortened(&offered.to_string()));
        }
        return Ok(None);
    }
    let what = || format!("manifest {}", entry.digest);
    let unusable = |source| ArchiveError::Manifest { what: what(), source };
    let bytes = shelf.content(entry, MANIFEST_BYTES_MAX, what())?;
    match Document::read(&bytes, Some(&entry.media_type)).map_err(unusable)? {
        Document::Manifest(manifest) => {
            let image = of_manifest(*manifest, entry.digest.clone(), shelf)?;
            let made_for = &image.config.platform;
            if entry.platform.is_none()
                && !made_for.os.is_empty()
                && shelf.platform.distance(made_for).is_none()
            {
                others.push(shortened(&made_for.to_string()));
                return Ok(None);
            }
            Ok(Some(image))
        }
        Document::Index(_) if depth == 0 => {
            Err(ArchiveError::TooMuch { what: "indexes within each other", limit: INDEX_DEPTH_MAX as u64 })
        }
        Document::Index(index) => {
            let serving = index.serving(shelf.platform);
            // An archive may have one platform's blobs only; the best that is there serves.
            let there =
                serving.iter().find(|entry| shelf.blobs.has(&entry.digest, entry.size)).or(serving.first());
            let Some(chosen) = there else {
                others.push(index.offers());
                return Ok(None);
            };
            let image = of_entry(chosen, shelf, depth - 1, others)?;
            Ok(image.map(|image| Image { index_digest: Some(entry.digest.clone()), ..image }))
        }
    }
}

/// The image of a manifest; its config is read and its layers are looked for.
fn of_manifest(
    manifest: Manifest,
    manifest_digest: Digest,
    shelf: &Shelf<'_>,
) -> Result<Image, ArchiveError> {
    let what = || format!("config {}", manifest.config.digest);
    let unusable = |source| ArchiveError::Manifest { what: what(), source };
    let bytes = shelf.content(&manifest.config, CONFIG_BYTES_MAX, what())?;
    let config = ImageConfig::read(&bytes).map_err(unusable)?;
    let (diff_ids, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
    if diff_ids != layers {
        return Err(unusable(ManifestError::LayerCount { diff_ids, layers }));
    }
    if let Some(layer) = manifest.layers.iter().find(|layer| !shelf.blobs.has(&layer.digest, layer.size)) {
        return Err(ArchiveError::Missing { what: format!("layer {}", layer.digest) });
    }
    Ok(Image { references: Vec::new(), index_digest: None, manifest_digest, manifest, config })
}

/// The bytes of a small blob.
pub(super) fn content(
    blobs: &BlobDirectory,
    blob: &Descriptor,
    limit: u64,
    what: String,
) -> Result<Vec<u8>, ArchiveError> {
    if blob.size > limit {
        return Err(ArchiveError::Manifest { what, source: ManifestError::TooLarge { limit } });
    }
    let path = blobs.path(&blob.digest);
    let file = match File::open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(ArchiveError::Missing { what }),
        Err(error) => return Err(BlobError::file("read", &path)(error).into()),
    };
    let mut bytes = Vec::new();
    file.take(blob.size + 1).read_to_end(&mut bytes).map_err(BlobError::file("read", &path))?;
    if bytes.len() as u64 != blob.size {
        return Err(ArchiveError::Missing { what: format!("{what} of {} bytes", blob.size) });
    }
    Ok(bytes)
}

/// An image of `docker save`; the manifest it does not have is made from what is there.
fn from_docker(
    listed: &Listed,
    contents: &Contents,
    shelf: &Shelf<'_>,
    made: &mut Vec<(Digest, Vec<u8>)>,
) -> Result<Image, ArchiveError> {
    let missing = |name: &str| ArchiveError::Missing { what: format!("file {:?}", shortened(name)) };
    let place = contents.followed(&listed.config).ok_or_else(|| missing(&listed.config))?;
    let config_bytes = match contents.small.get(&place) {
        Some(bytes) => {
            shelf.spend(bytes.len() as u64)?;
            bytes.clone()
        }
        None => {
            let digest = digest_of(&place).ok_or_else(|| missing(&listed.config))?;
            let size = shelf.blobs.size(&digest).ok_or_else(|| missing(&listed.config))?;
            shelf.content(
                &Descriptor::new(media::OCI_CONFIG, digest, size),
                CONFIG_BYTES_MAX,
                place.clone(),
            )?
        }
    };
    let unusable =
        |source| ArchiveError::Manifest { what: format!("config {:?}", shortened(&place)), source };
    let config = ImageConfig::read(&config_bytes).map_err(unusable)?;
    let names = listed.layers.as_deref().unwrap_or_default();
    let (diff_ids, layers) = (config.rootfs.diff_ids.len(), names.len());
    if layers > LAYERS_MAX {
        return Err(unusable(ManifestError::TooMany { what: "layers", found: layers, limit: LAYERS_MAX }));
    }
    if diff_ids != layers {
        return Err(unusable(ManifestError::LayerCount { diff_ids, layers }));
    }
    let mut descriptors = Vec::new();
    for (index, (name, diff_id)) in names.iter().zip(&config.rootfs.diff_ids).enumerate() {
        descriptors.push(layer(index, name, diff_id, contents, shelf.blobs)?);
    }
    let config_digest = Digest::of(&config_bytes);
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(media::OCI_MANIFEST.to_owned()),
        artifact_type: None,
        config: Descriptor::new(media::OCI_CONFIG, config_digest.clone(), config_bytes.len() as u64),
        layers: descriptors,
        annotations: BTreeMap::new(),
    };
    let bytes = serde_json::to_vec(&manifest)
        .map_err(|source| ArchiveError::List { name: "manifest.json", source })?;
    let manifest_digest = Digest::of(&bytes);
    made.extend([(config_digest, config_bytes), (manifest_digest.clone(), bytes)]);
    let tags = listed.repo_tags.iter().flatten();
    let references = tags.map(|tag| named(tag)).collect::<Result<_, _>>()?;
    Ok(Image { references, index_digest: None, manifest_digest, manifest, config })
}

fn layer(
    index: usize,
    name: &str,
    diff_id: &Digest,
    contents: &Contents,
    blobs: &BlobDirectory,
) -> Result<Descriptor, ArchiveError> {
    let missing = || ArchiveError::Missing { what: format!("layer {:?}", shortened(name)) };
    let place = contents.followed(name).ok_or_else(missing)?;
    let digest = contents.loose.get(&place).cloned().or_else(|| digest_of(&place)).ok_or_else(missing)?;
    let size = blobs.size(&digest).ok_or_else(missing)?;
    let mut start = Vec::new();
    let path = blobs.path(&digest);
    let read = File::open(&path).and_then(|file| file.take(TELLING_BYTES as u64).read_to_end(&mut start));
    read.map_err(BlobError::file("read", &path))?;
    let compression = Compression::of(&start);
    let media_type = match compression {
        Compression::Gzip => media::OCI_LAYER_GZIP,
        Compression::Zstd => media::OCI_LAYER_ZSTD,
        // There is no name for the others.
        Compression::None | Compression::Xz | Compression::Bzip2 => media::OCI_LAYER,
    };
    // What is compressed is checked when it is unpacked.
    if compression == Compression::None && digest != *diff_id {
        return Err(ArchiveError::Layer { index, expected: diff_id.clone(), found: digest });
    }
    Ok(Descriptor::new(media_type, digest, size))
}

/// The digest in a path of `blobs/`.
fn digest_of(place: &str) -> Option<Digest> {
    let (algorithm, hex) = place.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}
