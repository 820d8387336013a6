//! The generated secrets of a project, for loading its files: what `mesh-compose` asks, from where they are.

use mesh_compose::generate::{Keeper, Wish};
use mesh_redact::Secret;
use mesh_store::secrets::{self, Recipe, Secrets, SecretsError};
use std::{
    collections::BTreeMap,
    error::Error as _,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

/// Gives the values that the file of secrets has, and those that it is given besides. Makes none.
#[derive(Debug)]
pub(crate) struct Kept {
    data: PathBuf,
    besides: BTreeMap<String, Secret<String>>,
    /// Nothing may stand for a value that is missing.
    whole: bool,
}

impl Kept {
    /// For commands that look at what was started.
    pub(crate) fn looking(data: PathBuf) -> Arc<dyn Keeper> {
        Self::with(data, BTreeMap::new())
    }

    /// With values from elsewhere.
    pub(crate) fn with(data: PathBuf, besides: BTreeMap<String, Secret<String>>) -> Arc<dyn Keeper> {
        Arc::new(Self { data, besides, whole: false })
    }

    /// With values from elsewhere, for what is started: every value has to be there.
    pub(crate) fn whole(data: PathBuf, besides: BTreeMap<String, Secret<String>>) -> Arc<dyn Keeper> {
        Arc::new(Self { data, besides, whole: true })
    }
}

impl Keeper for Kept {
    fn values(
        &self,
        project: &str,
        wishes: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String> {
        let mut values = in_file(&Secrets::of(&self.data, project)).map_err(chain)?;
        values.extend(self.besides.iter().map(|(name, value)| (name.clone(), value.clone())));
        match wishes.keys().find(|name| self.whole && !values.contains_key(*name)) {
            Some(name) => Err(format!(
                "another command moved the value of {name} at the same time; the same once more has it"
            )),
            None => Ok(values),
        }
    }
}

/// Gives the values that the file of secrets has, and something of the same look for the others: it is seen then who
/// would use them.
#[derive(Debug)]
pub(crate) struct Draft {
    data: PathBuf,
    missing: Mutex<BTreeMap<String, Missing>>,
}

/// A value that the file of secrets does not have.
#[derive(Debug, Clone)]
pub(crate) struct Missing {
    /// How it is to be made.
    pub(crate) recipe: Recipe,
    /// What stands for it.
    pub(crate) decoy: Secret<String>,
}

impl Draft {
    pub(crate) fn new(data: PathBuf) -> Arc<Self> {
        Arc::new(Self { data, missing: Mutex::default() })
    }

    /// What was missing when the files were read.
    pub(crate) fn missing(&self) -> BTreeMap<String, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Keeper for Draft {
    fn values(
        &self,
        project: &str,
        wishes: &BTreeMap<String, Wish>,
    ) -> Result<BTreeMap<String, Secret<String>>, String> {
        let mut values = in_file(&Secrets::of(&self.data, project)).map_err(chain)?;
        let mut missing = BTreeMap::new();
        for (name, wish) in wishes.iter().filter(|(name, _)| !values.contains_key(*name)) {
            let recipe = recipe(wish);
            let decoy = secrets::generate(&recipe).map_err(chain)?;
            missing.insert(name.clone(), Missing { recipe, decoy });
        }
        values.extend(missing.iter().map(|(name, missing)| (name.clone(), missing.decoy.clone())));
        *self.missing.lock().unwrap_or_else(PoisonError::into_inner) = missing;
        Ok(values)
    }
}

/// The values that the file itself has.
pub(crate) fn in_file(secrets: &Secrets) -> Result<BTreeMap<String, Secret<String>>, SecretsError> {
    let kept = secrets.read()?.into_iter();
    Ok(kept.filter_map(|(name, kept)| Some((name, kept.value()?.clone()))).collect())
}

/// In one line.
fn chain(error: SecretsError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// How the store makes what a file wishes for.
pub(crate) fn recipe(wish: &Wish) -> Recipe {
    Recipe { length: wish.length, characters: wish.characters.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_started_with_what_stands_for_a_value() {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().to_owned();
        let wish = Wish { length: 8, characters: "ab".to_owned() };
        let wishes = BTreeMap::from([("a".to_owned(), wish.clone()), ("b".to_owned(), wish)]);
        let value = |name: &str| (name.to_owned(), Secret::new("value".to_owned()));
        let one = BTreeMap::from([value("a")]);
        assert!(Kept::with(data.clone(), one.clone()).values("shop", &wishes).is_ok());
        let error = Kept::whole(data.clone(), one).values("shop", &wishes).unwrap_err();
        assert!(error.contains("value of b"), "{error}");
        let both = BTreeMap::from([value("a"), value("b")]);
        assert_eq!(Kept::whole(data, both).values("shop", &wishes).unwrap().len(), 2);
    }
}
