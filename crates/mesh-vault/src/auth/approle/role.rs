//! `role/<name>`: a role.

use super::{HASHED_BYTES_MAX, Here, salted, secret_id};
use crate::{
    auth::{cidr, identifier, token_parameters::TokenParameters},
    logical::{Context, Fields, Object, Operation, Refusal, Response},
    moment,
    storage::{StorageError, Transaction},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Fields by their old names.
const OLD_NAMES: [(&str, &str); 2] = [("policies", "token_policies"), ("period", "token_period")];

/// A role. Times are seconds.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    pub(super) role_id: String,
    /// Hashes the role's secret identifiers.
    pub(super) hash_key: String,
    pub(super) bind_secret_id: bool,
    /// `None` until it is set: it is shown as `null` then.
    pub(super) secret_id_bound_cidrs: Option<Vec<String>>,
    pub(super) secret_id_num_uses: u64,
    pub(super) secret_id_ttl: u64,
    pub(super) local_secret_ids: bool,
    pub(super) token: TokenParameters,
}

impl Role {
    pub(super) fn read(name: &str, transaction: &Transaction<'_>) -> Result<Option<Self>, StorageError> {
        transaction.get_json(&entry(name))
    }

    /// The role that has an identifier, with its name.
    pub(super) fn by_id(
        role_id: &str,
        transaction: &Transaction<'_>,
    ) -> Result<Option<(String, Self)>, Refusal> {
        if role_id.len() > HASHED_BYTES_MAX {
            return Ok(None);
        }
        let Some(name) = transaction.get_json::<String>(&index(role_id, transaction)?)? else {
            return Ok(None);
        };
        // Between the two reads the role may have come to another identifier.
        let role = Self::read(&name, transaction)?.filter(|role| role.role_id == role_id);
        Ok(role.map(|role| (name, role)))
    }

    /// Checks the role and stores it. `before` is the identifier that it had.
    pub(super) fn keep(
        &self,
        name: &str,
        before: Option<&str>,
        transaction: &mut Transaction<'_>,
    ) -> Result<(), Refusal> {
        if !self.constrained() {
            return Err(Refusal::failed("at least one constraint should be enabled on the role"));
        }
        let name = name.to_ascii_lowercase();
        if before != Some(self.role_id.as_str()) {
            let index_entry = index(&self.role_id, transaction)?;
            match transaction.get_json::<String>(&index_entry)? {
                Some(owner) if owner != name => return Err(Refusal::failed("role_id already in use")),
                _ => transaction.put_json(&index_entry, &name)?,
            }
            if let Some(before) = before.filter(|before| !before.is_empty()) {
                let before = index(before, transaction)?;
                transaction.delete(&before);
            }
        }
        transaction.put_json(&entry(&name), self)?;
        Ok(())
    }

    /// Whether anything but the role's identifier is asked of a login.
    fn constrained(&self) -> bool {
        self.bind_secret_id
            || self.secret_id_bound_cidrs.as_ref().is_some_and(|blocks| !blocks.is_empty())
            || !self.token.bound_cidrs.is_empty()
    }

    /// Networks that a login may come from; empty for all.
    pub(super) fn login_cidrs(&self) -> &[String] {
        self.secret_id_bound_cidrs.as_deref().unwrap_or_default()
    }

    pub(super) fn set_secret_id_num_uses(&mut self, fields: Fields<'_>) -> Result<bool, Refusal> {
        let Some(uses) = fields.integer("secret_id_num_uses")? else { return Ok(false) };
        self.secret_id_num_uses =
            u64::try_from(uses).map_err(|_| Refusal::invalid("secret_id_num_uses cannot be negative"))?;
        Ok(true)
    }
}

pub(super) fn handle(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    match here.operation {
        Operation::Read => Ok(shown(&Role::read(here.name, transaction)?.ok_or(Refusal::NotFound)?)),
        Operation::Create | Operation::Update => write(here, transaction),
        Operation::Delete => delete(here, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(role: &Role) -> Response {
    let mut data = Object::from_iter([
        ("bind_secret_id".to_owned(), role.bind_secret_id.into()),
        ("local_secret_ids".to_owned(), role.local_secret_ids.into()),
        ("secret_id_bound_cidrs".to_owned(), role.secret_id_bound_cidrs.clone().into()),
        ("secret_id_num_uses".to_owned(), role.secret_id_num_uses.into()),
        ("secret_id_ttl".to_owned(), role.secret_id_ttl.into()),
    ]);
    role.token.show(&mut data);
    let answer = Response::data(data);
    if role.constrained() {
        return answer;
    }
    answer.warn(
        "Role does not have any constraints set on it. Updates to this role will require a constraint to be set",
    )
}

fn write(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let stored = Role::read(here.name, transaction)?;
    let new = stored.is_none();
    let before = stored.as_ref().map(|role| role.role_id.clone());
    let mut role = match stored {
        Some(role) => role,
        None => Role {
            role_id: identifier::random()?,
            hash_key: identifier::random()?,
            bind_secret_id: true,
            ..Role::default()
        },
    };
    let mut body = here.request.data.clone();
    let warnings = [mend_kind(&mut body), take(&body, new, here.context, &mut role)?];
    role.keep(here.name, before.as_deref(), transaction)?;
    Ok(Response { warnings: warnings.into_iter().flatten().collect(), ..Response::empty() })
}

/// `default-service` and `default-batch` say nothing for a role.
fn mend_kind(body: &mut Object) -> Option<String> {
    let kind = match body.get("token_type").and_then(Value::as_str)? {
        "default-service" => "service",
        "default-batch" => "batch",
        _ => return None,
    };
    body.insert("token_type".to_owned(), kind.into());
    Some(format!("default-{kind} has no useful meaning; adjusting to {kind}"))
}

/// Takes over the fields that were given.
fn take(body: &Object, new: bool, context: &Context, role: &mut Role) -> Result<Option<String>, Refusal> {
    let fields = Fields::new(body);
    role.token.take(body, &OLD_NAMES)?;
    if let Some(local) = fields.boolean("local_secret_ids")? {
        if !new {
            return Err(Refusal::invalid("local_secret_ids can only be modified during role creation"));
        }
        role.local_secret_ids = local;
    }
    if let Some(role_id) = fields.string("role_id")? {
        if role_id.is_empty() || role_id.len() > HASHED_BYTES_MAX {
            return Err(Refusal::invalid("invalid role_id supplied, or failed to generate a role_id"));
        }
        role.role_id = role_id;
    }
    if let Some(bind) = fields.boolean("bind_secret_id")? {
        role.bind_secret_id = bind;
    }
    let blocks = match fields.list("secret_id_bound_cidrs")? {
        None => fields.list("bound_cidr_list")?,
        given => given,
    };
    if let Some(blocks) = blocks {
        let wrong = |wrong| Refusal::failed(format!("failed to validate CIDR blocks: {wrong}"));
        cidr::check(&blocks).map_err(wrong)?;
        role.secret_id_bound_cidrs = Some(blocks);
    }
    role.set_secret_id_num_uses(fields)?;
    if let Some(ttl) = fields.duration("secret_id_ttl")? {
        role.secret_id_ttl = ttl.as_secs();
    }
    check_lifetimes(role, context)
}

/// Refuses a period by its old name that no token of the mount can have; warns of a lifetime that will be cut.
fn check_lifetimes(role: &Role, context: &Context) -> Result<Option<String>, Refusal> {
    if role.token.by_old_name("period") {
        check_period(role, context)?;
    }
    let cut = "token_max_ttl is greater than the backend mount's maximum TTL value; issued tokens' max TTL value \
               will be truncated";
    Ok((role.token.max_ttl > context.max_ttl.as_secs()).then(|| cut.to_owned()))
}

pub(super) fn check_period(role: &Role, context: &Context) -> Result<(), Refusal> {
    let max = context.max_ttl.as_secs();
    if role.token.period <= max {
        return Ok(());
    }
    let (period, max) = (moment::go_duration(role.token.period), moment::go_duration(max));
    let text = format!("period of {period:?} is greater than the backend's maximum lease TTL of {max:?}");
    Err(Refusal::invalid(text))
}

fn delete(here: Here<'_>, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let Some(role) = Role::read(here.name, transaction)? else { return Ok(Response::empty()) };
    let name = here.name.to_ascii_lowercase();
    secret_id::remove_all(&name, transaction)?;
    let index = index(&role.role_id, transaction)?;
    transaction.delete(&index);
    transaction.delete(&entry(&name));
    Ok(Response::empty())
}

fn entry(name: &str) -> String {
    format!("role/{}", name.to_ascii_lowercase())
}

fn index(role_id: &str, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    Ok(format!("role_id/{}", salted(role_id, transaction)?))
}
