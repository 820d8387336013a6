//! From a reference and a platform to one image's manifest and config.

use super::{
    Client, Inner,
    host::Candidate,
    request::{Wanted, headers},
    retry::Retry,
};
use crate::{
    config::{CONFIG_BYTES_MAX, ImageConfig},
    digest::Digest,
    error::OciError,
    http::TransportError,
    manifest::{
        Descriptor, Document, INDEX_DEPTH_MAX, MANIFEST_BYTES_MAX, Manifest, ManifestError, Platform,
    },
    media,
    reference::Reference,
};
use hyper::{HeaderMap, header};

/// What a reference leads to on a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The reference that was asked for.
    pub reference: Reference,
    /// Digest of what the reference itself names: the index, where there is one, else the manifest. What
    /// `image@sha256:…` has to say to get the same again on any platform.
    pub digest: Digest,
    /// The index, where there is one, as it came.
    pub index: Option<Vec<u8>>,
    /// Digest of the manifest.
    pub manifest_digest: Digest,
    /// The manifest as it came.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// The config as it came; its digest is the manifest's `config.digest`, the image's id.
    pub config_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
}

/// A manifest or an index as it came.
pub(super) struct Fetched {
    pub(super) digest: Digest,
    pub(super) bytes: Vec<u8>,
    pub(super) document: Document,
}

/// `Docker-Content-Digest`.
const CONTENT_DIGEST: header::HeaderName = header::HeaderName::from_static("docker-content-digest");

impl Client {
    /// Asks the registry, or its mirrors, what a reference leads to on a platform. An index is followed; the
    /// manifest, the config and everything between are checked against the digests that name them.
    ///
    /// # Errors
    /// When nobody answers, the image is not there or not for us, is not made for the platform, or is not
    /// what its digests say.
    pub async fn resolve(&self, reference: &Reference, platform: &Platform) -> Result<Resolved, OciError> {
        let mut failure = None;
        for candidate in self.inner.candidates(reference) {
            match self.inner.resolve(&candidate, reference, platform).await {
                Ok(resolved) => return Ok(resolved),
                Err(error) => {
                    tracing::debug!(registry = candidate.registry, %error, "a registry does not serve an image");
                    failure = Some(error);
                }
            }
        }
        Err(failure.unwrap_or_else(|| OciError::Host { registry: reference.registry_name().to_owned() }))
    }

    /// Asks what digest a reference has now: of the index, where there is one. Costs no download.
    ///
    /// # Errors
    /// When nobody answers, or the image is not there or not for us.
    pub async fn digest(&self, reference: &Reference) -> Result<Digest, OciError> {
        let mut failure = None;
        for candidate in self.inner.candidates(reference) {
            match self.inner.head_digest(&candidate, reference).await {
                Ok(digest) => return Ok(digest),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| OciError::Host { registry: reference.registry_name().to_owned() }))
    }
}

impl Inner {
    async fn resolve(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<Resolved, OciError> {
        let version = reference.version();
        let mut fetched =
            self.manifest(candidate, reference, &version, reference.digest.as_ref(), None).await?;
        let digest = fetched.digest.clone();
        let mut index = None;
        for _ in 0..=INDEX_DEPTH_MAX {
            let entry = match fetched.document {
                Document::Manifest(manifest) => {
                    let (config_bytes, config) = self.config(candidate, reference, &manifest).await?;
                    let resolved = Resolved {
                        reference: reference.clone(),
                        digest,
                        index,
                        manifest_digest: fetched.digest,
                        manifest_bytes: fetched.bytes,
                        manifest: *manifest,
                        config_bytes,
                        config,
                    };
                    return check(resolved, platform);
                }
                Document::Index(ref list) => match list.serving(platform).first() {
                    Some(entry) => (*entry).clone(),
                    None => {
                        return Err(OciError::NoPlatform {
                            reference: reference.to_string(),
                            platform: platform.to_string(),
                            offers: list.offers(),
                        });
                    }
                },
            };
            index.get_or_insert(fetched.bytes);
            let version = entry.digest.to_string();
            fetched =
                self.manifest(candidate, reference, &version, Some(&entry.digest), Some(&entry)).await?;
        }
        Err(OciError::TooDeep { reference: reference.to_string(), limit: INDEX_DEPTH_MAX })
    }

    async fn manifest(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        version: &str,
        expected: Option<&Digest>,
        entry: Option<&Descriptor>,
    ) -> Result<Fetched, OciError> {
        let unusable = |source| OciError::Manifest { reference: reference.to_string(), source };
        let wanted = Wanted {
            what: match entry {
                Some(entry) => format!("manifest {}", entry.digest),
                None => reference.to_string(),
            },
            tail: format!("manifests/{version}"),
            headers: headers(header::ACCEPT, media::ACCEPT_MANIFESTS),
            head: false,
        };
        let limit = entry.map_or(MANIFEST_BYTES_MAX, |entry| entry.size.min(MANIFEST_BYTES_MAX));
        let (head, bytes) = match self.small(candidate, &wanted, limit).await {
            Err(OciError::Transport { source: TransportError::TooLarge { limit, .. }, .. }) => {
                return Err(unusable(ManifestError::TooLarge { limit }));
            }
            outcome => outcome?,
        };
        let found = expected.map_or_else(|| announced(&head), |digest| Some(digest.clone()));
        let digest = match found {
            Some(expected) => same(candidate, &wanted, &expected, &bytes)?,
            None => Digest::of(&bytes),
        };
        if let Some(entry) = entry.filter(|entry| entry.size != bytes.len() as u64) {
            return Err(OciError::Size {
                registry: candidate.registry.clone(),
                what: wanted.what,
                expected: entry.size,
                found: bytes.len() as u64,
            });
        }
        let kind = head.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let document = Document::read(&bytes, kind).map_err(unusable)?;
        Ok(Fetched { digest, bytes, document })
    }

    async fn config(
        &self,
        candidate: &Candidate,
        reference: &Reference,
        manifest: &Manifest,
    ) -> Result<(Vec<u8>, ImageConfig), OciError> {
        let unusable = |source| OciError::Config { reference: reference.to_string(), source };
        let Descriptor { digest, size, .. } = &manifest.config;
        if *size > CONFIG_BYTES_MAX {
            return Err(unusable(ManifestError::TooLarge { limit: CONFIG_BYTES_MAX }));
        }
        let wanted = Wanted {
            what: format!("config {digest}"),
            tail: format!("blobs/{digest}"),
            headers: HeaderMap::new(),
            head: false,
        };
        let (_, bytes) = match self.small(candidate, &wanted, *size).await {
            Err(OciError::Transport { source: TransportError::TooLarge { .. }, registry, what, .. }) => {
                return Err(OciError::Size { registry, what, expected: *size, found: *size + 1 });
            }
            outcome => outcome?,
        };
        if bytes.len() as u64 != *size {
            let (registry, what) = (candidate.registry.clone(), wanted.what);
            return Err(OciError::Size { registry, what, expected: *size, found: bytes.len() as u64 });
        }
        same(candidate, &wanted, digest, &bytes)?;
        let config = ImageConfig::read(&bytes).map_err(unusable)?;
        Ok((bytes, config))
    }

    /// An answer that fits in memory, asked for again while that may help.
    async fn small(
        &self,
        candidate: &Candidate,
        wanted: &Wanted,
        limit: u64,
    ) -> Result<(HeaderMap, Vec<u8>), OciError> {
        let mut retry = Retry::new(self.settings.backoff);
        loop {
            let (mut answer, place) = self.ask(candidate, wanted).await?;
            match answer.body.all(limit, self.settings.stalled).await {
                Ok(bytes) => return Ok((answer.headers, bytes)),
                Err(source) => {
                    let error = self.broken(&place, wanted, source);
                    if !retry.again(&error).await {
                        return Err(retry.told(error));
                    }
                }
            }
        }
    }

    async fn head_digest(&self, candidate: &Candidate, reference: &Reference) -> Result<Digest, OciError> {
        let wanted = Wanted {
            what: reference.to_string(),
            tail: format!("manifests/{}", reference.version()),
            headers: headers(header::ACCEPT, media::ACCEPT_MANIFESTS),
            head: true,
        };
        let (answer, _) = self.ask(candidate, &wanted).await?;
        if let Some(digest) = announced(&answer.headers) {
            return Ok(digest);
        }
        let version = reference.version();
        let expected = reference.digest.as_ref();
        Ok(self.manifest(candidate, reference, &version, expected, None).await?.digest)
    }
}

/// The digest that a registry says its answer has.
fn announced(headers: &HeaderMap) -> Option<Digest> {
    Digest::parse(headers.get(CONTENT_DIGEST)?.to_str().ok()?).ok()
}

/// The digest, if the bytes have it.
fn same(candidate: &Candidate, wanted: &Wanted, expected: &Digest, bytes: &[u8]) -> Result<Digest, OciError> {
    let mut hasher = expected.hasher();
    hasher.update(bytes);
    let found = hasher.finish();
    if found == *expected {
        return Ok(found);
    }
    Err(OciError::Digest { registry: candidate.registry.clone(), what: wanted.what.clone(), found })
}

/// Whether config, manifest and what was asked for fit each other.
fn check(resolved: Resolved, platform: &Platform) -> Result<Resolved, OciError> {
    let (diff_ids, layers) = (resolved.config.rootfs.diff_ids.len(), resolved.manifest.layers.len());
    let reference = resolved.reference.to_string();
    if diff_ids != layers {
        return Err(OciError::Config { reference, source: ManifestError::LayerCount { diff_ids, layers } });
    }
    let made_for = &resolved.config.platform;
    // Configs that say nothing exist, and what an index chose is what the index says.
    let says_nothing = made_for.os.is_empty() || made_for.architecture.is_empty();
    if resolved.index.is_none() && !says_nothing && platform.distance(made_for).is_none() {
        return Err(OciError::NoPlatform {
            reference,
            platform: platform.to_string(),
            offers: made_for.to_string(),
        });
    }
    if let Some(layer) = resolved.manifest.layers.iter().find(|l| media::is_foreign_layer(&l.media_type)) {
        return Err(OciError::Foreign { reference, digest: layer.digest.clone() });
    }
    Ok(resolved)
}
