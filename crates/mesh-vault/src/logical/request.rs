//! What is asked.

use super::{Fields, Object};
use std::{collections::BTreeMap, net::IpAddr};

/// What is to be done at a path. Vault's words, which are also what a policy's capabilities are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Operation {
    /// A write to where nothing is (see [`super::Engine::exists`]).
    Create,
    /// GET.
    Read,
    /// POST or PUT to where something is.
    Update,
    /// PATCH with a JSON merge patch.
    Patch,
    /// DELETE.
    Delete,
    /// LIST, or GET with `list=true`.
    List,
    /// The core asks an engine whether a lease or a token's `auth` of its making may be renewed.
    Renew,
    /// The core tells an engine that a lease of its making is over.
    Revoke,
    /// GET with `help=1`: the core answers it.
    Help,
}

impl Operation {
    /// Whether it is one of the two that write a body.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update)
    }
}

/// Who asks, as engines may know it.
#[derive(Debug, Clone, Default)]
pub struct TokenFacts {
    /// The token itself is never here: its accessor is.
    pub accessor: String,
    /// Salted name under which the token is kept; cubbyhole's folder.
    pub storage_id: String,
    /// As shown in audit logs.
    pub display_name: String,
    /// Names of policies.
    pub policies: Vec<String>,
    /// What the auth method noted.
    pub metadata: BTreeMap<String, String>,
    /// Whether `root` is among the policies.
    pub root: bool,
}

/// A request, authenticated and allowed, with its path relative to the engine's mount.
#[derive(Debug, Clone)]
pub struct Request {
    /// What is to be done.
    pub operation: Operation,
    /// Without the mount's path: `data/app/db` for `secret/data/app/db`. No slash at the front.
    pub path: String,
    /// The body of a write, or the query of a read (each value a string there).
    pub data: Object,
    /// Who asks; none at paths that need no token.
    pub token: Option<TokenFacts>,
    /// Where from.
    pub remote: Option<IpAddr>,
    /// What the engine noted in [`super::Lease::internal`] or [`super::Auth::internal`], at `Renew` and `Revoke`.
    pub internal: Object,
}

impl Request {
    /// The body's fields, read by Vault's loose rules of types.
    #[must_use]
    pub fn fields(&self) -> Fields<'_> {
        Fields::new(&self.data)
    }

    /// The path's parts.
    #[must_use]
    pub fn parts(&self) -> Vec<&str> {
        self.path.split('/').collect()
    }
}
