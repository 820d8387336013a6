//! Rules of TCP routers: what they ask of a connection.

use super::{
    Call, MatcherError, RuleError, Syntax, Tree, beneath, expression, http::domain_is, network::Networks,
    target::Connection, template::Template,
};
use regex::Regex;

/// The matchers of both versions.
const MATCHERS: &[&str] = &["ALPN", "ClientIP", "HostSNI", "HostSNIRegexp"];
/// What ACME's validation speaks; no router may take it.
const VALIDATION: &str = "acme-tls/1";
/// What the router for all that nobody else takes has.
const LAST_PRIORITY: i64 = -1;

/// A rule that connections are held against.
#[derive(Debug, Clone)]
pub(crate) enum TcpRule {
    And(Box<TcpRule>, Box<TcpRule>),
    Or(Box<TcpRule>, Box<TcpRule>),
    Not(Box<TcpRule>),
    Is(Condition),
}

/// What one matcher asks for.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Always,
    Protocol(Vec<String>),
    Client(Networks),
    /// One of these names.
    Name(Vec<String>),
    NameLike(Vec<Regex>),
}

impl TcpRule {
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Self, RuleError> {
        let tree = Tree::parse(text, MATCHERS).map_err(|source| RuleError::syntax(text, source))?;
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
                let condition = Condition::new(call, syntax)?;
                if call.negated { Self::Not(Box::new(Self::Is(condition))) } else { Self::Is(condition) }
            }
        })
    }

    pub(crate) fn matches(&self, connection: &Connection<'_>) -> bool {
        match self {
            Self::And(left, right) => left.matches(connection) && right.matches(connection),
            Self::Or(left, right) => left.matches(connection) || right.matches(connection),
            Self::Not(inside) => !inside.matches(connection),
            Self::Is(condition) => condition.holds(connection),
        }
    }

    /// The names a rule asks for, in small letters.
    pub(crate) fn names(text: &str) -> Result<Vec<String>, RuleError> {
        let tree = Tree::parse(text, MATCHERS).map_err(|source| RuleError::syntax(text, source))?;
        Ok(tree.values_of("HostSNI"))
    }

    /// The same, and the domains beneath which its expressions find names, as `*.shop.test`.
    pub(crate) fn all_names(text: &str) -> Vec<String> {
        let Ok(tree) = Tree::parse(text, MATCHERS) else { return Vec::new() };
        let mut names = tree.values_of("HostSNI");
        names.extend(tree.written("HostSNIRegexp").iter().flat_map(|pattern| beneath::names(pattern)));
        names
    }

    /// Whether a rule is the one that takes whatever nobody else does, and nothing beside it.
    pub(crate) fn takes_all(text: &str) -> bool {
        let is_star = |call: &Call| call.name == "HostSNI" && call.values.len() == 1 && call.values[0] == "*";
        matches!(Tree::parse(text, &["HostSNI"]), Ok(Tree::Matcher(call)) if is_star(&call))
    }

    /// What a rule's router has as priority where none is given.
    pub(crate) fn priority(text: &str) -> i64 {
        if Self::takes_all(text) { LAST_PRIORITY } else { super::priority(text) }
    }
}

impl Condition {
    fn new(call: &Call, syntax: Syntax) -> Result<Self, MatcherError> {
        if syntax == Syntax::V3 && call.values.len() != 1 {
            return Err(MatcherError::Count { matcher: call.name, count: call.values.len(), allowed: &[1] });
        }
        let invalid = |value: &str| MatcherError::Name { matcher: call.name, value: value.to_owned() };
        match call.name {
            "ALPN" => match call.values.iter().find(|protocol| *protocol == VALIDATION) {
                Some(protocol) => Err(MatcherError::Protocol { protocol: protocol.clone() }),
                None => Ok(Self::Protocol(call.values.clone())),
            },
            "ClientIP" => Ok(Self::Client(Networks::parse(&call.values)?)),
            "HostSNI" => {
                // A star that comes first takes those too that ask for no name.
                if call.values[0] == "*" {
                    return Ok(Self::Always);
                }
                let plain = |name: &str| match syntax {
                    Syntax::V2 => is_name(name),
                    Syntax::V3 => is_name(name.strip_prefix("*.").unwrap_or(name)),
                };
                if let Some(wrong) = call.values.iter().find(|name| *name != "*" && !plain(name)) {
                    return Err(invalid(wrong));
                }
                let mut names: Vec<String> = call.values.iter().map(|name| name.to_lowercase()).collect();
                let short: Vec<_> =
                    names.iter().filter_map(|name| name.strip_suffix('.').map(str::to_owned)).collect();
                if syntax == Syntax::V3 {
                    names.retain(|name| !name.ends_with('.'));
                }
                names.extend(short);
                Ok(Self::Name(names))
            }
            _ => {
                if let Some(wrong) = call.values.iter().find(|name| syntax == Syntax::V3 && !name.is_ascii())
                {
                    return Err(invalid(wrong));
                }
                let compile = |pattern: &String| match syntax {
                    Syntax::V2 => Template::host(pattern).map(|template| template.expression),
                    Syntax::V3 => expression::compile(pattern)
                        .map_err(|source| MatcherError::Expression { matcher: call.name, source }),
                };
                Ok(Self::NameLike(call.values.iter().map(compile).collect::<Result<_, _>>()?))
            }
        }
    }

    fn holds(&self, connection: &Connection<'_>) -> bool {
        match self {
            Self::Always => true,
            Self::Protocol(wanted) => connection.protocols.iter().any(|protocol| wanted.contains(protocol)),
            Self::Client(networks) => connection.client.is_some_and(|client| networks.contain(client)),
            Self::Name(wanted) => {
                let name = connection.server_name;
                !name.is_empty() && wanted.iter().any(|wanted| wanted == "*" || domain_is(name, wanted))
            }
            Self::NameLike(expressions) => {
                expressions.iter().any(|expression| expression.is_match(connection.server_name))
            }
        }
    }
}

/// A host name or an address.
fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-:".contains(&byte);
    !text.is_empty() && text.bytes().all(allowed)
}
