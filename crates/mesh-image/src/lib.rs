//! Image references to root file systems.
//!
//! A reference (`postgres:16`) is served by the image itself, from a registry or an archive, or by packages
//! that stand in for it ([`catalog`]); `source` decides. An image's layers are unpacked each into a directory
//! named by the digest of its content; a recipe's packages are fetched through apt with package lists of our
//! own and unpacked without dpkg's database. Either way directories are handed out that an overlay can use,
//! lowest first.
//!
//! Invariants: a layer directory that is in place is complete (it is built beside its place and
//! renamed into it after its marker is written); nothing of the machine's package state is read but
//! its configured sources, and nothing of it is written; no maintainer script is run; a stored image
//! is resolved without asking apt or the network anything; nothing that a layer's archive says makes a
//! file outside of the layer's directory.
//!
//! What deliberately is not here: registries' protocol and the form of archives (`mesh-oci`), and mounting
//! (a ground does that).

mod apt;
mod catalog;
mod error;
mod host;
mod index;
mod layer;
mod lease;
mod lock;
mod oci;
mod pattern;
mod progress;
mod recipe;
mod resolve;
mod source;
mod store;

pub use catalog::{Catalog, catalog};
pub use error::{ImageError, UnpackError};
pub use lease::Lease;
pub use oci::{
    archive::Loaded,
    error::LayerError,
    removal::{Prune, Use},
};
pub use progress::{Progress, Request, Settings};
pub use recipe::{Recipe, RecipeError};
pub use store::{ImageStore, Removed, StoredImage};
