//! What a server shows: certificates from wherever a resolver finds them, or from two files that may change.

use crate::{Identity, PemError, TlsError, certificates, provider};
use rustls::{
    RootCertStore, ServerConfig, SupportedProtocolVersion,
    server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use std::{
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often a handshake looks whether the files have changed.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A server's configuration, with the certificates of a resolver. With a file of authorities, clients are asked
/// for a certificate of one of them, and turned away without one where `required`.
///
/// # Errors
/// When the authorities cannot be used.
pub fn server(
    resolver: Arc<dyn ResolvesServerCert>,
    client_roots: Option<(&Path, bool)>,
) -> Result<ServerConfig, TlsError> {
    server_speaking(rustls::DEFAULT_VERSIONS, resolver, client_roots)
}

/// The same, with the versions of TLS that are spoken.
///
/// # Errors
/// Those of [`server`].
pub fn server_speaking(
    versions: &[&'static SupportedProtocolVersion],
    resolver: Arc<dyn ResolvesServerCert>,
    client_roots: Option<(&Path, bool)>,
) -> Result<ServerConfig, TlsError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap_or_else(|error| unreachable!("aws-lc has TLS 1.2 and 1.3: {error}"));
    let Some((path, required)) = client_roots else {
        return Ok(builder.with_no_client_auth().with_cert_resolver(resolver));
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        let unusable =
            |source| TlsError::Unusable { what: format!("a certificate in {}", path.display()), source };
        roots.add(certificate).map_err(unusable)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider());
    let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
    let verifier =
        verifier.build().map_err(|source| TlsError::ClientRoots { path: path.to_owned(), source })?;
    Ok(builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver))
}

/// One certificate and its key, in two PEM files. They are read when this is made and again once they have
/// changed, which a handshake looks for each second at most; what cannot be used then changes nothing, and
/// is logged.
pub struct ServerFiles {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    shown: Arc<CertifiedKey>,
    seen: Seen,
    looked: Instant,
}

/// What tells that files are others than before.
type Seen = [Option<(u64, u64, i64, i64)>; 2];

impl fmt::Debug for ServerFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerFiles")
            .field("certificate", &self.certificate)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl ServerFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// When one of them cannot be used, or they do not go together.
    pub fn open(certificate: PathBuf, key: PathBuf) -> Result<Self, PemError> {
        // Looked at before they are read: a change in between is noticed by the next look.
        let seen = seen(&certificate, &key);
        let shown = Identity::read(&certificate, &key)?.certified;
        let state = Mutex::new(State { shown, seen, looked: Instant::now() });
        Ok(Self { certificate, key, state })
    }

    /// Reads the files again, whether they changed or not.
    ///
    /// # Errors
    /// Those of [`ServerFiles::open`]; what was shown before is shown on then.
    pub fn reload(&self) -> Result<(), PemError> {
        let seen = seen(&self.certificate, &self.key);
        let outcome = Identity::read(&self.certificate, &self.key);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.seen, state.looked) = (seen, Instant::now());
        state.shown = outcome?.certified;
        Ok(())
    }

    /// What is shown now.
    fn shown(&self) -> Arc<CertifiedKey> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() < LOOK_EVERY {
            return state.shown.clone();
        }
        let before = state.seen;
        drop(state);
        if seen(&self.certificate, &self.key) == before {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.looked = Instant::now();
            return state.shown.clone();
        }
        // A pair of which one file is written and the other not yet fails; the next change is tried again.
        if let Err(error) = self.reload() {
            tracing::warn!(%error, "a changed certificate cannot be used; the one before is shown on");
        }
        self.state.lock().unwrap_or_else(PoisonError::into_inner).shown.clone()
    }
}

impl ResolvesServerCert for ServerFiles {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.shown())
    }
}

fn seen(certificate: &Path, key: &Path) -> Seen {
    [certificate, key].map(|path| {
        let file = fs::metadata(path).ok()?;
        Some((file.ino(), file.len(), file.mtime(), file.mtime_nsec()))
    })
}
