//! The generated secrets of a project, for loading its files: what `mesh-compose` asks, from where the store has it.

use mesh_compose::generate::{Keeper, Wish};
use mesh_redact::Secret;
use mesh_store::secrets::{Recipe, Secrets};
use std::{collections::BTreeMap, error::Error as _, path::PathBuf, sync::Arc};

/// Gives the values that are there, and makes the others where a command starts what needs them.
#[derive(Debug)]
pub(crate) struct Kept {
    data: PathBuf,
    makes: bool,
}

impl Kept {
    /// For commands that start services.
    pub(crate) fn making(data: PathBuf) -> Arc<dyn Keeper> {
        Arc::new(Self { data, makes: true })
    }

    /// For commands that look at what was started.
    pub(crate) fn looking(data: PathBuf) -> Arc<dyn Keeper> {
        Arc::new(Self { data, makes: false })
    }
}

impl Keeper for Kept {
    fn values(
        &self,
        project: &str,
        wishes: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String> {
        let secrets = Secrets::of(&self.data, project);
        let kept = if self.makes {
            secrets.ensure(&wishes.iter().map(|(name, wish)| (name.clone(), recipe(wish))).collect())
        } else {
            secrets.read()
        };
        let kept = kept.map_err(|error| match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        })?;
        Ok(kept.into_iter().map(|(name, kept)| (name, kept.value)).collect())
    }
}

/// How the store makes what a file wishes for.
pub(crate) fn recipe(wish: &Wish) -> Recipe {
    Recipe { length: wish.length, characters: wish.characters.clone() }
}
