//! What a gateway does with the authority it was given: certificates for the names that it is asked for.

use crate::{
    AuthorityError,
    certificate::{self, BACKDATED_SECONDS, DAY_SECONDS, Signer},
};
use rcgen::{ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{
    collections::BTreeSet,
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

/// How long a certificate lives that a client is shown.
const LIFE_SECONDS: i64 = 7 * DAY_SECONDS;
/// The name of the machine itself; its certificate is for the machine's own addresses too.
const LOCALHOST: &str = "localhost";

/// An authority that signs what clients are shown.
pub struct Issuer {
    signer: Signer,
    chain: Vec<CertificateDer<'static>>,
    domains: BTreeSet<String>,
}

/// A certificate for one name.
#[derive(Debug)]
pub struct Leaf {
    /// It, and those between it and the root.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Until when it holds, in seconds since 1970.
    pub until_unix_seconds: i64,
    /// From when on it is to be replaced, in seconds since 1970.
    pub renew_from_unix_seconds: i64,
}

impl fmt::Debug for Issuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issuer").field("domains", &self.domains).finish_non_exhaustive()
    }
}

impl Issuer {
    /// Of PEM text with a key, the certificate of the authority, and those between that and a root.
    ///
    /// # Errors
    /// [`AuthorityError::NotAnAuthority`] for anything else, and for an authority without constraints.
    pub fn read(text: &[u8]) -> Result<Self, AuthorityError> {
        let (signer, chain) = Signer::read(text)?;
        let domains = signer.domains()?;
        Ok(Self { signer, chain, domains })
    }

    /// Whether it may speak for this name.
    #[must_use]
    pub fn permits(&self, name: &str) -> bool {
        crate::scope::permits(self.domains.iter().map(String::as_str), name)
    }

    /// The domains that it is constrained to.
    pub fn domains(&self) -> impl Iterator<Item = &str> {
        self.domains.iter().map(String::as_str)
    }

    /// Until when it holds, in seconds since 1970.
    #[must_use]
    pub fn until_unix_seconds(&self) -> i64 {
        self.signer.until
    }

    /// A certificate for this name (as [`crate::name`] gives it), at this moment in seconds since 1970.
    ///
    /// # Errors
    /// A name that it is not for, and an authority that has expired.
    pub fn leaf(&self, name: &str, now: i64) -> Result<Leaf, AuthorityError> {
        if !self.permits(name) {
            return Err(AuthorityError::NotAllowed { name: name.to_owned() });
        }
        let until = (now + LIFE_SECONDS).min(self.signer.until);
        let from = (now - BACKDATED_SECONDS).max(self.signer.from);
        if until <= now {
            return Err(AuthorityError::Expired);
        }
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = certificate::params(name, from, until)?;
        let dns = name.try_into().map_err(AuthorityError::Make)?;
        params.subject_alt_names = vec![SanType::DnsName(dns)];
        if name == LOCALHOST {
            params.subject_alt_names.push(SanType::IpAddress(Ipv4Addr::LOCALHOST.into()));
            params.subject_alt_names.push(SanType::IpAddress(Ipv6Addr::LOCALHOST.into()));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&key, &self.signer.issuer).map_err(AuthorityError::Make)?;
        let mut chain = vec![made.der().clone()];
        chain.extend(self.chain.iter().cloned());
        let renew_from_unix_seconds = now + (until - now) / 2;
        Ok(Leaf {
            chain,
            key: certificate::key_der(&key),
            until_unix_seconds: until,
            renew_from_unix_seconds,
        })
    }
}

#[cfg(test)]
impl Issuer {
    /// Leaves the look at the scope away, as another program with the same key would.
    pub(crate) fn allow(&mut self, domain: &str) {
        self.domains.insert(domain.to_owned());
    }

    /// An authority that this one signed, as another program with the same key would make it.
    pub(crate) fn authority_below(&self, domain: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = certificate::params("below", self.signer.from, self.signer.until).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.use_authority_key_identifier_extension = true;
        let made = params.signed_by(&key, &self.signer.issuer).unwrap();
        let mut chain = vec![made.der().clone()];
        chain.extend(self.chain.iter().cloned());
        let signer = Signer::of(made.der().clone(), key).unwrap();
        Self { signer, chain, domains: BTreeSet::from([domain.to_owned()]) }
    }
}
