//! How a service logs in: a role, and the two files it is given.

use super::policy;
use crate::{
    step::{At, BootstrapError, Found, Step, text},
    wanted::Logins,
};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The file that names the mount which signs.
const SIGNS: &str = "signs";
/// The file of the role's id.
const ROLE_ID: &str = "role-id";
/// The file of what proves that one may have the role.
const SECRET_ID: &str = "secret-id";
/// All files of a service's folder.
pub(super) const FILES: [&str; 3] = [ROLE_ID, SECRET_ID, SIGNS];
/// A secret id with less than so much of its life left is made anew, or than half of it where that is shorter.
const SECRET_ID_LEFT_SECONDS: u64 = 7 * 24 * 3600;

/// The role of one service.
pub(super) struct Role {
    pub(super) service: String,
}

fn role(service: &str) -> String {
    format!("auth/approle/role/{service}-role")
}

/// What a role says of the lives of its logins, in seconds. What whoever signs logs in with never expires: the engine
/// does so for as long as the stack runs, whether or not somebody bootstraps again.
fn lives(logins: &Logins, signs: bool) -> [(&'static str, u64); 3] {
    [
        ("token_ttl", logins.token_ttl.as_secs()),
        ("token_max_ttl", logins.token_max_ttl.as_secs()),
        ("secret_id_ttl", if signs { 0 } else { logins.secret_id_ttl.as_secs() }),
    ]
}

impl Step for Role {
    fn what(&self) -> String {
        format!("login of {}", self.service)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let Some(there) = at.read(&role(&self.service))? else { return Ok(Found::Missing) };
        let policies = there.get("token_policies").and_then(Value::as_array);
        let own = policies.is_some_and(|policies| *policies == [json!(policy::name_of(&self.service))]);
        let lives = lives(&at.wanted.logins, signs(at, &self.service).is_some());
        let same = lives.iter().all(|(name, seconds)| there.get(name) == Some(&json!(seconds)));
        Ok(match (own, same) {
            (true, true) => Found::There,
            (false, _) => Found::Behind("with other policies".to_owned()),
            (true, false) => Found::Behind("for another time".to_owned()),
        })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let mut body = json!({"token_policies": [policy::name_of(&self.service)]});
        for (name, seconds) in lives(&at.wanted.logins, signs(at, &self.service).is_some()) {
            body[name] = seconds.into();
        }
        at.write(&role(&self.service), &body)?;
        Ok(())
    }
}

/// The mount that signs for a service, where it gets authorities.
fn signs<'a>(at: &At<'a>, service: &str) -> Option<&'a str> {
    let authority = at.wanted.authority.as_ref()?;
    at.wanted.services.get(service).filter(|service| service.signs)?;
    Some(&authority.intermediate_mount)
}

/// `role-id` and `secret-id`; of whoever signs also `signs`, the name of the mount.
pub(super) struct Files {
    pub(super) service: String,
}

impl Files {
    fn name(&self, file: &str) -> String {
        format!("{}/{file}", self.service)
    }
}

impl Step for Files {
    fn what(&self) -> String {
        format!("files to log in of {}", self.service)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let id = at.read(&format!("{}/role-id", role(&self.service)))?;
        let id = id.as_ref().and_then(|data| data.get("role_id")).and_then(Value::as_str);
        let (role_id, secret_id) =
            (at.logins.read(&self.name(ROLE_ID))?, at.logins.read(&self.name(SECRET_ID))?);
        let (Some(role_id), Some(secret_id)) = (role_id, secret_id) else { return Ok(Found::Missing) };
        if id != Some(role_id.trim()) {
            return Ok(Found::Behind("of another role".to_owned()));
        }
        if at.logins.read(&self.name(SIGNS))?.as_deref() != signs(at, &self.service) {
            return Ok(Found::Behind("without what it signs with".to_owned()));
        }
        let body = json!({"secret_id": secret_id.trim()});
        let path = format!("{}/secret-id/lookup", role(&self.service));
        let known = at.write(&path, &body)?.filter(|data| data.get("secret_id_ttl").is_some());
        let Some(known) = known else { return Ok(Found::Behind("no longer valid".to_owned())) };
        let life = known.get("secret_id_ttl").and_then(Value::as_u64).unwrap_or_default();
        let enough = SECRET_ID_LEFT_SECONDS.min(life.max(at.wanted.logins.secret_id_ttl.as_secs()) / 2);
        Ok(match left_seconds(&known) {
            Some(left) if left < enough => Found::Behind("about to expire".to_owned()),
            _ => Found::There,
        })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let path = format!("{}/role-id", role(&self.service));
        let role_id = text(at.read(&path)?, &format!("read {path}"), "role_id")?;
        let path = format!("{}/secret-id", role(&self.service));
        let secret_id = text(at.write(&path, &json!({}))?, &format!("write {path}"), "secret_id")?;
        at.logins.write_secret(&self.name(ROLE_ID), &role_id)?;
        at.logins.write_secret(&self.name(SECRET_ID), &secret_id)?;
        match signs(at, &self.service) {
            Some(mount) => at.logins.write_secret(&self.name(SIGNS), mount)?,
            None => at.logins.remove(&self.name(SIGNS))?,
        }
        Ok(())
    }
}

/// Seconds until a secret id expires by this machine's clock, and at most the life that the vault gave it. `None`: it
/// does not expire.
fn left_seconds(known: &Value) -> Option<u64> {
    let ttl = known.get("secret_id_ttl").and_then(Value::as_u64).filter(|ttl| *ttl > 0)?;
    let expires = known.get("expiration_time").and_then(Value::as_str)?;
    let expires = humantime::parse_rfc3339(expires).ok()?;
    let left = expires.duration_since(SystemTime::now()).unwrap_or_default();
    Some(left.as_secs().min(ttl))
}

#[cfg(test)]
mod tests {
    use super::left_seconds;
    use serde_json::json;

    #[test]
    fn what_is_left_is_counted() {
        let left = |ttl: u64, at: &str| left_seconds(&json!({"secret_id_ttl": ttl, "expiration_time": at}));
        assert_eq!(left(0, "9999-01-01T00:00:00Z"), None);
        assert_eq!(left(60, "9999-01-01T00:00:00.123456789Z"), Some(60));
        assert_eq!(left(60, "2001-01-01T00:00:00Z"), Some(0));
        assert_eq!(left(60, "soon"), None);
    }
}
