//! Trees as YAML that reads back as the same tree.

use crate::node::{Node, Value};

/// Block style YAML, indented by two.
pub(crate) fn to_yaml(node: &Node) -> String {
    let mut out = String::new();
    match &node.value {
        Value::Map(map) if !map.is_empty() => block(&mut out, node, 0),
        Value::List(items) if !items.is_empty() => block(&mut out, node, 0),
        _ => {
            inline(&mut out, node, 0);
            out.push('\n');
        }
    }
    out
}

/// A non-empty map or list, each entry on a line of its own; starts at the current column.
fn block(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Map(map) => {
            for (index, (key, entry)) in map.iter().enumerate() {
                if index > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                scalar(out, key);
                out.push(':');
                child(out, &entry.node, indent);
            }
        }
        Value::List(items) => {
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push_str(&" ".repeat(indent));
                }
                out.push('-');
                if is_block(item) {
                    out.push(' ');
                    block(out, item, indent + 2);
                } else {
                    out.push(' ');
                    inline(out, item, indent);
                    out.push('\n');
                }
            }
        }
        _ => {}
    }
}

fn child(out: &mut String, node: &Node, indent: usize) {
    if is_block(node) {
        out.push('\n');
        out.push_str(&" ".repeat(indent + 2));
        block(out, node, indent + 2);
    } else {
        out.push(' ');
        inline(out, node, indent);
        out.push('\n');
    }
}

fn is_block(node: &Node) -> bool {
    match &node.value {
        Value::Map(map) => !map.is_empty(),
        Value::List(items) => !items.is_empty(),
        _ => false,
    }
}

fn inline(out: &mut String, node: &Node, indent: usize) {
    match &node.value {
        Value::Null => out.push_str("null"),
        Value::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => out.push_str(&value.to_string()),
        Value::Float(value) if value.is_infinite() => {
            out.push_str(if *value > 0.0 { ".inf" } else { "-.inf" });
        }
        Value::Float(value) => {
            let text = super::scalar::float_text(*value);
            out.push_str(&text);
            // A float without a fraction would be read back as a whole number.
            if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') {
                out.push_str(".0");
            }
        }
        Value::Text(text) if fits_literal(text) => literal(out, text, indent),
        Value::Text(text) => scalar(out, text),
        Value::List(_) => out.push_str("[]"),
        Value::Map(_) => out.push_str("{}"),
    }
}

/// Whether a text can stand as a `|` block unchanged.
fn fits_literal(text: &str) -> bool {
    text.contains('\n')
        && !text.starts_with([' ', '\n', '\t'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c))
        && !text.lines().any(|line| line.ends_with([' ', '\t']))
}

fn literal(out: &mut String, text: &str, indent: usize) {
    out.push_str(match text.chars().rev().take_while(|c| *c == '\n').count() {
        0 => "|-",
        1 => "|",
        _ => "|+",
    });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&" ".repeat(indent + 2));
            out.push_str(line);
        }
    }
}

fn scalar(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
    } else {
        super::json::quoted(out, text);
    }
}

/// Whether a text reads back as itself without quotes.
fn is_plain(text: &str) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let indicator = matches!(
        first,
        '-' | '?'
            | ':'
            | ','
            | '['
            | ']'
            | '{'
            | '}'
            | '#'
            | '&'
            | '*'
            | '!'
            | '|'
            | '>'
            | '\''
            | '"'
            | '%'
            | '@'
            | '`'
            | ' '
            | '='
            | '<'
    );
    let starts_well = !indicator
        || (matches!(first, '-' | ':')
            && text[first.len_utf8()..]
                .starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-'));
    starts_well
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.starts_with("---")
        && !text.starts_with("...")
        && text.chars().all(is_printable)
        && matches!(super::scalar::resolve(text), Value::Text(_))
        && !reads_as_another_type_elsewhere(text)
}

/// Words and forms that other YAML readers take for booleans, times or base-60 numbers.
fn reads_as_another_type_elsewhere(text: &str) -> bool {
    let word = matches!(text.to_ascii_lowercase().as_str(), "y" | "n" | "yes" | "no" | "on" | "off");
    let numeric = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ':' | '.' | '_' | '+' | '-' | 'e' | 'E' | 'T' | 'Z'));
    word || numeric
}

fn is_printable(character: char) -> bool {
    !character.is_control() && !matches!(character, '\u{feff}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{At, Context};

    #[test]
    fn every_text_reads_back_as_itself() {
        let long = "x".repeat(300);
        for text in [
            "",
            "a",
            "yes",
            "null",
            "1",
            "1.0",
            "0x1",
            "-",
            "- a",
            "a: b",
            "a:b",
            "a:",
            "#a",
            "a #b",
            "a#b",
            "'",
            "\"",
            "\\",
            "a\nb",
            "a\nb\n",
            "a\n\n",
            "\na",
            " a",
            "a ",
            "a\tb",
            "\u{7}",
            "é☃",
            "*x",
            "&x",
            "!x",
            "%x",
            "@x",
            "`x",
            "{a}",
            "[a]",
            "~",
            "true",
            "22:22",
            "--flag",
            "-c",
            ":80",
            "<<",
            "a\n b\n  c",
            "a \nb",
            "\u{85}",
            "...",
            "---",
            "=",
            "2024-01-01",
            "a\r\nb",
            ",",
            "?",
            "? a",
            "a, b",
            "${X}",
            "|",
            ">-",
            "a\n\n\nb",
            "\n",
            "a\n#b\n",
            "-\n",
            "- \u{feff}",
            &long,
        ] {
            for node in [
                Node::text(text, At::default()),
                Node::new(Value::List(vec![Node::text(text, At::default())]), At::default()),
            ] {
                let mut tree = Node::map(At::default());
                tree.set("key", node.clone());
                let mut list = Node::new(Value::List(vec![tree.clone()]), At::default());
                if let Value::List(items) = &mut list.value {
                    items.push(node);
                }
                tree.set("more", list);
                let yaml = to_yaml(&tree);
                let mut cx = Context::default();
                let back = super::super::parse(&yaml, 1, &mut cx);
                let findings = cx.into_findings();
                assert!(
                    findings.is_empty() && back.len() == 1 && back[0].same(&tree),
                    "{text:?}:\n{yaml}{findings:?}"
                );
            }
        }
    }

    #[test]
    fn typed_values_and_empty_collections() {
        let mut tree = Node::map(At::default());
        for (key, value) in [
            ("a", Value::Null),
            ("b", Value::Float(2.0)),
            ("c", Value::List(Vec::new())),
            ("d", Value::Bool(true)),
            ("8080", Value::Int(-3)),
        ] {
            tree.set(key, Node::new(value, At::default()));
        }
        assert_eq!(to_yaml(&tree), "a: null\nb: 2.0\nc: []\nd: true\n\"8080\": -3\n");
        assert_eq!(
            super::super::to_json(&tree),
            "{\n  \"a\": null,\n  \"b\": 2,\n  \"c\": [],\n  \"d\": true,\n  \"8080\": -3\n}\n"
        );
    }
}
