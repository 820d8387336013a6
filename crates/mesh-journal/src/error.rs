//! What can go wrong with a journal.

use std::{io, path::PathBuf};

/// Why a journal could not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The directory could not be made.
    #[error("could not make the journal directory {}", path.display())]
    MakeDirectory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The directory could not be listed.
    #[error("could not list the journal directory {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment could not be opened.
    #[error("could not open the journal segment {}", path.display())]
    Open {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment could not be read.
    #[error("could not read the journal segment {}", path.display())]
    Read {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A record could not be appended; the segment was cut back to its last whole record.
    #[error("could not write to the journal segment {}", path.display())]
    Write {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A segment past the bound could not be removed.
    #[error("could not remove the old journal segment {}", path.display())]
    Remove {
        /// The segment.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}
