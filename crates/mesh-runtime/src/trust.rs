//! Whom containers are to trust beside those that their images trust.

/// An authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trusted {
    /// Its certificate, as PEM.
    pub pem: String,
    /// The hash of its subject, by which OpenSSL finds it in a directory.
    pub subject_hash: String,
}
