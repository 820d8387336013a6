//! What can go wrong between a reference and its layers.

use crate::{oci::error::LayerError, progress::Reporter, recipe::RecipeError};
use mesh_oci::{
    archive::ArchiveError,
    blobs::BlobError,
    digest::Digest,
    error::OciError,
    platform::PlatformError,
    reference::{Reference, ReferenceError},
};
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
    /// The text is no platform.
    #[error("not a platform")]
    Platform(#[from] PlatformError),
    /// An id of few digits is the beginning of several.
    #[error("{text} is the beginning of several images' ids; write more of it")]
    SeveralImages {
        /// What was given.
        text: String,
    },
    /// No image is stored by that name or id.
    #[error("no image {text} is stored")]
    NoSuchImage {
        /// What was given.
        text: String,
    },
    /// A container was made of it.
    #[error("image {image} is used by container {container} of project {project}")]
    InUse {
        /// Name of the image.
        image: String,
        /// Name of the container.
        container: String,
        /// Its project.
        project: String,
    },
    /// A container is about to be made of it.
    #[error("image {image} is about to be used by {holder}")]
    Held {
        /// Name of the image.
        image: String,
        /// Who makes the container (`process 7`).
        holder: String,
    },
    /// An id stands for more than one name.
    #[error("image {id} has several names: {names}")]
    SeveralNames {
        /// What was given.
        id: String,
        /// The names.
        names: String,
    },
    /// It was made of packages, and is no image that can be handed on.
    #[error("what serves {text} was made of packages and cannot be saved")]
    StandIn {
        /// What was given.
        text: String,
    },
    /// It was made of packages, which are found by its recipe and not by a name.
    #[error("what serves {text} was made of packages and cannot be given another name")]
    StandInTag {
        /// What was given.
        text: String,
    },
    /// A digest follows from an image and cannot be chosen.
    #[error("{name} has a digest: a name for an image is a repository and a tag")]
    DigestAsName {
        /// What was given.
        name: String,
    },
    /// An archive could not be read or written.
    #[error(transparent)]
    Archive(ArchiveError),
    /// A registry does not give it.
    #[error("could not pull {reference}")]
    Pull {
        /// Reference as the file has it.
        reference: String,
        /// Why not.
        #[source]
        source: Box<OciError>,
    },
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
    /// A layer of an image could not be unpacked.
    #[error("could not unpack layer {layer} of {image}")]
    Layer {
        /// Name of the image.
        image: String,
        /// Digest of the layer's content, its beginning.
        layer: String,
        /// Why.
        #[source]
        source: LayerError,
    },
    /// Config and manifest do not fit each other.
    #[error("the config of {image} names {named} layers, and its manifest {found}")]
    LayerCount {
        /// Name of the image.
        image: String,
        /// How many the config names.
        named: usize,
        /// How many the manifest has.
        found: usize,
    },
    /// A layer of the store is another one than its name says.
    #[error("layer {name} of the store is not {diff_id}")]
    OtherLayer {
        /// Its name.
        name: String,
        /// What it should be.
        diff_id: String,
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
            Self::Pull { source, .. } => return source.hint(),
            Self::InUse { .. } => {
                "remove the container first, or use --force to take only the name".to_owned()
            }
            Self::Held { .. } => "try again once the command that makes the container has ended".to_owned(),
            Self::SeveralNames { .. } => "name one of them, or use --force for all".to_owned(),
            Self::NoSuchImage { .. } => "`mesh image ls` shows what there is".to_owned(),
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
            Self::Layer { source: LayerError::Owner { .. }, .. } => {
                "give this user a longer range of ids in /etc/subuid and /etc/subgid".to_owned()
            }
            Self::DiskFull { .. } => "free space there, and run the command again".to_owned(),
            _ => return None,
        })
    }

    /// Whether the image could not be had from its registry, so that packages may stand in for it.
    pub(crate) fn is_unavailable(&self) -> bool {
        let Self::Pull { source, .. } = self else { return false };
        source.is_unreachable()
            || source.is_absent()
            || matches!(
                **source,
                OciError::Limited { .. } | OciError::Transport { .. } | OciError::TokenTransport { .. }
            )
            || matches!(**source, OciError::Status { status: 500.., .. })
    }

    /// The same where packages might have stood in, and no recipe says how.
    pub(crate) fn without_recipe(self, reference: &Reference) -> Self {
        let Self::Pull { reference: asked, source } = self else { return self };
        let mut tried = source.to_string();
        let mut cause = std::error::Error::source(&*source);
        while let Some(error) = cause {
            tried.push_str(&format!(": {error}"));
            cause = error.source();
        }
        let name = &reference.repository;
        tried.push_str(&format!("; and no recipe of the catalog makes {name} from packages"));
        let hint = source.hint().unwrap_or_else(|| "check the name and the tag".to_owned());
        Self::NoSource { reference: asked, tried, hint }
    }

    /// Wraps an I/O error; a full disk gets its own kind.
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        if is_full(&source) {
            Self::DiskFull { path: path.to_owned() }
        } else {
            Self::Io { action, path: path.to_owned(), source }
        }
    }

    /// Wraps a failure of an archive; a full disk gets its own kind.
    pub(crate) fn archive(source: ArchiveError) -> Self {
        match source {
            ArchiveError::Blob(BlobError::File { path, source, .. }) if is_full(&source) => {
                Self::DiskFull { path }
            }
            source => Self::Archive(source),
        }
    }

    /// Wraps a failure of a layer; a full disk and a caller that is gone get their own kinds.
    pub(crate) fn layer(image: &str, layer: &Digest, reporter: &Reporter, source: LayerError) -> Self {
        match source {
            LayerError::Write { path, source } if is_full(&source) => Self::DiskFull { path },
            LayerError::Cancelled => Self::Cancelled { reference: reporter.reference().to_owned() },
            source => {
                let layer = layer.to_string().chars().take(SHOWN_LETTERS).collect();
                Self::Layer { image: image.to_owned(), layer, source }
            }
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

/// Letters of a digest that a message has: its algorithm and twelve digits.
const SHOWN_LETTERS: usize = 19;

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
