//! What a vault holds before the first service starts.
//!
//! A [`Wanted`] says which services there are, with their credentials, names and addresses. From it follow the
//! [`Step`]s: a store of credentials, an authority in two tiers with a role a service, a policy and a login a
//! service, and files of what a service needs to log in. Each step looks first and makes what is missing; nothing
//! that is there is overwritten, so the whole may run at every start.
//!
//! Besides, it is where a project's generated secrets are moved to: [`generated`].
//!
//! Deliberately absent: HTTP. A [`Vault`] is whatever answers requests of Vault's API.

mod directory;
pub mod generated;
mod keys;
mod pending;
mod step;
mod steps;
mod vault;
mod wanted;

pub use directory::{Directory, FileError, Lock};
pub use keys::{Keys, Unsealed, foresee, unseal};
pub use step::{BootstrapError, Found, Outcome, Step};
pub use steps::{Bench, steps};
pub use vault::{Answer, Method, Vault, VaultError};
pub use wanted::{Authority, Credentials, Logins, Service, Wanted, WantedError};
