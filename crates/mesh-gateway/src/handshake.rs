//! How TLS is spoken with clients: options by their names.
//!
//! Which of them a connection gets is told by the name that its client asks for, before anything else is known of it.
//! Options that cannot be used have no configuration: connections for them end.

use crate::{
    config::model::{ClientAuth, TlsOptions},
    upstream::{TransportError, limit_suites, versions},
};
use mesh_tls::{Pem, PemError};
use rustls::{
    DigitallySignedStruct, DistinguishedName, RootCertStore, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use std::sync::Arc;

/// The options that routers have which name none.
pub(crate) const DEFAULT: &str = "default";
/// What is spoken over TLS, and known here.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];
/// Ways of agreeing on keys, by Go's names and by those of the standard.
const CURVES: &[(&str, Option<rustls::NamedGroup>)] = &[
    ("secp256r1", Some(rustls::NamedGroup::secp256r1)),
    ("CurveP256", Some(rustls::NamedGroup::secp256r1)),
    ("secp384r1", Some(rustls::NamedGroup::secp384r1)),
    ("CurveP384", Some(rustls::NamedGroup::secp384r1)),
    ("secp521r1", None),
    ("CurveP521", None),
    ("x25519", Some(rustls::NamedGroup::X25519)),
    ("X25519", Some(rustls::NamedGroup::X25519)),
    ("x25519mlkem768", Some(rustls::NamedGroup::X25519MLKEM768)),
    ("X25519MLKEM768", Some(rustls::NamedGroup::X25519MLKEM768)),
];

/// Why options cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    #[error(transparent)]
    Suites(#[from] TransportError),
    #[error("invalid CurveID in curvePreferences: {0}")]
    Curve(String),
    #[error("none of curvePreferences is spoken here")]
    NoCurve,
    #[error("invalid clientAuthType: {0}, CAFiles is required")]
    NoAuthorities(String),
    #[error("unknown client auth type {0:?}")]
    ClientAuth(String),
    #[error("invalid certificate(s) content")]
    Authorities,
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("could not use the authorities of clients")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
    #[error("could not use the versions and suites that were chosen")]
    Tls(#[source] rustls::Error),
}

/// A configuration of TLS by options.
pub(crate) fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    options: &TlsOptions,
) -> Result<ServerConfig, OptionsError> {
    let mut provider = (*mesh_tls::provider()).clone();
    limit_suites(&mut provider, &options.cipher_suites)?;
    limit_curves(&mut provider, &options.curve_preferences)?;
    let versions = versions(&options.min_version, &options.max_version)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&versions)
        .map_err(OptionsError::Tls)?;
    let builder = match verifier(&options.client_auth)? {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut server = builder.with_cert_resolver(resolver);
    // Servers of Go's follow their own order.
    let known = options.alpn_protocols.iter().filter(|name| PROTOCOLS.contains(&name.as_str()));
    server.alpn_protocols = known.map(|name| name.as_bytes().to_vec()).collect();
    if options.disable_session_tickets {
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
    }
    Ok(server)
}

fn limit_curves(provider: &mut CryptoProvider, names: &[String]) -> Result<(), OptionsError> {
    if names.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::new();
    for name in names {
        let found = CURVES.iter().find(|(known, _)| known == name);
        let (_, group) = found.ok_or_else(|| OptionsError::Curve(name.clone()))?;
        let group = provider.kx_groups.iter().find(|known| Some(known.name()) == *group);
        kept.extend(group.copied());
    }
    if kept.is_empty() {
        return Err(OptionsError::NoCurve);
    }
    provider.kx_groups = kept;
    Ok(())
}

/// What looks at certificates of clients; none if they are not asked for.
pub(crate) fn verifier(config: &ClientAuth) -> Result<Option<Arc<dyn ClientCertVerifier>>, OptionsError> {
    let kind = match config.client_auth_type.as_str() {
        "" if config.ca_files.is_empty() => return Ok(None),
        "" => "RequireAndVerifyClientCert",
        kind => kind,
    };
    match kind {
        "NoClientCert" => Ok(None),
        "RequestClientCert" => Ok(Some(Arc::new(Anyone { required: false }))),
        "RequireAnyClientCert" => Ok(Some(Arc::new(Anyone { required: true }))),
        "VerifyClientCertIfGiven" | "RequireAndVerifyClientCert" => {
            if config.ca_files.is_empty() {
                return Err(OptionsError::NoAuthorities(kind.to_owned()));
            }
            let roots = Arc::new(authorities(&config.ca_files)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, mesh_tls::provider());
            let verifier = match kind {
                "VerifyClientCertIfGiven" => verifier.allow_unauthenticated(),
                _ => verifier,
            };
            Ok(Some(verifier.build().map_err(OptionsError::Verifier)?))
        }
        other => Err(OptionsError::ClientAuth(other.to_owned())),
    }
}

fn authorities(files: &[String]) -> Result<RootCertStore, OptionsError> {
    let mut roots = RootCertStore::empty();
    for file in files {
        for certificate in Pem::given(file)?.certificates()? {
            roots.add(certificate).map_err(|_| OptionsError::Authorities)?;
        }
    }
    Ok(roots)
}

/// Takes any certificate of whoever has its key; who that is, is for others to judge.
#[derive(Debug)]
struct Anyone {
    required: bool,
}

impl ClientCertVerifier for Anyone {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &mesh_tls::provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &mesh_tls::provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        mesh_tls::provider().signature_verification_algorithms.supported_schemes()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.required
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::server::ResolvesServerCertUsingSni;

    fn made(change: impl FnOnce(&mut TlsOptions)) -> Result<ServerConfig, String> {
        let mut options = TlsOptions::default();
        change(&mut options);
        let resolver = Arc::new(ResolvesServerCertUsingSni::new());
        server_config(resolver, &options).map_err(|error| crate::chain(&error))
    }

    #[test]
    fn options_are_as_they_are_written() {
        let config = made(|options| {
            options.min_version = "VersionTLS13".to_owned();
            options.curve_preferences =
                vec!["CurveP384".to_owned(), "X25519".to_owned(), "CurveP521".to_owned()];
            options.alpn_protocols = vec!["http/1.1".to_owned(), "acme-tls/1".to_owned()];
        });
        let config = config.expect("a configuration");
        assert_eq!(config.alpn_protocols, [b"http/1.1".to_vec()]);
        let curves: Vec<_> = config.crypto_provider().kx_groups.iter().map(|group| group.name()).collect();
        assert_eq!(curves, [rustls::NamedGroup::secp384r1, rustls::NamedGroup::X25519]);
        let suite = "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384".to_owned();
        let config =
            made(|options| options.cipher_suites = vec![suite, "TLS_RSA_WITH_AES_128_CBC_SHA".to_owned()]);
        let of_12 = config.expect("a configuration").crypto_provider().cipher_suites.clone();
        assert_eq!(of_12.iter().filter(|suite| suite.tls13().is_none()).count(), 1);
    }

    #[test]
    fn options_that_mean_nothing_are_refused() {
        let auth = |kind: &str, files: &[&str]| ClientAuth {
            client_auth_type: kind.to_owned(),
            ca_files: files.iter().map(|&file| file.to_owned()).collect(),
        };
        for (expected, result) in [
            ("invalid CipherSuite: X", made(|options| options.cipher_suites = vec!["X".to_owned()])),
            ("invalid CurveID", made(|options| options.curve_preferences = vec!["X".to_owned()])),
            ("none of curve", made(|options| options.curve_preferences = vec!["CurveP521".to_owned()])),
            ("no version", made(|options| options.max_version = "VersionTLS11".to_owned())),
            ("invalid TLS version", made(|options| options.min_version = "TLS13".to_owned())),
            (
                "CAFiles is required",
                made(|options| options.client_auth = auth("VerifyClientCertIfGiven", &[])),
            ),
            ("unknown client auth", made(|options| options.client_auth = auth("Any", &[]))),
            ("could not read", made(|options| options.client_auth = auth("", &["/nowhere"]))),
        ] {
            let error = result.expect_err(expected);
            assert!(error.contains(expected), "{error} is not {expected}");
        }
        assert!(made(|options| options.client_auth = auth("RequireAnyClientCert", &[])).is_ok());
    }
}
