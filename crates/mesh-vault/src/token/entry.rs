//! What is known of a token.

use crate::{logical::Object, moment, policy};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

/// Uses left of a token whose last request is under way: it is good for nothing else.
pub(crate) const LAST_USE_RUNNING: i64 = -1;

/// Kept, or carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    /// Stored here.
    #[default]
    Service,
    /// Stored nowhere.
    Batch,
}

impl Kind {
    /// As it is answered.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }
}

/// A token, without the token.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct TokenEntry {
    /// The keyed hash it is stored under.
    #[serde(skip)]
    pub(crate) name: String,
    /// Names the token without being one.
    pub(crate) accessor: String,
    /// Name of the token it goes with.
    #[serde(default)]
    pub(crate) parent: Option<String>,
    /// Names of policies, sorted.
    pub(crate) policies: Vec<String>,
    /// Where it was made: `auth/approle/login`.
    pub(crate) path: String,
    /// `None` is shown as `null`.
    #[serde(default)]
    pub(crate) meta: Option<BTreeMap<String, String>>,
    /// For logs.
    pub(crate) display_name: String,
    /// 0 for no limit.
    #[serde(default)]
    pub(crate) num_uses: i64,
    /// Unix time in nanoseconds.
    pub(crate) issued: u64,
    /// The TTL at its making, in seconds; 0 for a token without end.
    #[serde(default)]
    pub(crate) ttl: u64,
    /// Seconds, 0 for none.
    #[serde(default)]
    pub(crate) explicit_max_ttl: u64,
    /// Seconds, 0 for none.
    #[serde(default)]
    pub(crate) period: u64,
    /// The auth method's bound in seconds, 0 for none.
    #[serde(default)]
    pub(crate) max_ttl: u64,
    /// The token role it was made by.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// Service or batch.
    #[serde(default)]
    pub(crate) kind: Kind,
    /// Networks from which it may be used.
    #[serde(default)]
    pub(crate) bound_cidrs: Vec<String>,
    /// Whether it may be prolonged.
    #[serde(default)]
    pub(crate) renewable: bool,
    /// Unix time in nanoseconds.
    #[serde(default)]
    pub(crate) expires: Option<u64>,
    /// Unix time in nanoseconds.
    #[serde(default)]
    pub(crate) last_renewal: Option<u64>,
    /// What the auth method wants to be given at a renewal.
    #[serde(default)]
    pub(crate) internal: Object,
}

impl TokenEntry {
    /// Whether `root` is its policy.
    pub(crate) fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == policy::ROOT)
    }

    /// Whether it opens a wrapped response and nothing else.
    pub(crate) fn is_wrapping(&self) -> bool {
        self.policies == [policy::WRAPPING]
    }

    /// Whether it has had its time, or its last use.
    pub(crate) fn is_over(&self, now: SystemTime) -> bool {
        self.num_uses < 0 || self.expires.is_some_and(|expires| expires <= moment::nanos(now))
    }

    /// Seconds left; 0 for a token without end.
    pub(crate) fn ttl_left(&self, now: SystemTime) -> u64 {
        let left = self.expires.map(|expires| expires.saturating_sub(moment::nanos(now)));
        left.map_or(0, |left| Duration::from_nanos(left).as_secs_f64().round() as u64)
    }

    /// Under which id its lease is listed.
    pub(crate) fn lease_id(&self) -> String {
        format!("{}/h{}", self.path.trim_end_matches('/'), self.name)
    }
}
