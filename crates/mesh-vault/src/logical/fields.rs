//! A body's fields by Vault's loose rules: a number may be a string, a list may be one string with commas, a
//! duration may be seconds or `1h30m` (SDK `framework.FieldSchema`, types `TypeDurationSecond`,
//! `TypeCommaStringSlice`, `TypeKVPairs`).

use super::Object;
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};

/// A field that has not the type it needs.
#[derive(Debug, thiserror::Error)]
#[error("error converting input for field {field:?}: {problem}")]
pub struct FieldError {
    field: String,
    /// In the words of Vault's decoder.
    problem: String,
}

/// Reads fields of a body.
#[derive(Debug, Clone, Copy)]
pub struct Fields<'a> {
    data: &'a Object,
}

impl<'a> Fields<'a> {
    /// Over a body.
    #[must_use]
    pub fn new(data: &'a Object) -> Self {
        Self { data }
    }

    /// Whether the field was given, even as `null` or `""`.
    #[must_use]
    pub fn has(&self, field: &str) -> bool {
        self.data.contains_key(field)
    }

    /// The value as it came; `null` counts as not given.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&'a Value> {
        self.data.get(field).filter(|value| !value.is_null())
    }

    /// A text; numbers and booleans are taken as their text.
    ///
    /// # Errors
    /// For a list or an object.
    pub fn string(&self, field: &str) -> Result<Option<String>, FieldError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(Value::Bool(value)) => Ok(Some(value.to_string())),
            Some(value) => Err(unconvertible(field, "string", value)),
        }
    }

    /// A boolean: `true`, `"true"`, `"1"`, `1`.
    ///
    /// # Errors
    /// For anything else.
    pub fn boolean(&self, field: &str) -> Result<Option<bool>, FieldError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Bool(value)) => Ok(Some(*value)),
            Some(Value::Number(number)) => Ok(Some(number.as_f64() != Some(0.0))),
            Some(Value::String(text)) => match text.as_str() {
                "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(Some(true)),
                "0" | "f" | "F" | "false" | "FALSE" | "False" | "" => Ok(Some(false)),
                _ => Err(wrong(field, NO_BOOLEAN)),
            },
            Some(value) => Err(unconvertible(field, "bool", value)),
        }
    }

    /// A whole number.
    ///
    /// # Errors
    /// For a fraction or what is no number.
    pub fn integer(&self, field: &str) -> Result<Option<i64>, FieldError> {
        match self.value(field) {
            None => Ok(None),
            Some(Value::Number(number)) => number.as_i64().map(Some).ok_or_else(|| wrong(field, NO_INTEGER)),
            Some(Value::String(text)) if text.is_empty() => Ok(Some(0)),
            Some(Value::String(text)) => text.trim().parse().map(Some).map_err(|_| wrong(field, NO_INTEGER)),
            Some(Value::Bool(value)) => Ok(Some(i64::from(*value))),
            Some(value) => Err(unconvertible(field, "int", value)),
        }
    }

    /// A duration: seconds, or text like `1h30m`, `90s`, `30d`.
    ///
    /// # Errors
    /// For what is neither, and for what is negative.
    pub fn duration(&self, field: &str) -> Result<Option<Duration>, FieldError> {
        let Some(value) = self.value(field) else { return Ok(None) };
        let duration = match value {
            Value::Number(number) => {
                number.as_f64().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            }
            Value::String(text) if text.is_empty() => Some(Duration::ZERO),
            Value::String(text) => parse_duration(text),
            _ => None,
        };
        duration.map(Some).ok_or_else(|| no_duration(field, value))
    }

    /// A list: `["a", "b"]` or `"a,b"`. Empty parts are left out.
    ///
    /// # Errors
    /// For an object, or a list of lists.
    pub fn list(&self, field: &str) -> Result<Option<Vec<String>>, FieldError> {
        let bad = || wrong(field, "a list of strings");
        match self.value(field) {
            None => Ok(None),
            Some(Value::String(text)) => {
                let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
                Ok(Some(parts.map(str::to_owned).collect()))
            }
            Some(Value::Array(values)) => {
                let text = |value: &Value| match value {
                    Value::String(text) => Ok(text.clone()),
                    Value::Number(number) => Ok(number.to_string()),
                    Value::Bool(value) => Ok(value.to_string()),
                    _ => Err(bad()),
                };
                values.iter().map(text).collect::<Result<_, _>>().map(Some)
            }
            Some(Value::Number(number)) => Ok(Some(vec![number.to_string()])),
            Some(_) => Err(bad()),
        }
    }

    /// An object; a list of objects is taken for all of them in one, and `null` for an empty one.
    ///
    /// # Errors
    /// For anything else.
    pub fn object(&self, field: &str) -> Result<Option<Object>, FieldError> {
        let Some(value) = self.data.get(field) else { return Ok(None) };
        match value {
            Value::Null => Ok(Some(Object::new())),
            Value::Object(object) => Ok(Some(object.clone())),
            Value::Array(values) if values.iter().all(Value::is_object) => {
                let fields = values.iter().filter_map(Value::as_object).flatten();
                Ok(Some(fields.map(|(key, value)| (key.clone(), value.clone())).collect()))
            }
            value => Err(unconvertible(field, "map[string]interface {}", value)),
        }
    }

    /// Pairs: an object of texts, a list of `k=v`, or one `k=v`.
    ///
    /// # Errors
    /// For anything else.
    pub fn pairs(&self, field: &str) -> Result<Option<BTreeMap<String, String>>, FieldError> {
        let bad = || wrong(field, "a map of strings");
        let pair = |text: &str| {
            let (key, value) = text.split_once('=').ok_or_else(bad)?;
            Ok((key.trim().to_owned(), value.to_owned()))
        };
        match self.value(field) {
            None => Ok(None),
            Some(Value::Object(object)) => {
                let entry = |(key, value): (&String, &Value)| match value {
                    Value::String(text) => Ok((key.clone(), text.clone())),
                    Value::Number(number) => Ok((key.clone(), number.to_string())),
                    Value::Bool(value) => Ok((key.clone(), value.to_string())),
                    _ => Err(bad()),
                };
                object.iter().map(entry).collect::<Result<_, _>>().map(Some)
            }
            Some(Value::String(text)) if text.is_empty() => Ok(Some(BTreeMap::new())),
            Some(Value::String(text)) => pair(text).map(|pair| Some(BTreeMap::from([pair]))),
            Some(Value::Array(values)) => {
                let entry = |value: &Value| value.as_str().ok_or_else(bad).and_then(pair);
                values.iter().map(entry).collect::<Result<_, _>>().map(Some)
            }
            Some(_) => Err(bad()),
        }
    }
}

fn wrong(field: &str, problem: impl Into<String>) -> FieldError {
    FieldError { field: field.to_owned(), problem: problem.into() }
}

/// A value that cannot be taken for another type, whatever it says.
fn unconvertible(field: &str, expected: &str, value: &Value) -> FieldError {
    let kind = match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "json.Number",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    };
    wrong(field, format!("'' expected type '{expected}', got unconvertible type '{kind}'"))
}

fn no_duration(field: &str, value: &Value) -> FieldError {
    match value {
        Value::Number(number) => wrong(field, format!("cannot provide negative value '{number}'")),
        Value::String(text) => match text.trim().strip_prefix('-').and_then(parse_duration) {
            Some(duration) => {
                wrong(field, format!("cannot provide negative value '-{}'", duration.as_secs()))
            }
            None => wrong(field, format!("time: invalid duration {text:?}")),
        },
        value => unconvertible(field, "int", value),
    }
}

const NO_INTEGER: &str = "'' cannot parse value as 'int': strconv.ParseInt: invalid syntax";
const NO_BOOLEAN: &str = "'' cannot parse value as 'bool': strconv.ParseBool: invalid syntax";

/// `90`, `90s`, `1h30m`, `1.5h`, `30d`, `250ms`: seconds without a unit. `None` for what is no duration, is
/// negative, or is past what can be counted.
#[must_use]
pub fn parse_duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return text.parse().ok().map(Duration::from_secs);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        let unit_end = rest[digits..].find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, after) = rest[digits..].split_at(unit_end.unwrap_or(rest.len() - digits));
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::{Fields, parse_duration};
    use std::time::Duration;

    #[test]
    fn durations_are_read_as_vault_reads_them() {
        let seconds = |text| parse_duration(text).map(|duration| duration.as_secs_f64());
        for (text, expected) in
            [("90", 90.0), ("90s", 90.0), ("1h30m", 5_400.0), ("1.5h", 5_400.0), ("30d", 2_592_000.0)]
        {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for text in ["", "h", "1x", "-1h", "1h-3m", "..s", "1e999h"] {
            assert_eq!(seconds(text), None, "{text}");
        }
        assert_eq!(parse_duration("250ms"), Some(Duration::from_millis(250)));
    }

    #[test]
    fn loose_types() {
        let body = serde_json::json!({
            "ttl": "1h", "uses": "5", "list": "a, b,,c", "pairs": ["a=1", "b=2=3"], "yes": "true", "null": null,
        });
        let body = body.as_object().unwrap();
        let fields = Fields::new(body);
        assert_eq!(fields.duration("ttl").unwrap(), Some(Duration::from_secs(3600)));
        assert_eq!(fields.integer("uses").unwrap(), Some(5));
        assert_eq!(fields.list("list").unwrap().unwrap(), ["a", "b", "c"]);
        assert_eq!(fields.pairs("pairs").unwrap().unwrap()["b"], "2=3");
        assert_eq!(fields.boolean("yes").unwrap(), Some(true));
        assert!(fields.has("null") && fields.value("null").is_none());
        assert!(fields.integer("ttl").is_err());
    }
}
