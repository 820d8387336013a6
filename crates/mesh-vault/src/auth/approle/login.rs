//! `login`: a role identifier, and a secret identifier where the role asks for one.

use super::{HASHED_BYTES_MAX, Lockout, Role, secret_id::SecretId};
use crate::{
    auth::{cidr, identifier, token_parameters},
    logical::{Auth, Context, Object, Refusal, Request, Response, Turn},
    moment,
    storage::Transaction,
};
use std::{collections::BTreeMap, net::IpAddr};

/// One text for every wrong credential.
const INVALID: &str = "invalid role or secret ID";

/// Only a login whose secret identifier may be used without end need not wait for others of its role.
pub(super) fn turn(request: &Request, transaction: &Transaction<'_>) -> Result<Turn, Refusal> {
    let Some((name, role)) = Role::by_id(&given(request, "role_id")?, transaction)? else {
        return Ok(Turn::Free);
    };
    let hash = identifier::hashed(&role.hash_key, &given(request, "secret_id")?);
    // One that is over is of no use either way: time does not matter here.
    let stored = SecretId::read(&name, &hash, 0, transaction)?;
    Ok(if stored.is_some_and(|stored| stored.uses == 0) { Turn::Free } else { Turn::Key(name) })
}

pub(super) fn login(
    lockout: &Lockout,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let role_id = given(request, "role_id")?;
    if role_id.is_empty() {
        return Err(Refusal::Status { status: 500, text: "missing role_id".to_owned() });
    }
    let invalid = || Refusal::invalid(INVALID);
    let (name, role) = Role::by_id(&role_id, transaction)?.ok_or_else(invalid)?;
    lockout.check(context, &role_id, transaction)?;

    let mut auth = role.token.auth();
    if role.bind_secret_id {
        let secret_id = given(request, "secret_id")?;
        if secret_id.is_empty() {
            return Err(Refusal::invalid("missing secret_id"));
        }
        let Some(used) = used(&secret_id, &name, &role, request.remote, context, transaction)? else {
            lockout.failed(context, &role_id, transaction)?;
            return Err(invalid());
        };
        auth.metadata = used.metadata;
        if !used.token_cidrs.is_empty() {
            auth.bound_cidrs = token_parameters::parsed_blocks(&used.token_cidrs)?;
        }
    }
    check_address(request.remote, role.login_cidrs(), "by CIDR restrictions on the role")?;
    lockout.succeeded(context, &role_id, transaction);
    Ok(Response { auth: Some(named(auth, name, role_id, context)), ..Response::empty() })
}

/// The secret identifier, with one use less; `None` if there is none or it is over.
fn used(
    secret_id: &str,
    name: &str,
    role: &Role,
    remote: Option<IpAddr>,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Option<SecretId>, Refusal> {
    if secret_id.len() > HASHED_BYTES_MAX {
        return Ok(None);
    }
    let now = moment::nanos(context.now);
    let hash = identifier::hashed(&role.hash_key, secret_id);
    let Some(mut stored) = SecretId::read(name, &hash, now, transaction)? else { return Ok(None) };
    if !cidr::is_subset(&stored.cidrs, role.login_cidrs()) {
        return Err(Refusal::failed("CIDR blocks of the secret ID are not a subset of those of the role"));
    }
    check_address(remote, &stored.cidrs, "through CIDR restrictions on the secret ID")?;
    match stored.uses {
        0 => {}
        1 => stored.remove(name, &hash, transaction)?,
        _ => {
            stored.uses -= 1;
            stored.updated = now;
            stored.keep(name, &hash, transaction)?;
        }
    }
    Ok(Some(stored))
}

fn check_address(remote: Option<IpAddr>, blocks: &[String], restricted: &str) -> Result<(), Refusal> {
    if blocks.is_empty() {
        return Ok(());
    }
    let remote = remote.ok_or_else(|| Refusal::failed("failed to get connection information"))?;
    if cidr::any_contains(blocks, remote) {
        return Ok(());
    }
    Err(Refusal::invalid(format!("source address {:?} unauthorized {restricted}", remote.to_string())))
}

fn named(mut auth: Auth, name: String, role_id: String, context: &Context) -> Auth {
    auth.metadata.insert("role_name".to_owned(), name.clone());
    auth.display_name = token_parameters::display_name(&context.mount, "");
    auth.alias = role_id;
    auth.internal = Object::from_iter([("role_name".to_owned(), name.into())]);
    auth
}

/// Renewal: as the role says now.
pub(super) fn renew(request: &Request, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let name = request.internal.get("role_name").and_then(serde_json::Value::as_str).unwrap_or_default();
    if name.is_empty() {
        return Err(Refusal::failed("failed to fetch role_name during renewal"));
    }
    let role = Role::read(name, transaction)?;
    let role = role.ok_or_else(|| Refusal::failed(format!("role {name:?} does not exist during renewal")))?;
    let metadata = BTreeMap::from([("role_name".to_owned(), name.to_owned())]);
    let auth = Auth { metadata, internal: request.internal.clone(), ..role.token.auth() };
    Ok(Response { auth: Some(auth), ..Response::empty() })
}

fn given(request: &Request, field: &str) -> Result<String, Refusal> {
    Ok(request.fields().string(field)?.unwrap_or_default().trim().to_owned())
}
