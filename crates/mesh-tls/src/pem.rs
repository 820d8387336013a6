//! PEM files: certificates, and a certificate with its key.

use rustls::pki_types::{
    CertificateDer, PrivateKeyDer,
    pem::{self, PemObject as _},
};
use std::{
    fmt, fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Largest PEM file that is read, in bytes: the authorities of a whole machine have 250 kB.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a PEM file cannot be used. What is in it is never told.
#[derive(Debug, thiserror::Error)]
pub enum PemError {
    /// It could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is larger than any such file.
    #[error("{} has more than {limit} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        limit: u64,
    },
    /// It has none of what it should have.
    #[error("there is no {what} in {}", path.display())]
    Nothing {
        /// `certificate`, `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// It is broken.
    #[error("the {what} in {} is no PEM that can be read", path.display())]
    Broken {
        /// `certificate`, `private key`.
        what: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key are not of one another, or of a kind that is not known.
    #[error("the key in {} does not go with the certificate in {}", key.display(), certificate.display())]
    Pair {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

/// The certificates of a PEM file, in its order; keys and other things in it are passed over.
///
/// # Errors
/// When the file cannot be read, is too large, is broken, or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let bytes = read(path)?;
    let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|_| PemError::Broken { what: CERTIFICATE, path: path.to_owned() })?;
    if found.is_empty() {
        return Err(PemError::Nothing { what: CERTIFICATE, path: path.to_owned() });
    }
    Ok(found)
}

fn key(path: &Path) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|error| match error {
        pem::Error::NoItemsFound => PemError::Nothing { what: KEY, path: path.to_owned() },
        _ => PemError::Broken { what: KEY, path: path.to_owned() },
    })
}

fn read(path: &Path) -> Result<Vec<u8>, PemError> {
    let failed = |source| PemError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(failed)?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(PemError::TooLarge { path: path.to_owned(), limit: FILE_BYTES_MAX });
    }
    Ok(bytes)
}

/// A certificate with those between it and its authority, and its key.
#[derive(Clone)]
pub struct Identity {
    pub(crate) certified: Arc<rustls::sign::CertifiedKey>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("certificates", &self.certified.cert.len()).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads a certificate and its key; both may be in one file.
    ///
    /// # Errors
    /// When a file cannot be used, or the two do not go together.
    pub fn read(certificate: &Path, key_path: &Path) -> Result<Self, PemError> {
        let (chain, key) = (certificates(certificate)?, key(key_path)?);
        let pair =
            |source| PemError::Pair { certificate: certificate.to_owned(), key: key_path.to_owned(), source };
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &crate::provider()).map_err(pair)?;
        Ok(Self { certified: Arc::new(certified) })
    }

    /// What rustls shows of it, for a resolver of one's own.
    #[must_use]
    pub fn certified(&self) -> Arc<rustls::sign::CertifiedKey> {
        self.certified.clone()
    }
}
