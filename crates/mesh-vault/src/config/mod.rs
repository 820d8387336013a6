//! What a server is to be: Vault's own configuration files and the arguments of `vault server`.
//!
//! Files are HCL or JSON, in any number; a directory stands for its `.hcl` and `.json` files in order of their names.
//! A later file's value wins; listeners add up. What cannot be done is refused with its place, and so that all of it
//! is told at once; what is not known is told as a warning and has no effect, as Vault has it. What is known and
//! changes nothing here (clusters, caches, memory locks) is passed over.

mod arguments;
mod file;
mod listener;
mod reader;

#[cfg(test)]
mod tests;

pub use arguments::{Arguments, ArgumentsError, Development, USAGE};
pub use listener::{Listener, MinimumTls, Tls};

use serde_json::{Map, Value};
use std::{fmt, path::PathBuf, time::Duration};

/// Vault's default for both lease settings: 32 days.
const LEASE_TTL: Duration = Duration::from_secs(768 * 3_600);
/// Largest configuration file, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files of a directory.
const FILES_MAX: usize = 256;

/// Something in a configuration that a user should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, or what stands for one.
    pub file: String,
    /// From 1; 0 for the file as a whole.
    pub line: u32,
    /// What is to be said.
    pub message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            line => write!(f, "{}:{line}: {}", self.file, self.message),
        }
    }
}

/// Where entries are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Storage {
    /// Nowhere.
    Memory,
    /// In a file of this directory.
    Directory {
        /// `file` or `raft`: what the configuration calls it. Both are the same here.
        kind: String,
        /// The directory.
        path: PathBuf,
    },
}

impl Storage {
    /// What the configuration calls it.
    #[must_use]
    pub fn kind(&self) -> &str {
        match self {
            Self::Memory => "inmem",
            Self::Directory { kind, .. } => kind,
        }
    }
}

/// A server's configuration, with all defaults in place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Where entries are kept.
    pub storage: Storage,
    /// Where it listens; at least one.
    pub listeners: Vec<Listener>,
    /// Whether there is a page at `/ui/`.
    pub ui: bool,
    /// `api_addr`, or the address of the first listener.
    pub api_addr: String,
    /// `cluster_addr`; only told.
    pub cluster_addr: String,
    /// `cluster_name`; empty for one that is made.
    pub cluster_name: String,
    /// Of tokens and leases for which nothing else is said.
    pub default_lease_ttl: Duration,
    /// Of all tokens and leases for which nothing else is said.
    pub max_lease_ttl: Duration,
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// Where the process's id is written while it runs.
    pub pid_file: Option<PathBuf>,
    /// The configuration without secrets, for `sys/config/state/sanitized`.
    pub sanitized: Map<String, Value>,
    /// What a user should look at.
    pub warnings: Vec<Finding>,
}

/// A configuration that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error loading configuration: {}", .0.iter().map(Finding::to_string).collect::<Vec<_>>().join("; "))]
pub struct ConfigError(pub Vec<Finding>);

impl ConfigError {
    fn one(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self(vec![Finding { file: file.into(), line: 0, message: message.into() }])
    }
}

impl Config {
    /// Reads what the arguments name, with what they say themselves over it.
    ///
    /// # Errors
    /// Everything that is wrong, with its place.
    pub fn load(
        arguments: &Arguments,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ConfigError> {
        let mut sources = file::Sources::default();
        for path in &arguments.configs {
            sources.add_path(path)?;
        }
        if let Some(text) = environment("VAULT_LOCAL_CONFIG").filter(|text| !text.trim().is_empty()) {
            sources.add("VAULT_LOCAL_CONFIG", &text)?;
        }
        sources.resolve(arguments, environment)
    }
}
