//! Views as JSON, in the form of Go's encoder: what HTML gives a meaning is escaped.

use super::view::View;
use std::fmt::Write as _;

/// Indented JSON without a newline at its end.
pub(crate) fn to_json(view: &View<'_>) -> String {
    let mut out = String::new();
    write(&mut out, view, Some(0));
    out
}

/// JSON on one line, without spaces.
pub(crate) fn to_compact_json(view: &View<'_>) -> String {
    let mut out = String::new();
    write(&mut out, view, None);
    out
}

fn write(out: &mut String, view: &View<'_>, level: Option<usize>) {
    let inner = level.map(|level| level + 1);
    match view {
        View::Null => out.push_str("null"),
        View::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        View::Int(value) => {
            let _ = write!(out, "{value}");
        }
        // JSON has no word for what is not a number.
        View::Float(value) if !value.is_finite() => out.push_str("null"),
        View::Float(value) => float(out, *value),
        View::Text(text) => quoted(out, text),
        View::List(items) if items.is_empty() => out.push_str("[]"),
        View::Map(pairs) if pairs.is_empty() => out.push_str("{}"),
        View::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                separate(out, index, inner);
                write(out, item, inner);
            }
            line(out, level);
            out.push(']');
        }
        View::Map(pairs) => {
            out.push('{');
            for (index, (key, value)) in pairs.iter().enumerate() {
                separate(out, index, inner);
                quoted(out, key);
                out.push_str(if level.is_some() { ": " } else { ":" });
                write(out, value, inner);
            }
            line(out, level);
            out.push('}');
        }
    }
}

fn separate(out: &mut String, index: usize, level: Option<usize>) {
    if index > 0 {
        out.push(',');
    }
    line(out, level);
}

fn line(out: &mut String, level: Option<usize>) {
    if let Some(level) = level {
        out.push('\n');
        for _ in 0..level {
            out.push_str("  ");
        }
    }
}

/// The shortest form, with an exponent where it is very large or small.
fn float(out: &mut String, value: f64) {
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{value:e}");
        let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
        let sign = if exponent.starts_with('-') { "" } else { "+" };
        let _ = write!(out, "{mantissa}e{sign}{exponent}");
    } else {
        let _ = write!(out, "{value}");
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(is_escaped) {
        out.push_str(&rest[..at]);
        let Some(character) = rest[at..].chars().next() else { break };
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            other => {
                let _ = write!(out, "\\u{:04x}", u32::from(other));
            }
        }
        rest = &rest[at + character.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

fn is_escaped(character: char) -> bool {
    matches!(character, '"' | '\\' | '<' | '>' | '&' | '\0'..='\u{1f}' | '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_numbers_are_written_as_go_writes_them() {
        for (view, want) in [
            (
                View::text("a\"\\\n\t\u{1}<b>&\u{7f}é\u{2028}"),
                "\"a\\\"\\\\\\n\\t\\u0001\\u003cb\\u003e\\u0026\u{7f}é\\u2028\"",
            ),
            (View::Float(1_000_000.0), "1000000"),
            (View::Float(1e21), "1e+21"),
            (View::Float(1e-7), "1e-7"),
            (View::Float(0.00001), "0.00001"),
            (View::Float(f64::NAN), "null"),
        ] {
            assert_eq!(to_json(&view), want);
        }
    }

    #[test]
    fn collections_are_indented_by_two() {
        let list = View::List(vec![View::Int(1), View::List(Vec::new())]);
        let view = View::Map(vec![("a".into(), list), ("b".into(), View::Map(Vec::new()))]);
        assert_eq!(to_json(&view), "{\n  \"a\": [\n    1,\n    []\n  ],\n  \"b\": {}\n}");
        assert_eq!(to_compact_json(&view), "{\"a\":[1,[]],\"b\":{}}");
    }
}
