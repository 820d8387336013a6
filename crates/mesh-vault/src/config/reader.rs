//! Reads keys of a body by Vault's loose rules, and notes what was wrong and what nobody asked for.

use super::Finding;
use crate::{
    hcl::{Body, Entry, Node},
    logical::parse_duration,
};
use serde_json::Value;
use std::{cell::RefCell, collections::BTreeSet, time::Duration};

/// What was found wrong, and what to warn of.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) errors: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// A body that is being read.
pub(super) struct Reader<'a> {
    body: &'a Body,
    file: &'a str,
    findings: &'a RefCell<Findings>,
    asked: RefCell<BTreeSet<&'static str>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(body: &'a Body, file: &'a str, findings: &'a RefCell<Findings>) -> Self {
        Self { body, file, findings, asked: RefCell::default() }
    }

    pub(super) fn body(&self) -> &'a Body {
        self.body
    }

    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    pub(super) fn findings(&self) -> &'a RefCell<Findings> {
        self.findings
    }

    pub(super) fn error(&self, line: u32, message: impl Into<String>) {
        let finding = Finding { file: self.file.to_owned(), line, message: message.into() };
        self.findings.borrow_mut().errors.push(finding);
    }

    pub(super) fn warn(&self, line: u32, message: impl Into<String>) {
        let finding = Finding { file: self.file.to_owned(), line, message: message.into() };
        self.findings.borrow_mut().warnings.push(finding);
    }

    /// Notes that a key is known.
    pub(super) fn know(&self, key: &'static str) -> Option<&'a Entry> {
        self.asked.borrow_mut().insert(key);
        self.body.get(key)
    }

    /// Warns of every key that was not asked for.
    pub(super) fn finish(&self) {
        for entry in &self.body.entries {
            if !self.asked.borrow().contains(entry.key.as_str()) {
                let message = format!("unknown or unsupported field {} found in configuration", entry.key);
                self.warn(entry.line, message);
            }
        }
    }

    fn scalar(&self, key: &'static str, wanted: &str) -> Option<(&'a Value, u32)> {
        let entry = self.know(key)?;
        match &entry.value {
            Node::Scalar(Value::Null) => None,
            Node::Scalar(value) => Some((value, entry.line)),
            _ => {
                self.error(entry.line, format!("{key} must be {wanted}"));
                None
            }
        }
    }

    /// A text; a number or a boolean as its text.
    pub(super) fn text(&self, key: &'static str) -> Option<String> {
        self.scalar(key, "a text").map(|(value, _)| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    }

    /// `true`, `"true"`, `1`, `"1"`.
    pub(super) fn boolean(&self, key: &'static str) -> Option<bool> {
        let (value, line) = self.scalar(key, "true or false")?;
        match value {
            Value::Bool(value) => Some(*value),
            Value::Number(number) => Some(number.as_f64() != Some(0.0)),
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "1" | "t" | "yes" => Some(true),
                "false" | "0" | "f" | "no" | "" => Some(false),
                _ => {
                    self.error(line, format!("{key} must be true or false, not {text:?}"));
                    None
                }
            },
            _ => None,
        }
    }

    /// Seconds, or a text with units.
    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        let (value, line) = self.scalar(key, "a duration")?;
        let read = match value {
            Value::Number(number) => number.as_f64().and_then(|n| Duration::try_from_secs_f64(n).ok()),
            Value::String(text) => parse_duration(text),
            _ => None,
        };
        if read.is_none() {
            self.error(line, format!("{key} must be a duration like \"1h30m\", not {value}"));
        }
        read
    }

    /// A whole number that is not negative.
    pub(super) fn count(&self, key: &'static str) -> Option<u64> {
        let (value, line) = self.scalar(key, "a number")?;
        let read = match value {
            Value::Number(number) => number.as_u64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        if read.is_none() {
            self.error(line, format!("{key} must be a whole number, not {value}"));
        }
        read
    }

    /// A line of a key that is there, for what is said about it.
    pub(super) fn line(&self, key: &str) -> u32 {
        self.body.get(key).map_or(0, |entry| entry.line)
    }
}
