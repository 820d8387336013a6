//! Holds a merged tree against the schema: unknown keys, wrong types, bad values, keys without effect.

use crate::{
    context::{At, Context},
    node::{Map, Node, Value},
    schema::{Field, PROJECT, Shape, Support},
    suggest::did_you_mean,
    value,
};
use mesh_diag::Severity;
use std::collections::HashSet;

/// Reports everything in `tree` that is not as a Compose file has it.
pub(crate) fn check(tree: &Node, cx: &mut Context) {
    let mut path = Vec::new();
    Checker { cx }.node(tree, PROJECT, &mut path);
}

struct Checker<'c> {
    cx: &'c mut Context,
}

impl<'n> Checker<'_> {
    fn node(&mut self, node: &'n Node, shape: Shape, path: &mut Vec<&'n str>) {
        // Without interpolation any value may still be a variable.
        if self.cx.raw && node.as_text().is_some_and(|text| text.contains('$')) {
            return;
        }
        match (shape, &node.value) {
            (Shape::Any, _) | (Shape::Nullable(_) | Shape::Scalar, Value::Null) => {}
            (Shape::Nullable(shape), _) => self.node(node, *shape, path),
            (_, Value::Null) => self.nothing(node, shape, path),
            (Shape::Either(shapes), _) => match shapes.iter().find(|shape| accepts(**shape, node)) {
                Some(shape) => self.node(node, *shape, path),
                None => self.wrong_type(node, shape, path),
            },
            (Shape::List(item) | Shape::Unique(item), Value::List(items)) => {
                items.iter().for_each(|node| self.node(node, *item, path));
                if matches!(shape, Shape::Unique(_)) {
                    self.repeated(items, path);
                }
            }
            (Shape::Map(item) | Shape::Named(item), Value::Map(map)) => {
                for (key, entry) in map {
                    if matches!(shape, Shape::Named(_)) && !value::is_name(key) {
                        self.bad_name(key, entry.key_at, path);
                    }
                    path.push(key);
                    self.node(&entry.node, *item, path);
                    path.pop();
                }
            }
            (Shape::Object(fields), Value::Map(map)) => self.object(node, map, fields, path),
            _ if !accepts(shape, node) => self.wrong_type(node, shape, path),
            _ => self.scalar(node, shape, path),
        }
    }

    /// A key is there without a value. Compose takes that for a mistake, not for a key left out.
    fn nothing(&mut self, node: &Node, shape: Shape, path: &[&str]) {
        let message = format!("`{}` must be {}, this is nothing", path.join("."), expected(shape));
        self.cx.error_with_hint(node.at, "wrong-type", message, "give it a value, or leave the key out");
    }

    fn repeated(&mut self, items: &[Node], path: &[&str]) {
        let mut seen = HashSet::new();
        for item in items {
            let Some(text) = item.scalar() else { continue };
            if !seen.insert(text.clone()) {
                let message = format!("`{}` lists `{}` twice", path.join("."), shown(&text));
                self.cx.error(item.at, "repeated", message);
            }
        }
    }

    fn object(&mut self, node: &Node, map: &'n Map, fields: &'static [Field], path: &mut Vec<&'n str>) {
        for field in fields.iter().filter(|field| field.required && !map.contains_key(field.name)) {
            let message = format!("`{}` needs a `{}`", path.join("."), field.name);
            let hint = hint_of(field.shape);
            self.cx.report(Severity::Error, node.at, "missing-key", message, hint);
        }
        for (key, entry) in map {
            let Some(field) = fields.iter().find(|field| field.name == key) else {
                if !key.starts_with("x-") {
                    self.unknown(key, entry.key_at, fields, path);
                }
                continue;
            };
            self.support(key, &entry.node, field.support, entry.key_at, path);
            path.push(key);
            self.node(&entry.node, field.shape, path);
            path.pop();
        }
    }

    fn bad_name(&mut self, key: &str, at: At, path: &[&str]) {
        let message = format!("`{}` is not a name for an entry of `{}`", shown(key), path.join("."));
        self.cx.error_with_hint(at, "bad-name", message, "names take letters, digits, `.`, `_` and `-`");
    }

    fn unknown(&mut self, key: &str, at: At, fields: &'static [Field], path: &[&str]) {
        if self.cx.is_full() {
            // Looking for a near name is the costly part of what would not be kept.
            return;
        }
        let place = if path.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("in `{}`", path.join("."))
        };
        let hint = did_you_mean(key, fields.iter().map(|field| field.name)).unwrap_or_else(|| {
            format!("keys that start with `x-` are free; Compose has no key `{key}` here")
        });
        self.cx.report(
            Severity::Error,
            at,
            "unknown-key",
            format!("unknown key `{key}` {place}"),
            Some(hint),
        );
    }

    fn support(&mut self, key: &str, node: &Node, support: Support, at: At, path: &[&str]) {
        let empty = match &node.value {
            Value::List(items) => items.is_empty(),
            Value::Map(map) => map.is_empty(),
            Value::Null => true,
            Value::Bool(value) => !value,
            _ => false,
        };
        match support {
            Support::Full => {}
            _ if empty => {}
            Support::NoEffect(why) => {
                let message = format!("`{key}` has no effect: {why}");
                self.cx.warn(at, "no-effect", message);
            }
            Support::NotStarted(why) => {
                self.refuse(at, "unsupported", format!("`{key}` is not supported: {why}"), path);
            }
        }
    }

    /// The file is sound, but the service that `path` leads into is not started.
    fn refuse(&mut self, at: At, code: &'static str, message: String, path: &[&str]) {
        match path {
            ["services", service, ..] => self.cx.refuse(service, at, code, message, None),
            _ => self.cx.error(at, code, message),
        }
    }

    fn wrong_type(&mut self, node: &Node, shape: Shape, path: &[&str]) {
        let message = format!("`{}` must be {}, this is {}", path.join("."), expected(shape), node.kind());
        let hint = hint(shape).map(ToOwned::to_owned).or_else(|| quoted(node, shape));
        self.cx.report(Severity::Error, node.at, "wrong-type", message, hint);
    }

    fn scalar(&mut self, node: &Node, shape: Shape, path: &[&str]) {
        let text = node.scalar().unwrap_or_default();
        let (fits, limits) = match shape {
            Shape::Bool => (node.as_bool().is_some(), None),
            Shape::Int(least, most) => match node.as_int() {
                None => (false, None),
                Some(value) => {
                    let limits =
                        (most < i64::MAX || value < least).then(|| format!("from {least} to {most}"));
                    ((least..=most).contains(&value), limits)
                }
            },
            Shape::Number => (node.as_float().is_some(), None),
            Shape::Startable(parses, what) => {
                if !parses(&text) {
                    let message = format!("`{}` must be {what}, not `{}`", path.join("."), shown(&text));
                    self.refuse(node.at, "bad-value", message, path);
                }
                return;
            }
            Shape::Bytes => (value::bytes(&text).is_some(), None),
            Shape::Duration => {
                (matches!(node.value, Value::Text(_)) && value::duration(&text).is_some(), None)
            }
            Shape::Word(words) => (words.contains(&text.as_str()), None),
            // A number was read as octal already.
            Shape::Mode => {
                (value::mode(&text).is_some() || matches!(node.value, Value::Int(0..=0o7777)), None)
            }
            Shape::Parsed(parses, _) => (parses(&text), None),
            _ => (true, None),
        };
        if fits {
            return;
        }
        let expected = limits.unwrap_or_else(|| expected(shape));
        let message = format!("`{}` must be {expected}, not `{}`", path.join("."), shown(&text));
        match hint(shape) {
            Some(hint) => self.cx.error_with_hint(node.at, "bad-value", message, hint),
            None => self.cx.error(node.at, "bad-value", message),
        }
    }
}

/// Whether the kind of `node` can be of `shape`; what it says is another question.
fn accepts(shape: Shape, node: &Node) -> bool {
    match shape {
        Shape::Any => true,
        Shape::Nullable(shape) => node.is_null() || accepts(*shape, node),
        Shape::Scalar => !matches!(node.value, Value::List(_) | Value::Map(_)),
        Shape::List(_) | Shape::Unique(_) => node.as_list().is_some(),
        Shape::Map(_) | Shape::Named(_) | Shape::Object(_) => node.as_map().is_some(),
        Shape::Either(shapes) => shapes.iter().any(|shape| accepts(*shape, node)),
        Shape::Bool | Shape::TextOrBool => matches!(node.value, Value::Bool(_) | Value::Text(_)),
        Shape::TrueOrFalse => matches!(node.value, Value::Bool(_)),
        Shape::Mode => matches!(node.value, Value::Text(_) | Value::Int(_)),
        Shape::Word(words) if matches!(node.value, Value::Int(_)) => {
            node.scalar().is_some_and(|text| words.contains(&text.as_str()))
        }
        // The one word that is also a number is told apart from the sizes beside it by its value.
        Shape::Word(["-1"]) => node.as_text() == Some("-1"),
        Shape::Word(_) | Shape::Text | Shape::Duration | Shape::Parsed(..) | Shape::Startable(..) => {
            matches!(node.value, Value::Text(_))
        }
        Shape::TextOrNumber | Shape::Int(..) | Shape::Number | Shape::Bytes => {
            matches!(node.value, Value::Text(_) | Value::Int(_) | Value::Float(_))
        }
    }
}

fn expected(shape: Shape) -> String {
    match shape {
        Shape::Any | Shape::Scalar => "a single value".to_owned(),
        Shape::Text => "a string".to_owned(),
        Shape::TextOrNumber => "a string or a number".to_owned(),
        Shape::Bool | Shape::TrueOrFalse => "true or false".to_owned(),
        Shape::TextOrBool => "a string, true or false".to_owned(),
        Shape::Int(..) => "a whole number".to_owned(),
        Shape::Number => "a number".to_owned(),
        Shape::Nullable(shape) => expected(*shape),
        Shape::Bytes => "a size in bytes".to_owned(),
        Shape::Duration => "a duration".to_owned(),
        Shape::Word(words) => words.join(" or "),
        Shape::Mode => "an octal mode such as 0440".to_owned(),
        Shape::Parsed(_, what) | Shape::Startable(_, what) => what.to_owned(),
        Shape::List(_) | Shape::Unique(_) => "a list".to_owned(),
        Shape::Map(_) | Shape::Named(_) | Shape::Object(_) => "a mapping".to_owned(),
        Shape::Either(shapes) => {
            let names: Vec<String> = shapes.iter().map(|shape| expected(*shape)).collect();
            names.join(" or ")
        }
    }
}

fn hint(shape: Shape) -> Option<&'static str> {
    match shape {
        Shape::Bytes => Some("write a number with b, k, m, g or t, such as `512m`"),
        Shape::Duration => Some("write numbers with units, such as `30s` or `1m30s`"),
        Shape::List(_) | Shape::Unique(_) => Some("start each entry with `- `"),
        _ => None,
    }
}

/// A number or a truth value where a text is wanted is most often one that lacks its quotes.
fn quoted(node: &Node, shape: Shape) -> Option<String> {
    let text = match shape {
        Shape::Text | Shape::Parsed(..) | Shape::Startable(..) | Shape::Word(_) => node.scalar()?,
        Shape::Either(shapes) if shapes.iter().any(|shape| matches!(shape, Shape::Text)) => node.scalar()?,
        _ => return None,
    };
    Some(format!("put it in quotes: \"{}\"", shown(&text)))
}

/// What a missing key would hold.
fn hint_of(shape: Shape) -> Option<String> {
    match shape {
        Shape::Word(words) => Some(format!("it is one of {}", words.join(", "))),
        _ => None,
    }
}

fn shown(text: &str) -> String {
    const SHOWN_CHARS_MAX: usize = 60;
    if text.chars().count() <= SHOWN_CHARS_MAX {
        return text.to_owned();
    }
    text.chars().take(SHOWN_CHARS_MAX).chain("...".chars()).collect()
}
