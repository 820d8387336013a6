//! What a service is told when it has logged in.

use crate::{
    step::{At, BootstrapError, Found, Step},
    vault::VaultError,
    wanted::Service,
};
use mesh_store::secrets::{self, Recipe};
use serde_json::{Map, Value, json};

/// Characters of what is generated: none that a shell, a URL or a connection string takes for something else.
const CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// The credentials of one service. Fields that are there stay as they are.
pub(super) struct Credentials {
    pub(super) service: String,
}

/// Credentials as the vault has them, with the version they are of.
struct There {
    fields: Map<String, Value>,
    version: u64,
}

impl Credentials {
    fn path(&self, at: &At<'_>, service: &str) -> String {
        format!("{}/data/{service}", at.wanted.credentials.mount)
    }

    fn wanted<'a>(&self, at: &At<'a>) -> Option<&'a Service> {
        at.wanted.services.get(&self.service)
    }

    fn there(&self, at: &At<'_>, service: &str) -> Result<There, VaultError> {
        let data = at.read(&self.path(at, service))?.unwrap_or_default();
        let fields = data.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        let version = data.pointer("/metadata/version").and_then(Value::as_u64).unwrap_or_default();
        Ok(There { fields, version })
    }

    /// Names of fields that are wanted and not there.
    fn missing(&self, at: &At<'_>, there: &There) -> Vec<String> {
        let Some(service) = self.wanted(at) else { return Vec::new() };
        let wanted = service.credentials.keys().chain(service.generate.keys()).chain(service.shares.keys());
        wanted.filter(|field| !there.fields.contains_key(*field)).cloned().collect()
    }
}

impl Step for Credentials {
    fn what(&self) -> String {
        format!("credentials of {}", self.service)
    }

    fn look(&self, at: &At<'_>) -> Result<Found, BootstrapError> {
        let there = self.there(at, &self.service)?;
        let missing = self.missing(at, &there);
        Ok(match missing.as_slice() {
            [] => Found::There,
            _ if there.fields.is_empty() => Found::Missing,
            missing => Found::Behind(format!("without {}", missing.join(", "))),
        })
    }

    fn make(&self, at: &At<'_>) -> Result<(), BootstrapError> {
        let Some(service) = self.wanted(at) else { return Ok(()) };
        let There { mut fields, version } = self.there(at, &self.service)?;
        for (name, field) in &service.credentials {
            fields.entry(name.clone()).or_insert_with(|| field.json());
        }
        for (name, length) in &service.generate {
            if !fields.contains_key(name) {
                let made = secrets::generate(&Recipe { length: *length, characters: CHARACTERS.to_owned() })?;
                fields.insert(name.clone(), made.expose().clone().into());
            }
        }
        for (name, owner) in &service.shares {
            let shared = self.there(at, owner)?.fields.remove(name);
            let missing = || VaultError::Unexpected {
                attempt: format!("read {}", self.path(at, owner)),
                missing: "credential that is shared",
            };
            fields.insert(name.clone(), shared.ok_or_else(missing)?);
        }
        // Whoever wrote in the meantime is not overwritten.
        let body = json!({"data": fields, "options": {"cas": version}});
        at.write(&self.path(at, &self.service), &body)?;
        Ok(())
    }
}
