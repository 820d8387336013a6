//! The long forms of networks, volumes, secrets and configs, and their names on the ground.

use super::scalars::{self, each};
use crate::{
    context::{At, Context},
    node::{Map, Node, Value},
};

/// Rewrites the sections beside `services` and gives everything its name.
pub(crate) fn top(tree: &mut Node, project: &str, cx: &mut Context) {
    for section in ["networks", "volumes", "secrets", "configs"] {
        let Some(map) = tree.get_mut(section).and_then(Node::as_map_mut) else { continue };
        for (key, entry) in map.iter_mut() {
            let node = &mut entry.node;
            let at = entry.key_at;
            if node.is_null() {
                *node = Node::map(at);
            }
            let external = external(node, at, cx, section, key);
            each(node, &["labels", "driver_opts"], |node| scalars::pairs(node, Some("")));
            each(node, &["internal", "enable_ipv4", "enable_ipv6"], scalars::boolean);
            let nulls = ["name", "driver", "driver_opts", "ipam", "labels", "file", "environment", "content"];
            scalars::drop_nulls(node, &nulls);
            if !cx.skip.normalisation {
                let name = if external { key.clone() } else { format!("{project}_{key}") };
                node.set_default("name", Node::text(name, at));
            }
            if section == "networks" {
                node.set_default("ipam", Node::map(at));
            } else if !external && !cx.skip.consistency && matches!(section, "secrets" | "configs") {
                source(node, section, key, at, cx);
            }
        }
    }
}

/// `external` as a truth value; its old form with a name inside is taken apart.
pub(super) fn external(node: &mut Node, at: At, cx: &mut Context, section: &str, key: &str) -> bool {
    let Some(value) = node.get("external") else { return false };
    let name = value.get("name").cloned();
    let external = value.as_map().is_some() || value.as_bool() == Some(true);
    if let Some(name) = name {
        if let Some(own) = node.get("name").filter(|own| !own.is_null() && !own.same(&name)) {
            let message = format!("`{section}.{key}` has both a `name` and an `external.name`");
            cx.error_with_hint(own.at, "external", message, "keep `name`, and write `external: true`");
        }
        node.set_default("name", name);
    }
    if !external {
        node.remove("external");
        return false;
    }
    node.set("external", Node::new(Value::Bool(true), at));
    let others: Vec<String> = node
        .as_map()
        .into_iter()
        .flatten()
        .filter(|(key, entry)| {
            let known = matches!(key.as_str(), "external" | "name")
                || key.starts_with("x-")
                || (key.as_str() == "driver" && section != "volumes");
            !known && !entry.node.as_map().is_some_and(Map::is_empty)
        })
        .map(|(key, _)| key.clone())
        .collect();
    if let (Some(other), "volumes") = (others.first(), section) {
        let message = format!("`volumes.{key}` is external, so it cannot have a `{other}`");
        cx.error_with_hint(at, "external", message, "an external volume has a `name` at most");
    } else if let Some(other) = others.first() {
        let message = format!("`{section}.{key}` is external, so `{other}` has no effect here");
        cx.warn(at, "no-effect", message);
    }
    true
}

fn source(node: &Node, section: &str, key: &str, at: At, cx: &mut Context) {
    let sources = ["file", "environment", "content"];
    let given = sources.iter().filter(|source| node.get(source).is_some()).count();
    // Another tool takes the file of a secret that is generated here.
    let generated = node.at_path(&["x-mesh", "generate"]).is_some();
    if given != 1 && !(generated && given == 0) {
        let what = if given == 0 { "none" } else { "more than one" };
        let message =
            format!("`{section}.{key}` needs one of `file`, `environment` and `content`, it has {what}");
        cx.error(at, "file-source", message);
    }
}
