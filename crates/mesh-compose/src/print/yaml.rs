//! Views as YAML in block style, which reads back as the same.

use super::{
    style::{self, Style, is_printable},
    view::View,
};
use crate::yaml::float_text;
use std::fmt::Write as _;

/// Longest key that stands before its colon without a mark, in bytes.
const SIMPLE_KEY_BYTES_MAX: usize = 128;

/// Block style YAML, indented by two.
pub(crate) fn to_yaml(view: &View<'_>) -> String {
    to_yaml_indented(view, 2)
}

/// Block style YAML, indented by `step`.
pub(crate) fn to_yaml_indented(view: &View<'_>, step: usize) -> String {
    let mut writer = Writer { out: String::new(), step };
    if is_block(view) {
        writer.block(view, 0);
    } else {
        writer.inline(view, 0);
        writer.out.push('\n');
    }
    writer.out
}

struct Writer {
    out: String,
    step: usize,
}

impl Writer {
    /// A map or list that holds something, each entry on a line of its own; starts at the current column.
    fn block(&mut self, view: &View<'_>, indent: usize) {
        match view {
            View::Map(pairs) => {
                for (index, (key, value)) in pairs.iter().enumerate() {
                    if index > 0 {
                        self.spaces(indent);
                    }
                    self.key(key, indent);
                    self.child(value, indent);
                }
            }
            View::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        self.spaces(indent);
                    }
                    self.out.push_str("- ");
                    if is_block(item) {
                        self.block(item, indent + 2);
                    } else {
                        self.inline(item, indent);
                        self.out.push('\n');
                    }
                }
            }
            _ => {}
        }
    }

    fn key(&mut self, key: &str, indent: usize) {
        let long = key.len() > SIMPLE_KEY_BYTES_MAX || key.contains(style::is_break);
        if long {
            self.out.push_str("? ");
        }
        self.scalar(key, style::of_key(key), indent);
        if long {
            self.out.push('\n');
            self.spaces(indent);
        }
        self.out.push(':');
    }

    fn child(&mut self, view: &View<'_>, indent: usize) {
        if is_block(view) {
            self.out.push('\n');
            self.spaces(indent + self.step);
            self.block(view, indent + self.step);
        } else {
            self.out.push(' ');
            self.inline(view, indent);
            self.out.push('\n');
        }
    }

    fn inline(&mut self, view: &View<'_>, indent: usize) {
        match view {
            View::Null => self.out.push_str("null"),
            View::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            View::Int(value) => {
                let _ = write!(self.out, "{value}");
            }
            View::Float(value) => float(&mut self.out, *value),
            View::Text(text) => self.scalar(text, style::of_value(text), indent),
            View::List(_) => self.out.push_str("[]"),
            View::Map(_) => self.out.push_str("{}"),
        }
    }

    fn scalar(&mut self, text: &str, style: Style, indent: usize) {
        match style {
            Style::Plain => self.out.push_str(text),
            Style::Single => {
                self.out.push('\'');
                self.out.push_str(&text.replace('\'', "''"));
                self.out.push('\'');
            }
            Style::Double => double(&mut self.out, text),
            Style::Literal => self.literal(text, indent),
        }
    }

    fn literal(&mut self, text: &str, indent: usize) {
        self.out.push('|');
        if text.starts_with(' ') {
            let _ = write!(self.out, "{}", self.step);
        }
        self.out.push_str(match text.chars().rev().take_while(|c| *c == '\n').count() {
            0 => "-",
            1 => "",
            _ => "+",
        });
        for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
            self.out.push('\n');
            if !line.is_empty() {
                self.spaces(indent + self.step);
                self.out.push_str(line);
            }
        }
    }

    fn spaces(&mut self, count: usize) {
        for _ in 0..count {
            self.out.push(' ');
        }
    }
}

fn is_block(view: &View<'_>) -> bool {
    match view {
        View::Map(pairs) => !pairs.is_empty(),
        View::List(items) => !items.is_empty(),
        _ => false,
    }
}

fn float(out: &mut String, value: f64) {
    if value.is_infinite() {
        out.push_str(if value > 0.0 { ".inf" } else { "-.inf" });
    } else if value == 0.0 {
        out.push('0');
    } else {
        out.push_str(&float_text(value));
    }
}

fn double(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        let short = match character {
            '"' => '"',
            '\\' => '\\',
            '\0' => '0',
            '\u{7}' => 'a',
            '\u{8}' => 'b',
            '\t' => 't',
            '\n' => 'n',
            '\u{b}' => 'v',
            '\u{c}' => 'f',
            '\r' => 'r',
            '\u{1b}' => 'e',
            '\u{85}' => 'N',
            '\u{2028}' => 'L',
            '\u{2029}' => 'P',
            other if is_printable(other) => {
                out.push(other);
                continue;
            }
            other => {
                let _ = match u32::from(other) {
                    code @ 0..=0xff => write!(out, "\\x{code:02X}"),
                    code @ 0x100..=0xffff => write!(out, "\\u{code:04X}"),
                    code => write!(out, "\\U{code:08X}"),
                };
                continue;
            }
        };
        out.push('\\');
        out.push(short);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        context::{At, Context},
        node::{Node, Value},
        print::Format,
        yaml::parse,
    };

    const TEXTS: [&str; 62] = [
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
        "😀\u{feff}",
    ];

    fn parsed(yaml: &str) -> Node {
        let mut cx = Context::default();
        let mut back = parse(yaml, 1, &mut cx);
        let findings = cx.into_findings();
        assert!(findings.is_empty() && back.len() == 1, "{yaml}{findings:?}");
        back.remove(0)
    }

    #[test]
    fn every_text_reads_back_as_itself() {
        let long = "x y ".repeat(100);
        for text in TEXTS.iter().copied().chain([long.as_str(), "  a\nb", "\ta\nb", "\n\n  a", "\u{2028}"]) {
            let mut tree = Node::map(At::default());
            let value = Node::text(text, At::default());
            tree.set("key", value.clone());
            // A blank key is refused when it is read.
            tree.set(if text.is_empty() { "x" } else { text }, value.clone());
            let list = Node::new(Value::List(vec![tree.clone(), value]), At::default());
            tree.set("more", Node::new(Value::List(vec![list.clone(), list]), At::default()));
            let yaml = to_yaml(&View::whole(&tree, Format::Yaml));
            assert!(parsed(&yaml).same(&tree), "{text:?}:\n{yaml}");
        }
    }

    #[test]
    fn typed_values_and_empty_collections() {
        let view = View::Map(vec![
            ("a".into(), View::Null),
            ("b".into(), View::Float(2.0)),
            ("c".into(), View::List(Vec::new())),
            ("d".into(), View::Bool(true)),
            ("8080".into(), View::Int(-3)),
            ("e".into(), View::Float(1e6)),
            ("f".into(), View::Float(0.00001)),
            ("N".into(), View::text("it's: so")),
        ]);
        let want = "a: null\nb: 2\nc: []\nd: true\n\"8080\": -3\ne: 1e+06\nf: 1e-05\n\"N\": 'it''s: so'\n";
        assert_eq!(to_yaml(&view), want);
    }

    #[test]
    fn blocks_stand_below_their_key() {
        let list =
            View::List(vec![View::text("  x\ny"), View::Map(vec![("k".into(), View::text("a\nb\n"))])]);
        let view = View::Map(vec![("s".into(), list)]);
        assert_eq!(to_yaml(&view), "s:\n  - |2-\n      x\n    y\n  - k: |\n      a\n      b\n");
    }
}
