//! Tokens: who asks.
//!
//! A token is known by its *name* alone: a keyed hash of it. The token itself is stored nowhere and leaves once, in
//! the answer that made it. Entries form a tree: a token goes when its parent goes, unless it was made an orphan.
//! Batch tokens are stored nowhere at all: they carry their entry, encrypted.
//!
//! ```text
//! sys/token/id/<name>                entry
//! sys/token/accessor/<hash>          accessor -> name
//! sys/token/parent/<name>/<child>    the tree
//! sys/token/roles/<role>             roles
//! ```

mod batch;
mod cache;
mod create;
mod entry;
mod issue;
mod lookup;
mod network;
mod paths;
mod renew;
mod revoke;
mod roles;
mod store;
mod tidy;

pub(crate) use entry::{Kind, LAST_USE_RUNNING, TokenEntry};
pub(crate) use issue::{Draft, Issued};
pub(crate) use lookup::describe;
pub(crate) use paths::{exists, handle, special};
pub(crate) use renew::renew;
pub(crate) use revoke::{revoke_tree, turn};
pub(crate) use store::Tokens;
