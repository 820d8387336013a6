//! Results in the format that was asked for.

use crate::{
    command::{Outcome, wrong},
    secret::{Secret, map_table},
    table::table,
    ui::{Format, Ui, wrapped_with},
    values::{json, plain, yaml},
};
use serde_json::{Map, Value};

impl Ui<'_> {
    /// An answer.
    pub(crate) fn show_secret(&mut self, secret: &Secret) -> Outcome {
        if self.format != Format::Table {
            return self.show_value(&secret.to_value());
        }
        self.show_warnings(secret);
        let table = secret.to_table();
        if !table.is_empty() {
            self.say(&table);
        }
        Ok(0)
    }

    /// A value, where there is no table for it.
    pub(crate) fn show_value(&mut self, value: &Value) -> Outcome {
        let text = match (self.format, value) {
            (Format::Yaml, value) => yaml(value),
            (Format::Table, Value::Object(map)) => map_table(map),
            (Format::Table, Value::Array(all)) => all.iter().map(plain).collect::<Vec<_>>().join("\n"),
            (_, value) => json(value),
        };
        if !text.is_empty() {
            self.say(&text);
        }
        Ok(0)
    }

    /// An object as a table, or as what was asked for.
    pub(crate) fn show_map(&mut self, map: &Map<String, Value>) -> Outcome {
        self.show_value(&Value::Object(map.clone()))
    }

    /// What a server wants to be noticed.
    pub(crate) fn show_warnings(&mut self, secret: &Secret) {
        if secret.warnings.is_empty() {
            return;
        }
        self.warn("WARNING! The following warnings were returned from Vault:\n");
        for warning in &secret.warnings {
            self.warn(&wrapped_with(&format!("* {warning}"), 2));
            self.warn("");
        }
    }

    /// One field of an answer.
    pub(crate) fn show_field(&mut self, secret: &Secret, name: &str) -> Outcome {
        let found = secret.field(name);
        let found = found.ok_or_else(|| wrong(format!("Field {name:?} not present in secret")))?;
        if self.format == Format::Table {
            self.show_warnings(secret);
        }
        self.show_alone(&found)
    }

    /// One value of an object.
    pub(crate) fn show_field_of(&mut self, map: &Map<String, Value>, name: &str) -> Outcome {
        let found = map.get(name).filter(|value| !value.is_null());
        let found = found.ok_or_else(|| wrong(format!("Field {name:?} not present in map")))?;
        self.show_alone(found)
    }

    /// A value alone.
    pub(crate) fn show_alone(&mut self, value: &Value) -> Outcome {
        let text = match self.format {
            Format::Table | Format::Raw => plain(value),
            Format::Json => json(value),
            Format::Yaml => format!("{}\n", yaml(value)),
        };
        self.say_raw(&text);
        Ok(0)
    }

    /// The keys of a list.
    pub(crate) fn show_list(&mut self, secret: &Secret) -> Outcome {
        let keys = secret.keys().cloned().unwrap_or_default();
        if self.format != Format::Table {
            let value = if self.detailed { secret.to_value() } else { Value::Array(keys) };
            return self.show_value(&value);
        }
        self.show_warnings(secret);
        let mut keys: Vec<String> = keys.iter().map(plain).collect();
        keys.sort();
        if keys.is_empty() {
            return Ok(0);
        }
        let info = secret.part("key_info").filter(|info| self.detailed && !info.is_empty());
        let of = |key: &str| info.and_then(|info| info.get(key)).and_then(Value::as_object);
        let mut heads: Vec<&String> = keys.iter().filter_map(|key| of(key)).flat_map(Map::keys).collect();
        heads.sort();
        heads.dedup();
        let first = [String::from("Keys")].into_iter().chain(heads.iter().map(|head| (*head).clone()));
        let mut rows: Vec<Vec<String>> = vec![first.collect()];
        for key in &keys {
            let cells = heads.iter().filter_map(|head| {
                let cell = of(key)?.get(*head);
                Some(cell.map_or_else(|| "n/a".to_owned(), |value| crate::secret::cell(head, value)))
            });
            rows.push([key.clone()].into_iter().chain(cells).collect());
        }
        self.say(&table(&rows));
        Ok(0)
    }
}
