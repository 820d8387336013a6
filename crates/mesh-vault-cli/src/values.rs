//! Values as Go writes them: JSON with its escapes, YAML, and `%v`.

use serde_json::{Map, Value};

/// Puts the keys of all objects in order, as Go's maps are written.
pub(crate) fn sorted(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<(String, Value)> =
                map.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            pairs.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(pairs.into_iter().collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// JSON of two spaces, in which what HTML would take for its own is escaped.
pub(crate) fn json(value: &Value) -> String {
    escaped(&serde_json::to_string_pretty(value).unwrap_or_default())
}

/// JSON on one line.
pub(crate) fn json_line(value: &Value) -> String {
    escaped(&value.to_string())
}

/// These characters stand in texts alone, so that all of them may be replaced.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}

/// A value as `%v` writes it.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(plain).collect();
            format!("[{}]", all.join(" "))
        }
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let all: Vec<String> = keys.iter().map(|key| format!("{key}:{}", plain(&map[*key]))).collect();
            format!("map[{}]", all.join(" "))
        }
        other => other.to_string(),
    }
}

/// A list of texts as `%q` writes it.
pub(crate) fn quoted(value: &Value) -> String {
    let all = value.as_array().into_iter().flatten();
    let all: Vec<String> = all.map(|text| format!("{:?}", text.as_str().unwrap_or_default())).collect();
    format!("[{}]", all.join(" "))
}

/// An object with what is not empty of these.
pub(crate) fn object<const N: usize>(pairs: [(&str, Value); N]) -> Value {
    Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What Go's zero values are left out as.
pub(crate) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(is) => !is,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

/// YAML, with keys in order.
pub(crate) fn yaml(value: &Value) -> String {
    let mut out = String::new();
    match &sorted(value.clone()) {
        Value::Object(map) if !map.is_empty() => object_lines(map, 0, &mut out),
        Value::Array(all) if !all.is_empty() => list_lines(all, 0, &mut out),
        other => out.push_str(&scalar(other, 0)),
    }
    out.trim().to_owned()
}

fn object_lines(map: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in map {
        out.push_str(&" ".repeat(depth));
        out.push_str(&text(key, depth));
        out.push(':');
        match value {
            Value::Object(map) if !map.is_empty() => {
                out.push('\n');
                object_lines(map, depth + 2, out);
            }
            Value::Array(all) if !all.is_empty() => {
                out.push('\n');
                list_lines(all, depth, out);
            }
            other => {
                out.push(' ');
                out.push_str(&scalar(other, depth));
                out.push('\n');
            }
        }
    }
}

fn list_lines(all: &[Value], depth: usize, out: &mut String) {
    for value in all {
        out.push_str(&" ".repeat(depth));
        out.push_str("- ");
        let mut inner = String::new();
        match value {
            Value::Object(map) if !map.is_empty() => object_lines(map, depth + 2, &mut inner),
            Value::Array(all) if !all.is_empty() => list_lines(all, depth + 2, &mut inner),
            other => inner = format!("{}\n", scalar(other, depth)),
        }
        out.push_str(inner.trim_start_matches(' '));
    }
}

fn scalar(value: &Value, depth: usize) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::String(string) => text(string, depth),
        Value::Array(_) => "[]".to_owned(),
        Value::Object(_) => "{}".to_owned(),
        other => other.to_string(),
    }
}

/// A text, quoted where it would be read as something else.
fn text(text: &str, depth: usize) -> String {
    if text.contains('\n') && !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        let end = match text.chars().rev().take_while(|c| *c == '\n').count() {
            0 => "-",
            1 => "",
            _ => "+",
        };
        let indent = " ".repeat(depth + 2);
        let lines: Vec<String> = text
            .trim_end_matches('\n')
            .split('\n')
            .map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") })
            .collect();
        return format!("|{end}\n{}", lines.join("\n"));
    }
    if text.chars().any(char::is_control) {
        return serde_json::to_string(text).unwrap_or_default();
    }
    match is_read_as_other(text) {
        true => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
        false if is_plain(text) => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "''")),
    }
}

/// Whether YAML would take an unquoted text for a number, a truth, a time or nothing.
fn is_read_as_other(text: &str) -> bool {
    let word = matches!(
        text.to_ascii_lowercase().as_str(),
        "" | "~"
            | "null"
            | "true"
            | "false"
            | "yes"
            | "no"
            | "on"
            | "off"
            | "y"
            | "n"
            | ".nan"
            | ".inf"
            | "-.inf"
            | "+.inf"
    );
    let is_number = || {
        let digits = text.trim_start_matches(['-', '+']).replace('_', "");
        digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
            && (digits.parse::<f64>().is_ok()
                || ["0x", "0o", "0b"].iter().any(|head| digits.starts_with(head)))
    };
    // A date, alone or with a time behind it.
    let is_date = || {
        let bytes = text.as_bytes();
        bytes.len() >= 8
            && bytes[..4].iter().all(u8::is_ascii_digit)
            && bytes[4] == b'-'
            && text[5..].chars().all(|c| c.is_ascii_digit() || "-:TtZz.+ ".contains(c))
    };
    word || is_number() || is_date()
}

fn is_plain(text: &str) -> bool {
    let starts_badly = text.starts_with(|c: char| "!&*-?:{}[],#|>@`\"'%= ".contains(c))
        && !(text.starts_with(['-', '?', ':']) && text[1..].starts_with(|c: char| !c.is_whitespace()));
    !starts_badly && !text.ends_with([' ', ':']) && !text.contains(": ") && !text.contains(" #")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_written_as_go_writes_them() {
        let value = json!({"b": [1, "x", null, true], "a": {"z": "<&>", "y": 1.5}});
        assert_eq!(plain(&value), "map[a:map[y:1.5 z:<&>] b:[1 x <nil> true]]");
        assert_eq!(
            json_line(&sorted(value)),
            r#"{"a":{"y":1.5,"z":"\u003c\u0026\u003e"},"b":[1,"x",null,true]}"#
        );
        assert_eq!(quoted(&json!(["default", "a\"b"])), r#"["default" "a\"b"]"#);
        assert_eq!(
            json(&json!({"a": [], "b": {}, "c": [1]})),
            "{\n  \"a\": [],\n  \"b\": {},\n  \"c\": [\n    1\n  ]\n}"
        );
    }

    #[test]
    fn yaml_is_quoted_where_it_has_to_be() {
        let value = json!({"b": ["x", {"k": "v", "l": []}], "a": "1", "c": "a: b", "d": "", "e": "l1\nl2\n", "f": null,
            "t": "2026-11-21T18:00:00Z", "y": "yes", "n": -1, "s": "-x", "o": {}});
        let want = "a: \"1\"\nb:\n- x\n- k: v\n  l: []\nc: 'a: b'\nd: \"\"\ne: |\n  l1\n  l2\nf: null\n\"n\": -1\no: {}\ns: -x\n\
                    t: \"2026-11-21T18:00:00Z\"\n\"y\": \"yes\"";
        assert_eq!(yaml(&value), want);
        assert_eq!(yaml(&json!([])), "[]");
    }
}
