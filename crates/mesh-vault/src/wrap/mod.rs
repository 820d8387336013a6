//! Wrapping: an answer is put into the cubbyhole of a token that may be used once, and the token is answered.

use crate::{
    core::{
        active::Active,
        ask::Ask,
        mounts::Mount,
        reply::{Reply, WrapInfo, WrapWish},
        work::Work,
    },
    logical::{Object, Raw, Refusal, Response},
    moment, policy,
    storage::StorageError,
    token::{self, Draft, LAST_USE_RUNNING, TokenEntry},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;
use std::{sync::Arc, time::Duration};

/// Entry of the wrapped answer in the token's cubbyhole.
const RESPONSE: &str = "response";
/// Entry about it.
const INFO: &str = "wrapinfo";

fn invalid() -> Refusal {
    Refusal::invalid("wrapping token is not valid or does not exist")
}

/// The wrapping token that is meant: the one in the body, or else the one that asks.
fn meant(ask: &Ask) -> Result<(String, bool), Refusal> {
    match ask.data.get("token") {
        Some(serde_json::Value::String(token)) if token.is_empty() => {
            Err(told("error validating wrapping token: empty token in request body"))
        }
        Some(serde_json::Value::String(token)) => Ok((token.clone(), true)),
        Some(value) if !value.is_null() => {
            Err(told("error validating wrapping token: could not decode token in request body"))
        }
        _ => match &ask.sent_token {
            Some(token) => Ok((token.expose().clone(), false)),
            None => Err(told("error validating wrapping token: token is empty")),
        },
    }
}

fn told(text: &str) -> Refusal {
    Refusal::Status { status: 403, text: text.to_owned() }
}

/// Refuses what opens a wrapping, before anything else is looked at, unless there is a wrapping token.
///
/// # Errors
/// When there is none, or it is another kind of token.
pub(crate) fn admit(active: &Active, ask: &Ask) -> Result<(), Refusal> {
    let (token, _) = meant(ask)?;
    let entry = active.tokens.lookup(active.store(), &token, ask.now)?.ok_or_else(invalid)?;
    if entry.is_wrapping() { Ok(()) } else { Err(invalid()) }
}

/// Puts an answer into a wrapping.
///
/// # Errors
/// When the machine gives no randomness.
pub(crate) fn wrap(
    active: &Active,
    mount: &Mount,
    ask: &Ask,
    wish: WrapWish,
    reply: &mut Reply,
    work: &mut Work,
) -> Result<(), Refusal> {
    let issued = moment::nanos(ask.now);
    let ttl = wish.ttl.as_secs().max(1);
    let entry = TokenEntry {
        policies: vec![policy::WRAPPING.to_owned()],
        path: ask.path.clone(),
        num_uses: 1,
        issued,
        ttl,
        explicit_max_ttl: ttl,
        expires: Some(issued.saturating_add(ttl.saturating_mul(1_000_000_000))),
        ..TokenEntry::default()
    };
    let token = active.tokens.issue(Draft { entry, chosen: None }, work)?;
    active.metrics.token();
    let (body, path) = match wish.again {
        Some((body, path)) => (body, path),
        None => (wrapped_body(ask, mount, reply)?, ask.path.clone()),
    };
    let created = moment::rfc3339(issued);
    let folder = active.cubbyhole(&token.entry.name).ok_or(Refusal::UnsupportedPath)?;
    work.put(format!("{folder}{RESPONSE}"), &body);
    let info = json!({ "creation_ttl": ttl, "creation_time": created, "creation_path": path });
    work.put(format!("{folder}{INFO}"), &info);
    let wrapped_accessor = reply.auth.as_ref().map(|auth| auth.accessor.clone()).or_else(|| {
        let data = reply.response.data.as_ref().filter(|_| mount.entry.kind == "approle")?;
        data.get("secret_id_accessor")?.as_str().map(str::to_owned)
    });
    let warnings = std::mem::take(&mut reply.response.warnings);
    *reply = Reply {
        response: Response { warnings, ..Response::default() },
        wrapped: Some(WrapInfo {
            token: token.token,
            accessor: token.entry.accessor,
            ttl,
            creation_time: created,
            creation_path: path,
            wrapped_accessor,
        }),
        ..Reply::default()
    };
    Ok(())
}

/// `{"response": "<the body as it would have been answered>"}`.
fn wrapped_body(ask: &Ask, mount: &Mount, reply: &mut Reply) -> Result<Object, Refusal> {
    if let Some(raw) = reply.response.raw.take() {
        let data = json!({
            "http_content_type": raw.content_type,
            "http_raw_body": BASE64_STANDARD.encode(raw.body),
            "http_status_code": raw.status,
        });
        reply.response.data = data.as_object().cloned();
    }
    let failed = |error: serde_json::Error| Refusal::Internal {
        attempted: "internal error".to_owned(),
        source: Some(Box::new(error)),
    };
    let body = reply.body(&ask.id, &mount.entry.kind, false).map_err(failed)?;
    let body = String::from_utf8_lossy(&body).trim_end().to_owned();
    Ok(Object::from_iter([(RESPONSE.to_owned(), body.into())]))
}

/// `sys/wrapping/wrap`
///
/// # Errors
/// When no TTL was asked for.
pub(crate) fn wrap_data(ask: &Ask) -> Result<Reply, Refusal> {
    if ask.wrap_ttl.is_none() {
        return Err(Refusal::invalid("endpoint requires response wrapping to be used"));
    }
    Ok(Response::data(ask.data.clone()).into())
}

/// `sys/wrapping/lookup`
///
/// # Errors
/// When the token is no wrapping token.
pub(crate) fn lookup(active: &Active, ask: &Ask) -> Result<Reply, Refusal> {
    let (token, _) = meant(ask)?;
    let name = active.tokens.name(&token);
    let info = read(active, &name, INFO)?.ok_or_else(invalid)?;
    Ok(Response::data(info).into())
}

/// `sys/wrapping/unwrap`
///
/// # Errors
/// When the token is no wrapping token, or was used before.
pub(crate) async fn unwrap(active: &Arc<Active>, ask: &Ask) -> Result<Reply, Refusal> {
    let (body, _) = open(active, ask).await?;
    let text = body.get(RESPONSE).and_then(serde_json::Value::as_str).unwrap_or_default();
    if text.is_empty() {
        return Ok(Reply::default());
    }
    let raw = Raw {
        status: 200,
        content_type: "application/json".to_owned(),
        body: format!("{text}\n").into_bytes(),
    };
    Ok(Response { raw: Some(raw), ..Response::default() }.into())
}

/// `sys/wrapping/rewrap`
///
/// # Errors
/// As above.
pub(crate) async fn rewrap(active: &Arc<Active>, ask: &Ask) -> Result<Reply, Refusal> {
    let (body, info) = open(active, ask).await?;
    let ttl = info.get("creation_ttl").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let path = info.get("creation_path").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let wish = WrapWish { ttl: Duration::from_secs(ttl), again: Some((body, path)) };
    Ok(Reply { wrap: Some(wish), ..Reply::default() })
}

/// What is wrapped, and about it. The token is used up: the caller's by the pipeline, another's here.
async fn open(active: &Arc<Active>, ask: &Ask) -> Result<(Object, Object), Refusal> {
    let (token, others) = meant(ask)?;
    let name = active.tokens.name(&token);
    if others {
        use_up(active, ask, &name).await?;
    }
    let opened = read(active, &name, RESPONSE)?.zip(read(active, &name, INFO)?);
    if others {
        token::revoke_tree(active, &name).await?;
    }
    opened.ok_or_else(invalid)
}

/// Takes the one use; whoever comes second finds none.
async fn use_up(active: &Active, ask: &Ask, name: &str) -> Result<(), Refusal> {
    let _held = active.turns.alone(token::turn(name)).await;
    let entry = active.tokens.lookup_name(active.store(), name, ask.now)?.filter(|entry| entry.is_wrapping());
    let mut entry = entry.ok_or_else(invalid)?.as_ref().clone();
    entry.num_uses = LAST_USE_RUNNING;
    let mut work = Work::default();
    active.tokens.store(&entry, &mut work);
    Ok(active.commit(work).await?)
}

fn read(active: &Active, token: &str, entry: &str) -> Result<Option<Object>, StorageError> {
    let Some(folder) = active.cubbyhole(token) else { return Ok(None) };
    let key = format!("{folder}{entry}");
    let Some(stored) = active.store().get(&key)? else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|_| StorageError::Corrupt { key })
}
