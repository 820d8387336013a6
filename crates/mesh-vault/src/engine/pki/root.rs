//! Certificate authorities: roots, requests for intermediates, and signing these.

use super::{
    algorithm::Kind,
    allowed::Judge,
    certificate::{Certificate, Template, new_serial, sign_request},
    chain,
    config::Urls,
    crl, extension, failed,
    issue::{self, Format},
    key::{self, PrivateKey},
    object, pem,
    role::Role,
    store::{self, Outliving, Signer, Usage},
    wanted::{Asked, Purpose, Wanted, wanted},
};
use crate::{
    logical::{Context, Fields, Refusal, Request, Response},
    storage::Transaction,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::json;

const NO_SUBJECT: &str = "This issuer certificate was generated without a Subject; this makes it likely that issuing \
                          leaf certs with this certificate will cause TLS validation libraries to reject this \
                          certificate.";
/// What is said where nothing tells how to reach the issuer.
pub(super) const NO_URLS: &str = "This mount hasn't configured any authority information access (AIA) fields; this may make it harder for systems \
     to find missing certificates in the chain or to validate revocation status of certificates. Consider updating \
     /config/urls or the newly generated issuer with this information.";
const NO_URLS_INTERMEDIATE: &str = " Since this certificate is an intermediate, it might be useful to regenerate this certificate after fixing this \
     problem for the root mount.";

/// What becomes of the private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeping {
    Internal,
    Exported,
    Existing,
}

/// What every generating request says.
struct Generation {
    keeping: Keeping,
    format: Format,
    role: Role,
    kind: Kind,
    bits: u32,
}

impl Generation {
    fn read(exported: &str, fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<Self, Refusal> {
        let keeping = match exported {
            "internal" => Keeping::Internal,
            "exported" => Keeping::Exported,
            "existing" => Keeping::Existing,
            "kms" => {
                return Err(Refusal::invalid(
                    "keys of a key management service are not supported by this server",
                ));
            }
            _ => {
                return Err(Refusal::invalid(
                    "the \"exported\" path parameter must be \"internal\", \"existing\", exported\" or \"kms\"",
                ));
            }
        };
        let format = Format::read(fields)?;
        let mut role = Role::authority(fields)?;
        if keeping == Keeping::Existing {
            if fields.has("key_type") || fields.has("key_bits") {
                return Err(Refusal::invalid(
                    "invalid parameter for the kms/existing path parameter, key_type nor key_bits arguments can be \
                     set in this mode",
                ));
            }
            let shape = existing_key(fields, transaction)?
                .public()?
                .shape
                .ok_or_else(|| failed("unsupported key"))?;
            role.key_type = shape.kind().name().to_owned();
            role.key_bits = shape.bits().into();
        } else {
            role.key_type = fields.string("key_type")?.unwrap_or_else(|| "rsa".to_owned());
            role.key_bits = fields.integer("key_bits")?.unwrap_or(0);
        }
        // A key that was brought in may be of a length that is not made here.
        let bits = if keeping == Keeping::Existing { 0 } else { role.key_bits };
        let (kind, bits, hash_bits) =
            key::specification(&role.key_type, bits, role.signature_bits).map_err(Refusal::invalid)?;
        role.signature_bits = hash_bits.into();
        let kind = kind.ok_or_else(|| Refusal::invalid(format!("unknown key type {}", role.key_type)))?;
        Ok(Self { keeping, format, role, kind, bits })
    }

    fn key(&self, fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<PrivateKey, Refusal> {
        match self.keeping {
            Keeping::Existing => existing_key(fields, transaction)?.private(),
            _ => Ok(PrivateKey::generate(self.kind, self.bits)?),
        }
    }
}

fn existing_key(fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<store::Key, Refusal> {
    let reference = fields.string("key_ref")?.unwrap_or_else(|| store::DEFAULT.to_owned());
    if reference.trim().is_empty() {
        return Err(Refusal::invalid("missing argument key_ref for existing type"));
    }
    store::find_key(transaction, &reference)?
        .map_err(|text| Refusal::invalid(format!("failed to lookup public key from existing key: {text}")))
}

/// A name for a new issuer: empty if none was given, and not one that is in use.
pub(super) fn issuer_name(fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    let Some(name) = fields.string("issuer_name")? else { return Ok(String::new()) };
    let name = name.trim().to_owned();
    if name.is_empty() {
        return Err(Refusal::invalid("expected non-empty issuer name"));
    }
    if name.eq_ignore_ascii_case(store::DEFAULT) {
        return Err(Refusal::invalid("reserved keyword 'default' can not be used as issuer name"));
    }
    if !super::role::is_name(&name) {
        return Err(Refusal::invalid("issuer name contained invalid characters"));
    }
    match store::find_issuer(transaction, &name)? {
        Ok(_) => Err(Refusal::invalid("issuer name already in use")),
        Err(_) => Ok(name),
    }
}

/// A name for a new key: empty if none was given, and not one that is in use.
pub(super) fn key_name(fields: Fields<'_>, transaction: &Transaction<'_>) -> Result<String, Refusal> {
    let Some(name) = fields.string("key_name")? else { return Ok(String::new()) };
    let name = name.trim().to_owned();
    if name.eq_ignore_ascii_case(store::DEFAULT) {
        return Err(Refusal::invalid("reserved keyword 'default' can not be used as key name"));
    }
    if !super::role::is_name(&name) {
        return Err(Refusal::invalid("key name contained invalid characters"));
    }
    match store::find_key(transaction, &name)? {
        Ok(_) => Err(Refusal::invalid("key name already in use")),
        Err(_) => Ok(name),
    }
}

/// `max_path_length`: not given, without limit, or a limit.
fn path_length(fields: Fields<'_>) -> Result<Option<Option<u32>>, Refusal> {
    let Some(given) = fields.integer("max_path_length")? else { return Ok(None) };
    let wrong = |_| Refusal::invalid(format!("max_path_length {given} is too large"));
    if given < 0 {
        Ok(Some(None))
    } else {
        u32::try_from(given).map(|length| Some(Some(length))).map_err(wrong)
    }
}

/// `root/generate/:exported`, `root/rotate/:exported` and `issuers/generate/root/:exported`.
pub(super) fn generate(
    exported: &str,
    rotating: bool,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let generation = Generation::read(exported, fields, transaction)?;
    let mut name = issuer_name(fields, transaction)?;
    if rotating && name.is_empty() && store::find_issuer(transaction, "next")?.is_err() {
        "next".clone_into(&mut name);
    }
    let key_name = key_name(fields, transaction)?;
    let judge = Judge { role: &generation.role, display_name: "" };
    let wanted = wanted(Asked { judge, fields, context, request: None, signer: None })?;
    let (urls, url_warning) = root_urls(transaction)?;
    let key = generation.key(fields, transaction)?;
    let purpose = Purpose::of_authority(fields, path_length(fields)?.flatten())?;
    let bounded_to_none = matches!(purpose.constraints, Some((_, Some(0))));
    let certificate = self_sign(&generation.role, &wanted, purpose, &key, &urls)?;
    let (key_entry, _) = store::import_key(transaction, &key, &key_name)?;
    let (mut issuer, _) = store::import_issuer(transaction, &certificate, &name)?;
    issuer.revocation_signature_algorithm = algorithm_of(&generation.role, &key);
    store::put_issuer(transaction, &issuer)?;
    chain::rebuild(transaction)?;
    issue::store_certificate(transaction, &certificate)?;
    if store::issuers_config(transaction)?.default_follows_latest_issuer {
        store::set_default_issuer(transaction, &issuer.id)?;
    }
    let mut warnings = wanted.warnings.clone();
    warnings.extend(url_warning);
    warnings.extend(authority_warnings(&wanted, &certificate));
    warnings.extend(crl::rebuild(transaction, context.now, true)?);
    if bounded_to_none {
        warnings.push(
            "Max path length of the generated certificate is zero. This certificate cannot be used to issue \
             intermediate CA certificates."
                .to_owned(),
        );
    }
    let text = generation.format.certificate(&certificate.der);
    let mut data = object(json!({
        "certificate": text,
        "issuing_ca": text,
        "serial_number": certificate.serial_text(),
        "expiration": certificate.not_after,
        "issuer_id": issuer.id,
        "issuer_name": issuer.name,
        "key_id": key_entry.id,
        "key_name": key_entry.name,
    }));
    if generation.keeping == Keeping::Exported {
        issue::insert_key(&mut data, &key, generation.format, fields)?;
        if generation.format == Format::PemBundle {
            let bundle = format!("{}\n{}", generation.format.key(&key)?, certificate.pem());
            data.insert("certificate".to_owned(), bundle.into());
        }
    }
    Ok(Response { warnings, ..Response::data(data) })
}

fn algorithm_of(role: &Role, key: &PrivateKey) -> String {
    let hash_bits = u32::try_from(role.signature_bits).unwrap_or(0);
    key.algorithm(hash_bits, role.use_pss).name().to_owned()
}

/// The mount's URLs for a root, which has no identifier yet.
fn root_urls(transaction: &Transaction<'_>) -> Result<(Urls, Option<String>), Refusal> {
    let urls = Urls::of_mount(transaction)?;
    match urls.filled(transaction, "")? {
        Ok(filled) => Ok((filled, None)),
        Err(_) => Ok((
            Urls::default(),
            Some(
                "When generating root CA, found global AIA configuration with issuer_id template unsuitable for root \
                 generation. This AIA configuration has been ignored. To include AIA on this root CA, set the global \
                 AIA configuration to not include issuer_id and instead to refer to a static issuer name."
                    .to_owned(),
            ),
        )),
    }
}

fn self_sign(
    role: &Role,
    wanted: &Wanted,
    purpose: Purpose,
    key: &PrivateKey,
    urls: &Urls,
) -> Result<Certificate, Refusal> {
    let public_key = key.public();
    let extensions = issue::extensions(wanted, purpose, &public_key, None, urls)?;
    let serial = new_serial()?;
    let template = Template {
        serial: &serial,
        issuer: &wanted.subject,
        subject: &wanted.subject,
        not_before: wanted.not_before,
        not_after: wanted.not_after,
        public_key: &public_key,
        extensions: &extensions,
    };
    let hash_bits = u32::try_from(role.signature_bits).unwrap_or(0);
    let bytes = template.sign(key, key.algorithm(hash_bits, role.use_pss))?;
    Certificate::parse(&bytes).map_err(|_| failed("unable to parse created certificate"))
}

fn authority_warnings(wanted: &Wanted, certificate: &Certificate) -> Vec<String> {
    let mut warnings = Vec::new();
    if wanted.subject.len() <= 2 {
        warnings.push(NO_SUBJECT.to_owned());
    }
    if !certificate.has_access_information() {
        warnings.push(NO_URLS.to_owned());
    }
    warnings
}

/// `DELETE root`: all issuers and keys.
pub(super) fn delete(transaction: &mut Transaction<'_>) -> Result<Response, Refusal> {
    for issuer in store::issuers(transaction)? {
        store::delete_issuer(transaction, &issuer.id)?;
    }
    for key in store::keys(transaction)? {
        store::delete_key(transaction, &key.id)?;
    }
    Ok(Response::empty().warn(
        "DELETE /root deletes all keys and issuers; prefer the new DELETE /key/:key_ref and DELETE \
         /issuer/:issuer_ref for finer granularity, unless removal of all keys and issuers is desired.",
    ))
}

/// `intermediate/generate/:exported`, `intermediate/cross-sign` and `issuers/generate/intermediate/:exported`.
pub(super) fn generate_intermediate(
    exported: &str,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let generation = Generation::read(exported, fields, transaction)?;
    let key_name = key_name(fields, transaction)?;
    let judge = Judge { role: &generation.role, display_name: "" };
    let wanted = wanted(Asked { judge, fields, context, request: None, signer: None })?;
    let mut extensions = Vec::new();
    if !wanted.names.is_empty() {
        let names = extension::alternative_names(&wanted.names, wanted.subject.len() <= 2);
        extensions.push(names.map_err(|error| Refusal::invalid(error.to_string()))?);
    }
    if fields.boolean("add_basic_constraints")?.unwrap_or(false) {
        extensions.push(extension::basic_constraints(true, None));
    }
    let key = generation.key(fields, transaction)?;
    let hash_bits = u32::try_from(generation.role.signature_bits).unwrap_or(0);
    let algorithm = key.algorithm(hash_bits, generation.role.use_pss);
    let bytes = sign_request(&wanted.subject, &extensions, &key, algorithm)?;
    let (entry, _) = store::import_key(transaction, &key, &key_name)?;
    let text = match generation.format {
        Format::Der => STANDARD.encode(&bytes),
        Format::Pem | Format::PemBundle => pem::encode("CERTIFICATE REQUEST", &bytes),
    };
    let mut data = object(json!({ "csr": text, "key_id": entry.id }));
    if generation.keeping == Keeping::Exported {
        issue::insert_key(&mut data, &key, generation.format, fields)?;
        if generation.format == Format::PemBundle {
            data.insert("csr".to_owned(), format!("{}\n{text}", generation.format.key(&key)?).into());
        }
    }
    let mut warnings = wanted.warnings;
    if Urls::of_mount(transaction)?.is_empty() {
        warnings.push(format!("{NO_URLS}{NO_URLS_INTERMEDIATE}"));
    }
    Ok(Response { warnings, ..Response::data(data) })
}

/// `root/sign-intermediate` and `issuer/:ref/sign-intermediate`.
pub(super) fn sign_intermediate(
    reference: &str,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let format = Format::read(fields)?;
    let role = intermediate_role(fields)?;
    let mut signer = Signer::fetch(transaction, reference, Usage::IssuingCertificates)?;
    // An intermediate may outlive the issuer: it may be signed by another one as well.
    signer.issuer.leaf_not_after_behavior = Outliving::Permit;
    let asked = issue::read_request(fields)?;
    if let Some(shape) = asked.public_key.shape {
        issue::check_key(shape, &role)?;
    }
    let judge = Judge { role: &role, display_name: "" };
    let mut wanted = wanted(Asked { judge, fields, context, request: Some(&asked), signer: Some(&signer) })?;
    if !asked.signature_holds() {
        return Err(Refusal::invalid("request signature invalid"));
    }
    let mut purpose = Purpose::of_authority(fields, intermediate_length(fields, &signer)?)?;
    if fields.boolean("use_csr_values")?.unwrap_or(false) {
        wanted.subject.clone_from(&asked.subject);
        purpose.verbatim = issue::taken_over(&asked);
        // What a request says of its key's use does not make an authority out of it, or unmake one.
        purpose.verbatim.retain(|extension| extension.oid != extension::KEY_USAGE);
    }
    let bounded_to_none = matches!(purpose.constraints, Some((_, Some(0))));
    let extensions = issue::extensions(&wanted, purpose, &asked.public_key, Some(&signer), &signer.urls)?;
    let serial = new_serial()?;
    let template = Template {
        serial: &serial,
        issuer: &signer.certificate.subject,
        subject: &wanted.subject,
        not_before: wanted.not_before,
        not_after: wanted.not_after,
        public_key: &asked.public_key,
        extensions: &extensions,
    };
    let hash_bits = u32::try_from(role.signature_bits).unwrap_or(0);
    let bytes = template.sign(&signer.key, signer.key.algorithm(hash_bits, role.use_pss))?;
    let certificate =
        Certificate::parse(&bytes).map_err(|_| failed("unable to parse created certificate"))?;
    issue::store_certificate(transaction, &certificate)?;
    let mut warnings = Vec::new();
    if signer.certificate.not_after < certificate.not_after {
        warnings.push(
            "The expiration time for the signed certificate is after the CA's expiration time. If the new \
             certificate is not treated as a root, validation paths with the certificate past the issuing CA's \
             expiration time will fail."
                .to_owned(),
        );
    }
    warnings.extend(authority_warnings(&wanted, &certificate));
    if bounded_to_none {
        warnings.push(
            "Max path length of the signed certificate is zero. This certificate cannot be used to issue \
             intermediate CA certificates."
                .to_owned(),
        );
    }
    warnings.extend(wanted.warnings);
    let mut chain = vec![certificate.pem()];
    chain.extend(signer.chain());
    let first = match format {
        Format::PemBundle => chain.join("\n"),
        _ => format.certificate(&certificate.der),
    };
    let chain: Vec<_> = chain.iter().map(|text| format.of_pem(text)).collect();
    let data = object(json!({
        "certificate": first,
        "issuing_ca": format.certificate(&signer.certificate.der),
        "ca_chain": chain,
        "serial_number": certificate.serial_text(),
        "expiration": certificate.not_after,
    }));
    Ok(Response { warnings, ..Response::data(data) })
}

fn intermediate_role(fields: Fields<'_>) -> Result<Role, Refusal> {
    let given = fields.string("common_name")?.is_some_and(|name| !name.is_empty());
    let mut role = Role {
        use_csr_common_name: !given,
        use_csr_sans: false,
        key_type: "any".to_owned(),
        not_after: fields.string("not_after")?.unwrap_or_default(),
        ..Role::authority(fields)?
    };
    if role.signature_bits == 0 {
        role.signature_bits = 256;
    }
    Ok(role)
}

/// How many authorities may follow: what is asked for, or one fewer than may follow the issuer.
fn intermediate_length(fields: Fields<'_>, signer: &Signer) -> Result<Option<u32>, Refusal> {
    let above = signer.certificate.authority().and_then(|(_, length)| length);
    if above == Some(0) {
        return Err(Refusal::invalid(
            "signing certificate has a max path length of zero, and cannot issue further CA certificates",
        ));
    }
    Ok(match path_length(fields)? {
        Some(given) => given,
        None => above.map(|length| length - 1),
    })
}

/// `root/sign-self-issued` and `issuer/:ref/sign-self-issued`.
pub(super) fn sign_self_issued(
    reference: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let text = fields.string("certificate")?.unwrap_or_default();
    let (block, _) =
        pem::first(&text).ok_or_else(|| Refusal::invalid("certificate could not be PEM-decoded"))?;
    let given = Certificate::parse(&block.der)
        .map_err(|error| Refusal::invalid(format!("error parsing certificate: {error}")))?;
    if !given.is_authority() {
        return Err(Refusal::invalid("given certificate is not a CA certificate"));
    }
    if given.issuer != given.subject {
        return Err(Refusal::invalid("given certificate is not self-issued"));
    }
    let signer = Signer::fetch(transaction, reference, Usage::IssuingCertificates)?;
    let (own, other) = (signer.key.kind(), given.public_key.shape.map(super::algorithm::Shape::kind));
    if fields.boolean("require_matching_certificate_algorithms")?.unwrap_or(false) && other != Some(own) {
        return Err(failed(format!(
            "signing certificate's public key algorithm ({}) does not match submitted certificate's ({}), and \
             require_matching_certificate_algorithms is true",
            own.name(),
            other.map_or("unknown", Kind::name)
        )));
    }
    let mut extensions = given.extensions.clone();
    let replaced = [
        extension::AUTHORITY_KEY_IDENTIFIER,
        extension::AUTHORITY_INFORMATION,
        extension::CRL_DISTRIBUTION_POINTS,
    ];
    extensions.retain(|extension| !replaced.contains(&extension.oid.as_slice()));
    extensions.extend(
        signer.certificate.subject_key_identifier().map(|id| extension::authority_key_identifier(&id)),
    );
    if !signer.urls.ocsp_servers.is_empty() || !signer.urls.issuing_certificates.is_empty() {
        extensions.push(extension::authority_information(
            &signer.urls.ocsp_servers,
            &signer.urls.issuing_certificates,
        ));
    }
    if !signer.urls.crl_distribution_points.is_empty() {
        extensions.push(extension::distribution_points(&signer.urls.crl_distribution_points));
    }
    let template = Template {
        serial: &given.serial,
        issuer: &signer.certificate.subject,
        subject: &given.subject,
        not_before: given.not_before,
        not_after: given.not_after,
        public_key: &given.public_key,
        extensions: &extensions,
    };
    let bytes = template.sign(&signer.key, signer.key.algorithm(256, false))?;
    Ok(Response::data(object(json!({
        "certificate": pem::certificate(&bytes),
        "issuing_ca": signer.certificate.pem(),
    }))))
}
