//! What is kept about a secret besides its versions' data, and the rules by which versions come and go. Pure.

use crate::moment;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How many versions are kept where nobody said.
pub(super) const VERSIONS_KEPT: u32 = 10;

/// One version. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Version {
    #[serde(rename = "c")]
    pub(super) created: u64,
    /// When it was deleted, or will be.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(super) deleted: Option<u64>,
    /// Its data is gone for good.
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) destroyed: bool,
}

impl Version {
    /// Whether its data is to be had.
    pub(super) fn readable(&self, now: u64) -> bool {
        !self.destroyed && self.deleted.is_none_or(|deleted| deleted > now)
    }

    /// Deletes it, unless it is deleted or destroyed already.
    pub(super) fn delete(&mut self, now: u64) {
        if self.readable(now) {
            self.deleted = Some(now);
        }
    }
}

/// A secret's settings and versions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Key {
    pub(super) current: u64,
    pub(super) oldest: u64,
    pub(super) created: u64,
    pub(super) updated: u64,
    /// Counts changes of the settings.
    pub(super) settings_version: u64,
    /// 0: the mount's.
    pub(super) max_versions: u32,
    pub(super) cas_required: bool,
    pub(super) metadata_cas_required: bool,
    /// Seconds; 0: the mount's.
    pub(super) delete_after: u64,
    pub(super) custom: BTreeMap<String, String>,
    pub(super) versions: BTreeMap<u64, Version>,
}

impl Key {
    /// Adds a version and returns the numbers of those that have to go for it.
    pub(super) fn add(&mut self, now: u64, deleted: Option<u64>, mount_max: u32) -> Vec<u64> {
        self.current = self.current.saturating_add(1);
        self.versions.insert(self.current, Version { created: now, deleted, destroyed: false });
        self.updated = now;
        if self.created == 0 {
            self.created = now;
        }
        let kept = match self.max_versions.max(mount_max) {
            0 => VERSIONS_KEPT,
            kept => kept,
        };
        if self.current - self.oldest < u64::from(kept) {
            return Vec::new();
        }
        self.oldest = self.current - u64::from(kept) + 1;
        let left = self.versions.split_off(&self.oldest);
        std::mem::replace(&mut self.versions, left).into_keys().collect()
    }

    /// The version with a number, the current one for 0 or less.
    pub(super) fn version(&self, number: i64) -> Option<(u64, &Version)> {
        let number = u64::try_from(number).ok().filter(|number| *number > 0).unwrap_or(self.current);
        self.versions.get(&number).map(|version| (number, version))
    }

    /// Whether a write with this check-and-set value may be.
    pub(super) fn check(&self, cas: Option<i64>, required_by_mount: bool) -> Result<(), &'static str> {
        match cas {
            Some(cas) if u64::try_from(cas) != Ok(self.current) => {
                Err("check-and-set parameter did not match the current version")
            }
            None if required_by_mount || self.cas_required => {
                Err("check-and-set parameter required for this call")
            }
            _ => Ok(()),
        }
    }
}

/// When a version made now is deleted: after the shorter of what the mount and the secret say. `mount` is `None`
/// where the mount forbids it.
pub(super) fn deletion(now: u64, mount: Option<u64>, key: u64) -> Option<u64> {
    let after = match (mount?, key) {
        (0, 0) => return None,
        (0, after) | (after, 0) => after,
        (mount, key) => mount.min(key),
    };
    Some(now.saturating_add(moment::seconds(after)))
}
