//! Manifests and indexes, of OCI and of Docker's schema 2, read within bounds.
//!
//! Invariants of what was read: schema version 2; not an index and a manifest at once (a document that
//! is both can be taken for either, and be signed as one and run as the other); no more layers or entries
//! than named here; media types are those of images.

pub use crate::{config::ImageConfig, platform::Platform};

use crate::{config::or_null, digest::Digest, media};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Largest manifest or index, in bytes: what registries themselves accept.
pub const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// Largest layer, in bytes as it is downloaded; what it expands to has the same bound.
pub const LAYER_BYTES_MAX: u64 = 32 << 30;
/// Most layers of one image; no overlay file system holds more.
pub const LAYERS_MAX: usize = 500;
/// Most entries of one index.
pub const INDEX_ENTRIES_MAX: usize = 1000;
/// How deep an index may lie in an index.
pub const INDEX_DEPTH_MAX: usize = 3;

/// What names a blob: its kind, size and digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is.
    #[serde(default)]
    pub media_type: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Other places to have it from.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_null")]
    pub urls: Vec<String>,
    /// Notes: `org.opencontainers.image.ref.name` and others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_or_null")]
    pub annotations: BTreeMap<String, String>,
    /// What it runs on; entries of an index have it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// What kind of artifact it is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
}

impl Descriptor {
    /// A descriptor with the three things that each has.
    #[must_use]
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Self {
        Self {
            media_type: media_type.to_owned(),
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
        }
    }
}

/// The manifest of one image: its config and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// 2.
    pub schema_version: u32,
    /// What it is; OCI lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of artifact it is, where it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image's config.
    pub config: Descriptor,
    /// Its layers, lowest first.
    #[serde(default, deserialize_with = "or_null")]
    pub layers: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_or_null")]
    pub annotations: BTreeMap<String, String>,
}

/// Manifests by platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// 2.
    pub schema_version: u32,
    /// What it is; OCI lets it be absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// The manifests.
    #[serde(default, deserialize_with = "or_null")]
    pub manifests: Vec<Descriptor>,
    /// Notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "map_or_null")]
    pub annotations: BTreeMap<String, String>,
}

/// What a reference leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several.
    Index(Index),
}

/// Why bytes are no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// More bytes than any registry accepts.
    #[error("it has more than {limit} bytes")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// Not JSON, or not of this shape.
    #[error("it is no JSON of a manifest")]
    Json(#[source] serde_json::Error),
    /// Docker's first format, which nothing serves any more.
    #[error("it is of Docker's schema 1, which is no longer supported: push it again with a current tool")]
    SchemaOne,
    /// Another version than 2.
    #[error("its schema version is {found}, not 2")]
    Schema {
        /// The version it states.
        found: u32,
    },
    /// Says to be a manifest and an index.
    #[error("it is a manifest and an index at once")]
    Ambiguous,
    /// Neither of the two.
    #[error("it is neither a manifest nor an index: {media_type:?}")]
    Kind {
        /// The media type it states, shortened.
        media_type: String,
    },
    /// Not an image but something else that registries keep.
    #[error("it is no image: its config is {media_type:?}")]
    Artifact {
        /// The config's media type, shortened.
        media_type: String,
    },
    /// A layer that is none.
    #[error("its layer {index} is of an unknown kind: {media_type:?}")]
    Layer {
        /// Which one, from 0.
        index: usize,
        /// Its media type, shortened.
        media_type: String,
    },
    /// A layer larger than any is taken.
    #[error("it claims {size} bytes for layer {index} ({digest}); no more than {limit} are taken")]
    LayerSize {
        /// Which one, from 0.
        index: usize,
        /// Its digest.
        digest: Digest,
        /// Bytes that it claims.
        size: u64,
        /// The most that is taken.
        limit: u64,
    },
    /// More parts than accepted.
    #[error("it has {found} {what}, more than {limit}")]
    TooMany {
        /// `layers` or `entries`.
        what: &'static str,
        /// How many it has.
        found: usize,
        /// How many are accepted.
        limit: usize,
    },
    /// Config and manifest do not fit each other.
    #[error("its config names {diff_ids} layers, the manifest {layers}")]
    LayerCount {
        /// How many the config has.
        diff_ids: usize,
        /// How many the manifest has.
        layers: usize,
    },
}

/// Which fields a document has, before it is taken for anything.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outline {
    #[serde(default)]
    schema_version: u32,
    #[serde(default)]
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Document {
    /// Reads a manifest or an index. `content_type` is what the registry says it is; what the document
    /// itself says goes before it.
    ///
    /// # Errors
    /// When it is too large, is not JSON, is of schema 1, or is not clearly one of the two.
    pub fn read(bytes: &[u8], content_type: Option<&str>) -> Result<Self, ManifestError> {
        if bytes.len() as u64 > MANIFEST_BYTES_MAX {
            return Err(ManifestError::TooLarge { limit: MANIFEST_BYTES_MAX });
        }
        let outline: Outline = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if outline.schema_version == 1 || outline.fs_layers.is_some() {
            return Err(ManifestError::SchemaOne);
        }
        if outline.schema_version != 2 {
            return Err(ManifestError::Schema { found: outline.schema_version });
        }
        let has_layers = outline.layers.is_some() || outline.config.is_some();
        let kind = outline.media_type.as_deref().or(content_type).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        match (outline.manifests.is_some(), has_layers) {
            (true, true) => Err(ManifestError::Ambiguous),
            (true, false) if !media::is_manifest(kind) => Index::read(bytes).map(Self::Index),
            (false, true) if !media::is_index(kind) => {
                Manifest::read(bytes).map(|manifest| Self::Manifest(Box::new(manifest)))
            }
            (true, false) | (false, true) => Err(ManifestError::Ambiguous),
            (false, false) => Err(ManifestError::Kind { media_type: shortened(kind) }),
        }
    }
}

impl Manifest {
    fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        if manifest.layers.len() > LAYERS_MAX {
            return Err(ManifestError::TooMany {
                what: "layers",
                found: manifest.layers.len(),
                limit: LAYERS_MAX,
            });
        }
        if !media::is_config(&manifest.config.media_type) {
            return Err(ManifestError::Artifact { media_type: shortened(&manifest.config.media_type) });
        }
        for (index, layer) in manifest.layers.iter().enumerate() {
            if !media::is_layer(&layer.media_type) {
                return Err(ManifestError::Layer { index, media_type: shortened(&layer.media_type) });
            }
            if layer.size > LAYER_BYTES_MAX {
                let (digest, size) = (layer.digest.clone(), layer.size);
                return Err(ManifestError::LayerSize { index, digest, size, limit: LAYER_BYTES_MAX });
            }
        }
        Ok(manifest)
    }

    /// What it is: as it says itself, else OCI's.
    #[must_use]
    pub fn media_type(&self) -> &str {
        self.media_type.as_deref().unwrap_or(media::OCI_MANIFEST)
    }

    /// Bytes of all layers, as they are downloaded.
    #[must_use]
    pub fn layer_bytes(&self) -> u64 {
        self.layers.iter().fold(0, |sum, layer| sum.saturating_add(layer.size))
    }
}

impl Index {
    fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        let index: Self = serde_json::from_slice(bytes).map_err(ManifestError::Json)?;
        match index.manifests.len() {
            found if found > INDEX_ENTRIES_MAX => {
                Err(ManifestError::TooMany { what: "entries", found, limit: INDEX_ENTRIES_MAX })
            }
            _ => Ok(index),
        }
    }

    /// The entries that serve a platform, the best first; those that name no platform come last.
    #[must_use]
    pub fn serving(&self, platform: &Platform) -> Vec<&Descriptor> {
        let rank = |entry: &Descriptor| match &entry.platform {
            Some(offered) => platform.distance(offered),
            None if entry.artifact_type.is_some() => None,
            None => Some(u32::MAX),
        };
        let mut found: Vec<_> =
            self.manifests.iter().filter_map(|entry| rank(entry).map(|rank| (rank, entry))).collect();
        found.sort_by_key(|(rank, _)| *rank);
        found.into_iter().map(|(_, entry)| entry).collect()
    }

    /// The platforms it has, for people: without attestations and the like, at most twenty.
    #[must_use]
    pub fn offers(&self) -> String {
        const SHOWN_MAX: usize = 20;
        let mut names: Vec<String> = self
            .manifests
            .iter()
            .filter_map(|entry| entry.platform.as_ref())
            .filter(|platform| platform.os != "unknown")
            .map(|platform| shortened(&platform.to_string()))
            .collect();
        names.dedup();
        if names.is_empty() {
            return "none".to_owned();
        }
        let more = names.len().saturating_sub(SHOWN_MAX);
        names.truncate(SHOWN_MAX);
        match more {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }
}

/// A piece of what others wrote, short enough for a line.
pub(crate) fn shortened(text: &str) -> String {
    const SHOWN_MAX: usize = 100;
    text.chars().take(SHOWN_MAX).filter(|c| !c.is_control()).collect()
}

/// Some writers put `null` where nothing is.
pub(crate) fn map_or_null<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn layer(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{HEX}","size":3}}"#)
    }

    fn check(text: &str, expected: &str) {
        let told = match Document::read(text.as_bytes(), None) {
            Ok(Document::Manifest(manifest)) => format!("manifest of {}", manifest.layers.len()),
            Ok(Document::Index(index)) => format!("index of {}", index.manifests.len()),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{text}: {told}");
    }

    #[test]
    fn documents_are_told_apart() {
        let config = layer(media::OCI_CONFIG);
        let gzip = layer(media::OCI_LAYER_GZIP);
        check(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{gzip}]}}"#), "manifest of 1");
        check(&format!(r#"{{"schemaVersion":2,"manifests":[{gzip}],"annotations":null}}"#), "index of 1");
        check(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":null}}"#), "manifest of 0");
        check(r#"{"schemaVersion":1,"fsLayers":[]}"#, "schema 1");
        check(r#"{"schemaVersion":3,"manifests":[]}"#, "version is 3");
        check(r#"{"schemaVersion":2}"#, "neither");
        check(&format!(r#"{{"schemaVersion":2,"manifests":[],"layers":[{gzip}]}}"#), "at once");
        check(
            &format!(r#"{{"schemaVersion":2,"mediaType":"{}","manifests":[]}}"#, media::OCI_MANIFEST),
            "at once",
        );
        check(
            &format!(r#"{{"schemaVersion":2,"config":{},"layers":[]}}"#, layer("application/x-helm")),
            "no image",
        );
        check(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{config}]}}"#), "layer 0");
        check("[]", "no JSON");
        check("{\"schemaVersion\":2,\"config\":{\"digest\":\"sha256:../..\",\"size\":1}}", "no JSON");
        check("{\"schemaVersion\":2,\"config\":{\"digest\":\"x\",\"size\":-1}}", "no JSON");
        for (size, expected) in [
            (LAYER_BYTES_MAX, "manifest of 1"),
            (LAYER_BYTES_MAX + 1, "claims 34359738369 bytes for layer 0"),
            (u64::MAX, "no more than 34359738368 are taken"),
        ] {
            let huge = gzip.replace("\"size\":3", &format!("\"size\":{size}"));
            check(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{huge}]}}"#), expected);
        }
        let bomb = vec![gzip.as_str(); LAYERS_MAX + 1].join(",");
        check(&format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{bomb}]}}"#), "501 layers");
        let bomb = vec![gzip.as_str(); INDEX_ENTRIES_MAX + 1].join(",");
        check(&format!(r#"{{"schemaVersion":2,"manifests":[{bomb}]}}"#), "1001 entries");
        check(&" ".repeat(MANIFEST_BYTES_MAX as usize + 1), "more than 4194304 bytes");
    }

    #[test]
    fn an_index_gives_the_platform_asked_for() {
        let entry = |size: u64, platform: Option<&str>| Descriptor {
            platform: platform.map(|text| Platform::parse(text).unwrap()),
            ..Descriptor::new(media::OCI_MANIFEST, Digest::of(b""), size)
        };
        let unknown =
            Platform { os: "unknown".into(), architecture: "unknown".into(), ..Platform::default() };
        let attestation = Descriptor { platform: Some(unknown), ..entry(9, None) };
        let manifests = vec![
            attestation,
            entry(1, Some("linux/arm/v6")),
            entry(2, Some("linux/arm/v7")),
            entry(3, Some("linux/amd64")),
        ];
        let index = Index { schema_version: 2, media_type: None, manifests, annotations: BTreeMap::new() };
        let sizes = |text: &str| {
            let platform = Platform::parse(text).unwrap();
            index.serving(&platform).iter().map(|entry| entry.size).collect::<Vec<_>>()
        };
        assert_eq!(sizes("linux/arm/v7"), [2, 1]);
        assert_eq!(sizes("linux/amd64"), [3]);
        assert!(sizes("linux/s390x").is_empty());
        assert_eq!(index.offers(), "linux/arm/v6, linux/arm/v7, linux/amd64");
    }
}
