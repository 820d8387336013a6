//! OCI and Docker registries, manifests and archives: what a reference leads to, and how to have it.
//!
//! - [`reference`]: `redis:7`, `ghcr.io/a/b@sha256:…`; [`digest`]: digests and the check of streams.
//! - [`manifest`]: manifests, indexes, configs and platforms, read within bounds.
//! - [`client`]: a registry's client: credentials, mirrors, parallel downloads with resume.
//! - [`compression`]: told by the first bytes, and undone within bounds.
//! - [`blobs`]: a directory of verified blobs by digest; [`archive`]: `docker save` and OCI archives into
//!   such a directory and out of it.
//!
//! Invariants: nothing that a registry or an archive says is believed: every blob is checked for size and
//! digest before it gets its name; every body, list, wait and retry has a named bound; credentials go to the
//! registry they are for and to its token server, over TLS unless the registry itself is asked without, and
//! are in no error and no log.
//!
//! What deliberately is not here: Mesh's store, unpacking (layers are handed on as they came), pushing.
//!
//! The client stands on `hyper` and `rustls` alone. `oci-client` was weighed: it brings 70 crates where this
//! brings 32, reads manifests and configs without a bound, and leaves resume after an expired token,
//! credential helpers, mirrors and identity tokens to its caller, which is most of what is here.

pub mod archive;
mod auth;
pub mod blobs;
pub mod client;
pub mod compression;
pub mod config;
pub mod credentials;
pub mod digest;
pub mod error;
pub mod http;
pub mod manifest;
pub mod media;
pub mod platform;
pub mod reference;
pub mod settings;
