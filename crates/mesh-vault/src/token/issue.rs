//! A token's beginning: its entry, and what leads to it.

use super::{
    Kind, TokenEntry, Tokens,
    store::{Accessor, entry_key, parent_key},
};
use crate::{
    core::{random, work::Work},
    lease,
    storage::StorageError,
};
use mesh_redact::Secret;

/// What a service token begins with.
const PREFIX: &str = "hvs.";
/// Letters of a token and of an accessor: 142 bits.
const LETTERS: usize = 24;

/// A token that is to be made.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    /// All but name and accessor.
    pub(crate) entry: TokenEntry,
    /// The token itself, where its maker chose it.
    pub(crate) chosen: Option<Secret<String>>,
}

/// A token that was made, once the work is committed.
#[derive(Debug, Clone)]
pub(crate) struct Issued {
    /// What its owner is given.
    pub(crate) token: Secret<String>,
    /// What is kept.
    pub(crate) entry: TokenEntry,
}

impl Tokens {
    /// Makes a token.
    ///
    /// # Errors
    /// When the machine gives no randomness.
    pub(crate) fn issue(&self, draft: Draft, work: &mut Work) -> Result<Issued, StorageError> {
        let mut entry = draft.entry;
        if entry.kind == Kind::Batch {
            entry.renewable = false;
            let token = self.cipher.encode(&entry)?;
            return Ok(Issued { token: Secret::new(token), entry });
        }
        let token = match draft.chosen {
            Some(chosen) => chosen,
            None => Secret::new(format!("{PREFIX}{}", random::base62(LETTERS)?)),
        };
        entry.name = self.name(token.expose());
        entry.accessor = random::base62(LETTERS)?;
        self.store(&entry, work);
        let accessor = Accessor { accessor: entry.accessor.clone(), name: entry.name.clone() };
        work.put(self.accessor_key(&entry.accessor), &accessor);
        if let Some(parent) = &entry.parent {
            work.put(parent_key(parent, &entry.name), &"");
        }
        lease::token_issued(work, &entry);
        Ok(Issued { token, entry })
    }

    /// Stores a changed entry.
    pub(crate) fn store(&self, entry: &TokenEntry, work: &mut Work) {
        work.put(entry_key(&entry.name), entry);
        let name = entry.name.clone();
        work.then(move |active| active.tokens.cache.forget(&name));
    }
}
