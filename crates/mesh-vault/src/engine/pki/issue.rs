//! Issuing by a role: `issue/:role`, `sign/:role` and `sign-verbatim`.

use super::{
    algorithm::{Kind, PublicKey, Shape},
    allowed::Judge,
    certificate::{Certificate, CertificateRequest, Template, new_serial},
    extension::{self, Extension},
    failed, key,
    key::PrivateKey,
    object, pem,
    role::{self, Role},
    store::{Signer, Usage},
    wanted::{Asked, Purpose, Wanted, remaining, wanted},
};
use crate::{
    logical::{Context, Fields, Lease, Object, Refusal, Request, Response},
    storage::Transaction,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

/// How certificates and keys are written in an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Pem,
    Der,
    PemBundle,
}

impl Format {
    /// As `format` says.
    pub(super) fn read(fields: Fields<'_>) -> Result<Self, Refusal> {
        match fields.string("format")?.as_deref().unwrap_or("pem") {
            "pem" => Ok(Self::Pem),
            "der" => Ok(Self::Der),
            "pem_bundle" => Ok(Self::PemBundle),
            _ => Err(Refusal::invalid(
                "the \"format\" path parameter must be \"pem\", \"der\", or \"pem_bundle\"",
            )),
        }
    }

    /// A certificate.
    pub(super) fn certificate(self, certificate: &[u8]) -> String {
        match self {
            Self::Der => STANDARD.encode(certificate),
            Self::Pem | Self::PemBundle => pem::certificate(certificate),
        }
    }

    /// A certificate that is at hand as PEM.
    pub(super) fn of_pem(self, text: &str) -> String {
        match (self, pem::first(text)) {
            (Self::Der, Some((block, _))) => STANDARD.encode(block.der),
            _ => text.trim().to_owned(),
        }
    }

    /// A private key's native form, as it also stands in a bundle.
    pub(super) fn key(self, key: &PrivateKey) -> Result<String, Refusal> {
        let (label, native) = key.native()?;
        Ok(match self {
            Self::Der => STANDARD.encode(native.as_slice()),
            Self::Pem | Self::PemBundle => pem::encode(label, &native),
        })
    }

    /// `private_key`: the native form, or PKCS#8 if `private_key_format` says so.
    pub(super) fn private_key(self, key: &PrivateKey, fields: Fields<'_>) -> Result<String, Refusal> {
        match fields.string("private_key_format")?.as_deref() {
            Some("pkcs8") => {
                let bytes = key.pkcs8()?;
                Ok(match self {
                    Self::Der => STANDARD.encode(bytes.as_slice()),
                    Self::Pem | Self::PemBundle => pem::encode("PRIVATE KEY", &bytes),
                })
            }
            _ => self.key(key),
        }
    }
}

/// A certificate's extensions, in the order in which Go writes them.
pub(super) fn extensions(
    wanted: &Wanted,
    purpose: Purpose,
    public_key: &PublicKey,
    issuer: Option<&Signer>,
    urls: &super::config::Urls,
) -> Result<Vec<Extension>, Refusal> {
    let own = public_key.identifier();
    let mut list = Vec::new();
    if purpose.key_usage != 0 {
        list.push(extension::key_usage(purpose.key_usage));
    }
    if !purpose.extended.is_empty() {
        list.push(extension::extended_key_usage(&purpose.extended));
    }
    if let Some((authority, length)) = purpose.constraints {
        list.push(extension::basic_constraints(authority, length));
    }
    list.push(extension::subject_key_identifier(&own));
    let above = match issuer {
        Some(issuer) => issuer.certificate.subject_key_identifier(),
        None => Some(own),
    };
    list.extend(above.map(|identifier| extension::authority_key_identifier(&identifier)));
    if !urls.ocsp_servers.is_empty() || !urls.issuing_certificates.is_empty() {
        list.push(extension::authority_information(&urls.ocsp_servers, &urls.issuing_certificates));
    }
    if !wanted.names.is_empty() {
        let critical = wanted.subject.len() <= 2;
        let names = extension::alternative_names(&wanted.names, critical);
        list.push(names.map_err(|error| Refusal::invalid(error.to_string()))?);
    }
    if !purpose.policies.is_empty() {
        list.push(extension::policies(&purpose.policies));
    }
    if !purpose.permitted_domains.is_empty() {
        list.push(extension::permitted_domains(&purpose.permitted_domains));
    }
    if !urls.crl_distribution_points.is_empty() {
        list.push(extension::distribution_points(&urls.crl_distribution_points));
    }
    list.retain(|extension| extension::find(&purpose.verbatim, &extension.oid).is_none());
    list.extend(purpose.verbatim);
    Ok(list)
}

/// Where a public key comes from: a new private one, or a request.
pub(super) enum Source {
    New(PrivateKey),
    Request(CertificateRequest),
}

/// Reads `csr`, whose signature has to hold.
pub(super) fn read_request(fields: Fields<'_>) -> Result<CertificateRequest, Refusal> {
    let text = fields.string("csr")?.unwrap_or_default();
    if text.is_empty() {
        return Err(Refusal::invalid("\"csr\" is empty"));
    }
    let (block, _) = pem::first(&text).ok_or_else(|| Refusal::invalid("csr contains no data"))?;
    let request = CertificateRequest::parse(&block.der)
        .map_err(|error| Refusal::invalid(format!("certificate request could not be parsed: {error}")))?;
    if request.public_key.shape.is_none() {
        return Err(Refusal::invalid(
            "Refusing to sign CSR with empty PublicKey. This usually means the SubjectPublicKeyInfo field has an OID \
             that is not supported.",
        ));
    }
    Ok(request)
}

/// Refuses a request's key that the role does not want.
pub(super) fn check_key(shape: Shape, role: &Role) -> Result<(), Refusal> {
    let (bits, kind) = (shape.bits(), shape.kind());
    if role.key_type != "any" && role.key_type != kind.name() {
        return Err(Refusal::invalid(format!("role requires keys of type {}", role.key_type)));
    }
    if kind == Kind::Rsa && bits < key::RSA_BITS_MIN && role.key_type == "any" {
        return Err(Refusal::invalid("RSA keys < 2048 bits are unsafe and not supported"));
    }
    // Ed25519 has one length.
    let needed = if role.key_type == "any" || kind == Kind::Ed25519 { 0 } else { role.key_bits };
    if i64::from(bits) < needed {
        return Err(Refusal::invalid(format!(
            "role requires a minimum of a {needed}-bit key, but CSR's key is {bits} bits"
        )));
    }
    Ok(())
}

/// `issue/:role`.
pub(super) fn issue(
    name: &str,
    issuer: Option<&str>,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let mut role = role::required(transaction, name)?;
    let fields = request.fields();
    let (kind, bits) =
        (fields.string("key_type")?.filter(|kind| !kind.is_empty()), fields.integer("key_bits")?);
    let mut ignored = false;
    if role.key_type == "any" {
        let Some(kind) = kind else {
            return Err(Refusal::invalid(
                "role key type \"any\" not allowed for issuing certificates without providing key_type and/or \
                 key_bits request parameters",
            ));
        };
        role.key_type = kind;
        role.key_bits = bits.unwrap_or(role.key_bits);
    } else {
        ignored = kind.is_some() || bits.is_some();
    }
    let (kind, bits, hash_bits) = key::specification(&role.key_type, role.key_bits, role.signature_bits)
        .map_err(|text| failed(format!("failed to validate role: {text}")))?;
    role.signature_bits = hash_bits.into();
    let kind = kind.ok_or_else(|| failed("unknown key type any"))?;
    // The names are judged before time goes into a key.
    let job = Job { role: &role, issuer, request, context };
    let judged = job.judge(job.signer(transaction)?, None)?;
    let source = Source::New(PrivateKey::generate(kind, bits)?);
    let mut response = job.sign(transaction, judged, source, Vec::new())?;
    if ignored {
        response = response.warn("parameters key_type and key_bits ignored as role had specific values");
    }
    Ok(response)
}

/// `sign/:role`.
pub(super) fn sign(
    name: &str,
    issuer: Option<&str>,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let role = role::required(transaction, name)?;
    let job = Job { role: &role, issuer, request, context };
    let signer = job.signer(transaction)?;
    let asked = read_request(request.fields())?;
    let judged = job.judge(signer, Some(&asked))?;
    let mut warnings = Vec::new();
    if extension::find(&asked.extensions, extension::BASIC_CONSTRAINTS).is_some()
        && !role.basic_constraints_valid_for_non_ca
    {
        warnings.push(IGNORED_CONSTRAINTS.to_owned());
    }
    let mut response = job.sign(transaction, judged, Source::Request(asked), Vec::new())?;
    response.warnings.extend(request_warnings(&role, request)?);
    response.warnings.extend(warnings);
    Ok(response)
}

const IGNORED_CONSTRAINTS: &str =
    "specified CSR contained a Basic Constraints extension that was ignored during issuance";

fn request_warnings(role: &Role, request: &Request) -> Result<Vec<String>, Refusal> {
    let fields = request.fields();
    let given = |field| fields.string(field).map(|text| text.is_some_and(|text| !text.is_empty()));
    let mut warnings = Vec::new();
    if role.use_csr_common_name && given("common_name")? {
        warnings.push(
            "the common_name field was provided but the role is set with \"use_csr_common_name\" set to true"
                .to_owned(),
        );
    }
    if role.use_csr_sans && given("alt_names")? {
        warnings.push(
            "the alt_names field was provided but the role is set with \"use_csr_sans\" set to true"
                .to_owned(),
        );
    }
    Ok(warnings)
}

/// `sign-verbatim` and `sign-verbatim/:role`: the request as it is, but for basic constraints.
pub(super) fn sign_verbatim(
    name: Option<&str>,
    issuer: Option<&str>,
    request: &Request,
    context: &Context,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    let fields = request.fields();
    let mut role = Role { require_cn: false, ..Role::unbounded(fields)? };
    role.key_usage = fields.list("key_usage")?.unwrap_or(role.key_usage);
    role.ext_key_usage = fields.list("ext_key_usage")?.unwrap_or_default();
    role.ext_key_usage_oids = fields.list("ext_key_usage_oids")?.unwrap_or_default();
    (role.server_flag, role.client_flag) = (false, false);
    let constraints = fields.boolean("basic_constraints_valid_for_non_ca")?;
    if let Some(name) = name {
        let given = role::required(transaction, name)?;
        role = Role {
            ttl: given.ttl,
            max_ttl: given.max_ttl,
            generate_lease: given.generate_lease,
            no_store: given.no_store,
            issuer_ref: given.issuer_ref,
            not_before_duration: given.not_before_duration,
            basic_constraints_valid_for_non_ca: given.basic_constraints_valid_for_non_ca,
            ..role
        };
    }
    role.basic_constraints_valid_for_non_ca = constraints.unwrap_or(role.basic_constraints_valid_for_non_ca);
    let job = Job { role: &role, issuer, request, context };
    let signer = job.signer(transaction)?;
    let asked = read_request(fields)?;
    let mut judged = job.judge(signer, Some(&asked))?;
    judged.wanted.subject.clone_from(&asked.subject);
    let has_constraints = extension::find(&asked.extensions, extension::BASIC_CONSTRAINTS).is_some();
    let verbatim = taken_over(&asked);
    let mut response = job.sign(transaction, judged, Source::Request(asked), verbatim)?;
    response.warnings.extend(request_warnings(&role, request)?);
    if has_constraints && !role.basic_constraints_valid_for_non_ca {
        response = response.warn(IGNORED_CONSTRAINTS);
    }
    Ok(response)
}

/// The extensions of a request but for basic constraints, and the identifiers of keys, which are not its to say.
pub(super) fn taken_over(request: &CertificateRequest) -> Vec<Extension> {
    let own = [
        extension::BASIC_CONSTRAINTS,
        extension::SUBJECT_KEY_IDENTIFIER,
        extension::AUTHORITY_KEY_IDENTIFIER,
    ];
    let kept = request.extensions.iter().filter(|extension| !own.contains(&extension.oid.as_slice()));
    kept.cloned().collect()
}

/// One issuing.
struct Job<'a> {
    role: &'a Role,
    /// The issuer in the path; otherwise the role's.
    issuer: Option<&'a str>,
    request: &'a Request,
    context: &'a Context,
}

/// What may be issued, and by whom.
struct Judged {
    signer: Signer,
    wanted: Wanted,
    format: Format,
}

impl Job<'_> {
    fn signer(&self, transaction: &Transaction<'_>) -> Result<Signer, Refusal> {
        let reference = self.issuer.unwrap_or(&self.role.issuer_ref);
        Signer::fetch(transaction, reference, Usage::IssuingCertificates)
    }

    fn judge(&self, signer: Signer, asked: Option<&CertificateRequest>) -> Result<Judged, Refusal> {
        let fields = self.request.fields();
        let format = Format::read(fields)?;
        if let Some(shape) = asked.and_then(|asked| asked.public_key.shape) {
            check_key(shape, self.role)?;
        }
        let display_name = self.request.token.as_ref().map_or("", |token| token.display_name.as_str());
        let judge = Judge { role: self.role, display_name };
        let wanted =
            wanted(Asked { judge, fields, context: self.context, request: asked, signer: Some(&signer) })?;
        if asked.is_some_and(|asked| !asked.signature_holds()) {
            return Err(Refusal::invalid("request signature invalid"));
        }
        Ok(Judged { signer, wanted, format })
    }

    fn sign(
        &self,
        transaction: &mut Transaction<'_>,
        judged: Judged,
        source: Source,
        verbatim: Vec<Extension>,
    ) -> Result<Response, Refusal> {
        let Judged { signer, wanted, format } = judged;
        let public_key = match &source {
            Source::New(key) => key.public(),
            Source::Request(request) => request.public_key.clone(),
        };
        let purpose = Purpose { verbatim, ..Purpose::of_role(self.role) };
        let extensions = extensions(&wanted, purpose, &public_key, Some(&signer), &signer.urls)?;
        let serial = new_serial()?;
        let template = Template {
            serial: &serial,
            issuer: &signer.certificate.subject,
            subject: &wanted.subject,
            not_before: wanted.not_before,
            not_after: wanted.not_after,
            public_key: &public_key,
            extensions: &extensions,
        };
        let hash_bits = u32::try_from(self.role.signature_bits).unwrap_or(0);
        let bytes = template.sign(&signer.key, signer.key.algorithm(hash_bits, self.role.use_pss))?;
        let certificate =
            Certificate::parse(&bytes).map_err(|_| failed("unable to parse created certificate"))?;
        if !self.role.no_store {
            store_certificate(transaction, &certificate)?;
        }
        self.answer(&signer, &wanted, format, &certificate, &source)
    }

    fn answer(
        &self,
        signer: &Signer,
        wanted: &Wanted,
        format: Format,
        certificate: &Certificate,
        source: &Source,
    ) -> Result<Response, Refusal> {
        let fields = self.request.fields();
        let mut chain = signer.chain();
        let whole = chain.clone();
        if fields.boolean("remove_roots_from_chain")?.unwrap_or(false) {
            chain.retain(|text| !Certificate::parse_pem(text).is_some_and(|parsed| parsed.self_signed()));
        }
        let mut data = object(json!({
            "certificate": format.certificate(&certificate.der),
            "issuing_ca": format.certificate(&signer.certificate.der),
            "serial_number": certificate.serial_text(),
            "not_before": certificate.not_before,
            "expiration": certificate.not_after,
        }));
        if !chain.is_empty() {
            let chain: Vec<Value> = chain.iter().map(|text| format.of_pem(text).into()).collect();
            data.insert("ca_chain".to_owned(), chain.into());
        }
        let mut bundle = Vec::new();
        if let Source::New(key) = source {
            insert_key(&mut data, key, format, fields)?;
            bundle.push(format.key(key)?);
        }
        if format == Format::PemBundle {
            bundle.push(certificate.pem());
            bundle.extend(whole);
            data.insert("certificate".to_owned(), bundle.join("\n").into());
        }
        let lease = self.role.generate_lease.then(|| Lease {
            ttl: remaining(certificate.not_after, self.context),
            max_ttl: remaining(certificate.not_after, self.context),
            renewable: false,
            internal: object(json!({ "serial_number": certificate.serial_text() })),
        });
        Ok(Response { lease, warnings: wanted.warnings.clone(), ..Response::data(data) })
    }
}

/// `private_key` and `private_key_type`.
pub(super) fn insert_key(
    data: &mut Object,
    key: &PrivateKey,
    format: Format,
    fields: Fields<'_>,
) -> Result<(), Refusal> {
    data.insert("private_key".to_owned(), format.private_key(key, fields)?.into());
    data.insert("private_key_type".to_owned(), key.kind().name().into());
    Ok(())
}

/// Keeps a certificate under its serial number.
pub(super) fn store_certificate(
    transaction: &mut Transaction<'_>,
    certificate: &Certificate,
) -> Result<(), Refusal> {
    let key = super::certificate::serial_key(&certificate.serial_text())
        .ok_or_else(|| Refusal::invalid("invalid serial number on presented certificate"))?;
    transaction.put(&format!("certs/{key}"), certificate.der.clone());
    Ok(())
}
