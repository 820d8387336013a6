//! What is answered.

use super::Object;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// An answer. The core adds `request_id`, `lease_id`, `mount_type` and wraps it if asked to.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// `data`; none is answered as 204 unless there are warnings or `auth`.
    pub data: Option<Object>,
    /// A login or a token: the core makes the token and answers `auth`.
    pub auth: Option<Auth>,
    /// `data` is a secret with an end: the core records the lease.
    pub lease: Option<Lease>,
    /// `lease_duration` without a lease: how long a reader may keep `data`, as KV version 1 says it.
    pub advised_ttl: Option<Duration>,
    /// What a user should know.
    pub warnings: Vec<String>,
    /// Another status than 200 or 204: a KV version that is deleted is 404 with its data.
    pub status: Option<u16>,
    /// Not JSON in Vault's envelope: certificates and lists of revoked ones.
    pub raw: Option<Raw>,
}

impl Response {
    /// An answer with data.
    #[must_use]
    pub fn data(data: Object) -> Self {
        Self { data: Some(data), ..Self::default() }
    }

    /// 204.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// `{"keys": [...]}`, as a listing answers; an empty one is 404 in Vault, see [`super::Refusal::NotFound`].
    #[must_use]
    pub fn keys(keys: Vec<String>) -> Self {
        let keys = keys.into_iter().map(Value::String).collect();
        Self::data(Object::from_iter([("keys".to_owned(), Value::Array(keys))]))
    }

    /// The same with a warning more.
    #[must_use]
    pub fn warn(mut self, warning: impl Into<String>) -> Self {
        self.warnings.push(warning.into());
        self
    }
}

/// A body as it is.
#[derive(Debug, Clone)]
pub struct Raw {
    /// The HTTP status.
    pub status: u16,
    /// `application/pkix-cert` and the like.
    pub content_type: String,
    /// The body.
    pub body: Vec<u8>,
}

/// A secret with an end.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Lease {
    /// How long, zero for the mount's default.
    pub ttl: Duration,
    /// At most, zero for the mount's maximum.
    pub max_ttl: Duration,
    /// Whether it may be prolonged.
    pub renewable: bool,
    /// What the engine wants to be given at `Renew` and `Revoke`. Stored behind the barrier.
    pub internal: Object,
}

/// Service tokens are stored; batch tokens carry what they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenKind {
    /// What the mount says.
    #[default]
    Default,
    /// `hvs.`
    Service,
    /// `hvb.`
    Batch,
    /// Service, unless the caller asks for batch.
    DefaultService,
    /// Batch, unless the caller asks for service.
    DefaultBatch,
}

/// A login that succeeded, or a token that is to be made.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Auth {
    /// `token_policies`, without `default`, which the core adds unless told not to.
    pub policies: Vec<String>,
    /// `token_no_default_policy`.
    pub no_default_policy: bool,
    /// Shown with the token and in audit logs.
    pub metadata: BTreeMap<String, String>,
    /// `approle`, `userpass-bob`.
    pub display_name: String,
    /// Who it is for the identity of the method: the role's name, the user's name.
    pub alias: String,
    /// Zero for the mount's default.
    pub ttl: Duration,
    /// Zero for the mount's maximum.
    pub max_ttl: Duration,
    /// Not past this from its making, whatever renewals say; zero for none.
    pub explicit_max_ttl: Duration,
    /// Renewals give this and there is no maximum; zero for none.
    pub period: Duration,
    /// Whether it may be prolonged.
    pub renewable: bool,
    /// How often the token may be used; 0 for no limit.
    pub num_uses: u64,
    /// Service or batch.
    pub kind: TokenKind,
    /// Networks (CIDR) from which the token may be used; empty for all.
    pub bound_cidrs: Vec<String>,
    /// What the method wants to be given at `Renew`.
    pub internal: Object,
}
