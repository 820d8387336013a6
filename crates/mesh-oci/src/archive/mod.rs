//! Archives of images: what `docker save` writes, and OCI layouts in a tar file.
//!
//! [`read`] takes either, plain or compressed by gzip, zstd or xz, in one pass from a stream, into a directory of
//! blobs. No name in an archive becomes a path: files become blobs by their digest, links are followed among
//! the archive's own names. What was read of an archive that turns out to be none is removed again.
//!
//! [`write`] makes an OCI layout, or one that `docker load` of any age takes too (the same with a
//! `manifest.json`). Blobs go in as they came, so that digests stay what they were.

mod catalog;
mod entries;
mod read;
mod write;

#[cfg(test)]
mod tests;

pub use read::{Image, Limits, read};
pub use write::{Form, Saved, write};

use crate::{blobs::BlobError, digest::Digest, manifest::ManifestError};
use std::io;

/// Why an archive could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream failed, or is no tar file.
    #[error("could not read the archive")]
    Stream(#[source] io::Error),
    /// Nothing at all came.
    #[error("the archive is empty: not one byte was read")]
    Empty,
    /// A folder where a file should be.
    #[error(
        "this is a folder, not an archive; an OCI layout is loaded as a tar file: tar -C FOLDER -cf - . | mesh load"
    )]
    Folder,
    /// The stream is something else.
    #[error("this is no tar file, plain or compressed by gzip, zstd or xz")]
    NoTar,
    /// A compression that is not undone here.
    #[error("the archive is compressed by {kind}, which is not taken; {tool} undoes it")]
    Compression {
        /// Its name.
        kind: &'static str,
        /// The program for it.
        tool: &'static str,
    },
    /// The stream ends too early.
    #[error("the archive is cut off: it ends after {bytes} bytes, in the middle of its content")]
    CutOff {
        /// Bytes that were read of it, as it came.
        bytes: u64,
    },
    /// Something in it cannot be understood.
    #[error("{name:?} in the archive {reason}")]
    Entry {
        /// The entry's name, shortened.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// It has more than is taken.
    #[error("the archive has more than {limit} {what}")]
    TooMuch {
        /// `bytes`, `entries`, `images`.
        what: &'static str,
        /// The most that is taken.
        limit: u64,
    },
    /// Neither of the known forms.
    #[error("the archive has neither a manifest.json (docker save) nor an index.json (OCI layout)")]
    NoImages,
    /// A list of images that cannot be read.
    #[error("{name} in the archive cannot be read")]
    List {
        /// `manifest.json` or `index.json`.
        name: &'static str,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A name of an image that is none.
    #[error("the archive names an image {name:?}")]
    Name {
        /// The name, shortened.
        name: String,
        /// What is wrong with it.
        #[source]
        source: crate::reference::ReferenceError,
    },
    /// An image needs something that is not there.
    #[error("{what} is not in the archive")]
    Missing {
        /// A file or a blob.
        what: String,
    },
    /// A manifest or a config that cannot be used.
    #[error("{what} in the archive cannot be used")]
    Manifest {
        /// Which.
        what: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// A layer whose content is not what the config says.
    #[error("layer {index} in the archive has the digest {found}, its image's config says {expected}")]
    Layer {
        /// Which, from 0.
        index: usize,
        /// What the config says.
        expected: Digest,
        /// What it has.
        found: Digest,
    },
    /// None of its images is for the platform.
    #[error("no image of the archive is for {platform}; it has {offers}")]
    NoPlatform {
        /// The platform asked for.
        platform: String,
        /// What there is.
        offers: String,
    },
    /// A blob could not be kept or read.
    #[error("could not keep the archive's content")]
    Blob(#[from] BlobError),
    /// The archive could not be written.
    #[error("could not write the archive")]
    Write(#[source] io::Error),
}
