//! The recipes of `catalog/`, part of the binary.

use crate::recipe::Recipe;
use mesh_oci::reference::Reference;
use std::{collections::BTreeMap, sync::OnceLock};

/// Every recipe, by the repositories it serves.
#[derive(Debug)]
pub struct Catalog {
    recipes: Vec<Recipe>,
    base: Recipe,
    by_name: BTreeMap<String, usize>,
}

/// Registries whose repositories are taken for Docker's own of the same name.
const REGISTRIES: [&str; 4] = ["quay.io", "ghcr.io", "public.ecr.aws", "mirror.gcr.io"];

macro_rules! recipes {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_str!(concat!("../../../catalog/", $name, ".toml")))),*]
    };
}

/// The recipes that are part of the binary.
///
/// # Panics
/// When one of them is broken, which a test rules out.
pub fn catalog() -> &'static Catalog {
    static CATALOG: OnceLock<Catalog> = OnceLock::new();
    CATALOG.get_or_init(|| {
        let texts = recipes![
            "postgres",
            "pgbouncer",
            "redis",
            "valkey",
            "vault",
            "gateway",
            "whoami",
            "rabbitmq",
            "mariadb",
            "mysql",
            "prometheus",
            "node-exporter",
            "postgres-exporter",
            "redis-exporter",
            "mysqld-exporter",
            "nginx",
            "memcached",
            "mosquitto",
            "nats",
            "busybox",
            "alpine",
            "debian",
        ];
        let read = |name: &str, text: &str| match Recipe::parse(text) {
            Ok(recipe) => recipe,
            Err(error) => panic!("catalog/{name}.toml: {error}: {:?}", std::error::Error::source(&error)),
        };
        let recipes: Vec<Recipe> = texts.iter().map(|(name, text)| read(name, text)).collect();
        let base = read("base", include_str!("../../../catalog/base.toml"));
        let names = recipes
            .iter()
            .enumerate()
            .flat_map(|(at, recipe)| recipe.names.iter().map(move |n| (n.clone(), at)));
        Catalog { by_name: names.collect(), base, recipes }
    })
}

impl Catalog {
    /// The recipe that serves a reference: by its repository, tag and digest aside.
    #[must_use]
    pub fn find(&self, reference: &Reference) -> Option<&Recipe> {
        let known = reference.registry.as_deref().is_none_or(|registry| REGISTRIES.contains(&registry));
        let named =
            reference.registry.as_ref().map(|registry| format!("{registry}/{}", reference.repository));
        let at = named.and_then(|name| self.by_name.get(&name));
        at.or_else(|| known.then(|| self.by_name.get(&reference.repository)).flatten())
            .map(|&at| &self.recipes[at])
    }

    /// Every recipe.
    #[must_use]
    pub fn recipes(&self) -> &[Recipe] {
        &self.recipes
    }

    /// The recipe of the layer below all others.
    pub(crate) fn base(&self) -> &Recipe {
        &self.base
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_is_whole() {
        let catalog = catalog();
        let names: usize = catalog.recipes().iter().map(|recipe| recipe.names.len()).sum();
        assert_eq!(names, catalog.by_name.len(), "a name is served twice");
        for recipe in catalog.recipes() {
            assert!(!recipe.about.trim().is_empty(), "{} says nothing of itself", recipe.name());
            let config = &recipe.config;
            assert!(
                !config.entrypoint.is_empty() || !config.command.is_empty(),
                "{} starts nothing",
                recipe.name()
            );
            for text in config.environment.values() {
                assert!(
                    !text.to_lowercase().contains("password"),
                    "{} has a default password",
                    recipe.name()
                );
            }
        }
    }

    #[test]
    fn repositories_are_found_by_each_of_their_names() {
        for (reference, expected) in [
            ("postgres", Some("postgres")),
            ("docker.io/library/postgres:16", Some("postgres")),
            ("quay.io/prometheus/node-exporter", Some("prom/node-exporter")),
            (
                "quay.io/prometheuscommunity/postgres-exporter:v0.15",
                Some("prometheuscommunity/postgres-exporter"),
            ),
            ("valkey/valkey:8", Some("valkey/valkey")),
            ("localhost:5000/postgres", None),
            ("acme/postgres", None),
        ] {
            let found = catalog().find(&Reference::parse(reference).unwrap()).map(Recipe::name);
            assert_eq!(found, expected, "{reference}");
        }
    }
}
