//! The certificates that clients are shown, as the API shows them. No key is ever looked at.

use super::{
    Page, Refusal, View,
    listing::{self, Criterion},
    query::Query,
};
use crate::clock;
use rustls::pki_types::CertificateDer;
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use std::{
    net::IpAddr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, public_key::PublicKey,
    x509::X509Name,
};

/// A certificate that holds for less than this is told with a warning.
const SOON: Duration = Duration::from_secs(30 * 86_400);
/// Most names of a certificate that are told.
const NAMES_MAX: usize = 100;
/// The algorithms that signatures are made by, under the names that Traefik's API has.
const SIGNATURES: &[(&str, &str)] = &[
    ("1.2.840.10045.4.3.2", "ECDSA-SHA256"),
    ("1.2.840.10045.4.3.3", "ECDSA-SHA384"),
    ("1.2.840.10045.4.3.4", "ECDSA-SHA512"),
    ("1.2.840.113549.1.1.5", "SHA1-RSA"),
    ("1.2.840.113549.1.1.11", "SHA256-RSA"),
    ("1.2.840.113549.1.1.12", "SHA384-RSA"),
    ("1.2.840.113549.1.1.13", "SHA512-RSA"),
    ("1.3.101.112", "Ed25519"),
];

/// One of them.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shown {
    name: String,
    sans: Vec<String>,
    not_after: String,
    not_before: String,
    serial_number: String,
    common_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer_org: String,
    #[serde(rename = "issuerCN", skip_serializing_if = "String::is_empty")]
    issuer_cn: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    issuer_country: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    organization: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    country: String,
    version: String,
    key_type: &'static str,
    #[serde(skip_serializing_if = "is_zero")]
    key_size: usize,
    signature_algorithm: String,
    cert_fingerprint: String,
    public_key_fingerprint: String,
    pub(super) status: &'static str,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(size: &usize) -> bool {
    *size == 0
}

impl View<'_> {
    pub(super) fn shown_certificates(&self) -> Vec<Shown> {
        let now = SystemTime::now();
        let leaves = self.certificates.map(|certificates| certificates.leaves()).unwrap_or_default();
        leaves.iter().filter_map(|leaf| shown(leaf, now)).collect()
    }

    pub(super) fn certificates(&self, query: &Query) -> Result<Page, Refusal> {
        let criterion = Criterion::new(query);
        let mut all = self.shown_certificates();
        all.retain(|one| {
            let mut texts = vec![one.common_name.as_str(), &one.issuer_org, &one.issuer_cn];
            texts.extend(one.sans.iter().map(String::as_str));
            criterion.is_status(one.status) && criterion.finds(&texts)
        });
        listing::sort(&mut all, query, |left, right| {
            match query.get("sortBy") {
                "status" => left.status.cmp(right.status),
                "issuer" => left.issuer().cmp(right.issuer()),
                "validUntil" => left.not_after.cmp(&right.not_after),
                _ => std::cmp::Ordering::Equal,
            }
            .then_with(|| left.common_name.cmp(&right.common_name))
        });
        listing::page(&all, query, |one| serde_json::to_value(one).unwrap_or_default())
    }

    pub(super) fn certificate(&self, name: &str) -> Result<Page, Refusal> {
        let found = self.shown_certificates().into_iter().find(|one| one.name == name);
        let found = found.ok_or_else(|| Refusal::NotFound(format!("certificate not found: {name}")))?;
        Ok(serde_json::to_value(&found).unwrap_or_default().into())
    }
}

impl Shown {
    fn issuer(&self) -> &str {
        if self.issuer_org.is_empty() { &self.issuer_cn } else { &self.issuer_org }
    }
}

fn shown(leaf: &CertificateDer<'_>, now: SystemTime) -> Option<Shown> {
    let (_, certificate) = X509Certificate::from_der(leaf).ok()?;
    let at = |seconds: i64| UNIX_EPOCH + Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let until = at(certificate.validity().not_after.timestamp());
    let status = match until.duration_since(now) {
        Err(_) => "expired",
        Ok(left) if left < SOON => "warning",
        Ok(_) => "enabled",
    };
    let (key_type, key_size) = match certificate.public_key().parsed() {
        Ok(PublicKey::RSA(key)) => ("RSA", key.key_size()),
        Ok(PublicKey::EC(key)) => ("ECDSA", key.key_size()),
        _ => ("Unknown", 0),
    };
    let algorithm = certificate.signature_algorithm.algorithm.to_id_string();
    let algorithm =
        SIGNATURES.iter().find(|(id, _)| *id == algorithm).map_or(algorithm.as_str(), |known| known.1);
    let (subject, issuer) = (certificate.subject(), certificate.issuer());
    let fingerprint = hexadecimal(leaf);
    Some(Shown {
        name: fingerprint.clone(),
        sans: names(&certificate),
        not_after: clock::rfc3339(until),
        not_before: clock::rfc3339(at(certificate.validity().not_before.timestamp())),
        serial_number: certificate.serial.to_string(),
        common_name: first(subject.iter_common_name()),
        issuer_org: first(issuer.iter_organization()),
        issuer_cn: first(issuer.iter_common_name()),
        issuer_country: country(issuer),
        organization: first(subject.iter_organization()),
        country: country(subject),
        version: format!("v{}", certificate.version().0 + 1),
        key_type,
        key_size,
        signature_algorithm: algorithm.to_owned(),
        cert_fingerprint: fingerprint,
        public_key_fingerprint: hexadecimal(certificate.public_key().raw),
        status,
    })
}

fn hexadecimal(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn first<'a>(mut values: impl Iterator<Item = &'a x509_parser::x509::AttributeTypeAndValue<'a>>) -> String {
    values.next().and_then(|value| value.as_str().ok()).unwrap_or_default().to_owned()
}

fn country(name: &X509Name<'_>) -> String {
    first(name.iter_country())
}

/// The names and addresses that a certificate is for, sorted.
pub(crate) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let names = certificate.subject_alternative_name().ok().flatten();
    let names = names.iter().flat_map(|names| &names.value.general_names).filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    });
    let mut names: Vec<String> = names.take(NAMES_MAX).collect();
    names.sort();
    names
}
