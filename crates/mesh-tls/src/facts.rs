//! What a certificate says of itself: whose it is, who vouches for it, and until when.
//!
//! Absent on purpose: whether it is to be believed. Nothing is checked here but the form.

use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use std::net::IpAddr;
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

/// Names of a certificate that are told.
const NAMES_MAX: usize = 100;

/// Why nothing can be told. What is in the text is never repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// There is none in it.
    #[error("there is no certificate in it")]
    Nothing,
    /// What is in it is none.
    #[error("what is in it is no certificate that can be read")]
    Broken,
}

/// What a certificate says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// Whose it is, as `CN=postgres`.
    pub subject: String,
    /// Who vouches for it.
    pub issuer: String,
    /// Names and addresses that it is for.
    pub names: Vec<String>,
    /// Its number with its issuer, as `7a:01:...`.
    pub serial: String,
    /// From when on it holds, in seconds since 1970.
    pub from_unix_seconds: i64,
    /// Until when it holds, in seconds since 1970.
    pub until_unix_seconds: i64,
}

impl Facts {
    /// Of the first certificate of a PEM text: what a server shows as its own.
    ///
    /// # Errors
    /// [`FactsError`].
    pub fn of_pem(text: &[u8]) -> Result<Self, FactsError> {
        let first = CertificateDer::pem_slice_iter(text).next().ok_or(FactsError::Nothing)?;
        Self::of_der(first.map_err(|_| FactsError::Broken)?.as_ref())
    }

    /// Of a certificate as it is sent.
    ///
    /// # Errors
    /// [`FactsError::Broken`].
    pub fn of_der(der: &[u8]) -> Result<Self, FactsError> {
        let (_, found) = X509Certificate::from_der(der).map_err(|_| FactsError::Broken)?;
        Ok(Self {
            subject: plain(&found.subject().to_string()),
            issuer: plain(&found.issuer().to_string()),
            names: names(&found),
            serial: found.raw_serial_as_string(),
            from_unix_seconds: found.validity().not_before.timestamp(),
            until_unix_seconds: found.validity().not_after.timestamp(),
        })
    }
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let all = certificate.extensions().iter().filter_map(|extension| match extension.parsed_extension() {
        ParsedExtension::SubjectAlternativeName(names) => Some(&names.general_names),
        _ => None,
    });
    all.flatten().filter_map(name).take(NAMES_MAX).collect()
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(text) | GeneralName::RFC822Name(text) | GeneralName::URI(text) => {
            Some(plain(text))
        }
        GeneralName::IPAddress(bytes) => match **bytes {
            [a, b, c, d] => Some(IpAddr::from([a, b, c, d]).to_string()),
            _ => Some(IpAddr::from(<[u8; 16]>::try_from(*bytes).ok()?).to_string()),
        },
        _ => None,
    }
}

/// Without characters that a terminal obeys.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

    fn made(change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::new(vec!["db".to_owned(), "localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, "db");
        params.serial_number = Some(0x7a01_u64.into());
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 2, 1);
        change(&mut params);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem()
    }

    #[test]
    fn a_certificate_says_whose_it_is_and_until_when() {
        let text = made(|params| {
            params.subject_alt_names.push(SanType::IpAddress([127, 0, 0, 1].into()));
            params.subject_alt_names.push(SanType::IpAddress(std::net::Ipv6Addr::LOCALHOST.into()));
        });
        let facts = Facts::of_pem(format!("{text}{}", made(|_| {})).as_bytes()).unwrap();
        assert!(facts.subject.contains("CN=db"), "{facts:?}");
        assert_eq!(facts.subject, facts.issuer);
        assert_eq!(facts.names, ["db", "localhost", "127.0.0.1", "::1"]);
        assert_eq!(facts.serial, "7a:01");
        assert_eq!(facts.from_unix_seconds, 1_767_225_600);
        assert_eq!(facts.until_unix_seconds - facts.from_unix_seconds, 31 * 86_400);
    }

    #[test]
    fn what_is_none_is_told_without_being_repeated() {
        let whole = made(|_| {});
        let cut = whole.replace("-----END CERTIFICATE-----", "");
        for (text, want) in [
            ("", FactsError::Nothing),
            ("hunter2", FactsError::Nothing),
            ("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n", FactsError::Broken),
            (cut.as_str(), FactsError::Broken),
        ] {
            let error = Facts::of_pem(text.as_bytes()).unwrap_err();
            assert_eq!(error, want, "{text}");
            assert!(!error.to_string().contains("hunter2"));
        }
        for end in 0..200 {
            let _ = Facts::of_der(&[0x30, 0x82, 0x01, 0xff, 0x30, 0x80][..end % 7]);
        }
    }

    #[test]
    fn a_name_that_a_terminal_would_obey_is_made_harmless() {
        let text = made(|params| params.distinguished_name.push(DnType::OrganizationName, "a\u{1b}[2Jb"));
        let facts = Facts::of_pem(text.as_bytes()).unwrap();
        assert!(!facts.subject.contains('\u{1b}'), "{facts:?}");
    }
}
