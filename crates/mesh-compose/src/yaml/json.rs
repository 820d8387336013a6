//! Trees as JSON.

use crate::node::{Node, Value};
use std::fmt::Write as _;

/// Indented JSON with a newline at its end.
pub(crate) fn to_json(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, Some(0));
    out.push('\n');
    out
}

#[cfg(test)]
pub(crate) fn compact(node: &Node) -> String {
    let mut out = String::new();
    write(&mut out, node, None);
    out
}

fn write(out: &mut String, node: &Node, indent: Option<usize>) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => {
            let _ = write!(out, "{value}");
        }
        // JSON has no word for what is not a number.
        Value::Float(value) if !value.is_finite() => out.push_str("null"),
        Value::Float(value) => out.push_str(&super::scalar::float_text(*value)),
        Value::Text(text) => quoted(out, text),
        Value::List(items) if items.is_empty() => out.push_str("[]"),
        Value::Map(map) if map.is_empty() => out.push_str("{}"),
        Value::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index, indent);
                write(out, item, indent.map(|level| level + 1));
            }
            close(out, ']', indent);
        }
        Value::Map(map) => {
            out.push('{');
            for (index, (key, entry)) in map.iter().enumerate() {
                separate(out, index, indent);
                quoted(out, key);
                out.push_str(if indent.is_some() { ": " } else { ":" });
                write(out, &entry.node, indent.map(|level| level + 1));
            }
            close(out, '}', indent);
        }
    }
}

fn separate(out: &mut String, index: usize, indent: Option<usize>) {
    if index > 0 {
        out.push(',');
    }
    if let Some(level) = indent {
        out.push('\n');
        out.push_str(&"  ".repeat(level + 1));
    }
}

fn close(out: &mut String, bracket: char, indent: Option<usize>) {
    if let Some(level) = indent {
        out.push('\n');
        out.push_str(&"  ".repeat(level));
    }
    out.push(bracket);
}

/// A string of JSON, which is also a double-quoted string of YAML.
pub(super) fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\0'..='\u{1f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
