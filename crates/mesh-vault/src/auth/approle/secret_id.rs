//! A role's secret identifiers: made, listed, looked up, destroyed.

use super::{HASHED_BYTES_MAX, Here, Role, salted};
use crate::{
    auth::{cidr, identifier},
    engine::listing,
    logical::{Fields, Object, Operation, Refusal, Response},
    moment,
    storage::{StorageError, Transaction},
};
use base64::Engine as _;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::{collections::BTreeMap, time::Duration};

/// How many an entry of `metadata` may have.
const METADATA_MAX: usize = 256;
/// Seconds in one folder of `expiry/`.
const HOUR: u64 = 3_600;

/// What is known of a secret identifier. Times are nanoseconds since 1970.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SecretId {
    pub(super) accessor: String,
    /// Logins left; 0 for any number: the last one removes the entry.
    pub(super) uses: u64,
    /// Seconds, as asked for.
    ttl: u64,
    created: u64,
    pub(super) updated: u64,
    expires: Option<u64>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) cidrs: Vec<String>,
    pub(super) token_cidrs: Vec<String>,
}

impl SecretId {
    /// One that can still be used.
    pub(super) fn read(
        role: &str,
        hash: &str,
        now: u64,
        transaction: &Transaction<'_>,
    ) -> Result<Option<Self>, StorageError> {
        let stored = transaction.get_json::<Self>(&entry(role, hash))?;
        Ok(stored.filter(|stored| stored.expires.is_none_or(|expires| now < expires)))
    }

    pub(super) fn keep(
        &self,
        role: &str,
        hash: &str,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), StorageError> {
        transaction.put_json(&entry(role, hash), self)
    }

    /// Removes it with everything that leads to it.
    pub(super) fn remove(
        &self,
        role: &str,
        hash: &str,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Refusal> {
        transaction.delete(&entry(role, hash));
        let accessor = accessor_entry(&self.accessor, transaction)?;
        transaction.delete(&accessor);
        if let Some(expires) = self.expires {
            transaction.delete(&expiry_entry(expires, role, hash));
        }
        Ok(())
    }

    fn shown(&self) -> Response {
        Response::data(Object::from_iter([
            ("cidr_list".to_owned(), self.cidrs.clone().into()),
            ("creation_time".to_owned(), moment::rfc3339(self.created).into()),
            (
                "expiration_time".to_owned(),
                self.expires.map_or(moment::NEVER.to_owned(), moment::rfc3339).into(),
            ),
            ("last_updated_time".to_owned(), moment::rfc3339(self.updated).into()),
            ("metadata".to_owned(), json!(self.metadata)),
            ("secret_id_accessor".to_owned(), self.accessor.clone().into()),
            ("secret_id_num_uses".to_owned(), self.uses.into()),
            ("secret_id_ttl".to_owned(), self.ttl.into()),
            ("token_bound_cidrs".to_owned(), self.token_cidrs.clone().into()),
        ]))
    }
}

/// What an accessor leads to.
#[derive(Serialize, Deserialize)]
struct Owner {
    role: String,
    hash: String,
}

/// `secret-id`: a write makes one, a listing answers accessors.
pub(super) fn made_or_listed(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    match here.operation {
        Operation::Create | Operation::Update => make(here, identifier::random()?, transaction),
        Operation::List => list(here, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

/// `custom-secret-id`: the caller chose it.
pub(super) fn custom(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    writes(here)?;
    let secret_id = here.request.fields().string("secret_id")?.unwrap_or_default();
    if secret_id.is_empty() {
        return Err(Refusal::invalid("missing secret_id"));
    }
    make(here, secret_id, transaction)
}

fn make(here: Here<'_>, secret_id: String, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let role = Role::read(here.name, transaction)?.ok_or_else(|| Refusal::Status {
        status: 404,
        text: format!("role {:?} does not exist", here.name),
    })?;
    if !role.bind_secret_id {
        return Err(Refusal::invalid("bind_secret_id is not set on the role"));
    }
    if secret_id.len() > HASHED_BYTES_MAX {
        let text = format!("value is longer than maximum of {HASHED_BYTES_MAX} bytes");
        return Err(Refusal::failed(format!(
            "failed to store secret_id: failed to create HMAC of secret ID: {text}"
        )));
    }
    let now = moment::nanos(here.context.now);
    let mut stored = wished(here.request.fields(), &role)?;
    let ttl = here.context.max_ttl.as_secs().min(stored.ttl);
    stored.accessor = identifier::random()?;
    (stored.created, stored.updated) = (now, now);
    stored.expires = (ttl > 0).then(|| now.saturating_add(moment::seconds(ttl)));

    let name = here.name.to_ascii_lowercase();
    let hash = identifier::hashed(&role.hash_key, &secret_id);
    if let Some(before) = transaction.get_json::<SecretId>(&entry(&name, &hash))? {
        if SecretId::read(&name, &hash, now, transaction)?.is_some() {
            return Err(Refusal::failed("failed to store secret_id: SecretID is already registered"));
        }
        before.remove(&name, &hash, transaction)?;
    }
    stored.keep(&name, &hash, transaction)?;
    let accessor = accessor_entry(&stored.accessor, transaction)?;
    transaction.put_json(&accessor, &Owner { role: name.clone(), hash: hash.clone() })?;
    if let Some(expires) = stored.expires {
        transaction.put(&expiry_entry(expires, &name, &hash), Vec::new());
    }
    Ok(Response::data(Object::from_iter([
        ("secret_id".to_owned(), secret_id.into()),
        ("secret_id_accessor".to_owned(), stored.accessor.into()),
        ("secret_id_num_uses".to_owned(), stored.uses.into()),
        ("secret_id_ttl".to_owned(), ttl.into()),
    ])))
}

/// What the caller wants of it, within what the role allows.
fn wished(fields: Fields<'_>, role: &Role) -> Result<SecretId, Refusal> {
    let cidrs = fields.list("cidr_list")?.unwrap_or_default();
    check_cidrs(&cidrs, role.login_cidrs(), "failed to validate CIDR blocks")?;
    let token_cidrs = fields.list("token_bound_cidrs")?.unwrap_or_default();
    check_cidrs(&token_cidrs, &role.token.bound_cidrs, "failed to validate token CIDR blocks")?;
    let uses = match fields.integer("num_uses")? {
        None => role.secret_id_num_uses,
        Some(uses) => {
            let uses = u64::try_from(uses).map_err(|_| Refusal::invalid("num_uses cannot be negative"))?;
            if longer(uses, role.secret_id_num_uses) {
                return Err(Refusal::invalid("num_uses cannot be higher than the role's secret_id_num_uses"));
            }
            uses
        }
    };
    let ttl = match fields.duration("ttl")?.map(|ttl| ttl.as_secs()) {
        Some(ttl) if longer(ttl, role.secret_id_ttl) => {
            return Err(Refusal::invalid("ttl cannot be longer than the role's secret_id_ttl"));
        }
        ttl => ttl.unwrap_or(role.secret_id_ttl),
    };
    let metadata = metadata(fields)?;
    Ok(SecretId { uses, ttl, metadata, cidrs, token_cidrs, ..SecretId::default() })
}

/// Whether one limit is looser than another; 0 is none.
fn longer(wished: u64, limit: u64) -> bool {
    limit > 0 && (wished == 0 || wished > limit)
}

fn check_cidrs(cidrs: &[String], of_role: &[String], invalid: &str) -> Result<(), Refusal> {
    cidr::check(cidrs).map_err(|wrong| Refusal::failed(format!("{invalid}: {wrong}")))?;
    if !cidr::is_subset(cidrs, of_role) {
        return Err(Refusal::failed(format!(
            "failed to verify subset relationship between CIDR blocks on the role {of_role:?} and CIDR blocks on the \
             secret ID {cidrs:?}"
        )));
    }
    Ok(())
}

/// `metadata`: an object as JSON text (in base64 or not), or `k=v` with commas between.
fn metadata(fields: Fields<'_>) -> Result<BTreeMap<String, String>, Refusal> {
    let wrong = |why: &str| Refusal::invalid(format!("failed to parse metadata: {why}"));
    let text = fields.string("metadata")?.unwrap_or_default();
    let pairs = parsed_metadata(&text)
        .ok_or_else(|| wrong("failed to parse the input: invalid <key,value> format"))?;
    if pairs.len() > METADATA_MAX {
        return Err(wrong("too many pairs"));
    }
    match pairs.iter().find(|(key, value)| !key.is_empty() && value.is_empty()) {
        Some((key, _)) => Err(wrong(&format!("invalid value for key {key:?}"))),
        None => Ok(pairs),
    }
}

fn parsed_metadata(text: &str) -> Option<BTreeMap<String, String>> {
    let text = text.trim();
    let decoded = base64::engine::general_purpose::STANDARD.decode(text).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    let text = decoded.as_deref().unwrap_or(text);
    if text.is_empty() {
        return Some(BTreeMap::new());
    }
    if let Ok(pairs) = serde_json::from_str(text) {
        return Some(pairs);
    }
    let pair = |part: &str| {
        let (key, value) = part.split_once('=')?;
        Some((key.trim().to_owned(), value.trim().to_owned()))
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(pair).collect()
}

fn list(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    if Role::read(here.name, transaction)?.is_none() {
        return Err(Refusal::invalid(format!("role {:?} does not exist", here.name)));
    }
    let name = here.name.to_ascii_lowercase();
    let now = moment::nanos(here.context.now);
    let mut accessors = Vec::new();
    for hash in transaction.list(&entry(&name, ""))? {
        if let Some(stored) = SecretId::read(&name, &hash, now, transaction)? {
            accessors.push(stored.accessor);
        }
    }
    accessors.sort();
    listing::answer(accessors, here.request.fields())
}

pub(super) fn lookup(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    writes(here)?;
    let hash = given_hash(here, transaction)?;
    let found = found(here, &hash, transaction)?;
    Ok(found.map_or_else(Response::empty, |stored| stored.shown()))
}

pub(super) fn destroy(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    if here.operation != Operation::Delete {
        writes(here)?;
    }
    let hash = given_hash(here, transaction)?;
    if let Some(stored) = found(here, &hash, transaction)? {
        stored.remove(&here.name.to_ascii_lowercase(), &hash, transaction)?;
    }
    Ok(Response::empty())
}

pub(super) fn lookup_by_accessor(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    writes(here)?;
    let (accessor, owner) = given_accessor(here, transaction)?;
    let missing = || {
        let text = format!("failed to find accessor entry for secret_id_accessor: {accessor:?}");
        Response::data(Object::from_iter([("error".to_owned(), text.into())]))
    };
    let owner = owner.ok_or_else(|| Refusal::NotFoundWith(Box::new(missing())))?;
    let found = if of_role(here, &owner) { found(here, &owner.hash, transaction)? } else { None };
    Ok(found.map_or_else(Response::empty, |stored| stored.shown()))
}

fn of_role(here: Here<'_>, owner: &Owner) -> bool {
    owner.role == here.name.to_ascii_lowercase()
}

pub(super) fn destroy_by_accessor(
    here: Here<'_>,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    if here.operation != Operation::Delete {
        writes(here)?;
    }
    let (accessor, owner) = given_accessor(here, transaction)?;
    let owner = owner.ok_or_else(|| {
        Refusal::failed(format!("failed to find accessor entry for secret_id_accessor: {accessor:?}"))
    })?;
    let stored = if of_role(here, &owner) { found(here, &owner.hash, transaction)? } else { None };
    let stored = stored
        .ok_or_else(|| Refusal::Status { status: 403, text: "invalid secret id accessor".to_owned() })?;
    stored.remove(&owner.role, &owner.hash, transaction)?;
    Ok(Response::empty())
}

/// Removes every one of a role.
pub(super) fn remove_all(name: &str, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
    for hash in transaction.list(&entry(name, ""))? {
        if let Some(stored) = transaction.get_json::<SecretId>(&entry(name, &hash))? {
            stored.remove(name, &hash, transaction)?;
        }
    }
    Ok(())
}

/// Removes at most so many that are over.
pub(super) fn remove_expired(
    now: u64,
    most: usize,
    transaction: &mut Transaction<'_>,
) -> Result<(), Refusal> {
    let mut left = most;
    for folder in transaction.list("expiry/")? {
        let hour: Option<u64> = folder.trim_end_matches('/').parse().ok();
        if hour.is_some_and(|hour| moment::seconds(hour.saturating_mul(HOUR)) > now) {
            break;
        }
        for name in transaction.list(&format!("expiry/{folder}"))? {
            let Some((second, role, hash)) = expiry_parts(&name) else { continue };
            if left == 0 || moment::seconds(second) > now {
                break;
            }
            left -= 1;
            // What it leads to may be gone, or be newer than it: then nothing but the pointer goes.
            if SecretId::read(role, hash, now, transaction)?.is_none()
                && let Some(stored) = transaction.get_json::<SecretId>(&entry(role, hash))?
            {
                stored.remove(role, hash, transaction)?;
            }
            transaction.delete(&format!("expiry/{folder}{name}"));
        }
    }
    Ok(())
}

fn writes(here: Here<'_>) -> Result<(), Refusal> {
    if here.operation.writes() { Ok(()) } else { Err(Refusal::UnsupportedOperation) }
}

/// The hash of the `secret_id` in the body.
fn given_hash(here: Here<'_>, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    let secret_id = here.request.fields().string("secret_id")?.unwrap_or_default();
    if secret_id.is_empty() {
        return Err(Refusal::invalid("missing secret_id"));
    }
    Ok(identifier::hashed(&existing_role(here, transaction)?.hash_key, &secret_id))
}

/// The `secret_id_accessor` in the body with what it leads to, which may be another role's.
fn given_accessor(here: Here<'_>, transaction: &Transaction<'_>) -> Result<(String, Option<Owner>), Refusal> {
    let accessor = here.request.fields().string("secret_id_accessor")?.unwrap_or_default();
    if accessor.is_empty() {
        return Err(Refusal::invalid("missing secret_id_accessor"));
    }
    existing_role(here, transaction)?;
    let owner = transaction.get_json::<Owner>(&accessor_entry(&accessor, transaction)?)?;
    Ok((accessor, owner))
}

fn existing_role(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Role, Refusal> {
    let role = Role::read(here.name, transaction)?;
    role.ok_or_else(|| Refusal::failed(format!("role {:?} does not exist", here.name)))
}

fn found(
    here: Here<'_>,
    hash: &str,
    transaction: &Transaction<'_>,
) -> Result<Option<SecretId>, StorageError> {
    SecretId::read(&here.name.to_ascii_lowercase(), hash, moment::nanos(here.context.now), transaction)
}

fn entry(role: &str, hash: &str) -> String {
    format!("secret_id/{role}/{hash}")
}

fn accessor_entry(accessor: &str, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    Ok(format!("accessor/{}", salted(accessor, transaction)?))
}

/// Digits of equal number, so that names are in the order of time. Rounded up to the second: tidying comes late.
fn expiry_entry(expires: u64, role: &str, hash: &str) -> String {
    let second = Duration::from_nanos(expires).as_secs() + 1;
    format!("expiry/{:012}/{second:012}.{hash}.{role}", second / HOUR)
}

fn expiry_parts(name: &str) -> Option<(u64, &str, &str)> {
    let (second, rest) = name.split_once('.')?;
    let (hash, role) = rest.split_once('.')?;
    Some((second.parse().ok()?, role, hash))
}
