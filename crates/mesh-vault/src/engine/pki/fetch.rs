//! Certificates, chains and lists, as JSON or as they are. The latter is never refused: without anything to give
//! it is 204, as Vault answers.

use super::{
    certificate::{Certificate, serial_key},
    crl, object, pem,
    revoke::{self, REVOKED},
    store,
    subject::Parts,
};
use crate::{
    engine::listing,
    logical::{Fields, Object, Raw, Refusal, Response},
    moment,
    storage::Transaction,
};
use serde_json::{Value, json};

/// How something is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// In Vault's envelope.
    Json,
    /// DER.
    Der,
    /// PEM.
    Pem,
}

fn raw(content_type: &str, body: Vec<u8>) -> Response {
    let status = if body.is_empty() { 204 } else { 200 };
    let content_type = content_type.to_owned();
    Response { raw: Some(Raw { status, content_type, body }), ..Response::default() }
}

/// The default issuer, if there is one.
fn default_issuer(transaction: &Transaction<'_>) -> Result<Result<store::Issuer, String>, Refusal> {
    store::find_issuer(transaction, store::DEFAULT)
}

fn json_certificate(text: String) -> Object {
    object(json!({ "certificate": text, "revocation_time": 0, "revocation_time_rfc3339": "" }))
}

/// The default issuer's certificate: `ca`, `ca/pem` and their like under `cert/`.
pub(super) fn authority(shape: Shape, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let issuer = default_issuer(transaction)?;
    match (shape, issuer) {
        (Shape::Json, Ok(issuer)) => {
            Ok(Response::data(json_certificate(issuer.certificate.trim().to_owned())))
        }
        (Shape::Json, Err(text)) => Err(Refusal::invalid(text)),
        (Shape::Der, issuer) => {
            let body = issuer.ok().map(|issuer| issuer.parsed()).transpose()?;
            Ok(raw("application/pkix-cert", body.map(|certificate| certificate.der).unwrap_or_default()))
        }
        (Shape::Pem, issuer) => {
            let body = issuer.map(|issuer| issuer.certificate.trim().to_owned()).unwrap_or_default();
            Ok(raw("application/pem-certificate-chain", body.into_bytes()))
        }
    }
}

/// The default issuer's chain: `ca_chain` and `cert/ca_chain`.
pub(super) fn chain(shape: Shape, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let issuer = default_issuer(transaction)?;
    let joined = issuer.map(|issuer| {
        let texts: Vec<_> = issuer.ca_chain.iter().map(|text| text.trim()).collect();
        texts.join("\n")
    });
    match (shape, joined) {
        (Shape::Json, Ok(text)) => {
            let mut data = json_certificate(text.clone());
            data.insert("ca_chain".to_owned(), text.into());
            Ok(Response::data(data))
        }
        (Shape::Json, Err(text)) => Err(Refusal::invalid(text)),
        (_, joined) => Ok(raw("application/pkix-cert", joined.unwrap_or_default().into_bytes())),
    }
}

/// The default issuer's list of revoked certificates: `crl`, `crl/pem` and their like under `cert/`.
pub(super) fn revocation_list(shape: Shape, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let list = match default_issuer(transaction)? {
        Ok(issuer) => crl::of_issuer(transaction, &issuer)?,
        Err(text) if shape == Shape::Json => return Err(super::failed_openly(text)),
        Err(_) => Vec::new(),
    };
    Ok(match shape {
        Shape::Json if list.is_empty() => return Err(Refusal::NotFound),
        Shape::Json => Response::data(json_certificate(pem::encode("X509 CRL", &list))),
        Shape::Der => raw("application/pkix-crl", list),
        Shape::Pem if list.is_empty() => raw("application/x-pem-file", list),
        Shape::Pem => raw("application/x-pem-file", pem::encode("X509 CRL", &list).into_bytes()),
    })
}

/// A delta list, which is never there: lists are always made whole.
pub(super) fn delta_list(shape: Shape, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    match shape {
        Shape::Json => match default_issuer(transaction)? {
            Ok(_) => Err(Refusal::NotFound),
            Err(text) => Err(super::failed_openly(text)),
        },
        Shape::Der => Ok(raw("application/pkix-crl", Vec::new())),
        Shape::Pem => Ok(raw("application/x-pem-file", Vec::new())),
    }
}

/// `issuer/:ref/crl` and the like.
pub(super) fn issuer_list(
    reference: &str,
    shape: Shape,
    transaction: &Transaction<'_>,
) -> Result<Response, Refusal> {
    let issuer = store::find_issuer(transaction, reference)?.map_err(super::failed_openly)?;
    let list = crl::of_issuer(transaction, &issuer)?;
    let text = || if list.is_empty() { String::new() } else { pem::encode_lines("X509 CRL", &list) };
    Ok(match shape {
        Shape::Json => Response::data(object(json!({ "crl": text() }))),
        Shape::Der => raw("application/pkix-crl", list),
        Shape::Pem => raw("application/x-pem-file", text().into_bytes()),
    })
}

/// `cert/:serial`, with `/raw` and `/raw/pem`.
pub(super) fn certificate(
    serial: &str,
    shape: Shape,
    transaction: &Transaction<'_>,
) -> Result<Response, Refusal> {
    let key = serial_key(serial).ok_or(Refusal::UnsupportedPath)?;
    let bytes = transaction.get(&format!("certs/{key}"))?.unwrap_or_default();
    match shape {
        Shape::Der => return Ok(raw("application/pkix-cert", bytes)),
        Shape::Pem if bytes.is_empty() => return Ok(raw("application/pem-certificate-chain", bytes)),
        Shape::Pem => {
            return Ok(raw("application/pem-certificate-chain", pem::certificate(&bytes).into_bytes()));
        }
        Shape::Json if bytes.is_empty() => return Err(Refusal::NotFound),
        Shape::Json => {}
    }
    let mut data = json_certificate(pem::certificate(&bytes));
    if let Some(revoked) = revoke::noted(transaction, &key)? {
        data.insert("revocation_time".to_owned(), (revoked.time / 1_000_000_000).into());
        data.insert("revocation_time_rfc3339".to_owned(), moment::rfc3339(revoked.time).into());
        if !revoked.issuer.is_empty() {
            data.insert("issuer_id".to_owned(), revoked.issuer.into());
        }
    }
    Ok(Response::data(data))
}

fn serials(transaction: &Transaction<'_>, folder: &str) -> Result<Vec<String>, Refusal> {
    Ok(transaction.list(folder)?.iter().map(|key| key.replace('-', ":")).collect())
}

/// `certs/` and `certs/revoked/`.
pub(super) fn list(
    revoked: bool,
    fields: Fields<'_>,
    transaction: &Transaction<'_>,
) -> Result<Response, Refusal> {
    listing::answer(serials(transaction, if revoked { REVOKED } else { "certs/" })?, fields)
}

/// DNS names of a certificate that a detailed listing shows.
const NAMES_SHOWN_MAX: usize = 5;

/// `certs/detailed/`.
pub(super) fn list_detailed(fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let mut response = listing::answer(serials(transaction, "certs/")?, fields)?;
    let data = response.data.get_or_insert_default();
    let keys = data.get("keys").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut info = Object::new();
    for serial in keys.iter().filter_map(Value::as_str) {
        let bytes = transaction.get(&format!("certs/{}", serial.replace(':', "-")))?.unwrap_or_default();
        let parsed = Certificate::parse(&bytes);
        let certificate = parsed.map_err(|error| {
            Refusal::invalid(format!("failed to parse certificate for {serial}: {error}"))
        })?;
        info.insert(serial.to_owned(), details(&certificate));
    }
    data.insert("key_info".to_owned(), Value::Object(info));
    Ok(response)
}

fn details(certificate: &Certificate) -> Value {
    let name = |name: &[u8]| Parts::parse(name).unwrap_or_default();
    let names = super::extension::find(&certificate.extensions, super::extension::SUBJECT_ALTERNATIVE_NAME)
        .and_then(|extension| super::general_name::Names::parse(&extension.value).ok())
        .unwrap_or_default();
    let shape = certificate.public_key.shape;
    json!({
        "common_name": name(&certificate.subject).common_name(),
        "issuer": name(&certificate.issuer).to_string(),
        "key_type": shape.map_or("unknown", |shape| shape.kind().name()),
        "key_bits": shape.map_or(0, |shape| if shape.bits() == 0 { 256 } else { shape.bits() }),
        "not_after": super::clock::rfc3339(certificate.not_after),
        "not_before": super::clock::rfc3339(certificate.not_before),
        "dns_names": names.dns.into_iter().take(NAMES_SHOWN_MAX).collect::<Vec<_>>(),
    })
}
