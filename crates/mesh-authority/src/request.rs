//! An authority for a gateway that somebody else signs, such as a vault: the key and the request are made here, what
//! comes back is doubted.
//!
//! What was signed is taken only where it is for our key and constrained to names, and where a certificate that it
//! signs is believed by whoever believes the root that came with it.

use crate::{
    AuthorityError, Issuer, Scope,
    certificate::{self, DAY_SECONDS},
    intermediate::{Intermediate, title},
};
use mesh_redact::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::{
    RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};
use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How long what is asked for shall live, in seconds.
const LIFE_SECONDS: i64 = 30 * DAY_SECONDS;
/// Most certificates between what was signed and the root, both included.
const CHAIN_MAX: usize = 8;
/// A name that every such authority is for.
const LOCALHOST: &str = "localhost";

/// A key, and the request to sign an authority for it.
pub struct Request {
    key: KeyPair,
    scope: Scope,
    subject: String,
    csr: String,
}

/// What came of one.
#[derive(Debug, Clone)]
pub struct Signed {
    /// For the gateway.
    pub intermediate: Intermediate,
    /// Who vouches for it in the end, as PEM: what clients trust.
    pub root_pem: String,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request").field("scope", &self.scope).finish_non_exhaustive()
    }
}

impl Request {
    /// A request for an authority for these names of a project's gateway, and for the machine itself.
    ///
    /// # Errors
    /// Where no key can be made.
    pub fn make(project: &str, names: &BTreeSet<String>) -> Result<Self, AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let subject = title(project);
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, subject.as_str());
        let csr = params.serialize_request(&key).and_then(|made| made.pem()).map_err(AuthorityError::Make)?;
        Ok(Self { key, scope: Scope::of(names), subject, csr })
    }

    /// The request, as PEM (PKCS #10).
    #[must_use]
    pub fn csr(&self) -> &str {
        &self.csr
    }

    /// Whose authority it shall be.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// The domains that it shall be constrained to.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.scope.domains()
    }

    /// How long it shall live, in seconds.
    #[must_use]
    pub fn life_seconds(&self) -> i64 {
        LIFE_SECONDS
    }

    /// Takes what was signed at this moment (seconds since 1970): PEM texts, the authority's first, then those above it
    /// up to a root that signed itself. One that is there twice counts once.
    ///
    /// # Errors
    /// [`AuthorityError::NotAnAuthority`] for anything else than was asked for, [`AuthorityError::Unbelieved`] where
    /// what it signs is not believed by its root.
    pub fn signed(self, texts: &[String], now: i64) -> Result<Signed, AuthorityError> {
        let wrong = || AuthorityError::NotAnAuthority;
        let mut chain: Vec<CertificateDer<'static>> = Vec::new();
        for text in texts {
            for found in CertificateDer::pem_slice_iter(text.as_bytes()) {
                let found = found.map_err(|_| wrong())?;
                if !chain.contains(&found) {
                    chain.push(found);
                }
            }
        }
        if chain.len() > CHAIN_MAX {
            return Err(wrong());
        }
        let root = chain.pop().filter(|root| !chain.is_empty() && signed_itself(root)).ok_or_else(wrong)?;
        let mut text = certificate::key_pem(&self.key).expose().clone();
        text.extend(chain.iter().map(|one| certificate::pem(one)));
        // Reads it as the gateway will, and looks whether key and certificate go together.
        let issuer = Issuer::read(text.as_bytes())?;
        let strange = |domain: &&str| !self.scope.permits(domain);
        if let Some(name) = issuer.domains().find(strange) {
            return Err(AuthorityError::NotAllowed { name: name.to_owned() });
        }
        let ends = chain.iter().chain([&root]).map(|one| until(one).ok_or_else(wrong));
        let until = ends.collect::<Result<Vec<i64>, _>>()?.into_iter().min().unwrap_or_default();
        if until <= now {
            return Err(AuthorityError::Expired);
        }
        believed(&issuer, &root, now)?;
        let intermediate = Intermediate {
            text: Secret::new(text),
            scope: self.scope,
            until_unix_seconds: until,
            renew_from_unix_seconds: now + (until - now) / 2,
        };
        Ok(Signed { intermediate, root_pem: certificate::pem(&root) })
    }
}

/// Whether a certificate that an authority signs is believed by whoever believes a root.
fn believed(issuer: &Issuer, root: &CertificateDer<'static>, now: i64) -> Result<(), AuthorityError> {
    let leaf = issuer.leaf(LOCALHOST, now)?;
    let unbelieved = |source| AuthorityError::Unbelieved { source };
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).map_err(unbelieved)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| unbelieved(rustls::Error::General(error.to_string())))?;
    let now = UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(now).unwrap_or_default()));
    let name = ServerName::try_from(LOCALHOST)
        .map_err(|_| AuthorityError::NotAllowed { name: LOCALHOST.to_owned() })?;
    let outcome = verifier.verify_server_cert(&leaf.chain[0], &leaf.chain[1..], &name, &[], now);
    outcome.map(|_| ()).map_err(unbelieved)
}

fn signed_itself(certificate: &CertificateDer<'_>) -> bool {
    let parsed = X509Certificate::from_der(certificate);
    parsed.is_ok_and(|(_, found)| found.subject() == found.issuer())
}

/// Until when a certificate holds, in seconds since 1970.
fn until(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, found) = X509Certificate::from_der(certificate).ok()?;
    Some(found.validity().not_after.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateSigningRequestParams, GeneralSubtree, IsCa, NameConstraints};

    /// An authority elsewhere, in two tiers.
    struct Elsewhere {
        root: rcgen::Certificate,
        between: rcgen::Certificate,
        issuer: rcgen::Issuer<'static, KeyPair>,
    }

    fn authority(name: &str) -> CertificateParams {
        let now = certificate::now();
        let mut params = certificate::params(name, now - 60, now + 90 * DAY_SECONDS).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params
    }

    fn elsewhere() -> Elsewhere {
        let (key, below) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let root = authority("Root").self_signed(&key).unwrap();
        let above = rcgen::Issuer::new(authority("Root"), key);
        let between = authority("Between").signed_by(&below, &above).unwrap();
        Elsewhere { root, between, issuer: rcgen::Issuer::new(authority("Between"), below) }
    }

    impl Elsewhere {
        fn sign(&self, request: &Request, domains: &[&str], life: i64) -> String {
            let mut asked = CertificateSigningRequestParams::from_pem(request.csr()).unwrap();
            let now = certificate::now();
            let mut params = certificate::params("x", now - 60, now + life).unwrap();
            params.distinguished_name = asked.params.distinguished_name.clone();
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
            let permitted = domains.iter().map(|&domain| GeneralSubtree::DnsName(domain.to_owned()));
            if !domains.is_empty() {
                let permitted_subtrees = permitted.collect();
                params.name_constraints =
                    Some(NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
            }
            asked.params = params;
            asked.signed_by(&self.issuer).unwrap().pem()
        }
    }

    fn request() -> Request {
        Request::make("shop", &BTreeSet::from(["shop.example".to_owned()])).unwrap()
    }

    #[test]
    fn what_was_signed_as_asked_is_taken() {
        let (elsewhere, request, now) = (elsewhere(), request(), certificate::now());
        assert_eq!(request.domains().collect::<Vec<_>>(), ["localhost", "shop.example"]);
        let own = elsewhere.sign(&request, &["localhost", "shop.example"], 2 * DAY_SECONDS);
        let (between, root) = (elsewhere.between.pem(), elsewhere.root.pem());
        let signed = request.signed(&[own.clone(), own, between, root.clone()], now).unwrap();
        assert_eq!(signed.root_pem.split_whitespace().count(), root.split_whitespace().count());
        let days = signed.intermediate.until_unix_seconds - now;
        assert!((DAY_SECONDS..=2 * DAY_SECONDS).contains(&days), "{days}");
        let issuer = Issuer::read(signed.intermediate.text.expose().as_bytes()).unwrap();
        assert_eq!(issuer.leaf("shop.example", now).unwrap().chain.len(), 3, "without the root");
        assert!(!format!("{signed:?}").contains("PRIVATE"));
    }

    #[test]
    fn what_is_something_else_is_refused() {
        let (elsewhere, other, now) = (elsewhere(), elsewhere(), certificate::now());
        let (between, root) = (elsewhere.between.pem(), elsewhere.root.pem());
        let names = ["localhost", "shop.example"];
        let check = |name: &str, texts: &dyn Fn(&Request) -> Vec<String>| {
            let request = request();
            let texts = texts(&request);
            let outcome = request.signed(&texts, now);
            assert!(outcome.is_err(), "{name}: {outcome:?}");
        };
        let good = |request: &Request| elsewhere.sign(request, &names, DAY_SECONDS);
        check("nothing", &|_| vec![]);
        check("no certificate", &|_| vec!["hunter2".to_owned(), root.clone()]);
        check("no root", &|request| vec![good(request), between.clone()]);
        check("another's root", &|request| vec![good(request), between.clone(), other.root.pem()]);
        check("a gap", &|request| vec![good(request), root.clone()]);
        check("another key", &|_| vec![good(&request()), between.clone(), root.clone()]);
        check("for all names", &|request| {
            vec![elsewhere.sign(request, &[], DAY_SECONDS), between.clone(), root.clone()]
        });
        check("for more names", &|request| {
            let more = [names[0], names[1], "other.example"];
            vec![elsewhere.sign(request, &more, DAY_SECONDS), between.clone(), root.clone()]
        });
        check("expired", &|request| vec![elsewhere.sign(request, &names, -1), between.clone(), root.clone()]);
    }
}
