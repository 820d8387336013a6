//! `kv` version 1: what was written is what is read.
//!
//! Entries lie under [`ENTRIES`], so that an upgrade to version 2 finds them.

use super::listing;
use crate::{
    logical::{Context, Fields, Object, Operation, Refusal, Request, Response},
    storage::{StorageError, Transaction},
};
use std::time::Duration;

/// Under which entries lie.
pub(super) const ENTRIES: &str = "v1/";

/// Whether something is at the path.
pub(super) fn exists(request: &Request, transaction: &Transaction<'_>) -> Result<Option<bool>, StorageError> {
    Ok(Some(transaction.get(&entry(&request.path))?.is_some()))
}

/// Answers.
pub(super) fn handle(
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let key = entry(&request.path);
    match request.operation {
        Operation::Read => {
            let data = transaction.get_json::<Object>(&key)?.ok_or(Refusal::NotFound)?;
            let advised_ttl = Some(advised(&data).unwrap_or(context.default_ttl));
            Ok(Response { advised_ttl, ..Response::data(data) })
        }
        Operation::List => listing::answer(transaction.list(&listing::folder(&key))?, request.fields()),
        Operation::Create | Operation::Update => {
            if request.path.is_empty() {
                return Err(Refusal::invalid("missing path"));
            }
            if request.data.is_empty() {
                return Err(Refusal::invalid("missing data fields"));
            }
            transaction.put_json(&key, &request.data)?;
            Ok(Response::empty())
        }
        Operation::Delete => {
            transaction.delete(&key);
            Ok(Response::empty())
        }
        Operation::Renew | Operation::Revoke | Operation::Help => Ok(Response::empty()),
        Operation::Patch => Err(Refusal::UnsupportedOperation),
    }
}

fn entry(path: &str) -> String {
    format!("{ENTRIES}{path}")
}

/// How long a reader may keep what it read: the entry's own field `ttl`, or `lease`.
fn advised(data: &Object) -> Option<Duration> {
    let field = if data.contains_key("ttl") { "ttl" } else { "lease" };
    let advised = Fields::new(data).duration(field).ok()??;
    Some(Duration::from_secs(advised.as_secs()))
}
