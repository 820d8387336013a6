//! Variables in the values of a tree; keys are left alone.

use super::Resolver;
use crate::{
    VariableUse,
    context::At,
    node::{Node, Value},
    template::{self, TemplateError, Use, Variables},
};
use mesh_redact::Secret;
use std::collections::BTreeMap;

/// Most bytes that all substitutions of one load may produce together.
const PRODUCED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Variables with values from one environment.
pub(crate) struct Scope<'s> {
    pub(crate) environment: &'s BTreeMap<String, String>,
    pub(crate) uses: &'s mut BTreeMap<String, VariableUse>,
    pub(crate) unset: Vec<String>,
}

impl Variables for Scope<'_> {
    fn value(&mut self, name: &str) -> Option<String> {
        self.environment.get(name).cloned()
    }

    fn used(&mut self, name: &str, how: Use<'_>) {
        let value = self.environment.get(name).cloned();
        let entry = self.uses.entry(name.to_owned()).or_insert_with(|| VariableUse {
            name: name.to_owned(),
            required: false,
            default: None,
            alternate: None,
            set: value.is_some(),
            value: value.map(Secret::new),
        });
        match how {
            Use::Plain => {}
            Use::Required => entry.required = true,
            Use::Default(word) => entry.default = Some(word.to_owned()),
            Use::Alternate(word) => entry.alternate = Some(word.to_owned()),
        }
    }

    fn unset(&mut self, name: &str) {
        self.unset.push(name.to_owned());
    }
}

impl Resolver<'_> {
    /// Replaces the variables of every text in `node`. An unset variable is told once a load.
    pub(super) fn interpolate(&mut self, node: &mut Node, environment: &BTreeMap<String, String>) {
        match &mut node.value {
            Value::Text(_) if self.told_too_much => {}
            Value::Text(text) if text.contains('$') => {
                let mut scope = Scope { environment, uses: &mut self.variables, unset: Vec::new() };
                let result = template::substitute(text, &mut scope);
                if let Some(watch) = &mut self.cx.watch {
                    watch.read(node.at, text);
                }
                let unset = std::mem::take(&mut scope.unset);
                if self.cx.raw {
                    return;
                }
                match result {
                    Ok(value) => {
                        self.produced = self.produced.saturating_add(value.len());
                        *text = value;
                        if self.produced > PRODUCED_BYTES_MAX {
                            self.too_much(node);
                            return;
                        }
                    }
                    Err(error) => self.template_error(node.at, &error),
                }
                self.tell_unset(node.at, unset);
            }
            Value::List(items) => items.iter_mut().for_each(|item| self.interpolate(item, environment)),
            Value::Map(map) => {
                map.values_mut().for_each(|entry| self.interpolate(&mut entry.node, environment));
            }
            _ => {}
        }
    }

    /// One value may be long and stand in many places.
    fn too_much(&mut self, node: &mut Node) {
        node.value = Value::Null;
        if !std::mem::replace(&mut self.told_too_much, true) {
            let mebibytes = PRODUCED_BYTES_MAX / 1024 / 1024;
            let message = format!("the values of variables come to more than {mebibytes} MiB");
            self.cx.error(node.at, "variable-limit", message);
        }
    }

    fn template_error(&mut self, at: At, error: &TemplateError) {
        match error {
            TemplateError::Required { name, .. } => {
                let hint = format!("set {name} in the environment or in a `.env` file");
                self.cx.error_with_hint(at, "variable-missing", error.to_string(), hint);
            }
            TemplateError::Invalid { .. } => {
                let hint = "write `$$` for a dollar sign; the forms are ${NAME}, ${NAME:-default}, ${NAME:?message} and ${NAME:+value}";
                self.cx.error_with_hint(at, "variable-syntax", error.to_string(), hint);
            }
            TemplateError::TooDeep | TemplateError::TooLong => {
                self.cx.error(at, "variable-limit", error.to_string());
            }
        }
    }

    fn tell_unset(&mut self, at: At, names: Vec<String>) {
        for name in names {
            if self.told_unset.insert(name.clone()) {
                let message = format!("The \"{name}\" variable is not set. Defaulting to a blank string.");
                self.cx.warn(at, "variable-unset", message);
            }
        }
    }
}
