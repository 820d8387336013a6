//! `role/<name>/<property>`: one of a role's settings under a path of its own, for policies that allow no more.

use super::{HASHED_BYTES_MAX, Here, role};
use crate::{
    auth::{
        cidr,
        token_parameters::{clean_policies, parsed_blocks},
    },
    logical::{Fields, Object, Operation, Refusal, Response},
    storage::Transaction,
};
use role::Role;
use serde_json::Value;

const OLD_BLOCKS: &str = "The \"bound_cidr_list\" field is deprecated and will be removed. Please use \
                          \"secret_id_bound_cidrs\" instead.";

/// The settings that can be set back; `role-id` and `local-secret-ids` cannot.
const ALL: [&str; 12] = [
    "policies",
    "bound-cidr-list",
    "secret-id-bound-cidrs",
    "token-bound-cidrs",
    "bind-secret-id",
    "secret-id-num-uses",
    "secret-id-ttl",
    "period",
    "token-num-uses",
    "token-ttl",
    "token-max-ttl",
    "role-id",
];

pub(super) fn handle(
    here: Here<'_>,
    property: &str,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let local = property == "local-secret-ids";
    if !local && !ALL.contains(&property) {
        return Err(Refusal::UnsupportedPath);
    }
    let role = Role::read(here.name, transaction)?;
    match here.operation {
        Operation::Read => shown(&role.ok_or(Refusal::NotFound)?, property),
        Operation::Create | Operation::Update if !local => {
            let mut role = role.ok_or(Refusal::UnsupportedPath)?;
            let before = role.role_id.clone();
            set(&mut role, property, here)?;
            role.keep(here.name, Some(&before), transaction)?;
            Ok(Response::empty())
        }
        Operation::Delete if !local && property != "role-id" => {
            let Some(mut role) = role else { return Ok(Response::empty()) };
            let before = role.role_id.clone();
            set_back(&mut role, property);
            role.keep(here.name, Some(&before), transaction)?;
            Ok(Response::empty())
        }
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(role: &Role, property: &str) -> Result<Response, Refusal> {
    let mut all = Object::new();
    role.token.show(&mut all);
    let mut data = Object::new();
    let (field, value): (&str, Value) = match property {
        "policies" | "period" => {
            if let Some(old) = all.remove(property) {
                data.insert(property.to_owned(), old);
            }
            let field = if property == "period" { "token_period" } else { "token_policies" };
            (field, all.remove(field).unwrap_or_default())
        }
        "bound-cidr-list" => ("bound_cidr_list", role.secret_id_bound_cidrs.clone().into()),
        "secret-id-bound-cidrs" => ("secret_id_bound_cidrs", role.secret_id_bound_cidrs.clone().into()),
        "token-bound-cidrs" => {
            let blocks = Some(&role.token.bound_cidrs).filter(|blocks| !blocks.is_empty());
            ("token_bound_cidrs", blocks.cloned().into())
        }
        "bind-secret-id" => ("bind_secret_id", role.bind_secret_id.into()),
        "secret-id-num-uses" => ("secret_id_num_uses", role.secret_id_num_uses.into()),
        "secret-id-ttl" => ("secret_id_ttl", role.secret_id_ttl.into()),
        "token-num-uses" => ("token_num_uses", role.token.num_uses.into()),
        "token-ttl" => ("token_ttl", role.token.ttl.into()),
        "token-max-ttl" => ("token_max_ttl", role.token.max_ttl.into()),
        "role-id" => ("role_id", role.role_id.clone().into()),
        "local-secret-ids" => ("local_secret_ids", role.local_secret_ids.into()),
        _ => return Err(Refusal::UnsupportedPath),
    };
    data.insert(field.to_owned(), value);
    let answer = Response::data(data);
    Ok(if property == "bound-cidr-list" { answer.warn(OLD_BLOCKS) } else { answer })
}

fn set(role: &mut Role, property: &str, here: Here<'_>) -> Result<(), Refusal> {
    let fields = here.request.fields();
    match property {
        "policies" => {
            set_by_either_name(role, here, ("policies", "token_policies"), "missing token_policies")
        }
        "period" => {
            set_by_either_name(role, here, ("period", "token_period"), "missing period")?;
            role::check_period(role, here.context)
        }
        "bound-cidr-list" => set_blocks(role, fields, "bound_cidr_list"),
        "secret-id-bound-cidrs" => set_blocks(role, fields, "secret_id_bound_cidrs"),
        "token-bound-cidrs" => {
            if let Some(blocks) = fields.list("token_bound_cidrs")? {
                role.token.bound_cidrs = parsed_blocks(&blocks).map_err(|refusal| {
                    Refusal::invalid(format!("failed to parse token_bound_cidrs: {refusal}"))
                })?;
            }
            Ok(())
        }
        "bind-secret-id" => {
            role.bind_secret_id =
                fields.boolean("bind_secret_id")?.ok_or_else(|| missing("bind_secret_id"))?;
            Ok(())
        }
        "secret-id-num-uses" => {
            if role.set_secret_id_num_uses(fields)? {
                Ok(())
            } else {
                Err(missing("secret_id_num_uses"))
            }
        }
        "secret-id-ttl" => {
            role.secret_id_ttl = seconds(fields, "secret_id_ttl")?;
            Ok(())
        }
        "token-num-uses" => {
            let uses = fields.integer("token_num_uses")?.ok_or_else(|| missing("token_num_uses"))?;
            let negative = |_| Refusal::invalid("'token_num_uses' cannot be negative");
            role.token.num_uses = u64::try_from(uses).map_err(negative)?;
            Ok(())
        }
        "token-ttl" => {
            role.token.ttl = seconds(fields, "token_ttl")?;
            ordered(role, "token_ttl should not be greater than token_max_ttl")
        }
        "token-max-ttl" => {
            role.token.max_ttl = seconds(fields, "token_max_ttl")?;
            ordered(role, "token_max_ttl should be greater than or equal to token_ttl")
        }
        "role-id" => {
            let role_id = fields.string("role_id")?.unwrap_or_default();
            if role_id.is_empty() || role_id.len() > HASHED_BYTES_MAX {
                return Err(missing("role_id"));
            }
            role.role_id = role_id;
            Ok(())
        }
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// A field that has an old and a new name. Policies are cleaned here, by whichever name.
fn set_by_either_name(
    role: &mut Role,
    here: Here<'_>,
    (old, new): (&str, &str),
    missing: &str,
) -> Result<(), Refusal> {
    let fields = here.request.fields();
    if fields.value(old).is_none() && fields.value(new).is_none() {
        return Err(Refusal::invalid(missing));
    }
    let mut body = here.request.data.clone();
    body.retain(|field, _| field == old || field == new);
    role.token.take(&body, &[(old, new)])?;
    role.token.policies = clean_policies(std::mem::take(&mut role.token.policies));
    Ok(())
}

fn set_blocks(role: &mut Role, fields: Fields<'_>, field: &str) -> Result<(), Refusal> {
    let Some(blocks) = fields.list(field)? else { return Ok(()) };
    if blocks.is_empty() {
        return Err(missing("bound_cidr_list"));
    }
    let wrong = |wrong| Refusal::invalid(format!("failed to validate CIDR blocks: {wrong}"));
    cidr::check(&blocks).map_err(wrong)?;
    role.secret_id_bound_cidrs = Some(blocks);
    Ok(())
}

fn ordered(role: &Role, otherwise: &str) -> Result<(), Refusal> {
    let ordered = role.token.max_ttl == 0 || role.token.ttl <= role.token.max_ttl;
    if ordered { Ok(()) } else { Err(Refusal::invalid(otherwise)) }
}

fn seconds(fields: Fields<'_>, field: &str) -> Result<u64, Refusal> {
    Ok(fields.duration(field)?.ok_or_else(|| missing(field))?.as_secs())
}

fn missing(field: &str) -> Refusal {
    Refusal::invalid(format!("missing {field}"))
}

fn set_back(role: &mut Role, property: &str) {
    match property {
        "policies" => role.token.policies.clear(),
        "bound-cidr-list" | "secret-id-bound-cidrs" => role.secret_id_bound_cidrs = None,
        "token-bound-cidrs" => role.token.bound_cidrs.clear(),
        "bind-secret-id" => role.bind_secret_id = true,
        "secret-id-num-uses" => role.secret_id_num_uses = 0,
        "secret-id-ttl" => role.secret_id_ttl = 0,
        "period" => role.token.period = 0,
        "token-num-uses" => role.token.num_uses = 0,
        "token-ttl" => role.token.ttl = 0,
        "token-max-ttl" => role.token.max_ttl = 0,
        _ => {}
    }
}
