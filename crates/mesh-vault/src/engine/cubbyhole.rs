//! `cubbyhole`: a folder a token, which nobody else can reach and which goes with it.
//!
//! The core empties [`folder`] when the token is revoked, and puts wrapped answers there.

use super::listing;
use crate::{
    logical::{Context, Engine, Object, Operation, Refusal, Request, Response, Turn},
    storage::Transaction,
};

/// The engine.
#[derive(Debug, Default)]
pub struct Cubbyhole;

/// Where the entries of a token are, under the engine's mount.
#[must_use]
pub fn folder(storage_id: &str) -> String {
    format!("{storage_id}/")
}

impl Engine for Cubbyhole {
    fn name(&self) -> &'static str {
        "cubbyhole"
    }

    fn turn(&self, request: &Request) -> Turn {
        match request.operation {
            Operation::Read | Operation::List => Turn::Free,
            _ => Turn::Key(key(request).unwrap_or_default()),
        }
    }

    fn exists(
        &self,
        request: &Request,
        _context: &Context,
        transaction: &Transaction<'_>,
    ) -> Result<Option<bool>, Refusal> {
        Ok(Some(transaction.get(&key(request)?)?.is_some()))
    }

    fn handle(
        &self,
        request: &Request,
        _context: &Context,
        transaction: &mut Transaction<'_>,
    ) -> Result<Response, Refusal> {
        let key = key(request)?;
        match request.operation {
            Operation::Read if request.path.is_empty() => Err(Refusal::failed("missing path")),
            Operation::Read => {
                let data = transaction.get_json::<Object>(&key)?;
                data.map(Response::data).ok_or(Refusal::NotFound)
            }
            Operation::List => listing::answer(transaction.list(&listing::folder(&key))?, request.fields()),
            Operation::Create | Operation::Update => {
                if request.data.is_empty() {
                    return Err(Refusal::failed("missing data fields"));
                }
                if request.path.is_empty() {
                    return Err(Refusal::failed("missing path"));
                }
                transaction.put_json(&key, &request.data)?;
                Ok(Response::empty())
            }
            Operation::Delete => {
                transaction.delete(&key);
                Ok(Response::empty())
            }
            Operation::Patch | Operation::Renew | Operation::Revoke | Operation::Help => {
                Err(Refusal::UnsupportedOperation)
            }
        }
    }
}

/// Where a request's entry is. Without a token there is no cubbyhole.
fn key(request: &Request) -> Result<String, Refusal> {
    let token = request.token.as_ref().filter(|token| !token.storage_id.is_empty()).ok_or(Refusal::Denied)?;
    Ok(format!("{}{}", folder(&token.storage_id), request.path))
}

#[cfg(test)]
mod tests {
    use super::Cubbyhole;
    use crate::{
        engine::testing::Mount,
        logical::Operation::{Delete, List, Read, Update},
    };
    use serde_json::{Value, json};

    #[test]
    fn a_token_sees_its_own() {
        let mut mount = Mount::new(Cubbyhole, "cubbyhole/", &[]);
        mount.write("a/b", json!({"k": 1}));
        assert_eq!(mount.read("a/b"), json!({"k": 1}));
        assert_eq!(mount.succeed(List, "", Value::Null), json!({"keys": ["a/"]}));
        assert_eq!(mount.succeed(List, "a", Value::Null), json!({"keys": ["b"]}));
        mount.storage_id = "other".to_owned();
        assert_eq!(mount.check(Read, "a/b", Value::Null).0, 404);
        assert_eq!(mount.check(List, "", Value::Null).0, 404);
        mount.storage_id = "token".to_owned();
        mount.succeed(Delete, "a/b", Value::Null);
        assert_eq!(mount.check(Read, "a/b", Value::Null).0, 404);
    }

    #[test]
    fn nobody_has_none() {
        let mut mount = Mount::new(Cubbyhole, "cubbyhole/", &[]);
        for (operation, path, data, status) in
            [(Read, "", Value::Null, 500), (Update, "a", json!({}), 500), (Update, "", json!({"k": 1}), 500)]
        {
            assert_eq!(mount.check(operation, path, data).0, status, "{operation:?} {path}");
        }
        mount.storage_id.clear();
        assert_eq!(mount.check(Read, "a", Value::Null).0, 403);
    }
}
