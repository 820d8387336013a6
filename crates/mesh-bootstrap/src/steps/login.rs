//! How a service logs in: a role, and the two files it is given.

use super::policy;
use crate::step::{At, BootstrapError, Found, Step, text};
use serde_json::{Value, json};

/// Life of a token that a service gets, and the longest it can be prolonged to.
const TOKEN_TTL: &str = "1h";
const TOKEN_MAX_TTL: &str = "24h";
/// Life of what it logs in with.
const SECRET_ID_TTL: &str = "720h";
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
        Ok(if own { Found::There } else { Found::Behind("with other policies".to_owned()) })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let body = json!({
            "token_policies": [policy::name_of(&self.service)],
            "token_ttl": TOKEN_TTL,
            "token_max_ttl": TOKEN_MAX_TTL,
            "secret_id_ttl": SECRET_ID_TTL,
        });
        at.write(&role(&self.service), &body)?;
        Ok(())
    }
}

/// `role-id` and `secret-id`.
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
        Ok(())
    }
}

/// Seconds until a secret id expires, as `expiration_time` (RFC 3339) says against `creation_time`'s clock: the vault's
/// own life of it, since the clocks of both sides may differ. `None`: it does not expire.
fn left_seconds(known: &Value) -> Option<u64> {
    let ttl = known.get("secret_id_ttl").and_then(Value::as_u64).filter(|ttl| *ttl > 0)?;
    let expires = known.get("expiration_time").and_then(Value::as_str)?;
    let expires = rfc3339_seconds(expires)?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).ok()?.as_secs();
    Some(expires.saturating_sub(now).min(ttl))
}

/// Seconds since 1970 of a moment in UTC as Go prints it.
fn rfc3339_seconds(text: &str) -> Option<u64> {
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<u64>().ok();
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Days of the civil calendar, with years that begin in March.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1;
    let since_1970 = days.checked_sub(719_468)?;
    Some(since_1970 * 86_400 + hour * 3_600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::rfc3339_seconds;

    #[test]
    fn moments_are_counted_from_1970() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some(0)),
            ("2000-03-01T00:00:00Z", Some(951_868_800)),
            ("2026-11-21T18:42:19.123456789Z", Some(1_795_286_539)),
            ("0001-01-01T00:00:00Z", None),
            ("soon", None),
        ] {
            assert_eq!(rfc3339_seconds(text), expected, "{text}");
        }
    }
}
