//! What there shall be, as a TOML file says it.
//!
//! ```toml
//! [authority]
//! name = "Example"
//!
//! [services.postgres]
//! addresses = ["172.20.2.10"]
//! credentials = { user = "admin", database = "app", tls_enabled = true }
//! generate = { password = 25 }
//!
//! [services.pgbouncer]
//! reads = ["postgres"]
//!
//! [services.gateway]
//! signs = true
//! ```

use serde::Deserialize;
use std::{collections::BTreeMap, net::IpAddr, time::Duration};

/// Services of one plan.
const SERVICES_MAX: usize = 500;
/// Characters of a generated credential.
const LENGTH_RANGE: std::ops::RangeInclusive<usize> = 8..=4096;

/// All of it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wanted {
    /// Where credentials are kept.
    #[serde(default)]
    pub credentials: Credentials,
    /// Who signs certificates; without it there are none.
    #[serde(default)]
    pub authority: Option<Authority>,
    /// How long logins last.
    #[serde(default)]
    pub logins: Logins,
    /// By name.
    #[serde(default)]
    pub services: BTreeMap<String, Service>,
    /// Policies besides those that follow from services: the name with its text.
    #[serde(default)]
    pub policies: BTreeMap<String, String>,
}

/// Where credentials are kept.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Credentials {
    /// The mount of a KV engine, version 2.
    pub mount: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { mount: "secret".to_owned() }
    }
}

/// How long logins last, as in `720h`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Logins {
    /// Life of a token that a service gets.
    #[serde(with = "humantime_text")]
    pub token_ttl: Duration,
    /// The longest it can be prolonged to.
    #[serde(with = "humantime_text")]
    pub token_max_ttl: Duration,
    /// Life of what a service logs in with.
    #[serde(with = "humantime_text")]
    pub secret_id_ttl: Duration,
}

impl Default for Logins {
    fn default() -> Self {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        Self { token_ttl: hours(1), token_max_ttl: hours(24), secret_id_ttl: hours(720) }
    }
}

/// Times as they are written in plans.
mod humantime_text {
    use serde::{Deserialize as _, Deserializer, de::Error as _};
    use std::time::Duration;

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(deserializer)?;
        let life = humantime::parse_duration(&text).map_err(D::Error::custom)?;
        if life.as_secs() == 0 {
            return Err(D::Error::custom("a life is a second or more"));
        }
        Ok(life)
    }
}

/// Who signs certificates: a root that signs one intermediate, which signs the services'.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Authority {
    /// `NAME Root CA` and `NAME Intermediate CA`.
    pub name: String,
    /// Mount of the root.
    #[serde(default = "pki")]
    pub root_mount: String,
    /// Mount of the intermediate.
    #[serde(default = "pki_int")]
    pub intermediate_mount: String,
    /// Life of the root.
    #[serde(default = "ten_years")]
    pub root_ttl: String,
    /// Life of the intermediate.
    #[serde(default = "five_years")]
    pub intermediate_ttl: String,
    /// Life of a service's certificate.
    #[serde(default = "one_year")]
    pub leaf_ttl: String,
    /// `rsa` or `ec`.
    #[serde(default = "rsa")]
    pub key_type: String,
    /// 2048 and more for `rsa`, 256, 384, 521 for `ec`.
    #[serde(default = "rsa_bits")]
    pub key_bits: u32,
    /// How the vault is reached by those that look for its lists of revoked certificates.
    #[serde(default)]
    pub url: Option<String>,
}

fn pki() -> String {
    "pki".to_owned()
}
fn pki_int() -> String {
    "pki_int".to_owned()
}
fn ten_years() -> String {
    "87600h".to_owned()
}
fn five_years() -> String {
    "43800h".to_owned()
}
fn one_year() -> String {
    "8760h".to_owned()
}
fn rsa() -> String {
    "rsa".to_owned()
}
fn rsa_bits() -> u32 {
    2048
}

/// A service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Service {
    /// Names in its certificate, besides its own and `localhost`.
    #[serde(default)]
    pub names: Vec<String>,
    /// Addresses in its certificate, besides 127.0.0.1.
    #[serde(default)]
    pub addresses: Vec<IpAddr>,
    /// Credentials that are written here, since they are none: names, switches.
    #[serde(default)]
    pub credentials: BTreeMap<String, Field>,
    /// Credentials that are made, with their number of characters.
    #[serde(default)]
    pub generate: BTreeMap<String, usize>,
    /// Generated credentials that it shares: the name with the service that has it.
    #[serde(default)]
    pub shares: BTreeMap<String, String>,
    /// Services whose credentials it may read besides its own.
    #[serde(default)]
    pub reads: Vec<String>,
    /// Whether it gets certificates.
    #[serde(default = "yes")]
    pub certificate: bool,
    /// Whether it gets authorities of its own, constrained to names: a gateway.
    #[serde(default)]
    pub signs: bool,
}

fn yes() -> bool {
    true
}

/// A credential that is written.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Field {
    /// `true`, `false`.
    Switch(bool),
    /// A whole number.
    Number(i64),
    /// Anything else.
    Text(String),
}

impl Field {
    /// As the vault keeps it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        match self {
            Self::Switch(value) => (*value).into(),
            Self::Number(value) => (*value).into(),
            Self::Text(value) => value.clone().into(),
        }
    }
}

impl Service {
    /// Whether it has credentials of its own.
    #[must_use]
    pub fn has_credentials(&self) -> bool {
        !(self.credentials.is_empty() && self.generate.is_empty() && self.shares.is_empty())
    }
}

/// What is wrong with a plan.
#[derive(Debug, thiserror::Error)]
pub enum WantedError {
    /// No TOML, or keys that are not known.
    #[error("it is not a plan")]
    Syntax(#[from] toml::de::Error),
    /// Something that cannot be.
    #[error("{0}")]
    Wrong(String),
}

impl Wanted {
    /// Reads a plan and checks it whole.
    ///
    /// # Errors
    /// See [`WantedError`].
    pub fn parse(text: &str) -> Result<Self, WantedError> {
        let wanted: Self = toml::from_str(text)?;
        let wrong = |text: String| Err(WantedError::Wrong(text));
        if wanted.services.len() > SERVICES_MAX {
            return wrong(format!("there are more than {SERVICES_MAX} services"));
        }
        for (name, service) in &wanted.services {
            if !is_name(name) {
                return wrong(format!(
                    "service {name:?}: a name has lower-case letters, digits, `-` and `_`"
                ));
            }
            if let Some(field) = service.generate.iter().find(|(_, length)| !LENGTH_RANGE.contains(length)) {
                return wrong(format!("{name}.{}: a value has 8 to 4096 characters", field.0));
            }
            if service.signs && wanted.authority.is_none() {
                return wrong(format!("{name} signs, and there is no authority"));
            }
            for other in &service.reads {
                if !wanted.services.get(other).is_some_and(Service::has_credentials) {
                    return wrong(format!("{name} reads {other}, which has no credentials"));
                }
            }
            for (field, owner) in &service.shares {
                if !wanted.services.get(owner).is_some_and(|owner| owner.generate.contains_key(field)) {
                    return wrong(format!("{name} shares {field} of {owner}, which generates none"));
                }
            }
        }
        Ok(wanted)
    }
}

/// Safe as a part of a path, of a policy and of a file's name.
fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::Wanted;

    fn check(text: &str, expected: &str) {
        let told = Wanted::parse(text).map_or_else(|error| error.to_string(), |_| "fine".to_owned());
        assert!(told.contains(expected), "{text}: {told}");
    }

    #[test]
    fn plans_are_checked_whole() {
        check("", "fine");
        check("[services.a]\ngenerate = {password = 25}\n[services.b]\nreads = ['a']", "fine");
        check("[services.a]\n[services.b]\nreads = ['a']", "b reads a, which has no credentials");
        check("[services.a]\ngenerate = {password = 3}", "8 to 4096");
        check("[services.a]\nshares = {password = 'b'}", "a shares password of b");
        check("[services.a]\nsigns = true", "a signs, and there is no authority");
        check("[authority]\nname = 'X'\n[services.a]\nsigns = true", "fine");
        check("[services.'../x']", "lower-case letters");
        check("[services.a]\npassword = 'x'", "not a plan");
        check("[services.a]\naddresses = ['x']", "not a plan");
        check("[logins]\nsecret-id-ttl = '20s'", "fine");
        check("[logins]\nsecret-id-ttl = '0s'", "not a plan");
    }
}
