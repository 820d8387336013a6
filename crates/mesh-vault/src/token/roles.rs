//! Token roles: what a token may be made like, and by whom.

use super::{TokenEntry, network};
use crate::{
    core::{active::Active, ask::Ask, reply::Reply, work::Work},
    logical::{Fields, Object, Operation, Refusal, Response},
    policy::{self, globs_contain},
    storage::{Read, StorageError},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

const FOLDER: &str = "sys/token/roles/";

/// A role.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    pub(super) name: String,
    pub(super) allowed_policies: Vec<String>,
    pub(super) disallowed_policies: Vec<String>,
    pub(super) allowed_policies_glob: Vec<String>,
    pub(super) disallowed_policies_glob: Vec<String>,
    pub(super) orphan: bool,
    pub(super) renewable: bool,
    pub(super) path_suffix: String,
    pub(super) allowed_entity_aliases: Vec<String>,
    /// Seconds, by the old name.
    pub(super) period: u64,
    pub(super) token_period: u64,
    pub(super) explicit_max_ttl: u64,
    pub(super) token_explicit_max_ttl: u64,
    pub(super) bound_cidrs: Vec<String>,
    pub(super) token_bound_cidrs: Vec<String>,
    pub(super) token_num_uses: i64,
    pub(super) token_no_default_policy: bool,
    pub(super) token_type: String,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            name: String::new(),
            allowed_policies: Vec::new(),
            disallowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            allowed_entity_aliases: Vec::new(),
            period: 0,
            token_period: 0,
            explicit_max_ttl: 0,
            token_explicit_max_ttl: 0,
            bound_cidrs: Vec::new(),
            token_bound_cidrs: Vec::new(),
            token_num_uses: 0,
            token_no_default_policy: false,
            token_type: "default-service".to_owned(),
        }
    }
}

/// A role, if it is there.
pub(super) fn load(store: &dyn Read, name: &str) -> Result<Option<Role>, StorageError> {
    let key = format!("{FOLDER}{}", name.to_lowercase());
    let Some(stored) = store.get(&key)? else { return Ok(None) };
    serde_json::from_slice(&stored).map(Some).map_err(|_| StorageError::Corrupt { key })
}

/// Whether it is there.
pub(super) fn exists(store: &dyn Read, name: &str) -> Result<bool, StorageError> {
    Ok(load(store, name)?.is_some())
}

/// `auth/token/roles` and below.
pub(super) async fn handle(
    active: &Active,
    ask: &Ask,
    name: &str,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    if name.is_empty() {
        return match ask.operation {
            Operation::List => Ok(Response::keys(active.store().list(FOLDER)?).into()),
            _ => Err(Refusal::UnsupportedOperation),
        };
    }
    let key = format!("{FOLDER}{}", name.to_lowercase());
    match ask.operation {
        Operation::Read => {
            let role = load(active.store(), name)?.ok_or(Refusal::NotFound)?;
            Ok(Response::data(role.describe()).into())
        }
        Operation::Delete => {
            work.delete(key);
            Ok(Reply::default())
        }
        Operation::Create | Operation::Update => {
            work.hold(active.turns.alone(key.clone()).await);
            let known = load(active.store(), name)?;
            let mut role = known.unwrap_or_else(|| Role { name: name.to_lowercase(), ..Role::default() });
            let warnings = role.change(ask.fields())?;
            work.put(key, &role);
            let mut reply = Reply::default();
            reply.response.warnings = warnings;
            Ok(reply)
        }
        _ => Err(Refusal::UnsupportedOperation),
    }
}

impl Role {
    /// Whether it says which policies a token may have.
    pub(super) fn restricts(&self) -> bool {
        let lists = [
            &self.allowed_policies,
            &self.disallowed_policies,
            &self.allowed_policies_glob,
            &self.disallowed_policies_glob,
        ];
        lists.iter().any(|list| !list.is_empty())
    }

    /// A token's policies by this role.
    pub(super) fn policies(
        &self,
        asked: &[String],
        no_default: bool,
        parent: &TokenEntry,
    ) -> Result<Vec<String>, Refusal> {
        let add_default = !no_default
            && !self.token_no_default_policy
            && !self.disallowed_policies.iter().any(|policy| policy == policy::DEFAULT)
            && !globs_contain(&self.disallowed_policies_glob, policy::DEFAULT);
        let mut wanted = if asked.is_empty() { Vec::new() } else { policy::sanitize(asked, add_default) };
        if !self.allowed_policies.is_empty() || !self.allowed_policies_glob.is_empty() {
            let allowed = policy::sanitize(&self.allowed_policies, add_default);
            if wanted.is_empty() {
                wanted = allowed;
            } else if let Some(_refused) = wanted.iter().find(|policy| {
                !allowed.contains(policy) && !globs_contain(&self.allowed_policies_glob, policy)
            }) {
                return Err(Refusal::invalid(format!(
                    "token policies ({}) must be subset of the role's allowed policies ({}) or glob policies ({})",
                    go_list(&wanted),
                    go_list(&allowed),
                    go_list(&self.allowed_policies_glob)
                )));
            }
        } else if wanted.is_empty() {
            wanted = policy::sanitize(&parent.policies, add_default);
        }
        let disallowed = |policy: &&String| {
            self.disallowed_policies.contains(policy) || globs_contain(&self.disallowed_policies_glob, policy)
        };
        match wanted.iter().find(disallowed) {
            Some(policy) => {
                Err(Refusal::invalid(format!("token policy {policy:?} is disallowed by this role")))
            }
            None => Ok(wanted),
        }
    }

    fn change(&mut self, fields: Fields<'_>) -> Result<Vec<String>, Refusal> {
        let lower = |list: Vec<String>| policy::sanitize(list, false);
        set(&mut self.allowed_policies, fields.list("allowed_policies")?.map(lower));
        set(&mut self.disallowed_policies, fields.list("disallowed_policies")?.map(lower));
        set(&mut self.allowed_policies_glob, fields.list("allowed_policies_glob")?.map(lower));
        set(&mut self.disallowed_policies_glob, fields.list("disallowed_policies_glob")?.map(lower));
        set(&mut self.allowed_entity_aliases, fields.list("allowed_entity_aliases")?.map(lower));
        set(&mut self.orphan, fields.boolean("orphan")?);
        set(&mut self.renewable, fields.boolean("renewable")?);
        set(&mut self.token_no_default_policy, fields.boolean("token_no_default_policy")?);
        set(&mut self.token_num_uses, fields.integer("token_num_uses")?);
        if self.token_num_uses < 0 {
            return Err(Refusal::invalid("error parsing role fields: 'token_num_uses' cannot be negative"));
        }
        self.change_suffix(fields)?;
        if let Some(kind) = fields.string("token_type")? {
            if !["service", "batch", "default-service", "default-batch"].contains(&kind.as_str()) {
                return Err(Refusal::invalid(format!("invalid 'token_type' value {kind:?}")));
            }
            self.token_type = kind;
        }
        let mut warnings = self.change_times(fields)?;
        warnings.extend(self.change_networks(fields)?);
        self.check_batch()?;
        Ok(warnings)
    }

    fn change_suffix(&mut self, fields: Fields<'_>) -> Result<(), Refusal> {
        let Some(suffix) = fields.string("path_suffix")? else { return Ok(()) };
        const LETTERS_MIN: usize = 3;
        let word =
            |letter: char| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-' || letter == '.';
        let inner = suffix.trim_matches(|letter: char| letter == '-' || letter == '.');
        let good = suffix.chars().all(word) && inner == suffix && suffix.len() >= LETTERS_MIN;
        if !suffix.is_empty() && !good {
            return Err(Refusal::invalid(
                r"given role path suffix contains invalid characters; must match \w[\w-.]+\w",
            ));
        }
        if suffix.contains("..") {
            return Err(Refusal::invalid(
                "error registering path suffix: path cannot contain parent references",
            ));
        }
        self.path_suffix = suffix;
        Ok(())
    }

    fn change_times(&mut self, fields: Fields<'_>) -> Result<Vec<String>, Refusal> {
        let mut warnings = Vec::new();
        for (name, new, old) in [
            ("period", &mut self.token_period, &mut self.period),
            ("explicit_max_ttl", &mut self.token_explicit_max_ttl, &mut self.explicit_max_ttl),
        ] {
            let seconds = |field: &str| fields.duration(field).map(|ttl| ttl.map(|ttl| ttl.as_secs()));
            let long = format!("token_{name}");
            match (seconds(&long)?, seconds(name)?) {
                (Some(given), deprecated) => {
                    (*new, *old) = (given, 0);
                    if deprecated.is_some() {
                        warnings.push(ignored(&long, name));
                    }
                }
                (None, Some(given)) => (*new, *old) = (given, given),
                (None, None) => {}
            }
        }
        Ok(warnings)
    }

    fn change_networks(&mut self, fields: Fields<'_>) -> Result<Option<String>, Refusal> {
        let read = |field: &str| -> Result<Option<Vec<String>>, Refusal> {
            let networks = fields.list(field)?;
            match networks.iter().flatten().find(|network| !network::is_network(network)) {
                Some(bad) => Err(Refusal::invalid(format!("error parsing {field}: {bad:?} is no address"))),
                None => Ok(networks),
            }
        };
        match (read("token_bound_cidrs")?, read("bound_cidrs")?) {
            (Some(given), deprecated) => {
                self.token_bound_cidrs = given;
                self.bound_cidrs = Vec::new();
                Ok(deprecated.map(|_| ignored("token_bound_cidrs", "bound_cidrs")))
            }
            (None, Some(given)) => {
                self.token_bound_cidrs.clone_from(&given);
                self.bound_cidrs = given;
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }

    fn check_batch(&self) -> Result<(), Refusal> {
        if self.token_type != "batch" {
            return Ok(());
        }
        let problem = if !self.orphan {
            "non-orphan tokens"
        } else if self.token_period != 0 {
            "periodic tokens"
        } else if self.renewable {
            "renewable tokens"
        } else if self.token_explicit_max_ttl != 0 {
            "tokens with an explicit max TTL"
        } else {
            return Ok(());
        };
        Err(Refusal::invalid(format!(
            "'token_type' cannot be 'batch' when role is set to generate {problem}"
        )))
    }

    fn describe(&self) -> Object {
        let mut data = Object::new();
        let mut put = |key: &str, value: Value| drop(data.insert(key.to_owned(), value));
        let aliases = Some(&self.allowed_entity_aliases).filter(|aliases| !aliases.is_empty());
        put("allowed_entity_aliases", json!(aliases));
        put("allowed_policies", json!(self.allowed_policies));
        put("allowed_policies_glob", json!(self.allowed_policies_glob));
        if !self.bound_cidrs.is_empty() {
            put("bound_cidrs", json!(self.bound_cidrs));
        }
        put("disallowed_policies", json!(self.disallowed_policies));
        put("disallowed_policies_glob", json!(self.disallowed_policies_glob));
        put("explicit_max_ttl", json!(self.explicit_max_ttl));
        put("name", json!(self.name));
        put("orphan", json!(self.orphan));
        put("path_suffix", json!(self.path_suffix));
        put("period", json!(self.period));
        put("renewable", json!(self.renewable));
        if !self.token_bound_cidrs.is_empty() {
            put("token_bound_cidrs", json!(self.token_bound_cidrs));
        }
        put("token_explicit_max_ttl", json!(self.token_explicit_max_ttl));
        put("token_no_default_policy", json!(self.token_no_default_policy));
        if self.token_num_uses > 0 {
            put("token_num_uses", json!(self.token_num_uses));
        }
        put("token_period", json!(self.token_period));
        put("token_type", json!(self.token_type));
        data
    }
}

fn set<T>(field: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *field = value;
    }
}

fn ignored(new: &str, old: &str) -> String {
    format!("Both '{new}' and deprecated '{old}' value supplied, ignoring the deprecated value")
}

/// `["a" "b"]`, as Go prints a list of texts.
fn go_list(list: &[String]) -> String {
    let quoted: Vec<String> = list.iter().map(|text| format!("{text:?}")).collect();
    format!("[{}]", quoted.join(" "))
}
