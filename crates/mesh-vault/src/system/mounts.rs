//! `sys/mounts`, `sys/auth`: engines and methods, and where they are.

use super::{mount_fields, remount::unmount, tune};
use crate::{
    core::{
        active::Active,
        ask::Ask,
        engines,
        mounts::{Backend, Mount, MountEntry, Mounts, engine_for},
        reply::Reply,
        work::Work,
    },
    logical::{Object, Operation, Refusal, Response},
};
use serde_json::{Value, json};
use std::sync::Arc;

/// The turn of whoever changes the table.
pub(super) const TURN: &str = "sys/mounts";
/// Longest path of a mount.
const PATH_BYTES_MAX: usize = 1024;

/// `sys/mounts/...`, or `sys/auth/...`
pub(super) async fn handle(
    active: &Arc<Active>,
    ask: &Ask,
    auth: bool,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    if let Some(path) = path.strip_suffix("/tune") {
        return tune::handle(active, ask, &full(auth, path), work).await;
    }
    match ask.operation {
        Operation::Read if path.is_empty() => Ok(list(active, auth)),
        Operation::Read => read(active, auth, path),
        Operation::Create | Operation::Update if !path.is_empty() => {
            mount(active, ask, auth, path, work).await
        }
        Operation::Delete if !path.is_empty() => disable(active, auth, path).await,
        _ => Err(Refusal::UnsupportedOperation),
    }
}

/// The path of a mount among all.
pub(super) fn full(auth: bool, path: &str) -> String {
    let path = path.trim_matches('/');
    if auth { format!("auth/{path}/") } else { format!("{path}/") }
}

fn list(active: &Active, auth: bool) -> Reply {
    let mut data = Object::new();
    for mount in active.mounts().iter() {
        let shown = match (auth, mount.path.strip_prefix("auth/")) {
            (true, Some(path)) => path,
            (false, None) => mount.path.as_str(),
            _ => continue,
        };
        data.insert(shown.to_owned(), Value::Object(describe(mount)));
    }
    Response::data(data).into()
}

fn read(active: &Active, auth: bool, path: &str) -> Result<Reply, Refusal> {
    let what = if auth { "auth engine" } else { "secret engine mount" };
    let none = || Refusal::invalid(format!("No {what} at {}/", path.trim_matches('/')));
    let mounts = active.mounts();
    Ok(Response::data(describe(mounts.at(&full(auth, path)).ok_or_else(none)?)).into())
}

/// A mount, as it is shown.
pub(super) fn describe(mount: &Mount) -> Object {
    let entry = &mount.entry;
    let mut config = json!({
        "default_lease_ttl": entry.config.default_lease_ttl,
        "force_no_cache": entry.config.force_no_cache,
        "max_lease_ttl": entry.config.max_lease_ttl,
    });
    for (field, list) in [
        ("audit_non_hmac_request_keys", &entry.config.audit_non_hmac_request_keys),
        ("audit_non_hmac_response_keys", &entry.config.audit_non_hmac_response_keys),
        ("passthrough_request_headers", &entry.config.passthrough_request_headers),
        ("allowed_response_headers", &entry.config.allowed_response_headers),
    ] {
        if let Some(list) = list {
            config[field] = json!(list);
        }
    }
    if let Some(visibility) = &entry.config.listing_visibility {
        config["listing_visibility"] = json!(visibility);
    }
    if mount.path.starts_with("auth/") {
        config["token_type"] = json!(entry.config.token_type.as_deref().unwrap_or("default-service"));
    }
    if let Some(lockout) = &entry.config.user_lockout {
        config["user_lockout_config"] = lockout.clone();
    }
    let described = json!({
        "accessor": entry.accessor,
        "config": config,
        "deprecation_status": "supported",
        "description": entry.description,
        "external_entropy_access": entry.external_entropy_access,
        "local": entry.local,
        "options": entry.options,
        "plugin_version": "",
        "running_plugin_version": "",
        "running_sha256": "",
        "seal_wrap": entry.seal_wrap,
        "type": entry.kind,
        "uuid": entry.uuid,
    });
    match described {
        Value::Object(described) => described,
        _ => Object::new(),
    }
}

async fn mount(
    active: &Active,
    ask: &Ask,
    auth: bool,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let path = full(auth, path);
    check_path(&path, auth)?;
    let entry = entry(active, ask, auth)?;
    let engine = engine_for(auth, &entry.kind)
        .ok_or_else(|| Refusal::invalid(format!("plugin not found in the catalog: {}", entry.kind)))?;
    work.hold(active.turns.alone(TURN).await);
    let mounts = active.mounts();
    if mounts.at(&path).is_some() {
        let shown = path.strip_prefix("auth/").filter(|_| auth).unwrap_or(&path);
        return Err(Refusal::invalid(format!("path is already in use at {shown}")));
    }
    if let Some(other) = mounts.conflict(&path) {
        return Err(Refusal::invalid(format!("existing mount at {other}")));
    }
    // What the engine needs is there before anybody can ask it.
    let mount = Mount { path, entry, backend: Backend::Engine(engine) };
    engines::tend(active, &mount, ask.now, false).await?;
    let mut mounts = Mounts::clone(&mounts);
    mounts.put(mount);
    keep(mounts, work);
    Ok(Reply::default())
}

/// Has the table kept, and used once it is.
pub(super) fn keep(mounts: Mounts, work: &mut Work) {
    let (key, value) = mounts.stored();
    work.batch.writes.insert(key, Some(value));
    work.then(|active| active.set_mounts(mounts));
}

/// Where nothing may be mounted.
pub(super) fn check_path(path: &str, auth: bool) -> Result<(), Refusal> {
    let shown = path.strip_prefix("auth/").filter(|_| auth).unwrap_or(path);
    let protected = ["auth/", "sys/", "cubbyhole/", "identity/", "audit/"];
    let taken = !auth && protected.iter().any(|taken| path.starts_with(taken));
    let relative = path.split('/').any(|part| part == ".." || part == ".");
    let odd =
        path.contains("//") || path.chars().any(|letter| letter.is_control()) || path.len() > PATH_BYTES_MAX;
    if taken || relative || odd || shown == "/" {
        return Err(Refusal::invalid(format!("cannot mount {shown:?}")));
    }
    Ok(())
}

fn entry(active: &Active, ask: &Ask, auth: bool) -> Result<MountEntry, Refusal> {
    let fields = ask.fields();
    let mut kind = fields.string("type")?.unwrap_or_default();
    if kind == "plugin" {
        kind = fields.string("plugin_name")?.unwrap_or_default();
    }
    let mut options = Some(fields.pairs("options")?.unwrap_or_default());
    let version = match kind.as_str() {
        "" => return Err(Refusal::invalid("backend type must be specified as a string")),
        "kv-v1" => Some("1"),
        "kv-v2" => Some("2"),
        _ => None,
    };
    if let Some(version) = version.filter(|_| !auth) {
        "kv".clone_into(&mut kind);
        options.get_or_insert_default().insert("version".to_owned(), version.to_owned());
    }
    let asked = options.as_ref().and_then(|options| options.get("version"));
    if let Some(version) = asked {
        if kind != "kv" {
            return Err(Refusal::invalid(format!(
                "secrets engine {kind:?} does not allow setting a version"
            )));
        }
        if version != "1" && version != "2" {
            return Err(Refusal::invalid(format!("invalid KV version {version:?}")));
        }
    }
    let mut entry = MountEntry::new(auth, &kind, &fields.string("description")?.unwrap_or_default())?;
    entry.options = options;
    entry.local = fields.boolean("local")?.unwrap_or(false);
    entry.seal_wrap = fields.boolean("seal_wrap")?.unwrap_or(false);
    entry.external_entropy_access = fields.boolean("external_entropy_access")?.unwrap_or(false);
    match fields.value("config") {
        None => {}
        Some(Value::Object(config)) => mount_fields::change(active, &mut entry.config, config, auth)?,
        Some(_) => return Err(Refusal::invalid("unable to parse given mount config information")),
    }
    Ok(entry)
}

/// One that is not there is no error.
async fn disable(active: &Arc<Active>, auth: bool, path: &str) -> Result<Reply, Refusal> {
    let path = full(auth, path);
    if path == "auth/token/" {
        return Err(Refusal::invalid("token credential backend cannot be disabled"));
    }
    if !auth {
        let protected = ["auth/", "sys/", "cubbyhole/", "identity/", "audit/"];
        if protected.iter().any(|taken| path.starts_with(taken)) {
            return Err(Refusal::invalid(format!("cannot unmount {path:?}")));
        }
    }
    let _turn = active.turns.alone(TURN).await;
    let mounts = active.mounts();
    if let Some(mount) = mounts.at(&path) {
        unmount(active, mount).await?;
    }
    Ok(Reply::default())
}
