//! `users/<name>`: a user.

use super::password;
use crate::{
    auth::token_parameters::{TokenParameters, clean_policies},
    logical::{Object, Refusal, Request, Response},
    storage::{StorageError, Transaction},
};
use serde::{Deserialize, Serialize};

/// Fields by their old names.
const OLD_NAMES: [(&str, &str); 4] = [
    ("policies", "token_policies"),
    ("ttl", "token_ttl"),
    ("max_ttl", "token_max_ttl"),
    ("bound_cidrs", "token_bound_cidrs"),
];

/// A user.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct User {
    pub(super) password_hash: String,
    pub(super) token: TokenParameters,
}

impl User {
    pub(super) fn read(name: &str, transaction: &Transaction<'_>) -> Result<Option<Self>, StorageError> {
        transaction.get_json(&entry(name))
    }

    pub(super) fn delete(name: &str, transaction: &mut Transaction<'_>) {
        transaction.delete(&entry(name));
    }

    pub(super) fn shown(&self) -> Response {
        let mut data = Object::new();
        self.token.show(&mut data);
        Response::data(data)
    }
}

pub(super) fn write(
    name: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let hash = password::given_hash(request.fields())?;
    let mut user = match (User::read(name, transaction)?, &hash) {
        (Some(user), _) => user,
        (None, Some(_)) => User::default(),
        (None, None) => return Err(no_password()),
    };
    user.token.take(&request.data, &OLD_NAMES)?;
    user.password_hash = hash.unwrap_or(user.password_hash);
    transaction.put_json(&entry(name), &user)?;
    Ok(Response::empty())
}

pub(super) fn set_password(
    name: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut user = existing(name, transaction)?;
    user.password_hash = password::given_hash(request.fields())?.ok_or_else(no_password)?;
    transaction.put_json(&entry(name), &user)?;
    Ok(Response::empty())
}

pub(super) fn set_policies(
    name: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut user = existing(name, transaction)?;
    let mut body = request.data.clone();
    body.retain(|field, _| field == "policies" || field == "token_policies");
    user.token.take(&body, &OLD_NAMES)?;
    user.token.policies = clean_policies(std::mem::take(&mut user.token.policies));
    transaction.put_json(&entry(name), &user)?;
    Ok(Response::empty())
}

fn existing(name: &str, transaction: &Transaction<'_>) -> Result<User, Refusal> {
    User::read(name, transaction)?.ok_or_else(|| Refusal::failed("username does not exist"))
}

fn no_password() -> Refusal {
    Refusal::invalid("missing password")
}

fn entry(name: &str) -> String {
    format!("user/{name}")
}
