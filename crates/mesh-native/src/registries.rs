//! Who asks registries for commands whose environment says how.
//!
//! Invariants: commands with the same variables have the same client, so that what one found out of a registry
//! the next one knows; no value of a variable leaves but to that client.

use crate::fault;
use mesh_model::registry::RegistryVariables;
use mesh_oci::{client::Client, settings::Settings};
use mesh_redact::Secret;
use mesh_runtime::error::RuntimeError;
use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

/// Clients that are remembered; of more the one that was made first is forgotten.
const CLIENTS_MAX: usize = 8;

/// Clients by the variables they were made from, the newest in front.
#[derive(Debug, Default)]
pub(crate) struct Registries {
    known: Mutex<VecDeque<(RegistryVariables, Client)>>,
}

impl Registries {
    /// The client for a command that came with `variables`.
    pub(crate) fn client(&self, variables: &RegistryVariables) -> Result<Client, RuntimeError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, client)) = known.iter().find(|(own, _)| own == variables) {
            return Ok(client.clone());
        }
        let settings = Settings::from_variables(&|name| variables.get(name).map(str::to_owned));
        let settings = settings.map_err(|error| RuntimeError::Setup {
            step: "read how registries are asked".to_owned(),
            reason: fault::chain(&error),
        })?;
        let helper_environment = variables.helpers().map(|helpers| Secret::new(helpers.all().clone()));
        let client = Client::new(Settings { helper_environment, ..settings });
        known.push_front((variables.clone(), client.clone()));
        known.truncate(CLIENTS_MAX);
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn variables(name: &str, value: &str) -> RegistryVariables {
        RegistryVariables::new(BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn a_bounded_number_of_clients_is_remembered() {
        let registries = Registries::default();
        for number in 0..CLIENTS_MAX * 2 {
            registries.client(&variables("DOCKER_CONFIG", &format!("/{number}"))).unwrap();
            registries.client(&variables("DOCKER_CONFIG", &format!("/{number}"))).unwrap();
        }
        let known = registries.known.lock().unwrap();
        let names: Vec<&str> = known.iter().filter_map(|(own, _)| own.get("DOCKER_CONFIG")).collect();
        assert_eq!(names.len(), CLIENTS_MAX);
        assert_eq!(names[0], format!("/{}", CLIENTS_MAX * 2 - 1));
    }

    #[test]
    fn a_value_that_cannot_be_used_is_told_by_its_variable() {
        let error = Registries::default().client(&variables("MESH_REGISTRY_TIMEOUT", "soon")).unwrap_err();
        assert!(error.to_string().contains("MESH_REGISTRY_TIMEOUT"), "{error}");
    }
}
