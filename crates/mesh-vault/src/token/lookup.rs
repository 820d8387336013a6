//! What is told of a token.

use super::{Kind, TokenEntry};
use crate::{logical::Object, moment};
use serde_json::{Value, json};
use std::time::SystemTime;

/// `data` of a lookup. The parent is left out: it would lead to who may revoke this one.
pub(crate) fn describe(entry: &TokenEntry, token: &str, now: SystemTime) -> Object {
    let mut data = Object::new();
    let mut put = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
    put("accessor", json!(entry.accessor));
    if !entry.bound_cidrs.is_empty() {
        put("bound_cidrs", json!(entry.bound_cidrs));
    }
    put("creation_time", json!(entry.issued / 1_000_000_000));
    put("creation_ttl", json!(entry.ttl));
    put("display_name", json!(entry.display_name));
    put("entity_id", json!(""));
    put("expire_time", entry.expires.map_or(Value::Null, |at| json!(moment::rfc3339(at))));
    put("explicit_max_ttl", json!(entry.explicit_max_ttl));
    put("id", json!(token));
    put("issue_time", json!(moment::rfc3339(entry.issued)));
    if let Some(at) = entry.last_renewal {
        put("last_renewal", json!(moment::rfc3339(at)));
        put("last_renewal_time", json!(at / 1_000_000_000));
    }
    put("meta", json!(entry.meta));
    put("num_uses", json!(entry.num_uses));
    put("orphan", json!(entry.parent.is_none()));
    put("path", json!(entry.path));
    if entry.period > 0 {
        put("period", json!(entry.period));
    }
    put("policies", json!(entry.policies));
    put("renewable", json!(entry.renewable && entry.kind == Kind::Service));
    if let Some(role) = &entry.role {
        put("role", json!(role));
    }
    put("ttl", json!(entry.ttl_left(now)));
    put("type", json!(entry.kind.as_str()));
    data
}
