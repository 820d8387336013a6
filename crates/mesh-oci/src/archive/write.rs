//! Images of a directory of blobs into one tar file.

use super::{ArchiveError, catalog::content};
use crate::{
    blobs::{BlobDirectory, BlobError},
    config::{CONFIG_BYTES_MAX, ImageConfig},
    digest::{Digest, Hasher},
    manifest::{Descriptor, Document, Index, MANIFEST_BYTES_MAX, Manifest, ManifestError},
    media,
    reference::Reference,
};
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::{self, Read, Write},
};
use tar::{Builder, EntryType, Header};

/// The form of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// What `docker load` takes, of any age; it is an OCI layout too.
    #[default]
    Docker,
    /// An OCI layout alone.
    Oci,
}

/// An image to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Saved {
    /// The names it is to have.
    pub references: Vec<Reference>,
    /// Its manifest; it, the config and the layers are in the directory of blobs.
    pub manifest_digest: Digest,
}

/// One image in `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    config: String,
    repo_tags: Vec<String>,
    layers: Vec<String>,
}

/// Writes images into an archive. The same images give the same bytes.
///
/// # Errors
/// When a blob is missing, or the archive cannot be written.
pub fn write(
    out: &mut dyn Write,
    images: &[Saved],
    blobs: &BlobDirectory,
    form: Form,
) -> Result<(), ArchiveError> {
    let mut archive = Tape { builder: Builder::new(out), written: BTreeSet::new() };
    let mut index = Index {
        schema_version: 2,
        media_type: Some(media::OCI_INDEX.to_owned()),
        manifests: Vec::new(),
        annotations: BTreeMap::new(),
    };
    let mut docker = Vec::new();
    archive.file("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    for image in images {
        let (descriptor, manifest) = manifest_of(image, blobs)?;
        for blob in [&descriptor, &manifest.config].into_iter().chain(&manifest.layers) {
            archive.blob(blob, blobs)?;
        }
        docker.push(Listed {
            config: place(&manifest.config.digest),
            repo_tags: image.references.iter().map(Reference::familiar).collect(),
            layers: manifest.layers.iter().map(|layer| place(&layer.digest)).collect(),
        });
        index.manifests.extend(entries(image, &descriptor));
    }
    archive.json("index.json", &index)?;
    if form == Form::Docker {
        archive.json("manifest.json", &docker)?;
    }
    archive.builder.finish().map_err(ArchiveError::Write)?;
    archive.builder.get_mut().flush().map_err(ArchiveError::Write)
}

/// An image's manifest and what names it.
fn manifest_of(image: &Saved, blobs: &BlobDirectory) -> Result<(Descriptor, Manifest), ArchiveError> {
    let digest = &image.manifest_digest;
    let what = format!("manifest {digest}");
    let size = blobs.size(digest).ok_or_else(|| ArchiveError::Missing { what: what.clone() })?;
    let mut descriptor = Descriptor::new(media::OCI_MANIFEST, digest.clone(), size);
    let bytes = content(blobs, &descriptor, MANIFEST_BYTES_MAX, what.clone())?;
    let unusable = |source| ArchiveError::Manifest { what: what.clone(), source };
    let manifest = match Document::read(&bytes, None).map_err(unusable)? {
        Document::Manifest(manifest) => *manifest,
        Document::Index(index) => {
            let media_type = index.media_type.unwrap_or_else(|| media::OCI_INDEX.to_owned());
            return Err(unusable(ManifestError::Kind { media_type }));
        }
    };
    descriptor.media_type = manifest.media_type().to_owned();
    let bytes =
        content(blobs, &manifest.config, CONFIG_BYTES_MAX, format!("config {}", manifest.config.digest))?;
    let config = ImageConfig::read(&bytes).map_err(unusable)?;
    descriptor.platform = Some(config.platform).filter(|platform| !platform.os.is_empty());
    Ok((descriptor, manifest))
}

/// One entry for each name, or one without.
fn entries(image: &Saved, descriptor: &Descriptor) -> Vec<Descriptor> {
    if image.references.is_empty() {
        return vec![descriptor.clone()];
    }
    let each = |reference: &Reference| {
        let mut entry = descriptor.clone();
        let full = format!("{}:{}", reference.full_name(), reference.tag_or_latest());
        entry.annotations.insert("io.containerd.image.name".to_owned(), full);
        let tag = reference.tag_or_latest().to_owned();
        entry.annotations.insert("org.opencontainers.image.ref.name".to_owned(), tag);
        entry
    };
    image.references.iter().map(each).collect()
}

fn place(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm().name(), digest.hex())
}

/// The tar file on its way out.
struct Tape<'a> {
    builder: Builder<&'a mut dyn Write>,
    written: BTreeSet<Digest>,
}

impl Tape<'_> {
    fn file(&mut self, name: &str, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.add(name, bytes.len() as u64, &mut &bytes[..])
    }

    fn json(&mut self, name: &'static str, value: &impl Serialize) -> Result<(), ArchiveError> {
        let bytes = serde_json::to_vec(value).map_err(|source| ArchiveError::List { name, source })?;
        self.file(name, &bytes)
    }

    fn blob(&mut self, blob: &Descriptor, blobs: &BlobDirectory) -> Result<(), ArchiveError> {
        if !self.written.insert(blob.digest.clone()) {
            return Ok(());
        }
        if !blobs.has(&blob.digest, blob.size) {
            return Err(ArchiveError::Missing { what: format!("blob {}", blob.digest) });
        }
        let path = blobs.path(&blob.digest);
        let file = File::open(&path).map_err(BlobError::file("read", &path))?;
        let mut file = Hashed { file, hasher: blob.digest.hasher() };
        self.add(&place(&blob.digest), blob.size, &mut file)?;
        let found = file.hasher.finish();
        if found == blob.digest {
            return Ok(());
        }
        Err(ArchiveError::Missing {
            what: format!("blob {} (what is stored has the digest {found})", blob.digest),
        })
    }

    fn add(&mut self, name: &str, size: u64, content: &mut dyn Read) -> Result<(), ArchiveError> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(size);
        self.builder.append_data(&mut header, name, content).map_err(ArchiveError::Write)
    }
}

/// A file on its way out, hashed: a disk may have changed it since it was checked.
struct Hashed {
    file: File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
