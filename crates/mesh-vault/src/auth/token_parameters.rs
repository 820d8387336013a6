//! `token_*`: what a method's role or user says about the tokens of its logins.

use super::cidr::Cidr;
use crate::logical::{Auth, Fields, Object, Refusal, TokenKind};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{collections::BTreeSet, time::Duration};

/// The parameters. Times are seconds, 0 for the mount's.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct TokenParameters {
    pub(super) bound_cidrs: Vec<String>,
    pub(super) explicit_max_ttl: u64,
    pub(super) max_ttl: u64,
    pub(super) no_default_policy: bool,
    pub(super) num_uses: u64,
    pub(super) period: u64,
    pub(super) policies: Vec<String>,
    pub(super) ttl: u64,
    pub(super) kind: TokenKind,
    /// Fields that were given by their old names, and are shown by these too.
    old_names: BTreeSet<String>,
}

impl TokenParameters {
    /// Takes over the fields that were given, some by their old names: `("policies", "token_policies")`. Of both,
    /// the new name wins.
    pub(super) fn take(&mut self, body: &Object, old_names: &[(&str, &str)]) -> Result<(), Refusal> {
        let mut body = body.clone();
        for (old, new) in old_names {
            let given = body.get(*old).filter(|value| !value.is_null()).cloned();
            match (body.contains_key(*new), given) {
                (false, None) => {}
                (true, None) => drop(self.old_names.remove(*old)),
                (named_new, Some(given)) => {
                    self.old_names.insert((*old).to_owned());
                    if !named_new {
                        body.insert((*new).to_owned(), by_new_name(new, given, old)?);
                    }
                }
            }
        }
        self.take_new(Fields::new(&body))
    }

    fn take_new(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        if let Some(blocks) = fields.list("token_bound_cidrs")? {
            self.bound_cidrs = parsed_blocks(&blocks)?;
        }
        for (field, seconds) in [
            ("token_explicit_max_ttl", &mut self.explicit_max_ttl),
            ("token_max_ttl", &mut self.max_ttl),
            ("token_period", &mut self.period),
            ("token_ttl", &mut self.ttl),
        ] {
            if let Some(duration) = fields.duration(field)? {
                *seconds = duration.as_secs();
            }
        }
        if let Some(without) = fields.boolean("token_no_default_policy")? {
            self.no_default_policy = without;
        }
        if let Some(policies) = fields.list("token_policies")? {
            self.policies = policies;
        }
        if let Some(kind) = fields.string("token_type")? {
            self.kind = parsed_kind(&kind)?;
        }
        if let Some(uses) = fields.integer("token_num_uses")? {
            self.num_uses =
                u64::try_from(uses).map_err(|_| Refusal::invalid("'token_num_uses' cannot be negative"))?;
        }
        self.check()
    }

    fn check(&self) -> Result<(), Refusal> {
        let batch = matches!(self.kind, TokenKind::Batch | TokenKind::DefaultBatch);
        let found = if batch && self.period != 0 {
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate periodic tokens"
        } else if batch && self.num_uses != 0 {
            "'token_type' cannot be 'batch' or 'default_batch' when set to generate tokens with limited use count"
        } else if self.max_ttl > 0 && self.ttl > self.max_ttl {
            "'token_ttl' cannot be greater than 'token_max_ttl'"
        } else {
            return Ok(());
        };
        Err(Refusal::invalid(found))
    }

    /// Whether a field was given by its old name the last time.
    pub(super) fn by_old_name(&self, old: &str) -> bool {
        self.old_names.contains(old)
    }

    /// Adds the parameters to what is shown of a role or user.
    pub(super) fn show(&self, into: &mut Object) {
        let fields: [(&str, Value); 9] = [
            ("token_bound_cidrs", self.bound_cidrs.clone().into()),
            ("token_explicit_max_ttl", self.explicit_max_ttl.into()),
            ("token_max_ttl", self.max_ttl.into()),
            ("token_no_default_policy", self.no_default_policy.into()),
            ("token_num_uses", self.num_uses.into()),
            ("token_period", self.period.into()),
            ("token_policies", self.policies.clone().into()),
            ("token_ttl", self.ttl.into()),
            ("token_type", kind_text(self.kind).into()),
        ];
        for (name, value) in fields {
            let old = name.strip_prefix("token_").unwrap_or(name);
            let empty = value.as_u64() == Some(0) || value.as_array().is_some_and(Vec::is_empty);
            if self.old_names.contains(old) && !empty {
                into.insert(old.to_owned(), value.clone());
            }
            into.insert(name.to_owned(), value);
        }
    }

    /// The parameters of the token that a login gives.
    pub(super) fn auth(&self) -> Auth {
        Auth {
            policies: self.policies.clone(),
            no_default_policy: self.no_default_policy,
            ttl: Duration::from_secs(self.ttl),
            max_ttl: Duration::from_secs(self.max_ttl),
            explicit_max_ttl: Duration::from_secs(self.explicit_max_ttl),
            period: Duration::from_secs(self.period),
            renewable: true,
            num_uses: self.num_uses,
            kind: self.kind,
            bound_cidrs: self.bound_cidrs.clone(),
            ..Auth::default()
        }
    }
}

/// Names of policies as Vault cleans them: lower case, sorted, each once; `root` stands alone.
pub(super) fn clean_policies(policies: Vec<String>) -> Vec<String> {
    let cleaned: BTreeSet<String> = policies
        .iter()
        .map(|policy| policy.trim().to_lowercase())
        .filter(|policy| !policy.is_empty())
        .collect();
    if cleaned.contains("root") { vec!["root".to_owned()] } else { cleaned.into_iter().collect() }
}

/// Blocks in the form in which they are shown.
pub(super) fn parsed_blocks(blocks: &[String]) -> Result<Vec<String>, Refusal> {
    let parse = |block: &String| {
        let parsed = Cidr::parse(block).map(|block| block.to_string());
        parsed.ok_or_else(|| {
            let why = format!("Unable to convert {block:?} to an IPv4 or IPv6 address, or a UNIX Socket");
            Refusal::invalid(format!("error parsing address {block:?}: {why}"))
        })
    };
    blocks.iter().map(parse).collect()
}

/// The name before which the mount's path stands: `approle`, `userpass-bob`.
pub(super) fn display_name(mount: &str, name: &str) -> String {
    let mount = mount.strip_prefix("auth/").unwrap_or(mount).replace('/', "-");
    format!("{mount}{name}").trim_end_matches('-').to_owned()
}

fn by_new_name(new: &str, given: Value, old: &str) -> Result<Value, Refusal> {
    if new != "token_policies" {
        return Ok(given);
    }
    let body = Object::from_iter([(old.to_owned(), given)]);
    let policies = Fields::new(&body).list(old)?.unwrap_or_default();
    Ok(clean_policies(policies).into())
}

fn parsed_kind(text: &str) -> Result<TokenKind, Refusal> {
    match text {
        "" | "default" => Ok(TokenKind::Default),
        "service" => Ok(TokenKind::Service),
        "batch" => Ok(TokenKind::Batch),
        _ => Err(Refusal::invalid(format!("invalid 'token_type' value {text:?}"))),
    }
}

fn kind_text(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Default => "default",
        TokenKind::Service => "service",
        TokenKind::Batch => "batch",
        TokenKind::DefaultService => "default-service",
        TokenKind::DefaultBatch => "default-batch",
    }
}
