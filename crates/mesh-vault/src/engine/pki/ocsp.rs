//! Answering whether a certificate was revoked (RFC 6960), signed by its issuer.

use super::{
    certificate::{serial_key, serial_text},
    clock,
    config::Lists,
    der::{self, Malformed, Reader},
    revoke::{self, Revoked},
    store::{self, Issuer, Signer, Usage},
};
use crate::{
    logical::{Operation, Raw, Refusal, Request, Response, parse_duration},
    storage::Transaction,
};
use aws_lc_rs::digest::{self, Algorithm as Digest};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::time::SystemTime;

/// The field in which the core hands on the body, base64: it is DER, and no JSON.
const BODY_FIELD: &str = "request";
/// A longer request asks for more than one certificate.
const REQUEST_BYTES_MAX: usize = 2_048;

/// `OCSPResponseStatus` of answers that are not signed.
#[derive(Debug, Clone, Copy)]
enum Unsigned {
    Malformed = 1,
    Internal = 2,
    Unauthorized = 6,
}

fn answered(status: u16, body: Vec<u8>) -> Response {
    let raw = Raw { status, content_type: "application/ocsp-response".to_owned(), body };
    Response { raw: Some(raw), ..Response::default() }
}

fn unsigned(reason: Unsigned) -> Response {
    let status = match reason {
        Unsigned::Malformed => 400,
        Unsigned::Internal => 500,
        Unsigned::Unauthorized => 401,
    };
    answered(status, der::sequence(&[&der::element(der::ENUMERATED, &[reason as u8])]))
}

/// What is asked: which certificate of which issuer.
struct Question<'a> {
    /// `CertID`, whole: it is repeated in the answer.
    whole: &'a [u8],
    hash: &'static Digest,
    name_hash: &'a [u8],
    key_hash: &'a [u8],
    serial: &'a [u8],
}

impl<'a> Question<'a> {
    /// Reads an `OCSPRequest` about one certificate, or the first of several.
    fn parse(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut request = Reader::only(bytes, der::SEQUENCE)?.inside().expect(der::SEQUENCE)?.inside();
        request.optional(der::context(0))?;
        request.optional(der::context(1))?;
        let mut list = request.expect(der::SEQUENCE)?.inside();
        let one = list.expect(der::SEQUENCE)?.inside().expect(der::SEQUENCE)?;
        let mut inside = one.inside();
        let algorithm = inside.expect(der::SEQUENCE)?.inside().expect(der::OID)?;
        let hash = match algorithm.content {
            [0x2b, 14, 3, 2, 26] => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1] => &digest::SHA256,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 2] => &digest::SHA384,
            [0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3] => &digest::SHA512,
            _ => return Err(Malformed),
        };
        let name_hash = inside.expect(der::OCTET_STRING)?.content;
        let key_hash = inside.expect(der::OCTET_STRING)?.content;
        let serial = inside.unsigned()?;
        Ok(Self { whole: one.whole, hash, name_hash, key_hash, serial })
    }

    fn is_about(&self, issuer: &Issuer) -> Result<bool, Refusal> {
        let certificate = issuer.parsed()?;
        let same = |bytes: &[u8], hash: &[u8]| digest::digest(self.hash, bytes).as_ref() == hash;
        Ok(same(&certificate.subject, self.name_hash) && same(&certificate.public_key.bits, self.key_hash))
    }
}

/// `ocsp` and `ocsp/:request`.
pub(super) fn handle(
    encoded: Option<&str>,
    request: &Request,
    now: SystemTime,
    transaction: &Transaction<'_>,
) -> Result<Response, Refusal> {
    let config = Lists::read(transaction)?;
    if config.ocsp_disable {
        return Ok(unsigned(Unsigned::Unauthorized));
    }
    let body = match (encoded, request.operation) {
        (Some(encoded), _) => encoded,
        (None, Operation::Read) => return Err(Refusal::UnsupportedOperation),
        (None, _) => request.data.get(BODY_FIELD).and_then(serde_json::Value::as_str).unwrap_or_default(),
    };
    let decoded = if body.len() > REQUEST_BYTES_MAX * 2 { None } else { STANDARD.decode(body).ok() };
    let decoded = decoded.filter(|bytes| bytes.len() < REQUEST_BYTES_MAX);
    let Some(question) = decoded.as_deref().and_then(|bytes| Question::parse(bytes).ok()) else {
        return Ok(unsigned(Unsigned::Malformed));
    };
    match answer(&question, &config, now, transaction) {
        Err(Refusal::Storage(error)) => Err(error.into()),
        Err(_) => Ok(unsigned(Unsigned::Internal)),
        Ok(response) => Ok(response),
    }
}

fn answer(
    question: &Question<'_>,
    config: &Lists,
    now: SystemTime,
    transaction: &Transaction<'_>,
) -> Result<Response, Refusal> {
    let key = serial_key(&serial_text(question.serial));
    let revoked = key.map(|key| revoke::noted(transaction, &key)).transpose()?.flatten();
    let mut matching = Vec::new();
    for issuer in store::issuers(transaction)? {
        if !issuer.key_id.is_empty() && question.is_about(&issuer)? {
            matching.push(issuer);
        }
    }
    let usable = matching.iter().find(|issuer| issuer.may(Usage::OcspSigning));
    let (issuer, status) = match (usable, matching.is_empty()) {
        (Some(issuer), _) => {
            // A serial number that was revoked under another issuer says nothing about this one's.
            let own = |revoked: &Revoked| {
                revoked.issuer.is_empty() || matching.iter().any(|issuer| issuer.id == revoked.issuer)
            };
            (issuer.clone(), revoked.filter(own).map_or(Status::Good, Status::Revoked))
        }
        (None, false) => return Ok(unsigned(Unsigned::Unauthorized)),
        (None, true) => match store::find_issuer(transaction, store::DEFAULT)? {
            Ok(issuer) if issuer.may(Usage::OcspSigning) && !issuer.key_id.is_empty() => {
                (issuer, Status::Unknown)
            }
            _ => return Ok(unsigned(Unsigned::Unauthorized)),
        },
    };
    let signer = Signer::of(transaction, issuer, Usage::OcspSigning)?;
    let lasting = parse_duration(&config.ocsp_expiry).unwrap_or_default().as_secs();
    Ok(answered(200, sign(question, &status, &signer, clock::seconds(now), lasting)?))
}

enum Status {
    Good,
    Revoked(Revoked),
    Unknown,
}

/// `OCSPResponse` with one `SingleResponse`.
fn sign(
    question: &Question<'_>,
    status: &Status,
    signer: &Signer,
    now: u64,
    lasting: u64,
) -> Result<Vec<u8>, Refusal> {
    let algorithm = signer.revocation_algorithm();
    let status = match status {
        Status::Good => der::element(der::context_primitive(0), &[]),
        Status::Revoked(revoked) => {
            der::element(der::context(1), &clock::generalized(revoked.time / 1_000_000_000))
        }
        Status::Unknown => der::element(der::context_primitive(2), &[]),
    };
    let next = match lasting {
        0 => Vec::new(),
        lasting => der::element(der::context(0), &clock::generalized(now.saturating_add(lasting))),
    };
    let single = der::sequence(&[question.whole, &status, &clock::generalized(now), &next]);
    let data = der::sequence(&[
        &der::element(der::context(1), &signer.certificate.subject),
        &clock::generalized(now),
        &der::sequence(&[&single]),
    ]);
    let signature = signer.key.sign(algorithm, &data)?;
    let basic = der::sequence(&[&data, &algorithm.identifier(), &der::bits(&signature)]);
    // id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
    let kind = der::element(der::OID, &[0x2b, 6, 1, 5, 5, 7, 48, 1, 1]);
    let bytes = der::sequence(&[&kind, &der::element(der::OCTET_STRING, &basic)]);
    Ok(der::sequence(&[&der::element(der::ENUMERATED, &[0]), &der::element(der::context(0), &bytes)]))
}
