//! Two trees into one, by the specification's rules for each key.
//!
//! Mappings are merged, lists appended, other values replaced, except where [`rule`] says otherwise.

use super::unique;
use crate::{
    context::{At, Context},
    node::{Entry, Map, Mark, Node, Value},
};

/// What becomes of `!reset` and `!override` once they were carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marks {
    /// They are done with.
    Spent,
    /// They stay, for what the file is yet to be laid on: inside one file, services take from others
    /// before the file is laid on the ones before it.
    Kept,
}

/// What is merged, and where.
pub(super) struct Merging<'c> {
    cx: &'c mut Context,
    marks: Marks,
}

impl<'c> Merging<'c> {
    pub(super) fn new(cx: &'c mut Context, marks: Marks) -> Self {
        Self { cx, marks }
    }
}

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
    /// The same, where a name alone means the ordinary condition.
    Dependencies,
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
        ["depends_on"] => Rule::Dependencies,
        ["networks" | "models"] => Rule::Names,
        ["dns" | "dns_opt" | "dns_search" | "env_file" | "label_file" | "tmpfs"] => Rule::Texts,
        ["logging"] => Rule::Logging,
        ["build"] => Rule::Build,
        _ => Rule::Default,
    }
}

/// `base` with `over` laid on it.
pub(super) fn merge(base: Node, over: Node, path: &mut Vec<String>, to: &mut Merging<'_>) -> Node {
    if over.mark != Mark::Plain {
        let mark = if to.marks == Marks::Kept { over.mark } else { Mark::Plain };
        return Node { mark, ..over };
    }
    let rule = rule(path);
    if rule == Rule::Replace {
        return over;
    }
    if over.is_null() {
        return base;
    }
    if base.is_null() {
        return over;
    }
    match rule {
        Rule::Mapping => pairs(base, over, path, to),
        Rule::Hosts => both(base, over, path, to, hosts_to_mapping),
        Rule::Names => both(base, over, path, to, names_to_mapping),
        Rule::Dependencies => both(base, over, path, to, dependencies_to_mapping),
        Rule::Build => both(base, over, path, to, context_to_mapping),
        Rule::Texts => append(to_list(base), to_list(over), path),
        Rule::Pools => pools(base, over, path, to),
        Rule::Logging => {
            let (old, new) = (base.get("driver"), over.get("driver"));
            match (old, new) {
                (Some(old), Some(new)) if !old.same(new) => over,
                _ => by_kind(base, over, path, to),
            }
        }
        Rule::Default | Rule::Replace => by_kind(base, over, path, to),
    }
}

fn by_kind(base: Node, over: Node, path: &mut Vec<String>, to: &mut Merging<'_>) -> Node {
    match (base.value, over.value) {
        (Value::Map(old), Value::Map(new)) => Node::new(Value::Map(maps(old, new, path, to)), base.at),
        (Value::List(old), Value::List(new)) => {
            append(Node::new(Value::List(old), base.at), Node::new(Value::List(new), over.at), path)
        }
        (Value::Map(_) | Value::List(_), value @ (Value::Map(_) | Value::List(_)))
        | (Value::Map(_), value) => {
            let node = Node::new(value, over.at);
            let message = format!("`{}` cannot be merged with {} here", path.join("."), node.kind());
            to.cx.error(over.at, "merge-conflict", message);
            node
        }
        (_, value) => Node::new(value, over.at),
    }
}

fn maps(mut old: Map, new: Map, path: &mut Vec<String>, to: &mut Merging<'_>) -> Map {
    for (key, entry) in new {
        if entry.node.mark == Mark::Reset {
            old.shift_remove(&key);
            if to.marks == Marks::Kept {
                old.insert(key, entry);
            }
            continue;
        }
        path.push(key);
        match path.last().and_then(|key| old.get_mut(key)) {
            Some(existing) => {
                let base = std::mem::replace(&mut existing.node, Node::new(Value::Null, At::default()));
                existing.node = merge(base, entry.node, path, to);
                path.pop();
            }
            None => {
                let Some(key) = path.pop() else { continue };
                old.insert(key, entry);
            }
        }
    }
    old
}

/// Of `key=value` pairs the later one counts, also where it has no value.
fn pairs(base: Node, over: Node, path: &mut Vec<String>, to: &mut Merging<'_>) -> Node {
    let at = base.at;
    let (base, over) = (to_mapping(base), to_mapping(over));
    match (base.value, over.value) {
        (Value::Map(mut old), Value::Map(new)) => {
            for (key, entry) in new {
                match entry.node.mark {
                    Mark::Reset if to.marks == Marks::Spent => {
                        old.shift_remove(&key);
                    }
                    _ => {
                        old.insert(key, entry);
                    }
                }
            }
            Node::new(Value::Map(old), at)
        }
        (old, new) => by_kind(Node::new(old, at), Node::new(new, over.at), path, to),
    }
}

fn both(
    base: Node,
    over: Node,
    path: &mut Vec<String>,
    to: &mut Merging<'_>,
    convert: fn(Node) -> Node,
) -> Node {
    by_kind(convert(base), convert(over), path, to)
}

fn append(base: Node, over: Node, path: &[String]) -> Node {
    let at = base.at;
    let (Value::List(mut items), Value::List(more)) = (base.value, over.value) else {
        return Node::new(Value::Null, at);
    };
    // An entry cannot be taken back, so one that is marked so says nothing.
    items.extend(more.into_iter().filter(|item| item.mark != Mark::Reset));
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if let Some(identity) = unique::identity(&path).or_else(|| unique::identity_across(&path)) {
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

fn dependencies_to_mapping(node: Node) -> Node {
    if node.as_list().is_none() {
        return node;
    }
    let mut node = names_to_mapping(node);
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        let at = entry.node.at;
        entry.node = Node::map(at);
        entry.node.set("condition", Node::text("service_started", at));
        entry.node.set("required", Node::new(Value::Bool(true), at));
    }
    node
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

fn pools(base: Node, over: Node, path: &mut Vec<String>, to: &mut Merging<'_>) -> Node {
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
                items[index] = by_kind(old, pool, path, to);
                path.pop();
            }
            None => items.push(pool),
        }
    }
    Node::new(Value::List(items), at)
}
