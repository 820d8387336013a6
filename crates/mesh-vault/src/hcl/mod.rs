//! HashiCorp's configuration language as Vault's configuration and policies use it, and JSON.
//!
//! Attributes, blocks with labels, objects, lists, texts with escapes, here-documents, numbers, booleans and
//! comments. A text that begins with `{` is JSON. Deliberately absent: expressions and interpolation, which Vault
//! does not evaluate either; `${...}` stays as it is.
//!
//! Bounded: the depth of nesting. The size is its caller's to bound; nothing here grows past it.

mod lexer;
mod parser;

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

/// Deepest nesting of objects and lists.
const DEPTH_MAX: usize = 32;

/// A text that is neither HCL nor JSON, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("At {line}:{column}: {problem}")]
pub struct HclError {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// What is wrong there.
    pub problem: String,
}

/// The entries of a file, a block or an object, in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Body {
    /// `key = value` and `key "label" { }`.
    pub entries: Vec<Entry>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// A block's labels; none for an attribute.
    pub labels: Vec<String>,
    /// What it has.
    pub value: Node,
    /// Where its key stands, from 1.
    pub line: u32,
    /// Whether it was written as a block, which may come again.
    block: bool,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Node {
    /// A text, a number, a boolean, or null.
    Scalar(Value),
    /// `[...]`
    List(Vec<Node>),
    /// `{...}`
    Object(Body),
}

/// Reads a text with the place of each entry.
///
/// # Errors
/// See [`HclError`].
pub fn parse_body(text: &str) -> Result<Body, HclError> {
    parser::parse(text)
}

/// Reads a text as what its JSON would be: `path "a" { ... }` is `{"path": {"a": {...}}}`. A block that comes again
/// adds its labels; with the same labels it makes a list.
///
/// # Errors
/// See [`HclError`].
pub fn parse(text: &str) -> Result<Value, HclError> {
    Ok(Value::Object(parse_body(text)?.to_object()))
}

impl Body {
    /// As a JSON object.
    #[must_use]
    pub fn to_object(&self) -> Map<String, Value> {
        let mut object = Map::new();
        for entry in &self.entries {
            let value = entry.value.to_value();
            add(&mut object, &entry.key, &entry.labels, value);
        }
        object
    }

    /// The entry of a key; the last, where there are several.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().rev().find(|entry| entry.key == key)
    }

    /// The blocks of a key with their first label, however they were written: `key "label" { }`, `key = { label =
    /// {} }`, `"key": [{"label": {}}]`. A block without a label has an empty one.
    #[must_use]
    pub fn blocks(&self, key: &str) -> Vec<(String, &Body, u32)> {
        let mut blocks = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.key == key) {
            match entry.labels.first() {
                Some(label) => gather(&entry.value, label, entry.line, &mut blocks),
                None if entry.block => gather(&entry.value, "", entry.line, &mut blocks),
                None => gather_labelled(&entry.value, &mut blocks),
            }
        }
        blocks
    }
}

fn gather<'a>(node: &'a Node, label: &str, line: u32, blocks: &mut Vec<(String, &'a Body, u32)>) {
    match node {
        Node::Object(body) => blocks.push((label.to_owned(), body, line)),
        Node::List(nodes) => nodes.iter().for_each(|node| gather(node, label, line, blocks)),
        Node::Scalar(_) => {}
    }
}

fn gather_labelled<'a>(node: &'a Node, blocks: &mut Vec<(String, &'a Body, u32)>) {
    match node {
        Node::Object(body) => {
            body.entries.iter().for_each(|entry| gather(&entry.value, &entry.key, entry.line, blocks));
        }
        Node::List(nodes) => nodes.iter().for_each(|node| gather_labelled(node, blocks)),
        Node::Scalar(_) => {}
    }
}

impl Node {
    /// As JSON.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Self::Scalar(value) => value.clone(),
            Self::List(nodes) => Value::Array(nodes.iter().map(Self::to_value).collect()),
            Self::Object(body) => Value::Object(body.to_object()),
        }
    }
}

/// Puts a value under a key and labels. What is there already makes way by becoming a list.
fn add(object: &mut Map<String, Value>, key: &str, labels: &[String], value: Value) {
    match (labels, object.get_mut(key)) {
        ([], None) => {
            object.insert(key.to_owned(), value);
        }
        ([], Some(Value::Array(present))) => present.push(value),
        ([], Some(present)) => {
            let first = present.take();
            *present = Value::Array(vec![first, value]);
        }
        ([label, rest @ ..], Some(Value::Object(present))) => add(present, label, rest, value),
        ([label, rest @ ..], present) => {
            let mut inner = Map::new();
            add(&mut inner, label, rest, value);
            let inner = Value::Object(inner);
            match present {
                None => {
                    object.insert(key.to_owned(), inner);
                }
                Some(Value::Array(present)) => present.push(inner),
                Some(present) => {
                    let first = present.take();
                    *present = Value::Array(vec![first, inner]);
                }
            }
        }
    }
}
