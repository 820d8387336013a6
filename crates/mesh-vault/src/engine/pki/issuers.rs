//! Issuers: listing, reading, changing, deleting, bringing in, revoking.

use super::{
    algorithm::Algorithm,
    certificate::{Certificate, serial_key},
    chain,
    config::Urls,
    crl, failed,
    key::PrivateKey,
    object, pem, role,
    root::NO_URLS,
    store::{self, Issuer, Outliving, Usage},
};
use crate::{
    logical::{Context, Fields, Object, Operation, Raw, Refusal, Request, Response},
    moment,
    storage::Transaction,
};
use serde_json::{Value, json};

/// `issuers/`.
pub(super) fn list(transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let default = store::issuers_config(transaction)?.default;
    let issuers = store::issuers(transaction)?;
    if issuers.is_empty() {
        return Err(Refusal::NotFound);
    }
    let mut info = Object::new();
    for issuer in &issuers {
        let value = json!({
            "issuer_name": issuer.name,
            "is_default": issuer.id == default,
            "serial_number": issuer.serial_number,
            "key_id": issuer.key_id,
        });
        info.insert(issuer.id.clone(), value);
    }
    let mut response = Response::keys(issuers.into_iter().map(|issuer| issuer.id).collect());
    response.data.get_or_insert_default().insert("key_info".to_owned(), Value::Object(info));
    Ok(response)
}

/// `issuer/:ref`.
pub(super) fn handle(
    reference: &str,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    match request.operation {
        Operation::Read => Ok(shown(&store::issuer(transaction, reference)?)),
        Operation::Create | Operation::Update => update(reference, false, request, transaction),
        Operation::Patch => update(reference, true, request, transaction),
        Operation::Delete => delete(reference, context, transaction),
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(issuer: &Issuer) -> Response {
    let urls = issuer.urls.clone().unwrap_or_default();
    let mut data = object(json!({
        "issuer_id": issuer.id,
        "issuer_name": issuer.name,
        "key_id": issuer.key_id,
        "certificate": issuer.certificate,
        "manual_chain": if issuer.manual_chain.is_empty() { Value::Null } else { json!(issuer.manual_chain) },
        "ca_chain": issuer.ca_chain,
        "leaf_not_after_behavior": issuer.leaf_not_after_behavior,
        "usage": Usage::names(&issuer.usage),
        "revocation_signature_algorithm": issuer.revocation_signature_algorithm,
        "revoked": issuer.revoked.is_some(),
        "issuing_certificates": urls.issuing_certificates,
        "crl_distribution_points": urls.crl_distribution_points,
        "ocsp_servers": urls.ocsp_servers,
    }));
    if issuer.urls.is_some() {
        data.insert("enable_aia_url_templating".to_owned(), urls.enable_templating.into());
    }
    if let Some(nanos) = issuer.revoked {
        data.insert("revocation_time".to_owned(), (nanos / 1_000_000_000).into());
        data.insert("revocation_time_rfc3339".to_owned(), moment::rfc3339(nanos).into());
    }
    Response::data(data)
}

/// Writes what a request gives; without `partly`, what it does not give goes back to its default.
fn update(
    reference: &str,
    partly: bool,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let mut issuer = store::issuer(transaction, reference)?;
    let before = issuer.name.clone();
    if !partly || fields.has("issuer_name") {
        issuer.name = new_name(&issuer, fields, transaction)?;
    }
    match fields.string("leaf_not_after_behavior")?.as_deref() {
        None if partly => {}
        None | Some("err") => issuer.leaf_not_after_behavior = Outliving::Err,
        Some("truncate") => issuer.leaf_not_after_behavior = Outliving::Truncate,
        Some("permit") => issuer.leaf_not_after_behavior = Outliving::Permit,
        Some(_) => {
            return Err(Refusal::invalid(
                "Unknown value for field `leaf_not_after_behavior`. Possible values are `err`, `truncate`, and \
                 `permit`.",
            ));
        }
    }
    update_usage(&mut issuer, partly, fields)?;
    update_algorithm(&mut issuer, partly, fields)?;
    let mut urls = issuer.urls.take().filter(|_| partly).unwrap_or_default();
    urls.update(fields, "enable_aia_url_templating")?;
    issuer.urls = (!urls.is_empty()).then_some(urls);
    if !partly || fields.has("manual_chain") {
        issuer.manual_chain = manual_chain(&issuer, fields, transaction)?;
    }
    store::put_issuer(transaction, &issuer)?;
    chain::rebuild(transaction)?;
    let issuer = store::issuer(transaction, &issuer.id)?;
    let mut response = shown(&issuer);
    if before != issuer.name && !before.is_empty() {
        response.warnings.extend(still_referred(transaction, &before)?);
    }
    if let Some(Err(text)) =
        issuer.urls.as_ref().map(|urls| urls.filled(transaction, &issuer.id)).transpose()?
    {
        response = response.warn(format!(
            "issuance may fail: {text}\n\nConsider setting the cluster-local address if it is not already set."
        ));
    }
    Ok(response)
}

fn new_name(issuer: &Issuer, fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    let Some(name) = fields.string("issuer_name")? else { return Ok(String::new()) };
    let name = name.trim().to_owned();
    if name == issuer.name {
        return Ok(name);
    }
    super::root::issuer_name(fields, transaction)
}

fn update_usage(issuer: &mut Issuer, partly: bool, fields: Fields<'_>) -> Result<(), Refusal> {
    let given = match fields.list("usage")? {
        None if partly => return Ok(()),
        given => given,
    };
    let certificate = issuer.parsed()?;
    let usage: Vec<Usage> = match given {
        // What is the default is bounded by what the issuer can do at all.
        None => Usage::ALL
            .into_iter()
            .filter(|usage| *usage != Usage::CrlSigning || certificate.may_sign_lists())
            .filter(|usage| *usage != Usage::IssuingCertificates || issuer.revoked.is_none())
            .collect(),
        Some(names) => {
            let known = |name: &String| Usage::ALL.into_iter().find(|usage| usage.name() == name);
            let usages: Option<Vec<Usage>> = names.iter().map(known).collect();
            let mut usages = usages.ok_or_else(|| {
                Refusal::invalid(format!(
                    "Unable to parse specified usages: [{}] - valid values are {}",
                    names.join(" "),
                    Usage::names(&Usage::ALL)
                ))
            })?;
            usages.sort_unstable();
            usages.dedup();
            usages
        }
    };
    if issuer.revoked.is_some() && usage.contains(&Usage::IssuingCertificates) {
        return Err(Refusal::invalid(
            "This issuer was revoked; unable to modify its usage to include certificate signing again. Reissue this \
             certificate (preferably with a new key) and modify that entry instead.",
        ));
    }
    if usage.contains(&Usage::CrlSigning) && !certificate.may_sign_lists() {
        return Err(Refusal::invalid(
            "This issuer's underlying certificate lacks the CRLSign KeyUsage value; unable to set CRLSigningUsage on \
             this issuer as a result.",
        ));
    }
    issuer.usage = usage;
    Ok(())
}

fn update_algorithm(issuer: &mut Issuer, partly: bool, fields: Fields<'_>) -> Result<(), Refusal> {
    let name = match fields.string("revocation_signature_algorithm")? {
        None if partly => return Ok(()),
        given => given.unwrap_or_default(),
    };
    if name.is_empty() {
        issuer.revocation_signature_algorithm = String::new();
        return Ok(());
    }
    let algorithm = Algorithm::named(&name).ok_or_else(|| {
        Refusal::invalid(format!(
            "Unknown signature algorithm value: {name} - valid values are {}",
            Algorithm::names()
        ))
    })?;
    let kind = issuer.parsed()?.public_key.shape.map(super::algorithm::Shape::kind);
    if !kind.is_some_and(|kind| store::fits(kind, algorithm)) {
        let kind = kind.map_or("unknown", super::algorithm::Kind::name);
        return Err(failed(format!(
            "unable to use issuer of type {kind} to sign with {} key type",
            algorithm.name()
        )));
    }
    algorithm.name().clone_into(&mut issuer.revocation_signature_algorithm);
    Ok(())
}

fn manual_chain(
    issuer: &Issuer,
    fields: Fields<'_>,
    transaction: &Transaction<'_>,
) -> Result<Vec<String>, Refusal> {
    let mut chain = Vec::new();
    for (index, reference) in fields.list("manual_chain")?.unwrap_or_default().iter().enumerate() {
        let id = match reference.as_str() {
            "self" if index == 0 => issuer.id.clone(),
            other => store::issuer(transaction, other)?.id,
        };
        if index == 0 && id != issuer.id {
            return Err(Refusal::invalid(format!(
                "expected first cert in chain to be a self-reference, but was: {reference}/{id}"
            )));
        }
        chain.push(id);
    }
    Ok(chain)
}

fn still_referred(transaction: &Transaction<'_>, name: &str) -> Result<Option<String>, Refusal> {
    let count = role::referring(transaction, name)?;
    Ok((count > 0).then(|| format!("{count} roles reference {name}")))
}

fn delete(
    reference: &str,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let Ok(issuer) = store::find_issuer(transaction, reference)? else { return Ok(Response::empty()) };
    let mut warnings = Vec::new();
    if !issuer.name.is_empty() {
        warnings.extend(still_referred(transaction, &issuer.name)?);
    }
    warnings.extend(still_referred(transaction, &issuer.id)?);
    if store::delete_issuer(transaction, &issuer.id)? {
        warnings.push(format!(
            "Deleted issuer {} (via issuer_ref {reference}); this was configured as the default issuer. Operations \
             without an explicit issuer will not work until a new default is configured.",
            issuer.id
        ));
        warnings.extend(still_referred(transaction, store::DEFAULT)?);
    }
    chain::rebuild(transaction)?;
    warnings.extend(crl::rebuild(transaction, context.now, true)?);
    Ok(Response { warnings, ..Response::empty() })
}

/// `issuer/:ref/json`, `der` and `pem`.
pub(super) fn raw(reference: &str, form: &str, transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    let issuer = store::find_issuer(transaction, reference)?.map_err(super::failed_openly)?;
    let (content_type, body) = match form {
        "pem" => ("application/pem-certificate-chain", issuer.certificate.into_bytes()),
        "der" => ("application/pkix-cert", issuer.parsed()?.der),
        _ => {
            return Ok(Response::data(object(json!({
                "certificate": issuer.certificate,
                "ca_chain": issuer.ca_chain,
                "issuer_id": issuer.id,
                "issuer_name": issuer.name,
            }))));
        }
    };
    Ok(Response {
        raw: Some(Raw { status: 200, content_type: content_type.to_owned(), body }),
        ..Response::default()
    })
}

/// `issuer/:ref/revoke`.
pub(super) fn revoke(
    reference: &str,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut issuer = store::issuer(transaction, reference)?;
    if issuer.revoked.is_some() {
        return Ok(shown(&issuer));
    }
    let nanos = moment::nanos(context.now);
    issuer.revoked = Some(nanos);
    issuer.usage.retain(|usage| *usage != Usage::IssuingCertificates);
    store::put_issuer(transaction, &issuer)?;
    let certificate = issuer.parsed()?;
    let mut warnings = Vec::new();
    let (mut alone, mut own) = (true, false);
    for other in store::issuers(transaction)? {
        if certificate.signed_by(&other.parsed()?) {
            if other.id == issuer.id {
                own = true;
            } else {
                alone = false;
                super::revoke::note(transaction, &certificate, &other.id, nanos)?;
            }
        }
    }
    warnings.extend(crl::rebuild(transaction, context.now, false)?);
    if own {
        warnings.push(
            "This issuer is a self-signed (potentially root) certificate. This means it may not be considered revoked \
             if there is not an external, cross-signed variant of this certificate. This issuer's serial number will \
             not appear on its own CRL."
                .to_owned(),
        );
    }
    if alone {
        warnings.push(
            "This issuer lacks another parent issuer within the mount. This means it will not appear on any other \
             CRLs and may not be considered revoked by clients. Consider adding this issuer to its issuer's CRL as \
             well if it is not self-signed."
                .to_owned(),
        );
    }
    if store::issuers_config(transaction)?.default == issuer.id {
        warnings.push(
            "This issuer is currently configured as the default issuer for this mount; operations such as certificate \
             issuance may not work until a new default issuer is selected."
                .to_owned(),
        );
    }
    Ok(Response { warnings, ..shown(&issuer) })
}

/// Shorter texts hold no certificate; they are likely to be the path of a file.
const CERTIFICATE_TEXT_MIN: usize = 75;

/// `issuers/import/cert`, `issuers/import/bundle`, `config/ca` and `intermediate/set-signed`.
pub(super) fn import(
    keys_allowed: bool,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let bundle = fields.string("pem_bundle")?.unwrap_or_default();
    let certificate = fields.string("certificate")?.unwrap_or_default();
    let (text, keys_allowed) = match (bundle.is_empty(), certificate.is_empty()) {
        (true, true) => return Err(Refusal::invalid("'pem_bundle' and 'certificate' parameters were empty")),
        (false, false) => {
            return Err(Refusal::invalid("'pem_bundle' and 'certificate' parameters were both provided"));
        }
        (false, true) => (bundle, keys_allowed),
        (true, false) => (certificate, false),
    };
    if text.len() < CERTIFICATE_TEXT_MIN {
        return Err(Refusal::invalid(
            "provided data for import was too short; perhaps a path was passed to the API rather than the contents \
             of a PEM file",
        ));
    }
    let blocks = pem::all(&text)
        .map_err(|number| Refusal::invalid(format!("error when parsing block {number}: invalid PEM data")))?;
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for block in blocks {
        match block.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE" => certificates.push(block),
            "CRL" | "X509 CRL" | "EC PARAMS" | "EC PARAMETERS" => {}
            _ => keys.push(block),
        }
    }
    if !keys.is_empty() && !keys_allowed {
        return Err(Refusal::invalid(
            "private keys found in the PEM bundle but not allowed by the path; use /issuers/import/bundle",
        ));
    }
    let mut imported = Imported::default();
    for (index, block) in keys.iter().enumerate() {
        let key = PrivateKey::from_block(block)
            .map_err(|error| Refusal::invalid(format!("Error parsing key {index}: {error}")))?;
        let (entry, existed) = store::import_key(transaction, &key, "")?;
        if existed { &mut imported.existing_keys } else { &mut imported.keys }.push(entry.id);
    }
    for (index, block) in certificates.iter().enumerate() {
        let refused = |text: String| {
            Refusal::invalid(format!(
                "Error parsing issuer {index}: {text}\n{}",
                pem::encode_lines(&block.label, &block.der)
            ))
        };
        let certificate = Certificate::parse(&block.der).map_err(|error| refused(error.to_string()))?;
        let (issuer, existed) = match store::import_issuer(transaction, &certificate, "") {
            Err(Refusal::Invalid(text)) => return Err(refused(text)),
            other => other?,
        };
        if existed { &mut imported.existing_issuers } else { &mut imported.issuers }.push(issuer.id.clone());
        imported.ids.push(issuer.id);
    }
    chain::rebuild(transaction)?;
    imported.answer(context, transaction)
}

#[derive(Default)]
struct Imported {
    keys: Vec<String>,
    existing_keys: Vec<String>,
    issuers: Vec<String>,
    existing_issuers: Vec<String>,
    /// Of all issuers.
    ids: Vec<String>,
}

impl Imported {
    fn answer(self, context: &Context, transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
        let mut mapping = Object::new();
        for id in &self.ids {
            mapping.insert(id.clone(), store::issuer(transaction, id)?.key_id.into());
        }
        let with_key =
            |id: &&String| mapping.get(*id).and_then(Value::as_str).is_some_and(|key| !key.is_empty());
        let mut warnings = Vec::new();
        let new_with_keys: Vec<&String> = self.issuers.iter().filter(with_key).collect();
        if store::issuers_config(transaction)?.default_follows_latest_issuer {
            match new_with_keys.as_slice() {
                [] => {}
                [only] => store::set_default_issuer(transaction, only)?,
                _ => warnings.push(
                    "Default issuer left unchanged: could not select new issuer automatically as multiple imported \
                     issuers had key material in Vault."
                        .to_owned(),
                ),
            }
        }
        let default = store::issuers_config(transaction)?.default;
        if mapping.get(&default).and_then(Value::as_str) == Some("") {
            warnings.push(
                "The default issuer has no key associated with it. Some operations like issuing certificates and \
                 signing CRLs will be unavailable with the requested default issuer until a key is imported or the \
                 default issuer is changed."
                    .to_owned(),
            );
        }
        if new_with_keys.len() > 1 && self.issuers.contains(&default) {
            warnings.push(
                "The imported bundle contained multiple certs matching keys, the default issuer that was selected \
                 should be verified and manually changed if incorrect."
                    .to_owned(),
            );
        }
        if Urls::of_mount(transaction)?.is_empty() {
            warnings.push(NO_URLS.to_owned());
        }
        if !self.issuers.is_empty() || !self.keys.is_empty() {
            warnings.extend(crl::rebuild(transaction, context.now, true)?);
        }
        // Go writes an empty list that was never filled as null, and clients have learnt to read that.
        let list = |ids: Vec<String>| if ids.is_empty() { Value::Null } else { json!(ids) };
        let data = object(json!({
            "mapping": mapping,
            "imported_keys": list(self.keys),
            "imported_issuers": list(self.issuers),
            "existing_keys": list(self.existing_keys),
            "existing_issuers": list(self.existing_issuers),
        }));
        Ok(Response { warnings, ..Response::data(data) })
    }
}

/// Where a certificate of an issuer would be kept.
pub(super) fn is_issuer_serial(transaction: &Transaction<'_>, key: &str) -> Result<Option<String>, Refusal> {
    let issuers = store::issuers(transaction)?;
    let found = issuers.into_iter().find(|issuer| serial_key(&issuer.serial_number).as_deref() == Some(key));
    Ok(found.map(|issuer| issuer.id))
}
