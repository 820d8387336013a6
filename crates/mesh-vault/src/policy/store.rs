//! Policies as they are kept, and what was compiled of them.
//!
//! Reading goes through a bounded cache. Whoever changes a policy calls [`PolicyStore::forget`] once the change is
//! committed; a compilation that had begun before that is not kept.

use super::{Acl, DEFAULT, DEFAULT_TEXT, Policy, PolicyError, ROOT, WRAPPING, WRAPPING_TEXT, parse};
use crate::storage::{Read, StorageError};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

/// Where policies are.
const FOLDER: &str = "sys/policy/";
/// How many policies, and how many sets of them, are kept compiled.
const CACHED_MAX: usize = 1024;

/// Why a policy could not be had.
#[derive(Debug, thiserror::Error)]
pub enum StorePolicyError {
    /// The store.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// What is stored is no policy any more.
    #[error("stored policy {name:?} cannot be read")]
    Unreadable {
        /// The policy.
        name: String,
        /// Why.
        #[source]
        source: PolicyError,
    },
}

#[derive(Serialize, Deserialize)]
struct Stored {
    text: String,
}

#[derive(Debug, Default)]
struct Compiled {
    generation: u64,
    policies: HashMap<String, Option<Arc<Policy>>>,
    acls: HashMap<String, Arc<Acl>>,
}

/// Policies over a store.
#[derive(Debug, Default)]
pub struct PolicyStore {
    compiled: RwLock<Compiled>,
}

impl PolicyStore {
    /// A policy, or none. `root` has no rules.
    ///
    /// # Errors
    /// See [`StorePolicyError`].
    pub fn get(&self, store: &dyn Read, name: &str) -> Result<Option<Arc<Policy>>, StorePolicyError> {
        let name = name.to_lowercase();
        let generation = {
            let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = compiled.policies.get(&name) {
                return Ok(found.clone());
            }
            compiled.generation
        };
        let policy = load(store, &name)?.map(Arc::new);
        self.keep(generation, |compiled| {
            bounded(&mut compiled.policies);
            compiled.policies.insert(name, policy.clone());
        });
        Ok(policy)
    }

    /// What these policies say together. Those that do not exist say nothing.
    ///
    /// # Errors
    /// See [`StorePolicyError`].
    pub fn acl(&self, store: &dyn Read, names: &[String]) -> Result<Arc<Acl>, StorePolicyError> {
        let key = names.join(",");
        let generation = {
            let compiled = self.compiled.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(found) = compiled.acls.get(&key) {
                return Ok(Arc::clone(found));
            }
            compiled.generation
        };
        let mut policies = Vec::new();
        for name in names {
            policies.extend(self.get(store, name)?);
        }
        let acl = Arc::new(Acl::new(policies.iter().map(Arc::as_ref)));
        self.keep(generation, |compiled| {
            bounded(&mut compiled.acls);
            compiled.acls.insert(key, Arc::clone(&acl));
        });
        Ok(acl)
    }

    /// All names, `default` and `root` among them.
    ///
    /// # Errors
    /// Those of the store.
    pub fn list(store: &dyn Read) -> Result<Vec<String>, StorageError> {
        let mut names = store.list(FOLDER)?;
        if !names.iter().any(|name| name == DEFAULT) {
            names.push(DEFAULT.to_owned());
            names.sort();
        }
        names.push(ROOT.to_owned());
        Ok(names)
    }

    /// The entry that keeps a policy's text: key and value.
    ///
    /// # Errors
    /// When the text is no policy.
    pub fn entry(name: &str, text: &str) -> Result<(String, Vec<u8>), PolicyError> {
        parse(name, text)?;
        let value = serde_json::json!({ "text": text }).to_string().into_bytes();
        Ok((Self::key(name), value))
    }

    /// Where a policy is kept.
    #[must_use]
    pub fn key(name: &str) -> String {
        format!("{FOLDER}{}", name.to_lowercase())
    }

    /// To be called after each change.
    pub fn forget(&self) {
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        let generation = compiled.generation + 1;
        *compiled = Compiled { generation, ..Compiled::default() };
    }

    fn keep(&self, generation: u64, insert: impl FnOnce(&mut Compiled)) {
        let mut compiled = self.compiled.write().unwrap_or_else(PoisonError::into_inner);
        if compiled.generation == generation {
            insert(&mut compiled);
        }
    }
}

fn bounded<T>(map: &mut HashMap<String, T>) {
    if map.len() >= CACHED_MAX {
        map.clear();
    }
}

fn load(store: &dyn Read, name: &str) -> Result<Option<Policy>, StorePolicyError> {
    let builtin = match name {
        ROOT => return Ok(Some(Policy { name: ROOT.to_owned(), text: String::new(), rules: Vec::new() })),
        WRAPPING => Some(WRAPPING_TEXT),
        _ => None,
    };
    let stored = match builtin {
        Some(_) => None,
        None => store.get(&PolicyStore::key(name))?,
    };
    let text = match (builtin, stored) {
        (Some(text), _) => text.to_owned(),
        (None, Some(bytes)) => {
            let corrupt = |_| StorageError::Corrupt { key: PolicyStore::key(name) };
            serde_json::from_slice::<Stored>(&bytes).map_err(corrupt)?.text
        }
        (None, None) if name == DEFAULT => DEFAULT_TEXT.to_owned(),
        (None, None) => return Ok(None),
    };
    let unreadable = |source| StorePolicyError::Unreadable { name: name.to_owned(), source };
    parse(name, &text).map(Some).map_err(unreadable)
}
