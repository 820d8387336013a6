//! What a template works on.

use super::printf;
use std::{collections::BTreeMap, rc::Rc};

/// A value, with Go's kinds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    /// Nothing: a key that a map does not have.
    Missing,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Value>),
    /// A record with its fields in order.
    Record(Vec<(&'static str, Value)>),
    /// Keys and values.
    Map(BTreeMap<String, Value>),
    /// What a format is about: a container, a volume, or the header of their table.
    Subject(Rc<Subject>),
}

/// A row of a list, or the header above it.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Subject {
    /// Its type, as errors call it; empty: a map, in which an unknown field is no error.
    pub(crate) kind: &'static str,
    /// Its fields.
    pub(crate) fields: BTreeMap<&'static str, Value>,
    /// What `.Label "name"` looks into; `None`: there is no such method.
    pub(crate) labels: Option<BTreeMap<String, String>>,
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl Value {
    /// Whether it counts as true: anything that is neither empty nor zero.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Missing => false,
            Self::Bool(value) => *value,
            Self::Int(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            Self::List(values) => !values.is_empty(),
            Self::Map(values) => !values.is_empty(),
            Self::Record(_) | Self::Subject(_) => true,
        }
    }

    /// Its type, as Go calls it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::List(_) => "[]interface {}",
            Self::Record(_) => "struct",
            Self::Map(_) => "map[string]interface {}",
            Self::Subject(subject) if subject.kind.is_empty() => "map[string]string",
            Self::Subject(subject) => subject.kind,
        }
    }

    /// As it is printed: Go's `%v`.
    pub(super) fn shown(&self) -> String {
        let all = |values: &mut dyn Iterator<Item = String>| values.collect::<Vec<_>>().join(" ");
        match self {
            Self::Missing => "<no value>".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => printf::shortest(*value),
            Self::Text(text) => text.clone(),
            Self::List(values) => format!("[{}]", all(&mut values.iter().map(Self::shown))),
            Self::Record(fields) => {
                format!("{{{}}}", all(&mut fields.iter().map(|(_, value)| value.shown())))
            }
            Self::Map(values) => {
                format!(
                    "map[{}]",
                    all(&mut values.iter().map(|(key, value)| format!("{key}:{}", value.shown())))
                )
            }
            Self::Subject(subject) => {
                let fields =
                    &mut subject.fields.iter().map(|(key, value)| format!("{key}:{}", value.shown()));
                format!("map[{}]", all(fields))
            }
        }
    }

    /// A field of it, or why there is none.
    pub(super) fn field(&self, name: &str) -> Result<Self, String> {
        let unknown = || format!("can't evaluate field {name} in type {}", self.kind());
        match self {
            Self::Missing => Err(format!("nil data; no entry for key {name:?}")),
            Self::Map(values) => Ok(values.get(name).cloned().unwrap_or(Self::Missing)),
            Self::Record(fields) => fields
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.clone())
                .ok_or_else(unknown),
            Self::Subject(subject) => match subject.fields.get(name) {
                Some(value) => Ok(value.clone()),
                None if subject.kind.is_empty() => Ok(Self::Missing),
                None => Err(unknown()),
            },
            _ => Err(unknown()),
        }
    }

    /// A method of it that takes arguments: `Label` alone.
    pub(super) fn method(&self, name: &str, arguments: &[Self]) -> Option<Result<Self, String>> {
        let Self::Subject(subject) = self else { return None };
        let labels = subject.labels.as_ref().filter(|_| name == "Label")?;
        Some(match arguments {
            [Self::Text(label)] if subject.kind.is_empty() => Ok(heading(label).into()),
            [Self::Text(label)] => Ok(labels.get(label).cloned().unwrap_or_default().into()),
            [other] => Err(format!("wrong type for value; expected string; got {}", other.kind())),
            _ => Err(format!("wrong number of args for Label: want 1 got {}", arguments.len())),
        })
    }
}

/// The header above a label's column: its last word.
fn heading(label: &str) -> String {
    label.rsplit('.').next().unwrap_or(label).replace(['-', '_'], " ")
}
