//! Images of registries and archives.
//!
//! A layer is a directory of the store named by the digest of its content, in the form an overlay takes,
//! and shared by every image that has it. What came as it was packed (manifests, configs, layers) stays
//! beside it as blobs, for `save` and so that an image pulled again downloads only what changed.

pub(crate) mod archive;
pub(crate) mod error;
mod execution;
pub(crate) mod find;
mod install;
pub(crate) mod made;
mod mend;
mod pax;
mod pull;
pub(crate) mod removal;
mod root;
mod sparse;
mod stream;
mod tag;
mod tape;
mod unpack;
