//! What is mounted into a container.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// One mount of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, in the container; absolute.
    pub target: String,
    /// Read-only.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MountSource {
    /// A named volume of the project, by key.
    Volume {
        /// Key in `volumes`.
        key: String,
        /// Folder inside it.
        subpath: Option<String>,
        /// Do not copy the image's content into a new volume.
        nocopy: bool,
    },
    /// A volume without a name: its container's, and that of the container that replaces it.
    Anonymous,
    /// A path of the host; absolute.
    Bind {
        /// Path.
        path: PathBuf,
        /// Make a directory where nothing is (short syntax).
        create: bool,
    },
    /// Memory.
    Tmpfs {
        /// Largest size in bytes.
        size_bytes: Option<u64>,
        /// Mode of its root.
        mode: Option<u32>,
        /// Owner of its root.
        uid: Option<u32>,
        /// Group of its root.
        gid: Option<u32>,
        /// Allow programs to be executed from it.
        exec: bool,
    },
}

/// A secret or a config, as a file in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMount {
    /// Key in `secrets` or `configs` of the project.
    pub source: String,
    /// Path in the container; absolute.
    pub target: String,
    /// Owner, a number or a name of the container.
    pub uid: Option<String>,
    /// Group, a number or a name of the container.
    pub gid: Option<String>,
    /// Mode; 0444 when the file names none.
    pub mode: u32,
}
