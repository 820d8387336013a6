//! `delete/`, `undelete/`, `destroy/`: what becomes of versions by their numbers.

use super::{Config, Here, key, version_entry};
use crate::{
    logical::{Fields, Operation, Refusal, Response},
    storage::Transaction,
};

const NO_INTEGERS: &str = "Field validation failed: error converting input for field \"versions\": decoding failed due \
                           to the following error(s):\n\n'[0]' cannot parse value as 'int': strconv.ParseInt: invalid \
                           syntax";

pub(super) fn handle(
    here: Here<'_>,
    verb: &str,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    if !matches!(here.request.operation, Operation::Create | Operation::Update) {
        return Err(Refusal::UnsupportedOperation);
    }
    let numbers = numbers(here.request.fields())?;
    if numbers.is_empty() {
        let no = if verb == "destroy" { "no" } else { "No" };
        return Err(Refusal::invalid(format!("{no} version number provided")));
    }
    let Some(mut key) = here.key(transaction)? else { return Ok(Response::empty()) };
    let config = Config::read(transaction)?;
    let again = key::deletion(here.now, config.delete_after(), key.delete_after);
    for number in numbers {
        let Some(version) = key.versions.get_mut(&number).filter(|version| !version.destroyed) else {
            continue;
        };
        match verb {
            "delete" => version.delete(here.now),
            "undelete" => version.deleted = again,
            _ => {
                version.destroyed = true;
                transaction.delete(&version_entry(here.path, number));
            }
        }
    }
    here.keep(&key, transaction)?;
    Ok(Response::empty())
}

/// `versions`: a list of numbers, or one text with commas. What cannot be a version is left out.
fn numbers(fields: Fields<'_>) -> Result<Vec<u64>, Refusal> {
    let texts = fields.list("versions")?.unwrap_or_default();
    let mut numbers = Vec::with_capacity(texts.len());
    for text in texts {
        let number: i64 = text.parse().map_err(|_| Refusal::invalid(NO_INTEGERS))?;
        numbers.push(u64::try_from(number).unwrap_or(0));
    }
    Ok(numbers)
}
