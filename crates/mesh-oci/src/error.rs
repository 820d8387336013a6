//! What can go wrong between a reference and its blobs.

use crate::{
    blobs::BlobError, credentials::CredentialError, digest::Digest, http::TransportError,
    manifest::ManifestError,
};
use std::sync::Arc;

/// A failure to have an image or a blob from a registry.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// The registry did not answer; it is not asked again for a while.
    #[error("registry {registry} cannot be reached")]
    Unreachable {
        /// Its name.
        registry: String,
        /// Why not. Shared, as everyone who asks in that while is told the same.
        #[source]
        source: Arc<TransportError>,
    },
    /// The connection failed in the middle, more often than is tried.
    #[error("could not fetch {what} from {registry} in {attempts} attempts")]
    Transport {
        /// A manifest or a blob.
        what: String,
        /// The registry's name.
        registry: String,
        /// How often it was tried.
        attempts: u32,
        /// Why the last one failed.
        #[source]
        source: TransportError,
    },
    /// The registry has no such image.
    #[error("{what} is not in the registry {registry}{said}")]
    NotFound {
        /// A reference or a blob.
        what: String,
        /// The registry's name.
        registry: String,
        /// What it said, in brackets; empty where it said nothing.
        said: String,
    },
    /// The registry does not give it to us.
    #[error("registry {registry} does not give {what}{}{said}", if *known { ": our credentials are not enough" } else { " to somebody it does not know" })]
    Denied {
        /// A reference or a blob.
        what: String,
        /// The registry's name.
        registry: String,
        /// Whether credentials were shown.
        known: bool,
        /// What it said, in brackets; empty where it said nothing.
        said: String,
    },
    /// Too many requests.
    #[error("registry {registry} limits how much may be asked{}", after_text(*.after_seconds))]
    Limited {
        /// Its name.
        registry: String,
        /// When it may be asked again, in seconds from now, where it says so.
        after_seconds: Option<u64>,
    },
    /// An answer that means nothing here.
    #[error("registry {registry} answered {status} when asked for {what}{said}")]
    Status {
        /// Its name.
        registry: String,
        /// A manifest or a blob.
        what: String,
        /// The status.
        status: u16,
        /// What it said, in brackets; empty where it said nothing.
        said: String,
    },
    /// No token could be had.
    #[error("could not get a token for {registry} from {realm}: {reason}")]
    Token {
        /// The registry's name.
        registry: String,
        /// The token server's address.
        realm: String,
        /// What it answered.
        reason: String,
    },
    /// The token server did not answer.
    #[error("could not get a token for {registry} from {realm}")]
    TokenTransport {
        /// The registry's name.
        registry: String,
        /// The token server's address.
        realm: String,
        /// Why not.
        #[source]
        source: TransportError,
    },
    /// Credentials could not be looked up.
    #[error("could not look up the credentials of {registry}")]
    Credentials {
        /// The registry's name.
        registry: String,
        /// Why not.
        #[source]
        source: CredentialError,
    },
    /// A redirect that is not followed.
    #[error("registry {registry} leads to {location:?} for {what}, which is not followed: {reason}")]
    Redirect {
        /// Its name.
        registry: String,
        /// A manifest or a blob.
        what: String,
        /// Where to, without the query.
        location: String,
        /// Why not.
        reason: &'static str,
    },
    /// The reference names a host that is none.
    #[error("{registry:?} is no host that can be asked")]
    Host {
        /// The name.
        registry: String,
    },
    /// The manifest cannot be used.
    #[error("the manifest of {reference} cannot be used")]
    Manifest {
        /// The reference.
        reference: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// The config cannot be used.
    #[error("the config of {reference} cannot be used")]
    Config {
        /// The reference.
        reference: String,
        /// Why not.
        #[source]
        source: ManifestError,
    },
    /// The image is not made for the platform.
    #[error("{reference} is not made for {platform}; it is for {offers}")]
    NoPlatform {
        /// The reference.
        reference: String,
        /// The platform asked for.
        platform: String,
        /// What there is.
        offers: String,
    },
    /// Indexes within indexes.
    #[error("{reference} is an index of indexes, deeper than {limit}")]
    TooDeep {
        /// The reference.
        reference: String,
        /// How deep is followed.
        limit: usize,
    },
    /// The registry gave something else than what the digest names.
    #[error("registry {registry} gave content of the digest {found} for {what}")]
    Digest {
        /// Its name.
        registry: String,
        /// A manifest or a blob, by its digest.
        what: String,
        /// What its content has.
        found: Digest,
    },
    /// The registry gave more, or less, than it said.
    #[error("registry {registry} gave {found} bytes for {what}, which has {expected}")]
    Size {
        /// Its name.
        registry: String,
        /// A manifest or a blob.
        what: String,
        /// Bytes that were announced.
        expected: u64,
        /// Bytes that came, or were to come.
        found: u64,
    },
    /// A layer that registries do not carry.
    #[error("layer {digest} of {reference} is not in registries (a layer of Windows)")]
    Foreign {
        /// The reference.
        reference: String,
        /// The layer.
        digest: Digest,
    },
    /// The disk has no room for it.
    #[error("the manifest of {reference} claims {needed} bytes that are still to come, and {free} are free in {}", folder.display())]
    NoSpace {
        /// The reference.
        reference: String,
        /// Bytes still to come.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// Where.
        folder: std::path::PathBuf,
    },
    /// A blob could not be written.
    #[error("could not keep a blob of {reference}")]
    Blob {
        /// The reference.
        reference: String,
        /// Why not.
        #[source]
        source: BlobError,
    },
}

impl OciError {
    /// Whether the registry could not be asked at all, so that another source may serve.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the registry was asked and has no such image, or none for us.
    #[must_use]
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::NotFound { .. } | Self::Denied { .. } | Self::NoPlatform { .. })
    }

    /// What can be done about it, where something can.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Denied { registry, known: false, .. } => Some(format!(
                "check the name; if it is right, put credentials for {registry} into ~/.docker/config.json (`docker login`), or name their file by REGISTRY_AUTH_FILE"
            )),
            Self::Denied { registry, known: true, .. } => {
                Some(format!("check the name, and what the account of {registry} may read"))
            }
            Self::Limited { registry, .. } => {
                Some(format!("log in to {registry}, or name a mirror: MESH_REGISTRY_MIRRORS={registry}=HOST"))
            }
            Self::Unreachable { registry, source } => Some(match **source {
                TransportError::Tls { .. } => format!(
                    "put the registry's certificate into /etc/docker/certs.d/{registry}/ca.crt, or say MESH_REGISTRY_INSECURE={registry}"
                ),
                _ => format!(
                    "check the name and the network; a mirror is named by MESH_REGISTRY_MIRRORS={registry}=HOST, a registry without TLS by MESH_REGISTRY_INSECURE={registry}"
                ),
            }),
            Self::NoSpace { .. } => Some("free space there, and run the command again".to_owned()),
            Self::NoPlatform { offers, .. } => {
                Some(format!("say `platform:` with one that there is: {offers}"))
            }
            _ => None,
        }
    }
}

fn after_text(seconds: Option<u64>) -> String {
    seconds.map_or(String::new(), |seconds| format!("; it may be asked again in {seconds} s"))
}
