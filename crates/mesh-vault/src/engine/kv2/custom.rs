//! `custom_metadata`: what a user notes about a secret, within limits.

use crate::logical::{Object, Refusal};
use serde_json::Value;
use std::collections::BTreeMap;

const KEYS_MAX: usize = 64;
const KEY_BYTES_MAX: usize = 128;
const VALUE_BYTES_MAX: usize = 512;
const FAILED: &str = "custom_metadata validation failed";

/// Reads and checks the pairs. With `removals` a `null` says that a pair is to go; without, it is a value that is
/// empty.
pub(super) fn parse(given: &Object, removals: bool) -> Result<BTreeMap<String, Option<String>>, Refusal> {
    let mut pairs = BTreeMap::new();
    for (key, value) in given {
        let value = match value {
            Value::Null if removals => None,
            Value::Null => Some(String::new()),
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(value) => Some(u8::from(*value).to_string()),
            Value::Array(_) | Value::Object(_) => {
                let kind = if value.is_array() { "[]interface {}" } else { "map[string]interface {}" };
                let text = format!("{FAILED}: '' expected type 'string', got unconvertible type '{kind}'");
                return Err(Refusal::invalid(text));
            }
        };
        pairs.insert(key.clone(), value);
    }
    let findings = findings(pairs.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?))));
    if findings.is_empty() { Ok(pairs) } else { Err(Refusal::invalid(listed(&findings))) }
}

/// The same limit for what is there after a patch.
pub(super) fn check_count(count: usize) -> Result<(), Refusal> {
    if count <= KEYS_MAX { Ok(()) } else { Err(Refusal::invalid(listed(&[too_many(count)]))) }
}

fn findings<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)> + Clone) -> Vec<String> {
    let count = pairs.clone().count();
    if count > KEYS_MAX {
        return vec![too_many(count)];
    }
    let mut findings = Vec::new();
    for (key, value) in pairs {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            let bytes = key.len();
            findings.push(format!(
                "{FAILED}: length of key {key:?} is {bytes} but must be 0 < len(key) <= {KEY_BYTES_MAX}"
            ));
        }
        if value.is_empty() || value.len() > VALUE_BYTES_MAX {
            let bytes = value.len();
            findings.push(format!(
                "{FAILED}: length of value for key {key:?} is {bytes} but must be 0 < len(value) <= {VALUE_BYTES_MAX}"
            ));
        }
        if !printable(key) {
            findings.push(format!("{FAILED}: key {key:?} ({key}) contains unprintable characters"));
        }
        if !printable(value) {
            findings.push(format!("{FAILED}: value for key {key:?} contains unprintable characters"));
        }
    }
    findings
}

fn too_many(count: usize) -> String {
    format!("{FAILED}: payload must contain at most {KEYS_MAX} keys, provided {count}")
}

/// Several findings in one text, as Vault lists them.
fn listed(findings: &[String]) -> String {
    let noun = if findings.len() == 1 { "error" } else { "errors" };
    let points: Vec<String> = findings.iter().map(|finding| format!("* {finding}")).collect();
    format!("{} {noun} occurred:\n\t{}\n\n", findings.len(), points.join("\n\t"))
}

/// Letters, marks, numbers, punctuation, symbols and the space: no control, format or private characters, and no
/// other white space.
fn printable(text: &str) -> bool {
    !text.chars().any(|c| {
        c.is_control()
            || (c.is_whitespace() && c != ' ')
            || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
            || matches!(c, '\u{e000}'..='\u{f8ff}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..)
    })
}
