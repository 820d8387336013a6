//! TLS: the machine's certificates, a registry's own beside them, and for registries that were said to be
//! insecure no look at the certificate at all.

use super::TransportError;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
    server::ParsedCertificate,
};
use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

/// Configurations by host; made when first needed, as reading the machine's certificates takes milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Tls {
    certificates: Option<PathBuf>,
    usual: OnceLock<Arc<ClientConfig>>,
    unverified: OnceLock<Arc<ClientConfig>>,
    own: Mutex<HashMap<String, Arc<ClientConfig>>>,
}

/// Largest file of certificates that is read, in bytes.
const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;
/// Most files of certificates of one registry.
const CERTIFICATE_FILES_MAX: usize = 64;

impl Tls {
    pub(crate) fn new(certificates: Option<PathBuf>) -> Self {
        Self { certificates, ..Self::default() }
    }

    /// The configuration for `host:port`. Blocks while it reads certificates for the first time.
    pub(crate) fn config(&self, authority: &str, verify: bool) -> Result<Arc<ClientConfig>, TransportError> {
        if !verify {
            return Ok(self.unverified.get_or_init(unverified).clone());
        }
        let folder = self.certificates.as_ref().map(|folder| folder.join(authority));
        let Some(folder) = folder.filter(|folder| folder.is_dir()) else {
            if let Some(config) = self.usual.get() {
                return Ok(config.clone());
            }
            let config = with_roots(machine_roots()?);
            return Ok(self.usual.get_or_init(|| config).clone());
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = own.get(authority) {
            return Ok(config.clone());
        }
        // A registry with a certificate of its own needs none of the machine's.
        let mut roots = machine_roots().unwrap_or_else(|_| RootCertStore::empty());
        let certificates = add_folder(&mut roots, &folder)?;
        let config = with_own(roots, certificates, &folder)?;
        own.insert(authority.to_owned(), config.clone());
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    // The provider is named, so that another one in the process cannot make this fail; it has both versions.
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap_or_else(|error| unreachable!("aws-lc has TLS 1.2 and 1.3: {error}"))
}

fn with_roots(roots: RootCertStore) -> Arc<ClientConfig> {
    Arc::new(builder().with_root_certificates(roots).with_no_client_auth())
}

fn machine_roots() -> Result<RootCertStore, TransportError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() {
        return Err(TransportError::NoCertificates);
    }
    Ok(roots)
}

/// The machine's certificates and a registry's own, which may be the very one that its server shows.
fn with_own(
    roots: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
    folder: &Path,
) -> Result<Arc<ClientConfig>, TransportError> {
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build().map_err(
        |error| TransportError::Certificate { path: folder.to_owned(), source: std::io::Error::other(error) },
    )?;
    let verifier = Arc::new(Own { usual, certificates });
    Ok(Arc::new(builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()))
}

fn add_folder(
    roots: &mut RootCertStore,
    folder: &Path,
) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let mut all = Vec::new();
    let wrong = |path: &Path| {
        let path = path.to_owned();
        move |source| TransportError::Certificate { path, source }
    };
    for entry in fs::read_dir(folder).map_err(wrong(folder))?.take(CERTIFICATE_FILES_MAX) {
        let path = entry.map_err(wrong(folder))?.path();
        if path.extension().is_none_or(|extension| extension != "crt") {
            continue;
        }
        if fs::metadata(&path).map_err(wrong(&path))?.len() > CERTIFICATE_BYTES_MAX {
            return Err(wrong(&path)(std::io::Error::other("it is too large for a certificate")));
        }
        let pem = fs::read(&path).map_err(wrong(&path))?;
        let found: Vec<_> = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect();
        let (added, _) = roots.add_parsable_certificates(found.iter().cloned());
        if added == 0 {
            return Err(wrong(&path)(std::io::Error::other("it has no certificate")));
        }
        all.extend(found);
    }
    Ok(all)
}

fn unverified() -> Arc<ClientConfig> {
    let verifier = Arc::new(Unverified(provider()));
    Arc::new(builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth())
}

/// Takes what the usual look takes, and a certificate that was put down for this registry although it is one
/// of an authority: what `openssl req -x509` makes is both, and the usual look refuses that in a server.
#[derive(Debug)]
struct Own {
    usual: Arc<WebPkiServerVerifier>,
    certificates: Vec<CertificateDer<'static>>,
}

impl ServerCertVerifier for Own {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let outcome =
            self.usual.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match outcome {
            // Its times were looked at before this is said; its name was not.
            Err(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
                if self.certificates.iter().any(|own| own.as_ref() == end_entity.as_ref()) =>
            {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                Ok(ServerCertVerified::assertion())
            }
            outcome => outcome,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

/// Takes any certificate, for registries that the user said to be insecure.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
