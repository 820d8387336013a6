//! `sys/audit`, `sys/audit-hash`.

use crate::{
    audit::{Audit, Device, DeviceEntry},
    core::{active::Active, ask::Ask, reply::Reply, work::Work},
    logical::{Object, Operation, Refusal, Response},
};
use serde_json::json;
use std::{collections::BTreeMap, sync::Arc};

/// Devices: all, a new one, one less.
pub(super) async fn handle(
    active: &Active,
    ask: &Ask,
    path: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    match ask.operation {
        Operation::Read if path.is_empty() => Ok(list(active)),
        Operation::Create | Operation::Update if !path.is_empty() => enable(active, ask, path, work).await,
        Operation::Delete if !path.is_empty() => disable(active, path, work).await,
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn list(active: &Active) -> Reply {
    let mut data = Object::new();
    for (path, device) in active.audit.devices().iter() {
        let entry = &device.entry;
        let device = json!({
            "type": entry.kind,
            "description": entry.description,
            "options": entry.options,
            "local": entry.local,
            "path": entry.path,
        });
        data.insert(path.clone(), device);
    }
    Response::data(data).into()
}

async fn enable(active: &Active, ask: &Ask, path: &str, work: &mut Work) -> Result<Reply, Refusal> {
    let fields = ask.fields();
    let kind = fields.string("type")?.unwrap_or_default();
    let options = fields.pairs("options")?.unwrap_or_default();
    let description = fields.string("description")?.unwrap_or_default();
    let local = fields.boolean("local")?.unwrap_or(false);
    check(&kind, &options)?;
    work.hold(active.turns.alone("sys/audit").await);
    let path = format!("{path}/");
    let mut devices = active.audit.devices().as_ref().clone();
    let conflict = devices.keys().any(|known| known.starts_with(&path) || path.starts_with(known.as_str()));
    if conflict {
        return Err(Refusal::invalid("path already in use"));
    }
    let entry = DeviceEntry::new(&path, &kind, &description, options, local)?;
    let device = Device::open(entry);
    // Whoever cannot write now is told now, not with the next request.
    device.reopen().await.map_err(|error| Refusal::invalid(format!("sanity check failed; {error}")))?;
    devices.insert(path, Arc::new(device));
    keep(devices, work);
    Ok(Reply::default())
}

fn check(kind: &str, options: &BTreeMap<String, String>) -> Result<(), Refusal> {
    match kind {
        "" => return Err(Refusal::invalid("backend type must be specified as a string")),
        "file" => {}
        other => return Err(Refusal::invalid(format!("unknown backend type: {other:?}"))),
    }
    let path = options.get("file_path").or_else(|| options.get("path"));
    if path.is_none_or(|path| path.is_empty()) {
        return Err(Refusal::invalid("file_path is required"));
    }
    match options.get("format").map(String::as_str) {
        None | Some("" | "json") => {}
        Some(other) => return Err(Refusal::invalid(format!("unknown format type {other:?}"))),
    }
    for option in ["log_raw", "hmac_accessor", "elide_list_responses"] {
        let known = ["true", "false", "1", "0", "t", "f", "T", "F", "TRUE", "FALSE", "True", "False"];
        if options.get(option).is_some_and(|value| !known.contains(&value.as_str())) {
            return Err(Refusal::invalid(format!("option {option:?} must be true or false")));
        }
    }
    match options.get("mode") {
        Some(mode) if u32::from_str_radix(mode, 8).is_err() => {
            Err(Refusal::invalid(format!("option \"mode\" must be octal: {mode:?}")))
        }
        _ => Ok(()),
    }
}

async fn disable(active: &Active, path: &str, work: &mut Work) -> Result<Reply, Refusal> {
    work.hold(active.turns.alone("sys/audit").await);
    let mut devices = active.audit.devices().as_ref().clone();
    if devices.remove(&format!("{path}/")).is_some() {
        keep(devices, work);
    }
    Ok(Reply::default())
}

fn keep(devices: BTreeMap<String, Arc<Device>>, work: &mut Work) {
    let (key, value) = Audit::stored(&devices);
    work.batch.writes.insert(key, Some(value));
    work.then(|active| active.audit.set(devices));
}

/// A text as it would stand in a device's records.
pub(super) fn hash(active: &Active, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    let input = ask.fields().string("input")?.unwrap_or_default();
    if input.is_empty() {
        return Err(Refusal::invalid("the \"input\" parameter is empty"));
    }
    let devices = active.audit.devices();
    let path = format!("{path}/");
    let device =
        devices.get(&path).ok_or_else(|| Refusal::invalid(format!("unknown audit backend {path:?}")))?;
    Ok(Response::data(Object::from_iter([("hash".to_owned(), json!(device.hash(&input)))])).into())
}
