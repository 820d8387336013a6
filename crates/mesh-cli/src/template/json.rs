//! Values as JSON, byte for byte as Go writes it.

use super::value::{Subject, Value};

impl Value {
    /// A document without spaces. `<`, `>` and `&` stay, but for those inside a subject, which Go encodes
    /// on its own.
    pub(crate) fn json(&self) -> String {
        let mut text = String::new();
        write(self, false, &mut text);
        text
    }
}

fn write(value: &Value, escape: bool, text: &mut String) {
    match value {
        Value::Missing => text.push_str("null"),
        Value::Bool(value) => text.push_str(if *value { "true" } else { "false" }),
        Value::Int(value) => text.push_str(&value.to_string()),
        Value::Float(value) if value.is_finite() => text.push_str(&value.to_string()),
        Value::Float(_) => text.push_str("null"),
        Value::Text(value) => write_text(value, escape, text),
        Value::List(values) => {
            text.push('[');
            for (number, value) in values.iter().enumerate() {
                if number > 0 {
                    text.push(',');
                }
                write(value, escape, text);
            }
            text.push(']');
        }
        Value::Record(fields) => {
            write_object(fields.iter().map(|(key, value)| (*key, value)), escape, text);
        }
        Value::Map(values) => {
            write_object(values.iter().map(|(key, value)| (key.as_str(), value)), escape, text);
        }
        Value::Subject(subject) => write_subject(subject, text),
    }
}

fn write_subject(subject: &Subject, text: &mut String) {
    let escape = !subject.kind.is_empty();
    write_object(subject.fields.iter().map(|(key, value)| (*key, value)), escape, text);
}

fn write_object<'a>(fields: impl Iterator<Item = (&'a str, &'a Value)>, escape: bool, text: &mut String) {
    text.push('{');
    for (number, (key, value)) in fields.enumerate() {
        if number > 0 {
            text.push(',');
        }
        write_text(key, escape, text);
        text.push(':');
        write(value, escape, text);
    }
    text.push('}');
}

fn write_text(value: &str, escape: bool, text: &mut String) {
    text.push('"');
    for letter in value.chars() {
        match letter {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '<' | '>' | '&' if !escape => text.push(letter),
            '\0'..='\u{1f}' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                text.push_str(&format!("\\u{:04x}", u32::from(letter)));
            }
            _ => text.push(letter),
        }
    }
    text.push('"');
}
