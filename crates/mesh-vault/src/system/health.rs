//! `sys/health`, `sys/leader`.

use super::{
    bare::{Plain, wrong_method},
    init::cluster,
};
use crate::core::Answer;
use serde_json::json;
use std::time::{SystemTime, UNIX_EPOCH};

/// The state as a status, which callers may choose.
pub(super) fn health(plain: &Plain<'_>) -> Answer {
    if !plain.reads() {
        return wrong_method();
    }
    let code = |name: &str, default: u16| match plain.call.query.iter().find(|(key, _)| key == name) {
        None => Some(default),
        Some((_, text)) => text.parse::<u16>().ok().filter(|code| (100..1000).contains(code)),
    };
    let asked = (|| Some((code("uninitcode", 501)?, code("sealedcode", 503)?, code("activecode", 200)?)))();
    // There is no standby, so nothing depends on these two; what makes no sense is told all the same.
    let standby = code("standbycode", 429).and(code("perfstandbyokcode", 473));
    let (Some((uninitialized, sealed_code, active_code)), Some(_)) = (asked, standby) else {
        return Answer::errors(400, &[]);
    };
    let Ok(initialized) = plain.core.barrier.initialized() else { return Answer::errors(500, &[]) };
    let sealed = plain.core.sealed();
    let status = match (initialized, sealed) {
        (false, _) => uninitialized,
        (true, true) => sealed_code,
        (true, false) => active_code,
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut body = json!({
        "initialized": initialized,
        "sealed": sealed,
        "standby": sealed,
        "performance_standby": false,
        "replication_performance_mode": if sealed { "unknown" } else { "disabled" },
        "replication_dr_mode": if sealed { "unknown" } else { "disabled" },
        "server_time_utc": now,
        "version": plain.core.settings.version,
        "enterprise": false,
        "echo_duration_ms": 0,
        "clock_skew_ms": 0,
        "replication_primary_canary_age_ms": 0,
    });
    if let Some((name, id)) = cluster(plain.core) {
        body["cluster_name"] = json!(name);
        body["cluster_id"] = json!(id);
    }
    Answer::json(status, &body)
}

/// There is one server, so there is nobody to lead.
pub(super) fn leader(plain: &Plain<'_>) -> Answer {
    if !plain.reads() {
        return wrong_method();
    }
    Answer::json(
        200,
        &json!({
            "ha_enabled": false,
            "is_self": false,
            "active_time": "0001-01-01T00:00:00Z",
            "leader_address": "",
            "leader_cluster_address": "",
            "performance_standby": false,
            "performance_standby_last_remote_wal": 0,
        }),
    )
}
