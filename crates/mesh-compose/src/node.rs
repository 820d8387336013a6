//! The untyped tree that every pass works on: YAML values with their places.
//!
//! Invariant: after [`crate::yaml::parse`] there are no aliases and no merge keys left, and every map's
//! keys are unique. `!reset` and `!override` stay as marks until files are merged.

use crate::context::At;
use indexmap::IndexMap;

/// A value and where it was written.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) at: At,
    pub(crate) mark: Mark,
}

/// What a node holds.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Map),
}

/// Keys in the order written.
pub(crate) type Map = IndexMap<String, Entry>;

/// The value of a key and the key's own place.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key_at: At,
    pub(crate) node: Node,
}

/// What a tag asks of merging.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Mark {
    #[default]
    Plain,
    /// `!reset`: take the key away.
    Reset,
    /// `!override`: replace instead of merging.
    Override,
    /// Not written: it follows from another key, and is not shown.
    Implied,
}

impl Node {
    pub(crate) fn new(value: Value, at: At) -> Self {
        Self { value, at, mark: Mark::Plain }
    }

    pub(crate) fn text(text: impl Into<String>, at: At) -> Self {
        Self::new(Value::Text(text.into()), at)
    }

    pub(crate) fn map(at: At) -> Self {
        Self::new(Value::Map(Map::new()), at)
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    pub(crate) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_map_mut(&mut self) -> Option<&mut Map> {
        match &mut self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(crate) fn as_list(&self) -> Option<&[Self]> {
        match &self.value {
            Value::List(items) => Some(items),
            _ => None,
        }
    }

    pub(crate) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The text of any scalar, as Compose prints it; `None` for null, lists and maps.
    pub(crate) fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) => Some(text.clone()),
            Value::Bool(value) => Some(value.to_string()),
            Value::Int(value) => Some(value.to_string()),
            Value::Float(value) => Some(crate::yaml::float_text(*value)),
            Value::Null | Value::List(_) | Value::Map(_) => None,
        }
    }

    /// A whole number, also when it is written as text (as it is after interpolation).
    pub(crate) fn as_int(&self) -> Option<i64> {
        match &self.value {
            Value::Int(value) => Some(*value),
            Value::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    pub(crate) fn as_float(&self) -> Option<f64> {
        match &self.value {
            Value::Int(value) => value.to_string().parse().ok(),
            Value::Float(value) => Some(*value),
            Value::Text(text) => text.trim().parse().ok().filter(|value: &f64| value.is_finite()),
            _ => None,
        }
    }

    /// A truth value, also in the words that interpolated files use.
    pub(crate) fn as_bool(&self) -> Option<bool> {
        match &self.value {
            Value::Bool(value) => Some(*value),
            Value::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "yes" | "y" | "on" => Some(true),
                "false" | "no" | "n" | "off" => Some(false),
                _ => None,
            },
            _ => None,
        }
    }

    /// The value of `key`, where this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        self.as_map()?.get(key).map(|entry| &entry.node)
    }

    pub(crate) fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        self.as_map_mut()?.get_mut(key).map(|entry| &mut entry.node)
    }

    /// Follows keys down.
    pub(crate) fn at_path(&self, path: &[&str]) -> Option<&Self> {
        path.iter().try_fold(self, |node, key| node.get(key))
    }

    /// Sets `key`; its place is the value's where it is new.
    pub(crate) fn set(&mut self, key: &str, node: Self) {
        if let Some(map) = self.as_map_mut() {
            match map.get_mut(key) {
                Some(entry) => entry.node = node,
                None => {
                    map.insert(key.to_owned(), Entry { key_at: node.at, node });
                }
            }
        }
    }

    /// Sets `key` unless it is there with a value.
    pub(crate) fn set_default(&mut self, key: &str, node: Self) {
        if self.get(key).is_none_or(Self::is_null) {
            self.set(key, node);
        }
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<Self> {
        self.as_map_mut()?.shift_remove(key).map(|entry| entry.node)
    }

    /// Whether both hold the same, places aside.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) => a == b,
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.same(b)),
            (Value::Map(a), Value::Map(b)) => {
                a.len() == b.len()
                    && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| a.node.same(&b.node)))
            }
            _ => false,
        }
    }

    /// What kind of value it is, for messages.
    pub(crate) fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "a boolean",
            Value::Int(_) | Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}
