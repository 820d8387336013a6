//! What every certificate here has in common: whose it is and when it holds.

use crate::AuthorityError;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_redact::Secret;
use rcgen::{CertificateParams, DistinguishedName, DnType, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject as _};
use std::time::{SystemTime, UNIX_EPOCH};
use x509_parser::{prelude::FromDer as _, time::ASN1Time};

/// Clocks that are behind by so many seconds still find a certificate good.
pub(crate) const BACKDATED_SECONDS: i64 = 3_600;
/// A day.
pub(crate) const DAY_SECONDS: i64 = 86_400;
/// Most characters of a common name (RFC 5280, A.1).
const COMMON_NAME_CHARS_MAX: usize = 64;
/// Characters of a line of PEM (RFC 7468, 2).
const PEM_LINE_CHARS: usize = 64;

/// A certificate of an authority, with its key.
pub(crate) struct Signer {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) from: i64,
    pub(crate) until: i64,
}

/// The present, in seconds since 1970.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// What is signed, with its subject and its times in seconds since 1970.
pub(crate) fn params(subject: &str, from: i64, until: i64) -> Result<CertificateParams, AuthorityError> {
    let time = |seconds| ASN1Time::from_timestamp(seconds).map_err(|_| AuthorityError::Expired);
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    let subject: String = subject.chars().take(COMMON_NAME_CHARS_MAX).collect();
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = time(from)?.to_datetime();
    params.not_after = time(until)?.to_datetime();
    Ok(params)
}

impl Signer {
    /// Of PEM text with a key and a certificate that go together; the certificate must be one of an authority.
    pub(crate) fn read(text: &[u8]) -> Result<(Self, Vec<CertificateDer<'static>>), AuthorityError> {
        let wrong = || AuthorityError::NotAnAuthority;
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
        let chain = chain.map_err(|_| wrong())?;
        let first = chain.first().ok_or_else(wrong)?.clone();
        let key = PrivateKeyDer::from_pem_slice(text).map_err(|_| wrong())?;
        let key = KeyPair::try_from(&key).map_err(|_| wrong())?;
        Ok((Self::of(first, key)?, chain))
    }

    pub(crate) fn of(certificate: CertificateDer<'static>, key: KeyPair) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError::NotAnAuthority;
        let (_, found) =
            x509_parser::certificate::X509Certificate::from_der(&certificate).map_err(|_| wrong())?;
        let same = found.public_key().subject_public_key.data.as_ref() == key.public_key_raw();
        if !found.is_ca() || !same {
            return Err(wrong());
        }
        let (from, until) = (found.validity().not_before.timestamp(), found.validity().not_after.timestamp());
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(AuthorityError::Make)?;
        Ok(Self { certificate, issuer, from, until })
    }

    /// Its domains; an authority without constraints is for all, and is none of ours.
    pub(crate) fn domains(&self) -> Result<std::collections::BTreeSet<String>, AuthorityError> {
        let (_, found) = x509_parser::certificate::X509Certificate::from_der(&self.certificate)
            .map_err(|_| AuthorityError::NotAnAuthority)?;
        crate::scope::domains_of(&found).ok_or(AuthorityError::NotAnAuthority)
    }
}

/// A certificate as PEM.
pub(crate) fn pem(certificate: &CertificateDer<'_>) -> String {
    let text = STANDARD.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE_CHARS));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// A key as PEM.
pub(crate) fn key_pem(key: &KeyPair) -> Secret<String> {
    Secret::new(key.serialize_pem())
}

/// A key as rustls takes it.
pub(crate) fn key_der(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()))
}

/// A few hexadecimal digits that tell one authority from the next, of its public key.
pub(crate) fn mark(public_key: &[u8]) -> String {
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, public_key);
    sum.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}
