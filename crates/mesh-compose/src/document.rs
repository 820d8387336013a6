//! The resolved project as a document, in the order and the long forms of `docker compose config`.
//!
//! The content of a secret is never in the tree: a secret that comes from a variable shows its name.

use crate::{
    node::{Map, Node, Value},
    yaml,
};

/// Top-level keys, first to last; others follow by name.
const TOP_ORDER: [&str; 7] = ["name", "services", "networks", "volumes", "secrets", "configs", "models"];

/// Keys of a service that mean nothing when they hold nothing.
const UNSET_WHEN_EMPTY: [&str; 16] = [
    "cap_add",
    "cap_drop",
    "configs",
    "depends_on",
    "devices",
    "dns",
    "dns_opt",
    "dns_search",
    "environment",
    "expose",
    "extra_hosts",
    "labels",
    "ports",
    "profiles",
    "secrets",
    "volumes",
];

/// A resolved project, printable.
#[derive(Debug, Clone)]
pub struct Document {
    tree: Node,
}

impl Document {
    /// Orders `tree`; `escape` doubles each `$`, so that what is printed loads again as it is.
    pub(crate) fn new(mut tree: Node, escape: bool) -> Self {
        tree.remove("version");
        hide_contents(&mut tree);
        if escape {
            services(&mut tree);
        }
        finish(&mut tree, escape);
        let Value::Map(map) = &mut tree.value else { return Self { tree } };
        map.retain(|key, entry| {
            let empty = entry.node.is_null() || entry.node.as_map().is_some_and(Map::is_empty);
            key == "services" || !empty
        });
        let rank = |key: &str| TOP_ORDER.iter().position(|known| *known == key).unwrap_or(TOP_ORDER.len());
        map.sort_by(|a, _, b, _| (rank(a), a).cmp(&(rank(b), b)));
        Self { tree }
    }

    /// As YAML.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        yaml::to_yaml(&self.tree)
    }

    /// As indented JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        yaml::to_json(&self.tree)
    }
}

/// A secret may be written into the file as `content`; it is not repeated.
fn hide_contents(tree: &mut Node) {
    let secrets = tree.get_mut("secrets").and_then(Node::as_map_mut);
    for entry in secrets.into_iter().flat_map(Map::values_mut) {
        if let Some(content) = entry.node.get_mut("content") {
            content.value = Value::Text("***".to_owned());
        }
    }
}

/// What is not set is left out, but `command` and `entrypoint` are always shown: null is the image's.
fn services(tree: &mut Node) {
    let services = tree.get_mut("services").and_then(Node::as_map_mut);
    for entry in services.into_iter().flat_map(Map::values_mut) {
        let service = &mut entry.node;
        let at = service.at;
        for key in ["command", "entrypoint"] {
            service.set_default(key, Node::new(Value::Null, at));
        }
        if let Some(map) = service.as_map_mut() {
            map.retain(|key, entry| !UNSET_WHEN_EMPTY.contains(&key.as_str()) || !is_empty(&entry.node));
        }
        if let Some(deploy) = service.get_mut("deploy") {
            deploy.set_default("placement", Node::map(at));
            deploy.set_default("resources", Node::map(at));
        }
    }
}

fn is_empty(node: &Node) -> bool {
    node.as_list().is_some_and(<[Node]>::is_empty) || node.as_map().is_some_and(Map::is_empty)
}

fn finish(node: &mut Node, escape: bool) {
    match &mut node.value {
        Value::Text(text) if escape && text.contains('$') => *text = text.replace('$', "$$"),
        Value::List(items) => items.iter_mut().for_each(|item| finish(item, escape)),
        Value::Map(map) => {
            map.sort_unstable_keys();
            map.values_mut().for_each(|entry| finish(&mut entry.node, escape));
        }
        _ => {}
    }
}
