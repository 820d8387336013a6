//! One pass over an archive: files become blobs, lists and links are kept in memory, then images are made.

use super::{
    ArchiveError,
    catalog::{self, Contents},
    entries::{self, Kind},
};
use crate::{
    blobs::{BlobDirectory, BlobError},
    compression,
    config::ImageConfig,
    digest::Digest,
    manifest::{Manifest, Platform, shortened},
    reference::Reference,
};
use std::{
    cell::Cell,
    collections::BTreeSet,
    fs,
    io::{self, BufRead, BufReader, Read},
};

/// What is taken of an archive at most.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of all its files together, uncompressed.
    pub bytes_max: u64,
    /// Entries of the tar file.
    pub entries_max: u64,
    /// Images.
    pub images_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { bytes_max: 256 << 30, entries_max: 100_000, images_max: 1000 }
    }
}

/// Largest file that is kept in memory, in bytes.
const SMALL_BYTES_MAX: u64 = 8 << 20;
/// Most bytes kept in memory for all files.
const SMALL_BYTES_IN_ALL_MAX: u64 = 64 << 20;

/// An image of an archive; its blobs are in the directory, manifest and config among them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// The names it has in the archive; none is possible.
    pub references: Vec<Reference>,
    /// Digest of the index it was chosen from, where there is one.
    pub index_digest: Option<Digest>,
    /// Digest of its manifest. For archives of `docker save` before version 25 the manifest is made here.
    pub manifest_digest: Digest,
    /// Its manifest.
    pub manifest: Manifest,
    /// Its config.
    pub config: ImageConfig,
}

/// Reads an archive into a directory of blobs and gives the images of it that are for a platform. Layers
/// that the directory already has need not be in the archive.
///
/// # Errors
/// When it is no archive of images, something of it is missing, is not what its digest says, is more than the
/// limits allow, or nothing in it is for the platform. What was read of it is removed then.
pub fn read(
    reader: &mut dyn Read,
    blobs: &BlobDirectory,
    platform: &Platform,
    limits: &Limits,
) -> Result<Vec<Image>, ArchiveError> {
    let source = &Source::default();
    let mut stream = decompressed(Watched { reader, source })?;
    let mut reader = Metered { inner: Streamed(&mut *stream), left: limits.bytes_max };
    let mut taken = Taken { blobs, fresh: BTreeSet::new() };
    let mut contents = Contents::default();
    let outcome = entries::each(&mut reader, limits.entries_max, &mut |name, kind, content| {
        take(name, kind, content, &mut contents, &mut taken)
    });
    match outcome {
        Err(_) if reader.left == 0 => {
            return Err(ArchiveError::TooMuch { what: "bytes", limit: limits.bytes_max });
        }
        Err(ArchiveError::NoTar) => return Err(ArchiveError::NoTar),
        Err(_) if source.ended.get() => return Err(source.cut_off()),
        outcome => outcome?,
    }
    let mut made = Vec::new();
    let images = catalog::images(&contents, blobs, platform, limits, &mut made);
    let images = images.map_err(|error| match error {
        // An archive says where it ends: one that was read past that was cut off between two of its files.
        ArchiveError::NoImages | ArchiveError::Missing { .. } if source.ended.get() => source.cut_off(),
        error => error,
    })?;
    for (digest, bytes) in &made {
        blobs.write(digest, bytes)?;
    }
    taken.keep(&images);
    Ok(images)
}

/// What is known of the stream as it comes.
#[derive(Default)]
struct Source {
    bytes: Cell<u64>,
    ended: Cell<bool>,
}

impl Source {
    fn cut_off(&self) -> ArchiveError {
        ArchiveError::CutOff { bytes: self.bytes.get() }
    }
}

/// The stream as it comes.
struct Watched<'a> {
    reader: &'a mut dyn Read,
    source: &'a Source,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.source.bytes.set(self.source.bytes.get() + count as u64);
        self.source.ended.set(count == 0 && !buffer.is_empty());
        Ok(count)
    }
}

/// Undoes a compression of the whole, if there is one.
fn decompressed<'a>(stream: Watched<'a>) -> Result<Box<dyn Read + 'a>, ArchiveError> {
    let mut reader = BufReader::with_capacity(64 << 10, stream);
    let start = reader.fill_buf().map_err(|error| match error.kind() {
        io::ErrorKind::IsADirectory => ArchiveError::Folder,
        _ => ArchiveError::Stream(error),
    })?;
    if start.is_empty() {
        return Err(ArchiveError::Empty);
    }
    let stream = compression::undone(reader).map_err(ArchiveError::Stream)?;
    stream.ok_or(ArchiveError::Compression { kind: "bzip2", tool: "bunzip2" })
}

fn take(
    name: &str,
    kind: Kind,
    content: &mut dyn Read,
    contents: &mut Contents,
    taken: &mut Taken<'_>,
) -> Result<(), ArchiveError> {
    let Some(name) = catalog::plain(name) else {
        // A name that leads out of the archive is nothing that its lists can mean.
        return Ok(());
    };
    match kind {
        Kind::Link { target, symbolic } => contents.link(&name, &target, symbolic),
        Kind::File if is_list(&name) => {
            let bytes = small(&name, content)?;
            contents.small_bytes += bytes.len() as u64;
            if contents.small_bytes > SMALL_BYTES_IN_ALL_MAX {
                return Err(ArchiveError::TooMuch { what: "bytes of lists", limit: SMALL_BYTES_IN_ALL_MAX });
            }
            contents.small.insert(name, bytes);
        }
        Kind::File => match blob_name(&name) {
            Some(digest) => {
                taken.take(content, Some(&digest))?;
            }
            None if is_layer(&name) => {
                let digest = taken.take(content, None)?;
                contents.loose.insert(name, digest);
            }
            // `VERSION`, `json` and `repositories` of old archives say nothing that `manifest.json` does not.
            None => {}
        },
    }
    Ok(())
}

fn is_list(name: &str) -> bool {
    name.ends_with(".json") || name == "oci-layout"
}

fn is_layer(name: &str) -> bool {
    [".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.xz", ".txz"].iter().any(|end| name.ends_with(end))
}

/// The digest that a path of an OCI layout names.
fn blob_name(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    Digest::parse(&format!("{algorithm}:{hex}")).ok()
}

fn small(name: &str, content: &mut dyn Read) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    content.take(SMALL_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ArchiveError::Stream)?;
    if bytes.len() as u64 > SMALL_BYTES_MAX {
        return Err(ArchiveError::Entry { name: shortened(name), reason: "is too large for a list" });
    }
    Ok(bytes)
}

/// Blobs that this archive brought; they go again unless they are kept.
struct Taken<'a> {
    blobs: &'a BlobDirectory,
    fresh: BTreeSet<Digest>,
}

impl Taken<'_> {
    fn take(&mut self, content: &mut dyn Read, expected: Option<&Digest>) -> Result<Digest, ArchiveError> {
        let known = |digest: &Digest| self.blobs.path(digest).exists();
        let there = expected.is_some_and(known);
        let mut content = Streamed(content);
        let incoming = self.blobs.receive(&mut content, expected).map_err(from_stream)?;
        let fresh = !there && !known(incoming.digest());
        let digest = incoming.keep()?.0;
        if fresh {
            self.fresh.insert(digest.clone());
        }
        Ok(digest)
    }

    /// What the images need stays, the rest goes.
    fn keep(mut self, images: &[Image]) {
        for image in images {
            self.fresh.remove(&image.manifest_digest);
            self.fresh.remove(&image.manifest.config.digest);
            if let Some(index) = &image.index_digest {
                self.fresh.remove(index);
            }
            for layer in &image.manifest.layers {
                self.fresh.remove(&layer.digest);
            }
        }
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        for digest in &self.fresh {
            // Left behind it would cost room, and `prune` takes it then.
            let _ = fs::remove_file(self.blobs.path(digest));
        }
    }
}

/// Marks errors of the archive's stream, so that they are not taken for those of the disk.
struct Streamed<'a>(&'a mut dyn Read);

/// An error of the archive's stream.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub(super) struct StreamFault(io::Error);

impl Read for Streamed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer).map_err(|error| match error.kind() {
            io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, StreamFault(error)),
        })
    }
}

fn from_stream(error: BlobError) -> ArchiveError {
    match error {
        BlobError::File { source, .. } if source.get_ref().is_some_and(|inner| inner.is::<StreamFault>()) => {
            ArchiveError::Stream(source)
        }
        other => ArchiveError::Blob(other),
    }
}

/// A reader that gives no more than it may.
struct Metered<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::Error::other("it is larger than it may be"));
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.inner.read(&mut buffer[..most])?;
        self.left -= count as u64;
        Ok(count)
    }
}
