//! TLS configurations: whom a client trusts and what it shows, and what a server shows.
//!
//! - [`Client`]: the machine's authorities, authorities of one's own beside them, a certificate to show; or, told
//!   so, no look at the server's certificate at all.
//! - [`server`]: a configuration of whatever finds certificates; [`ServerFiles`] finds one in two PEM files, and
//!   anew when they change.
//! - [`certificates`], [`Identity`]: PEM files read within bounds.
//! - [`Facts`]: what a certificate says of itself.
//!
//! Invariants: the crypto provider is named in [`provider`] alone, so that another one in the process changes
//! nothing; what a PEM file holds is in no error; a key is never shown. Deliberately absent: connections, ALPN by
//! default, issuing.

mod client;
mod facts;
mod pem;
mod server;
mod verify;

#[cfg(test)]
mod tests;

pub use client::{Client, Trust, verifier};
pub use facts::{Facts, FactsError};
pub use pem::{Identity, Pem, PemError, Place, certificates};
pub use server::{ServerFiles, server, server_speaking};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
};

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The machine has no certificates of authorities.
    #[error("this machine has no certificates to check servers with: install ca-certificates")]
    NoRoots,
    /// A PEM file cannot be used.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// Certificates that cannot be trusted or shown.
    #[error("could not use {what}")]
    Unusable {
        /// Which certificate or key.
        what: String,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// Authorities for clients that cannot be used.
    #[error("could not use the certificates in {}", path.display())]
    ClientRoots {
        /// Their file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::server::VerifierBuilderError,
    },
}

/// The crypto of all of Mesh's TLS.
#[must_use]
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())).clone()
}
