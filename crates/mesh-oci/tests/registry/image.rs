//! An image of two layers, and a registry that serves it honestly.

use crate::server::{Reply, Request};
use mesh_oci::{
    digest::Digest,
    manifest::{Descriptor, Manifest},
    media,
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// An image.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) manifest: Manifest,
    pub(crate) manifest_bytes: Vec<u8>,
    /// Everything by digest: config, layers, manifests.
    pub(crate) blobs: HashMap<String, Vec<u8>>,
    pub(crate) layers: Vec<Vec<u8>>,
}

impl Image {
    /// An image of layers with these many bytes.
    pub(crate) fn of(sizes: &[usize]) -> Self {
        let layers: Vec<Vec<u8>> = sizes.iter().zip(1_u8..).map(|(&size, seed)| noise(size, seed)).collect();
        let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
        let config = json!({"architecture": mesh_oci::platform::Platform::host().architecture, "os": "linux",
            "config": {"Cmd": ["serve"]}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let config = serde_json::to_vec(&config).unwrap();
        let descriptor =
            |kind: &str, bytes: &[u8]| Descriptor::new(kind, Digest::of(bytes), bytes.len() as u64);
        let manifest = Manifest {
            schema_version: 2,
            media_type: Some(media::OCI_MANIFEST.to_owned()),
            artifact_type: None,
            config: descriptor(media::OCI_CONFIG, &config),
            layers: layers.iter().map(|layer| descriptor(media::OCI_LAYER, layer)).collect(),
            annotations: BTreeMap::new(),
        };
        let manifest_bytes = serde_json::to_vec(&manifest).unwrap();
        let all = layers.iter().cloned().chain([config, manifest_bytes.clone()]);
        let blobs = all.map(|bytes| (Digest::of(&bytes).to_string(), bytes)).collect();
        Self { manifest, manifest_bytes, blobs, layers }
    }

    /// Digest of the manifest.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest_bytes)
    }

    /// What an honest registry answers.
    pub(crate) fn answer(&self, request: &Request) -> Reply {
        if request.path == "/v2/" {
            return Reply::of(200, "{}");
        }
        let path = request.path.split('?').next().unwrap_or_default();
        let last = path.rsplit('/').next().unwrap_or_default();
        if request.path.contains("/manifests/") {
            let bytes = self.blobs.get(last).unwrap_or(&self.manifest_bytes).clone();
            let digest = Digest::of(&bytes).to_string();
            return Reply::of(200, bytes)
                .with("Content-Type", media::OCI_MANIFEST)
                .with("Docker-Content-Digest", digest);
        }
        let Some(bytes) = self.blobs.get(last) else {
            return Reply::of(404, r#"{"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown"}]}"#);
        };
        let start = request.header("range").strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
        match start.and_then(|start| start.parse::<usize>().ok()) {
            Some(start) if start < bytes.len() => Reply::of(206, &bytes[start..])
                .with("Content-Range", format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len())),
            Some(_) => Reply::of(416, ""),
            None => Reply::of(200, bytes.clone()),
        }
    }

    /// Whether a request is for a layer.
    pub(crate) fn is_layer(&self, request: &Request, layer: usize) -> bool {
        request.path.ends_with(&format!("/blobs/{}", self.manifest.layers[layer].digest))
    }
}

/// Bytes without a pattern that is easily repeated.
fn noise(size: usize, seed: u8) -> Vec<u8> {
    let mut state = u32::from(seed).wrapping_mul(2_654_435_761);
    (0..size)
        .map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .collect()
}
