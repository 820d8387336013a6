//! `sys/key-status`, `sys/rotate`, `sys/seal`, `sys/step-down`.

use crate::{
    barrier::BarrierError,
    core::{Core, active::Active, ask::Ask, reply::Reply},
    logical::{Object, Operation, Refusal, Response},
    moment,
};
use serde_json::json;
use std::sync::Arc;

/// The key in use.
pub(super) fn status(active: &Active, ask: &Ask) -> Result<Reply, Refusal> {
    if ask.operation != Operation::Read {
        return Err(Refusal::UnsupportedOperation);
    }
    let status = active.barrier.key_status();
    let data = [
        ("term".to_owned(), json!(status.term)),
        ("install_time".to_owned(), json!(moment::rfc3339(moment::nanos(status.installed)))),
        ("encryptions".to_owned(), json!(status.encryptions)),
    ];
    Ok(Response::data(Object::from_iter(data)).into())
}

/// Another key for what is written from now on.
pub(super) async fn rotate(active: &Active, ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    match path {
        "" | "keyring" if ask.operation.writes() => {
            active.barrier.rotate().await.map_err(refusal)?;
            Ok(Reply::default())
        }
        "config" if ask.operation == Operation::Read => {
            let data = [
                ("enabled".to_owned(), json!(true)),
                ("interval".to_owned(), json!(0)),
                ("max_operations".to_owned(), json!(3_865_470_566_u64)),
            ];
            Ok(Response::data(Object::from_iter(data)).into())
        }
        "" | "keyring" | "config" => Err(Refusal::UnsupportedOperation),
        _ => Err(Refusal::UnsupportedPath),
    }
}

/// Shares encrypted by PGP keys, which are never made, so none are kept.
pub(super) fn backup(ask: &Ask, path: &str) -> Result<Reply, Refusal> {
    match (path, ask.operation) {
        ("backup" | "recovery-key-backup", Operation::Read) => {
            Err(Refusal::invalid("no backed-up keys found"))
        }
        ("backup" | "recovery-key-backup", Operation::Delete) => Ok(Reply::default()),
        ("backup" | "recovery-key-backup", _) => Err(Refusal::UnsupportedOperation),
        _ => Err(Refusal::UnsupportedPath),
    }
}

fn refusal(error: BarrierError) -> Refusal {
    match error {
        BarrierError::Storage(error) => error.into(),
        other => Refusal::Internal { attempted: "internal error".to_owned(), source: Some(Box::new(other)) },
    }
}

/// Seals, once this has been answered for.
pub(super) fn seal(core: &Arc<Core>, ask: &Ask) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    let reply = Reply { seals: true, ..Reply::default() };
    tracing::info!(sealed = core.sealed(), "asked to seal");
    Ok(reply)
}

/// There is nobody to hand over to.
pub(super) fn step_down(ask: &Ask) -> Result<Reply, Refusal> {
    if ask.operation.writes() { Ok(Reply::default()) } else { Err(Refusal::UnsupportedOperation) }
}
