//! Every environment variable that the command line reads, in one place.
//!
//! Nothing else in this crate looks at the environment. Compose files are found and interpolated by the
//! loader from the same snapshot, and the supervisor inherits the environment as it is.

use mesh_model::registry::{HelperVariables, RegistryVariables};
use mesh_oci::settings;
use std::{collections::BTreeMap, ffi::OsString};

/// A variable and what it does.
#[derive(Debug)]
pub(crate) struct Variable {
    /// Its name.
    pub(crate) name: &'static str,
    /// What it does, in a phrase.
    pub(crate) meaning: &'static str,
}

/// The registry, as `mesh --help` prints it.
pub(crate) const VARIABLES: &[Variable] = &[
    Variable { name: "MESH_HOME", meaning: "keep data, state and sockets under this one directory" },
    Variable { name: "MESH_LOG", meaning: "what the supervisor writes into its log, such as `debug`" },
    Variable { name: "MESH_SUBSTITUTE", meaning: "default of --substitute" },
    Variable { name: "MESH_TAKE_OVER", meaning: "as --take-over, where it is true" },
    Variable { name: "MESH_PORTS", meaning: "default of --ports" },
    Variable {
        name: "MESH_REGISTRY_MIRRORS",
        meaning: "registries' stand-ins: `docker.io=mirror.example/path,...`, asked first",
    },
    Variable {
        name: "MESH_REGISTRY_INSECURE",
        meaning: "registries without TLS or a known certificate: `host:port,...`",
    },
    Variable {
        name: "MESH_REGISTRY_TIMEOUT",
        meaning: "seconds a registry may take to its first answer (2)",
    },
    Variable {
        name: "DOCKER_CONFIG",
        meaning: "folder of config.json, for registries' credentials (~/.docker)",
    },
    Variable { name: "HTTPS_PROXY", meaning: "proxy to registries; HTTP_PROXY and NO_PROXY likewise" },
    Variable { name: "COMPOSE_FILE", meaning: "default of --file, several separated by `:`" },
    Variable { name: "COMPOSE_PATH_SEPARATOR", meaning: "separator of COMPOSE_FILE" },
    Variable { name: "COMPOSE_PROJECT_NAME", meaning: "default of --project-name" },
    Variable { name: "COMPOSE_PROFILES", meaning: "default of --profile, several separated by `,`" },
    Variable { name: "COMPOSE_ENV_FILES", meaning: "default of --env-file, several separated by `,`" },
    Variable { name: "COMPOSE_DISABLE_ENV_FILE", meaning: "do not read `.env`" },
    Variable { name: "COMPOSE_PROGRESS", meaning: "default of --progress" },
    Variable { name: "COMPOSE_ANSI", meaning: "default of --ansi" },
    Variable { name: "COMPOSE_REMOVE_ORPHANS", meaning: "default of --remove-orphans" },
    Variable { name: "COMPOSE_IGNORE_ORPHANS", meaning: "do not warn of orphans" },
    Variable { name: "COMPOSE_MENU", meaning: "default of --menu" },
    Variable {
        name: "COMPOSE_PARALLEL_LIMIT",
        meaning: "accepted; objects are always worked on side by side",
    },
    Variable { name: "COMPOSE_STATUS_STDOUT", meaning: "progress on standard output" },
    Variable {
        name: "VAULT_ADDR",
        meaning: "where `mesh vault` asks; VAULT_CACERT and the like as Vault's own command has them",
    },
    Variable { name: "NO_COLOR", meaning: "not empty: no colour" },
    Variable { name: "XDG_DATA_HOME", meaning: "where images and volumes are kept, without MESH_HOME" },
    Variable { name: "XDG_STATE_HOME", meaning: "where projects and logs are kept, without MESH_HOME" },
    Variable { name: "XDG_RUNTIME_DIR", meaning: "where sockets are, without MESH_HOME" },
    Variable { name: "HOME", meaning: "where the directories above are by default" },
    Variable { name: "TERM", meaning: "`dumb`: no live progress" },
];

/// The environment as it was when the command started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    /// `COMPOSE_*` of the project's `.env`, which count where the environment has none.
    in_files: BTreeMap<String, String>,
}

impl Environment {
    /// Takes the snapshot; a variable that is not Unicode is left out.
    pub(crate) fn read() -> Self {
        let unicode =
            |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self { variables: std::env::vars_os().filter_map(unicode).collect(), ..Self::default() }
    }

    /// A snapshot from given values.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self { variables: variables.iter().map(own).collect(), ..Self::default() }
    }

    /// A registered variable's value, if it is set and not empty.
    pub(crate) fn get<'e>(&'e self, name: &str) -> Option<&'e str> {
        debug_assert!(VARIABLES.iter().any(|variable| variable.name == name), "{name} is not registered");
        let set = |from: &'e BTreeMap<String, String>| from.get(name).map(String::as_str);
        set(&self.variables).or_else(|| set(&self.in_files)).filter(|value| !value.is_empty())
    }

    /// With settings that the project's files of variables have.
    pub(crate) fn over(self, in_files: BTreeMap<String, String>) -> Self {
        Self { in_files, ..self }
    }

    /// How registries are asked. Relative paths are this command's: whoever asks is in another directory.
    pub(crate) fn registry(&self) -> RegistryVariables {
        let set = |name: &&str| Some(((*name).to_owned(), self.variables.get(*name)?.clone()));
        let whole = |(name, value): (String, String)| match std::path::absolute(&value) {
            Ok(path) if settings::PATHS.contains(&name.as_str()) => (name, path.display().to_string()),
            _ => (name, value),
        };
        RegistryVariables::new(settings::VARIABLES.iter().filter_map(set).map(whole).collect())
            .with_helpers(HelperVariables::of_environment(self.variables.clone()))
    }

    /// Whether a registered variable says yes.
    pub(crate) fn is_true(&self, name: &str) -> bool {
        self.get(name).is_some_and(says_yes)
    }

    /// All of it, for interpolation and for `-e NAME`.
    pub(crate) fn all(&self) -> &BTreeMap<String, String> {
        &self.variables
    }
}

/// Whether a value says yes.
pub(crate) fn says_yes(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "t" | "true" | "y" | "yes")
}

/// The registry as a paragraph of the help text.
pub(crate) fn help() -> String {
    let width = VARIABLES.iter().map(|variable| variable.name.len()).max().unwrap_or(0);
    let mut text = String::from("Environment:\n");
    for variable in VARIABLES {
        text.push_str(&format!("  {:width$}  {}\n", variable.name, variable.meaning));
    }
    text.push_str(
        "\nExit codes: 0 done; 1 failed or wrong arguments (the text says why); `run` and `exec` give the\n\
         program's own code (126: it cannot be executed, 127: it is not there), `wait` and\n\
         `up --exit-code-from` the container's; `doctor` 1 where projects cannot run;\n\
         `health` 1 where something is unhealthy, `verify` 1 where a backup changed; 130 interrupted.",
    );
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registries_are_asked_as_this_command_was_told() {
        let given = [("DOCKER_CONFIG", "here"), ("HOME", "/h"), ("HTTPS_PROXY", "http://p"), ("OTHER", "x")];
        let registry = Environment::of(&given).registry();
        let folder = registry.get("DOCKER_CONFIG").expect("it is set");
        assert!(folder.starts_with('/') && folder.ends_with("/here"), "{folder}");
        let rest = ["HOME", "HTTPS_PROXY", "OTHER", "NO_PROXY"].map(|name| registry.get(name));
        assert_eq!(rest, [Some("/h"), Some("http://p"), None, None]);
        // What helpers are run with is all of it.
        let helpers = registry.helpers().expect("they have an environment").all();
        assert_eq!(helpers.get("OTHER").map(String::as_str), Some("x"));
    }
}
