//! Why a layer of an image cannot be unpacked.

use std::{io, path::PathBuf};

/// A failure to unpack one layer.
#[derive(Debug, thiserror::Error)]
pub enum LayerError {
    /// Reading or decompressing failed.
    #[error("could not read its archive")]
    Read(#[source] io::Error),
    /// The archive ends where it should go on.
    #[error("its archive is cut off")]
    CutOff,
    /// The archive is none, or is broken.
    #[error("its archive is broken: {why}")]
    Broken {
        /// What was found.
        why: &'static str,
    },
    /// A compression that is not known.
    #[error("it is compressed as {kind}, which is not supported; gzip, zstd and xz are")]
    Compression {
        /// Name of the compression.
        kind: &'static str,
    },
    /// More entries than a layer may have.
    #[error("it has more than {limit} entries")]
    TooManyEntries {
        /// The limit.
        limit: u64,
    },
    /// More bytes than a layer may have.
    #[error("it expands past {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// So few bytes that give so many are made to fill a disk.
    #[error("{compressed} bytes of it expand past {expanded}, which no layer of good will does")]
    Bomb {
        /// Compressed bytes read.
        compressed: u64,
        /// Bytes they gave.
        expanded: u64,
    },
    /// A path or a link's target that no file system takes.
    #[error("an entry has a {what} of {bytes} bytes, or with a NUL in it")]
    BadPath {
        /// `path` or `link`.
        what: &'static str,
        /// Its length.
        bytes: usize,
    },
    /// Too many or too large extended attributes.
    #[error("an entry has more than {most} extended attributes, or one of more than {bytes_max} bytes")]
    Attributes {
        /// Most attributes.
        most: usize,
        /// Most bytes of one.
        bytes_max: usize,
    },
    /// A path that would leave the layer.
    #[error("entry {path:?} would leave the layer")]
    Escape {
        /// Path in the archive.
        path: String,
    },
    /// Directories below each other without end.
    #[error("entry {path:?} lies more than {limit} directories deep")]
    TooDeep {
        /// Path in the archive, its beginning.
        path: String,
        /// The limit.
        limit: usize,
    },
    /// Below something that is no directory.
    #[error("entry {path:?} lies below something that is no directory")]
    NoDirectory {
        /// Path in the archive.
        path: String,
    },
    /// Behind links that lead in circles.
    #[error("entry {path:?} lies behind too many links")]
    LinkDepth {
        /// Path in the archive.
        path: String,
    },
    /// A hard link to what the layer does not have.
    #[error("entry {path:?} is a hard link to {target:?}, which is no file of its layer")]
    NoTarget {
        /// Path in the archive.
        path: String,
        /// What it links to.
        target: String,
    },
    /// An owner that cannot be had here.
    #[error("entry {path:?} belongs to {uid}:{gid}, which this user's range of ids does not reach")]
    Owner {
        /// Path in the archive.
        path: String,
        /// User id.
        uid: u64,
        /// Group id.
        gid: u64,
    },
    /// Deletions cannot be marked on this file system.
    #[error("could not mark {path:?} as deleted: the file system of the store does not take it")]
    Whiteout {
        /// Path in the archive.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The content is another one than the image says.
    #[error("it unpacks to {found}, and its image says {expected}")]
    Content {
        /// Digest the image says.
        expected: String,
        /// Digest of what came out.
        found: String,
    },
    /// The caller stopped waiting.
    #[error("unpacking was cancelled")]
    Cancelled,
    /// Writing failed.
    #[error("could not write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
