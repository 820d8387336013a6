//! What can go wrong between a reference and its layers.

use crate::{recipe::RecipeError, reference::ReferenceError};
use std::{
    io,
    path::{Path, PathBuf},
};

/// A failure to resolve, list or remove an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The text is no image reference.
    #[error("not an image reference")]
    Reference(#[from] ReferenceError),
    /// A recipe asks for something that cannot be done.
    #[error("recipe {recipe} cannot be used")]
    Recipe {
        /// Its first name.
        recipe: String,
        /// Why.
        #[source]
        source: RecipeError,
    },
    /// No source can serve the image.
    #[error("image {reference} has no source: {tried}")]
    NoSource {
        /// Reference as the file has it.
        reference: String,
        /// What was tried, and why each did not serve.
        tried: String,
        /// What to do.
        hint: String,
    },
    /// It may not be fetched, and is not stored.
    #[error("image {reference} is not stored, and its pull policy is never")]
    NotStored {
        /// Reference as the file has it.
        reference: String,
    },
    /// A program of the distribution's package tools is not there.
    #[error("could not run {program}: this needs the package tools of a Debian-family machine (apt)")]
    NoApt {
        /// The program.
        program: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Not a Debian-family machine, or one whose release is not named.
    #[error("could not tell the distribution's release: {} has no VERSION_CODENAME", path.display())]
    NoCodename {
        /// The file asked.
        path: PathBuf,
    },
    /// The machine has no package source for its own release.
    #[error("no package source of this machine belongs to its release {codename}")]
    NoPackageSource {
        /// Release (`bookworm`).
        codename: String,
    },
    /// Package lists could not be had, and none are stored.
    #[error("package lists could not be fetched, and none are stored: {detail}")]
    NoLists {
        /// What apt said, on one line.
        detail: String,
    },
    /// None of a recipe's alternatives is in the package lists.
    #[error("{reference} needs one of {wanted}, and the package lists of {codename} have none of them")]
    NoPackage {
        /// Reference as the file has it.
        reference: String,
        /// Names, with `|` between them.
        wanted: String,
        /// Release.
        codename: String,
    },
    /// apt found no set of packages.
    #[error("apt found no set of packages for {reference}: {detail}")]
    Closure {
        /// Reference as the file has it.
        reference: String,
        /// What apt said, on one line.
        detail: String,
    },
    /// A package is in the lists but no longer on the mirror, even after a refresh.
    #[error("a package that {reference} needs is gone from the mirror: {detail}")]
    Vanished {
        /// Reference as the file has it.
        reference: String,
        /// What apt said, on one line.
        detail: String,
    },
    /// Packages could not be downloaded.
    #[error("could not download the packages of {reference}: {detail}")]
    Download {
        /// Reference as the file has it.
        reference: String,
        /// What apt said, on one line.
        detail: String,
    },
    /// A program of the package tools took longer than it may.
    #[error("{program} made no progress for {seconds} s and was ended")]
    Stalled {
        /// The program.
        program: &'static str,
        /// Time waited.
        seconds: u64,
    },
    /// A package could not be unpacked.
    #[error("could not unpack {package}")]
    Unpack {
        /// Name of the package.
        package: String,
        /// Why.
        #[source]
        source: UnpackError,
    },
    /// The disk is full.
    #[error("no space left on the device that holds {}", path.display())]
    DiskFull {
        /// What was being written.
        path: PathBuf,
    },
    /// A file or directory of the store.
    #[error("could not {action} {}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The caller stopped waiting.
    #[error("fetching {reference} was cancelled")]
    Cancelled {
        /// Reference as the file has it.
        reference: String,
    },
    /// A blocking task ended without an answer.
    #[error("fetching {reference} ended without an answer")]
    Task {
        /// Reference as the file has it.
        reference: String,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// A failure to unpack one package.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive is broken.
    #[error("could not read its archive")]
    Read(#[source] io::Error),
    /// `dpkg-deb` said no.
    #[error("dpkg-deb failed: {detail}")]
    Archive {
        /// What it said, on one line.
        detail: String,
    },
    /// A path that would leave the layer.
    #[error("entry {path:?} would leave the layer")]
    Escape {
        /// Path in the archive.
        path: String,
    },
    /// Devices have no place in a layer.
    #[error("entry {path:?} is a device")]
    Device {
        /// Path in the archive.
        path: String,
    },
    /// A link within the layer that leads in circles.
    #[error("entry {path:?} lies behind too many links")]
    LinkDepth {
        /// Path in the archive.
        path: String,
    },
    /// More than a layer may hold.
    #[error("it expands past {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
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

impl ImageError {
    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::NoSource { hint, .. } => hint.clone(),
            Self::NotStored { reference } => {
                format!("fetch it with `mesh pull`, or drop `pull_policy: never` of {reference}")
            }
            Self::NoApt { .. } => "use a Debian-family machine, or install apt and dpkg".to_owned(),
            Self::NoPackageSource { codename } => {
                format!("add the distribution's own source for {codename} to /etc/apt/sources.list.d")
            }
            Self::NoLists { .. } | Self::Download { .. } => {
                "check the network, the proxy of apt.conf.d, and `apt-get update`".to_owned()
            }
            Self::DiskFull { .. } => "free space there, and run the command again".to_owned(),
            _ => return None,
        })
    }

    /// Wraps an I/O error; a full disk gets its own kind.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            Self::DiskFull { path: path.to_owned() }
        } else {
            Self::Io { action, path: path.to_owned(), source }
        }
    }

    /// Wraps a failure of a package; a full disk gets its own kind.
    pub(crate) fn unpack(package: &str, source: UnpackError) -> Self {
        match source {
            UnpackError::Write { path, source } if is_full(&source) => Self::DiskFull { path },
            source => Self::Unpack { package: package.to_owned(), source },
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = || io::Error::from_raw_os_error(28);
        let path = Path::new("/x");
        assert!(matches!(ImageError::io("write", path, full()), ImageError::DiskFull { .. }));
        let write = UnpackError::Write { path: path.to_owned(), source: full() };
        assert!(matches!(ImageError::unpack("bash", write), ImageError::DiskFull { .. }));
        let other = ImageError::io("write", path, io::Error::from_raw_os_error(13));
        assert_eq!(other.to_string(), "could not write /x");
    }
}
