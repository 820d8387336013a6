//! `userpass`: a name and a password.
//!
//! Users are kept under `user/<name>`, names in lower case, passwords as bcrypt hashes.

mod login;
mod password;
#[cfg(test)]
mod tests;
mod user;

use super::{identifier, lockout::Lockout};
use crate::{
    engine::listing,
    logical::{Context, Engine, Operation, Refusal, Request, Response, SpecialPaths, Turn, Weight},
    storage::Transaction,
};
use user::User;

/// The method.
#[derive(Debug, Default)]
pub struct UserPass {
    lockout: Lockout,
}

/// A request's path, taken apart. Names are in lower case.
enum Path {
    Users,
    User(String),
    Password(String),
    Policies(String),
    Login(String),
}

impl Engine for UserPass {
    fn name(&self) -> &'static str {
        "userpass"
    }

    fn special(&self) -> SpecialPaths {
        SpecialPaths { unauthenticated: &["login/*"], root: &[] }
    }

    fn turn(&self, request: &Request) -> Turn {
        match (request.operation, path(&request.path)) {
            (Operation::Read | Operation::List | Operation::Renew | Operation::Revoke, _) => Turn::Free,
            (_, Some(Path::Login(_))) => Turn::Free,
            (_, Some(Path::User(name) | Path::Password(name) | Path::Policies(name))) => Turn::Key(name),
            _ => Turn::Mount,
        }
    }

    /// A password takes tens of milliseconds to hash.
    fn weight(&self, request: &Request) -> Weight {
        let hashes = request.operation.writes()
            && matches!(path(&request.path), Some(Path::Login(_) | Path::User(_) | Path::Password(_)));
        if hashes { Weight::Heavy } else { Weight::Light }
    }

    fn exists(
        &self,
        request: &Request,
        _context: &Context,
        transaction: &Transaction<'_>,
    ) -> Result<Option<bool>, Refusal> {
        match path(&request.path) {
            Some(Path::User(name)) => Ok(Some(User::read(&name, transaction)?.is_some())),
            _ => Ok(None),
        }
    }

    fn handle(
        &self,
        request: &Request,
        context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal> {
        match request.operation {
            Operation::Renew => return login::renew(request, transaction),
            Operation::Revoke => return Ok(Response::empty()),
            _ => {}
        }
        let path = path(&request.path).ok_or(Refusal::UnsupportedPath)?;
        match (path, request.operation) {
            (Path::Users, Operation::List) => listing::answer(transaction.list("user/")?, request.fields()),
            (Path::User(name), Operation::Read) => {
                User::read(&name, transaction)?.map(|user| user.shown()).ok_or(Refusal::NotFound)
            }
            (Path::User(name), Operation::Delete) => {
                User::delete(&name, transaction);
                Ok(Response::empty())
            }
            (Path::User(name), operation) if operation.writes() => user::write(&name, request, transaction),
            (Path::Password(name), operation) if operation.writes() => {
                user::set_password(&name, request, transaction)
            }
            (Path::Policies(name), operation) if operation.writes() => {
                user::set_policies(&name, request, transaction)
            }
            (Path::Login(name), operation) if operation.writes() => {
                login::login(&self.lockout, &name, request, context, transaction)
            }
            _ => Err(Refusal::UnsupportedOperation),
        }
    }

    fn tick(&self, context: &Context, transaction: &mut Transaction<'_>) -> Result<(), Refusal> {
        Ok(self.lockout.tidy(context, transaction)?)
    }
}

fn path(path: &str) -> Option<Path> {
    let parts: Vec<&str> = path.split('/').collect();
    let (name, make): (&str, fn(String) -> Path) = match parts.as_slice() {
        ["users"] | ["users", ""] => return Some(Path::Users),
        ["users", name] => (name, Path::User),
        ["users", name, "password"] => (name, Path::Password),
        ["users", name, "policies"] => (name, Path::Policies),
        ["login", name] => (name, Path::Login),
        _ => return None,
    };
    identifier::is_name(name).then(|| make(name.to_ascii_lowercase()))
}
