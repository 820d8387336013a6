//! What several policies say together about one request.

use super::{
    ROOT,
    capability::Capabilities,
    parameters::Parameters,
    parse::{Policy, Rule},
    pattern::{Exactness, Pattern, Segments},
};
use crate::logical::{Object, Operation};
use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    time::Duration,
};

/// Policies compiled for asking.
#[derive(Debug, Default)]
pub struct Acl {
    root: bool,
    exact: HashMap<String, Permissions>,
    prefix: BTreeMap<String, Permissions>,
    segments: Vec<(Segments, Exactness, Permissions)>,
}

/// A request, as far as policies are about it.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// What is to be done.
    pub operation: Operation,
    /// The whole path, without a slash at its front.
    pub path: &'a str,
    /// The fields sent.
    pub data: &'a Object,
    /// How long the response is to be wrapped, if it is.
    pub wrap_ttl: Option<Duration>,
}

/// The judgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Whether it may be done, `sudo` aside.
    pub allowed: bool,
    /// Whether `sudo` is given at the path.
    pub sudo: bool,
    /// Whether it is `root` that asks.
    pub root: bool,
}

#[derive(Debug, Clone, Default)]
struct Permissions {
    capabilities: Capabilities,
    min_wrapping_ttl: Duration,
    max_wrapping_ttl: Duration,
    parameters: Parameters,
}

impl Permissions {
    fn of(rule: &Rule) -> Self {
        Self {
            capabilities: rule.capabilities,
            min_wrapping_ttl: rule.min_wrapping_ttl,
            max_wrapping_ttl: rule.max_wrapping_ttl,
            parameters: rule.parameters.clone(),
        }
    }

    /// Another rule for the same pattern. Wrapping bounds: the smaller one of two counts.
    fn unite(&mut self, rule: &Rule) {
        self.capabilities = self.capabilities.with(rule.capabilities);
        if self.capabilities.denied() {
            return;
        }
        self.min_wrapping_ttl = smaller(self.min_wrapping_ttl, rule.min_wrapping_ttl);
        self.max_wrapping_ttl = smaller(self.max_wrapping_ttl, rule.max_wrapping_ttl);
        self.parameters.unite(&rule.parameters);
    }

    fn allow(&self, asked: &Asked<'_>) -> bool {
        !self.capabilities.denied()
            && self.capabilities.has(Capabilities::needed(asked.operation))
            && self.allow_wrapping(asked.wrap_ttl)
            && (!checks_parameters(asked.operation) || self.parameters.allow(asked.data))
    }

    fn allow_wrapping(&self, ttl: Option<Duration>) -> bool {
        let (min, max) = (self.min_wrapping_ttl, self.max_wrapping_ttl);
        if min.is_zero() && max.is_zero() {
            return true;
        }
        let Some(ttl) = ttl else { return false };
        (max.is_zero() || (ttl <= max && min <= max)) && ttl >= min
    }
}

/// Zero is no bound.
fn smaller(one: Duration, other: Duration) -> Duration {
    match (one.is_zero(), other.is_zero()) {
        (true, _) => other,
        (_, true) => one,
        _ => one.min(other),
    }
}

fn checks_parameters(operation: Operation) -> bool {
    matches!(operation, Operation::Read | Operation::Update | Operation::Create | Operation::Patch)
}

impl Acl {
    /// Unites policies.
    pub fn new<'a>(policies: impl IntoIterator<Item = &'a Policy>) -> Self {
        let mut acl = Self::default();
        for policy in policies {
            acl.root |= policy.name == ROOT;
            for rule in &policy.rules {
                acl.add(rule);
            }
        }
        acl
    }

    /// May do everything.
    #[must_use]
    pub fn root() -> Self {
        Self { root: true, ..Self::default() }
    }

    fn add(&mut self, rule: &Rule) {
        let known = match &rule.pattern {
            Pattern::Exact(path) => self.exact.get_mut(path),
            Pattern::Prefix(path) => self.prefix.get_mut(path),
            Pattern::Segments(segments) => self
                .segments
                .iter_mut()
                .find(|(known, ..)| known.text == segments.text)
                .map(|entry| &mut entry.2),
        };
        if let Some(known) = known {
            known.unite(rule);
            return;
        }
        let permissions = Permissions::of(rule);
        match &rule.pattern {
            Pattern::Exact(path) => drop(self.exact.insert(path.clone(), permissions)),
            Pattern::Prefix(path) => drop(self.prefix.insert(path.clone(), permissions)),
            Pattern::Segments(segments) => {
                self.segments.push((segments.clone(), segments.exactness(), permissions));
            }
        }
    }

    /// Judges a request.
    #[must_use]
    pub fn judge(&self, asked: &Asked<'_>) -> Verdict {
        if self.root {
            return Verdict { allowed: true, sudo: true, root: true };
        }
        if asked.operation == Operation::Help {
            return Verdict { allowed: true, ..Verdict::default() };
        }
        let Some(permissions) = self.find(asked.path, asked.operation == Operation::List) else {
            return Verdict::default();
        };
        let sudo = permissions.capabilities.has(Capabilities::SUDO);
        Verdict { allowed: permissions.allow(asked), sudo, root: false }
    }

    /// The words for what may be done at a path: `root`, `deny`, or those granted.
    #[must_use]
    pub fn capabilities(&self, path: &str) -> Vec<&'static str> {
        if self.root {
            return vec![ROOT];
        }
        self.find(path, true).map_or_else(|| vec!["deny"], |permissions| permissions.capabilities.names())
    }

    /// What is granted where, as user interfaces ask for it.
    #[must_use]
    pub fn describe(&self) -> serde_json::Value {
        let of = |found: &Permissions| serde_json::json!({ "capabilities": found.capabilities.names() });
        let exact: Object = self.exact.iter().map(|(path, found)| (path.clone(), of(found))).collect();
        let prefix = self.prefix.iter().map(|(path, found)| (path.clone(), of(found)));
        let segments = self.segments.iter().map(|(segments, _, found)| (segments.text.clone(), of(found)));
        let globs: Object = prefix.chain(segments).collect();
        serde_json::json!({ "root": self.root, "exact_paths": exact, "glob_paths": globs })
    }

    /// Whether anything but `deny` is granted at a mount's path or below it.
    #[must_use]
    pub fn reaches(&self, mount: &str) -> bool {
        let grants = |permissions: &Permissions| {
            permissions.capabilities != Capabilities::default() && !permissions.capabilities.denied()
        };
        let under = |path: &str| path.starts_with(mount) || path == mount.trim_end_matches('/');
        self.root
            || self.find(mount, true).is_some_and(grants)
            || self.exact.iter().any(|(path, found)| under(path) && grants(found))
            || self.prefix.iter().any(|(path, found)| under(path) && grants(found))
            || self.segments.iter().any(|(segments, _, found)| {
                let parts = mount.trim_end_matches('/').split('/');
                let all = parts.zip(segments.text.split('/')).all(|(part, rule)| rule == "+" || rule == part);
                all && grants(found)
            })
    }

    /// The one rule that counts: an exact one, or else the most exact of the others. A listing is asked for without
    /// its slash too.
    fn find(&self, path: &str, list: bool) -> Option<&Permissions> {
        let path = path.trim_start_matches('/');
        let bare = if list { path.strip_suffix('/') } else { None };
        let exact = self.exact.get(path).or_else(|| bare.and_then(|bare| self.exact.get(bare)));
        exact.or_else(|| bare.and_then(|bare| self.find_inexact(bare))).or_else(|| self.find_inexact(path))
    }

    fn find_inexact(&self, path: &str) -> Option<&Permissions> {
        let prefix = self.longest_prefix(path);
        if self.segments.is_empty() {
            return prefix.map(|(_, permissions)| permissions);
        }
        let prefix = prefix.map(|(text, permissions)| (Exactness::of_prefix(text), permissions));
        let best = self
            .segments
            .iter()
            .filter(|(segments, ..)| segments.matches(path))
            .max_by(|one, other| one.1.cmp(&other.1))
            .map(|(_, exactness, permissions)| (exactness, permissions));
        match (prefix, best) {
            (Some((one, permissions)), Some((other, found))) => {
                Some(if one > *other { permissions } else { found })
            }
            (prefix, best) => prefix.map(|(_, found)| found).or(best.map(|(_, found)| found)),
        }
    }

    /// The longest prefix of a path among the rules: the greatest key not after the path, and as long as that is no
    /// prefix, the greatest one not after what both have in common.
    fn longest_prefix(&self, path: &str) -> Option<(&str, &Permissions)> {
        let mut bound = path;
        loop {
            let upto = (Bound::Unbounded, Bound::Included(bound));
            let (text, permissions) = self.prefix.range::<str, _>(upto).next_back()?;
            if bound.starts_with(text.as_str()) {
                return Some((text, permissions));
            }
            bound = common_prefix(bound, text);
        }
    }
}

fn common_prefix<'a>(one: &'a str, other: &str) -> &'a str {
    let same = one.char_indices().zip(other.chars()).find(|((_, a), b)| a != b);
    same.map_or(one, |((at, _), _)| &one[..at])
}
