//! How a service logs in: a role, and the two files it is given.

use super::policy;
use crate::step::{At, BootstrapError, Found, Step, text};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Life of a token that a service gets, and the longest it can be prolonged to.
const TOKEN_TTL: &str = "1h";
const TOKEN_MAX_TTL: &str = "24h";
/// Life of what it logs in with.
const SECRET_ID_TTL: &str = "720h";
/// The same of whoever signs: the engine logs in with it for as long as the stack runs, whether or not somebody
/// bootstraps again.
const SIGNER_SECRET_ID_TTL: &str = "0";
/// The file that names the mount which signs.
const SIGNS: &str = "signs";
/// A secret id with less than so much of its life left is made anew.
const SECRET_ID_LEFT_SECONDS: u64 = 7 * 24 * 3600;

/// The role of one service.
pub(super) struct Role {
    pub(super) service: String,
}

fn role(service: &str) -> String {
    format!("auth/approle/role/{service}-role")
}

impl Step for Role {
    fn what(&self) -> String {
        format!("login of {}", self.service)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let Some(there) = at.read(&role(&self.service))? else { return Ok(Found::Missing) };
        let policies = there.get("token_policies").and_then(Value::as_array);
        let own = policies.is_some_and(|policies| *policies == [json!(policy::name_of(&self.service))]);
        if !own {
            return Ok(Found::Behind("with other policies".to_owned()));
        }
        let ends = there.get("secret_id_ttl").and_then(Value::as_u64).is_some_and(|ttl| ttl > 0);
        let signs = signs(at, &self.service).is_some();
        Ok(if signs && ends { Found::Behind("that expires".to_owned()) } else { Found::There })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let body = json!({
            "token_policies": [policy::name_of(&self.service)],
            "token_ttl": TOKEN_TTL,
            "token_max_ttl": TOKEN_MAX_TTL,
            "secret_id_ttl": if signs(at, &self.service).is_some() { SIGNER_SECRET_ID_TTL } else { SECRET_ID_TTL },
        });
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
            (at.logins.read(&self.name("role-id"))?, at.logins.read(&self.name("secret-id"))?);
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
        Ok(match left_seconds(&known) {
            Some(left) if left < SECRET_ID_LEFT_SECONDS => Found::Behind("about to expire".to_owned()),
            _ => Found::There,
        })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let path = format!("{}/role-id", role(&self.service));
        let role_id = text(at.read(&path)?, &format!("read {path}"), "role_id")?;
        let path = format!("{}/secret-id", role(&self.service));
        let secret_id = text(at.write(&path, &json!({}))?, &format!("write {path}"), "secret_id")?;
        at.logins.write_secret(&self.name("role-id"), &role_id)?;
        at.logins.write_secret(&self.name("secret-id"), &secret_id)?;
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
