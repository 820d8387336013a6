//! `sys/internal/`: what user interfaces and command lines ask.

use super::mounts::describe;
use crate::{
    core::{active::Active, ask::Ask, mounts::Mount, reply::Reply},
    logical::{Object, Operation, Refusal, Response},
};
use serde_json::{Value, json};

/// `sys/internal/...`
pub(super) fn handle(active: &Active, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    if ask.operation != Operation::Read {
        return Err(Refusal::UnsupportedOperation);
    }
    match path {
        "ui/mounts" => Ok(mounts(active, ask)),
        "ui/feature-flags" => {
            Ok(Response::data(Object::from_iter([("feature_flags".to_owned(), json!([]))])).into())
        }
        "ui/resultant-acl" => resultant(ask),
        "ui/namespaces" => Err(Refusal::NotFound),
        _ => match path.strip_prefix("ui/mounts/") {
            Some(path) => mount(active, ask, path),
            None => Err(Refusal::UnsupportedPath),
        },
    }
}

fn reaches(ask: &Ask, mount: &Mount) -> bool {
    let open = mount.entry.config.listing_visibility.as_deref() == Some("unauth");
    open || ask.bearer.as_ref().is_some_and(|bearer| bearer.acl.reaches(&mount.path))
}

/// The mounts that are of any use to who asks.
fn mounts(active: &Active, ask: &Ask) -> Reply {
    let (mut secret, mut auth) = (Object::new(), Object::new());
    for mount in active.mounts().iter().filter(|mount| reaches(ask, mount)) {
        let entry = &mount.entry;
        let described = if ask.bearer.is_some() {
            Value::Object(describe(mount))
        } else {
            json!({ "type": entry.kind, "description": entry.description, "options": entry.options })
        };
        match mount.path.strip_prefix("auth/") {
            Some(path) => auth.insert(path.to_owned(), described),
            None => secret.insert(mount.path.clone(), described),
        };
    }
    let data = [("auth".to_owned(), Value::Object(auth)), ("secret".to_owned(), Value::Object(secret))];
    Response::data(Object::from_iter(data)).into()
}

/// The mount of a path, for who may reach it: how clients find out which version of KV they talk to.
fn mount(active: &Active, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    if ask.bearer.is_none() {
        return Err(Refusal::Denied);
    }
    let mounts = active.mounts();
    let with_slash = format!("{path}/");
    let found = mounts.find(path).or_else(|| mounts.find(&with_slash)).filter(|mount| reaches(ask, mount));
    let Some(mount) = found else {
        let text = format!(
            "preflight capability check returned 403, please ensure client's policies grant access to path {with_slash:?}"
        );
        return Err(Refusal::Status { status: 403, text });
    };
    let mut data = describe(mount);
    let shown = mount.path.strip_prefix("auth/").unwrap_or(&mount.path);
    data.insert("path".to_owned(), json!(shown));
    Ok(Response::data(data).into())
}

fn resultant(ask: &Ask) -> Result<Reply, Refusal> {
    let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
    let data = if bearer.entry.is_root() { json!({ "root": true }) } else { bearer.acl.describe() };
    let Value::Object(data) = data else { return Err(Refusal::UnsupportedPath) };
    Ok(Response::data(data).into())
}
