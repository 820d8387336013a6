//! `data/<path>`: reads, writes, patches and deletes the current version.

use super::{Config, Here, Key, key, read_version, version_entry, version_facts, with_facts};
use crate::{
    logical::{Fields, Object, Operation, Raw, Refusal, Response},
    storage::Transaction,
};
use serde_json::Value;

pub(super) fn handle(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    match here.request.operation {
        Operation::Read => read(here, transaction),
        Operation::Create | Operation::Update => write(here, transaction),
        Operation::Patch => patch(here, transaction),
        Operation::Delete => delete(here, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn read(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let (data, facts) = read_version(here, "data", transaction)?;
    Ok(with_facts("data", data.into(), facts))
}

fn write(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    if here.path.is_empty() {
        return Err(Refusal::invalid("missing path"));
    }
    let data = given_data(here)?;
    let config = Config::read(transaction)?;
    let key = here.key(transaction)?.unwrap_or_default();
    key.check(cas(here)?, config.cas_required).map_err(Refusal::invalid)?;
    add(here, key, &config, &data, transaction)
}

fn patch(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let patch = given_data(here)?;
    let Some(key) = here.key(transaction)? else { return Ok(bare_not_found()) };
    let config = Config::read(transaction)?;
    key.check(cas(here)?, config.cas_required).map_err(Refusal::invalid)?;
    let Some((number, version)) = key.version(0) else { return Ok(bare_not_found()) };
    if !version.readable(here.now) {
        let answer = Response::data(version_facts(&key, number, version));
        return Err(Refusal::NotFoundWith(Box::new(answer)));
    }
    let mut data = here.version_data(number, transaction)?;
    merge(&mut data, patch);
    add(here, key, &config, &data, transaction)
}

fn delete(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let Some(mut key) = here.key(transaction)? else { return Ok(Response::empty()) };
    let current = key.current;
    match key.versions.get_mut(&current) {
        Some(version) if version.readable(here.now) => version.delete(here.now),
        _ => return Ok(Response::empty()),
    }
    here.keep(&key, transaction)?;
    Ok(Response::empty())
}

/// Stores a version more and answers its facts.
fn add(
    here: Here<'_>,
    mut key: Key,
    config: &Config,
    data: &Object,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let deleted = key::deletion(here.now, config.delete_after(), key.delete_after);
    for gone in key.add(here.now, deleted, config.max_versions) {
        transaction.delete(&version_entry(here.path, gone));
    }
    transaction.put_json(&version_entry(here.path, key.current), data)?;
    here.keep(&key, transaction)?;
    let facts = key.version(0).map(|(number, version)| version_facts(&key, number, version));
    Ok(Response::data(facts.unwrap_or_default()))
}

/// The body's `data`.
fn given_data(here: Here<'_>) -> Result<Object, Refusal> {
    here.request.fields().object("data")?.ok_or_else(|| Refusal::invalid("no data provided"))
}

/// `options.cas`. A `cas` of `null` is 0: the secret must not exist.
fn cas(here: Here<'_>) -> Result<Option<i64>, Refusal> {
    let options = here.request.fields().object("options")?.unwrap_or_default();
    if !options.contains_key("cas") {
        return Ok(None);
    }
    let cas = Fields::new(&options).integer("cas");
    let cas = cas.map_err(|_| Refusal::invalid("error parsing check-and-set parameter"))?;
    Ok(Some(cas.unwrap_or(0)))
}

/// A JSON merge patch (RFC 7396): `null` removes, objects are merged, everything else replaces. As deep as the
/// body may be, which its reader bounds.
fn merge(into: &mut Object, patch: Object) {
    for (field, value) in patch {
        match value {
            Value::Null => drop(into.remove(&field)),
            Value::Object(patch) => {
                let mut inner = match into.remove(&field) {
                    Some(Value::Object(inner)) => inner,
                    _ => Object::new(),
                };
                merge(&mut inner, patch);
                into.insert(field, inner.into());
            }
            value => drop(into.insert(field, value)),
        }
    }
}

/// 404 without a body, as Vault answers a patch of what is not there.
pub(super) fn bare_not_found() -> Response {
    let raw = Raw { status: 404, content_type: "application/json".to_owned(), body: Vec::new() };
    Response { raw: Some(raw), ..Response::empty() }
}
