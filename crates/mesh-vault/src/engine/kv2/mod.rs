//! `kv` version 2: a secret has versions.
//!
//! | entry | what |
//! |---|---|
//! | `config` | the mount's settings |
//! | `meta/<path>` | a secret's settings and the list of its versions ([`key::Key`]) |
//! | `versions/<path>/<number>` | a version's data |
//!
//! So a read takes two entries, and a write changes two, beside the versions that go for it.

mod config;
mod custom;
mod data;
mod key;
mod metadata;
mod subkeys;
#[cfg(test)]
mod tests;
mod upgrade;
mod versions;

pub(super) use upgrade::upgrade;

use crate::{
    logical::{Context, Object, Operation, Refusal, Request, Response},
    moment,
    storage::{StorageError, Transaction},
};
use config::Config;
use key::{Key, Version};
use serde_json::{Value, json};

/// How often a reader looks again for the data of a version that a writer has just removed.
const READS_MAX: usize = 8;

/// One request with its path taken apart.
#[derive(Clone, Copy)]
struct Here<'a> {
    request: &'a Request,
    /// The secret's path, without `data/` and the like.
    path: &'a str,
    /// Nanoseconds since 1970.
    now: u64,
}

impl<'a> Here<'a> {
    fn new(request: &'a Request, context: &Context, path: &'a str) -> Self {
        Self { request, path, now: moment::nanos(context.now) }
    }

    fn key(&self, transaction: &Transaction<'_>) -> Result<Option<Key>, StorageError> {
        transaction.get_json(&meta_entry(self.path))
    }

    fn keep(&self, key: &Key, transaction: &mut Transaction<'_>) -> Result<(), StorageError> {
        transaction.put_json(&meta_entry(self.path), key)
    }

    /// A version's data; it has to be there if its secret says that it can be read.
    fn version_data(&self, number: u64, transaction: &Transaction<'_>) -> Result<Object, Refusal> {
        let data = transaction.get_json(&version_entry(self.path, number))?;
        data.ok_or_else(|| Refusal::failed("could not find version data"))
    }
}

/// Whether a secret is at the path, where that makes a difference.
pub(super) fn exists(request: &Request, transaction: &Transaction<'_>) -> Result<Option<bool>, StorageError> {
    match request.path.split_once('/') {
        Some(("data" | "metadata", path)) => Ok(Some(transaction.get(&meta_entry(path))?.is_some())),
        _ => Ok(None),
    }
}

/// Answers.
pub(super) fn handle(
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    if matches!(request.operation, Operation::Renew | Operation::Revoke) {
        return Ok(Response::empty());
    }
    if request.path == "config" {
        return config::handle(request, transaction);
    }
    // A listing of `metadata` is one of `metadata/`.
    let root = (request.operation == Operation::List).then_some((request.path.as_str(), ""));
    let Some((verb, path)) = request.path.split_once('/').or(root) else { return Err(misused(request)) };
    let here = Here::new(request, context, path);
    match verb {
        "data" => data::handle(here, transaction),
        "metadata" => metadata::handle(here, transaction),
        "delete" | "undelete" | "destroy" => versions::handle(here, verb, transaction),
        "subkeys" => subkeys::handle(here, transaction),
        _ => Err(misused(request)),
    }
}

/// 404 with a warning: a path of version 1, or none at all.
fn misused(request: &Request) -> Refusal {
    let warning = if let "metadata" | "data" | "delete" | "undelete" | "destroy" = request.path.as_str() {
        "Non-listing operations on the root of a K/V v2 mount are not supported.".to_owned()
    } else {
        let verb = match request.operation {
            Operation::Patch => "patch",
            Operation::Read => "get",
            Operation::List => "list",
            Operation::Delete => "delete",
            _ => "put",
        };
        format!(
            "Invalid path for a versioned K/V secrets engine. See the API docs for the appropriate API \
             endpoints to use. If using the Vault CLI, use 'vault kv {verb}' for this operation."
        )
    };
    Refusal::NotFoundWith(Box::new(Response::empty().warn(warning)))
}

fn meta_entry(path: &str) -> String {
    ["meta/", path].concat()
}

fn version_entry(path: &str, number: u64) -> String {
    format!("versions/{path}/{number}")
}

/// A version's facts, as `data/` and `subkeys/` answer them.
fn version_facts(key: &Key, number: u64, version: &Version) -> Object {
    let custom = if key.custom.is_empty() { Value::Null } else { json!(key.custom) };
    let mut facts = Object::new();
    facts.insert("created_time".to_owned(), moment::rfc3339(version.created).into());
    facts.insert("custom_metadata".to_owned(), custom);
    facts.insert("deletion_time".to_owned(), version.deleted.map(moment::rfc3339).unwrap_or_default().into());
    facts.insert("destroyed".to_owned(), version.destroyed.into());
    facts.insert("version".to_owned(), number.into());
    facts
}

/// The data of the version that a request asks for, with its facts. What can not be read answers its facts with an
/// empty `field`.
fn read_version(
    here: Here<'_>,
    field: &str,
    transaction: &Transaction<'_>,
) -> Result<(Object, Object), Refusal> {
    for _ in 0..READS_MAX {
        let key = here.key(transaction)?.ok_or(Refusal::NotFound)?;
        let asked = here.request.fields().integer("version")?.unwrap_or(0);
        let (number, version) = key.version(asked).ok_or(Refusal::NotFound)?;
        let facts = version_facts(&key, number, version);
        if !version.readable(here.now) {
            return Err(Refusal::NotFoundWith(Box::new(with_facts(field, Value::Null, facts))));
        }
        if let Some(data) = transaction.get_json(&version_entry(here.path, number))? {
            return Ok((data, facts));
        }
    }
    Err(Refusal::failed("could not find version data"))
}

fn with_facts(field: &str, value: Value, facts: Object) -> Response {
    Response::data(Object::from_iter([(field.to_owned(), value), ("metadata".to_owned(), facts.into())]))
}
