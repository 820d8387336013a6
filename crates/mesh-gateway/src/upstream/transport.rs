//! How servers are spoken to: times, trust and what is shown to them.

use super::waiting::Bounds;
use crate::config::model::{Certificate, ForwardingTimeouts, San, ServersTransport};
use mesh_tls::{Client, Identity, Pem, PemError, TlsError, Trust};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

/// How many connections to a server stay open without a request, where nothing is said.
const IDLE_CONNECTIONS: usize = 200;
/// How long more of them do, after as many requests at a time.
const IDLE_SURPLUS: Duration = Duration::from_secs(1);
/// Longest that a connection waits for its next request, whatever is configured: many servers close theirs sooner, and
/// a request that meets such an end cannot always be sent again.
const IDLE_MAX: Duration = Duration::from_secs(90);

/// Why servers cannot be spoken to as configured.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error("servers transport: invalid CipherSuite: {0}")]
    Suite(String),
    #[error("servers transport: invalid TLS version: {0}")]
    Version(String),
    #[error("servers transport: no version of TLS is left")]
    NoVersion,
    #[error("servers transport: SPIFFE is not there yet")]
    Spiffe,
    #[error("servers transport: peerCertSANs of type {0:?} are not known")]
    San(String),
    #[error("servers transport: a certificate or a key cannot be used")]
    Pem(#[from] PemError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// What was found wrong before.
    #[error("{0}")]
    Before(String),
}

/// How servers are spoken to.
pub(crate) struct Transport {
    settings: ServersTransport,
    /// What is in the files that it names, or stands in their place.
    roots: Vec<Pem>,
    identities: Vec<(Pem, Pem)>,
    pub(crate) dial: Option<Duration>,
    /// How long a server may take for its answer's head.
    pub(crate) answer: Option<Duration>,
    /// Connections that wait for a request.
    pub(super) waiting: Bounds,
    /// After which silence a server of HTTP/2 is asked whether it is there, and how long it may take to say so.
    pub(crate) ping: Option<(Duration, Duration)>,
    /// Read when the first server asks for it: most need none.
    tls: OnceLock<Result<[Arc<ClientConfig>; 2], String>>,
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport")
            .field("dial", &self.dial)
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}

impl PartialEq for Transport {
    fn eq(&self, other: &Self) -> bool {
        let own = (&self.settings, &self.roots, &self.identities);
        own == (&other.settings, &other.roots, &other.identities)
    }
}

impl Transport {
    /// Reads the files that a configuration names.
    pub(crate) fn new(config: &ServersTransport) -> Result<Self, TransportError> {
        let settings = config.clone();
        let roots = settings.root_cas.iter().map(|root| Pem::given(root)).collect::<Result<_, _>>()?;
        let identity = |one: &Certificate| {
            Ok::<_, PemError>((Pem::given(&one.cert_file)?, Pem::given(one.key_file.expose())?))
        };
        // One without either is none: there is nothing to read.
        let is_given = |one: &&Certificate| !one.cert_file.is_empty() || !one.key_file.expose().is_empty();
        let identities = settings.certificates.iter().filter(is_given).map(identity);
        let identities = identities.collect::<Result<_, _>>()?;
        let ForwardingTimeouts {
            dial_timeout,
            response_header_timeout,
            idle_conn_timeout,
            read_idle_timeout,
            ping_timeout,
        } = settings.forwarding_timeouts.clone().unwrap_or_default();
        // A number that somebody chose is kept to: the server may have no more workers than that.
        let (count, surplus) = match settings.max_idle_conns_per_host {
            0 => (IDLE_CONNECTIONS, IDLE_SURPLUS),
            count => (usize::try_from(count).unwrap_or(0), Duration::ZERO),
        };
        let transport = Self {
            dial: dial_timeout.get(),
            answer: response_header_timeout.get(),
            waiting: Bounds {
                count,
                surplus,
                longest: idle_conn_timeout.get().unwrap_or(IDLE_MAX).min(IDLE_MAX),
            },
            ping: read_idle_timeout.get().map(|every| (every, ping_timeout.get().unwrap_or(every))),
            tls: OnceLock::new(),
            settings,
            roots,
            identities,
        };
        if transport.asks_for_tls() {
            transport.tls(true)?;
        }
        Ok(transport)
    }

    pub(crate) fn server_name(&self) -> &str {
        &self.settings.server_name
    }

    fn asks_for_tls(&self) -> bool {
        let ServersTransport { max_idle_conns_per_host, forwarding_timeouts, .. } = &self.settings;
        let plain = ServersTransport {
            max_idle_conns_per_host: *max_idle_conns_per_host,
            forwarding_timeouts: forwarding_timeouts.clone(),
            ..ServersTransport::default()
        };
        self.settings != plain
    }

    /// The configuration of TLS, with HTTP/2 or without.
    pub(super) fn tls(&self, h2: bool) -> Result<Arc<ClientConfig>, TransportError> {
        let made = self.tls.get_or_init(|| self.configure().map_err(|error| crate::chain(&error)));
        match made {
            Ok(configs) => Ok(configs[usize::from(h2 && !self.settings.disable_http2)].clone()),
            Err(error) => Err(TransportError::Before(error.clone())),
        }
    }

    fn configure(&self) -> Result<[Arc<ClientConfig>; 2], TransportError> {
        let settings = &self.settings;
        if settings.spiffe.is_some() {
            return Err(TransportError::Spiffe);
        }
        let mut roots = Vec::new();
        for root in &self.roots {
            roots.extend(root.certificates()?);
        }
        let trust = match (settings.insecure_skip_verify, roots.is_empty()) {
            (true, _) => Trust::Insecure,
            (false, true) => Trust::Machine,
            (false, false) => Trust::Only(roots.clone()),
        };
        let mut provider = (*mesh_tls::provider()).clone();
        limit_suites(&mut provider, &settings.cipher_suites)?;
        let versions = versions(&settings.min_version, &settings.max_version)?;
        let mut config = Client::trusting(trust).config_speaking(&Arc::new(provider), &versions)?;
        if let Some((certificate, key)) = self.identities.first() {
            config.client_auth_cert_resolver = Arc::new(Shown(Identity::of(certificate, key)?.certified()));
        }
        if !settings.peer_cert_sans.is_empty() || !settings.peer_cert_uri.is_empty() {
            let mut names = settings.peer_cert_sans.clone();
            if !settings.peer_cert_uri.is_empty() {
                names.push(San { kind: "URI".to_owned(), value: settings.peer_cert_uri.clone() });
            }
            if let Some(other) = names.iter().find(|name| !["URI", "DNSName"].contains(&name.kind.as_str())) {
                return Err(TransportError::San(other.kind.clone()));
            }
            // Its name is not looked at then, but its authority always is.
            let trust = if roots.is_empty() { Trust::Machine } else { Trust::Only(roots) };
            let usual = mesh_tls::verifier(&trust)?;
            config.dangerous().set_certificate_verifier(Arc::new(Named { usual, names }));
        }
        let mut first = config.clone();
        first.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok([Arc::new(first), Arc::new(config)])
    }
}

/// Leaves a provider the suites of these names; those of TLS 1.3 cannot be chosen, as with Go.
pub(crate) fn limit_suites(provider: &mut CryptoProvider, names: &[String]) -> Result<(), TransportError> {
    if names.is_empty() {
        return Ok(());
    }
    let mut kept = Vec::new();
    for name in names {
        let Some(found) = SUITES.iter().find(|(known, _)| known == name) else {
            return Err(TransportError::Suite(name.clone()));
        };
        // Suites that are weak are known by name and never spoken.
        kept.extend(found.1);
    }
    let wanted =
        |suite: &rustls::SupportedCipherSuite| suite.tls13().is_some() || kept.contains(&suite.suite());
    provider.cipher_suites.retain(wanted);
    Ok(())
}

use rustls::CipherSuite as S;

/// Suites by Go's names; none where nobody here speaks it.
const SUITES: &[(&str, Option<S>)] = &[
    ("TLS_RSA_WITH_RC4_128_SHA", None),
    ("TLS_RSA_WITH_3DES_EDE_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_RSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_RSA_WITH_AES_128_GCM_SHA256", None),
    ("TLS_RSA_WITH_AES_256_GCM_SHA384", None),
    ("TLS_ECDHE_ECDSA_WITH_RC4_128_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_RC4_128_SHA", None),
    ("TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA", None),
    ("TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA", None),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256", None),
    ("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Some(S::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Some(S::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256)),
    ("TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Some(S::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Some(S::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305", Some(S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Some(S::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305", Some(S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Some(S::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256)),
    ("TLS_AES_128_GCM_SHA256", Some(S::TLS13_AES_128_GCM_SHA256)),
    ("TLS_AES_256_GCM_SHA384", Some(S::TLS13_AES_256_GCM_SHA384)),
    ("TLS_CHACHA20_POLY1305_SHA256", Some(S::TLS13_CHACHA20_POLY1305_SHA256)),
    ("TLS_FALLBACK_SCSV", None),
];

/// The versions of TLS between two, both named as Go does; those before 1.2 are never spoken.
pub(crate) fn versions(
    least: &str,
    most: &str,
) -> Result<Vec<&'static SupportedProtocolVersion>, TransportError> {
    let number = |name: &str, unsaid: u8| match name {
        "" => Ok(unsaid),
        "VersionTLS10" => Ok(10),
        "VersionTLS11" => Ok(11),
        "VersionTLS12" => Ok(12),
        "VersionTLS13" => Ok(13),
        other => Err(TransportError::Version(other.to_owned())),
    };
    let (least, most) = (number(least, 12)?, number(most, 13)?);
    let spoken: Vec<&'static SupportedProtocolVersion> = [(12, &TLS12), (13, &TLS13)]
        .into_iter()
        .filter(|(number, _)| (least..=most).contains(number))
        .map(|(_, version)| version)
        .collect();
    if spoken.is_empty() { Err(TransportError::NoVersion) } else { Ok(spoken) }
}

/// Shows one certificate, whatever authorities a server names.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Believes a server whose certificate is of a known authority and for one of these names.
#[derive(Debug)]
struct Named {
    usual: Arc<dyn ServerCertVerifier>,
    names: Vec<San>,
}

impl ServerCertVerifier for Named {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.usual.verify_server_cert(leaf, intermediates, server_name, ocsp, now) {
            Ok(_)
            | Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {}
            Err(error) => return Err(error),
        }
        let parsed = ParsedCertificate::try_from(leaf)?;
        let uris = mesh_tls::Facts::of_der(leaf).map(|facts| facts.names).unwrap_or_default();
        let is_one = |san: &San| match san.kind.as_str() {
            "URI" => uris.iter().any(|uri| uri.eq_ignore_ascii_case(&san.value)),
            _ => ServerName::try_from(san.value.as_str())
                .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok()),
        };
        if self.names.iter().any(is_one) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(rustls::Error::InvalidCertificate(CertificateError::NotValidForName))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_without_either_is_none() {
        let fails = |certificates: serde_json::Value| {
            let certificates = serde_json::from_value(certificates).expect("pairs");
            Transport::new(&ServersTransport { certificates, ..ServersTransport::default() }).is_err()
        };
        assert!(!fails(serde_json::json!([{}, {"certFile": "", "keyFile": ""}])));
        assert!(fails(serde_json::json!([{"certFile": "/none/there"}])));
        assert!(fails(serde_json::json!([{"keyFile": "/none/there"}])));
    }
}
