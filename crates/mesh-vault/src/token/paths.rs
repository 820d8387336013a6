//! `auth/token/`.

use super::{create, describe, renew, revoke, roles, store, tidy};
use crate::{
    core::{active::Active, ask::Ask, mounts::Mount, reply::Reply, work::Work},
    logical::{Operation, Refusal, Response, SpecialPaths},
};
use mesh_redact::Secret;
use std::{sync::Arc, time::Duration};

/// Paths that need `sudo`.
pub(crate) fn special() -> SpecialPaths {
    SpecialPaths { unauthenticated: &[], root: &["revoke-orphan/*", "accessors*"] }
}

/// Answers a request whose path below `auth/token/` is `path`.
///
/// # Errors
/// With Vault's words.
pub(crate) async fn handle(
    active: &Arc<Active>,
    mount: &Mount,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let path = path.trim_end_matches('/');
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    let writes = ask.operation.writes();
    match (head, rest) {
        ("accessors", "") if ask.operation == Operation::List => accessors(active),
        ("create", "") if writes => create::create(active, mount, ask, None, false, work).await,
        ("create-orphan", "") if writes => create::create(active, mount, ask, None, true, work).await,
        ("create", role) if writes => create::create(active, mount, ask, Some(role), false, work).await,
        ("lookup", "") if writes || ask.operation == Operation::Read => lookup(active, ask),
        ("lookup-self", "") if writes || ask.operation == Operation::Read => lookup_self(ask),
        ("lookup-accessor", "") if writes => lookup_accessor(active, ask),
        ("renew", "") if writes => {
            let token = given(ask, "token")?.ok_or_else(|| Refusal::invalid("missing token ID"))?;
            renew_token(active, ask, Secret::new(token), work).await
        }
        ("renew-self", "") if writes => {
            let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
            renew_token(active, ask, bearer.token.clone(), work).await
        }
        ("renew-accessor", "") if writes => {
            let name = by_accessor(active, ask)?;
            renew(active, &name, Secret::default(), increment(ask)?, ask.now, work).await
        }
        ("revoke", "") if writes => {
            let token = given(ask, "token")?.ok_or_else(|| Refusal::invalid("missing token ID"))?;
            revoke_token(active, ask, &token).await
        }
        ("revoke-self", "") if writes => {
            let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
            revoke_token(active, ask, bearer.token.expose()).await
        }
        ("revoke-accessor", "") if writes => revoke_accessor(active, ask).await,
        ("revoke-orphan", "") if writes => revoke_orphan(active, ask).await,
        ("roles", name) => roles::handle(active, ask, name, work).await,
        ("tidy", "") if writes => Ok(tidy::start(active)),
        (
            "accessors" | "create" | "create-orphan" | "lookup" | "lookup-self" | "lookup-accessor" | "renew"
            | "renew-self" | "renew-accessor" | "revoke" | "revoke-self" | "revoke-accessor"
            | "revoke-orphan" | "tidy",
            "",
        ) => Err(Refusal::UnsupportedOperation),
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// Whether a role is there, so that writing it is an update.
pub(crate) fn exists(active: &Active, path: &str) -> Result<Option<bool>, Refusal> {
    match path.strip_prefix("roles/") {
        Some(name) => Ok(Some(roles::exists(active.store(), name)?)),
        None => Ok(None),
    }
}

/// A field of the body. Never a part of the path: paths stand in logs.
fn given(ask: &Ask, field: &str) -> Result<Option<String>, Refusal> {
    Ok(ask.fields().string(field)?.filter(|value| !value.is_empty()))
}

fn given_accessor(ask: &Ask) -> Result<String, Refusal> {
    given(ask, "accessor")?.ok_or_else(|| Refusal::invalid("1 error occurred:\n\t* missing accessor\n\n"))
}

fn increment(ask: &Ask) -> Result<Duration, Refusal> {
    Ok(ask.fields().duration("increment")?.unwrap_or_default())
}

fn accessors(active: &Active) -> Result<Reply, Refusal> {
    let mut found: Vec<String> =
        store::accessors(active.store())?.into_iter().map(|one| one.accessor).collect();
    found.sort();
    Ok(Response::keys(found).into())
}

fn lookup(active: &Active, ask: &Ask) -> Result<Reply, Refusal> {
    let Some(token) = given(ask, "token")? else { return lookup_self(ask) };
    let entry = active.tokens.lookup(active.store(), &token, ask.now)?;
    let entry = entry.ok_or_else(|| Refusal::Status { status: 403, text: "bad token".to_owned() })?;
    Ok(Response::data(describe(&entry, &token, ask.now)).into())
}

fn lookup_self(ask: &Ask) -> Result<Reply, Refusal> {
    let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
    Ok(Response::data(describe(&bearer.entry, bearer.token.expose(), ask.now)).into())
}

fn lookup_accessor(active: &Active, ask: &Ask) -> Result<Reply, Refusal> {
    let name = by_accessor(active, ask)?;
    let entry = active.tokens.lookup_name(active.store(), &name, ask.now)?.ok_or_else(invalid_accessor)?;
    Ok(Response::data(describe(&entry, "", ask.now)).into())
}

fn by_accessor(active: &Active, ask: &Ask) -> Result<String, Refusal> {
    let accessor = given_accessor(ask)?;
    active.tokens.by_accessor(active.store(), &accessor)?.ok_or_else(invalid_accessor)
}

fn invalid_accessor() -> Refusal {
    Refusal::invalid("1 error occurred:\n\t* invalid accessor\n\n")
}

async fn renew_token(
    active: &Active,
    ask: &Ask,
    token: Secret<String>,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let entry = active.tokens.lookup(active.store(), token.expose(), ask.now)?;
    let entry = entry.ok_or_else(|| Refusal::invalid("token not found"))?;
    if entry.kind == super::Kind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be renewed"));
    }
    renew(active, &entry.name, token, increment(ask)?, ask.now, work).await
}

async fn revoke_token(active: &Arc<Active>, ask: &Ask, token: &str) -> Result<Reply, Refusal> {
    let Some(entry) = active.tokens.lookup(active.store(), token, ask.now)? else {
        return Ok(Reply::default());
    };
    if entry.kind == super::Kind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be revoked"));
    }
    revoke_tree(active, &entry.name).await?;
    Ok(Reply::default())
}

async fn revoke_accessor(active: &Arc<Active>, ask: &Ask) -> Result<Reply, Refusal> {
    let accessor = given_accessor(ask)?;
    let Some(name) = active.tokens.by_accessor(active.store(), &accessor)? else {
        return Ok(Response::empty().warn("No token found with this accessor").into());
    };
    revoke_tree(active, &name).await?;
    Ok(Reply::default())
}

async fn revoke_orphan(active: &Arc<Active>, ask: &Ask) -> Result<Reply, Refusal> {
    let token = given(ask, "token")?.ok_or_else(|| Refusal::invalid("missing token ID"))?;
    if !ask.sudo {
        return Err(Refusal::invalid("root or sudo privileges required to revoke and orphan"));
    }
    let entry = active.tokens.lookup(active.store(), &token, ask.now)?;
    let entry = entry.ok_or_else(|| Refusal::invalid("token to revoke not found"))?;
    if entry.kind == super::Kind::Batch {
        return Err(Refusal::invalid("batch tokens cannot be revoked"));
    }
    revoke::revoke_alone(active, &entry.name).await?;
    Ok(Reply::default())
}

/// On a task of its own: a caller that goes away does not stop it half way.
async fn revoke_tree(active: &Arc<Active>, name: &str) -> Result<(), Refusal> {
    let (active, name) = (Arc::clone(active), name.to_owned());
    let done = tokio::spawn(async move { revoke::revoke_tree(&active, &name).await }).await;
    let failed =
        |error| Refusal::Internal { attempted: "internal error".to_owned(), source: Some(Box::new(error)) };
    Ok(done.map_err(failed)??)
}
