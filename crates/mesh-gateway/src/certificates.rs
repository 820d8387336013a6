//! Which certificate a client is shown.
//!
//! The one of the configured ones that is for the name asked for, one for it alone before one for many; else the default store's; else one that is made on
//! the fly by the authority that the engine gave; else the one that this gateway made for itself at its start, which
//! nobody vouches for. Deliberately absent: stores other than the default one.

mod issued;
#[cfg(test)]
mod suite;

pub(crate) use issued::Issued;

use crate::{
    config::{
        Warning,
        model::{Certificate, Named, TlsConfiguration},
    },
    handshake::{self, DEFAULT},
};
use arc_swap::ArcSwap;
use mesh_tls::{Facts, Identity, Pem, PemError, TlsError};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{cmp::Reverse, sync::Arc};

/// Options are from files alone.
const OF_FILES: &str = "@file";
/// What a certificate is for that this gateway makes for itself, beside the hosts of its rules.
const OWN_NAME: &str = "mesh.default";
/// Most names in such a certificate.
const OWN_NAMES_MAX: usize = 100;
/// What is spoken over TLS, first what is liked best.
const PROTOCOLS: &[&str] = &["h2", "http/1.1"];

/// Why a certificate cannot be shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error(transparent)]
    Pem(#[from] PemError),
    #[error("a certificate that was made does not go with its key")]
    Pair(#[source] rustls::Error),
    #[error("could not make a certificate")]
    Make(#[source] rcgen::Error),
    #[error("could not make a configuration of TLS")]
    Tls(#[from] TlsError),
    #[error("could not make a certificate on the fly")]
    Authority(#[from] mesh_authority::AuthorityError),
}

/// What TLS is spoken with.
#[derive(Debug, Clone)]
pub(crate) struct Shown {
    certificates: Vec<Arc<CertifiedKey>>,
    fallback: Arc<CertifiedKey>,
    /// Somebody asked for that one by the default store: it goes before those that are made on the fly.
    chosen: bool,
}

/// The certificates of the configuration in force. Handshakes see the newest.
#[derive(Debug)]
pub(crate) struct Certificates {
    shown: ArcSwap<Shown>,
    config: ArcSwap<ServerConfig>,
    /// By the names of options; none for those that cannot be used.
    named: ArcSwap<Named<Option<Arc<ServerConfig>>>>,
    issued: Option<Issued>,
}

impl Shown {
    /// Reads the certificates of a configuration. What cannot be used is told, and left out.
    pub(crate) fn read(
        config: &TlsConfiguration,
        hosts: &[String],
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, CertificateError> {
        let mut tell = |error: &CertificateError| {
            warnings.push(Warning { place: "tls".to_owned(), message: crate::chain(error) });
        };
        let mut certificates = Vec::new();
        for stored in &config.certificates {
            let one = Certificate { cert_file: stored.cert_file.clone(), key_file: stored.key_file.clone() };
            match identity(&one) {
                Ok(identity) => certificates.push(identity),
                Err(error) => tell(&error),
            }
        }
        // As Traefik has it, so that the order of files does not matter: an asterisk comes before every letter.
        certificates.sort_by_cached_key(|one| Reverse(names_of(one)));
        let default = config.stores.get(DEFAULT).and_then(|store| store.default_certificate.as_ref());
        let (fallback, chosen) = match default.map(identity) {
            Some(Ok(identity)) => (identity, true),
            Some(Err(error)) => {
                tell(&error);
                (own(hosts)?, false)
            }
            None => (own(hosts)?, false),
        };
        Ok(Self { certificates, fallback, chosen })
    }

    fn find(&self, asked: Option<&str>, issued: Option<&Issued>) -> Arc<CertifiedKey> {
        let name = asked.and_then(|name| ServerName::try_from(name).ok());
        let is_for = |certified: &&Arc<CertifiedKey>| {
            let leaf = certified.cert.first().and_then(|leaf| ParsedCertificate::try_from(leaf).ok());
            matches!((leaf, &name), (Some(leaf), Some(name)) if verify_server_name(&leaf, name).is_ok())
        };
        if let Some(configured) = self.certificates.iter().find(is_for) {
            return configured.clone();
        }
        let issued = issued.filter(|_| !self.chosen).and_then(|issued| issued.find(asked));
        issued.unwrap_or_else(|| self.fallback.clone())
    }
}

impl Certificates {
    /// `issued` makes certificates for names that none is configured for.
    pub(crate) fn new(
        shown: Shown,
        config: &TlsConfiguration,
        issued: Option<Issued>,
    ) -> Result<Arc<Self>, CertificateError> {
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(None)));
        let server = server_config(resolver.clone(), config)?;
        let (shown, config_now) = (ArcSwap::from_pointee(shown), ArcSwap::from_pointee(server));
        let all = Arc::new(Self { shown, config: config_now, named: ArcSwap::default(), issued });
        all.name(config);
        resolver.0.store(Arc::new(Some(Arc::downgrade(&all))));
        Ok(all)
    }

    /// What is shown from now on.
    pub(crate) fn replace(
        self: &Arc<Self>,
        shown: Shown,
        config: &TlsConfiguration,
    ) -> Result<(), CertificateError> {
        let resolver = Arc::new(Resolver(ArcSwap::from_pointee(Some(Arc::downgrade(self)))));
        let server = server_config(resolver, config)?;
        self.shown.store(Arc::new(shown));
        self.config.store(Arc::new(server));
        self.name(config);
        Ok(())
    }

    /// Makes the configurations of all options. Those that cannot be used are told.
    fn name(self: &Arc<Self>, config: &TlsConfiguration) {
        let mut named = Named::new();
        for (name, options) in &config.options {
            let weak = Arc::downgrade(self);
            let resolver: Arc<dyn ResolvesServerCert> = match options.sni_strict {
                true => Arc::new(Strict(weak)),
                false => Arc::new(Resolver(ArcSwap::from_pointee(Some(weak)))),
            };
            let made = handshake::server_config(resolver, options).map(Arc::new);
            if let Err(error) = &made {
                tracing::error!(options = %name, error = %crate::chain(error), "TLS options cannot be used");
            }
            let name = if name == DEFAULT { name.clone() } else { format!("{name}{OF_FILES}") };
            named.insert(name, made.ok());
        }
        self.named.store(Arc::new(named));
    }

    /// How TLS is spoken by options; none if they cannot be used, or are not there.
    pub(crate) fn config_named(&self, name: &str) -> Option<Arc<ServerConfig>> {
        match self.named.load().get(name) {
            Some(config) => config.clone(),
            None => (name == DEFAULT).then(|| self.config()),
        }
    }

    /// What is shown to a client that asks for a name; nothing, if nothing is for it.
    fn strict(&self, name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        let shown = self.shown.load();
        let found = shown.find(name, self.issued.as_ref());
        (!Arc::ptr_eq(&found, &shown.fallback)).then_some(found)
    }

    /// Everything that may be shown, without keys.
    pub(crate) fn leaves(&self) -> Vec<CertificateDer<'static>> {
        let shown = self.shown.load();
        let all = shown.certificates.iter().chain([&shown.fallback]);
        all.filter_map(|certified| certified.cert.first().cloned()).collect()
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        self.config.load_full()
    }
}

/// Finds what is shown now; it does not keep alive what keeps it.
#[derive(Debug)]
struct Resolver(ArcSwap<Option<std::sync::Weak<Certificates>>>);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let all = self.0.load().as_ref().as_ref()?.upgrade()?;
        Some(all.shown.load().find(hello.server_name(), all.issued.as_ref()))
    }
}

/// The same, for options that show nothing to whoever asks for another name.
#[derive(Debug)]
struct Strict(std::sync::Weak<Certificates>);

impl ResolvesServerCert for Strict {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.upgrade()?.strict(hello.server_name())
    }
}

fn server_config(
    resolver: Arc<dyn ResolvesServerCert>,
    config: &TlsConfiguration,
) -> Result<ServerConfig, CertificateError> {
    let default = config.options.get(DEFAULT).cloned().unwrap_or_default();
    // Options of the default that cannot be used are told where they are made by their name.
    let made = handshake::server_config(resolver.clone(), &default);
    let mut server = match made {
        Ok(server) => server,
        Err(_) => mesh_tls::server_speaking(rustls::DEFAULT_VERSIONS, resolver, None)?,
    };
    if server.alpn_protocols.is_empty() && default.alpn_protocols.is_empty() {
        server.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    }
    Ok(server)
}

fn identity(config: &Certificate) -> Result<Arc<CertifiedKey>, CertificateError> {
    let (certificate, key) = (Pem::given(&config.cert_file)?, Pem::given(config.key_file.expose())?);
    Ok(Identity::of(&certificate, &key)?.certified())
}

/// The names that a certificate is for, in their order, as one text.
fn names_of(certified: &Arc<CertifiedKey>) -> String {
    let facts = certified.cert.first().and_then(|leaf| Facts::of_der(leaf).ok());
    let mut names: Vec<String> =
        facts.map_or_else(Vec::new, |facts| facts.names.iter().map(|name| name.to_lowercase()).collect());
    names.sort();
    names.join(",")
}

fn certified(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<CertifiedKey>, CertificateError> {
    let certified =
        CertifiedKey::from_der(chain, key, &mesh_tls::provider()).map_err(CertificateError::Pair)?;
    Ok(Arc::new(certified))
}

/// A certificate that nobody vouches for, so that there is TLS at all.
fn own(hosts: &[String]) -> Result<Arc<CertifiedKey>, CertificateError> {
    let sound =
        |host: &&String| rcgen::string::Ia5String::try_from(host.as_str()).is_ok() && host.as_str() != "*";
    let mut names = vec![OWN_NAME.to_owned()];
    names.extend(hosts.iter().filter(sound).take(OWN_NAMES_MAX).cloned());
    let made = rcgen::generate_simple_self_signed(names).map_err(CertificateError::Make)?;
    let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    certified(vec![made.cert.der().clone()], key.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::model::{Hidden, Store, StoredCertificate};
    use mesh_redact::Secret;

    fn stored(name: &str) -> StoredCertificate {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).expect("a certificate");
        let key = Secret::new(made.signing_key.serialize_pem());
        StoredCertificate { cert_file: made.cert.pem(), key_file: Hidden(key), stores: Vec::new() }
    }

    #[test]
    fn a_client_is_shown_what_it_asks_for() {
        let broken =
            StoredCertificate { cert_file: "/nowhere/a.pem".to_owned(), ..StoredCertificate::default() };
        let config = TlsConfiguration {
            certificates: vec![stored("*.b.test"), broken, stored("a.test"), stored("y.b.test")],
            ..TlsConfiguration::default()
        };
        let mut warnings = Vec::new();
        let shown = Shown::read(&config, &["c.test".to_owned()], &mut warnings).expect("certificates");
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(!format!("{warnings:?}").contains("KEY"));
        let which = |name: Option<&str>| {
            let found = shown.find(name, None);
            shown.certificates.iter().find(|one| Arc::ptr_eq(one, &found)).map(names_of)
        };
        for (name, expected) in [
            (Some("a.test"), Some("a.test")),
            (Some("x.b.test"), Some("*.b.test")),
            (Some("y.b.test"), Some("y.b.test")),
            (Some("c.test"), None),
            (None, None),
        ] {
            assert_eq!(which(name).as_deref(), expected, "{name:?}");
        }
        let leaf = ParsedCertificate::try_from(&shown.fallback.cert[0]).expect("a certificate");
        verify_server_name(&leaf, &ServerName::try_from("c.test").expect("a name")).expect("its own host");
    }

    /// Configured ones first, then the default store's, then those of the authority.
    #[test]
    fn what_is_configured_goes_before_what_is_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["a.test", "b.test"].map(str::to_owned).into();
        let root = mesh_authority::Authorities::of(folder.path()).root_for("shop", &names).expect("a root");
        let made =
            mesh_authority::Intermediate::make(&root, "shop", &names, issued::unix_seconds()).expect("made");
        let path = folder.path().join("authority.pem");
        std::fs::write(&path, made.text.expose()).expect("written");
        let issued = Issued::new(path);
        let mut config =
            TlsConfiguration { certificates: vec![stored("a.test")], ..TlsConfiguration::default() };
        let shown = Shown::read(&config, &[], &mut Vec::new()).expect("certificates");
        let count = |shown: &Shown, name| shown.find(name, Some(&issued)).cert.len();
        assert_eq!(count(&shown, Some("a.test")), 1, "configured");
        assert_eq!(count(&shown, Some("b.test")), 2, "made");
        assert_eq!(count(&shown, Some("c.test")), 1, "not allowed: its own");
        let StoredCertificate { cert_file, key_file, .. } = stored("d.test");
        let default = Some(Certificate { cert_file, key_file });
        config.stores.insert(DEFAULT.to_owned(), Store { default_certificate: default, ..Store::default() });
        let shown = Shown::read(&config, &[], &mut Vec::new()).expect("certificates");
        for name in [Some("b.test"), Some("c.test"), None] {
            let found = shown.find(name, Some(&issued));
            assert!(Arc::ptr_eq(&found, &shown.fallback) && shown.chosen, "{name:?}");
        }
    }
}
