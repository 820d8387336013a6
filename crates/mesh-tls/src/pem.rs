//! PEM: certificates, and a certificate with its key, in files or in the text of a configuration.

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

/// How PEM begins: what begins so is a certificate or a key itself, and not the name of a file.
const BEGIN: &str = "-----BEGIN";

/// Where PEM stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// In a file.
    File(PathBuf),
    /// In the configuration itself.
    Text,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.display().fmt(f),
            Self::Text => f.write_str("the configuration"),
        }
    }
}

/// Why PEM cannot be used. What is in it is never told.
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
    #[error("there is no {what} in {place}")]
    Nothing {
        /// `certificate`, `private key`.
        what: &'static str,
        /// Where it should be.
        place: Place,
    },
    /// It is broken.
    #[error("the {what} in {place} is no PEM that can be read")]
    Broken {
        /// `certificate`, `private key`.
        what: &'static str,
        /// Where it stands.
        place: Place,
    },
    /// Certificate and key are not of one another, or of a kind that is not known.
    #[error("the key in {key} does not go with the certificate in {certificate}")]
    Pair {
        /// Where the certificate stands.
        certificate: Place,
        /// Where the key stands.
        key: Place,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
}

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

/// PEM that was read, and is understood when somebody asks for what is in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Pem {
    bytes: Vec<u8>,
    place: Place,
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Pem {
    /// What a configuration names: PEM itself, or the file that it is in.
    ///
    /// # Errors
    /// When it is a file that cannot be read, or is too large.
    pub fn given(given: &str) -> Result<Self, PemError> {
        // What has lines is no name of a file, and a broken key must not be told as one.
        if given.trim_start().starts_with(BEGIN) || given.contains('\n') {
            return Ok(Self { bytes: given.as_bytes().to_vec(), place: Place::Text });
        }
        Self::file(Path::new(given))
    }

    /// What a file has in it.
    ///
    /// # Errors
    /// When the file cannot be read, or is too large.
    pub fn file(path: &Path) -> Result<Self, PemError> {
        let failed = |source| PemError::Read { path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = fs::File::open(path).map_err(failed)?;
        // Some files have no size that is told beforehand.
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
        if bytes.len() as u64 > FILE_BYTES_MAX {
            return Err(PemError::TooLarge { path: path.to_owned(), limit: FILE_BYTES_MAX });
        }
        Ok(Self { bytes, place: Place::File(path.to_owned()) })
    }

    /// Its certificates, in their order; keys and other things in it are passed over.
    ///
    /// # Errors
    /// When it is broken, or has none.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, PemError> {
        let found: Result<Vec<_>, pem::Error> = CertificateDer::pem_slice_iter(&self.bytes).collect();
        match found {
            Ok(found) if found.is_empty() => Err(self.nothing(CERTIFICATE)),
            Ok(found) => Ok(found),
            Err(_) => Err(self.broken(CERTIFICATE)),
        }
    }

    fn key(&self) -> Result<PrivateKeyDer<'static>, PemError> {
        PrivateKeyDer::from_pem_slice(&self.bytes).map_err(|error| match error {
            pem::Error::NoItemsFound => self.nothing(KEY),
            _ => self.broken(KEY),
        })
    }

    fn nothing(&self, what: &'static str) -> PemError {
        PemError::Nothing { what, place: self.place.clone() }
    }

    fn broken(&self, what: &'static str) -> PemError {
        PemError::Broken { what, place: self.place.clone() }
    }
}

/// The certificates of a PEM file, in its order; keys and other things in it are passed over.
///
/// # Errors
/// When the file cannot be read, is too large, is broken, or has none.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, PemError> {
    Pem::file(path)?.certificates()
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
        Self::of(&Pem::file(certificate)?, &Pem::file(key_path)?)
    }

    /// A certificate and its key that were read before.
    ///
    /// # Errors
    /// When one of them is not there or broken, or the two do not go together.
    pub fn of(certificate: &Pem, key: &Pem) -> Result<Self, PemError> {
        let pair = |source| {
            let (certificate, key) = (certificate.place.clone(), key.place.clone());
            PemError::Pair { certificate, key, source }
        };
        let (chain, key) = (certificate.certificates()?, key.key()?);
        let certified = rustls::sign::CertifiedKey::from_der(chain, key, &crate::provider()).map_err(pair)?;
        Ok(Self { certified: Arc::new(certified) })
    }

    /// What rustls shows of it, for a resolver of one's own.
    #[must_use]
    pub fn certified(&self) -> Arc<rustls::sign::CertifiedKey> {
        self.certified.clone()
    }
}
