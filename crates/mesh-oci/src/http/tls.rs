//! TLS to registries: the machine's certificates, a registry's own beside them, what is shown to one that asks
//! who we are, and for registries that were said to be insecure no look at the certificate at all.
//!
//! A registry's own files lie in `<folder>/<host[:port]>/`, as Docker and containers' tools have it: `*.crt` are
//! authorities, `*.cert` with the `*.key` of its name is shown to the registry.

use super::TransportError;
use mesh_tls::{Client, Identity, PemError, TlsError, Trust};
use rustls::ClientConfig;
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Configurations by host; made when first needed, as reading the machine's certificates takes milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    folders: Vec<PathBuf>,
    usual: OnceLock<Arc<ClientConfig>>,
    unverified: OnceLock<Arc<ClientConfig>>,
    own: Mutex<HashMap<(String, bool), Arc<ClientConfig>>>,
}

/// Most files in the folder of one registry that are looked at.
const FILES_MAX: usize = 64;

impl Tls {
    /// With folders of certificates by registry, of which the first that has a registry serves.
    pub(crate) fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, ..Self::default() }
    }

    /// The configuration for `host:port`. Blocks while it reads certificates for the first time.
    pub(crate) fn config(&self, authority: &str, verify: bool) -> Result<Arc<ClientConfig>, TransportError> {
        let own = self.folders.iter().map(|folder| folder.join(authority)).find(|folder| folder.is_dir());
        let Some(folder) = own else {
            let (slot, trust) = match verify {
                true => (&self.usual, Trust::Machine),
                false => (&self.unverified, Trust::Insecure),
            };
            if let Some(config) = slot.get() {
                return Ok(config.clone());
            }
            let config =
                Client::trusting(trust).config().map_err(|source| unusable(Path::new("/"), source))?;
            return Ok(slot.get_or_init(|| Arc::new(config)).clone());
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (authority.to_owned(), verify);
        if let Some(config) = own.get(&key) {
            return Ok(config.clone());
        }
        let config = of_folder(&folder, verify)?.config().map_err(|source| unusable(&folder, source))?;
        let config = Arc::new(config);
        own.insert(key, config.clone());
        Ok(config)
    }
}

fn unusable(path: &Path, source: TlsError) -> TransportError {
    match source {
        TlsError::NoRoots => TransportError::NoCertificates,
        source => TransportError::Certificate { path: path.to_owned(), source: Box::new(source) },
    }
}

/// What the folder of a registry says.
fn of_folder(folder: &Path, verify: bool) -> Result<Client, TransportError> {
    let wrong = |path: &Path, source: Box<dyn std::error::Error + Send + Sync>| TransportError::Certificate {
        path: path.to_owned(),
        source,
    };
    let unreadable = |source: io::Error| wrong(folder, source.into());
    let entries = fs::read_dir(folder).map_err(unreadable)?.take(FILES_MAX);
    let mut files: Vec<PathBuf> =
        entries.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>().map_err(unreadable)?;
    files.sort();
    let ends = |path: &Path, end: &str| path.extension().is_some_and(|extension| extension == end);
    let mut authorities = Vec::new();
    let mut identity = None;
    for path in &files {
        let other = |end: &str| files.iter().any(|file| *file == path.with_extension(end));
        if ends(path, "crt") && verify {
            authorities.extend(pem(mesh_tls::certificates(path), path)?);
        } else if ends(path, "cert") && !other("key") {
            let text = "there is no key of its name (.key) beside it; authorities end with .crt";
            return Err(wrong(path, text.into()));
        } else if ends(path, "key") && !other("cert") {
            return Err(wrong(path, "there is no certificate of its name (.cert) beside it".into()));
        } else if ends(path, "cert") && identity.is_none() {
            identity = Some(pem(Identity::read(path, &path.with_extension("key")), path)?);
        }
    }
    // A registry with a certificate of its own needs none of the machine's.
    let trust = match (verify, authorities.is_empty()) {
        (false, _) => Trust::Insecure,
        (true, true) => Trust::Machine,
        (true, false) => Trust::MachineAnd(authorities),
    };
    Ok(Client { trust, identity })
}

fn pem<T>(outcome: Result<T, PemError>, path: &Path) -> Result<T, TransportError> {
    outcome.map_err(|source| TransportError::Certificate { path: path.to_owned(), source: Box::new(source) })
}
