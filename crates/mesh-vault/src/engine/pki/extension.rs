//! Extensions of certificates and lists (RFC 5280, 4.2 and 5.2).

use super::{
    der::{self, Malformed, Reader},
    general_name::{NameError, Names},
};

/// Extensions that one certificate or request may have.
const EXTENSIONS_MAX: usize = 64;

pub(super) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 29, 14];
pub(super) const KEY_USAGE: &[u8] = &[0x55, 29, 15];
pub(super) const SUBJECT_ALTERNATIVE_NAME: &[u8] = &[0x55, 29, 17];
pub(super) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 29, 19];
const CRL_NUMBER: &[u8] = &[0x55, 29, 20];
const NAME_CONSTRAINTS: &[u8] = &[0x55, 29, 30];
pub(super) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 29, 31];
const CERTIFICATE_POLICIES: &[u8] = &[0x55, 29, 32];
pub(super) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 29, 35];
const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 29, 37];
/// id-pe-authorityInfoAccess.
pub(super) const AUTHORITY_INFORMATION: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];

/// Bits of `KeyUsage`.
pub(super) const DIGITAL_SIGNATURE: u16 = 1;
pub(super) const CERTIFICATE_SIGN: u16 = 1 << 5;
pub(super) const CRL_SIGN: u16 = 1 << 6;

/// One extension.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Extension {
    /// The content of its object identifier.
    pub(super) oid: Vec<u8>,
    pub(super) critical: bool,
    pub(super) value: Vec<u8>,
}

impl Extension {
    fn new(oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        Self { oid: oid.to_vec(), critical, value }
    }

    fn encode(&self) -> Vec<u8> {
        let critical = if self.critical { der::element(der::BOOLEAN, &[0xff]) } else { Vec::new() };
        let value = der::element(der::OCTET_STRING, &self.value);
        der::sequence(&[&der::element(der::OID, &self.oid), &critical, &value])
    }
}

/// `Extensions`.
pub(super) fn encode_all(extensions: &[Extension]) -> Vec<u8> {
    let encoded: Vec<_> = extensions.iter().map(Extension::encode).collect();
    der::element(der::SEQUENCE, &encoded.concat())
}

/// Reads `Extensions`. One that is there twice is malformed.
pub(super) fn parse_all(element: der::Element<'_>) -> Result<Vec<Extension>, Malformed> {
    let mut extensions: Vec<Extension> = Vec::new();
    let mut inside = element.inside();
    while !inside.is_empty() {
        let mut one = inside.expect(der::SEQUENCE)?.inside();
        let oid = one.expect(der::OID)?.content;
        let critical = one.optional(der::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
        let value = one.expect(der::OCTET_STRING)?.content;
        one.end()?;
        if extensions.len() == EXTENSIONS_MAX || find(&extensions, oid).is_some() {
            return Err(Malformed);
        }
        extensions.push(Extension::new(oid, critical, value.to_vec()));
    }
    Ok(extensions)
}

/// The extension of that identifier.
pub(super) fn find<'a>(extensions: &'a [Extension], oid: &[u8]) -> Option<&'a Extension> {
    extensions.iter().find(|extension| extension.oid == oid)
}

/// `KeyUsage`, critical.
pub(super) fn key_usage(mask: u16) -> Extension {
    Extension::new(KEY_USAGE, true, der::named_bits(mask))
}

/// `ExtKeyUsageSyntax` of identifiers' contents.
pub(super) fn extended_key_usage(purposes: &[Vec<u8>]) -> Extension {
    let purposes: Vec<_> = purposes.iter().map(|oid| der::element(der::OID, oid)).collect();
    Extension::new(EXTENDED_KEY_USAGE, false, der::element(der::SEQUENCE, &purposes.concat()))
}

/// `BasicConstraints`, critical.
pub(super) fn basic_constraints(authority: bool, path_length: Option<u32>) -> Extension {
    let authority_flag = if authority { der::element(der::BOOLEAN, &[0xff]) } else { Vec::new() };
    let length =
        path_length.filter(|_| authority).map(|length| der::number(length.into())).unwrap_or_default();
    Extension::new(BASIC_CONSTRAINTS, true, der::sequence(&[&authority_flag, &length]))
}

/// Reads `BasicConstraints`: whether it is an authority, and how many may follow.
pub(super) fn parse_basic_constraints(value: &[u8]) -> Result<(bool, Option<u32>), Malformed> {
    let mut inside = Reader::only(value, der::SEQUENCE)?.inside();
    let authority = inside.optional(der::BOOLEAN)?.is_some_and(|flag| flag.content != [0]);
    if inside.is_empty() {
        return Ok((authority, None));
    }
    let length = inside.unsigned()?;
    if length.len() > 3 {
        return Err(Malformed);
    }
    Ok((authority, Some(length.iter().fold(0, |value, byte| value << 8 | u32::from(*byte)))))
}

/// `SubjectKeyIdentifier`.
pub(super) fn subject_key_identifier(identifier: &[u8]) -> Extension {
    Extension::new(SUBJECT_KEY_IDENTIFIER, false, der::element(der::OCTET_STRING, identifier))
}

/// `AuthorityKeyIdentifier`.
pub(super) fn authority_key_identifier(identifier: &[u8]) -> Extension {
    let identifier = der::element(der::context_primitive(0), identifier);
    Extension::new(AUTHORITY_KEY_IDENTIFIER, false, der::sequence(&[&identifier]))
}

/// `SubjectAltName`; critical where the subject is empty.
pub(super) fn alternative_names(names: &Names, critical: bool) -> Result<Extension, NameError> {
    Ok(Extension::new(SUBJECT_ALTERNATIVE_NAME, critical, names.encode()?))
}

/// `AuthorityInfoAccess`.
pub(super) fn authority_information(ocsp: &[String], issuers: &[String]) -> Extension {
    let mut content = Vec::new();
    for (arc, urls) in [(1, ocsp), (2, issuers)] {
        for url in urls {
            let method = der::element(der::OID, &[0x2b, 6, 1, 5, 5, 7, 48, arc]);
            content
                .extend(der::sequence(&[&method, &der::element(der::context_primitive(6), url.as_bytes())]));
        }
    }
    Extension::new(AUTHORITY_INFORMATION, false, der::element(der::SEQUENCE, &content))
}

/// `CRLDistributionPoints`.
pub(super) fn distribution_points(urls: &[String]) -> Extension {
    let mut content = Vec::new();
    for url in urls {
        let name = der::element(der::context_primitive(6), url.as_bytes());
        let point = der::element(der::context(0), &der::element(der::context(0), &name));
        content.extend(der::sequence(&[&point]));
    }
    Extension::new(CRL_DISTRIBUTION_POINTS, false, der::element(der::SEQUENCE, &content))
}

/// `NameConstraints` that permit DNS domains, critical.
pub(super) fn permitted_domains(domains: &[String]) -> Extension {
    let mut content = Vec::new();
    for domain in domains {
        content.extend(der::sequence(&[&der::element(der::context_primitive(2), domain.as_bytes())]));
    }
    Extension::new(NAME_CONSTRAINTS, true, der::sequence(&[&der::element(der::context(0), &content)]))
}

/// A policy that a certificate was issued under.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Policy {
    pub(super) oid: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) cps: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) notice: String,
}

impl Policy {
    /// From a dotted identifier, or from Vault's JSON of one with qualifiers.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let policy: Self = if text.starts_with('{') {
            serde_json::from_str(text).ok()?
        } else {
            Self { oid: text.to_owned(), ..Self::default() }
        };
        let policy = Self { oid: policy.oid.trim().to_owned(), ..policy };
        (der::oid(&policy.oid).is_some() && policy.cps.is_ascii()).then_some(policy)
    }

    fn encode(&self) -> Option<Vec<u8>> {
        let qualifier = |arc: u8, value: Vec<u8>| {
            der::sequence(&[&der::element(der::OID, &[0x2b, 6, 1, 5, 5, 7, 2, arc]), &value])
        };
        let mut qualifiers = Vec::new();
        if !self.cps.is_empty() {
            qualifiers.extend(qualifier(1, der::element(der::IA5_STRING, self.cps.as_bytes())));
        }
        if !self.notice.is_empty() {
            let notice = der::element(der::UTF8_STRING, self.notice.as_bytes());
            qualifiers.extend(qualifier(2, der::sequence(&[&notice])));
        }
        let qualifiers =
            if qualifiers.is_empty() { Vec::new() } else { der::element(der::SEQUENCE, &qualifiers) };
        Some(der::sequence(&[&der::oid(&self.oid)?, &qualifiers]))
    }
}

/// `CertificatePolicies`.
pub(super) fn policies(policies: &[Policy]) -> Extension {
    let encoded: Vec<_> = policies.iter().filter_map(Policy::encode).collect();
    Extension::new(CERTIFICATE_POLICIES, false, der::element(der::SEQUENCE, &encoded.concat()))
}

/// `CRLNumber`.
pub(super) fn crl_number(number: u64) -> Extension {
    Extension::new(CRL_NUMBER, false, der::number(number))
}
