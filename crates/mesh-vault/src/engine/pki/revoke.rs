//! Revoking certificates: by their serial number, by showing them, or by proving to have their key.

use super::{
    certificate::{Certificate, serial_key},
    clock,
    config::Lists,
    crl, issue, issuers,
    key::PrivateKey,
    object, pem, store,
};
use crate::{
    logical::{Context, Refusal, Request, Response},
    moment,
    storage::Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Where it is noted what was revoked.
pub(super) const REVOKED: &str = "revoked/";
/// A certificate that ends within this is not worth a line in a list.
const EXPIRY_MARGIN_SECONDS: u64 = 2;

/// That a certificate was revoked.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Revoked {
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    /// Seconds since 1970: when the certificate itself ends.
    pub(super) not_after: u64,
    /// The issuer's identifier; empty where it is not known.
    pub(super) issuer: String,
}

/// What is noted of a serial number.
pub(super) fn noted(transaction: &Transaction<'_>, key: &str) -> Result<Option<Revoked>, Refusal> {
    Ok(transaction.get_json(&format!("{REVOKED}{key}"))?)
}

/// Notes that a certificate was revoked.
pub(super) fn note(
    transaction: &mut Transaction<'_>,
    certificate: &Certificate,
    issuer: &str,
    nanos: u64,
) -> Result<(), Refusal> {
    let key = certificate_key(certificate)?;
    let revoked = Revoked { time: nanos, not_after: certificate.not_after, issuer: issuer.to_owned() };
    Ok(transaction.put_json(&format!("{REVOKED}{key}"), &revoked)?)
}

fn certificate_key(certificate: &Certificate) -> Result<String, Refusal> {
    serial_key(&certificate.serial_text())
        .ok_or_else(|| Refusal::invalid("invalid serial number on presented certificate"))
}

/// `revoke` and `revoke-with-key`.
pub(super) fn handle(
    with_key: bool,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let (serial, text) = (fields.string("serial_number")?, fields.string("certificate")?);
    let private = match fields.string("private_key")? {
        None if with_key => {
            return Err(Refusal::invalid("Must have private key to revoke via the /revoke-with-key path."));
        }
        Some(key) if with_key => Some(key),
        _ => None,
    };
    let certificate = match (serial, text) {
        (None, None) => {
            return Err(Refusal::invalid("The serial number or certificate to revoke must be provided."));
        }
        (Some(_), Some(_)) => {
            return Err(Refusal::invalid(
                "Must provide either the certificate or the serial to revoke; not both.",
            ));
        }
        (Some(serial), None) => known(&serial, transaction)?,
        (None, Some(text)) => shown(&text, transaction)?,
    };
    if let Some(private) = private {
        prove(&private, &certificate)?;
    }
    // One that was shown and was not here is kept: a list is made of what is kept.
    if transaction.get(&format!("certs/{}", certificate_key(&certificate)?))?.is_none() {
        issue::store_certificate(transaction, &certificate)?;
    }
    revoke(&certificate, context, transaction)
}

fn known(serial: &str, transaction: &Transaction<'_>) -> Result<Certificate, Refusal> {
    if serial.is_empty() {
        return Err(Refusal::invalid("The serial number must be provided"));
    }
    let missing = || Refusal::invalid(format!("certificate with serial {serial} not found."));
    let key = serial_key(serial).ok_or_else(missing)?;
    let bytes = transaction.get(&format!("certs/{key}"))?.ok_or_else(missing)?;
    Certificate::parse(&bytes).map_err(|_| super::failed("error parsing certificate"))
}

fn shown(text: &str, transaction: &Transaction<'_>) -> Result<Certificate, Refusal> {
    let (block, _) = pem::first(text).ok_or_else(|| super::failed("certificate contains no PEM data"))?;
    let certificate = Certificate::parse(&block.der)
        .map_err(|error| super::failed(format!("certificate could not be parsed: {error}")))?;
    match transaction.get(&format!("certs/{}", certificate_key(&certificate)?))? {
        Some(kept) if kept == certificate.der => return Ok(certificate),
        Some(_) => {
            return Err(super::failed(
                "certificate with same serial but unequal value already present in this cluster's storage; refusing \
                 to revoke",
            ));
        }
        None => {}
    }
    for issuer in store::issuers(transaction)? {
        if certificate.signed_by(&issuer.parsed()?) {
            return Ok(certificate);
        }
    }
    Err(super::failed(
        "unable to verify signature on presented cert from any present issuer in this mount; certificates from \
         previous CAs will need to have their issuing CA and key re-imported if revocation is necessary",
    ))
}

fn prove(private: &str, certificate: &Certificate) -> Result<(), Refusal> {
    if private.len() < 64 {
        return Err(Refusal::invalid(
            "Provided data for private_key was too short; perhaps a path was passed to the API rather than the \
             contents of a PEM file?",
        ));
    }
    let (block, _) = pem::first(private)
        .ok_or_else(|| super::failed("provided key PEM block contained no data or failed to parse"))?;
    let key = PrivateKey::from_block(&block)
        .map_err(|error| super::failed(format!("failed to parse provided private key: {error}")))?;
    if Some(key.kind()) != certificate.public_key.shape.map(super::algorithm::Shape::kind) {
        return Err(super::failed("provided private key type does not match certificate's public key type"));
    }
    if key.public().bits != certificate.public_key.bits {
        return Err(super::failed("provided private key does not match certificate's public key"));
    }
    Ok(())
}

/// Revokes a certificate that is kept.
pub(super) fn revoke(
    certificate: &Certificate,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let key = certificate_key(certificate)?;
    if let Some(id) = issuers::is_issuer_serial(transaction, &key)? {
        return Err(Refusal::invalid(format!("adding issuer (id: {id}) to its own CRL is not allowed")));
    }
    if let Some(revoked) = noted(transaction, &key)? {
        return Ok(answer(revoked.time));
    }
    let config = Lists::read(transaction)?;
    let now = clock::seconds(context.now);
    if certificate.not_after < now + EXPIRY_MARGIN_SECONDS && !config.allow_expired_cert_revocation {
        return Ok(Response::empty().warn(format!(
            "certificate with serial {} already expired; refusing to add to CRL",
            certificate.serial_text()
        )));
    }
    let mut issuer = String::new();
    for candidate in store::issuers(transaction)? {
        if certificate.signed_by(&candidate.parsed()?) {
            issuer = candidate.id;
            break;
        }
    }
    let nanos = moment::nanos(context.now);
    note(transaction, certificate, &issuer, nanos)?;
    let mut response = answer(nanos);
    if !config.auto_rebuild {
        response.warnings.extend(crl::rebuild(transaction, context.now, false)?);
    }
    Ok(response)
}

fn answer(nanos: u64) -> Response {
    Response::data(object(json!({
        "revocation_time": nanos / 1_000_000_000,
        "revocation_time_rfc3339": moment::rfc3339(nanos),
        "state": "revoked",
    })))
}

/// The end of a lease on a certificate.
pub(super) fn lease_over(
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let serial =
        request.internal.get("serial_number").and_then(serde_json::Value::as_str).unwrap_or_default();
    match known(serial, transaction) {
        Ok(certificate) => revoke(&certificate, context, transaction).map(|_| Response::empty()),
        // It was tidied away: the lease is over all the same.
        Err(Refusal::Invalid(_)) => Ok(Response::empty()),
        Err(other) => Err(other),
    }
}
