//! `metadata/<path>`: a secret's settings, the list of its versions, and the names of secrets.

use super::{Config, Here, Key, config, custom, data, meta_entry, version_entry};
use crate::{
    engine::listing,
    logical::{Fields, Object, Operation, Refusal, Response},
    moment,
    storage::Transaction,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SETTINGS: [&str; 5] =
    ["max_versions", "cas_required", "metadata_cas_required", "delete_version_after", "custom_metadata"];

pub(super) fn handle(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    match here.request.operation {
        Operation::Read => Ok(shown(&here.key(transaction)?.ok_or(Refusal::NotFound)?)),
        Operation::List => {
            let names = transaction.list(&listing::folder(&meta_entry(here.path)))?;
            listing::answer(names, here.request.fields())
        }
        Operation::Create | Operation::Update => write(here, transaction),
        Operation::Patch => patch(here, transaction),
        Operation::Delete => delete(here, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(key: &Key) -> Response {
    let versions = key.versions.iter().map(|(number, version)| {
        let facts = json!({
            "created_time": moment::rfc3339(version.created),
            "deletion_time": version.deleted.map(moment::rfc3339).unwrap_or_default(),
            "destroyed": version.destroyed,
        });
        (number.to_string(), facts)
    });
    let custom = if key.custom.is_empty() { Value::Null } else { json!(key.custom) };
    Response::data(Object::from_iter([
        ("cas_required".to_owned(), key.cas_required.into()),
        ("created_time".to_owned(), moment::rfc3339(key.created).into()),
        ("current_metadata_version".to_owned(), key.settings_version.into()),
        ("current_version".to_owned(), key.current.into()),
        ("custom_metadata".to_owned(), custom),
        ("delete_version_after".to_owned(), moment::go_duration(key.delete_after).into()),
        ("max_versions".to_owned(), key.max_versions.into()),
        ("metadata_cas_required".to_owned(), key.metadata_cas_required.into()),
        ("oldest_version".to_owned(), key.oldest.into()),
        ("updated_time".to_owned(), moment::rfc3339(key.updated).into()),
        ("versions".to_owned(), Value::Object(versions.collect())),
    ]))
}

fn write(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    if here.path.is_empty() {
        return Err(Refusal::invalid("missing path"));
    }
    let fields = here.request.fields();
    if !SETTINGS.iter().any(|setting| fields.has(setting)) {
        return Ok(Response::empty());
    }
    let custom = match fields.object("custom_metadata")? {
        Some(given) => Some(custom::parse(&given, false)?),
        None => None,
    };
    let config = Config::read(transaction)?;
    let stored = here.key(transaction)?;
    check_cas(fields, &config, stored.as_ref())?;
    let mut key = stored.unwrap_or_else(|| Key { created: here.now, ..Key::default() });
    settle(fields, &mut key)?;
    if let Some(custom) = custom {
        key.custom = custom.into_iter().filter_map(|(key, value)| Some((key, value?))).collect();
    }
    finish(here, key, &config, transaction)
}

/// A JSON merge patch of the settings: `null` sets one back.
fn patch(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let fields = here.request.fields();
    if !SETTINGS.iter().any(|setting| fields.has(setting)) {
        return Ok(Response::empty());
    }
    if here.path.is_empty() {
        return Err(Refusal::invalid("missing path"));
    }
    let custom = match fields.object("custom_metadata")? {
        Some(given) => Some(custom::parse(&given, true)?),
        None => None,
    };
    let config = Config::read(transaction)?;
    let Some(mut key) = here.key(transaction)? else { return Ok(data::bare_not_found()) };
    check_cas(fields, &config, Some(&key))?;
    set_back(&here.request.data, &mut key);
    settle(fields, &mut key)?;
    merge_custom(&mut key.custom, custom.unwrap_or_default());
    custom::check_count(key.custom.len())?;
    finish(here, key, &config, transaction)
}

fn delete(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let Some(key) = here.key(transaction)? else { return Ok(Response::empty()) };
    for number in key.versions.keys() {
        transaction.delete(&version_entry(here.path, *number));
    }
    transaction.delete(&meta_entry(here.path));
    Ok(Response::empty())
}

/// `metadata_cas` guards the settings as `cas` guards the data.
fn check_cas(fields: Fields<'_>, config: &Config, key: Option<&Key>) -> Result<(), Refusal> {
    let required = config.metadata_cas_required || key.is_some_and(|key| key.metadata_cas_required);
    match (fields.integer("metadata_cas")?, key) {
        (None, _) if required => {
            Err(Refusal::invalid("metadata check-and-set parameter required for this call"))
        }
        (Some(cas), None) if cas != 0 => {
            Err(Refusal::invalid("metadata_cas must be 0 when creating new metadata"))
        }
        (Some(cas), Some(key)) if u64::try_from(cas) != Ok(key.settings_version) => {
            Err(Refusal::invalid("metadata check-and-set parameter does not match the current version"))
        }
        _ => Ok(()),
    }
}

/// Takes over the settings that were given, but for `custom_metadata`.
fn settle(fields: Fields<'_>, key: &mut Key) -> Result<(), Refusal> {
    if let Some(max) = config::max_versions(fields)? {
        key.max_versions = max;
    }
    if let Some(required) = fields.boolean("cas_required")? {
        key.cas_required = required;
    }
    if let Some(required) = fields.boolean("metadata_cas_required")? {
        key.metadata_cas_required = required;
    }
    if let Some(after) = fields.duration("delete_version_after")? {
        key.delete_after = after.as_secs();
    }
    Ok(())
}

fn set_back(data: &Object, key: &mut Key) {
    let null = |setting: &str| data.get(setting).is_some_and(Value::is_null);
    if null("max_versions") {
        key.max_versions = 0;
    }
    if null("cas_required") {
        key.cas_required = false;
    }
    if null("metadata_cas_required") {
        key.metadata_cas_required = false;
    }
    if null("delete_version_after") {
        key.delete_after = 0;
    }
    if null("custom_metadata") {
        key.custom.clear();
    }
}

fn merge_custom(custom: &mut BTreeMap<String, String>, patch: BTreeMap<String, Option<String>>) {
    for (name, value) in patch {
        match value {
            Some(value) => drop(custom.insert(name, value)),
            None => drop(custom.remove(&name)),
        }
    }
}

/// Counts the change, stores it, and says what the mount overrides.
fn finish(
    here: Here<'_>,
    mut key: Key,
    config: &Config,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    key.settings_version = key.settings_version.saturating_add(1);
    key.updated = here.now;
    here.keep(&key, transaction)?;
    let fields = here.request.fields();
    let mut answer = Response::empty();
    for (setting, mandated) in
        [("cas_required", config.cas_required), ("metadata_cas_required", config.metadata_cas_required)]
    {
        if mandated && fields.boolean(setting)? == Some(false) {
            answer = answer.warn(format!(
                "\"{setting}\" set to false, but is mandated by backend config. This value will be ignored."
            ));
        }
    }
    Ok(answer)
}
