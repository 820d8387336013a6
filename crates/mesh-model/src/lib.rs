//! The application as plain values: what a Compose file means once every file, variable, profile and
//! default has been resolved.
//!
//! Invariants: nothing here reads the environment, the clock or a file; every value is resolved (an
//! `Option` means "the image decides" or "not limited", never "not yet filled in"); names used as
//! references (networks of a service, conditions of `depends_on`) exist in the same [`Project`].
//!
//! The types carry serde because they are themselves what crosses the control socket and what the
//! state file keeps, under a version of its own there; a second copy of sixty structs would add
//! nothing but a place to forget a field. What deliberately is not here: file positions (they belong
//! to `mesh-compose`) and anything of a ground (they belong to `mesh-runtime`).

pub mod backup;
pub mod certificate;
pub mod container;
pub mod develop;
pub mod health;
pub mod hook;
pub mod image;
pub mod limits;
pub mod mount;
pub mod network;
pub mod probe;
pub mod project;
pub mod provider;
pub mod registry;
pub mod service;
pub mod signal;
