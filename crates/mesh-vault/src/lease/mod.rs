//! What ends by itself: leases of secrets, and of tokens.
//!
//! A lease is kept under its id, which begins with the path that made it, so that a prefix of paths is a prefix of
//! leases. A token's lease is a pointer to the token. When something is over stands in [`index`]; a lease also
//! stands under the token it goes with.
//!
//! ```text
//! sys/expire/id/<lease id>              lease, or pointer to a token
//! sys/expire/token/<name>/<hash>        lease id
//! sys/expire/when/...                   see index
//! ```

mod expire;
pub(crate) mod index;
mod record;
mod register;
mod renew;
mod revoke;
pub(crate) mod ttl;

pub(crate) use expire::expire_due;
pub(crate) use record::{Record, list, load};
pub(crate) use register::{register, token_issued, token_revoked};
pub(crate) use renew::renew;
pub(crate) use revoke::{Force, revoke, revoke_of_token, revoke_prefix};
