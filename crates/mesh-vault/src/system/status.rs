//! What is told of the server.

use crate::{
    core::{active::Active, ask::Ask, reply::Reply},
    logical::{Object, Operation, Raw, Refusal, Response},
    moment,
};
use serde_json::{Value, json};
use std::time::SystemTime;

/// Counters, as JSON or for Prometheus.
pub(super) fn metrics(active: &Active, ask: &Ask) -> Result<Reply, Refusal> {
    if ask.operation != Operation::Read {
        return Err(Refusal::UnsupportedOperation);
    }
    let sealed = active.barrier.sealed();
    let raw = match ask.fields().string("format")?.as_deref() {
        Some("prometheus") => Raw {
            status: 200,
            content_type: "text/plain; version=0.0.4".to_owned(),
            body: active.metrics.prometheus(sealed).into_bytes(),
        },
        None | Some("") => Raw {
            status: 200,
            content_type: "application/json".to_owned(),
            body: active.metrics.json(sealed).to_string().into_bytes(),
        },
        Some(other) => return Err(Refusal::invalid(format!("metric response format {other:?} unknown"))),
    };
    Ok(Response { raw: Some(raw), ..Response::default() }.into())
}

/// Paths that only tell.
pub(super) fn handle(active: &Active, ask: &Ask, head: &str, rest: &str) -> Result<Reply, Refusal> {
    let reads = ask.operation == Operation::Read;
    let data = match (head, rest) {
        ("host-info", "") if reads => host(),
        ("ha-status", "") if reads => json!({
            "nodes": [{
                "hostname": hostname(),
                "api_address": active.settings.api_addr,
                "cluster_address": active.settings.cluster_addr,
                "active_node": true,
                "last_echo": Value::Null,
                "version": active.settings.version,
            }],
        }),
        ("version-history", "") if ask.operation == Operation::List => {
            let version = &active.settings.version;
            json!({ "keys": [version], "key_info": { version: { "previous_version": Value::Null } } })
        }
        ("in-flight-req", "") if reads => json!({}),
        ("monitor" | "loggers", _) => return Err(Refusal::UnsupportedPath),
        _ => return Err(Refusal::UnsupportedOperation),
    };
    Ok(Response::data(object(data)).into())
}

fn host() -> Value {
    json!({
        "timestamp": moment::rfc3339(moment::nanos(SystemTime::now())),
        "host": { "hostname": hostname(), "os": std::env::consts::OS, "kernelArch": std::env::consts::ARCH },
        "cpu": [],
        "disk": [],
        "memory": {},
    })
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

/// `sys/config/...`
pub(super) fn config(active: &Active, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    let reads = ask.operation == Operation::Read;
    let data = match path {
        "state/sanitized" if reads => Value::Object(active.settings.sanitized.clone()),
        "cors" if reads => json!({ "enabled": false, "allowed_origins": [], "allowed_headers": [] }),
        "auditing/request-headers" if reads => json!({ "headers": {} }),
        "ui/headers" if ask.operation == Operation::List => return Err(Refusal::NotFound),
        "state/sanitized" => return Err(Refusal::UnsupportedOperation),
        _ => return Err(Refusal::UnsupportedPath),
    };
    Ok(Response::data(object(data)).into())
}

/// `sys/plugins/...`: everything is built in, and nothing can be added.
pub(super) fn plugins(ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    match (path, ask.operation) {
        ("catalog", Operation::Read | Operation::List) => {
            let data = json!({ "auth": [], "database": [], "secret": [], "detailed": [] });
            Ok(Response::data(object(data)).into())
        }
        ("catalog/auth" | "catalog/database" | "catalog/secret", Operation::List) => {
            Ok(Response::keys(Vec::new()).into())
        }
        ("catalog" | "catalog/auth" | "catalog/database" | "catalog/secret", _) => {
            Err(Refusal::UnsupportedOperation)
        }
        _ if path.starts_with("catalog/") && ask.operation == Operation::Read => Err(Refusal::NotFound),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        _ => Object::new(),
    }
}
