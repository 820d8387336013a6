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
}

impl RegistryVariables {
    /// Those that are set, by name.
    #[must_use]
    pub fn new(values: BTreeMap<String, String>) -> Self {
        Self { values: Secret::new(values) }
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
    }
}
