//! `sys/policy`, `sys/policies/acl`, `sys/policies/password`.

use crate::{
    core::{active::Active, ask::Ask, policy_refusal, reply::Reply, work::Work},
    logical::{Object, Operation, Refusal, Response},
    policy::{DEFAULT, PolicyStore, ROOT, WRAPPING},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::json;

/// `sys/policies/<type>/...`
pub(super) fn handle_typed(
    active: &Active,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match path.split_once('/').unwrap_or((path, "")) {
        ("acl", name) => handle(active, ask, name, false, work),
        ("password", name) => super::tools::password_policy(active, ask, name, work),
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// A policy, or all of them. The old path has other names for what it answers.
pub(super) fn handle(
    active: &Active,
    ask: &Ask,
    name: &str,
    old: bool,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match ask.operation {
        Operation::List => list(active, old),
        Operation::Read if name.is_empty() && old => list(active, old),
        Operation::Read if !name.is_empty() => read(active, name, old),
        Operation::Create | Operation::Update if !name.is_empty() => write(ask, name, old, work),
        Operation::Delete if !name.is_empty() => delete(name, work),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn list(active: &Active, old: bool) -> Result<Reply, Refusal> {
    let names = PolicyStore::list(active.store())?;
    let mut response = Response::keys(names.clone());
    if let Some(data) = response.data.as_mut().filter(|_| old) {
        data.insert("policies".to_owned(), json!(names));
    }
    Ok(response.into())
}

fn read(active: &Active, name: &str, old: bool) -> Result<Reply, Refusal> {
    let policy =
        active.policies.get(active.store(), name).map_err(policy_refusal)?.ok_or(Refusal::NotFound)?;
    let text = if old { "rules" } else { "policy" };
    let data = [("name".to_owned(), json!(policy.name)), (text.to_owned(), json!(policy.text))];
    Ok(Response::data(Object::from_iter(data)).into())
}

fn write(ask: &Ask, given: &str, old: bool, work: &mut Work) -> Result<Reply, Refusal> {
    let name = given.to_lowercase();
    let mut reply = Reply::default();
    if name != given {
        reply.response.warnings.push(format!("policy name was converted to {name}"));
    }
    let fields = ask.fields();
    let mut text = fields.string("policy")?.unwrap_or_default();
    if text.is_empty() && old {
        text = fields.string("rules")?.unwrap_or_default();
        reply.response.warnings.push("'rules' is deprecated, please use 'policy' instead".to_owned());
    }
    if text.is_empty() {
        return Err(Refusal::invalid("'policy' parameter not supplied or empty"));
    }
    let decoded = BASE64_STANDARD.decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.unwrap_or(text);
    if name == ROOT || name == WRAPPING {
        return Err(Refusal::invalid(format!("cannot update {name:?} policy")));
    }
    let (key, value) =
        PolicyStore::entry(&name, &text).map_err(|error| Refusal::invalid(error.to_string()))?;
    work.batch.writes.insert(key, Some(value));
    work.then(|active| active.policies.forget());
    Ok(reply)
}

fn delete(name: &str, work: &mut Work) -> Result<Reply, Refusal> {
    let name = name.to_lowercase();
    if name == ROOT || name == WRAPPING {
        return Err(Refusal::invalid(format!("cannot delete {name:?} policy")));
    }
    if name == DEFAULT {
        return Err(Refusal::invalid("cannot delete default policy"));
    }
    work.delete(PolicyStore::key(&name));
    work.then(|active| active.policies.forget());
    Ok(Reply::default())
}
