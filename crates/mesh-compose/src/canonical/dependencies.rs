//! `depends_on`: its long form, and the dependencies that other keys imply.

use super::scalars::{self, each};
use crate::{
    context::At,
    node::{Map, Node, Value},
};

/// `depends_on` with its defaults.
pub(super) fn dependencies(service: &mut Node) {
    let Some(node) = service.get_mut("depends_on") else { return };
    scalars::names(node);
    node.as_map_mut().into_iter().flat_map(Map::values_mut).for_each(|entry| dependency(&mut entry.node));
}

pub(super) fn dependency(node: &mut Node) {
    if node.is_null() {
        node.value = Value::Map(Map::new());
    }
    let at = node.at;
    node.set_default("condition", Node::text("service_started", at));
    node.set_default("required", Node::new(Value::Bool(true), at));
    each(node, &["required", "restart"], scalars::boolean);
}

/// The dependencies that other keys imply.
pub(super) fn implied(service: &mut Node) {
    let mut implied: Vec<(String, At, bool)> = Vec::new();
    let first = |text: &str| text.split(':').next().unwrap_or(text).to_owned();
    for link in service.get("links").and_then(Node::as_list).unwrap_or_default() {
        implied.extend(link.as_text().map(|text| (first(text), link.at, true)));
    }
    for key in ["network_mode", "ipc", "pid", "uts", "cgroup"] {
        if let Some(mode) = service.get(key)
            && let Some(shared) = mode.as_text().and_then(|mode| mode.strip_prefix("service:"))
        {
            implied.push((shared.to_owned(), mode.at, true));
        }
    }
    for from in service.get("volumes_from").and_then(Node::as_list).unwrap_or_default() {
        let text = from.as_text().filter(|text| !text.starts_with("container:"));
        implied.extend(text.map(|text| (first(text), from.at, false)));
    }
    if implied.is_empty() {
        return;
    }
    let at = service.at;
    service.set_default("depends_on", Node::map(at));
    let Some(node) = service.get_mut("depends_on") else { return };
    for (name, at, restart) in implied {
        if node.get(&name).is_none() {
            let mut target = scalars::entry(vec![("restart", Value::Bool(restart))], at);
            dependency(&mut target);
            node.set(&name, target);
        }
    }
}
