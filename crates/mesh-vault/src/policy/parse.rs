//! A policy's text to rules, with Vault's own words for what is wrong with it.

use super::{
    capability::Capabilities,
    parameters::{Parameters, Values},
    pattern::Pattern,
};
use crate::logical::Fields;
use serde_json::{Map, Value};
use std::time::Duration;

/// Longest policy.
const POLICY_BYTES_MAX: usize = 1024 * 1024;

const KEYS: [&str; 10] = [
    "comment",
    "policy",
    "capabilities",
    "allowed_parameters",
    "denied_parameters",
    "required_parameters",
    "min_wrapping_ttl",
    "max_wrapping_ttl",
    "mfa_methods",
    "control_group",
];

/// What is wrong with a policy. The text is the one clients are shown.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// Neither HCL nor JSON.
    #[error("failed to parse policy: {0}")]
    Syntax(#[source] crate::hcl::HclError),
    /// A key that no policy has.
    #[error("failed to parse policy: invalid key {0:?}")]
    UnknownKey(String),
    /// Something of a path's rule.
    #[error("failed to parse policy: path {path:?}: {problem}")]
    Path {
        /// As written.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// Bounds of a wrapping TTL that exclude each other.
    #[error("failed to parse policy: max_wrapping_ttl cannot be less than min_wrapping_ttl")]
    WrappingBounds,
    /// More than a policy may be.
    #[error("failed to parse policy: more than {POLICY_BYTES_MAX} bytes")]
    TooLong,
}

/// Rules under a name.
#[derive(Debug, Clone)]
pub struct Policy {
    /// In lower case.
    pub name: String,
    /// As it was written.
    pub text: String,
    /// In the order of the text.
    pub rules: Vec<Rule>,
}

/// What one `path "..." { }` says.
#[derive(Debug, Clone)]
pub struct Rule {
    /// For which paths.
    pub pattern: Pattern,
    /// What may be done there.
    pub capabilities: Capabilities,
    pub(super) min_wrapping_ttl: Duration,
    pub(super) max_wrapping_ttl: Duration,
    pub(super) parameters: Parameters,
}

/// Reads a policy.
///
/// # Errors
/// See [`PolicyError`].
pub fn parse(name: &str, text: &str) -> Result<Policy, PolicyError> {
    if text.len() > POLICY_BYTES_MAX {
        return Err(PolicyError::TooLong);
    }
    let tree = crate::hcl::parse(text).map_err(PolicyError::Syntax)?;
    let mut rules = Vec::new();
    for (key, value) in tree.as_object().into_iter().flatten() {
        match key.as_str() {
            "name" => {}
            "path" => read_paths(value, &mut rules)?,
            _ => return Err(PolicyError::UnknownKey(key.clone())),
        }
    }
    Ok(Policy { name: name.to_owned(), text: text.to_owned(), rules })
}

/// `path` is an object of paths, or a list of such objects; a path's value is its body, or a list of bodies.
fn read_paths(value: &Value, rules: &mut Vec<Rule>) -> Result<(), PolicyError> {
    match value {
        Value::Array(values) => values.iter().try_for_each(|value| read_paths(value, rules)),
        Value::Object(paths) => {
            for (path, bodies) in paths {
                match bodies {
                    Value::Object(body) => rules.extend(read_rule(path, body)?),
                    Value::Array(bodies) => {
                        for body in bodies {
                            let body = body.as_object().ok_or_else(|| wrong(path, "not an object"))?;
                            rules.extend(read_rule(path, body)?);
                        }
                    }
                    _ => return Err(wrong(path, "not an object")),
                }
            }
            Ok(())
        }
        _ => Err(wrong("path", "not an object")),
    }
}

/// `None` for a path that no token can reach: there is no identity to put in place of its template.
fn read_rule(path: &str, body: &Map<String, Value>) -> Result<Option<Rule>, PolicyError> {
    if let Some(key) = body.keys().find(|key| !KEYS.contains(&key.as_str())) {
        return Err(wrong(path, format!("invalid key {key:?}")));
    }
    let templated = read_template(path)?;
    let pattern =
        Pattern::parse(path).ok_or_else(|| wrong(path, "invalid use of wildcards ('+*' is forbidden)"))?;
    let capabilities = read_capabilities(path, body)?;
    let parameters = Parameters {
        allowed: read_values(path, body, "allowed_parameters")?,
        denied: read_values(path, body, "denied_parameters")?,
        required: read_list(path, body, "required_parameters")?.iter().map(|f| f.to_lowercase()).collect(),
    };
    let min_wrapping_ttl = read_ttl(path, body, "min_wrapping_ttl")?;
    let max_wrapping_ttl = read_ttl(path, body, "max_wrapping_ttl")?;
    if !min_wrapping_ttl.is_zero() && !max_wrapping_ttl.is_zero() && max_wrapping_ttl < min_wrapping_ttl {
        return Err(PolicyError::WrappingBounds);
    }
    let rule = Rule { pattern, capabilities, min_wrapping_ttl, max_wrapping_ttl, parameters };
    Ok((!templated).then_some(rule))
}

/// Whether there is a template in the path.
fn read_template(path: &str) -> Result<bool, PolicyError> {
    let mut rest = path;
    let mut templated = false;
    while let Some(start) = rest.find("{{") {
        let Some(end) = rest[start..].find("}}") else {
            return Err(wrong(
                path,
                "failed to validate policy templating: unbalanced templating characters",
            ));
        };
        templated = true;
        rest = &rest[start + end + 2..];
    }
    if rest.contains("}}") {
        return Err(wrong(path, "failed to validate policy templating: unbalanced templating characters"));
    }
    Ok(templated)
}

fn read_capabilities(path: &str, body: &Map<String, Value>) -> Result<Capabilities, PolicyError> {
    let mut words = read_list(path, body, "capabilities")?;
    let legacy: &[&str] = match body.get("policy").and_then(Value::as_str) {
        None | Some("") => &[],
        Some("deny") => &["deny"],
        Some("read") => &["read", "list"],
        Some("write") => &["create", "read", "update", "delete", "list"],
        Some("sudo") => &["create", "read", "update", "delete", "list", "sudo"],
        Some(other) => return Err(wrong(path, format!("invalid policy {other:?}"))),
    };
    words.extend(legacy.iter().map(|&word| word.to_owned()));
    let mut capabilities = Capabilities::default();
    for word in words {
        let one =
            Capabilities::named(&word).ok_or_else(|| wrong(path, format!("invalid capability {word:?}")))?;
        capabilities = capabilities.with(one);
    }
    Ok(capabilities)
}

fn read_list(path: &str, body: &Map<String, Value>, key: &str) -> Result<Vec<String>, PolicyError> {
    let bad = || wrong(path, format!("{key:?} must be a list of strings"));
    match body.get(key) {
        None => Ok(Vec::new()),
        Some(Value::Array(values)) => {
            values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(bad)).collect()
        }
        Some(_) => Err(bad()),
    }
}

fn read_ttl(path: &str, body: &Map<String, Value>, key: &str) -> Result<Duration, PolicyError> {
    let ttl = Fields::new(body).duration(key);
    ttl.map(Option::unwrap_or_default).map_err(|_| wrong(path, format!("error parsing {key}")))
}

/// A map of lists; one written as a block may come as a list of one.
fn read_values(path: &str, body: &Map<String, Value>, key: &str) -> Result<Option<Values>, PolicyError> {
    let bad = || wrong(path, format!("{key:?} must be a map of lists"));
    let fields: Vec<&Map<String, Value>> = match body.get(key) {
        None => return Ok(None),
        Some(Value::Object(fields)) => vec![fields],
        Some(Value::Array(blocks)) => {
            blocks.iter().map(|block| block.as_object().ok_or_else(bad)).collect::<Result<_, _>>()?
        }
        Some(_) => return Err(bad()),
    };
    let mut values = Values::new();
    for (field, list) in fields.into_iter().flatten() {
        let list = list.as_array().ok_or_else(bad)?;
        values.insert(field.to_lowercase(), list.clone());
    }
    Ok(Some(values))
}

fn wrong(path: &str, problem: impl Into<String>) -> PolicyError {
    PolicyError::Path { path: path.to_owned(), problem: problem.into() }
}
