//! Rules: what a router asks of a request or of a connection.
//!
//! A text becomes a [`Tree`], and that a rule that is held against a [`Target`] or a [`Connection`]. Rules are values:
//! they know no router and do nothing.
//!
//! Deliberately absent: hosts followed through CNAME records (`hostResolver`).

mod beneath;
mod http;
mod network;
mod older;
mod target;
mod tcp;
mod template;

#[cfg(test)]
mod suite;

use mesh_gateway_config::{
    expression::{self, ExpressionError},
    rule::{Call, SyntaxError, Tree},
};

pub(crate) use http::HttpRule;
pub(crate) use network::{NetworkError, Networks};
pub(crate) use target::{Connection, Target, canonical_host, encoded, routing_path};
pub(crate) use tcp::TcpRule;

/// Whose rules a rule is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Syntax {
    V2,
    #[default]
    V3,
}

impl Syntax {
    /// What `ruleSyntax` says; all but `v2` is the third version's.
    pub(crate) fn named(name: &str) -> Self {
        if name == "v2" { Self::V2 } else { Self::V3 }
    }
}

/// Why a text is no rule.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum RuleError {
    #[error("error while parsing rule {rule}")]
    Syntax {
        rule: String,
        #[source]
        source: SyntaxError,
    },
    #[error("error while adding rule {rule}")]
    Matcher {
        rule: String,
        #[source]
        source: MatcherError,
    },
}

impl RuleError {
    fn syntax(rule: &str, source: SyntaxError) -> Self {
        Self::Syntax { rule: rule.to_owned(), source }
    }
}

/// Why a matcher cannot be what it is asked to be.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum MatcherError {
    #[error(transparent)]
    Arguments(#[from] SyntaxError),
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error("unexpected number of parameters of {matcher}; got {count}, expected one of {allowed:?}")]
    Count { matcher: &'static str, count: usize, allowed: &'static [usize] },
    #[error("{matcher} takes names and values in pairs")]
    Pairs { matcher: &'static str },
    #[error("invalid value {value:?} for {matcher} matcher, non-ASCII characters are not allowed")]
    NotAscii { matcher: &'static str, value: String },
    #[error("invalid value for {matcher} matcher, {value:?} is not a valid hostname")]
    Name { matcher: &'static str, value: String },
    #[error("invalid protocol value for ALPN matcher, {protocol:?} is not allowed")]
    Protocol { protocol: String },
    #[error("path {path:?} does not start with a '/'")]
    Path { path: String },
    #[error("unbalanced braces in {template:?}")]
    Braces { template: String },
    #[error("missing name or pattern in {place:?}")]
    Place { place: String },
    #[error("could not compile what {matcher} is to match")]
    Expression {
        matcher: &'static str,
        #[source]
        source: ExpressionError,
    },
}

/// What a rule's router has as priority where none is given: its length in bytes.
pub(crate) fn priority(rule: &str) -> i64 {
    i64::try_from(rule.len()).unwrap_or(i64::MAX)
}
