//! What is kept of issuers and keys, and how a reference to one is resolved.
//!
//! ```text
//! config/issuers, config/keys      which is the default
//! config/issuer/<id>               a certificate that may sign, and how it is to be used
//! config/key/<id>                  a private key
//! role/<name>                      what may be issued
//! certs/<serial>                   certificates as DER
//! revoked/<serial>                 when which was revoked
//! crls/...                         lists of revoked certificates
//! ```

use super::{
    algorithm::{Algorithm, Kind, PublicKey},
    certificate::Certificate,
    config::Urls,
    failed,
    key::PrivateKey,
    pem,
};
use crate::{logical::Refusal, storage::Transaction};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The reference to whatever is configured as the default.
pub(super) const DEFAULT: &str = "default";
const ISSUER: &str = "config/issuer/";
const KEY: &str = "config/key/";
const ISSUERS_CONFIG: &str = "config/issuers";
const KEYS_CONFIG: &str = "config/keys";

/// What an issuer may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Usage {
    CrlSigning,
    IssuingCertificates,
    OcspSigning,
    ReadOnly,
}

impl Usage {
    /// In the order of their names.
    pub(super) const ALL: [Self; 4] =
        [Self::CrlSigning, Self::IssuingCertificates, Self::OcspSigning, Self::ReadOnly];

    /// Vault's name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CrlSigning => "crl-signing",
            Self::IssuingCertificates => "issuing-certificates",
            Self::OcspSigning => "ocsp-signing",
            Self::ReadOnly => "read-only",
        }
    }

    /// Names with commas between them.
    pub(super) fn names(usages: &[Self]) -> String {
        usages.iter().map(|usage| usage.name()).collect::<Vec<_>>().join(",")
    }
}

/// What happens to a certificate that would outlive its issuer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outliving {
    #[default]
    Err,
    Truncate,
    Permit,
}

/// An issuer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Issuer {
    pub(super) id: String,
    pub(super) name: String,
    /// Empty where the key is not here.
    pub(super) key_id: String,
    /// As PEM, with an end of line.
    pub(super) certificate: String,
    /// Itself first, then its issuers as far as they are here.
    pub(super) ca_chain: Vec<String>,
    /// Identifiers of issuers, if the chain was given by hand.
    pub(super) manual_chain: Vec<String>,
    pub(super) serial_number: String,
    pub(super) leaf_not_after_behavior: Outliving,
    pub(super) usage: Vec<Usage>,
    pub(super) revocation_signature_algorithm: String,
    /// Nanoseconds since 1970: when it was revoked.
    pub(super) revoked: Option<u64>,
    pub(super) urls: Option<Urls>,
}

impl Issuer {
    /// Its certificate.
    pub(super) fn parsed(&self) -> Result<Certificate, Refusal> {
        Certificate::parse_pem(&self.certificate)
            .ok_or_else(|| failed(format!("unable to parse certificate from issuer: {}", self.id)))
    }

    /// Whether it may be used so.
    pub(super) fn may(&self, usage: Usage) -> bool {
        self.usage.contains(&usage)
    }

    /// Refuses a use that it is not for, in Vault's words.
    fn ensure(&self, usage: Usage) -> Result<(), String> {
        if self.may(usage) {
            return Ok(());
        }
        let name = if self.name.is_empty() { String::new() } else { format!(" / name:{}", self.name) };
        let (id, had) = (&self.id, Usage::names(&self.usage));
        Err(format!(
            "error while attempting to use issuer {id}: requested usage {} for issuer [id:{id}{name}] but only had \
             usage {had}",
            usage.name()
        ))
    }
}

/// A private key that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Key {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) kind: Kind,
    /// `SubjectPublicKeyInfo`, base64.
    public: String,
    /// PKCS#8, base64.
    #[serde(with = "mesh_redact::exposed")]
    private: Secret<String>,
}

impl Key {
    /// The key itself.
    pub(super) fn private(&self) -> Result<PrivateKey, Refusal> {
        let broken =
            || failed(format!("failed parsing key entry bytes for key id: {} ({})", self.id, self.name));
        let bytes = Zeroizing::new(STANDARD.decode(self.private.expose()).map_err(|_| broken())?);
        PrivateKey::from_der(&bytes).map_err(|_| broken())
    }

    /// Its other half.
    pub(super) fn public(&self) -> Result<PublicKey, Refusal> {
        let broken =
            || failed(format!("failed parsing key entry bytes for key id: {} ({})", self.id, self.name));
        PublicKey::parse(&STANDARD.decode(&self.public).map_err(|_| broken())?).map_err(|_| broken())
    }
}

/// Which issuer is the default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct IssuersConfig {
    pub(super) default: String,
    pub(super) default_follows_latest_issuer: bool,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct KeysConfig {
    default: String,
}

/// A random identifier in the form of a UUID.
pub(super) fn new_id() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    let failed = |_| Refusal::Internal { attempted: "could not make an identifier".to_owned(), source: None };
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// Settings of all issuers.
pub(super) fn issuers_config(transaction: &Transaction<'_>) -> Result<IssuersConfig, Refusal> {
    Ok(transaction.get_json(ISSUERS_CONFIG)?.unwrap_or_default())
}

/// Keeps settings of all issuers.
pub(super) fn put_issuers_config(
    transaction: &mut Transaction<'_>,
    config: &IssuersConfig,
) -> Result<(), Refusal> {
    Ok(transaction.put_json(ISSUERS_CONFIG, config)?)
}

/// Makes an issuer the default.
pub(super) fn set_default_issuer(transaction: &mut Transaction<'_>, id: &str) -> Result<(), Refusal> {
    let config = IssuersConfig { default: id.to_owned(), ..issuers_config(transaction)? };
    put_issuers_config(transaction, &config)
}

/// The default key's identifier, empty for none.
pub(super) fn default_key(transaction: &Transaction<'_>) -> Result<String, Refusal> {
    Ok(transaction.get_json::<KeysConfig>(KEYS_CONFIG)?.unwrap_or_default().default)
}

/// Makes a key the default.
pub(super) fn set_default_key(transaction: &mut Transaction<'_>, id: &str) -> Result<(), Refusal> {
    Ok(transaction.put_json(KEYS_CONFIG, &KeysConfig { default: id.to_owned() })?)
}

/// All issuers.
pub(super) fn issuers(transaction: &Transaction<'_>) -> Result<Vec<Issuer>, Refusal> {
    let mut issuers = Vec::new();
    for id in transaction.list(ISSUER)? {
        issuers.extend(transaction.get_json::<Issuer>(&format!("{ISSUER}{id}"))?);
    }
    Ok(issuers)
}

/// All keys.
pub(super) fn keys(transaction: &Transaction<'_>) -> Result<Vec<Key>, Refusal> {
    let mut keys = Vec::new();
    for id in transaction.list(KEY)? {
        keys.extend(transaction.get_json::<Key>(&format!("{KEY}{id}"))?);
    }
    Ok(keys)
}

/// Keeps an issuer.
pub(super) fn put_issuer(transaction: &mut Transaction<'_>, issuer: &Issuer) -> Result<(), Refusal> {
    Ok(transaction.put_json(&format!("{ISSUER}{}", issuer.id), issuer)?)
}

/// Keeps a key.
pub(super) fn put_key(transaction: &mut Transaction<'_>, key: &Key) -> Result<(), Refusal> {
    Ok(transaction.put_json(&format!("{KEY}{}", key.id), key)?)
}

/// Forgets an issuer; whether it was the default.
pub(super) fn delete_issuer(transaction: &mut Transaction<'_>, id: &str) -> Result<bool, Refusal> {
    transaction.delete(&format!("{ISSUER}{id}"));
    let config = issuers_config(transaction)?;
    let was_default = config.default == id;
    if was_default {
        put_issuers_config(transaction, &IssuersConfig { default: String::new(), ..config })?;
    }
    Ok(was_default)
}

/// Forgets a key; whether it was the default.
pub(super) fn delete_key(transaction: &mut Transaction<'_>, id: &str) -> Result<bool, Refusal> {
    transaction.delete(&format!("{KEY}{id}"));
    let was_default = default_key(transaction)? == id;
    if was_default {
        set_default_key(transaction, "")?;
    }
    Ok(was_default)
}

/// A reference as it was given, `default` in any case being the default.
fn normal(reference: &str) -> &str {
    let reference = reference.trim();
    if reference.eq_ignore_ascii_case(DEFAULT) { DEFAULT } else { reference }
}

/// The issuer that an identifier, a name or `default` stands for; the inner error says that there is none.
pub(super) fn find_issuer(
    transaction: &Transaction<'_>,
    reference: &str,
) -> Result<Result<Issuer, String>, Refusal> {
    let reference = normal(reference);
    let id = match reference {
        DEFAULT => issuers_config(transaction)?.default,
        other => other.to_owned(),
    };
    if id.is_empty() {
        return Ok(Err("no default issuer currently configured".to_owned()));
    }
    if !id.contains('/')
        && let Some(issuer) = transaction.get_json::<Issuer>(&format!("{ISSUER}{id}"))?
    {
        return Ok(Ok(issuer));
    }
    let found = issuers(transaction)?.into_iter().find(|issuer| issuer.name == reference);
    Ok(found.ok_or_else(|| format!("unable to find PKI issuer for reference: {reference}")))
}

/// The issuer that a reference stands for.
///
/// # Errors
/// 500 where there is none, as Vault answers.
pub(super) fn issuer(transaction: &Transaction<'_>, reference: &str) -> Result<Issuer, Refusal> {
    find_issuer(transaction, reference)?.map_err(failed)
}

/// The key that an identifier, a name or `default` stands for; the inner error says that there is none.
pub(super) fn find_key(
    transaction: &Transaction<'_>,
    reference: &str,
) -> Result<Result<Key, String>, Refusal> {
    let reference = normal(reference);
    let id = match reference {
        DEFAULT => default_key(transaction)?,
        other => other.to_owned(),
    };
    if id.is_empty() {
        return Ok(Err("no default key currently configured".to_owned()));
    }
    if !id.contains('/')
        && let Some(key) = transaction.get_json::<Key>(&format!("{KEY}{id}"))?
    {
        return Ok(Ok(key));
    }
    let found = keys(transaction)?.into_iter().find(|key| key.name == reference);
    Ok(found.ok_or_else(|| format!("unable to find PKI key for reference: {reference}")))
}

/// An issuer with all that is needed to sign.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) issuer: Issuer,
    pub(super) certificate: Certificate,
    pub(super) key: PrivateKey,
    pub(super) urls: Urls,
}

impl Signer {
    /// The issuer by a reference, if it may be used so.
    pub(super) fn fetch(
        transaction: &Transaction<'_>,
        reference: &str,
        usage: Usage,
    ) -> Result<Self, Refusal> {
        let missing = |text| failed(format!("could not fetch the CA certificate (was one set?): {text}"));
        let issuer = find_issuer(transaction, reference)?.map_err(missing)?;
        issuer.ensure(usage).map_err(|text| failed(format!("error fetching CA certificate: {text}")))?;
        if issuer.key_id.is_empty() {
            return Err(missing(no_key(&issuer)));
        }
        Self::of(transaction, issuer, usage)
    }

    /// Of an issuer, if it may be used so.
    pub(super) fn of(transaction: &Transaction<'_>, issuer: Issuer, usage: Usage) -> Result<Self, Refusal> {
        issuer.ensure(usage).map_err(failed)?;
        let certificate = issuer.parsed()?;
        let key = match issuer.key_id.as_str() {
            "" => None,
            id => transaction.get_json::<Key>(&format!("{KEY}{id}"))?,
        };
        let key = key.ok_or_else(|| failed(no_key(&issuer)))?;
        let urls = Urls::of_issuer(transaction, &issuer)?;
        Ok(Self { certificate, key: key.private()?, urls, issuer })
    }

    /// The chain of what it signs: its own certificate and those above it, as PEM.
    pub(super) fn chain(&self) -> Vec<String> {
        let own = self.certificate.pem();
        let known = self.issuer.ca_chain.iter().map(|text| text.trim().to_owned());
        let mut chain: Vec<String> = known.collect();
        if chain.first() != Some(&own) {
            chain.insert(0, own);
        }
        chain
    }

    /// What lists and answers about revocation are signed with.
    pub(super) fn revocation_algorithm(&self) -> Algorithm {
        let chosen = Algorithm::named(&self.issuer.revocation_signature_algorithm);
        let default = self.key.algorithm(256, false);
        chosen.filter(|algorithm| fits(self.key.kind(), *algorithm)).unwrap_or(default)
    }
}

fn no_key(issuer: &Issuer) -> String {
    let id = &issuer.id;
    format!("unable to fetch corresponding key for issuer {id}; unable to use this issuer for signing")
}

/// Whether a kind of key can sign so.
pub(super) fn fits(kind: Kind, algorithm: Algorithm) -> bool {
    matches!(
        (kind, algorithm),
        (Kind::Rsa, Algorithm::Rsa(_) | Algorithm::RsaPss(_))
            | (Kind::Ec, Algorithm::Ecdsa(_))
            | (Kind::Ed25519, Algorithm::Ed25519)
    )
}

/// Keeps a private key, unless it is there already, and ties issuers without a key to it. Whether it was there.
pub(super) fn import_key(
    transaction: &mut Transaction<'_>,
    key: &PrivateKey,
    name: &str,
) -> Result<(Key, bool), Refusal> {
    let public = key.public();
    let known = keys(transaction)?;
    let info = STANDARD.encode(&public.info);
    if let Some(existing) = known.iter().find(|existing| existing.public == info) {
        return Ok((existing.clone(), true));
    }
    if !name.is_empty() && known.iter().any(|existing| existing.name == name) {
        return Err(Refusal::invalid(format!(
            "an existing key is using the requested key name value: {name}"
        )));
    }
    let private = Secret::new(STANDARD.encode(key.pkcs8().map_err(Refusal::from)?.as_slice()));
    let entry = Key { id: new_id()?, name: name.to_owned(), kind: key.kind(), public: info, private };
    put_key(transaction, &entry)?;
    for mut issuer in issuers(transaction)?.into_iter().filter(|issuer| issuer.key_id.is_empty()) {
        if issuer.parsed()?.public_key.info == public.info {
            issuer.key_id.clone_from(&entry.id);
            put_issuer(transaction, &issuer)?;
            if issuers_config(transaction)?.default.is_empty() {
                set_default_issuer(transaction, &issuer.id)?;
            }
        }
    }
    if default_key(transaction)?.is_empty() {
        set_default_key(transaction, &entry.id)?;
    }
    Ok((entry, false))
}

/// Keeps a certificate as an issuer, unless it is there already, and ties it to its key. Whether it was there.
/// The chains are to be worked out when all are there ([`super::chain::rebuild`]).
pub(super) fn import_issuer(
    transaction: &mut Transaction<'_>,
    certificate: &Certificate,
    name: &str,
) -> Result<(Issuer, bool), Refusal> {
    if !certificate.is_authority() {
        return Err(Refusal::invalid("Refusing to import non-CA certificate"));
    }
    if certificate.public_key.shape.is_none() {
        return Err(Refusal::invalid(
            "Refusing to import CA certificate with empty PublicKey. This usually means the SubjectPublicKeyInfo \
             field has an OID that is not supported.",
        ));
    }
    let known = issuers(transaction)?;
    let text = pem::encode_lines("CERTIFICATE", &certificate.der);
    if let Some(existing) = known.iter().find(|existing| existing.certificate == text) {
        return Ok((existing.clone(), true));
    }
    if !name.is_empty() && known.iter().any(|existing| existing.name == name) {
        return Err(Refusal::invalid(format!("another issuer is using the requested name: {name}")));
    }
    let mut usage = Usage::ALL.to_vec();
    usage.retain(|usage| *usage != Usage::CrlSigning || certificate.may_sign_lists());
    let mut key_id = String::new();
    for key in keys(transaction)? {
        if key.public()?.info == certificate.public_key.info {
            key_id = key.id;
        }
    }
    let issuer = Issuer {
        id: new_id()?,
        name: name.to_owned(),
        key_id,
        ca_chain: vec![text.clone()],
        certificate: text,
        manual_chain: Vec::new(),
        serial_number: certificate.serial_text(),
        leaf_not_after_behavior: Outliving::Err,
        usage,
        revocation_signature_algorithm: String::new(),
        revoked: None,
        urls: None,
    };
    put_issuer(transaction, &issuer)?;
    if issuers_config(transaction)?.default.is_empty() && !issuer.key_id.is_empty() {
        set_default_issuer(transaction, &issuer.id)?;
    }
    Ok((issuer, false))
}
