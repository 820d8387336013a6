//! Lists whose entries are unique by a part of them: a later entry takes the place of an earlier one.

use super::paths::short_volume;
use crate::node::Node;
use std::collections::HashMap;

/// What makes an entry the same as another one; `None` where it has no such part.
pub(super) type Identity = fn(&Node) -> Option<String>;

/// The identity of the entries of the list at `path`, where they are unique.
pub(super) fn identity(path: &[&str]) -> Option<Identity> {
    match path {
        ["services", _, key] => match *key {
            "volumes" => Some(volume),
            "devices" => Some(device),
            "ports" => Some(port),
            "secrets" | "configs" => Some(file_mount),
            "env_file" => Some(path_of),
            "cap_add" | "cap_drop" | "dns" | "dns_opt" | "dns_search" | "expose" | "group_add" | "links"
            | "profiles" | "security_opt" | "tmpfs" | "label_file" | "external_links" => Some(Node::scalar),
            _ => None,
        },
        ["services", _, "networks", _, "aliases" | "link_local_ips"]
        | ["services", _, "build", "tags" | "platforms"] => Some(Node::scalar),
        _ => None,
    }
}

/// `items` without those that a later one replaces, each at the place of the first.
pub(super) fn keep_last(items: Vec<Node>, identity: Identity) -> Vec<Node> {
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

fn file_mount(node: &Node) -> Option<String> {
    match node.as_text() {
        Some(text) => Some(text.to_owned()),
        None => node.get("target").or_else(|| node.get("source"))?.scalar(),
    }
}

fn path_of(node: &Node) -> Option<String> {
    node.scalar().or_else(|| node.get("path")?.scalar())
}
