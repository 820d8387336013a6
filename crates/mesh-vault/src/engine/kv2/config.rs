//! `config`: what holds for every secret of the mount.

use crate::{
    logical::{FieldError, Fields, Object, Operation, Refusal, Request, Response, parse_duration},
    moment,
    storage::{StorageError, Transaction},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

const ENTRY: &str = "config";

/// The mount's settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Config {
    /// 0: the default.
    pub(super) max_versions: u32,
    pub(super) cas_required: bool,
    pub(super) metadata_cas_required: bool,
    /// Seconds; 0 for never.
    delete_after: u64,
    /// No version is deleted by age, whatever its secret says.
    never_by_age: bool,
}

impl Config {
    pub(super) fn read(transaction: &Transaction<'_>) -> Result<Self, StorageError> {
        Ok(transaction.get_json(ENTRY)?.unwrap_or_default())
    }

    /// Seconds after which versions are deleted; `None` where that is forbidden.
    pub(super) fn delete_after(&self) -> Option<u64> {
        (!self.never_by_age).then_some(self.delete_after)
    }
}

pub(super) fn handle(request: &Request, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    match request.operation {
        Operation::Read => Ok(shown(&Config::read(transaction)?)),
        Operation::Create | Operation::Update => write(request.fields(), transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(config: &Config) -> Response {
    let after = if config.never_by_age { "-1s".to_owned() } else { moment::go_duration(config.delete_after) };
    Response::data(Object::from_iter([
        ("cas_required".to_owned(), config.cas_required.into()),
        ("delete_version_after".to_owned(), after.into()),
        ("max_versions".to_owned(), config.max_versions.into()),
        ("metadata_cas_required".to_owned(), config.metadata_cas_required.into()),
    ]))
}

fn write(fields: Fields<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let mut config = Config::read(transaction)?;
    if let Some(max) = max_versions(fields)? {
        config.max_versions = max;
    }
    if let Some(required) = fields.boolean("cas_required")? {
        config.cas_required = required;
    }
    if let Some(required) = fields.boolean("metadata_cas_required")? {
        config.metadata_cas_required = required;
    }
    if fields.has("delete_version_after") {
        match delete_after(fields)? {
            Some(after) => (config.delete_after, config.never_by_age) = (after, false),
            None => (config.delete_after, config.never_by_age) = (0, true),
        }
    }
    transaction.put_json(ENTRY, &config)?;
    Ok(Response::empty())
}

/// `max_versions` of a mount or of a secret.
pub(super) fn max_versions(fields: Fields<'_>) -> Result<Option<u32>, Refusal> {
    let Some(max) = fields.integer("max_versions")? else { return Ok(None) };
    let max = u32::try_from(max).map_err(|_| Refusal::invalid("max_versions is out of range"))?;
    Ok(Some(max))
}

/// Seconds; `None` for a negative duration, which forbids deleting by age.
fn delete_after(fields: Fields<'_>) -> Result<Option<u64>, FieldError> {
    let negative = match fields.value("delete_version_after") {
        Some(Value::Number(number)) => number.as_f64().is_some_and(|number| number < 0.0),
        Some(Value::String(text)) => {
            text.trim().strip_prefix('-').is_some_and(|rest| parse_duration(rest).is_some())
        }
        _ => false,
    };
    if negative {
        return Ok(None);
    }
    Ok(Some(fields.duration("delete_version_after")?.unwrap_or_default().as_secs()))
}
