//! How whoever gives a command has registries asked.

use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Variables of a command's environment that say how registries are asked: where credentials are, mirrors,
/// proxies. The address of a proxy may hold a password, so no value is shown.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RegistryVariables {
    #[serde(with = "mesh_redact::exposed")]
    values: Secret<BTreeMap<String, String>>,
    /// What credential helpers are run with; `None`: what whoever runs them has.
    #[serde(default)]
    helpers: Option<HelperVariables>,
}

/// The environment of credential helpers.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct HelperVariables(#[serde(with = "mesh_redact::exposed")] Secret<BTreeMap<String, String>>);

/// Variables that differ from one command to the next in one shell and tell a helper nothing.
const PASSING: &[&str] = &["_", "OLDPWD", "PWD", "SHLVL"];

impl HelperVariables {
    /// The environment of a command, but what differs from one to the next.
    #[must_use]
    pub fn of_environment(mut all: BTreeMap<String, String>) -> Self {
        all.retain(|name, _| !PASSING.contains(&name.as_str()));
        Self(Secret::new(all))
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &BTreeMap<String, String> {
        self.0.expose()
    }
}

impl RegistryVariables {
    /// Those that are set, by name.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self { values: Secret::new(values), helpers: None }
    }

    /// The same with the environment that credential helpers are run with.
    #[must_use]
    pub fn with_helpers(self, helpers: HelperVariables) -> Self {
        Self { helpers: Some(helpers), ..self }
    }

    /// What credential helpers are run with; `None`: what whoever runs them has.
    #[must_use]
    pub fn helpers(&self) -> Option<&HelperVariables> {
        self.helpers.as_ref()
    }

    /// The value of one; `None` where it is not set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.expose().get(name).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cross_the_wire_and_are_not_shown() {
        let proxy = ("HTTPS_PROXY".to_owned(), "http://me:hunter2@proxy".to_owned());
        let variables = RegistryVariables::new(BTreeMap::from([proxy]));
        assert!(!format!("{variables:?}").contains("hunter2"));
        let wire = serde_json::to_string(&variables).unwrap();
        let back: RegistryVariables = serde_json::from_str(&wire).unwrap();
        assert_eq!(back.get("HTTPS_PROXY"), Some("http://me:hunter2@proxy"));
        assert_eq!(back.get("HTTP_PROXY"), None);
        assert_eq!(back.helpers(), None);
        let own = ["HOME", "PWD", "TOKEN", "_"].map(|name| (name.to_owned(), "hunter2".to_owned()));
        let variables = variables.with_helpers(HelperVariables::of_environment(own.into()));
        assert!(!format!("{variables:?}").contains("hunter2"));
        let wire = serde_json::to_string(&variables).unwrap();
        let back: RegistryVariables = serde_json::from_str(&wire).unwrap();
        assert!(back.helpers().unwrap().all().keys().eq(["HOME", "TOKEN"]) && back == variables);
    }
}
