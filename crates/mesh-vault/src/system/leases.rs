//! `sys/leases/`, and the paths it had before.

use crate::{
    core::{active::Active, ask::Ask, reply::Reply, work::Work},
    lease::{self, Force, Record},
    logical::{Object, Operation, Refusal, Response},
    moment,
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};

/// `sys/leases/...`
pub(super) async fn handle(
    active: &Arc<Active>,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let (head, rest) = path.split_once('/').unwrap_or((path, ""));
    match head {
        "lookup" => lookup(active, ask, rest),
        "renew" => renew(active, ask, rest, work).await,
        "revoke" => revoke(active, ask, rest).await,
        "revoke-prefix" => revoke_prefix(active, ask, rest).await,
        "revoke-force" => revoke_force(active, ask, rest).await,
        "tidy" if rest.is_empty() && ask.operation.writes() => {
            let told = "Tidy operation successfully started. Any information from the operation will be printed to Vault's server logs.";
            let mut response = Response::empty().warn(told);
            response.status = Some(202);
            let active = Arc::clone(active);
            tokio::spawn(async move {
                if let Err(error) = lease::expire_due(&active, std::time::SystemTime::now()).await {
                    tracing::warn!(%error, "leases could not be tidied");
                }
            });
            Ok(response.into())
        }
        "count" if rest.is_empty() && ask.operation == Operation::Read => counts(ask),
        // None is given up: what cannot be revoked is tried again.
        "" if ask.operation == Operation::Read => counts(ask),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn counts(ask: &Ask) -> Result<Reply, Refusal> {
    if ask.fields().string("type")?.as_deref() != Some("irrevocable") {
        return Err(Refusal::NotFound);
    }
    let detail = if ask.path.ends_with("count") { ("counts", json!({})) } else { ("leases", json!([])) };
    let data = [("lease_count".to_owned(), json!(0)), (detail.0.to_owned(), detail.1)];
    Ok(Response::data(Object::from_iter(data)).into())
}

fn lease_id(ask: &Ask, rest: &str) -> Result<String, Refusal> {
    let id = ask.fields().string("lease_id")?.filter(|id| !id.is_empty());
    let id = id.or_else(|| (!rest.is_empty()).then(|| rest.to_owned()));
    id.ok_or_else(|| Refusal::invalid("lease_id must be specified"))
}

fn lookup(active: &Active, ask: &Ask, rest: &str) -> Result<Reply, Refusal> {
    if ask.operation == Operation::List {
        let prefix = if rest.is_empty() { String::new() } else { format!("{rest}/") };
        return Ok(Response::keys(lease::list(active.store(), &prefix)?).into());
    }
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    let id = lease_id(ask, "")?;
    let invalid = || Refusal::invalid("invalid lease");
    let (issued, expires, last_renewal, renewable) =
        match lease::load(active.store(), &id)?.ok_or_else(invalid)? {
            Record::Secret(lease) => (lease.issued, Some(lease.expires), lease.last_renewal, lease.renewable),
            Record::Token(name) => {
                let entry = active.tokens.lookup_name(active.store(), &name, ask.now)?.ok_or_else(invalid)?;
                (entry.issued, entry.expires, entry.last_renewal, entry.renewable)
            }
        };
    let time = |at: Option<u64>| at.map_or(Value::Null, |at| json!(moment::rfc3339(at)));
    let left = expires.map_or(0, |at| at.saturating_sub(moment::nanos(ask.now)));
    let data = [
        ("id".to_owned(), json!(id)),
        ("issue_time".to_owned(), time(Some(issued))),
        ("expire_time".to_owned(), time(expires)),
        ("last_renewal".to_owned(), time(last_renewal)),
        ("renewable".to_owned(), json!(renewable)),
        ("ttl".to_owned(), json!(Duration::from_nanos(left).as_secs_f64().round() as u64)),
    ];
    Ok(Response::data(Object::from_iter(data)).into())
}

pub(super) async fn renew(active: &Active, ask: &Ask, rest: &str, work: &mut Work) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    let id = lease_id(ask, rest)?;
    let increment = ask.fields().duration("increment")?.unwrap_or_default();
    lease::renew(active, ask, &id, increment, work).await
}

pub(super) async fn revoke(active: &Arc<Active>, ask: &Ask, rest: &str) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    lease::revoke(active, &lease_id(ask, rest)?, Force::No).await?;
    Ok(Reply::default())
}

pub(super) async fn revoke_prefix(active: &Arc<Active>, ask: &Ask, prefix: &str) -> Result<Reply, Refusal> {
    by_prefix(active, ask, prefix, Force::No).await
}

pub(super) async fn revoke_force(active: &Arc<Active>, ask: &Ask, prefix: &str) -> Result<Reply, Refusal> {
    by_prefix(active, ask, prefix, Force::Yes).await
}

async fn by_prefix(active: &Arc<Active>, ask: &Ask, prefix: &str, force: Force) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    lease::revoke_prefix(active, prefix, force).await?;
    Ok(Reply::default())
}
