//! A token's prolongation.

use super::{Kind, TokenEntry, revoke::turn, roles};
use crate::{
    core::{
        active::Active,
        engines,
        mounts::{Backend, Mount},
        reply::{AuthBlock, Reply},
        work::Work,
    },
    lease::{
        index::{self, Due},
        ttl::{self, TtlInput},
    },
    logical::{Auth, Object, Operation, Refusal, Request},
    moment,
};
use mesh_redact::Secret;
use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

/// Prolongs the token of a name. `token` is shown with the answer: the token itself, or nothing.
///
/// # Errors
/// With Vault's words where it may not be.
pub(crate) async fn renew(
    active: &Active,
    name: &str,
    token: Secret<String>,
    increment: Duration,
    now: SystemTime,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let not_found = || Refusal::invalid("token not found");
    let entry = active.tokens.lookup_name(active.store(), name, now)?.ok_or_else(not_found)?;
    if entry.kind == Kind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be renewed"));
    }
    if !entry.renewable {
        return Err(Refusal::invalid("lease is not renewable"));
    }
    let mounts = active.mounts();
    let mount = mounts.find(&entry.path).ok_or_else(|| Refusal::invalid("lease is not renewable"))?;
    // The engine's turn first, then the token's: so does whoever makes a lease.
    let limits = limits(active, mount, &entry, now, work).await?;
    work.hold(active.turns.alone(turn(name)).await);
    let entry = active.tokens.lookup_name(active.store(), name, now)?.ok_or_else(not_found)?;
    let (mount_default, mount_max) = active.ttls(mount);
    let seconds = Duration::from_secs;
    let input = TtlInput {
        increment,
        ttl: limits.ttl,
        period: limits.period,
        max_ttl: limits.max_ttl,
        explicit_max_ttl: limits.explicit_max_ttl,
        mount_default,
        mount_max,
        age: seconds((moment::nanos(now) / NANOS).saturating_sub(entry.issued / NANOS)),
    };
    let (ttl, warnings) = ttl::calculate(&input).map_err(|error| Refusal::invalid(error.to_string()))?;
    let renewed = TokenEntry {
        last_renewal: Some(moment::nanos(now)),
        expires: Some(moment::nanos(now).saturating_add(ttl.as_secs().saturating_mul(NANOS))),
        ..entry.as_ref().clone()
    };
    let due = Due::Token(renewed.name.clone());
    if let Some(expires) = entry.expires {
        index::remove(work, &due, expires);
    }
    index::insert(work, &due, renewed.expires.unwrap_or_default());
    active.tokens.store(&renewed, work);
    let auth = AuthBlock {
        token,
        accessor: renewed.accessor.clone(),
        policies: renewed.policies.clone(),
        metadata: renewed.meta.clone(),
        seconds: ttl.as_secs(),
        renewable: true,
        kind: Kind::Service,
        orphan: renewed.parent.is_none(),
        num_uses: renewed.num_uses,
    };
    let mut reply = Reply { auth: Some(auth), ..Reply::default() };
    reply.response.warnings = warnings;
    Ok(reply)
}

const NANOS: u64 = 1_000_000_000;

/// What the token was given when it was made, or last prolonged.
fn granted(entry: &TokenEntry) -> Duration {
    let from = entry.last_renewal.unwrap_or(entry.issued);
    Duration::from_secs(entry.expires.map_or(0, |expires| expires.saturating_sub(from) / NANOS))
}

/// What holds for a renewal: what the role says now, or the auth method, or what was said at the beginning.
async fn limits(
    active: &Active,
    mount: &Mount,
    entry: &Arc<TokenEntry>,
    now: SystemTime,
    work: &mut Work,
) -> Result<Auth, Refusal> {
    let seconds = Duration::from_secs;
    let mut limits = Auth {
        period: seconds(entry.period),
        explicit_max_ttl: seconds(entry.explicit_max_ttl),
        max_ttl: seconds(entry.max_ttl),
        // As long as the last time.
        ttl: granted(entry),
        ..Auth::default()
    };
    if let Some(name) = &entry.role {
        let gone =
            || Refusal::invalid(format!("original token role {name:?} could not be found, not renewing"));
        let role = roles::load(active.store(), name)?.ok_or_else(gone)?;
        limits.period = seconds(role.token_period);
        limits.explicit_max_ttl = seconds(role.token_explicit_max_ttl);
    }
    let Backend::Engine(_) = &mount.backend else { return Ok(limits) };
    let request = Request {
        operation: Operation::Renew,
        path: mount.relative(&entry.path).to_owned(),
        data: Object::new(),
        token: None,
        remote: None,
        internal: entry.internal.clone(),
    };
    match engines::run(active, mount, request, now).await {
        Ok((response, run)) => {
            run.into_work(work);
            Ok(response.auth.unwrap_or(limits))
        }
        Err(Refusal::UnsupportedOperation | Refusal::UnsupportedPath) => Ok(limits),
        Err(refusal) => Err(refusal),
    }
}
