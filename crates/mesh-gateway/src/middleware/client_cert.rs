//! The client's certificate, as headers.

use super::{errors::query_escaped, exchange::Exchange};
use crate::config::model::{self, DistinguishedNameInfo};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hyper::header::{HeaderName, HeaderValue};
use std::net::IpAddr;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate, X509Name};

const CERTIFICATE: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert");
const INFO: HeaderName = HeaderName::from_static("x-forwarded-tls-client-cert-info");

/// Parts of a name by their numbers, in the order in which they are told: the letters before each, and whether it was
/// asked for.
type Part = (&'static str, &'static str, fn(&DistinguishedNameInfo) -> bool);
const PARTS: &[Part] = &[
    ("0.9.2342.19200300.100.1.25", "DC", |info| info.domain_component),
    ("2.5.4.6", "C", |info| info.country),
    ("2.5.4.8", "ST", |info| info.province),
    ("2.5.4.7", "L", |info| info.locality),
    ("2.5.4.10", "O", |info| info.organization),
    ("2.5.4.11", "OU", |info| info.organizational_unit),
    ("2.5.4.5", "SN", |info| info.serial_number),
    ("2.5.4.3", "CN", |info| info.common_name),
];

/// Of these a name has one, for Go: the last.
const LAST_ALONE: &[&str] = &["SN", "CN"];

#[derive(Debug)]
pub(crate) struct ClientCert {
    pem: bool,
    info: Option<model::TlsClientCertInfo>,
}

impl ClientCert {
    pub(super) fn new(config: &model::PassTlsClientCert) -> Self {
        Self { pem: config.pem, info: config.info.clone() }
    }

    pub(super) fn before(&self, exchange: &mut Exchange) {
        if exchange.peer.is_empty() {
            return;
        }
        let chain = exchange.peer.clone();
        let all = |of: &dyn Fn(&[u8]) -> String| {
            chain.iter().map(|certificate| of(certificate)).collect::<Vec<_>>().join(",")
        };
        let mut told = |name: HeaderName, value: String| {
            if let Ok(value) = HeaderValue::from_str(&value) {
                exchange.headers.insert(name, value);
            }
        };
        if self.pem {
            told(CERTIFICATE, all(&|der| BASE64_STANDARD.encode(der)));
        }
        if let Some(info) = &self.info {
            told(INFO, query_escaped(&all(&|der| described(info, der))));
        }
    }
}

fn described(info: &model::TlsClientCertInfo, der: &[u8]) -> String {
    let Ok((_, certificate)) = X509Certificate::from_der(der) else { return String::new() };
    let mut values = Vec::new();
    let mut note = |name: &str, value: String| {
        if !value.is_empty() {
            values.push(format!("{name}=\"{value}\""));
        }
    };
    if let Some(wanted) = &info.subject {
        note("Subject", name(certificate.subject(), wanted));
    }
    if let Some(wanted) = &info.issuer {
        note("Issuer", name(certificate.issuer(), wanted));
    }
    if info.serial_number {
        note("SerialNumber", certificate.serial.to_string());
    }
    if info.not_before {
        note("NB", certificate.validity().not_before.timestamp().to_string());
    }
    if info.not_after {
        note("NA", certificate.validity().not_after.timestamp().to_string());
    }
    if info.sans {
        note("SAN", names(&certificate).join(","));
    }
    values.join(";")
}

fn name(name: &X509Name<'_>, wanted: &DistinguishedNameInfo) -> String {
    let mut told = Vec::new();
    for (number, letters, is_wanted) in PARTS {
        let found = name.iter_attributes().filter(|part| part.attr_type().to_id_string() == *number);
        let texts = found.filter_map(|part| part.as_str().ok()).filter(|text| !text.is_empty());
        if is_wanted(wanted) {
            let mut texts: Vec<String> = texts.map(|text| format!("{letters}={text}")).collect();
            if LAST_ALONE.contains(letters) {
                texts.drain(..texts.len().saturating_sub(1));
            }
            told.append(&mut texts);
        }
    }
    told.join(",")
}

/// Names, then addresses of mail, of machines, and others, as Go sorts them.
fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let all = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    let mut found: Vec<(u8, String)> = all
        .flatten()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some((0, (*text).to_owned())),
            GeneralName::RFC822Name(text) => Some((1, (*text).to_owned())),
            GeneralName::IPAddress([a, b, c, d]) => Some((2, IpAddr::from([*a, *b, *c, *d]).to_string())),
            GeneralName::IPAddress(bytes) => {
                Some((2, IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()))
            }
            GeneralName::URI(text) => Some((3, (*text).to_owned())),
            _ => None,
        })
        .collect();
    found.sort_by_key(|(kind, _)| *kind);
    found.into_iter().map(|(_, text)| text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    #[test]
    fn a_certificate_is_told_as_asked() {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).expect("names");
        params.subject_alt_names.push(SanType::URI("spiffe://x".try_into().expect("text")));
        params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "kim");
        params.distinguished_name.push(DnType::CountryName, "FR");
        params.serial_number = Some(255_u64.into());
        let key = KeyPair::generate().expect("a key");
        let made = params.self_signed(&key).expect("a certificate");
        let mut exchange = Exchange { peer: vec![made.der().clone()].into(), ..Exchange::default() };
        let subject = DistinguishedNameInfo { common_name: true, country: true, ..Default::default() };
        let info = model::TlsClientCertInfo {
            subject: Some(subject),
            serial_number: true,
            sans: true,
            ..Default::default()
        };
        let layer = ClientCert::new(&model::PassTlsClientCert { pem: true, info: Some(info) });
        layer.before(&mut exchange);
        assert_eq!(exchange.headers[CERTIFICATE], BASE64_STANDARD.encode(made.der()).as_str());
        let expected = "Subject=\"C=FR,CN=kim\";SerialNumber=\"255\";SAN=\"a.test,127.0.0.1,spiffe://x\"";
        assert_eq!(exchange.headers[INFO], query_escaped(expected).as_str());
        let mut without = Exchange::default();
        layer.before(&mut without);
        assert!(without.headers.is_empty());
    }
}
