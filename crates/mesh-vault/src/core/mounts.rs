//! What is mounted where.

use super::{random, registry};
use crate::{
    logical::Engine,
    storage::{Batch, Read, StorageError, Store},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, ops::Bound, sync::Arc, time::Duration};

/// Where the table is kept.
const TABLE: &str = "core/mounts";
/// Letters of an accessor after its `_`.
const ACCESSOR_BYTES: usize = 4;

/// `config` of a mount, as it is kept.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountConfig {
    /// Seconds, 0 for the system's.
    pub(crate) default_lease_ttl: u64,
    /// Seconds, 0 for the system's.
    pub(crate) max_lease_ttl: u64,
    pub(crate) force_no_cache: bool,
    pub(crate) token_type: Option<String>,
    pub(crate) listing_visibility: Option<String>,
    pub(crate) audit_non_hmac_request_keys: Option<Vec<String>>,
    pub(crate) audit_non_hmac_response_keys: Option<Vec<String>>,
    pub(crate) passthrough_request_headers: Option<Vec<String>>,
    pub(crate) allowed_response_headers: Option<Vec<String>>,
    pub(crate) user_lockout: Option<serde_json::Value>,
    pub(crate) plugin_version: Option<String>,
}

impl MountConfig {
    /// The default lease.
    pub(crate) fn default_ttl(&self, system: Duration) -> Duration {
        if self.default_lease_ttl == 0 { system } else { Duration::from_secs(self.default_lease_ttl) }
    }

    /// The longest lease.
    pub(crate) fn max_ttl(&self, system: Duration) -> Duration {
        if self.max_lease_ttl == 0 { system } else { Duration::from_secs(self.max_lease_ttl) }
    }
}

/// A mount, as it is kept.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct MountEntry {
    /// `kv`, `approle`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) uuid: String,
    pub(crate) accessor: String,
    #[serde(default)]
    pub(crate) options: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(crate) config: MountConfig,
    #[serde(default)]
    pub(crate) local: bool,
    #[serde(default)]
    pub(crate) seal_wrap: bool,
    #[serde(default)]
    pub(crate) external_entropy_access: bool,
}

impl MountEntry {
    /// A new one with names of its own.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub(crate) fn new(auth: bool, kind: &str, description: &str) -> Result<Self, StorageError> {
        let mut bytes = [0_u8; ACCESSOR_BYTES];
        random::fill(&mut bytes)?;
        let class = if auth { "auth_" } else { "" };
        Ok(Self {
            kind: kind.to_owned(),
            description: description.to_owned(),
            uuid: random::uuid()?,
            accessor: format!("{class}{kind}_{}", random::hex(&bytes)),
            ..Self::default()
        })
    }

    /// Where its engine keeps what it keeps.
    pub(crate) fn prefix(&self) -> String {
        ["logical/", &self.uuid, "/"].concat()
    }
}

/// What answers at a mount.
#[derive(Clone)]
pub(crate) enum Backend {
    /// `sys/`
    System,
    /// `auth/token/`
    Token,
    /// There and without paths: `identity/`.
    Absent,
    /// An engine.
    Engine(Arc<dyn Engine>),
}

/// A mount in use.
#[derive(Clone)]
pub(crate) struct Mount {
    /// With a slash at its end: `secret/`, `auth/approle/`.
    pub(crate) path: String,
    pub(crate) entry: MountEntry,
    pub(crate) backend: Backend,
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mount")
            .field("path", &self.path)
            .field("kind", &self.entry.kind)
            .finish_non_exhaustive()
    }
}

/// All mounts.
#[derive(Clone, Default)]
pub(crate) struct Mounts {
    table: BTreeMap<String, Arc<Mount>>,
}

impl std::fmt::Debug for Mounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.table.keys()).finish()
    }
}

#[derive(Serialize, Deserialize)]
struct Table {
    version: u32,
    mounts: BTreeMap<String, MountEntry>,
}

const TABLE_VERSION: u32 = 1;

impl Mounts {
    /// As kept, or as they are at first.
    ///
    /// # Errors
    /// Those of the store; `Corrupt` for a table of another version.
    pub(crate) async fn load(store: &dyn Store) -> Result<Self, StorageError> {
        if let Some(mounts) = Self::read(store)? {
            return Ok(mounts);
        }
        let mut mounts = Self::default();
        for (path, kind, description) in [
            ("auth/token/", "token", "token based credentials"),
            ("cubbyhole/", "cubbyhole", "per-token private secret storage"),
            ("identity/", "identity", "identity store"),
            ("sys/", "system", "system endpoints used for control, policy and debugging"),
        ] {
            let mut entry = MountEntry::new(path.starts_with("auth/"), kind, description)?;
            entry.local = kind == "cubbyhole";
            entry.seal_wrap = kind == "system";
            entry.config.passthrough_request_headers = match kind {
                "system" => Some(vec!["Accept".to_owned()]),
                "identity" => Some(vec!["Authorization".to_owned()]),
                _ => None,
            };
            mounts.insert(path, entry);
        }
        let (key, value) = mounts.stored();
        store.commit(Batch { writes: [(key, Some(value))].into() }).await?;
        Ok(mounts)
    }

    fn read(store: &dyn Read) -> Result<Option<Self>, StorageError> {
        let corrupt = || StorageError::Corrupt { key: TABLE.to_owned() };
        let Some(stored) = store.get(TABLE)? else { return Ok(None) };
        let table: Table = serde_json::from_slice(&stored).map_err(|_| corrupt())?;
        if table.version != TABLE_VERSION {
            return Err(corrupt());
        }
        let mut mounts = Self::default();
        for (path, entry) in table.mounts {
            mounts.insert(&path, entry);
        }
        Ok(Some(mounts))
    }

    /// Key and value to keep them by.
    pub(crate) fn stored(&self) -> (String, Vec<u8>) {
        let mounts = self.table.iter().map(|(path, mount)| (path.clone(), mount.entry.clone())).collect();
        let table = Table { version: TABLE_VERSION, mounts };
        (TABLE.to_owned(), serde_json::to_vec(&table).unwrap_or_default())
    }

    /// Mounts something as it is kept: with an engine of its own.
    fn insert(&mut self, path: &str, entry: MountEntry) {
        let backend = match path {
            "sys/" => Backend::System,
            "auth/token/" => Backend::Token,
            _ => registry::backend(path.starts_with("auth/"), &entry.kind).unwrap_or(Backend::Absent),
        };
        let mount = Mount { path: path.to_owned(), entry, backend };
        self.table.insert(path.to_owned(), Arc::new(mount));
    }

    /// Mounts something, or changes what is mounted, with the engine it has.
    pub(crate) fn put(&mut self, mount: Mount) {
        self.table.insert(mount.path.clone(), Arc::new(mount));
    }

    /// Takes a mount away.
    pub(crate) fn remove(&mut self, path: &str) {
        self.table.remove(path);
    }

    /// The mount at exactly a path.
    pub(crate) fn at(&self, path: &str) -> Option<&Arc<Mount>> {
        self.table.get(path)
    }

    /// All of them, by path.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.table.values()
    }

    /// Mounts do not lie in each other, so the mount of a path is the last one that does not come after it.
    pub(crate) fn find(&self, path: &str) -> Option<&Arc<Mount>> {
        let (_, mount) = self.table.range::<str, _>((Bound::Unbounded, Bound::Included(path))).next_back()?;
        path.starts_with(&mount.path).then_some(mount)
    }

    /// The mount with an accessor.
    pub(crate) fn by_accessor(&self, accessor: &str) -> Option<&Arc<Mount>> {
        self.table.values().find(|mount| mount.entry.accessor == accessor)
    }

    /// A mount that a new one at a path would lie in, or that would lie in it.
    pub(crate) fn conflict(&self, path: &str) -> Option<&str> {
        let within = self.table.keys().find(|known| path.starts_with(known.as_str()));
        within.or_else(|| self.table.keys().find(|known| known.starts_with(path))).map(String::as_str)
    }
}

/// An engine for a mount of a type; `None` for a type that is not built in.
pub(crate) fn engine_for(auth: bool, kind: &str) -> Option<Arc<dyn Engine>> {
    match registry::backend(auth, kind) {
        // There is one cubbyhole.
        Some(Backend::Engine(engine)) if kind != "cubbyhole" => Some(engine),
        _ => None,
    }
}

impl Mount {
    /// The path of a request, as the engine knows it.
    pub(crate) fn relative<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.path).unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::{MountEntry, Mounts};

    #[test]
    fn the_mount_of_a_path() {
        let mut mounts = Mounts::default();
        for path in ["secret/", "secret-two/", "auth/a/", "auth/a-b/", "sys/", "a/b/c/"] {
            mounts.insert(path, MountEntry::new(false, "kv", "").unwrap());
        }
        for (path, expected) in [
            ("secret/x", Some("secret/")),
            ("secret/", Some("secret/")),
            ("secret", None),
            ("secret-two/x/y", Some("secret-two/")),
            ("secrets/x", None),
            ("auth/a/login", Some("auth/a/")),
            ("auth/a-b/login", Some("auth/a-b/")),
            ("a/b/c/d", Some("a/b/c/")),
            ("a/b/d", None),
            ("zzz", None),
        ] {
            assert_eq!(mounts.find(path).map(|mount| mount.path.as_str()), expected, "{path}");
        }
        assert_eq!(mounts.conflict("a/b/"), Some("a/b/c/"));
        assert_eq!(mounts.conflict("secret/x/"), Some("secret/"));
        assert_eq!(mounts.conflict("new/"), None);
    }
}
