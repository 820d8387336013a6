//! A directory of blobs by digest, as an OCI layout has it: `sha256/<hex>`.
//!
//! Invariants: a blob that is in place has its digest (it is verified beside its place and renamed into
//! it); two processes never write the same partial file (it is locked while one does).

use crate::digest::{Digest, Hasher};
use rustix::fs::FlockOperation;
use std::{
    fs, io,
    io::{Read, Write as _},
    path::{Path, PathBuf},
};
use tempfile::NamedTempFile;

/// A directory of blobs.
#[derive(Debug, Clone)]
pub struct BlobDirectory {
    root: PathBuf,
}

/// Why a blob could not be put into its place.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// A file or folder could not be read or written.
    #[error("could not {verb} {}", path.display())]
    File {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The content is not what its name says.
    #[error("content of {expected} has the digest {found}")]
    Digest {
        /// What it should have.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
}

impl BlobError {
    pub(crate) fn file(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { verb, path, source }
    }
}

/// Bytes read at once.
const BUFFER_BYTES: usize = 64 << 10;

impl BlobDirectory {
    /// The directory that holds `sha256/…`; made when it is first written to.
    #[must_use]
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a blob is, or will be.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.algorithm().name()).join(digest.hex())
    }

    /// Where what has come of a blob is kept until it is whole.
    #[must_use]
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.root.join(digest.algorithm().name()).join(format!("{}.partial", digest.hex()))
    }

    /// Whether a blob is there, with this size.
    #[must_use]
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
    }

    /// Makes the folder a blob of this digest lies in.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn make(&self, digest: &Digest) -> Result<(), BlobError> {
        let folder = self.root.join(digest.algorithm().name());
        fs::create_dir_all(&folder).map_err(BlobError::file("make", &folder))
    }

    /// Writes a small blob; what is there with the right content stays.
    ///
    /// # Errors
    /// When the bytes have another digest, or cannot be written.
    pub fn write(&self, digest: &Digest, bytes: &[u8]) -> Result<PathBuf, BlobError> {
        let mut incoming = self.incoming()?;
        incoming.take(bytes)?;
        self.checked(incoming, Some(digest))?.keep().map(|(_, path, _)| path)
    }

    /// Copies a stream in as a blob of whatever digest it has, or of the one that is expected.
    /// Gives its digest, place and size.
    ///
    /// # Errors
    /// When the stream or the file fails, or the digest is another than the expected one.
    pub fn take(
        &self,
        reader: &mut dyn Read,
        expected: Option<&Digest>,
    ) -> Result<(Digest, PathBuf, u64), BlobError> {
        self.receive(reader, expected)?.keep()
    }

    /// The size of a blob that is there.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        let metadata = fs::metadata(self.path(digest)).ok()?;
        metadata.is_file().then_some(metadata.len())
    }

    /// Copies a stream in, and checks it; it has no name yet.
    pub(crate) fn receive(
        &self,
        reader: &mut dyn Read,
        expected: Option<&Digest>,
    ) -> Result<Received<'_>, BlobError> {
        let mut incoming = match expected {
            Some(digest) => self.incoming_for(digest.hasher())?,
            None => self.incoming()?,
        };
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(BlobError::file("read into", incoming.file.path())(error)),
            };
            incoming.take(&buffer[..count])?;
        }
        self.checked(incoming, expected)
    }

    fn incoming(&self) -> Result<Incoming, BlobError> {
        self.incoming_for(Hasher::new(crate::digest::Algorithm::Sha256))
    }

    fn incoming_for(&self, hasher: Hasher) -> Result<Incoming, BlobError> {
        fs::create_dir_all(&self.root).map_err(BlobError::file("make", &self.root))?;
        let file = NamedTempFile::with_prefix_in(".incoming-", &self.root)
            .map_err(BlobError::file("write into", &self.root))?;
        Ok(Incoming { file, hasher, bytes: 0 })
    }

    fn checked(&self, incoming: Incoming, expected: Option<&Digest>) -> Result<Received<'_>, BlobError> {
        let Incoming { file, hasher, bytes } = incoming;
        let found = hasher.finish();
        match expected {
            Some(expected) if *expected != found => {
                Err(BlobError::Digest { expected: expected.clone(), found })
            }
            _ => Ok(Received { blobs: self, file, digest: found, bytes }),
        }
    }
}

/// A blob that is whole and has no name yet.
pub(crate) struct Received<'a> {
    blobs: &'a BlobDirectory,
    file: NamedTempFile,
    digest: Digest,
    bytes: u64,
}

impl Received<'_> {
    /// Its digest.
    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Gives it its name.
    pub(crate) fn keep(self) -> Result<(Digest, PathBuf, u64), BlobError> {
        let Self { blobs, file, digest, bytes } = self;
        blobs.make(&digest)?;
        let path = blobs.path(&digest);
        file.as_file().sync_data().map_err(BlobError::file("write", file.path()))?;
        file.persist(&path).map_err(|error| BlobError::file("write", &path)(error.error))?;
        Ok((digest, path, bytes))
    }
}

/// A blob on its way in.
struct Incoming {
    file: NamedTempFile,
    hasher: Hasher,
    bytes: u64,
}

impl Incoming {
    fn take(&mut self, bytes: &[u8]) -> Result<(), BlobError> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(BlobError::file("write", self.file.path()))
    }
}

/// Opens a partial file and keeps every other process from it until it is closed; `None` while another
/// has it.
pub(crate) fn open_partial(path: &Path) -> Result<Option<fs::File>, BlobError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(BlobError::file("make", folder))?;
    }
    let file = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(BlobError::file("write", path))?;
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        // Who had it may have finished and renamed it: then this is no longer the file of that name.
        Ok(()) => Ok(same_file(&file, path).then_some(file)),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(None),
        Err(error) => Err(BlobError::file("lock", path)(error.into())),
    }
}

fn same_file(file: &fs::File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_lies_under_its_digest() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = BlobDirectory::new(folder.path().join("blobs"));
        let digest = Digest::of(b"content");
        assert!(!blobs.has(&digest, 7));
        let path = blobs.write(&digest, b"content").unwrap();
        assert!(blobs.has(&digest, 7) && !blobs.has(&digest, 8));
        assert_eq!(path, folder.path().join("blobs/sha256").join(digest.hex()));
        let (found, _, bytes) = blobs.take(&mut &b"content"[..], None).unwrap();
        assert_eq!((found, bytes), (digest.clone(), 7));
        let error = blobs.write(&digest, b"other").unwrap_err();
        assert!(matches!(error, BlobError::Digest { .. }));
        assert_eq!(fs::read_dir(blobs.root()).unwrap().count(), 1, "nothing half-written is left");
    }
}
