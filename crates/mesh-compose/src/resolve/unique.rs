//! Lists whose entries are unique by a part of them: a later entry takes the place of an earlier one.

use super::paths::short_volume;
use crate::node::{Map, Node, Value};
use std::collections::HashMap;

/// What makes an entry the same as another one; `None` where it has no such part.
pub(super) type Identity = fn(&Node) -> Option<String>;

/// The identity of the entries of the list at `path`, where they are unique in any file.
pub(super) fn identity(path: &[&str]) -> Option<Identity> {
    match path {
        ["services", _, key] => match *key {
            "volumes" => Some(volume),
            "devices" => Some(device),
            "ports" => Some(port),
            "secrets" => Some(secret),
            "configs" => Some(config),
            "env_file" => Some(path_of),
            "expose" => Some(Node::scalar),
            "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "links" | "profiles" | "tmpfs" => {
                Some(name)
            }
            _ => None,
        },
        ["services", _, "networks", _, "aliases" | "link_local_ips"]
        | ["services", _, "build", "tags" | "platforms"] => Some(name),
        _ => None,
    }
}

/// The same for lists that may not name anything twice in one file, but across files.
pub(super) fn identity_across(path: &[&str]) -> Option<Identity> {
    match path {
        ["services", _, "group_add" | "security_opt" | "label_file" | "external_links" | "volumes_from"] => {
            Some(Node::scalar)
        }
        _ => None,
    }
}

/// Keeps the last of the entries that are the same, in every list of every service.
pub(super) fn enforce(tree: &mut Node) {
    let services = tree.get_mut("services").and_then(Node::as_map_mut);
    for entry in services.into_iter().flat_map(Map::values_mut) {
        let keys = entry.node.as_map_mut().into_iter().flat_map(|map| map.iter_mut());
        for (key, entry) in keys {
            list(&["services", "", key], &mut entry.node);
            match key.as_str() {
                "build" => each(&["services", "", "build"], &mut entry.node),
                "networks" => {
                    for entry in entry.node.as_map_mut().into_iter().flat_map(Map::values_mut) {
                        each(&["services", "", "networks", ""], &mut entry.node);
                    }
                }
                _ => {}
            }
        }
    }
}

fn each(path: &[&str], node: &mut Node) {
    for (key, entry) in node.as_map_mut().into_iter().flat_map(|map| map.iter_mut()) {
        list(&[path, &[key.as_str()]].concat(), &mut entry.node);
    }
}

fn list(path: &[&str], node: &mut Node) {
    if let Value::List(items) = &mut node.value
        && items.len() > 1
        && let Some(identity) = identity(path)
    {
        *items = keep_last(std::mem::take(items), identity);
    }
}

/// `items` without those that a later one replaces, each at the place of the first.
pub(crate) fn keep_last(items: Vec<Node>, identity: impl Fn(&Node) -> Option<String>) -> Vec<Node> {
    let mut kept: Vec<Node> = Vec::with_capacity(items.len());
    let mut index_of: HashMap<String, usize> = HashMap::new();
    for item in items {
        match identity(&item) {
            Some(key) => match index_of.get(&key) {
                Some(index) => kept[*index] = item,
                None => {
                    index_of.insert(key, kept.len());
                    kept.push(item);
                }
            },
            None => kept.push(item),
        }
    }
    kept
}

fn volume(node: &Node) -> Option<String> {
    match node.as_text() {
        Some(text) => Some(short_volume(text).target.trim_end_matches('/').to_owned()),
        None => node.get("target")?.scalar().map(|target| target.trim_end_matches('/').to_owned()),
    }
}

fn device(node: &Node) -> Option<String> {
    match node.as_text() {
        Some(text) => Some(text.split(':').nth(1).unwrap_or(text).to_owned()),
        None => node.get("target").or_else(|| node.get("source"))?.scalar(),
    }
}

fn port(node: &Node) -> Option<String> {
    if node.as_map().is_none() {
        return node.scalar();
    }
    let part = |key: &str| node.get(key).and_then(Node::scalar).unwrap_or_default();
    let (host, published, target, protocol) =
        (part("host_ip"), part("published"), part("target"), part("protocol"));
    let protocol = if protocol.is_empty() { "tcp" } else { &protocol };
    Some(format!("{host}:{published}:{target}/{protocol}"))
}

fn secret(node: &Node) -> Option<String> {
    file_mount(node, "/run/secrets/")
}

fn config(node: &Node) -> Option<String> {
    file_mount(node, "/")
}

/// Two mounts are the same where they end up at the same path.
fn file_mount(node: &Node, directory: &str) -> Option<String> {
    match node.as_text() {
        Some(source) => Some(format!("{directory}{source}")),
        None => match node.get("target").and_then(Node::scalar) {
            Some(target) => Some(target),
            None => Some(format!("{directory}{}", node.get("source")?.scalar()?)),
        },
    }
}

/// Up to the first `=`, as in lists of pairs.
fn name(node: &Node) -> Option<String> {
    let text = node.scalar()?;
    Some(text.split_once('=').map_or(text.as_str(), |(name, _)| name).to_owned())
}

fn path_of(node: &Node) -> Option<String> {
    node.scalar().or_else(|| node.get("path")?.scalar())
}
