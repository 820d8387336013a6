//! `sys/mounts/<path>/tune`, `sys/auth/<path>/tune`.

use super::{
    mount_fields,
    mounts::{TURN, keep},
};
use crate::{
    core::{
        active::Active,
        ask::Ask,
        engines,
        mounts::{Mount, Mounts},
        reply::Reply,
        work::Work,
    },
    logical::{Object, Operation, Refusal, Response},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// Reads or changes a mount's configuration.
pub(super) async fn handle(
    active: &Arc<Active>,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match ask.operation {
        Operation::Read => read(active, path),
        Operation::Create | Operation::Update => write(active, ask, path, work).await,
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn read(active: &Active, path: &str) -> Result<Reply, Refusal> {
    let mounts = active.mounts();
    let none = || Refusal::invalid(format!("cannot fetch sysview for path {path:?}"));
    let mount = mounts.at(path).ok_or_else(none)?;
    let (default_ttl, max_ttl) = active.ttls(mount);
    let config = &mount.entry.config;
    let mut data = Object::new();
    let mut put = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
    for (field, list) in [
        ("allowed_response_headers", &config.allowed_response_headers),
        ("audit_non_hmac_request_keys", &config.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &config.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &config.passthrough_request_headers),
    ] {
        if let Some(list) = list {
            put(field, json!(list));
        }
    }
    put("default_lease_ttl", json!(default_ttl.as_secs()));
    put("description", json!(mount.entry.description));
    put("force_no_cache", json!(config.force_no_cache));
    if let Some(visibility) = &config.listing_visibility {
        put("listing_visibility", json!(visibility));
    }
    put("max_lease_ttl", json!(max_ttl.as_secs()));
    if let Some(options) = mount.entry.options.as_ref().filter(|options| !options.is_empty()) {
        put("options", json!(options));
    }
    if path.starts_with("auth/") {
        put("token_type", json!(config.token_type.as_deref().unwrap_or("default-service")));
    }
    if let Some(lockout) = config.user_lockout.as_ref().and_then(Value::as_object) {
        for (key, value) in lockout {
            put(&format!("user_lockout_{}", key.trim_start_matches("lockout_")), value.clone());
        }
    }
    Ok(Response::data(data).into())
}

async fn write(active: &Arc<Active>, ask: &Ask, path: &str, work: &mut Work) -> Result<Reply, Refusal> {
    check_tunable(ask, path)?;
    work.hold(active.turns.alone(TURN).await);
    let mounts = active.mounts();
    let none = || Refusal::invalid(format!("tune of path {path:?} failed: no mount entry found"));
    let mount = mounts.at(path).ok_or_else(none)?;
    let mut entry = mount.entry.clone();
    mount_fields::change(active, &mut entry.config, &ask.data, path.starts_with("auth/"))?;
    let fields = ask.fields();
    if let Some(description) = fields.string("description")? {
        entry.description = description;
    }
    let mut reply = Reply::default();
    if let Some(options) = fields.pairs("options")?.filter(|options| !options.is_empty()) {
        let upgrade = check_version(mount, &options)?;
        entry.options.get_or_insert_default().extend(options);
        if upgrade {
            let told = format!(
                "Upgrading mount from version 1 to version 2. This mount will be unavailable for a brief period and will resume service shortly. ({path})"
            );
            reply.response.warnings.push(told);
        }
    }
    let tuned = Mount { entry, ..Mount::clone(mount) };
    let mut mounts = Mounts::clone(&mounts);
    mounts.put(tuned.clone());
    keep(mounts, work);
    // What other options ask of the engine is made before the table says so.
    engines::tend(active, &tuned, ask.now, false).await?;
    Ok(reply)
}

/// Of some mounts only what is recorded of them may be changed.
fn check_tunable(ask: &Ask, path: &str) -> Result<(), Refusal> {
    let untunable = ["cubbyhole/", "sys/", "audit/", "identity/"];
    if !untunable.iter().any(|prefix| path.starts_with(prefix)) {
        return Ok(());
    }
    let allowed = ["audit_non_hmac_request_keys", "audit_non_hmac_response_keys"];
    match ask.data.keys().find(|field| !allowed.contains(&field.as_str())) {
        Some(field) => Err(Refusal::invalid(format!("cannot tune parameter {field} of {path}"))),
        None => Ok(()),
    }
}

/// Whether it is an upgrade of KV.
fn check_version(
    mount: &Mount,
    options: &std::collections::BTreeMap<String, String>,
) -> Result<bool, Refusal> {
    let Some(version) = options.get("version") else { return Ok(false) };
    if mount.entry.kind != "kv" {
        let text = format!("secrets engine {:?} does not allow setting a version", mount.entry.kind);
        return Err(Refusal::invalid(text));
    }
    let now =
        mount.entry.options.as_ref().and_then(|options| options.get("version")).map_or("1", String::as_str);
    match (now, version.as_str()) {
        ("2", "1") => Err(Refusal::invalid("cannot downgrade mount from version 2")),
        ("1", "2") => Ok(true),
        ("1", "1") | ("2", "2") => Ok(false),
        _ => Err(Refusal::invalid(format!("invalid KV version {version:?}"))),
    }
}
