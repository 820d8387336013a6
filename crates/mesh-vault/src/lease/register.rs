//! A lease's beginning.

use super::{
    index::{self, Due},
    record::{self, Record, SecretLease},
    ttl::{self, TtlInput},
};
use crate::{
    core::{active::Active, ask::Ask, mounts::Mount, random, reply::LeaseBlock, work::Work},
    logical::{Lease, Refusal},
    moment,
    token::{Kind, TokenEntry},
};

/// Letters at the end of a lease's id.
const LETTERS: usize = 24;

/// The lease of a secret that an engine made. The TTL's warnings are handed back.
///
/// # Errors
/// When the machine gives no randomness, or no time is left.
pub(crate) fn register(
    active: &Active,
    mount: &Mount,
    ask: &Ask,
    lease: Lease,
    work: &mut Work,
) -> Result<(LeaseBlock, Vec<String>), Refusal> {
    let (mount_default, mount_max) = active.ttls(mount);
    let input =
        TtlInput { ttl: lease.ttl, max_ttl: lease.max_ttl, mount_default, mount_max, ..TtlInput::default() };
    let (ttl, warnings) = ttl::calculate(&input).map_err(|error| Refusal::invalid(error.to_string()))?;
    let id = format!("{}/{}", ask.path.trim_end_matches('/'), random::base62(LETTERS)?);
    let issued = moment::nanos(ask.now);
    let expires = issued.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(u64::MAX));
    let token = ask.bearer.as_ref().filter(|bearer| bearer.entry.kind == Kind::Service);
    let token = token.map(|bearer| bearer.entry.name.clone());
    if let Some(token) = &token {
        work.put(record::token_key(token, &id), &id);
    }
    index::insert(work, &Due::Lease(id.clone()), expires);
    let kept = SecretLease {
        id: id.clone(),
        mount: mount.entry.accessor.clone(),
        path: mount.relative(&ask.path).to_owned(),
        token,
        issued,
        expires,
        last_renewal: None,
        max_ttl: lease.max_ttl.as_secs(),
        renewable: lease.renewable,
        internal: lease.internal,
    };
    work.put(record::key(&id), &Record::Secret(Box::new(kept)));
    Ok((LeaseBlock { id, renewable: lease.renewable, seconds: ttl.as_secs() }, warnings))
}

/// The lease of a token that was made.
pub(crate) fn token_issued(work: &mut Work, entry: &TokenEntry) {
    work.put(record::key(&entry.lease_id()), &Record::Token(entry.name.clone()));
    if let Some(expires) = entry.expires {
        index::insert(work, &Due::Token(entry.name.clone()), expires);
    }
}

/// The token is gone.
pub(crate) fn token_revoked(work: &mut Work, entry: &TokenEntry) {
    work.delete(record::key(&entry.lease_id()));
}
