//! Roles: what may be issued.

use super::{clock, der, extension::Policy, failed, key, object, store};
use crate::{
    logical::{Fields, Operation, Refusal, Request, Response},
    storage::Transaction,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

const ROLE: &str = "role/";

/// A role, in the shape that Vault shows. Durations are seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    pub(super) ttl: u64,
    pub(super) max_ttl: u64,
    pub(super) allow_localhost: bool,
    pub(super) allowed_domains: Vec<String>,
    pub(super) allowed_domains_template: bool,
    pub(super) allow_bare_domains: bool,
    pub(super) allow_token_displayname: bool,
    pub(super) allow_subdomains: bool,
    pub(super) allow_glob_domains: bool,
    pub(super) allow_wildcard_certificates: bool,
    pub(super) allow_any_name: bool,
    pub(super) allowed_uri_sans_template: bool,
    pub(super) enforce_hostnames: bool,
    pub(super) allow_ip_sans: bool,
    pub(super) allowed_ip_sans_cidr: Vec<String>,
    pub(super) server_flag: bool,
    pub(super) client_flag: bool,
    pub(super) code_signing_flag: bool,
    pub(super) email_protection_flag: bool,
    pub(super) use_csr_common_name: bool,
    pub(super) use_csr_sans: bool,
    pub(super) key_type: String,
    pub(super) key_bits: i64,
    pub(super) signature_bits: i64,
    pub(super) use_pss: bool,
    pub(super) key_usage: Vec<String>,
    pub(super) ext_key_usage: Vec<String>,
    pub(super) ext_key_usage_oids: Vec<String>,
    pub(super) ou: Vec<String>,
    pub(super) organization: Vec<String>,
    pub(super) country: Vec<String>,
    pub(super) locality: Vec<String>,
    pub(super) province: Vec<String>,
    pub(super) street_address: Vec<String>,
    pub(super) postal_code: Vec<String>,
    pub(super) generate_lease: bool,
    pub(super) no_store: bool,
    pub(super) allowed_other_sans: Vec<String>,
    pub(super) allowed_serial_numbers: Vec<String>,
    pub(super) allowed_user_ids: Vec<String>,
    pub(super) allowed_uri_sans: Vec<String>,
    pub(super) require_cn: bool,
    pub(super) cn_validations: Vec<String>,
    pub(super) policy_identifiers: Vec<String>,
    pub(super) basic_constraints_valid_for_non_ca: bool,
    pub(super) not_before_duration: u64,
    pub(super) not_after: String,
    pub(super) not_after_bound: String,
    pub(super) issuer_ref: String,
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

impl Default for Role {
    fn default() -> Self {
        Self {
            ttl: 0,
            max_ttl: 0,
            allow_localhost: true,
            allowed_domains: Vec::new(),
            allowed_domains_template: false,
            allow_bare_domains: false,
            allow_token_displayname: false,
            allow_subdomains: false,
            allow_glob_domains: false,
            allow_wildcard_certificates: true,
            allow_any_name: false,
            allowed_uri_sans_template: false,
            enforce_hostnames: true,
            allow_ip_sans: true,
            allowed_ip_sans_cidr: Vec::new(),
            server_flag: true,
            client_flag: true,
            code_signing_flag: false,
            email_protection_flag: false,
            use_csr_common_name: true,
            use_csr_sans: true,
            key_type: "rsa".to_owned(),
            key_bits: 0,
            signature_bits: 0,
            use_pss: false,
            key_usage: texts(&["DigitalSignature", "KeyAgreement", "KeyEncipherment"]),
            ext_key_usage: Vec::new(),
            ext_key_usage_oids: Vec::new(),
            ou: Vec::new(),
            organization: Vec::new(),
            country: Vec::new(),
            locality: Vec::new(),
            province: Vec::new(),
            street_address: Vec::new(),
            postal_code: Vec::new(),
            generate_lease: false,
            no_store: false,
            allowed_other_sans: Vec::new(),
            allowed_serial_numbers: Vec::new(),
            allowed_user_ids: Vec::new(),
            allowed_uri_sans: Vec::new(),
            require_cn: true,
            cn_validations: texts(&["email", "hostname"]),
            policy_identifiers: Vec::new(),
            basic_constraints_valid_for_non_ca: false,
            not_before_duration: 30,
            not_after: String::new(),
            not_after_bound: "permit".to_owned(),
            issuer_ref: store::DEFAULT.to_owned(),
        }
    }
}

impl Role {
    /// One that lets everything pass: for authorities, and for requests that are signed as they are.
    pub(super) fn unbounded(fields: Fields<'_>) -> Result<Self, Refusal> {
        let anything = || texts(&["*"]);
        let mut role = Self {
            allow_any_name: true,
            enforce_hostnames: false,
            allowed_uri_sans: anything(),
            allowed_other_sans: anything(),
            allowed_serial_numbers: anything(),
            allowed_user_ids: anything(),
            cn_validations: texts(&["disabled"]),
            key_type: "any".to_owned(),
            ..Self::default()
        };
        role.signature_bits = fields.integer("signature_bits")?.unwrap_or(0);
        role.use_pss = fields.boolean("use_pss")?.unwrap_or(false);
        Ok(role)
    }

    /// One for a certificate authority, with the subject that the request gives.
    pub(super) fn authority(fields: Fields<'_>) -> Result<Self, Refusal> {
        let mut role = Self {
            key_usage: Vec::new(),
            server_flag: false,
            client_flag: false,
            require_cn: false,
            ..Self::unbounded(fields)?
        };
        role.update_subject(fields)?;
        role.ttl = fields.duration("ttl")?.unwrap_or_default().as_secs();
        role.not_before_duration =
            fields.duration("not_before_duration")?.map_or(30, |duration| duration.as_secs());
        Ok(role)
    }

    fn update_subject(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        let lists = [
            ("ou", &mut self.ou),
            ("organization", &mut self.organization),
            ("country", &mut self.country),
            ("locality", &mut self.locality),
            ("province", &mut self.province),
            ("street_address", &mut self.street_address),
            ("postal_code", &mut self.postal_code),
        ];
        take_lists(fields, lists)
    }

    /// Takes over what a request gives.
    fn update(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        self.update_subject(fields)?;
        self.update_flags(fields)?;
        let lists = [
            ("allowed_domains", &mut self.allowed_domains),
            ("allowed_ip_sans_cidr", &mut self.allowed_ip_sans_cidr),
            ("key_usage", &mut self.key_usage),
            ("ext_key_usage", &mut self.ext_key_usage),
            ("ext_key_usage_oids", &mut self.ext_key_usage_oids),
            ("allowed_other_sans", &mut self.allowed_other_sans),
            ("allowed_serial_numbers", &mut self.allowed_serial_numbers),
            ("allowed_user_ids", &mut self.allowed_user_ids),
            ("allowed_uri_sans", &mut self.allowed_uri_sans),
            ("cn_validations", &mut self.cn_validations),
        ];
        take_lists(fields, lists)?;
        for (field, value) in [
            ("ttl", &mut self.ttl),
            ("max_ttl", &mut self.max_ttl),
            ("not_before_duration", &mut self.not_before_duration),
        ] {
            *value = fields.duration(field)?.map_or(*value, |duration| duration.as_secs());
        }
        for (field, value) in [
            ("key_type", &mut self.key_type),
            ("not_after", &mut self.not_after),
            ("not_after_bound", &mut self.not_after_bound),
            ("issuer_ref", &mut self.issuer_ref),
        ] {
            *value = fields.string(field)?.unwrap_or_else(|| value.clone());
        }
        for (field, value) in [("key_bits", &mut self.key_bits), ("signature_bits", &mut self.signature_bits)]
        {
            *value = fields.integer(field)?.unwrap_or(*value);
        }
        if let Some(value) = fields.value("policy_identifiers") {
            self.policy_identifiers = policies(value, fields)?;
        }
        Ok(())
    }

    fn update_flags(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        let flags = [
            ("allow_localhost", &mut self.allow_localhost),
            ("allowed_domains_template", &mut self.allowed_domains_template),
            ("allow_bare_domains", &mut self.allow_bare_domains),
            ("allow_subdomains", &mut self.allow_subdomains),
            ("allow_glob_domains", &mut self.allow_glob_domains),
            ("allow_wildcard_certificates", &mut self.allow_wildcard_certificates),
            ("allow_any_name", &mut self.allow_any_name),
            ("allowed_uri_sans_template", &mut self.allowed_uri_sans_template),
            ("enforce_hostnames", &mut self.enforce_hostnames),
            ("allow_ip_sans", &mut self.allow_ip_sans),
            ("server_flag", &mut self.server_flag),
            ("client_flag", &mut self.client_flag),
            ("code_signing_flag", &mut self.code_signing_flag),
            ("email_protection_flag", &mut self.email_protection_flag),
            ("use_csr_common_name", &mut self.use_csr_common_name),
            ("use_csr_sans", &mut self.use_csr_sans),
            ("use_pss", &mut self.use_pss),
            ("generate_lease", &mut self.generate_lease),
            ("no_store", &mut self.no_store),
            ("require_cn", &mut self.require_cn),
            ("basic_constraints_valid_for_non_ca", &mut self.basic_constraints_valid_for_non_ca),
        ];
        for (field, value) in flags {
            *value = fields.boolean(field)?.unwrap_or(*value);
        }
        Ok(())
    }

    /// Refuses what cannot be, and fills in what was left to be chosen.
    fn validate(&mut self) -> Result<(), Refusal> {
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Refusal::invalid("\"ttl\" value must be less than \"max_ttl\" value"));
        }
        let (_, bits, hash_bits) = key::specification(&self.key_type, self.key_bits, self.signature_bits)
            .map_err(Refusal::invalid)?;
        (self.key_bits, self.signature_bits) = (bits.into(), hash_bits.into());
        if let Some(bad) = self.ext_key_usage_oids.iter().find(|dotted| der::oid(dotted).is_none()) {
            return Err(Refusal::invalid(format!(
                "{bad:?} could not be parsed as a valid oid for an extended key usage"
            )));
        }
        for cidr in &self.allowed_ip_sans_cidr {
            Network::parse(cidr).ok_or_else(|| {
                Refusal::invalid(format!("error parsing allowed_ip_sans_cidr: invalid CIDR address: {cidr}"))
            })?;
        }
        if self.allowed_other_sans != ["*"] {
            other_names(&self.allowed_other_sans)
                .map_err(|text| Refusal::invalid(format!("error parsing allowed_other_sans: {text}")))?;
        }
        if !["permit", "forbid", "ttl-limited"].contains(&self.not_after_bound.as_str())
            && clock::parse_rfc3339(&self.not_after_bound).is_none()
        {
            return Err(Refusal::invalid(
                "Unknown value for field `not_after_bound`. Possible values are `permit`, `ttl-limited`, `forbid`, \
                 or an explicit timestamp.",
            ));
        }
        if self.issuer_ref.is_empty() {
            self.issuer_ref = store::DEFAULT.to_owned();
        }
        self.cn_validations = cn_validations(&self.cn_validations).map_err(failed)?;
        Ok(())
    }
}

fn take_lists<const N: usize>(
    fields: Fields<'_>,
    lists: [(&str, &mut Vec<String>); N],
) -> Result<(), Refusal> {
    for (field, list) in lists {
        if let Some(given) = fields.list(field)? {
            *list = given;
        }
    }
    Ok(())
}

/// A list of identifiers, or a text or a list of JSON objects with qualifiers.
fn policies(value: &Value, fields: Fields<'_>) -> Result<Vec<String>, Refusal> {
    let with_qualifiers = match value {
        Value::String(text) if text.trim_start().starts_with('[') => {
            serde_json::from_str::<Vec<Value>>(text).ok()
        }
        Value::Array(values) if values.iter().any(Value::is_object) => Some(values.clone()),
        _ => None,
    };
    let list: Vec<String> = match with_qualifiers {
        Some(values) => values.iter().map(Value::to_string).collect(),
        None => fields.list("policy_identifiers")?.unwrap_or_default(),
    };
    match list.iter().find(|text| Policy::parse(text).is_none()) {
        Some(bad) => Err(Refusal::invalid(format!(
            "error parsing policy identifier {bad:?}: it is no object identifier"
        ))),
        None => Ok(list),
    }
}

fn cn_validations(given: &[String]) -> Result<Vec<String>, String> {
    if given.is_empty() {
        return Ok(texts(&["email", "hostname"]));
    }
    let mut result: Vec<String> = Vec::new();
    for validation in given {
        let validation = validation.to_lowercase();
        if !["disabled", "email", "hostname"].contains(&validation.as_str()) {
            return Err(format!("cn_validations value incorrect: unknown type: `{validation}`"));
        }
        if result.contains(&validation) {
            return Err(format!("cn_validations value incorrect: `{validation}` specified multiple times"));
        }
        result.push(validation);
    }
    if result.len() > 1 && result.iter().any(|validation| validation == "disabled") {
        return Err(
            "cn_validations value incorrect: cannot specify `disabled` along with `email` or `hostname`"
                .to_owned(),
        );
    }
    Ok(result)
}

/// A network by its prefix.
#[derive(Debug, Clone, Copy)]
pub(super) struct Network {
    address: IpAddr,
    prefix: u32,
}

impl Network {
    /// Reads `10.0.0.0/8`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let prefix: u32 = prefix.parse().ok()?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= longest).then_some(Self { address, prefix })
    }

    /// Whether an address is in it.
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(32 - self.prefix).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(128 - self.prefix).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// `<oid>;<type>:<value>`, as identifiers and values.
///
/// # Errors
/// Vault's words.
pub(super) fn other_names(texts: &[String]) -> Result<Vec<(String, String)>, String> {
    let mut names = Vec::new();
    for text in texts {
        let (oid, rest) =
            text.split_once(';').ok_or_else(|| format!("expected a semicolon in other SAN {text:?}"))?;
        let (kind, value) =
            rest.split_once(':').ok_or_else(|| format!("expected a colon in other SAN {text:?}"))?;
        if !kind.eq_ignore_ascii_case("utf8") && !kind.eq_ignore_ascii_case("utf-8") {
            return Err(format!(
                "only utf8 other SANs are supported; found non-supported type in other SAN {text:?}"
            ));
        }
        names.push((oid.to_owned(), value.to_owned()));
    }
    Ok(names)
}

/// The role of a name.
pub(super) fn get(transaction: &Transaction<'_>, name: &str) -> Result<Option<Role>, Refusal> {
    Ok(transaction.get_json(&format!("{ROLE}{name}"))?)
}

/// The role of a name, which has to be there.
pub(super) fn required(transaction: &Transaction<'_>, name: &str) -> Result<Role, Refusal> {
    get(transaction, name)?.ok_or_else(|| Refusal::invalid(format!("unknown role: {name}")))
}

/// How many roles refer to an issuer by this text.
pub(super) fn referring(transaction: &Transaction<'_>, reference: &str) -> Result<usize, Refusal> {
    let mut count = 0;
    for name in transaction.list(ROLE)? {
        count += usize::from(get(transaction, &name)?.is_some_and(|role| role.issuer_ref == reference));
    }
    Ok(count)
}

/// Whether it can be the name of a role, an issuer or a key.
pub(super) fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    name.starts_with(word) && name.ends_with(word) && name.chars().all(|c| word(c) || c == '-' || c == '.')
}

/// `roles/`.
pub(super) fn list(transaction: &Transaction<'_>) -> Result<Response, Refusal> {
    match transaction.list(ROLE)? {
        names if names.is_empty() => Err(Refusal::NotFound),
        names => Ok(Response::keys(names)),
    }
}

/// `roles/:name`.
pub(super) fn handle(
    name: &str,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    if !is_name(name) {
        return Err(Refusal::UnsupportedPath);
    }
    match request.operation {
        Operation::Read => {
            let role = get(transaction, name)?.ok_or(Refusal::NotFound)?;
            Ok(Response::data(shown(&role)?))
        }
        Operation::Delete => {
            transaction.delete(&format!("{ROLE}{name}"));
            Ok(Response::empty())
        }
        Operation::Create | Operation::Update => write(name, Role::default(), request, transaction),
        Operation::Patch => {
            let role = get(transaction, name)?
                .ok_or_else(|| Refusal::invalid("Unable to fetch role entry to patch"))?;
            write(name, role, request, transaction)
        }
        _ => Err(Refusal::UnsupportedOperation),
    }
}

fn shown(role: &Role) -> Result<crate::logical::Object, Refusal> {
    let value = serde_json::to_value(role).map_err(|source| Refusal::Internal {
        attempted: "could not show a role".to_owned(),
        source: Some(Box::new(source)),
    })?;
    Ok(object(value))
}

fn write(
    name: &str,
    mut role: Role,
    request: &Request,
    transaction: &mut Transaction<'_>,
) -> Result<Response, Refusal> {
    role.update(request.fields())?;
    let mut warnings = Vec::new();
    if role.generate_lease && role.no_store {
        warnings.push(
            "mutually exclusive values no_store=true and generate_lease=true were both specified; no_store=true \
             takes priority"
                .to_owned(),
        );
        role.generate_lease = false;
    } else if role.generate_lease {
        warnings.push(
            "it is encouraged to disable generate_lease and rely on PKI's native capabilities when possible; this \
             option can cause instance-wide issues with large numbers of issued certificates"
                .to_owned(),
        );
    }
    role.validate()?;
    if store::find_issuer(transaction, &role.issuer_ref)?.is_err() {
        warnings.push(match role.issuer_ref.as_str() {
            store::DEFAULT => "Issuing Certificate was set to default, but no default issuing certificate \
                               (configurable at /config/issuers) is currently set"
                .to_owned(),
            other => {
                format!("Issuing Certificate was set to {other} but no issuing certificate currently has that name")
            }
        });
    }
    transaction.put_json(&format!("{ROLE}{name}"), &role)?;
    Ok(Response { warnings, ..Response::data(shown(&role)?) })
}

#[cfg(test)]
mod tests {
    use super::{Network, is_name};

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.9.9.9", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("::/0", "::1", true),
            ("::/0", "1.2.3.4", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("fe80::/10", "fe80::1", true),
            ("1.2.3.4/32", "1.2.3.5", false),
        ] {
            assert_eq!(
                Network::parse(network).unwrap().contains(address.parse().unwrap()),
                expected,
                "{network}"
            );
        }
        for wrong in ["", "10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1", "::/129"] {
            assert!(Network::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn names_of_roles() {
        for (name, expected) in
            [("a", true), ("a-b.c_d", true), ("", false), ("-a", false), ("a/b", false), ("a b", false)]
        {
            assert_eq!(is_name(name), expected, "{name}");
        }
    }
}
