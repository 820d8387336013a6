//! From an auth method's "yes" to a token.

use super::{
    active::Active,
    ask::Ask,
    mounts::Mount,
    reply::{AuthBlock, Reply},
    work::Work,
};
use crate::{
    lease::ttl::{self, TtlInput},
    logical::{Auth, Refusal, TokenKind},
    moment, policy,
    token::{Draft, Kind, TokenEntry},
};

/// Makes the token of a login. What the method answered besides stays.
///
/// # Errors
/// When the token may not be, or cannot be made.
pub(super) fn login(
    active: &Active,
    mount: &Mount,
    ask: &Ask,
    auth: Auth,
    reply: &mut Reply,
    work: &mut Work,
) -> Result<(), Refusal> {
    let policies = policy::sanitize(&auth.policies, !auth.no_default_policy);
    if policies.iter().any(|name| name == policy::ROOT) {
        return Err(Refusal::invalid("auth methods cannot create root tokens"));
    }
    if policies.iter().any(|name| name == policy::WRAPPING) {
        return Err(Refusal::invalid(format!("cannot assign policy {:?}", policy::WRAPPING)));
    }
    let (mount_default, mount_max) = active.ttls(mount);
    let input = TtlInput {
        ttl: auth.ttl,
        period: auth.period,
        max_ttl: auth.max_ttl,
        explicit_max_ttl: auth.explicit_max_ttl,
        mount_default,
        mount_max,
        ..TtlInput::default()
    };
    let (ttl, warnings) = ttl::calculate(&input).map_err(|error| Refusal::invalid(error.to_string()))?;
    let kind = kind(mount.entry.config.token_type.as_deref(), auth.kind);
    let issued = moment::nanos(ask.now);
    let entry = TokenEntry {
        policies,
        path: ask.path.clone(),
        meta: Some(auth.metadata),
        display_name: auth.display_name,
        num_uses: i64::try_from(auth.num_uses).unwrap_or(i64::MAX),
        issued,
        ttl: ttl.as_secs(),
        explicit_max_ttl: auth.explicit_max_ttl.as_secs(),
        period: auth.period.as_secs(),
        max_ttl: auth.max_ttl.as_secs(),
        kind,
        bound_cidrs: auth.bound_cidrs,
        renewable: auth.renewable && kind == Kind::Service,
        expires: Some(issued.saturating_add(ttl.as_secs().saturating_mul(1_000_000_000))),
        internal: auth.internal,
        ..TokenEntry::default()
    };
    let issued = active.tokens.issue(Draft { entry, chosen: None }, work)?;
    active.metrics.login();
    active.metrics.token();
    reply.auth = Some(AuthBlock::of(&issued));
    reply.response.warnings.extend(warnings);
    Ok(())
}

/// What the mount says counts before what the method says; each may leave it to the other.
fn kind(mount: Option<&str>, method: TokenKind) -> Kind {
    match (mount, method) {
        (Some("service"), _) => Kind::Service,
        (Some("batch"), _) => Kind::Batch,
        (Some("default-batch"), TokenKind::Default | TokenKind::DefaultBatch | TokenKind::Batch) => {
            Kind::Batch
        }
        (Some("default-batch"), _) => Kind::Service,
        (_, TokenKind::Batch | TokenKind::DefaultBatch) => Kind::Batch,
        (_, TokenKind::Default | TokenKind::Service | TokenKind::DefaultService) => Kind::Service,
    }
}
