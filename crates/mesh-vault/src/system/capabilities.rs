//! `sys/capabilities`, `sys/capabilities-self`, `sys/capabilities-accessor`.

use crate::{
    core::{active::Active, ask::Ask, policy_refusal, reply::Reply},
    logical::{Object, Refusal, Response},
    policy::Acl,
};
use serde_json::json;
use std::sync::Arc;

/// What a token may do at paths.
pub(super) fn handle(active: &Active, ask: &Ask, which: &str) -> Result<Reply, Refusal> {
    if !ask.operation.writes() {
        return Err(Refusal::UnsupportedOperation);
    }
    let fields = ask.fields();
    let paths = match fields.list("paths")?.filter(|paths| !paths.is_empty()) {
        Some(paths) => paths,
        None => fields.list("path")?.unwrap_or_default(),
    };
    if paths.is_empty() {
        return Err(Refusal::invalid("paths must be supplied"));
    }
    let acl = acl(active, ask, which)?;
    let mut data = Object::new();
    for path in &paths {
        data.insert(path.clone(), json!(acl.capabilities(path)));
    }
    // The form of before there were several paths.
    if let [path] = paths.as_slice() {
        data.insert("capabilities".to_owned(), json!(acl.capabilities(path)));
    }
    Ok(Response::data(data).into())
}

fn acl(active: &Active, ask: &Ask, which: &str) -> Result<Arc<Acl>, Refusal> {
    let fields = ask.fields();
    let entry = match which {
        "capabilities-self" => {
            return ask.bearer.as_ref().map(|bearer| Arc::clone(&bearer.acl)).ok_or(Refusal::Denied);
        }
        "capabilities-accessor" => {
            let accessor = fields.string("accessor")?.unwrap_or_default();
            let name = active.tokens.by_accessor(active.store(), &accessor)?;
            let name = name.ok_or_else(|| Refusal::invalid("1 error occurred:\n\t* invalid accessor\n\n"))?;
            active.tokens.lookup_name(active.store(), &name, ask.now)?
        }
        _ => {
            let token = fields.string("token")?.unwrap_or_default();
            if token.is_empty() {
                return Err(Refusal::invalid("missing token"));
            }
            active.tokens.lookup(active.store(), &token, ask.now)?
        }
    };
    let entry = entry.ok_or_else(|| Refusal::invalid("1 error occurred:\n\t* invalid token\n\n"))?;
    active.acl(&entry.policies).map_err(policy_refusal)
}
