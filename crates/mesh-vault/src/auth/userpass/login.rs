//! `login/<name>`: the password, and a token for it.

use super::{Lockout, User, password};
use crate::{
    auth::{cidr, token_parameters},
    logical::{Auth, Context, Fields, Object, Refusal, Request, Response},
    storage::Transaction,
};
use std::collections::{BTreeMap, BTreeSet};

/// One text for a name and for a password that is wrong.
const INVALID: &str = "invalid username or password";

pub(super) fn login(
    lockout: &Lockout,
    name: &str,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let given = request.fields().string("password")?.unwrap_or_default();
    if given.is_empty() {
        return Err(Refusal::Status { status: 500, text: "missing password".to_owned() });
    }
    lockout.check(context, name, transaction)?;
    let user = User::read(name, transaction)?;
    let hash = user.as_ref().map(|user| user.password_hash.as_str());
    let matched = password::matches(&given, hash);
    let Some(user) = user else { return Err(Refusal::invalid(INVALID)) };
    if !matched {
        lockout.failed(context, name, transaction)?;
        return Err(Refusal::invalid(INVALID));
    }
    let bound = &user.token.bound_cidrs;
    if !bound.is_empty() && !request.remote.is_some_and(|remote| cidr::any_contains(bound, remote)) {
        return Err(Refusal::Denied);
    }
    lockout.succeeded(context, name, transaction);
    let auth = named(user.token.auth(), name, context);
    Ok(Response { auth: Some(auth), ..Response::empty() })
}

fn named(mut auth: Auth, name: &str, context: &Context) -> Auth {
    auth.metadata = BTreeMap::from([("username".to_owned(), name.to_owned())]);
    auth.display_name = token_parameters::display_name(&context.mount, name);
    auth.alias = name.to_owned();
    auth.internal = Object::from_iter([
        ("username".to_owned(), name.into()),
        ("policies".to_owned(), auth.policies.clone().into()),
    ]);
    auth
}

/// Renewal: as the user is now, if the policies are still the same.
pub(super) fn renew(request: &Request, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let fields = Fields::new(&request.internal);
    let name = fields.string("username")?.unwrap_or_default();
    let user = User::read(&name, transaction)?
        .ok_or_else(|| Refusal::failed("user does not exist, not renewing"))?;
    if policies(&fields.list("policies")?.unwrap_or_default()) != policies(&user.token.policies) {
        return Err(Refusal::failed("policies have changed, not renewing"));
    }
    let metadata = BTreeMap::from([("username".to_owned(), name)]);
    let auth = Auth { metadata, internal: request.internal.clone(), ..user.token.auth() };
    Ok(Response { auth: Some(auth), ..Response::empty() })
}

/// As a set, without `default`, which the core adds.
fn policies(names: &[String]) -> BTreeSet<&str> {
    names.iter().map(String::as_str).filter(|name| *name != "default").collect()
}
