//! Who may do what: policies in Vault's language, and the verdict on one request.
//!
//! A [`Policy`] is the text of a user, parsed into rules for paths. An [`Acl`] is what the policies of one token say
//! together; it alone decides. Two rules for the same path are united, and `deny` among them leaves nothing else;
//! of rules for different patterns the most exact one counts, alone.
//!
//! Paths with `{{identity...}}` never match: there are no identities, so nothing can be put in their place.

mod acl;
mod builtin;
mod capability;
mod names;
mod parameters;
mod parse;
mod pattern;
mod store;
#[cfg(test)]
mod tests;

pub use acl::{Acl, Asked, Verdict};
pub use builtin::{DEFAULT, DEFAULT_TEXT, ROOT, WRAPPING, WRAPPING_TEXT};
pub use capability::Capabilities;
pub use names::{glob_matches, globs_contain, sanitize};
pub use parse::{Policy, PolicyError, Rule, parse};
pub use pattern::Pattern;
pub use store::{PolicyStore, StorePolicyError};
