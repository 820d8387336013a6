//! Two trees into one, by the specification's rules for each key.
//!
//! Mappings are merged, lists appended, other values replaced, except where [`rule`] says otherwise.

use super::unique;
use crate::{
    context::{At, Context},
    node::{Entry, Map, Mark, Node, Value},
};

/// How the two values of one key become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// By their kinds.
    Default,
    /// The later one.
    Replace,
    /// `key=value` lists and mappings, merged as mappings.
    Mapping,
    /// `host=address` or `host:address` lists and mappings; a host may have several addresses.
    Hosts,
    /// Lists of names and mappings keyed by them, merged as mappings.
    Names,
    /// One text or a list of them, appended.
    Texts,
    /// Merged only where both name the same driver.
    Logging,
    /// A text is the `context` of a mapping.
    Build,
    /// Address pools, merged where the subnet is the same.
    Pools,
}

fn rule(path: &[String]) -> Rule {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["services", _, inner @ ..] => service_rule(inner),
        ["networks" | "volumes" | "secrets" | "configs", _, "labels"] => Rule::Mapping,
        ["networks", _, "ipam", "config"] => Rule::Pools,
        _ => Rule::Default,
    }
}

fn service_rule(path: &[&str]) -> Rule {
    match path {
        ["command" | "entrypoint"] | ["healthcheck", "test"] | ["ulimits", _] => Rule::Replace,
        ["environment" | "labels" | "annotations" | "sysctls"]
        | ["build", "args" | "labels" | "additional_contexts"]
        | ["deploy", "labels"] => Rule::Mapping,
        ["extra_hosts"] | ["build", "extra_hosts"] => Rule::Hosts,
        ["depends_on" | "networks" | "models"] => Rule::Names,
        ["dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "tmpfs"] => Rule::Texts,
        ["logging"] => Rule::Logging,
        ["build"] => Rule::Build,
        _ => Rule::Default,
    }
}

/// `base` with `over` laid on it.
pub(super) fn merge(base: Node, over: Node, path: &mut Vec<String>, cx: &mut Context) -> Node {
    if over.mark == Mark::Override || over.mark == Mark::Reset {
        return Node { mark: Mark::Plain, ..over };
    }
    if over.is_null() {
        return base;
    }
    if base.is_null() {
        return over;
    }
    match rule(path) {
        Rule::Replace => over,
        Rule::Mapping => both(base, over, path, cx, to_mapping),
        Rule::Hosts => both(base, over, path, cx, hosts_to_mapping),
        Rule::Names => both(base, over, path, cx, names_to_mapping),
        Rule::Build => both(base, over, path, cx, context_to_mapping),
        Rule::Texts => append(to_list(base), to_list(over), path, cx),
        Rule::Pools => pools(base, over, path, cx),
        Rule::Logging => {
            let (old, new) = (base.get("driver"), over.get("driver"));
            match (old, new) {
                (Some(old), Some(new)) if !old.same(new) => over,
                _ => by_kind(base, over, path, cx),
            }
        }
        Rule::Default => by_kind(base, over, path, cx),
    }
}

fn by_kind(base: Node, over: Node, path: &mut Vec<String>, cx: &mut Context) -> Node {
    match (base.value, over.value) {
        (Value::Map(old), Value::Map(new)) => Node::new(Value::Map(maps(old, new, path, cx)), base.at),
        (Value::List(old), Value::List(new)) => {
            append(Node::new(Value::List(old), base.at), Node::new(Value::List(new), over.at), path, cx)
        }
        (Value::Map(_) | Value::List(_), value @ (Value::Map(_) | Value::List(_)))
        | (Value::Map(_), value) => {
            let node = Node::new(value, over.at);
            let message = format!("`{}` cannot be merged with {} here", path.join("."), node.kind());
            cx.error(over.at, "merge-conflict", message);
            node
        }
        (_, value) => Node::new(value, over.at),
    }
}

fn maps(mut old: Map, new: Map, path: &mut Vec<String>, cx: &mut Context) -> Map {
    for (key, entry) in new {
        if entry.node.mark == Mark::Reset {
            old.shift_remove(&key);
            continue;
        }
        path.push(key.clone());
        match old.get_mut(&key) {
            Some(existing) => {
                let base = std::mem::replace(&mut existing.node, Node::new(Value::Null, At::default()));
                existing.node = merge(base, entry.node, path, cx);
            }
            None => {
                let node = Node { mark: Mark::Plain, ..entry.node };
                old.insert(key, Entry { key_at: entry.key_at, node });
            }
        }
        path.pop();
    }
    old
}

fn both(base: Node, over: Node, path: &mut Vec<String>, cx: &mut Context, convert: fn(Node) -> Node) -> Node {
    by_kind(convert(base), convert(over), path, cx)
}

fn append(base: Node, over: Node, path: &[String], _cx: &mut Context) -> Node {
    let at = base.at;
    let (Value::List(mut items), Value::List(more)) = (base.value, over.value) else {
        return Node::new(Value::Null, at);
    };
    items.extend(more);
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(identity) = unique::identity(&path) {
        items = unique::keep_last(items, identity);
    }
    Node::new(Value::List(items), at)
}

/// A list of `key=value` as a mapping; keys without a value are null.
pub(crate) fn to_mapping(node: Node) -> Node {
    let at = node.at;
    let Value::List(items) = node.value else { return node };
    let mut map = Map::new();
    for item in items {
        let Some(text) = item.scalar() else { continue };
        let (key, value) = match text.split_once('=') {
            Some((key, value)) => (key.to_owned(), Node::text(value, item.at)),
            None => (text, Node::new(Value::Null, item.at)),
        };
        map.insert(key, Entry { key_at: item.at, node: value });
    }
    Node::new(Value::Map(map), at)
}

/// A list of `host=address` or `host:address` as a mapping from hosts to lists of addresses.
pub(crate) fn hosts_to_mapping(node: Node) -> Node {
    let at = node.at;
    let mut pairs: Vec<(String, At, Vec<Node>)> = Vec::new();
    match node.value {
        Value::Map(map) => {
            for (host, entry) in map {
                let addresses = match entry.node.value {
                    Value::List(items) => items,
                    value => vec![Node::new(value, entry.node.at)],
                };
                pairs.push((host, entry.key_at, addresses));
            }
        }
        Value::List(items) => {
            for item in items {
                let Some(text) = item.scalar() else { continue };
                let (host, address) =
                    text.split_once('=').or_else(|| text.split_once(':')).unwrap_or((&text, ""));
                pairs.push((host.trim().to_owned(), item.at, vec![Node::text(address.trim(), item.at)]));
            }
        }
        value => return Node::new(value, at),
    }
    let mut map = Map::new();
    for (host, key_at, addresses) in pairs {
        let empty = Entry { key_at, node: Node::new(Value::List(Vec::new()), key_at) };
        if let Value::List(known) = &mut map.entry(host).or_insert(empty).node.value {
            for address in addresses {
                if !known.iter().any(|known| known.same(&address)) {
                    known.push(address);
                }
            }
        }
    }
    Node::new(Value::Map(map), at)
}

fn names_to_mapping(node: Node) -> Node {
    let at = node.at;
    let Value::List(items) = node.value else { return node };
    let mut map = Map::new();
    for item in items {
        if let Some(name) = item.scalar() {
            map.insert(name, Entry { key_at: item.at, node: Node::new(Value::Null, item.at) });
        }
    }
    Node::new(Value::Map(map), at)
}

fn context_to_mapping(node: Node) -> Node {
    if node.as_text().is_none() {
        return node;
    }
    let mut map = Node::map(node.at);
    map.set("context", node);
    map
}

fn to_list(node: Node) -> Node {
    if node.as_list().is_some() {
        return node;
    }
    let at = node.at;
    Node::new(Value::List(vec![node]), at)
}

fn pools(base: Node, over: Node, path: &mut Vec<String>, cx: &mut Context) -> Node {
    let at = base.at;
    let (Value::List(mut items), Value::List(more)) = (base.value, over.value) else {
        return Node::new(Value::Null, at);
    };
    for pool in more {
        let subnet = pool.get("subnet").and_then(Node::scalar);
        let same = items.iter().position(|old| old.get("subnet").and_then(Node::scalar) == subnet);
        match same {
            Some(index) => {
                let old = std::mem::replace(&mut items[index], Node::new(Value::Null, at));
                path.push(String::new());
                items[index] = by_kind(old, pool, path, cx);
                path.pop();
            }
            None => items.push(pool),
        }
    }
    Node::new(Value::List(items), at)
}
