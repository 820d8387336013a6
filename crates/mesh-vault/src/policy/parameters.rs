//! `allowed_parameters`, `denied_parameters` and `required_parameters`: rules about a request's fields.

use super::names::glob_matches;
use crate::logical::Object;
use serde_json::Value;
use std::collections::BTreeMap;

/// Field in lower case, or `*`, to the values meant; an empty list means every value.
pub(super) type Values = BTreeMap<String, Vec<Value>>;

/// What the rules for one path say about fields.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Parameters {
    pub(super) allowed: Option<Values>,
    pub(super) denied: Option<Values>,
    pub(super) required: Vec<String>,
}

impl Parameters {
    /// Takes up what another rule for the same path says.
    pub(super) fn unite(&mut self, other: &Self) {
        unite_values(&mut self.allowed, other.allowed.as_ref());
        unite_values(&mut self.denied, other.denied.as_ref());
        for field in &other.required {
            if !self.required.contains(field) {
                self.required.push(field.clone());
            }
        }
    }

    /// Whether these fields may be sent.
    pub(super) fn allow(&self, data: &Object) -> bool {
        let given: BTreeMap<String, &Value> =
            data.iter().map(|(field, value)| (field.to_lowercase(), value)).collect();
        if !self.required.iter().all(|field| given.contains_key(field)) {
            return false;
        }
        if given.is_empty() {
            return true;
        }
        !self.denies(&given) && self.allows(&given)
    }

    fn denies(&self, given: &BTreeMap<String, &Value>) -> bool {
        let Some(denied) = self.denied.as_ref().filter(|denied| !denied.is_empty()) else { return false };
        if denied.contains_key("*") {
            return true;
        }
        given.iter().any(|(field, value)| denied.get(field).is_some_and(|values| among(value, values)))
    }

    fn allows(&self, given: &BTreeMap<String, &Value>) -> bool {
        let Some(allowed) = self.allowed.as_ref().filter(|allowed| !allowed.is_empty()) else { return true };
        let others = allowed.contains_key("*");
        given.iter().all(|(field, value)| allowed.get(field).map_or(others, |values| among(value, values)))
    }
}

/// An empty list of values means all of them, and so it takes the place of any other.
fn unite_values(into: &mut Option<Values>, other: Option<&Values>) {
    let Some(other) = other.filter(|other| !other.is_empty()) else { return };
    let into = into.get_or_insert_default();
    for (field, values) in other {
        match into.get_mut(field) {
            None => drop(into.insert(field.clone(), values.clone())),
            Some(known) if known.is_empty() || values.is_empty() => known.clear(),
            Some(known) => known.extend(values.iter().cloned()),
        }
    }
}

fn among(value: &Value, values: &[Value]) -> bool {
    values.is_empty() || values.iter().any(|one| same(one, value))
}

fn same(rule: &Value, given: &Value) -> bool {
    match (rule, given) {
        (Value::String(glob), Value::String(text)) => glob_matches(glob, text),
        (Value::Number(rule), Value::Number(given)) => rule == given || rule.as_f64() == given.as_f64(),
        _ => rule == given,
    }
}
