//! Engines and login methods.

use crate::{
    step::{At, BootstrapError, Found, Step},
    wanted::Wanted,
};
use serde_json::{Value, json};

/// A secrets engine at its path.
pub(super) struct Engine {
    path: String,
    kind: &'static str,
    body: Value,
}

impl Engine {
    pub(super) fn credentials(wanted: &Wanted) -> Self {
        let body = json!({"type": "kv", "options": {"version": "2"}});
        Self { path: wanted.credentials.mount.clone(), kind: "kv", body }
    }

    pub(super) fn authority(path: &str, ttl: &str) -> Self {
        let body = json!({"type": "pki", "config": {"max_lease_ttl": ttl}});
        Self { path: path.to_owned(), kind: "pki", body }
    }
}

impl Step for Engine {
    fn what(&self) -> String {
        format!("{} engine at {}/", self.kind, self.path)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let there = at.read("sys/mounts")?.unwrap_or_default();
        let Some(mount) = there.get(format!("{}/", self.path)) else { return Ok(Found::Missing) };
        let kind = mount.get("type").and_then(Value::as_str).unwrap_or_default();
        let version = mount.pointer("/options/version").and_then(Value::as_str);
        if kind == self.kind && (kind != "kv" || version == Some("2")) {
            return Ok(Found::There);
        }
        let difference =
            format!("an engine of type {kind}{}", version.map(|v| format!(" {v}")).unwrap_or_default());
        Err(BootstrapError::Different { what: self.what(), difference })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        at.write(&format!("sys/mounts/{}", self.path), &self.body)?;
        Ok(())
    }
}

/// The method by which services log in.
pub(super) struct Logins;

impl Step for Logins {
    fn what(&self) -> String {
        "login method approle/".to_owned()
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let there = at.read("sys/auth")?.unwrap_or_default();
        Ok(if there.get("approle/").is_some() { Found::There } else { Found::Missing })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        at.write("sys/auth/approle", &json!({"type": "approle"}))?;
        Ok(())
    }
}
