//! Generated secrets of a project, in its vault: `secret/mesh/PROJECT/NAME`, each with the one field `value`.
//!
//! The file of secrets is where each is made, and says of those that the vault has that it has them. A value is in the
//! vault, synced, before the file forgets it; until then both have it, so that whoever is killed in between has lost
//! nothing and made nothing twice. What the vault has is never replaced but by a command that says so, and what it is
//! said to have and has not is an error: a new value would not open an old database.

mod shelf;
#[cfg(test)]
mod tests;

pub use self::shelf::{Offered, Shelf};

use crate::vault::VaultError;
use mesh_redact::Secret;
use mesh_store::secrets::{self, At, Recipe, Secrets, SecretsError};
use std::collections::{BTreeMap, BTreeSet};

/// Why a generated secret cannot be had or kept.
#[derive(Debug, thiserror::Error)]
pub enum GeneratedError {
    /// The vault.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The file.
    #[error(transparent)]
    Secrets(#[from] SecretsError),
    /// The vault is said to have it, and has not.
    #[error("the value of {name} was moved into the vault, which has nothing at {path}")]
    Lost {
        /// The secret.
        name: String,
        /// Where it was.
        path: String,
    },
    /// What is at its path was not written by Mesh.
    #[error("what the vault has at {path} has no text `value`")]
    Odd {
        /// Where.
        path: String,
    },
    /// Somebody else wrote it at the same time.
    #[error("the vault's value at {path} was changed at the same time; nothing was written")]
    Busy {
        /// Where.
        path: String,
    },
}

/// What became of moving.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Those that only the vault has now.
    pub moved: Vec<String>,
    /// Those of which the vault has another value than the file: both stay, and the file's counts.
    pub differing: Vec<String>,
}

/// Moves what the file has into the vault, but for those that `stay`, since the vault itself does not start without.
///
/// # Errors
/// See [`GeneratedError`]; what was moved until then is moved.
pub fn move_in(
    shelf: &Shelf<'_>,
    secrets: &Secrets,
    stay: &BTreeSet<String>,
) -> Result<Moved, GeneratedError> {
    let mut done = Moved::default();
    for (name, kept) in secrets.read()? {
        let Some(value) = kept.value().filter(|_| !stay.contains(&name) && Shelf::holds(&name)) else {
            continue;
        };
        match shelf.offer(&name, value)? {
            Offered::Kept => {
                if secrets.moved(&name, value, &shelf.path(&name))? {
                    done.moved.push(name);
                }
            }
            Offered::Other => done.differing.push(name),
        }
    }
    Ok(done)
}

/// The values that the vault has of these; what it is not known to have and has not is missing in the answer. That it
/// has a value of which the file knows nothing is noted there.
///
/// # Errors
/// See [`GeneratedError`]: [`Lost`](GeneratedError::Lost) among them.
pub fn fetch(
    shelf: &Shelf<'_>,
    secrets: &Secrets,
    names: &BTreeMap<String, Option<Recipe>>,
) -> Result<BTreeMap<String, Secret<String>>, GeneratedError> {
    let known = secrets.read()?;
    let mut values = BTreeMap::new();
    for (name, recipe) in names {
        let kept = known.get(name).map(|kept| &kept.at);
        if !Shelf::holds(name) || matches!(kept, Some(At::File(_))) {
            continue;
        }
        match (shelf.read(name)?, kept) {
            (Some(value), None) => {
                secrets.found(name, &shelf.path(name), recipe.as_ref())?;
                values.insert(name.clone(), value);
            }
            (Some(value), Some(_)) => drop(values.insert(name.clone(), value)),
            (None, Some(At::Vault(path))) => {
                return Err(GeneratedError::Lost { name: name.clone(), path: path.clone() });
            }
            (None, _) => {}
        }
    }
    Ok(values)
}

/// Brings back into the file what the vault has, before the vault goes. Gives the names; one that the vault has not got
/// is not among them.
///
/// # Errors
/// See [`GeneratedError`].
pub fn bring_back(shelf: &Shelf<'_>, secrets: &Secrets) -> Result<Vec<String>, GeneratedError> {
    let mut back = Vec::new();
    for (name, _) in secrets.read()?.into_iter().filter(|(_, kept)| kept.value().is_none()) {
        if let Some(value) = shelf.read(&name)? {
            secrets.brought_back(&name, value)?;
            back.push(name);
        }
    }
    Ok(back)
}

/// Has the vault keep another value: one that somebody has, or one that is made by `recipe`.
///
/// # Errors
/// See [`GeneratedError`].
pub fn renew(
    shelf: &Shelf<'_>,
    secrets: &Secrets,
    name: &str,
    value: Renewed<'_>,
) -> Result<(), GeneratedError> {
    match value {
        Renewed::Given(value) => {
            shelf.replace(name, value)?;
            secrets.renewed(name, None)?;
        }
        Renewed::Made(recipe) => {
            shelf.replace(name, &secrets::generate(recipe)?)?;
            secrets.renewed(name, Some(recipe))?;
        }
    }
    Ok(())
}

/// Another value.
#[derive(Debug, Clone, Copy)]
pub enum Renewed<'a> {
    /// That somebody has.
    Given(&'a Secret<String>),
    /// That is made so.
    Made(&'a Recipe),
}

/// Removes a value from the vault, with all its versions, and then what the file knows of it.
///
/// # Errors
/// See [`GeneratedError`].
pub fn remove(shelf: &Shelf<'_>, secrets: &Secrets, name: &str) -> Result<(), GeneratedError> {
    shelf.remove(name)?;
    Ok(secrets.remove(name)?)
}
