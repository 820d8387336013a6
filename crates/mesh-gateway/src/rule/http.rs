//! Rules of HTTP routers: what they ask of a request.

use super::{
    Call, RuleError, Syntax, Tree, beneath, expression,
    network::Networks,
    older,
    target::{Target, query_values},
};
use hyper::header::HeaderName;
use regex::Regex;

/// The matchers of Traefik's third version.
const MATCHERS: &[&str] = &[
    "ClientIP",
    "Method",
    "Host",
    "HostRegexp",
    "Path",
    "PathRegexp",
    "PathPrefix",
    "Header",
    "HeaderRegexp",
    "Query",
    "QueryRegexp",
];

/// A rule that requests are held against.
#[derive(Debug, Clone)]
pub(crate) enum HttpRule {
    And(Box<HttpRule>, Box<HttpRule>),
    Or(Box<HttpRule>, Box<HttpRule>),
    Not(Box<HttpRule>),
    Is(Condition),
}

/// What one matcher asks for.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Always,
    Client(Networks),
    Method(String),
    Host(String),
    HostLike(Regex),
    Path(String),
    PathBeneath(String),
    PathLike(Regex),
    /// A header with this value; none for a name that no header can have.
    Header(Option<HeaderName>, String),
    HeaderLike(Option<HeaderName>, Regex),
    Query(String, String),
    QueryLike(String, Regex),
    Older(older::Condition),
}

impl HttpRule {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Self, RuleError> {
        let matchers = match syntax {
            Syntax::V2 => older::MATCHERS,
            Syntax::V3 => MATCHERS,
        };
        let tree = Tree::parse(text, matchers).map_err(|source| RuleError::syntax(text, source))?;
        Self::build(&tree, syntax).map_err(|source| RuleError::Matcher { rule: text.to_owned(), source })
    }

    fn build(tree: &Tree, syntax: Syntax) -> Result<Self, MatcherError> {
        Ok(match tree {
            Tree::And(left, right) => {
                Self::And(Box::new(Self::build(left, syntax)?), Box::new(Self::build(right, syntax)?))
            }
            Tree::Or(left, right) => {
                Self::Or(Box::new(Self::build(left, syntax)?), Box::new(Self::build(right, syntax)?))
            }
            Tree::Matcher(call) => {
                call.check()?;
                let condition = match syntax {
                    Syntax::V2 => older::Condition::new(call).map(Condition::Older)?,
                    Syntax::V3 => Condition::new(call)?,
                };
                if call.negated { Self::Not(Box::new(Self::Is(condition))) } else { Self::Is(condition) }
            }
        })
    }

    pub(crate) fn matches(&self, target: &Target<'_>) -> bool {
        match self {
            Self::And(left, right) => left.matches(target) && right.matches(target),
            Self::Or(left, right) => left.matches(target) || right.matches(target),
            Self::Not(inside) => !inside.matches(target),
            Self::Is(condition) => condition.holds(target),
        }
    }

    /// The hosts, in small letters, to none other of which a request can go by this rule; none where that cannot be said.
    pub(crate) fn needs_hosts(&self) -> Option<Vec<&str>> {
        match self {
            Self::And(left, right) => left.needs_hosts().or_else(|| right.needs_hosts()),
            Self::Or(left, right) => Some([left.needs_hosts()?, right.needs_hosts()?].concat()),
            Self::Is(Condition::Host(host)) if !host.starts_with('*') => Some(vec![host]),
            Self::Is(_) | Self::Not(_) => None,
        }
    }

    /// The hosts that a rule of either version names, in small letters.
    pub(crate) fn hosts(text: &str) -> Result<Vec<String>, RuleError> {
        let mut matchers = MATCHERS.to_vec();
        matchers.extend(older::MATCHERS.iter().filter(|name| !MATCHERS.contains(name)));
        let tree = Tree::parse(text, &matchers).map_err(|source| RuleError::syntax(text, source))?;
        Ok(tree.values_of("Host"))
    }

    /// The same, and the domains beneath which its expressions find hosts, as `*.shop.test`: what this gateway is asked
    /// for by a name.
    pub(crate) fn names(text: &str) -> Vec<String> {
        let mut names = Self::hosts(text).unwrap_or_default();
        let mut matchers = MATCHERS.to_vec();
        matchers.extend(older::MATCHERS.iter().filter(|name| !MATCHERS.contains(name)));
        if let Ok(tree) = Tree::parse(text, &matchers) {
            names.extend(tree.values_of("HostHeader"));
            names.extend(tree.written("HostRegexp").iter().flat_map(|pattern| beneath::names(pattern)));
        }
        names
    }
}

pub(super) use super::MatcherError;

impl Condition {
    fn new(call: &Call) -> Result<Self, MatcherError> {
        let allowed: &'static [usize] = match call.name {
            "Header" | "HeaderRegexp" => &[2],
            "Query" | "QueryRegexp" => &[1, 2],
            _ => &[1],
        };
        if !allowed.contains(&call.values.len()) {
            return Err(MatcherError::Count { matcher: call.name, count: call.values.len(), allowed });
        }
        let first = call.values[0].as_str();
        let second = call.values.get(1).map_or("", String::as_str);
        let ascii = || match first.is_ascii() {
            true => Ok(()),
            false => Err(MatcherError::NotAscii { matcher: call.name, value: first.to_owned() }),
        };
        let like = |pattern: &str| {
            expression::compile(pattern)
                .map_err(|source| MatcherError::Expression { matcher: call.name, source })
        };
        let rooted = || match first.starts_with('/') {
            true => Ok(first.to_owned()),
            false => Err(MatcherError::Path { path: first.to_owned() }),
        };
        Ok(match call.name {
            "ClientIP" => Self::Client(Networks::parse(&[first])?),
            "Method" => Self::Method(first.to_uppercase()),
            "Host" if first == "*" => Self::Always,
            "Host" => {
                ascii()?;
                Self::Host(first.to_lowercase())
            }
            "HostRegexp" => {
                ascii()?;
                Self::HostLike(like(first)?)
            }
            "Path" => Self::Path(rooted()?),
            "PathPrefix" => Self::PathBeneath(rooted()?),
            "PathRegexp" => Self::PathLike(like(first)?),
            "Header" => Self::Header(first.parse().ok(), second.to_owned()),
            "HeaderRegexp" => Self::HeaderLike(first.parse().ok(), like(second)?),
            "QueryRegexp" if call.values.len() == 2 => Self::QueryLike(first.to_owned(), like(second)?),
            _ => Self::Query(first.to_owned(), second.to_owned()),
        })
    }

    fn holds(&self, target: &Target<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Client(networks) => target.client.is_some_and(|client| networks.contain(client)),
            Self::Method(method) => target.method == method,
            Self::Host(host) => host_is(target.host, host),
            Self::HostLike(expression) => expression.is_match(target.host),
            Self::Path(path) => target.path == path,
            Self::PathBeneath(path) => target.path.starts_with(path.as_str()),
            Self::PathLike(expression) => expression.is_match(target.path),
            Self::Header(name, value) => header_has(target, name.as_ref(), |found| found == value),
            Self::HeaderLike(name, expression) => {
                header_has(target, name.as_ref(), |found| expression.is_match(found))
            }
            Self::Query(key, value) => query_values(target.query, key).any(|found| found == *value),
            Self::QueryLike(key, expression) => {
                query_values(target.query, key).any(|found| expression.is_match(&found))
            }
            Self::Older(condition) => condition.holds(target),
        }
    }
}

pub(super) fn header_has(target: &Target<'_>, name: Option<&HeaderName>, is: impl Fn(&str) -> bool) -> bool {
    let Some(name) = name else { return false };
    target.headers.get_all(name).iter().any(|value| value.to_str().is_ok_and(&is))
}

/// Whether a host is the one asked for; `*.` stands for one label, and a period at the end of either changes nothing.
fn host_is(host: &str, wanted: &str) -> bool {
    if host.is_empty() {
        return false;
    }
    let shortened = |name: &str| name.strip_suffix('.').map(str::to_owned);
    domain_is(host, wanted)
        || shortened(wanted).is_some_and(|wanted| domain_is(host, &wanted))
        || shortened(host).is_some_and(|host| domain_is(&host, wanted))
}

/// Whether a domain is the one asked for, or one label beneath it where that begins with a star.
pub(super) fn domain_is(domain: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(parent) => {
            let end = domain.find('.').unwrap_or(domain.len());
            domain[end..].eq_ignore_ascii_case(parent)
        }
        None => domain.eq_ignore_ascii_case(wanted),
    }
}
