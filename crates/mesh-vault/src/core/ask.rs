//! A request with everything that was found out about it.

use crate::{
    logical::{Fields, Object, Operation, TokenFacts},
    policy::Acl,
    token::TokenEntry,
};
use mesh_redact::Secret;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) struct Bearer {
    /// As it was sent.
    pub(crate) token: Secret<String>,
    /// What is known of it.
    pub(crate) entry: Arc<TokenEntry>,
    /// What it may do.
    pub(crate) acl: Arc<Acl>,
}

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Its id, in the answer and in audit logs.
    pub(crate) id: String,
    /// What is to be done.
    pub(crate) operation: Operation,
    /// The whole path.
    pub(crate) path: String,
    /// Body or query.
    pub(crate) data: Object,
    /// The token as sent, good or not.
    pub(crate) sent_token: Option<Secret<String>>,
    /// Who asks; none at paths that need no token, unless a good one was sent.
    pub(crate) bearer: Option<Bearer>,
    /// `X-Vault-Wrap-TTL`.
    pub(crate) wrap_ttl: Option<Duration>,
    /// Where from.
    pub(crate) remote: Option<IpAddr>,
    /// When.
    pub(crate) now: SystemTime,
    /// Whether the policies give `sudo` at the path.
    pub(crate) sudo: bool,
    /// Whether audit devices have the request.
    pub(crate) recorded: bool,
}

impl Ask {
    /// The fields by Vault's loose rules of types.
    pub(crate) fn fields(&self) -> Fields<'_> {
        Fields::new(&self.data)
    }

    /// What engines may know of the token.
    pub(crate) fn facts(&self) -> Option<TokenFacts> {
        self.bearer.as_ref().map(|bearer| {
            let entry = &bearer.entry;
            TokenFacts {
                accessor: entry.accessor.clone(),
                storage_id: entry.name.clone(),
                display_name: entry.display_name.clone(),
                policies: entry.policies.clone(),
                metadata: entry.meta.clone().unwrap_or_default(),
                root: entry.is_root(),
            }
        })
    }
}
