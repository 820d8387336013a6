//! `auth/token/create`, `create-orphan`, `create/<role>`.

use super::{
    Draft, Kind, TokenEntry,
    roles::{self, Role},
};
use crate::{
    core::{
        active::Active,
        ask::Ask,
        mounts::Mount,
        reply::{AuthBlock, Reply},
        work::Work,
    },
    lease::ttl::{self, TtlInput},
    logical::Refusal,
    moment, policy,
};
use mesh_redact::Secret;
use std::time::Duration;

/// What is asked for and by whom.
struct Wish<'a> {
    active: &'a Active,
    mount: &'a Mount,
    ask: &'a Ask,
    parent: &'a TokenEntry,
    role: Option<Role>,
    warnings: Vec<String>,
}

/// Makes a token for a token.
///
/// # Errors
/// With Vault's words for what may not be.
pub(super) async fn create(
    active: &Active,
    mount: &Mount,
    ask: &Ask,
    role: Option<&str>,
    orphan: bool,
    work: &mut Work,
) -> Result<Reply, Refusal> {
    let bearer = ask.bearer.as_ref().ok_or(Refusal::Denied)?;
    // The parent must not be revoked between this and the commit.
    if bearer.entry.kind == Kind::Service {
        work.hold(active.turns.shared(super::revoke::turn(&bearer.entry.name)).await);
        let known = active.tokens.lookup(active.store(), bearer.token.expose(), ask.now)?;
        known.ok_or_else(|| Refusal::invalid("parent token lookup failed: no parent found"))?;
    }
    let parent = bearer.entry.as_ref();
    if parent.kind == Kind::Batch {
        return Err(Refusal::invalid("batch tokens cannot create more tokens"));
    }
    if parent.num_uses != 0 {
        return Err(Refusal::invalid("restricted use token cannot generate child tokens"));
    }
    let role = match role {
        None => None,
        Some(name) => {
            let unknown = || Refusal::invalid(format!("unknown role {name}"));
            Some(roles::load(active.store(), name)?.ok_or_else(unknown)?)
        }
    };
    let mut wish = Wish { active, mount, ask, parent, role, warnings: Vec::new() };
    let draft = wish.draft(orphan)?;
    if let Some(chosen) = &draft.chosen {
        // Two that choose the same at once; a key of its own, because the parent's turn is held already.
        let name = active.tokens.name(chosen.expose());
        work.hold(active.turns.alone(format!("token-chosen/{name}")).await);
        if active.tokens.load(active.store(), &name)?.is_some() {
            return Err(Refusal::invalid("cannot create a token with a duplicate ID"));
        }
    }
    let issued = active.tokens.issue(draft, work)?;
    wish.warn_of_missing_policies(&issued.entry)?;
    let mut reply = Reply { auth: Some(AuthBlock::of(&issued)), ..Reply::default() };
    reply.response.warnings = wish.warnings;
    Ok(reply)
}

impl Wish<'_> {
    fn draft(&mut self, orphan: bool) -> Result<Draft, Refusal> {
        let fields = self.ask.fields();
        let kind = self.kind()?;
        let num_uses = fields.integer("num_uses")?.unwrap_or(0);
        if num_uses < 0 {
            return Err(Refusal::invalid("number of uses cannot be negative"));
        }
        if fields.string("entity_alias")?.is_some_and(|alias| !alias.is_empty()) {
            let text = match &self.role {
                None => "'entity_alias' is only allowed in combination with token role",
                Some(_) => "invalid 'entity_alias' value: identities are not built in",
            };
            return Err(Refusal::invalid(text));
        }
        let mut entry = TokenEntry {
            path: self.path(),
            meta: fields.pairs("meta")?,
            display_name: display_name(fields.string("display_name")?.unwrap_or_default().as_str()),
            num_uses: self.num_uses(num_uses),
            issued: moment::nanos(self.ask.now),
            kind,
            role: self.role.as_ref().map(|role| role.name.clone()),
            renewable: kind == Kind::Service
                && fields.boolean("renewable")?.unwrap_or(true)
                && self.role.as_ref().is_none_or(|role| role.renewable),
            ..TokenEntry::default()
        };
        let chosen = self.chosen()?;
        entry.policies = self.policies()?;
        self.check_policies(&entry)?;
        let orphan = self.is_orphan(orphan)?;
        entry.parent = (!orphan).then(|| self.parent.name.clone());
        entry.bound_cidrs = self.networks(orphan);
        self.set_times(&mut entry)?;
        if entry.ttl == 0 {
            if self.parent.ttl != 0 {
                return Err(Refusal::invalid("expiring root tokens cannot create non-expiring root tokens"));
            }
            entry.renewable = false;
            entry.bound_cidrs = Vec::new();
        }
        Ok(Draft { entry, chosen })
    }

    fn kind(&self) -> Result<Kind, Refusal> {
        let fields = self.ask.fields();
        let asked = fields.string("type")?.unwrap_or_default();
        let asked = match self.role.as_ref().map(|role| role.token_type.as_str()) {
            Some("service") => "service",
            Some("batch") => "batch",
            Some("default-batch") if asked.is_empty() => "batch",
            _ => asked.as_str(),
        };
        match asked {
            "" | "service" => Ok(Kind::Service),
            "batch" => {
                let set =
                    |field: &str| fields.duration(field).map(|ttl| ttl.is_some_and(|ttl| !ttl.is_zero()));
                let bad = if set("explicit_max_ttl")? {
                    Some("explicit_max_ttl")
                } else if fields.integer("num_uses")?.unwrap_or(0) != 0 {
                    Some("num_uses")
                } else if set("period")? {
                    Some("period")
                } else {
                    None
                };
                match bad {
                    Some(field) => Err(Refusal::invalid(format!("batch tokens cannot have {field:?} set"))),
                    None => Ok(Kind::Batch),
                }
            }
            _ => Err(Refusal::invalid("invalid 'token_type' value")),
        }
    }

    fn path(&self) -> String {
        let suffix = self.role.as_ref().map_or("", |role| role.path_suffix.as_str());
        if suffix.is_empty() { self.ask.path.clone() } else { format!("{}/{suffix}", self.ask.path) }
    }

    /// 0 is no limit, so the smaller of two that are limits.
    fn num_uses(&self, asked: i64) -> i64 {
        match self.role.as_ref().map_or(0, |role| role.token_num_uses) {
            0 => asked,
            role if asked == 0 => role,
            role => role.min(asked),
        }
    }

    fn chosen(&self) -> Result<Option<Secret<String>>, Refusal> {
        let Some(id) = self.ask.fields().string("id")?.filter(|id| !id.is_empty()) else { return Ok(None) };
        if !self.ask.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to specify token id"));
        }
        if ["hvs.", "hvb.", "hvr.", "s.", "b.", "r."].iter().any(|prefix| id.starts_with(prefix)) {
            let prefix = id.split_once('.').map_or("", |(prefix, _)| prefix);
            return Err(Refusal::invalid(format!("custom token ID cannot have the '{prefix}.' prefix")));
        }
        if id.contains('.') {
            return Err(Refusal::invalid("custom token ID cannot have a '.' in the value"));
        }
        Ok(Some(Secret::new(id)))
    }

    fn policies(&self) -> Result<Vec<String>, Refusal> {
        let fields = self.ask.fields();
        let asked = match fields.value("policies") {
            // One name, whatever is in it.
            Some(serde_json::Value::String(name)) => vec![name.clone()],
            _ => fields.list("policies")?.unwrap_or_default(),
        };
        let no_default = fields.boolean("no_default_policy")?.unwrap_or(false);
        let mut policies = match &self.role {
            Some(role) if role.restricts() => role.policies(&asked, no_default, self.parent)?,
            _ if asked.is_empty() => policy::sanitize(&self.parent.policies, false),
            _ if self.ask.sudo => policy::sanitize(&asked, !no_default),
            _ => {
                let wanted = policy::sanitize(&asked, false);
                if !wanted.iter().all(|policy| self.parent.policies.contains(policy)) {
                    return Err(Refusal::invalid("child policies must be subset of parent"));
                }
                let has_default = self.parent.policies.iter().any(|policy| policy == policy::DEFAULT);
                policy::sanitize(&asked, !no_default && has_default)
            }
        };
        if no_default {
            policies.retain(|policy| policy != policy::DEFAULT);
        }
        Ok(policies)
    }

    fn check_policies(&self, entry: &TokenEntry) -> Result<(), Refusal> {
        if entry.policies.iter().any(|policy| policy == policy::WRAPPING) {
            return Err(Refusal::invalid(format!("cannot assign policy {:?}", policy::WRAPPING)));
        }
        if entry.is_root() {
            if !self.parent.is_root() {
                return Err(Refusal::invalid(
                    "root tokens may not be created without parent token being root",
                ));
            }
            if entry.kind == Kind::Batch {
                return Err(Refusal::invalid("batch tokens cannot be root tokens"));
            }
        }
        Ok(())
    }

    fn is_orphan(&self, orphan: bool) -> Result<bool, Refusal> {
        if let Some(role) = &self.role {
            return Ok(role.orphan);
        }
        if self.ask.fields().boolean("no_parent")?.unwrap_or(false) {
            if !self.ask.sudo {
                return Err(Refusal::invalid("root or sudo privileges required to create orphan token"));
            }
            return Ok(true);
        }
        Ok(orphan)
    }

    fn networks(&self, orphan: bool) -> Vec<String> {
        match &self.role {
            Some(role) => role.token_bound_cidrs.clone(),
            None if orphan => Vec::new(),
            None => self.parent.bound_cidrs.clone(),
        }
    }

    fn set_times(&mut self, entry: &mut TokenEntry) -> Result<(), Refusal> {
        let fields = self.ask.fields();
        let duration = |field: &str| fields.duration(field).map(Option::unwrap_or_default);
        let mut explicit = duration("explicit_max_ttl")?;
        let mut period = duration("period")?;
        if !period.is_zero() && !self.ask.sudo {
            return Err(Refusal::invalid("root or sudo privileges required to create periodic token"));
        }
        let ttl = match fields.value("ttl") {
            Some(_) => duration("ttl")?,
            None => duration("lease")?,
        };
        if let Some(role) = self.role.clone().filter(|_| entry.kind == Kind::Service) {
            explicit = self.lesser("Explicit max TTL", explicit, role.token_explicit_max_ttl);
            period = self.lesser("Period", period, role.token_period);
        }
        let mut granted = Duration::ZERO;
        if !period.is_zero() || !ttl.is_zero() || !entry.is_root() {
            let (mount_default, mount_max) = self.active.ttls(self.mount);
            let input = TtlInput {
                ttl,
                period,
                explicit_max_ttl: explicit,
                mount_default,
                mount_max,
                ..TtlInput::default()
            };
            let (ttl, warnings) =
                ttl::calculate(&input).map_err(|error| Refusal::invalid(error.to_string()))?;
            self.warnings.extend(warnings);
            granted = ttl;
        }
        if granted.is_zero() {
            granted = explicit;
        }
        entry.ttl = granted.as_secs();
        entry.period = period.as_secs();
        entry.explicit_max_ttl = explicit.as_secs();
        let ends = entry.issued.saturating_add(entry.ttl.saturating_mul(1_000_000_000));
        entry.expires = (entry.ttl > 0).then_some(ends);
        Ok(())
    }

    /// The smaller of what was asked for and what the role says, zero being neither.
    fn lesser(&mut self, what: &str, asked: Duration, role: u64) -> Duration {
        let role = Duration::from_secs(role);
        if role.is_zero() || asked.is_zero() {
            return asked.max(role);
        }
        let lesser = asked.min(role);
        self.warnings.push(format!(
            "{what} specified both during creation call and in role; using the lesser value of {} seconds",
            lesser.as_secs()
        ));
        lesser
    }

    fn warn_of_missing_policies(&mut self, entry: &TokenEntry) -> Result<(), Refusal> {
        for name in &entry.policies {
            let known =
                self.active.policies.get(self.active.store(), name).map_err(crate::core::policy_refusal)?;
            if known.is_none() {
                self.warnings.push(format!("Policy {name:?} does not exist"));
            }
        }
        Ok(())
    }
}

/// `token`, or `token-` and letters of the name that was asked for.
fn display_name(asked: &str) -> String {
    if asked.is_empty() {
        return "token".to_owned();
    }
    let letter = |letter: char| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '-' };
    let name: String = asked.chars().map(letter).collect();
    let name = format!("token-{name}");
    name.strip_suffix('-').unwrap_or(&name).to_owned()
}
