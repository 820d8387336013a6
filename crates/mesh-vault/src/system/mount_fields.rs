//! A mount's configuration in requests.

use crate::{
    core::{active::Active, mounts::MountConfig},
    logical::{Fields, Object, Refusal},
};
use serde_json::Value;

/// Changes a configuration by what a mount's `config`, or a tuning, says. What is not said stays.
///
/// # Errors
/// With Vault's words for what may not be.
pub(super) fn change(
    active: &Active,
    config: &mut MountConfig,
    data: &Object,
    auth: bool,
) -> Result<(), Refusal> {
    let known = config.clone();
    let fields = Fields::new(data);
    set(&mut config.default_lease_ttl, ttl(fields, "default_lease_ttl", "default")?);
    set(&mut config.max_lease_ttl, ttl(fields, "max_lease_ttl", "max")?);
    check_ttls(active, config, &known, fields)?;
    set(&mut config.force_no_cache, fields.boolean("force_no_cache")?);
    if let Some(visibility) = fields.string("listing_visibility")? {
        if !["", "hidden", "unauth"].contains(&visibility.as_str()) {
            return Err(Refusal::invalid(format!("invalid listing_visibility {visibility}")));
        }
        config.listing_visibility = (!visibility.is_empty()).then_some(visibility);
    }
    for (field, list) in [
        ("audit_non_hmac_request_keys", &mut config.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &mut config.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &mut config.passthrough_request_headers),
        ("allowed_response_headers", &mut config.allowed_response_headers),
    ] {
        if let Some(given) = fields.list(field)? {
            *list = (!given.is_empty()).then_some(given);
        }
    }
    if let Some(kind) = fields.string("token_type")?.filter(|kind| !kind.is_empty()) {
        if !auth {
            return Err(Refusal::invalid("'token_type' can only be modified on auth mounts"));
        }
        if !["service", "batch", "default-service", "default-batch"].contains(&kind.as_str()) {
            return Err(Refusal::invalid(format!("invalid value for 'token_type': {kind:?}")));
        }
        config.token_type = Some(kind);
    }
    if let Some(lockout) = fields.value("user_lockout_config").filter(|value| value.is_object()) {
        config.user_lockout = Some(lockout.clone());
    }
    if let Some(version) = fields.string("plugin_version")?.filter(|version| !version.is_empty()) {
        return Err(Refusal::invalid(format!("plugin version {version} is not built in")));
    }
    Ok(())
}

/// Seconds; `system` is the system's value.
fn ttl(fields: Fields<'_>, field: &str, name: &str) -> Result<Option<u64>, Refusal> {
    match fields.value(field) {
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) if text == "system" => Ok(Some(0)),
        Some(value) => {
            let bad = |_| Refusal::invalid(format!("unable to parse {name} TTL of {}", shown(value)));
            Ok(fields.duration(field).map_err(bad)?.map(|ttl| ttl.as_secs()))
        }
        None => Ok(None),
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn check_ttls(
    active: &Active,
    config: &MountConfig,
    known: &MountConfig,
    fields: Fields<'_>,
) -> Result<(), Refusal> {
    let system = active.settings.max_lease_ttl.as_secs();
    if config.max_lease_ttl != 0 && config.default_lease_ttl > config.max_lease_ttl {
        let (default, max) = (config.default_lease_ttl, config.max_lease_ttl);
        let text = match (fields.has("default_lease_ttl"), known.default_lease_ttl) {
            (false, 1..) => {
                format!(
                    "backend max lease TTL of {max} would be less than backend default lease TTL of {default}"
                )
            }
            _ => "given default lease TTL greater than given max lease TTL".to_owned(),
        };
        return Err(Refusal::invalid(text));
    }
    if config.max_lease_ttl == 0 && config.default_lease_ttl > system {
        let text = format!("given default lease TTL greater than system max lease TTL of {system}");
        return Err(Refusal::invalid(text));
    }
    Ok(())
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}
