//! `sys/`.
//!
//! [`bare`] answers what is answered whether sealed or not; everything else is here, behind token and policy. What
//! Vault has and this has not answers as a path that is not there.

mod audit;
pub(crate) mod bare;
mod capabilities;
mod generate_root;
mod health;
mod init;
mod internal;
mod kept_answer;
mod keys;
mod leases;
mod mount_fields;
mod mounts;
mod policies;
mod rekey;
mod remount;
mod sealing;
mod status;
mod tools;
mod tune;

pub use init::{InitError, InitKeys};
pub(crate) use remount::finish_deleting;

use crate::{
    core::{Core, active::Active, ask::Ask, reply::Reply, work::Work},
    logical::{Operation, Refusal, SpecialPaths},
    wrap,
};
use std::sync::Arc;

/// Paths with rules of their own.
pub(crate) fn special() -> SpecialPaths {
    SpecialPaths {
        unauthenticated: &[
            "wrapping/lookup",
            "internal/ui/mounts",
            "internal/ui/mounts/*",
            "internal/ui/feature-flags",
            "internal/specs/openapi",
        ],
        root: &[
            "auth/*",
            "remount",
            "audit",
            "audit/*",
            "raw",
            "raw/*",
            "rotate",
            "rotate/keyring",
            "config/cors",
            "config/auditing/*",
            "config/ui/headers/*",
            "plugins/catalog/*",
            "revoke-prefix/*",
            "revoke-force/*",
            "leases/revoke-prefix/*",
            "leases/revoke-force/*",
            "leases/lookup/*",
            "leases",
            "internal/inspect/*",
            "seal",
            "step-down",
        ],
    }
}

/// Whether a policy is there, so that writing it is an update.
///
/// # Errors
/// Those of the store.
pub(crate) fn exists(_active: &Active, _path: &str) -> Result<Option<bool>, Refusal> {
    Ok(None)
}

/// Answers a request whose path below `sys/` is `path`.
///
/// # Errors
/// With Vault's words.
pub(crate) async fn handle(
    core: &Arc<Core>,
    active: &Arc<Active>,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let path = path.trim_end_matches('/');
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    match head {
        "mounts" | "auth" => mounts::handle(active, ask, head == "auth", rest, work).await,
        "remount" => remount::handle(active, ask, rest, work).await,
        "policy" => policies::handle(active, ask, rest, true, work),
        "policies" => policies::handle_typed(active, ask, rest, work),
        "capabilities" | "capabilities-self" | "capabilities-accessor" if rest.is_empty() => {
            capabilities::handle(active, ask, head)
        }
        "audit" => audit::handle(active, ask, rest, work).await,
        "audit-hash" => audit::hash(active, ask, rest),
        "leases" => leases::handle(active, ask, rest, work).await,
        "renew" => leases::renew(active, ask, rest, work).await,
        "revoke" => leases::revoke(active, ask, rest).await,
        "revoke-prefix" => leases::revoke_prefix(active, ask, rest).await,
        "revoke-force" => leases::revoke_force(active, ask, rest).await,
        "wrapping" => wrapping(active, ask, rest).await,
        "key-status" if rest.is_empty() => keys::status(active, ask),
        "rekey" => keys::backup(ask, rest),
        "rotate" => keys::rotate(active, ask, rest).await,
        "seal" if rest.is_empty() => keys::seal(core, ask),
        "step-down" if rest.is_empty() => keys::step_down(ask),
        "metrics" if rest.is_empty() => status::metrics(active, ask),
        "host-info" | "ha-status" | "version-history" | "in-flight-req" | "monitor" | "loggers" => {
            status::handle(active, ask, head, rest)
        }
        "config" => status::config(active, ask, rest),
        "plugins" => status::plugins(ask, rest),
        "internal" => internal::handle(active, ask, rest),
        "tools" => tools::handle(ask, rest),
        _ => Err(Refusal::UnsupportedPath),
    }
}

async fn wrapping(active: &Arc<Active>, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    let reads = path == "lookup" && ask.operation == Operation::Read;
    if !(reads || ask.operation.writes()) {
        return Err(Refusal::UnsupportedOperation);
    }
    match path {
        "wrap" => wrap::wrap_data(ask),
        "lookup" => wrap::lookup(active, ask),
        "unwrap" => wrap::unwrap(active, ask).await,
        "rewrap" => wrap::rewrap(active, ask).await,
        _ => Err(Refusal::UnsupportedPath),
    }
}
