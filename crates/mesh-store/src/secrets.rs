//! Secrets that nobody wrote down: made once a project, in one file of mode 0600 beside its volumes.
//!
//! The file has a value, or the path at which the project's vault has it. They live as long as the data that was made
//! with them: `down -v` leaves them. A file that cannot be understood is an error and never replaced, and what is said
//! to be in a vault is never made here, since a new password would not open an old database.

mod codec;
#[cfg(test)]
mod tests;

use crate::replace::replace;
use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Bytes of the file.
const FILE_BYTES_MAX: u64 = 4 << 20;
/// Secrets of a project.
pub const SECRETS_MAX: usize = 1_000;
/// Bytes of one value.
pub const VALUE_BYTES_MAX: usize = 64 << 10;
/// Where the kernel hands out random bytes.
const RANDOM: &str = "/dev/urandom";

/// How a value is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// Characters of the value.
    pub length: usize,
    /// The characters it is made of: ASCII, each once, at least two.
    pub characters: String,
}

/// A secret that is kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Where its value is.
    pub at: At,
    /// How it was made; none: somebody set it.
    pub recipe: Option<Recipe>,
    /// When, in seconds since 1970.
    pub made_unix_seconds: u64,
}

/// Where a value is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum At {
    /// In the file, as it is.
    File(Secret<String>),
    /// In the project's vault, at this path; nothing of it is here.
    Vault(String),
}

impl Kept {
    /// The value, where the file has it.
    #[must_use]
    pub fn value(&self) -> Option<&Secret<String>> {
        match &self.at {
            At::File(value) => Some(value),
            At::Vault(_) => None,
        }
    }
}

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SecretsError {
    /// The disk refused.
    #[error("could not {operation} {}", path.display())]
    Disk {
        /// `read`, `write`, `lock`, `create`.
        operation: &'static str,
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is there and is not what was written.
    #[error("{} is not a file of secrets: {reason}; it is left as it is", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong, without a word of its content.
        reason: String,
    },
    /// Too many.
    #[error("a project has at most {SECRETS_MAX} secrets")]
    TooMany,
    /// Too large.
    #[error("the value of {name} has more than {VALUE_BYTES_MAX} bytes")]
    TooLarge {
        /// The secret.
        name: String,
    },
    /// Not there.
    #[error("there is no secret {name}")]
    Unknown {
        /// The secret.
        name: String,
    },
    /// Its value is not in the file.
    #[error("the value of {name} is in the project's vault, at {path}")]
    InVault {
        /// The secret.
        name: String,
        /// Where the vault has it.
        path: String,
    },
    /// Nothing says how it is made.
    #[error("{name} was set by hand: nothing says how it is made")]
    NoRecipe {
        /// The secret.
        name: String,
    },
}

/// The secrets of one project.
#[derive(Debug, Clone)]
pub struct Secrets {
    path: PathBuf,
}

impl Secrets {
    /// Those of a project, in `<data>/secrets/<project>.json`. Touches no file.
    #[must_use]
    pub fn of(data: &Path, project: &str) -> Self {
        Self { path: data.join("secrets").join(format!("{project}.json")) }
    }

    /// Where they are kept.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All of them.
    ///
    /// # Errors
    /// Where the file is there and cannot be read or understood.
    pub fn read(&self) -> Result<BTreeMap<String, Kept>, SecretsError> {
        let disk = |source| SecretsError::Disk { operation: "read", path: self.path.clone(), source };
        let file = match File::open(&self.path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(disk(error)),
        };
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(disk)?;
        codec::read(&bytes).map_err(|reason| SecretsError::Corrupt { path: self.path.clone(), reason })
    }

    /// Makes those that are not there yet, and gives all. What a vault has is there.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn ensure(&self, wanted: &BTreeMap<String, Recipe>) -> Result<BTreeMap<String, Kept>, SecretsError> {
        let there = self.read()?;
        if wanted.keys().all(|name| there.contains_key(name)) {
            return Ok(there);
        }
        self.change(|secrets| {
            for (name, recipe) in wanted {
                if !secrets.contains_key(name) {
                    secrets.insert(name.clone(), make(recipe)?);
                }
            }
            Ok(secrets.clone())
        })
    }

    /// Keeps a value that somebody has.
    ///
    /// # Errors
    /// See [`SecretsError`]; also where the vault has the value.
    pub fn set(&self, name: &str, value: Secret<String>) -> Result<(), SecretsError> {
        check_size(name, &value)?;
        let kept = Kept { at: At::File(value), recipe: None, made_unix_seconds: now() };
        self.change(|secrets| {
            in_file(name, secrets.get(name))?;
            secrets.insert(name.to_owned(), kept);
            Ok(())
        })
    }

    /// Makes a value anew, as it was made or as `recipe` says.
    ///
    /// # Errors
    /// See [`SecretsError`]; also where the vault has the value.
    pub fn rotate(&self, name: &str, recipe: Option<&Recipe>) -> Result<(), SecretsError> {
        self.change(|secrets| {
            let there = known(name, secrets.get_mut(name))?;
            in_file(name, Some(there))?;
            let recipe = recipe.or(there.recipe.as_ref());
            *there = make(recipe.ok_or_else(|| SecretsError::NoRecipe { name: name.to_owned() })?)?;
            Ok(())
        })
    }

    /// The vault has this value at this path, synced: nothing but that is kept here from now on. `false`: the file has
    /// another value by now, which stays.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn moved(&self, name: &str, value: &Secret<String>, path: &str) -> Result<bool, SecretsError> {
        self.change(|secrets| {
            let there = known(name, secrets.get_mut(name))?;
            if there.value() == Some(value) {
                there.at = At::Vault(path.to_owned());
            }
            Ok(there.at == At::Vault(path.to_owned()))
        })
    }

    /// The vault was found to have a value of which nothing is known here. One that is known stays as it is.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn found(&self, name: &str, path: &str, recipe: Option<&Recipe>) -> Result<(), SecretsError> {
        let kept = Kept { at: At::Vault(path.to_owned()), recipe: recipe.cloned(), made_unix_seconds: now() };
        self.change(|secrets| {
            secrets.entry(name.to_owned()).or_insert(kept);
            Ok(())
        })
    }

    /// Keeps a value where there is none, and gives what there is then.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn adopt(
        &self,
        name: &str,
        value: Secret<String>,
        recipe: Option<Recipe>,
    ) -> Result<Kept, SecretsError> {
        check_size(name, &value)?;
        let kept = Kept { at: At::File(value), recipe, made_unix_seconds: now() };
        self.change(|secrets| Ok(secrets.entry(name.to_owned()).or_insert(kept).clone()))
    }

    /// The value that the vault had is kept here again. One that the file has stays.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn brought_back(&self, name: &str, value: Secret<String>) -> Result<(), SecretsError> {
        self.change(|secrets| {
            let there = known(name, secrets.get_mut(name))?;
            if there.value().is_none() {
                there.at = At::File(value);
            }
            Ok(())
        })
    }

    /// A backup's value is the one from now on, wherever another one is: it is kept here.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn restored(
        &self,
        name: &str,
        value: Secret<String>,
        recipe: Option<Recipe>,
    ) -> Result<(), SecretsError> {
        check_size(name, &value)?;
        let kept = Kept { at: At::File(value), recipe, made_unix_seconds: now() };
        self.change(|secrets| {
            secrets.insert(name.to_owned(), kept);
            Ok(())
        })
    }

    /// The vault has another value of it: made by `recipe`, or set where there is none.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn renewed(&self, name: &str, recipe: Option<&Recipe>) -> Result<(), SecretsError> {
        self.change(|secrets| {
            let there = known(name, secrets.get_mut(name))?;
            (there.recipe, there.made_unix_seconds) = (recipe.cloned(), now());
            Ok(())
        })
    }

    /// Forgets a value.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn remove(&self, name: &str) -> Result<(), SecretsError> {
        self.change(|secrets| {
            let removed = secrets.remove(name);
            removed.map(drop).ok_or_else(|| SecretsError::Unknown { name: name.to_owned() })
        })
    }

    /// Changes the file alone: others wait. Nothing is written where `change` refuses.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Kept>) -> Result<T, SecretsError>,
    ) -> Result<T, SecretsError> {
        let disk = |operation: &'static str, path: &Path| {
            let path = path.to_owned();
            move |source| SecretsError::Disk { operation, path, source }
        };
        let directory = self.path.parent().unwrap_or(&self.path);
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(disk("create", directory))?;
        let lock_path = self.path.with_extension("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(disk("lock", &lock_path))?;
        lock.lock().map_err(disk("lock", &lock_path))?;
        let mut secrets = self.read()?;
        let outcome = change(&mut secrets)?;
        if secrets.len() > SECRETS_MAX {
            return Err(SecretsError::TooMany);
        }
        let bytes = codec::write(&secrets).map_err(|error| disk("write", &self.path)(error.into()))?;
        replace(&self.path, &bytes).map_err(disk("write", &self.path))?;
        Ok(outcome)
    }
}

fn check_size(name: &str, value: &Secret<String>) -> Result<(), SecretsError> {
    if value.expose().len() > VALUE_BYTES_MAX {
        return Err(SecretsError::TooLarge { name: name.to_owned() });
    }
    Ok(())
}

fn known<T>(name: &str, found: Option<T>) -> Result<T, SecretsError> {
    found.ok_or_else(|| SecretsError::Unknown { name: name.to_owned() })
}

/// Refuses one whose value is elsewhere: written here, there would be two.
fn in_file(name: &str, found: Option<&Kept>) -> Result<(), SecretsError> {
    match found.map(|kept| &kept.at) {
        Some(At::Vault(path)) => Err(SecretsError::InVault { name: name.to_owned(), path: path.clone() }),
        _ => Ok(()),
    }
}

/// A new value, as a recipe says; it is kept nowhere.
///
/// # Errors
/// Where the kernel hands out no random bytes.
pub fn generate(recipe: &Recipe) -> Result<Secret<String>, SecretsError> {
    random(recipe).map(Secret::new)
}

fn make(recipe: &Recipe) -> Result<Kept, SecretsError> {
    let at = At::File(generate(recipe)?);
    Ok(Kept { at, recipe: Some(recipe.clone()), made_unix_seconds: now() })
}

/// Each character is as likely as the others: bytes past the last whole multiple are thrown away.
fn random(recipe: &Recipe) -> Result<String, SecretsError> {
    let disk = |source| SecretsError::Disk { operation: "read", path: RANDOM.into(), source };
    let characters = recipe.characters.as_bytes();
    debug_assert!((2..=128).contains(&characters.len()) && recipe.characters.is_ascii());
    let fair = 256 - 256 % characters.len().max(1);
    let mut random = File::open(RANDOM).map_err(disk)?;
    let mut value = String::with_capacity(recipe.length);
    let mut bytes = [0; 64];
    while value.len() < recipe.length {
        random.read_exact(&mut bytes).map_err(disk)?;
        let fair_ones = bytes.iter().map(|byte| usize::from(*byte)).filter(|byte| *byte < fair);
        let left = recipe.length - value.len();
        value.extend(fair_ones.take(left).map(|byte| char::from(characters[byte % characters.len()])));
    }
    Ok(value)
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}
