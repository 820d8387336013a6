//! What a certificate is to say: names, times and purposes from the request, as far as the role lets them.

use super::{
    allowed::Judge,
    certificate::CertificateRequest,
    clock, der,
    extension::{self, Extension, Policy},
    general_name::Names,
    hostname,
    role::{self, Role},
    store::{Outliving, Signer},
    subject::{Parts, Subject},
};
use crate::{
    logical::{Context, Fields, Refusal},
    moment,
};
use std::{net::IpAddr, time::Duration};

/// Names that one certificate may have: more make it too large for what is to read it.
const NAMES_MAX: usize = 1_000;

/// What was asked for and may be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    /// `Name`.
    pub(super) subject: Vec<u8>,
    pub(super) names: Names,
    pub(super) not_before: u64,
    pub(super) not_after: u64,
    pub(super) warnings: Vec<String>,
}

/// What [`wanted`] goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) judge: Judge<'a>,
    pub(super) fields: Fields<'a>,
    pub(super) context: &'a Context,
    /// What was brought along.
    pub(super) request: Option<&'a CertificateRequest>,
    /// Who is to sign; none for a root.
    pub(super) signer: Option<&'a Signer>,
}

/// Reads what is asked for, and refuses what the role does not let pass.
pub(super) fn wanted(asked: Asked<'_>) -> Result<Wanted, Refusal> {
    let role = asked.judge.role;
    let requested = asked.request.map(|request| Parts::parse(&request.subject)).transpose();
    let requested = requested.map_err(|_| unreadable("subject"))?.unwrap_or_default();
    let brought = match asked.request.filter(|_| role.use_csr_sans) {
        Some(request) => {
            let names = extension::find(&request.extensions, extension::SUBJECT_ALTERNATIVE_NAME)
                .map(|extension| Names::parse(&extension.value))
                .transpose();
            Some(names.map_err(|_| unreadable("subject alternative names"))?.unwrap_or_default())
        }
        None => None,
    };
    let common_name = common_name(&asked, &requested)?;
    let names = Names {
        others: other_names(&asked, brought.as_ref())?,
        ips: addresses(&asked, brought.as_ref())?,
        uris: uris(&asked, brought.as_ref())?,
        ..host_names(&asked, &common_name, brought)?
    };
    let subject = subject(&asked, &requested, common_name)?;
    let (not_before, not_after, warnings) = validity(&asked)?;
    Ok(Wanted { subject, names, not_before, not_after, warnings })
}

fn unreadable(what: &str) -> Refusal {
    Refusal::invalid(format!("certificate request could not be parsed: malformed {what}"))
}

fn common_name(asked: &Asked<'_>, requested: &Parts) -> Result<String, Refusal> {
    let role = asked.judge.role;
    let mut name = String::new();
    if role.use_csr_common_name {
        name = requested.common_name();
    }
    if name.is_empty() {
        name = asked.fields.string("common_name")?.unwrap_or_default();
    }
    if name.is_empty() && role.require_cn {
        return Err(Refusal::invalid(
            "the common_name field is required, or must be provided in a CSR with \"use_csr_common_name\" set to \
             true, unless \"require_cn\" is set to false",
        ));
    }
    Ok(name)
}

/// DNS names and mail addresses.
fn host_names(asked: &Asked<'_>, common_name: &str, brought: Option<Names>) -> Result<Names, Refusal> {
    let given =
        if brought.is_none() { asked.fields.string("alt_names")?.unwrap_or_default() } else { String::new() };
    let mut names = brought.unwrap_or_default();
    let excluded = asked.fields.boolean("exclude_cn_from_sans")?.unwrap_or(false);
    let own = (!common_name.is_empty() && !excluded).then_some(common_name);
    let given = given.trim().split(',').map(str::trim).filter(|name| !name.is_empty());
    for name in own.into_iter().chain(given) {
        if name.contains('@') {
            names.emails.push(name.to_owned());
            continue;
        }
        let ascii = hostname::to_ascii(name).map_err(Refusal::invalid)?;
        // What is no host name stays out of the alternative names; as a common name it is judged all the same.
        if hostname::is_hostname(&ascii) {
            names.dns.push(ascii);
        }
    }
    if names.dns.len() + names.emails.len() > NAMES_MAX {
        return Err(Refusal::invalid(format!("a certificate may have at most {NAMES_MAX} names")));
    }
    let judge = asked.judge;
    if !common_name.is_empty() && !judge.common_name(common_name) {
        return Err(Refusal::invalid(format!("common name {common_name} not allowed by this role")));
    }
    if let Some(bad) = judge.first_bad(&names.dns) {
        return Err(Refusal::invalid(format!("subject alternate name {bad} not allowed by this role")));
    }
    if let Some(bad) = judge.first_bad(&names.emails) {
        return Err(Refusal::invalid(format!("email address {bad} not allowed by this role")));
    }
    Ok(Names { dns: unique(names.dns), emails: unique(names.emails), ..names })
}

/// Each once, in the order of their first coming.
fn unique(list: Vec<String>) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    list.into_iter().filter(|value| seen.insert(value.clone())).collect()
}

fn other_names(asked: &Asked<'_>, brought: Option<&Names>) -> Result<Vec<(String, String)>, Refusal> {
    let given = asked.fields.list("other_sans")?.unwrap_or_default();
    let mut names = role::other_names(&given)
        .map_err(|text| Refusal::invalid(format!("could not parse requested other SAN: {text}")))?;
    names.extend(brought.into_iter().flat_map(|names| names.others.clone()));
    if let Some((bad, _)) = names.iter().find(|(oid, _)| der::oid(oid).is_none()) {
        return Err(Refusal::invalid(format!(
            "could not parse requested other SAN: {bad:?} is no object identifier"
        )));
    }
    asked.judge.other_names(&names).map_err(Refusal::invalid)?;
    Ok(names)
}

fn addresses(asked: &Asked<'_>, brought: Option<&Names>) -> Result<Vec<IpAddr>, Refusal> {
    let (addresses, source) = match brought {
        Some(names) => (names.ips.clone(), "CSR"),
        None => {
            let given = asked.fields.list("ip_sans")?.unwrap_or_default();
            let parsed = given.iter().map(|text| {
                let address = text.parse::<IpAddr>().map(|address| address.to_canonical());
                address.map_err(|_| Refusal::invalid(format!("the value {text:?} is not a valid IP address")))
            });
            (parsed.collect::<Result<Vec<_>, _>>()?, "the API")
        }
    };
    if !addresses.is_empty() && !asked.judge.role.allow_ip_sans {
        return Err(Refusal::invalid(format!(
            "IP Subject Alternative Names are not allowed in this role, but was provided via {source}"
        )));
    }
    if let Some(bad) = addresses.iter().find(|address| !asked.judge.address(**address)) {
        return Err(Refusal::invalid(format!("the IP address \"{bad}\" is not allowed in this role")));
    }
    Ok(addresses)
}

fn uris(asked: &Asked<'_>, brought: Option<&Names>) -> Result<Vec<String>, Refusal> {
    let (uris, source) = match brought {
        Some(names) => (names.uris.clone(), "CSR"),
        None => (asked.fields.list("uri_sans")?.unwrap_or_default(), "the API"),
    };
    if !uris.is_empty() && asked.judge.role.allowed_uri_sans.is_empty() {
        return Err(Refusal::invalid(format!(
            "URI Subject Alternative Names are not allowed in this role, but were provided via {source}"
        )));
    }
    if uris.iter().any(|uri| !asked.judge.uri(uri)) {
        return Err(Refusal::invalid(format!(
            "URI Subject Alternative Names were provided via {source} which are not valid for this role"
        )));
    }
    let sound = |uri: &&String| !uri.is_empty() && uri.chars().all(|c| c.is_ascii_graphic());
    match uris.iter().find(|uri| !sound(uri)) {
        Some(bad) => Err(Refusal::invalid(format!(
            "the provided URI Subject Alternative Name {bad:?} is not a valid URI"
        ))),
        None => Ok(uris),
    }
}

fn subject(asked: &Asked<'_>, requested: &Parts, common_name: String) -> Result<Vec<u8>, Refusal> {
    let role = asked.judge.role;
    let mut serial_number = asked.fields.string("serial_number")?.unwrap_or_default();
    if serial_number.is_empty() {
        serial_number = requested.serial_number();
    }
    if !serial_number.is_empty() && !asked.judge.serial_number(&serial_number) {
        return Err(Refusal::invalid(format!("serial_number {serial_number} not allowed by this role")));
    }
    let mut user_ids = asked.fields.list("user_ids")?.unwrap_or_default();
    if user_ids.is_empty() {
        user_ids = requested.user_ids();
    }
    if let Some(bad) = user_ids.iter().find(|id| !asked.judge.user_id(id)) {
        return Err(Refusal::invalid(format!("user_id {bad} is not allowed by this role")));
    }
    let subject = Subject {
        country: unique(role.country.clone()),
        organization: unique(role.organization.clone()),
        organizational_unit: unique(role.ou.clone()),
        locality: unique(role.locality.clone()),
        province: unique(role.province.clone()),
        street_address: unique(role.street_address.clone()),
        postal_code: unique(role.postal_code.clone()),
        common_name,
        serial_number,
        user_ids,
    };
    Ok(subject.encode())
}

/// From when, until when, and what is to be said about it.
fn validity(asked: &Asked<'_>) -> Result<(u64, u64, Vec<String>), Refusal> {
    let (role, context) = (asked.judge.role, asked.context);
    let now = clock::seconds(context.now);
    let mut warnings = Vec::new();
    let explicit = explicit_end(asked)?;
    let given = asked.fields.duration("ttl")?.unwrap_or_default().as_secs();
    if given > 0 && explicit.is_some() {
        return Err(Refusal::invalid(
            "Either ttl or not_after should be provided. Both should not be provided in the same request.",
        ));
    }
    let mut ttl = first_positive([given, role.ttl, context.default_ttl.as_secs()]);
    let longest = first_positive([role.max_ttl, context.max_ttl.as_secs(), u64::MAX]);
    if ttl > longest {
        warnings.push(format!(
            "TTL \"{}\" is longer than permitted maxTTL \"{}\", so maxTTL is being used",
            moment::go_duration(ttl),
            moment::go_duration(longest)
        ));
        ttl = longest;
    }
    let not_after = explicit.unwrap_or_else(|| now.saturating_add(ttl));
    let not_after = bounded(asked, not_after, now, ttl)?;
    let not_after = within_issuer(asked.signer, not_after, now, context)?;
    let not_before =
        now.saturating_sub(if role.not_before_duration > 0 { role.not_before_duration } else { 30 });
    if not_before >= not_after {
        let relation = if not_before == not_after { "equal to" } else { "later than" };
        return Err(Refusal::invalid(format!(
            "The certificate's Not Before ({}) is {relation} the certificate's Not After ({})",
            clock::rfc3339(not_before),
            clock::rfc3339(not_after)
        )));
    }
    Ok((not_before, not_after, warnings))
}

fn first_positive<const N: usize>(values: [u64; N]) -> u64 {
    values.into_iter().find(|value| *value > 0).unwrap_or(0)
}

/// The end that the role fixes, or that the request names.
fn explicit_end(asked: &Asked<'_>) -> Result<Option<u64>, Refusal> {
    let role = asked.judge.role;
    let given = asked.fields.string("not_after")?.filter(|text| !text.is_empty());
    let text = match (role.not_after.as_str(), given) {
        ("", None) => return Ok(None),
        ("", Some(_)) if role.not_after_bound == "forbid" => {
            return Err(Refusal::invalid("not_after_bound is set to forbid. not_after cannot be provided."));
        }
        ("", Some(given)) => given,
        (fixed, _) => fixed.to_owned(),
    };
    let parsed = clock::parse_rfc3339(&text);
    let wrong = || {
        Refusal::invalid(format!(
            "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
        ))
    };
    parsed.ok_or_else(wrong).map(Some)
}

/// Refuses an end past what `not_after_bound` says.
fn bounded(asked: &Asked<'_>, not_after: u64, now: u64, ttl: u64) -> Result<u64, Refusal> {
    let bound = asked.judge.role.not_after_bound.as_str();
    let (limit, name) = match bound {
        "ttl-limited" => (now.saturating_add(ttl), format!("the TTL of {}", moment::go_duration(ttl))),
        "permit" | "forbid" | "" => return Ok(not_after),
        moment => {
            let limit = clock::parse_rfc3339(moment).unwrap_or(0);
            (limit, format!("the maximum timestamp of {}", clock::rfc3339(limit)))
        }
    };
    if not_after <= limit {
        return Ok(not_after);
    }
    Err(Refusal::invalid(format!(
        "not_after_bound is set to {bound}. Cannot satisfy request as that would result in notAfter of {} that is \
         beyond {name}",
        clock::rfc3339(not_after)
    )))
}

/// What becomes of an end past the issuer's own.
fn within_issuer(
    signer: Option<&Signer>,
    not_after: u64,
    now: u64,
    context: &Context,
) -> Result<u64, Refusal> {
    let Some(signer) = signer.filter(|signer| not_after > signer.certificate.not_after) else {
        return Ok(not_after);
    };
    match signer.issuer.leaf_not_after_behavior {
        Outliving::Permit => Ok(not_after),
        Outliving::Truncate => Ok(signer.certificate.not_after),
        Outliving::Err => {
            let fraction = moment::nanos(context.now) % 1_000_000_000;
            let wanted =
                moment::seconds(not_after).saturating_add(if not_after > now { fraction } else { 0 });
            Err(Refusal::invalid(format!(
                "cannot satisfy request, as TTL would result in notAfter of {} that is beyond the expiration of the \
                 CA certificate at {}",
                moment::rfc3339(wanted),
                clock::rfc3339(signer.certificate.not_after)
            )))
        }
    }
}

/// How long from now until then.
pub(super) fn remaining(not_after: u64, context: &Context) -> Duration {
    Duration::from_secs(not_after.saturating_sub(clock::seconds(context.now)))
}

/// What stands in a certificate besides names and times.
#[derive(Debug, Default)]
pub(super) struct Purpose {
    /// Bits of `KeyUsage`.
    pub(super) key_usage: u16,
    /// Contents of identifiers.
    pub(super) extended: Vec<Vec<u8>>,
    /// Whether it is an authority and how many may follow; `None` leaves it unsaid.
    pub(super) constraints: Option<(bool, Option<u32>)>,
    pub(super) permitted_domains: Vec<String>,
    pub(super) policies: Vec<Policy>,
    /// Extensions of a request that stand instead of what would be said.
    pub(super) verbatim: Vec<Extension>,
}

impl Purpose {
    /// A leaf's, as the role says.
    pub(super) fn of_role(role: &Role) -> Self {
        Self {
            key_usage: key_usage_bits(&role.key_usage),
            extended: extended_purposes(role),
            constraints: role.basic_constraints_valid_for_non_ca.then_some((false, None)),
            policies: role.policy_identifiers.iter().filter_map(|text| Policy::parse(text)).collect(),
            ..Self::default()
        }
    }

    /// An authority's, as the request says.
    pub(super) fn of_authority(fields: Fields<'_>, path_length: Option<u32>) -> Result<Self, Refusal> {
        let usage = key_usage_bits(&fields.list("key_usage")?.unwrap_or_default());
        let role = Role {
            ext_key_usage: fields.list("ext_key_usage")?.unwrap_or_default(),
            server_flag: false,
            client_flag: false,
            ..Role::default()
        };
        let permitted_domains = fields.list("permitted_dns_domains")?.unwrap_or_default();
        if let Some(bad) = permitted_domains.iter().find(|domain| !domain.is_ascii()) {
            return Err(Refusal::invalid(format!(
                "permitted_dns_domains: {bad:?} is no DNS domain in ASCII"
            )));
        }
        Ok(Self {
            key_usage: extension::CERTIFICATE_SIGN
                | extension::CRL_SIGN
                | usage & extension::DIGITAL_SIGNATURE,
            extended: extended_purposes(&role),
            constraints: Some((true, path_length)),
            permitted_domains,
            ..Self::default()
        })
    }
}

/// `KeyUsage` of Vault's names. Unknown ones are passed over, as Vault does.
fn key_usage_bits(names: &[String]) -> u16 {
    const NAMES: [&str; 9] = [
        "digitalsignature",
        "contentcommitment",
        "keyencipherment",
        "dataencipherment",
        "keyagreement",
        "certsign",
        "crlsign",
        "encipheronly",
        "decipheronly",
    ];
    let position = |name: &String| NAMES.iter().position(|known| name.trim().eq_ignore_ascii_case(known));
    names.iter().filter_map(position).fold(0, |mask, bit| mask | 1 << bit)
}

/// `ExtKeyUsage` of a role's flags, names and identifiers, in this order.
fn extended_purposes(role: &Role) -> Vec<Vec<u8>> {
    /// The last arc of 1.3.6.1.5.5.7.3, with Vault's names.
    const NAMES: [(&str, u8); 9] = [
        ("serverauth", 1),
        ("clientauth", 2),
        ("codesigning", 3),
        ("emailprotection", 4),
        ("ipsecendsystem", 5),
        ("ipsectunnel", 6),
        ("ipsecuser", 7),
        ("timestamping", 8),
        ("ocspsigning", 9),
    ];
    let named = |name: &str| role.ext_key_usage.iter().any(|given| given.trim().eq_ignore_ascii_case(name));
    let mut purposes = Vec::new();
    if named("any") {
        purposes.push(vec![0x55, 29, 37, 0]);
    }
    for (name, arc) in NAMES {
        let flag = match arc {
            1 => role.server_flag,
            2 => role.client_flag,
            3 => role.code_signing_flag,
            4 => role.email_protection_flag,
            _ => false,
        };
        if flag || named(name) {
            purposes.push(vec![0x2b, 6, 1, 5, 5, 7, 3, arc]);
        }
    }
    for (name, dotted) in [
        ("microsoftservergatedcrypto", "1.3.6.1.4.1.311.10.3.3"),
        ("netscapeservergatedcrypto", "2.16.840.1.113730.4.1"),
    ] {
        if named(name) {
            purposes.extend(der::oid_content(dotted));
        }
    }
    purposes.extend(role.ext_key_usage_oids.iter().filter_map(|dotted| der::oid_content(dotted)));
    purposes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn purposes_by_name() {
        let role = Role {
            ext_key_usage: vec!["OCSPSigning".into(), " any".into(), "nonsense".into()],
            ext_key_usage_oids: vec!["1.2.3".into()],
            client_flag: false,
            ..Role::default()
        };
        let texts: Vec<_> = extended_purposes(&role).iter().map(|oid| der::oid_text(oid).unwrap()).collect();
        assert_eq!(texts, ["2.5.29.37.0", "1.3.6.1.5.5.7.3.1", "1.3.6.1.5.5.7.3.9", "1.2.3"]);
        assert_eq!(key_usage_bits(&["CertSign".into(), "x".into(), "digitalsignature ".into()]), 0b10_0001);
    }
}
