//! A lease's prolongation.

use super::{
    index::{self, Due},
    record::{self, Record, SecretLease},
    ttl::{self, TtlInput},
};
use crate::{
    core::{
        active::Active,
        ask::Ask,
        engines,
        reply::{LeaseBlock, Reply},
        work::Work,
    },
    logical::{Object, Operation, Refusal, Request},
    moment,
};
use std::time::Duration;

/// Prolongs a lease, a token's too.
///
/// # Errors
/// With Vault's words where it may not be.
pub(crate) async fn renew(
    active: &Active,
    ask: &Ask,
    id: &str,
    increment: Duration,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match record::load(active.store(), id)? {
        None => Err(Refusal::invalid("lease not found")),
        Some(Record::Token(_)) => {
            Err(Refusal::invalid("tokens cannot be renewed through this endpoint, use auth/token/renew"))
        }
        Some(Record::Secret(_)) => renew_secret(active, ask, id, increment, work).await,
    }
}

async fn renew_secret(
    active: &Active,
    ask: &Ask,
    id: &str,
    increment: Duration,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    work.hold(active.turns.alone(format!("lease/{id}")).await);
    let Some(Record::Secret(mut lease)) = record::load(active.store(), id)? else {
        return Err(Refusal::invalid("lease not found"));
    };
    let now = moment::nanos(ask.now);
    if lease.expires <= now {
        return Err(Refusal::invalid("lease expired"));
    }
    if !lease.renewable {
        return Err(Refusal::invalid("lease is not renewable"));
    }
    let mounts = active.mounts();
    let mount = mounts.by_accessor(&lease.mount).ok_or_else(|| Refusal::invalid("lease not found"))?;
    let (response, run) =
        engines::run(active, mount, request(&lease), ask.now).await.map_err(not_renewable)?;
    run.into_work(work);
    let said = response.lease.unwrap_or_default();
    let (mount_default, mount_max) = active.ttls(mount);
    let input = TtlInput {
        increment,
        ttl: said.ttl,
        max_ttl: if said.max_ttl.is_zero() { Duration::from_secs(lease.max_ttl) } else { said.max_ttl },
        mount_default,
        mount_max,
        age: Duration::from_nanos(now.saturating_sub(lease.issued)),
        ..TtlInput::default()
    };
    let (ttl, warnings) = ttl::calculate(&input).map_err(|error| Refusal::invalid(error.to_string()))?;
    index::remove(work, &Due::Lease(id.to_owned()), lease.expires);
    lease.expires = now.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
    lease.last_renewal = Some(now);
    index::insert(work, &Due::Lease(id.to_owned()), lease.expires);
    let block = LeaseBlock { id: id.to_owned(), renewable: lease.renewable, seconds: ttl.as_secs() };
    work.put(record::key(id), &Record::Secret(lease));
    let mut reply = Reply { lease: Some(block), ..Reply::default() };
    reply.response.warnings = warnings;
    Ok(reply)
}

fn request(lease: &SecretLease) -> Request {
    Request {
        operation: Operation::Renew,
        path: lease.path.clone(),
        data: Object::new(),
        token: None,
        remote: None,
        internal: lease.internal.clone(),
    }
}

fn not_renewable(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::UnsupportedOperation | Refusal::UnsupportedPath => {
            Refusal::invalid("lease is not renewable")
        }
        other => other,
    }
}
