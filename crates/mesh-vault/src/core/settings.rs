//! What the server's configuration says to the core.

use std::time::Duration;

/// The default of Vault for both TTLs: 32 days.
const LEASE_TTL: Duration = Duration::from_secs(768 * 3_600);

/// Settings that do not change while the server runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `default_lease_ttl`.
    pub default_lease_ttl: Duration,
    /// `max_lease_ttl`.
    pub max_lease_ttl: Duration,
    /// `api_addr`, or the address of the first listener.
    pub api_addr: String,
    /// `cluster_addr`.
    pub cluster_addr: String,
    /// `cluster_name`; empty for one that is made at initialization.
    pub cluster_name: String,
    /// `inmem`, `file`, `raft`: what the configuration calls the storage.
    pub storage_type: String,
    /// `ui`.
    pub ui: bool,
    /// `log_level`.
    pub log_level: String,
    /// The configuration without secrets, for `sys/config/state/sanitized`.
    pub sanitized: serde_json::Map<String, serde_json::Value>,
    /// What `sys/health` tells.
    pub version: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_lease_ttl: LEASE_TTL,
            max_lease_ttl: LEASE_TTL,
            api_addr: String::new(),
            cluster_addr: String::new(),
            cluster_name: String::new(),
            storage_type: "file".to_owned(),
            ui: false,
            log_level: "info".to_owned(),
            sanitized: serde_json::Map::new(),
            version: VERSION.to_owned(),
        }
    }
}

/// The version of Vault's API that is spoken, as `sys/health` tells it: clients choose by it what to send.
pub const VERSION: &str = "1.18.5";
