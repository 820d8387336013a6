//! The name under which OpenSSL looks for an authority in a directory: `<hash>.0`.
//!
//! It is the first four bytes of the SHA-1 of the subject in a canonical form: each value as UTF-8 in small letters,
//! without spaces at its ends and with single ones within, and without the outer sequence.

use crate::AuthorityError;
use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// DER: an object identifier.
const OBJECT_IDENTIFIER: u8 = 0x06;
/// DER: a text in UTF-8.
const UTF8_STRING: u8 = 0x0c;
/// DER: a sequence.
const SEQUENCE: u8 = 0x30;
/// DER: a set.
const SET: u8 = 0x31;

/// The hash of a certificate's subject, as `openssl x509 -subject_hash` tells it.
///
/// # Errors
/// [`AuthorityError::NotAnAuthority`] for what is no certificate, and for a subject that is not made of texts.
pub fn subject_hash(der: &[u8]) -> Result<String, AuthorityError> {
    let (_, certificate) = X509Certificate::from_der(der).map_err(|_| AuthorityError::NotAnAuthority)?;
    let mut canonical = Vec::new();
    for part in certificate.subject().iter() {
        let mut values = Vec::new();
        for attribute in part.iter() {
            let text = attribute.as_str().map_err(|_| AuthorityError::NotAnAuthority)?;
            let words: Vec<&str> = text.split_ascii_whitespace().collect();
            let mut value = tagged(OBJECT_IDENTIFIER, attribute.attr_type().as_bytes());
            value.extend(tagged(UTF8_STRING, words.join(" ").to_ascii_lowercase().as_bytes()));
            values.push(tagged(SEQUENCE, &value));
        }
        values.sort();
        canonical.extend(tagged(SET, &values.concat()));
    }
    let sum = digest(&SHA1_FOR_LEGACY_USE_ONLY, &canonical);
    let first: Vec<String> = sum.as_ref().iter().take(4).rev().map(|byte| format!("{byte:02x}")).collect();
    Ok(first.concat())
}

/// A value with its tag and length.
fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|byte| *byte == 0).collect();
            out.push(0x80 | u8::try_from(bytes.len()).unwrap_or(0x7f));
            out.extend(bytes);
        }
    }
    out.extend(content);
    out
}
