//! `approle`: a role and a secret identifier log a service in.
//!
//! | entry | what |
//! |---|---|
//! | `salt` | what hashes role identifiers and accessors |
//! | `role/<name>` | a role, with the key that hashes its secret identifiers |
//! | `role_id/<hash>` | the name of the role that has the identifier |
//! | `secret_id/<name>/<hash>` | a secret identifier: uses, end, networks, metadata |
//! | `accessor/<hash>` | whose accessor it is |
//! | `lockout/<hash>` | when a role was locked |
//! | `expiry/<hour>/<second>.<name>.<hash>` | what tidying looks at |
//!
//! No secret identifier is stored. A login burns its use in the batch that makes its token.

mod login;
mod property;
mod role;
mod secret_id;
#[cfg(test)]
mod tests;
mod tidy;

use super::{
    identifier::{self, HASHED_BYTES_MAX},
    lockout::Lockout,
};
use crate::{
    engine::listing,
    logical::{Context, Engine, Operation, Refusal, Request, Response, SpecialPaths, Turn},
    storage::Transaction,
};
use role::Role;

/// The method.
#[derive(Debug, Default)]
pub struct AppRole {
    lockout: Lockout,
}

impl Engine for AppRole {
    fn name(&self) -> &'static str {
        "approle"
    }

    fn special(&self) -> SpecialPaths {
        SpecialPaths { unauthenticated: &["login"], root: &[] }
    }

    /// Writes about a role wait for each other; a login whose role has to be looked up waits for everything, unless
    /// [`Engine::turn_in`] is asked.
    fn turn(&self, request: &Request) -> Turn {
        if matches!(request.operation, Operation::Read | Operation::List | Operation::Renew) {
            return Turn::Free;
        }
        match role_and_rest(&request.path) {
            // Two roles must not come to one identifier.
            Some((_, "role-id")) => Turn::Mount,
            Some((_, "")) if request.data.contains_key("role_id") => Turn::Mount,
            Some((name, _)) => Turn::Key(name.to_ascii_lowercase()),
            None => Turn::Mount,
        }
    }

    fn turn_in(
        &self,
        request: &Request,
        _context: &Context,
        transaction: &Transaction<'_>,
    ) -> Result<Turn, Refusal> {
        if request.path == "login" && request.operation.writes() {
            return login::turn(request, transaction);
        }
        Ok(self.turn(request))
    }

    fn exists(
        &self,
        request: &Request,
        _context: &Context,
        transaction: &Transaction<'_>,
    ) -> Result<Option<bool>, Refusal> {
        match role_and_rest(&request.path) {
            Some((name, "")) => Ok(Some(Role::read(name, transaction)?.is_some())),
            _ => Ok(None),
        }
    }

    fn handle(
        &self,
        request: &Request,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal> {
        match (request.path.as_str(), request.operation) {
            (_, Operation::Renew) => login::renew(request, transaction),
            (_, Operation::Revoke) => Ok(Response::empty()),
            ("login", Operation::Create | Operation::Update) => {
                login::login(&self.lockout, request, context, transaction)
            }
            ("role" | "role/", Operation::List) => {
                listing::answer(transaction.list("role/")?, request.fields())
            }
            ("tidy/secret-id", Operation::Create | Operation::Update) => tidy::now(context, transaction),
            ("login" | "role" | "role/" | "tidy/secret-id", _) => Err(Refusal::UnsupportedOperation),
            (path, operation) => {
                let (name, rest) = role_and_rest(path).ok_or(Refusal::UnsupportedPath)?;
                if name.len() > HASHED_BYTES_MAX {
                    let text = format!("role_name is longer than maximum of {HASHED_BYTES_MAX} bytes");
                    return Err(Refusal::invalid(text));
                }
                let here = Here { request, context, operation, name };
                about_role(here, rest, transaction)
            }
        }
    }

    fn mounted(&self, _context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        if transaction.get(SALT)?.is_none() {
            transaction.put(SALT, identifier::random()?.into_bytes());
        }
        Ok(())
    }

    fn tick(&self, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        self.lockout.tidy(context, transaction)?;
        tidy::tidy(context, transaction)
    }
}

const SALT: &str = "salt";

/// A request about one role.
#[derive(Clone, Copy)]
struct Here<'a> {
    request: &'a Request,
    context: &'a Context,
    operation: Operation,
    /// As it was asked for; roles are kept in lower case.
    name: &'a str,
}

fn about_role(here: Here<'_>, rest: &str, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if here.operation == Operation::List && rest != "secret-id" {
        return Err(Refusal::UnsupportedPath);
    }
    match rest {
        "" => role::handle(here, transaction),
        "secret-id" => secret_id::made_or_listed(here, transaction),
        "custom-secret-id" => secret_id::custom(here, transaction),
        "secret-id/lookup" => secret_id::lookup(here, transaction),
        "secret-id/destroy" => secret_id::destroy(here, transaction),
        "secret-id-accessor/lookup" => secret_id::lookup_by_accessor(here, transaction),
        "secret-id-accessor/destroy" => secret_id::destroy_by_accessor(here, transaction),
        property => property::handle(here, property, transaction),
    }
}

/// `role/<name>/<rest>` taken apart.
fn role_and_rest(path: &str) -> Option<(&str, &str)> {
    let path = path.strip_prefix("role/")?;
    let (name, rest) = path.split_once('/').unwrap_or((path, ""));
    identifier::is_name(name).then_some((name, rest))
}

/// What is stored of a role identifier or an accessor, and what it is found by.
fn salted(text: &str, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    let salt = transaction.get(SALT)?.and_then(|salt| String::from_utf8(salt).ok());
    let salt = salt.ok_or_else(|| Refusal::failed("the mount has no salt"))?;
    Ok(identifier::hashed(&salt, text))
}
