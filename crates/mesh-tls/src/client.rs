//! What a client trusts, and what it shows of itself.

use crate::{
    Identity, TlsError, provider,
    verify::{Anyone, Told},
};
use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    client::{ResolvesClientCert, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::CryptoProvider,
    pki_types::CertificateDer,
    sign::CertifiedKey,
};
use std::sync::Arc;

/// Which servers a client believes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Trust {
    /// Those that an authority of the machine vouches for.
    #[default]
    Machine,
    /// Those of the machine's authorities and of these. One of these may also be the very certificate that the
    /// server shows. A machine without authorities has these alone.
    MachineAnd(Vec<CertificateDer<'static>>),
    /// As [`Trust::MachineAnd`], without the machine's.
    Only(Vec<CertificateDer<'static>>),
    /// Everybody: the certificate is not looked at. Only where the user said so, or where it does not matter.
    Insecure,
}

/// A client's side of TLS.
#[derive(Debug, Clone, Default)]
pub struct Client {
    /// Whom it believes.
    pub trust: Trust,
    /// What it shows to a server that asks.
    pub identity: Option<Identity>,
}

impl Client {
    /// A client that believes as `trust` says, and shows nothing.
    #[must_use]
    pub fn trusting(trust: Trust) -> Self {
        Self { trust, identity: None }
    }

    /// The configuration. Reads the machine's authorities, where they count: milliseconds; keep what it gives.
    ///
    /// # Errors
    /// [`TlsError`], where there is nobody to believe.
    pub fn config(&self) -> Result<ClientConfig, TlsError> {
        self.config_speaking(&provider(), rustls::DEFAULT_VERSIONS)
    }

    /// The same, with the crypto and the versions of TLS that are spoken.
    ///
    /// # Errors
    /// Those of [`Client::config`]; and where no suite is left for a version.
    pub fn config_speaking(
        &self,
        crypto: &Arc<CryptoProvider>,
        versions: &[&'static SupportedProtocolVersion],
    ) -> Result<ClientConfig, TlsError> {
        let unusable = |source| TlsError::Unusable {
            what: "the versions and suites that were chosen".to_owned(),
            source,
        };
        let builder = ClientConfig::builder_with_provider(crypto.clone())
            .with_protocol_versions(versions)
            .map_err(unusable)?;
        let verified = match &self.trust {
            Trust::Machine => builder.with_root_certificates(machine_roots()?),
            trust => builder.dangerous().with_custom_certificate_verifier(verifier(trust)?),
        };
        Ok(match &self.identity {
            None => verified.with_no_client_auth(),
            Some(identity) => verified.with_client_cert_resolver(Arc::new(Shown(identity.certified.clone()))),
        })
    }
}

/// What looks at a server's certificate, for one who looks at more.
///
/// # Errors
/// [`TlsError`], where there is nobody to believe.
pub fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    Ok(match trust {
        Trust::Machine => usual(machine_roots()?)?,
        Trust::MachineAnd(told) => {
            told_verifier(machine_roots().unwrap_or_else(|_| RootCertStore::empty()), told)?
        }
        Trust::Only(told) => told_verifier(RootCertStore::empty(), told)?,
        Trust::Insecure => Arc::new(Anyone(provider())),
    })
}

fn usual(roots: RootCertStore) -> Result<Arc<WebPkiServerVerifier>, TlsError> {
    let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    usual.map_err(|error| TlsError::Unusable {
        what: "the certificates of authorities".to_owned(),
        source: rustls::Error::General(error.to_string()),
    })
}

fn machine_roots() -> Result<RootCertStore, TlsError> {
    let loaded = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(loaded.certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn told_verifier(
    mut roots: RootCertStore,
    told: &[CertificateDer<'static>],
) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    for certificate in told {
        let unusable =
            |source| TlsError::Unusable { what: "a certificate of an authority".to_owned(), source };
        roots.add(certificate.clone()).map_err(unusable)?;
    }
    if roots.is_empty() {
        return Err(TlsError::NoRoots);
    }
    Ok(Arc::new(Told { usual: usual(roots)?, certificates: told.to_vec() }))
}

/// Shows one certificate, whatever authorities a server names.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
