//! Secrets that nobody wrote down: made once a project, kept in one file of mode 0600 beside its volumes.
//!
//! They live as long as the data that was made with them: `down -v` leaves them. A file that cannot be understood
//! is an error and never replaced, since a new password would not open an old database.

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

/// Version of the file.
const VERSION: u32 = 1;
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
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Kept {
    /// The value.
    #[serde(with = "mesh_redact::exposed")]
    pub value: Secret<String>,
    /// How it was made; none: somebody set it.
    #[serde(default)]
    pub recipe: Option<Recipe>,
    /// When, in seconds since 1970.
    pub made_unix_seconds: u64,
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
    /// Nothing says how it is made.
    #[error("{name} was set by hand: nothing says how it is made")]
    NoRecipe {
        /// The secret.
        name: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    secrets: BTreeMap<String, Kept>,
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
        let corrupt = |reason| SecretsError::Corrupt { path: self.path.clone(), reason };
        // The text of a JSON error may repeat a value; its place does not.
        let place =
            |error: serde_json::Error| corrupt(format!("line {}, column {}", error.line(), error.column()));
        let content: Content = serde_json::from_slice(&bytes).map_err(place)?;
        if content.version != VERSION {
            return Err(corrupt(format!("its version is {}, this is for {VERSION}", content.version)));
        }
        Ok(content.secrets)
    }

    /// Makes those that are not there yet, and gives all.
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
    /// See [`SecretsError`].
    pub fn set(&self, name: &str, value: Secret<String>) -> Result<(), SecretsError> {
        if value.expose().len() > VALUE_BYTES_MAX {
            return Err(SecretsError::TooLarge { name: name.to_owned() });
        }
        let kept = Kept { value, recipe: None, made_unix_seconds: now() };
        self.change(|secrets| {
            secrets.insert(name.to_owned(), kept);
            Ok(())
        })
    }

    /// Makes a value anew, as it was made or as `recipe` says.
    ///
    /// # Errors
    /// See [`SecretsError`].
    pub fn rotate(&self, name: &str, recipe: Option<&Recipe>) -> Result<(), SecretsError> {
        self.change(|secrets| {
            let there =
                secrets.get_mut(name).ok_or_else(|| SecretsError::Unknown { name: name.to_owned() })?;
            let recipe = recipe.or(there.recipe.as_ref());
            *there = make(recipe.ok_or_else(|| SecretsError::NoRecipe { name: name.to_owned() })?)?;
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
        let content = Content { version: VERSION, secrets };
        let bytes = serde_json::to_vec(&content).map_err(|error| disk("write", &self.path)(error.into()))?;
        replace(&self.path, &bytes).map_err(disk("write", &self.path))?;
        Ok(outcome)
    }
}

/// A new value, as a recipe says; it is kept nowhere.
///
/// # Errors
/// Where the kernel hands out no random bytes.
pub fn generate(recipe: &Recipe) -> Result<Secret<String>, SecretsError> {
    make(recipe).map(|kept| kept.value)
}

/// A new value. Each character is as likely as the others: bytes past the last whole multiple are thrown away.
fn make(recipe: &Recipe) -> Result<Kept, SecretsError> {
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
    Ok(Kept { value: Secret::new(value), recipe: Some(recipe.clone()), made_unix_seconds: now() })
}

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _, thread};

    fn recipe(length: usize, characters: &str) -> Recipe {
        Recipe { length, characters: characters.to_owned() }
    }

    fn wanted(names: &[&str]) -> BTreeMap<String, Recipe> {
        names.iter().map(|name| ((*name).to_owned(), recipe(25, "abcdefgh"))).collect()
    }

    #[test]
    fn a_secret_is_made_once_and_is_private() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(home.path(), "shop");
        let first = secrets.ensure(&wanted(&["a"])).unwrap();
        let both = secrets.ensure(&wanted(&["a", "b"])).unwrap();
        assert_eq!(first["a"].value, both["a"].value);
        assert_ne!(both["a"].value, both["b"].value);
        assert_eq!(both["b"].value.expose().len(), 25);
        assert!(both["b"].value.expose().chars().all(|c| "abcdefgh".contains(c)));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(secrets.path()), mode(secrets.path().parent().unwrap())), (0o600, 0o700));
        assert!(!format!("{both:?}").contains(both["a"].value.expose()));
    }

    #[test]
    fn every_character_is_as_likely() {
        let kept = make(&recipe(60_000, "abc")).unwrap();
        for character in "abc".chars() {
            let count = kept.value.expose().matches(character).count();
            assert!((19_000..21_000).contains(&count), "{character}: {count}");
        }
    }

    #[test]
    fn what_was_set_is_not_made_anew() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(home.path(), "shop");
        secrets.set("a", Secret::new("mine".to_owned())).unwrap();
        assert_eq!(secrets.ensure(&wanted(&["a"])).unwrap()["a"].value.expose(), "mine");
        assert!(matches!(secrets.rotate("a", None), Err(SecretsError::NoRecipe { .. })));
        secrets.rotate("a", Some(&recipe(8, "01"))).unwrap();
        assert_eq!(secrets.read().unwrap()["a"].value.expose().len(), 8);
        secrets.remove("a").unwrap();
        assert!(matches!(secrets.remove("a"), Err(SecretsError::Unknown { .. })));
    }

    #[test]
    fn a_file_that_is_broken_stays() {
        let home = tempfile::tempdir().unwrap();
        let secrets = Secrets::of(home.path(), "shop");
        fs::create_dir_all(secrets.path().parent().unwrap()).unwrap();
        fs::write(secrets.path(), "{\"version\": 1, \"secrets\": {\"a\": \"hunter2").unwrap();
        let error = secrets.ensure(&wanted(&["a"])).unwrap_err().to_string();
        assert!(error.contains("line 1") && !error.contains("hunter2"), "{error}");
        assert!(fs::read_to_string(secrets.path()).unwrap().contains("hunter2"));
    }

    #[test]
    fn of_many_at_once_all_see_the_same() {
        let home = tempfile::tempdir().unwrap();
        let value = || {
            let made = Secrets::of(home.path(), "shop").ensure(&wanted(&["a", "b"])).unwrap();
            made["a"].value.expose().clone()
        };
        let values: Vec<String> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(value)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(values.iter().all(|value| *value == values[0]));
    }
}
