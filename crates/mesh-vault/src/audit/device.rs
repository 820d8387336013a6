//! One audit device.

use super::writer::{WriteError, Writer};
use crate::core::random::{self, hex};
use crate::storage::StorageError;
use aws_lc_rs::hmac;
use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

const SALT_BYTES: usize = 32;

/// A device, as it is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct DeviceEntry {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) description: String,
    pub(crate) options: BTreeMap<String, String>,
    /// With a slash at its end.
    pub(crate) path: String,
    pub(crate) local: bool,
    #[serde(with = "mesh_redact::exposed")]
    salt: Secret<String>,
}

impl DeviceEntry {
    /// A new one, with a salt of its own.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub(crate) fn new(
        path: &str,
        kind: &str,
        description: &str,
        options: BTreeMap<String, String>,
        local: bool,
    ) -> Result<Self, StorageError> {
        let mut salt = [0_u8; SALT_BYTES];
        random::fill(&mut salt)?;
        Ok(Self {
            kind: kind.to_owned(),
            description: description.to_owned(),
            options,
            path: path.to_owned(),
            local,
            salt: Secret::new(hex(&salt)),
        })
    }
}

/// A device in use.
pub(crate) struct Device {
    pub(crate) entry: DeviceEntry,
    pub(crate) raw: bool,
    pub(crate) hash_accessors: bool,
    pub(crate) elide_lists: bool,
    key: hmac::Key,
    writer: Writer,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("path", &self.entry.path).finish_non_exhaustive()
    }
}

impl Device {
    /// Opens one. Its file is opened with the first record, or with [`Device::reopen`].
    pub(crate) fn open(entry: DeviceEntry) -> Self {
        let option = |name: &str| entry.options.get(name).map(String::as_str);
        let on = |name: &str, default: bool| match option(name) {
            Some("true" | "1" | "t" | "T" | "TRUE" | "True") => true,
            Some(_) => false,
            None => default,
        };
        let path = option("file_path").or_else(|| option("path")).unwrap_or_default();
        let mode =
            option("mode").and_then(|mode| u32::from_str_radix(mode, 8).ok()).filter(|mode| *mode != 0);
        Self {
            raw: on("log_raw", false),
            hash_accessors: on("hmac_accessor", true),
            elide_lists: on("elide_list_responses", false),
            key: hmac::Key::new(hmac::HMAC_SHA256, entry.salt.expose().as_bytes()),
            writer: Writer::new(path, mode, option("prefix").unwrap_or_default()),
            entry,
        }
    }

    /// Writes a line; returns once the system has it.
    ///
    /// # Errors
    /// When it has not.
    pub(crate) async fn write(&self, line: Vec<u8>) -> Result<(), WriteError> {
        self.writer.write(line).await
    }

    /// Opens the file anew.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub(crate) async fn reopen(&self) -> Result<(), WriteError> {
        self.writer.reopen().await
    }

    /// A text as it stands in records.
    pub(crate) fn hash(&self, text: &str) -> String {
        format!("hmac-sha256:{}", hex(hmac::sign(&self.key, text.as_bytes()).as_ref()))
    }

    /// A token or an accessor as it stands in records; an empty one is.
    pub(super) fn secret(&self, text: &str) -> String {
        if text.is_empty() || self.raw { text.to_owned() } else { self.hash(text) }
    }

    pub(super) fn accessor(&self, text: &str) -> String {
        if self.hash_accessors { self.secret(text) } else { text.to_owned() }
    }

    /// Data as it stands in records: texts are hashed at every depth, but those of the keys that are told.
    pub(super) fn data(&self, value: &Value, told: &[String]) -> Value {
        if self.raw {
            return value.clone();
        }
        match value {
            Value::String(text) => Value::String(self.hash(text)),
            Value::Array(values) => values.iter().map(|value| self.data(value, told)).collect(),
            Value::Object(fields) => fields
                .iter()
                .map(|(key, value)| {
                    let value = if told.contains(key) { value.clone() } else { self.data(value, told) };
                    (key.clone(), value)
                })
                .collect(),
            other => other.clone(),
        }
    }
}
