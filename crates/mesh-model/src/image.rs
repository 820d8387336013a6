//! Images once they are resolved: where the root file system comes from and what the image says of
//! its process.

use crate::health::HealthSettings;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, path::PathBuf};

/// A resolved image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Reference as the file has it (`postgres:16.4`).
    pub reference: String,
    /// Content address of what was resolved (`sha256:...`).
    pub digest: String,
    /// What serves it.
    pub source: Source,
    /// Read-only layers on this machine, lowest first; empty on grounds that keep their own.
    pub layers: Vec<PathBuf>,
    /// What the image says of its process.
    pub config: ImageConfig,
}

/// How far one layer of an image is while the image is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerStage {
    /// Others come first, or another process fetches it.
    Waiting,
    /// Its bytes are coming.
    Downloading,
    /// Its bytes are there.
    Downloaded,
    /// Its bytes become files.
    Extracting,
    /// Its files are there.
    Complete,
    /// It was there before.
    Present,
}

/// What serves an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Packages of a distribution.
    Debian {
        /// Distribution and its version, such as `debian 12`.
        distribution: String,
        /// The package that gives the version, such as `postgresql-15`.
        package: String,
        /// Upstream version of it, such as `15.18`.
        version: String,
        /// Whether this is another product than the one asked for (MariaDB for MySQL), and which.
        stand_in: Option<String>,
    },
    /// The image itself, from a registry or an archive.
    Oci,
    /// A service inside Mesh's own binary, over packages of a distribution.
    Embedded {
        /// The service, such as `vault`.
        service: String,
        /// Mesh's version.
        version: String,
        /// Where the container sees the binary; absolute.
        binary: String,
    },
}

impl Source {
    /// Whether the embedded gateway serves it: it is told which containers there are, and tells the names it serves.
    #[must_use]
    pub fn is_gateway(&self) -> bool {
        matches!(self, Self::Embedded { service, .. } if service == "gateway")
    }

    /// Whether the embedded vault serves it: it may sign the authorities of gateways.
    #[must_use]
    pub fn is_vault(&self) -> bool {
        matches!(self, Self::Embedded { service, .. } if service == "vault")
    }
}

/// What an image says of its process, in the terms of the OCI image configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ImageConfig {
    /// Entrypoint.
    pub entrypoint: Vec<String>,
    /// Command.
    pub command: Vec<String>,
    /// Environment.
    pub environment: BTreeMap<String, String>,
    /// User; empty: root.
    pub user: String,
    /// Where there is one uid only (no subordinate uids), the user the process is given at once:
    /// the one that its entrypoint would step down to. `None`: the same as `user`.
    pub sole_user: Option<String>,
    /// Working directory; empty: `/`.
    pub working_dir: String,
    /// Paths that are volumes.
    pub volumes: Vec<ImageVolume>,
    /// Ports it listens on, as `5432/tcp`.
    pub exposed_ports: Vec<String>,
    /// Signal that asks it to stop.
    pub stop_signal: Option<String>,
    /// Health check.
    pub health: Option<HealthSettings>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// A path of an image that is a volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageVolume {
    /// Path in the container; absolute.
    pub path: String,
}
