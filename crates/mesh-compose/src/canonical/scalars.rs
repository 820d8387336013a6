//! Forms of single values, and lists and mappings of them.

use crate::{
    context::{At, Context},
    node::{Entry, Map, Node, Value},
    resolve::to_mapping,
    value,
};

/// A missing list becomes none, one value becomes a list of it.
pub(super) fn list(node: &mut Node) {
    if !matches!(node.value, Value::List(_) | Value::Map(_) | Value::Null) {
        let at = node.at;
        let only = std::mem::replace(node, Node::new(Value::Null, at));
        node.value = Value::List(vec![only]);
    }
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(text);
    }
}

/// A list of names becomes a mapping from them to nothing.
pub(super) fn names(node: &mut Node) {
    let Value::List(items) = &mut node.value else { return };
    let mut map = Map::new();
    for item in std::mem::take(items) {
        if let Some(name) = item.scalar() {
            map.insert(name, Entry { key_at: item.at, node: Node::new(Value::Null, item.at) });
        }
    }
    node.value = Value::Map(map);
}

/// A list without its blank entries, which unset variables leave.
pub(super) fn drop_blank(node: &mut Node) {
    if let Value::List(items) = &mut node.value {
        items.retain(|item| item.as_text() != Some(""));
    }
}

/// Any scalar becomes text.
pub(super) fn text(node: &mut Node) {
    if let Some(text) = node.scalar() {
        node.value = Value::Text(text);
    }
}

/// Pairs become a mapping of texts; a key without a value becomes `missing`.
pub(super) fn pairs(node: &mut Node, missing: Option<&str>) {
    let at = node.at;
    *node = to_mapping(std::mem::replace(node, Node::new(Value::Null, at)));
    for entry in node.as_map_mut().into_iter().flat_map(Map::values_mut) {
        text(&mut entry.node);
        if let (true, Some(missing)) = (entry.node.is_null(), missing) {
            entry.node.value = Value::Text(missing.to_owned());
        }
    }
}

pub(super) fn boolean(node: &mut Node) {
    if let Some(value) = node.as_bool() {
        node.value = Value::Bool(value);
    }
}

pub(super) fn integer(node: &mut Node) {
    if let Some(value) = node.as_int() {
        node.value = Value::Int(value);
    }
}

pub(super) fn float(node: &mut Node) {
    if let Some(value) = node.as_float() {
        node.value = Value::Float(value);
    }
}

/// A size becomes a text of its bytes.
pub(super) fn bytes(node: &mut Node) {
    if let Some(bytes) = node.scalar().and_then(|text| value::bytes(&text)) {
        node.value = Value::Text(bytes.to_string());
    }
}

pub(super) fn duration(node: &mut Node) {
    if let Some(duration) = node.as_text().and_then(value::duration) {
        node.value = Value::Text(value::duration_text(duration));
    }
}

/// A mode becomes a text of four octal digits.
pub(super) fn mode(node: &mut Node) {
    let mode = match &node.value {
        Value::Int(value) => u32::try_from(*value).ok(),
        Value::Text(text) => value::mode(text),
        _ => None,
    };
    if let Some(mode) = mode {
        node.value = Value::Text(format!("{mode:04o}"));
    }
}

/// A command line becomes its words.
pub(super) fn command(node: &mut Node, what: &str, cx: &mut Context) {
    if let Value::List(items) = &mut node.value {
        items.iter_mut().for_each(text);
    } else if let Some(line) = node.scalar() {
        match value::words(&line) {
            Some(words) => {
                let at = node.at;
                node.value = Value::List(words.into_iter().map(|word| Node::text(word, at)).collect());
            }
            None => {
                let hint = "close the quote, or write a list of words";
                cx.error_with_hint(node.at, "bad-value", format!("a quote in `{what}` is not closed"), hint);
            }
        }
    }
}

/// Applies a form to the value of each key that is there.
pub(super) fn each(node: &mut Node, keys: &[&str], form: fn(&mut Node)) {
    for key in keys {
        if let Some(node) = node.get_mut(key) {
            form(node);
        }
    }
}

/// Drops keys whose value is null; what Compose calls "not set".
pub(super) fn drop_nulls(node: &mut Node, keys: &[&str]) {
    for key in keys {
        if node.get(key).is_some_and(Node::is_null) {
            node.remove(key);
        }
    }
}

pub(super) fn entry(pairs: Vec<(&str, Value)>, at: At) -> Node {
    let mut node = Node::map(at);
    for (key, value) in pairs {
        node.set(key, Node::new(value, at));
    }
    node
}
