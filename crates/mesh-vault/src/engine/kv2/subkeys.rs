//! `subkeys/<path>`: a version's shape without its values.

use super::{Here, read_version, with_facts};
use crate::{
    logical::{Object, Operation, Refusal, Response},
    storage::Transaction,
};
use serde_json::Value;

pub(super) fn handle(here: Here<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    if here.request.operation != Operation::Read {
        return Err(Refusal::UnsupportedOperation);
    }
    let depth = here.request.fields().integer("depth")?.unwrap_or(0);
    let depth_max = usize::try_from(depth).ok().filter(|depth| *depth > 0).unwrap_or(usize::MAX);
    let (mut data, facts) = read_version(here, "subkeys", transaction)?;
    without_values(&mut data, depth_max);
    Ok(with_facts("subkeys", data.into(), facts))
}

/// Makes `null` of everything but objects that have fields and are not past the depth.
fn without_values(data: &mut Object, depth: usize) {
    for value in data.values_mut() {
        match value {
            Value::Object(inner) if depth > 1 && !inner.is_empty() => without_values(inner, depth - 1),
            _ => *value = Value::Null,
        }
    }
}
