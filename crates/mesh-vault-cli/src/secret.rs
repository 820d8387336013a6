//! A server's answer as Vault's clients know it, and how it is shown.

use crate::{
    duration::Duration,
    moment,
    table::pairs,
    values::{is_empty, object, plain, quoted, sorted},
};
use serde_json::{Map, Value, json};

/// An answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Secret {
    pub(crate) request_id: String,
    pub(crate) lease_id: String,
    pub(crate) lease_duration: i64,
    pub(crate) renewable: bool,
    pub(crate) data: Option<Map<String, Value>>,
    pub(crate) warnings: Vec<String>,
    pub(crate) auth: Option<Map<String, Value>>,
    pub(crate) wrap_info: Option<Map<String, Value>>,
    pub(crate) mount_type: Option<String>,
}

impl Secret {
    /// Reads an answer; `None` where there is nothing in it.
    pub(crate) fn read(body: &[u8]) -> Result<Option<Self>, String> {
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(None);
        }
        let value: Value = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        let Value::Object(map) = value else {
            return Err("json: cannot unmarshal the answer into a secret".to_owned());
        };
        let secret = Self::of(&map);
        if secret != Self::default() {
            return Ok(Some(secret));
        }
        // Not of that shape: all of it is the data, unless it is errors alone.
        match map.get("errors") {
            Some(_) if map.len() == 1 => Ok(None),
            Some(errors) => {
                let errors = errors.as_array().into_iter().flatten().map(plain);
                Err(errors.collect::<Vec<_>>().join(" "))
            }
            None if map.is_empty() => Ok(Some(secret)),
            None => Ok(Some(Self { data: Some(sorted_map(&map)), ..Self::default() })),
        }
    }

    fn of(map: &Map<String, Value>) -> Self {
        let text = |key: &str| map.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let part = |key: &str| map.get(key).and_then(Value::as_object).map(sorted_map);
        let warnings = map.get("warnings").and_then(Value::as_array).into_iter().flatten();
        Self {
            request_id: text("request_id"),
            lease_id: text("lease_id"),
            lease_duration: map.get("lease_duration").and_then(Value::as_i64).unwrap_or(0),
            renewable: map.get("renewable").and_then(Value::as_bool).unwrap_or(false),
            data: part("data"),
            warnings: warnings.map(plain).collect(),
            auth: part("auth"),
            wrap_info: part("wrap_info"),
            mount_type: map.get("mount_type").and_then(Value::as_str).map(str::to_owned),
        }
    }

    /// A value of the data.
    pub(crate) fn get(&self, key: &str) -> Option<&Value> {
        self.data.as_ref()?.get(key)
    }

    /// An object of the data.
    pub(crate) fn part(&self, key: &str) -> Option<&Map<String, Value>> {
        self.get(key)?.as_object()
    }

    /// The keys of an answer to a list.
    pub(crate) fn keys(&self) -> Option<&Vec<Value>> {
        self.get("keys")?.as_array()
    }

    /// Whether the answer waits behind a token.
    pub(crate) fn is_wrapped(&self) -> bool {
        self.wrap_info.as_ref().is_some_and(|info| info.get("ttl").is_some_and(|ttl| !is_empty(ttl)))
    }

    /// Whether it says anything although what was asked for is not there.
    pub(crate) fn says_something(&self) -> bool {
        !self.warnings.is_empty() || self.data.as_ref().is_some_and(|data| !data.is_empty())
    }

    /// The answer as the command line's JSON has it.
    pub(crate) fn to_value(&self) -> Value {
        let or_null = |map: &Option<Map<String, Value>>| map.clone().map_or(Value::Null, Value::Object);
        let warnings = if self.warnings.is_empty() { Value::Null } else { json!(self.warnings) };
        let mut value = object([
            ("request_id", json!(self.request_id)),
            ("lease_id", json!(self.lease_id)),
            ("lease_duration", json!(self.lease_duration)),
            ("renewable", json!(self.renewable)),
            ("data", or_null(&self.data)),
            ("warnings", warnings),
        ]);
        if let Value::Object(map) = &mut value {
            if let Some(auth) = &self.auth {
                map.insert("auth".to_owned(), picked(auth, AUTH));
            }
            if let Some(info) = &self.wrap_info {
                map.insert("wrap_info".to_owned(), picked(info, WRAP_INFO));
            }
            if let Some(kind) = &self.mount_type {
                map.insert("mount_type".to_owned(), json!(kind));
            }
        }
        value
    }

    /// The answer as a table; empty where there is nothing to show.
    pub(crate) fn to_table(&self) -> String {
        let mut rows = Vec::new();
        let mut row = |key: &str, value: String| rows.push((key.to_owned(), value));
        if self.lease_duration > 0 {
            let duration = Duration::seconds(self.lease_duration).human();
            if self.lease_id.is_empty() {
                row("refresh_interval", duration);
            } else {
                row("lease_id", self.lease_id.clone());
                row("lease_duration", duration);
                row("lease_renewable", self.renewable.to_string());
            }
        }
        if let Some(auth) = &self.auth {
            auth_rows(auth, &mut row);
        }
        if let Some(info) = &self.wrap_info {
            wrap_rows(info, &mut row);
        }
        for (key, value) in self.data.iter().flatten() {
            row(key, cell(key, value));
        }
        if rows.is_empty() { String::new() } else { pairs(&rows) }
    }

    /// A field, as `-field` names it.
    pub(crate) fn field(&self, name: &str) -> Option<Value> {
        let of = |map: &Map<String, Value>, key: &str| map.get(key).cloned().unwrap_or(json!(""));
        let found = if let Some(auth) = &self.auth {
            match name {
                "token" => Some(of(auth, "client_token")),
                "token_accessor" => Some(of(auth, "accessor")),
                "token_duration" => Some(of(auth, "lease_duration")),
                "token_renewable" => Some(of(auth, "renewable")),
                "token_policies" | "identity_policies" | "policies" => {
                    Some(auth.get(name).filter(|list| !list.is_null()).cloned().unwrap_or(json!([])))
                }
                name => self.get(name).cloned(),
            }
        } else if let Some(info) = &self.wrap_info {
            match name {
                "wrapping_token" => Some(of(info, "token")),
                "wrapping_accessor" => Some(of(info, "accessor")),
                "wrapping_token_ttl" => Some(of(info, "ttl")),
                "wrapping_token_creation_time" => Some(of(info, "creation_time")),
                "wrapping_token_creation_path" => Some(of(info, "creation_path")),
                "wrapped_accessor" => Some(of(info, "wrapped_accessor")),
                name => self.get(name).cloned(),
            }
        } else {
            match name {
                "lease_duration" | "refresh_interval" => Some(json!(self.lease_duration)),
                "lease_id" => Some(json!(self.lease_id)),
                "request_id" => Some(json!(self.request_id)),
                "renewable" => Some(json!(self.renewable)),
                "data" => self.get("data").cloned().or_else(|| self.data.clone().map(Value::Object)),
                name => self.get(name).cloned(),
            }
        };
        found.filter(|value| !value.is_null())
    }
}

fn auth_rows(auth: &Map<String, Value>, row: &mut impl FnMut(&str, String)) {
    let text = |key: &str| auth.get(key).filter(|value| !value.is_null()).map(plain).unwrap_or_default();
    row("token", text("client_token"));
    row("token_accessor", text("accessor"));
    let seconds = auth.get("lease_duration").and_then(Value::as_i64).unwrap_or(0);
    // A token without end is said to be one.
    row("token_duration", if seconds == 0 { "∞".to_owned() } else { Duration::seconds(seconds).human() });
    row("token_renewable", auth.get("renewable").and_then(Value::as_bool).unwrap_or(false).to_string());
    for key in ["token_policies", "identity_policies", "policies"] {
        row(key, quoted(auth.get(key).unwrap_or(&Value::Null)));
    }
    for (key, value) in auth.get("metadata").and_then(Value::as_object).into_iter().flatten() {
        row(&format!("token_meta_{key}"), plain(value));
    }
}

fn wrap_rows(info: &Map<String, Value>, row: &mut impl FnMut(&str, String)) {
    let text = |key: &str| info.get(key).filter(|value| !value.is_null()).map(plain).unwrap_or_default();
    row("wrapping_token:", text("token"));
    row("wrapping_accessor:", text("accessor"));
    let ttl = info.get("ttl").and_then(Value::as_i64).unwrap_or(0);
    row("wrapping_token_ttl:", Duration::seconds(ttl).human());
    row("wrapping_token_creation_time:", moment::in_words(&text("creation_time")));
    row("wrapping_token_creation_path:", text("creation_path"));
    let accessor = text("wrapped_accessor");
    if !accessor.is_empty() {
        row("wrapped_accessor:", accessor);
    }
}

/// A value in a table: whole numbers that are times by their names are written as times.
pub(crate) fn cell(key: &str, value: &Value) -> String {
    let is_time = ["period", "ttl", "duration"]
        .iter()
        .any(|word| key == *word || key.strip_suffix(word).is_some_and(|head| head.ends_with('_')))
        || matches!(key, "lease_max" | "ttl_max");
    match value.as_i64().filter(|_| is_time) {
        Some(seconds) => Duration::seconds(seconds).human(),
        None => plain(value),
    }
}

/// The rows of an object.
pub(crate) fn map_table(map: &Map<String, Value>) -> String {
    let mut rows: Vec<(String, String)> =
        map.iter().map(|(key, value)| (key.clone(), cell(key, value))).collect();
    rows.sort();
    if rows.is_empty() { String::new() } else { pairs(&rows) }
}

/// Fields of an object, with what stands for one that is not there.
type Fields = &'static [(&'static str, &'static str)];

const AUTH: Fields = &[
    ("client_token", "\"\""),
    ("accessor", "\"\""),
    ("policies", "null"),
    ("token_policies", "null"),
    ("identity_policies", "null"),
    ("metadata", "null"),
    ("orphan", "false"),
    ("entity_id", "\"\""),
    ("lease_duration", "0"),
    ("renewable", "false"),
    ("mfa_requirement", "null"),
];

const WRAP_INFO: Fields = &[
    ("token", "\"\""),
    ("accessor", "\"\""),
    ("ttl", "0"),
    ("creation_time", "\"\""),
    ("creation_path", "\"\""),
    ("wrapped_accessor", "\"\""),
];

fn picked(map: &Map<String, Value>, fields: Fields) -> Value {
    let value = |(key, other): &(&str, &str)| {
        let other = || serde_json::from_str(other).unwrap_or(Value::Null);
        let found = map.get(*key).filter(|value| !value.is_null()).cloned().unwrap_or_else(other);
        ((*key).to_owned(), found)
    };
    Value::Object(fields.iter().map(value).collect())
}

fn sorted_map(map: &Map<String, Value>) -> Map<String, Value> {
    match sorted(Value::Object(map.clone())) {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<Secret> {
        Secret::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn answers_of_any_shape_are_read() {
        assert_eq!(read(""), None);
        assert_eq!(read(r#"{"errors":[]}"#), None);
        assert!(Secret::read(b"<html>").is_err() && Secret::read(b"[1]").is_err());
        assert_eq!(Secret::read(br#"{"errors":["a","b"],"x":1}"#).unwrap_err(), "a b");
        assert_eq!(read(r#"{"sealed":false}"#).unwrap().get("sealed"), Some(&json!(false)));
        let secret = read(r#"{"request_id":"r","data":{"b":1,"a":{"z":1,"y":2}}}"#).unwrap();
        assert_eq!(
            serde_json::to_string(&secret.to_value()).unwrap(),
            concat!(
                r#"{"request_id":"r","lease_id":"","lease_duration":0,"renewable":false,"#,
                r#""data":{"a":{"y":2,"z":1},"b":1},"warnings":null}"#
            )
        );
    }

    #[test]
    fn tables_show_times_and_tokens() {
        let secret =
            read(r#"{"lease_duration":2764800,"data":{"ttl":3600,"max_ttl":"1h","x":null,"l":["a"]}}"#)
                .unwrap();
        let want = "Key                 Value\n---                 -----\nrefresh_interval    768h\nl                   [a]\n\
                    max_ttl             1h\nttl                 1h\nx                   <nil>";
        assert_eq!(secret.to_table(), want);
        let token =
            read(r#"{"auth":{"client_token":"t","policies":["root"],"metadata":{"k":"v"}}}"#).unwrap();
        let shown = token.to_table();
        assert!(
            shown.contains("token_duration       ∞\n") && shown.contains("policies             [\"root\"]"),
            "{shown}"
        );
        assert!(shown.ends_with("token_meta_k         v"), "{shown}");
        assert_eq!(token.field("token"), Some(json!("t")));
        assert_eq!(token.field("nothing"), None);
    }
}
