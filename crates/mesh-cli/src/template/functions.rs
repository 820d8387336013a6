//! The functions that a template may call: Go's own and Docker's.

use super::{OUTPUT_BYTES_MAX, Purpose, printf, value::Value};
use std::cmp::Ordering;

/// Why a function gave nothing.
#[derive(Debug)]
pub(super) enum CallError {
    /// Too many arguments, or too few.
    Count(String),
    /// One of them is of another kind: its number, from 0.
    Argument(usize, String),
    /// It failed.
    Failed(String),
}

type Called<T> = Result<T, CallError>;

/// A function by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Function(&'static str);

const NAMES: &[&str] = &[
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "html", "js", "urlquery",
    "eq", "ne", "lt", "le", "gt", "ge", "json", "join", "split", "lower", "upper", "title", "pad",
    "truncate",
];

impl Function {
    /// The function of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|known| **known == name).map(|known| Self(known))
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        self.0
    }

    /// Whether an argument of `and` or `or` is what it gives, whatever follows.
    pub(super) fn decides(self, argument: &Value) -> bool {
        match self.0 {
            "and" => !argument.is_true(),
            "or" => argument.is_true(),
            _ => false,
        }
    }

    /// Calls it.
    pub(super) fn call(self, arguments: &[Value], purpose: Purpose) -> Called<Value> {
        let name = self.0;
        if purpose == Purpose::Header
            && matches!(name, "json" | "join" | "split" | "lower" | "upper" | "title" | "truncate")
        {
            // The header keeps its words, whatever is done to those below it.
            return Ok(arguments.first().cloned().unwrap_or(Value::Missing));
        }
        let failed = |result: Result<Value, String>| {
            result.map_err(|reason| CallError::Failed(format!("error calling {name}: {reason}")))
        };
        match (name, arguments) {
            ("print", _) => Ok(printf::print(arguments).into()),
            ("println", _) => Ok(printf::println(arguments).into()),
            ("html", _) => Ok(html(&printf::print(arguments)).into()),
            ("js", _) => Ok(js(&printf::print(arguments)).into()),
            ("urlquery", _) => Ok(urlquery(&printf::print(arguments)).into()),
            ("and" | "or" | "printf" | "index" | "slice" | "eq", []) => {
                Err(CallError::Count(format!("wrong number of args for {name}: want at least 1 got 0")))
            }
            ("and" | "or", [.., last]) => Ok(last.clone()),
            ("printf", [_, rest @ ..]) => failed(printf::printf(text(arguments, 0)?, rest).and_then(bounded)),
            ("eq", [first, rest @ ..]) => failed(equal_to_any(first, rest)),
            ("index", _) => failed(index(arguments)),
            ("slice", _) => failed(slice(arguments)),
            _ => self.call_exactly(arguments),
        }
    }

    /// Functions with a fixed number of arguments.
    fn call_exactly(self, arguments: &[Value]) -> Called<Value> {
        let name = self.0;
        let failed = |result: Result<Value, String>| {
            result.map_err(|reason| CallError::Failed(format!("error calling {name}: {reason}")))
        };
        let compared = |holds: fn(Ordering) -> bool| match arguments {
            [left, right] => failed(order(left, right).map(|order| Value::Bool(holds(order)))),
            _ => Ok(Value::Missing),
        };
        match (name, arguments) {
            ("not", [value]) => Ok(Value::Bool(!value.is_true())),
            ("len", [value]) => failed(length(value)),
            ("ne", [left, right]) => failed(equal(left, right).map(|equal| Value::Bool(!equal))),
            ("lt", [_, _]) => compared(Ordering::is_lt),
            ("le", [_, _]) => compared(Ordering::is_le),
            ("gt", [_, _]) => compared(Ordering::is_gt),
            ("ge", [_, _]) => compared(Ordering::is_ge),
            ("json", [value]) => Ok(value.json().into()),
            ("join", [value, _]) => failed(join(value, text(arguments, 1)?).map(Value::from)),
            ("split", [_, _]) => Ok(split(text(arguments, 0)?, text(arguments, 1)?)),
            ("lower", [_]) => Ok(text(arguments, 0)?.to_lowercase().into()),
            ("upper", [_]) => Ok(text(arguments, 0)?.to_uppercase().into()),
            ("title", [_]) => Ok(title(text(arguments, 0)?).into()),
            ("pad", [_, _, _]) => {
                let (before, after) = (whole(arguments, 1)?, whole(arguments, 2)?);
                failed(pad(text(arguments, 0)?, before, after).map(Value::from))
            }
            ("truncate", [_, _]) => {
                failed(truncate(text(arguments, 0)?, whole(arguments, 1)?).map(Value::from))
            }
            _ => {
                let want = match name {
                    "pad" => 3,
                    "not" | "len" | "json" | "lower" | "upper" | "title" => 1,
                    _ => 2,
                };
                let got = arguments.len();
                Err(CallError::Count(format!("wrong number of args for {name}: want {want} got {got}")))
            }
        }
    }
}

fn wrong_kind(number: usize, want: &str, value: &Value) -> CallError {
    CallError::Argument(number, format!("wrong type for value; expected {want}; got {}", value.kind()))
}

fn text(arguments: &[Value], number: usize) -> Called<&str> {
    match arguments.get(number) {
        Some(Value::Text(text)) => Ok(text),
        other => Err(wrong_kind(number, "string", other.unwrap_or(&Value::Missing))),
    }
}

fn whole(arguments: &[Value], number: usize) -> Called<i64> {
    match arguments.get(number) {
        Some(Value::Int(value)) => Ok(*value),
        other => Err(wrong_kind(number, "int", other.unwrap_or(&Value::Missing))),
    }
}

fn bounded(text: String) -> Result<Value, String> {
    match text.len() > OUTPUT_BYTES_MAX {
        true => Err(format!("a text is longer than {OUTPUT_BYTES_MAX} bytes")),
        false => Ok(text.into()),
    }
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Map(values) => values.len(),
        Value::Missing => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", other.kind())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(arguments: &[Value]) -> Result<Value, String> {
    let mut value = arguments.first().cloned().unwrap_or(Value::Missing);
    for key in arguments.iter().skip(1) {
        value = match (&value, key) {
            (Value::List(values), Value::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| values.get(at).cloned())
                .ok_or_else(|| format!("index out of range: {at}"))?,
            (Value::Text(text), Value::Int(at)) => usize::try_from(*at)
                .ok()
                .and_then(|at| text.as_bytes().get(at).map(|byte| Value::Int(i64::from(*byte))))
                .ok_or_else(|| format!("index out of range: {at}"))?,
            (Value::Map(values), Value::Text(key)) => values.get(key).cloned().unwrap_or(Value::Missing),
            (Value::Missing, _) => return Err("index of untyped nil".to_owned()),
            (other, _) => return Err(format!("can't index item of type {}", other.kind())),
        };
    }
    Ok(value)
}

fn slice(arguments: &[Value]) -> Result<Value, String> {
    let value = arguments.first().cloned().unwrap_or(Value::Missing);
    let length = match length(&value)? {
        Value::Int(length) => usize::try_from(length).unwrap_or(0),
        _ => 0,
    };
    let at = |number: usize, otherwise: usize| match arguments.get(number) {
        None => Ok(otherwise),
        Some(Value::Int(at)) => usize::try_from(*at)
            .ok()
            .filter(|at| *at <= length)
            .ok_or_else(|| format!("index out of range: {at}")),
        Some(other) => Err(format!("cannot index slice/array with type {}", other.kind())),
    };
    let (begin, end) = (at(1, 0)?, at(2, length)?);
    if begin > end || arguments.len() > 3 {
        return Err(format!("invalid slice index: {begin} > {end}"));
    }
    match value {
        Value::Text(text) => Ok(whole_letters(&text, begin, end).into()),
        Value::List(values) => Ok(Value::List(values.get(begin..end).unwrap_or_default().to_vec())),
        other => Err(format!("can't slice item of type {}", other.kind())),
    }
}

/// Bytes of a text; a letter that would be cut is left out.
fn whole_letters(text: &str, begin: usize, end: usize) -> &str {
    let up = (begin..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    let down = (0..=end.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(up..down).unwrap_or_default()
}

fn equal_to_any(first: &Value, rest: &[Value]) -> Result<Value, String> {
    if rest.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    for other in rest {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn equal(left: &Value, right: &Value) -> Result<bool, String> {
    match (left, right) {
        (Value::Missing, other) | (other, Value::Missing) => Ok(*other == Value::Missing),
        (Value::Bool(_), Value::Bool(_))
        | (Value::Int(_), Value::Int(_))
        | (Value::Float(_), Value::Float(_))
        | (Value::Text(_), Value::Text(_)) => Ok(left == right),
        _ => Err(incomparable(left, right)),
    }
}

fn order(left: &Value, right: &Value) -> Result<Ordering, String> {
    match (left, right) {
        (Value::Int(left), Value::Int(right)) => Ok(left.cmp(right)),
        (Value::Text(left), Value::Text(right)) => Ok(left.cmp(right)),
        (Value::Float(left), Value::Float(right)) => Ok(left.total_cmp(right)),
        _ => Err(incomparable(left, right)),
    }
}

fn incomparable(left: &Value, right: &Value) -> String {
    let basic =
        |value: &Value| matches!(value, Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_));
    match basic(left) && basic(right) && left.kind() != right.kind() {
        true => format!("incompatible types for comparison: {} and {}", left.kind(), right.kind()),
        false => "invalid type for comparison".to_owned(),
    }
}

fn join(value: &Value, separator: &str) -> Result<String, String> {
    let joined = |mut parts: Vec<String>, sorted: bool| {
        if sorted {
            parts.sort();
        }
        parts.join(separator)
    };
    match value {
        Value::Missing => Ok(String::new()),
        Value::List(values) => Ok(joined(values.iter().map(Value::shown).collect(), false)),
        Value::Map(values) => Ok(joined(values.values().map(Value::shown).collect(), true)),
        other => Err(format!("expected slice, got {}", other.kind())),
    }
}

fn split(value: &str, separator: &str) -> Value {
    let parts: Vec<Value> = match separator {
        "" => value.chars().map(|letter| Value::Text(letter.to_string())).collect(),
        _ => value.split(separator).map(Value::from).collect(),
    };
    Value::List(parts)
}

/// Each word with a capital letter.
fn title(value: &str) -> String {
    let mut shown = String::with_capacity(value.len());
    let mut begins = true;
    for letter in value.chars() {
        match begins {
            true => shown.extend(letter.to_uppercase()),
            false => shown.push(letter),
        }
        begins =
            !(letter.is_alphanumeric() || letter == '_') && (letter.is_ascii() || letter.is_whitespace());
    }
    shown
}

fn pad(value: &str, before: i64, after: i64) -> Result<String, String> {
    if value.is_empty() {
        return Ok(String::new());
    }
    let spaces = |count: i64| match usize::try_from(count) {
        Ok(count) if count <= OUTPUT_BYTES_MAX => Ok(" ".repeat(count)),
        Ok(_) => Err(format!("more than {OUTPUT_BYTES_MAX} spaces")),
        Err(_) => Err("strings: negative Repeat count".to_owned()),
    };
    Ok(format!("{}{value}{}", spaces(before)?, spaces(after)?))
}

fn truncate(value: &str, length: i64) -> Result<&str, String> {
    let length = usize::try_from(length)
        .map_err(|_| format!("runtime error: slice bounds out of range [:{length}]"))?;
    Ok(if value.len() < length { value } else { whole_letters(value, 0, length) })
}

fn html(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '&' => shown.push_str("&amp;"),
            '\'' => shown.push_str("&#39;"),
            '"' => shown.push_str("&#34;"),
            '\0' => shown.push('\u{fffd}'),
            _ => shown.push(letter),
        }
    }
    shown
}

fn js(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\\' => shown.push_str("\\\\"),
            '\'' => shown.push_str("\\'"),
            '"' => shown.push_str("\\\""),
            '<' | '>' | '&' | '=' => shown.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ if letter.is_control() => shown.push_str(&format!("\\u{:04X}", u32::from(letter))),
            _ => shown.push(letter),
        }
    }
    shown
}

fn urlquery(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b' ' => shown.push('+'),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                shown.push(char::from(byte))
            }
            _ => shown.push_str(&format!("%{byte:02X}")),
        }
    }
    shown
}
