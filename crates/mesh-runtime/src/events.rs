//! What a ground reports on its own.

use crate::observed::{BoundPort, LostPort};
use mesh_model::{container::ContainerId, image::LayerStage};
use serde::{Deserialize, Serialize};

/// Something that happened to a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuntimeEvent {
    /// Its first process ended.
    Exited {
        /// Which.
        id: ContainerId,
        /// How.
        exit: Exit,
    },
    /// Of the ports that it lost some came back, or something else is known of them.
    Ports {
        /// Which.
        id: ContainerId,
        /// Those that are published now.
        ports: Vec<BoundPort>,
        /// Those that still are not.
        lost: Vec<LostPort>,
    },
}

/// How a container ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// Exit code, or 128 and the number of the signal.
    pub code: i32,
    /// The kernel killed something in it for want of memory.
    pub out_of_memory: bool,
    /// When, in milliseconds since 1970.
    pub at_unix_ms: u64,
}

/// Progress of one image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum FetchProgress {
    /// Finding out what is needed.
    Resolving {
        /// What (`postgres:15`).
        reference: String,
        /// What is being asked (`package lists`).
        detail: String,
    },
    /// Bytes are coming.
    Downloading {
        /// What.
        reference: String,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all; 0: unknown.
        bytes_total: u64,
    },
    /// A layer of it goes on.
    Layer {
        /// What.
        reference: String,
        /// The layer, in short.
        layer: String,
        /// How far.
        step: LayerStage,
        /// Bytes so far.
        bytes: u64,
        /// Bytes in all.
        bytes_total: u64,
    },
    /// Bytes become files.
    Unpacking {
        /// What.
        reference: String,
        /// Packages or layers so far.
        done: u32,
        /// Packages or layers in all.
        total: u32,
    },
    /// It is there.
    Ready {
        /// What.
        reference: String,
        /// What serves it (`debian 15.18`).
        source: String,
    },
}
