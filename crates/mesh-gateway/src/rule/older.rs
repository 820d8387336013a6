//! The matchers of Traefik's second version, which rules are written in that ask for `ruleSyntax: v2`.
//!
//! They take several values each, paths and hosts are templates, and headers and queries come as pairs.

use super::{
    Call, MatcherError, expression,
    http::header_has,
    network::Networks,
    target::{Target, query_pairs},
    template::Template,
};
use hyper::header::HeaderName;
use regex::Regex;

pub(super) const MATCHERS: &[&str] = &[
    "Host",
    "HostHeader",
    "HostRegexp",
    "ClientIP",
    "Path",
    "PathPrefix",
    "Method",
    "Headers",
    "HeadersRegexp",
    "Query",
];

/// What one matcher asks for.
#[derive(Debug, Clone)]
pub(crate) enum Condition {
    Hosts(Vec<String>),
    HostLike(Vec<Regex>),
    Client(Networks),
    PathLike(Vec<Regex>),
    Methods(Vec<String>),
    /// All of these headers; an empty value stands for any.
    Headers(Vec<(Option<HeaderName>, String)>),
    HeadersLike(Vec<(Option<HeaderName>, Regex)>),
    /// All of these keys, each with what `key=value` has to look like.
    Queries(Vec<(String, Regex)>),
}

impl Condition {
    pub(super) fn new(call: &Call) -> Result<Self, MatcherError> {
        let values = &call.values;
        let like = |template: Result<Template, MatcherError>| template.map(|template| template.expression);
        Ok(match call.name {
            "Host" | "HostHeader" => {
                ascii(call)?;
                Self::Hosts(values.iter().map(|host| host.to_lowercase()).collect())
            }
            "HostRegexp" => {
                ascii(call)?;
                Self::HostLike(
                    values.iter().map(|host| like(Template::host(host))).collect::<Result<_, _>>()?,
                )
            }
            "ClientIP" => Self::Client(Networks::parse(values)?),
            "Path" | "PathPrefix" => {
                let build = if call.name == "Path" { Template::path } else { Template::prefix };
                let path = |text: &String| match text.starts_with('/') {
                    true => like(build(text)),
                    false => Err(MatcherError::Path { path: text.clone() }),
                };
                Self::PathLike(values.iter().map(path).collect::<Result<_, _>>()?)
            }
            "Method" => Self::Methods(values.iter().map(|method| method.to_uppercase()).collect()),
            "Headers" => {
                let pair = |(name, value): (&String, &String)| Ok((name.parse().ok(), value.clone()));
                Self::Headers(pairs(call)?.map(pair).collect::<Result<_, MatcherError>>()?)
            }
            "HeadersRegexp" => {
                let pair = |(name, value): (&String, &String)| {
                    let compiled = expression::compile(value);
                    let failed = |source| MatcherError::Expression { matcher: call.name, source };
                    Ok((name.parse().ok(), compiled.map_err(failed)?))
                };
                Self::HeadersLike(pairs(call)?.map(pair).collect::<Result<_, MatcherError>>()?)
            }
            _ => {
                // One that has no equals sign takes the next one as its value, which then has none either.
                let parts: Vec<String> =
                    values.iter().flat_map(|value| value.splitn(2, '=').map(str::to_owned)).collect();
                let whole = Call { values: parts, ..call.clone() };
                let pair = |(key, value): (&String, &String)| {
                    Ok((key.clone(), like(Template::query(&format!("{key}={value}")))?))
                };
                Self::Queries(pairs(&whole)?.map(pair).collect::<Result<_, MatcherError>>()?)
            }
        })
    }

    pub(super) fn holds(&self, target: &Target<'_>) -> bool {
        match self {
            Self::Hosts(hosts) => {
                !target.host.is_empty() && hosts.iter().any(|host| same_host(host, target.host))
            }
            Self::HostLike(expressions) => expressions.iter().any(|like| like.is_match(target.host)),
            Self::Client(networks) => target.client.is_some_and(|client| networks.contain(client)),
            Self::PathLike(expressions) => expressions.iter().any(|like| like.is_match(target.path)),
            Self::Methods(methods) => methods.iter().any(|method| method == target.method),
            Self::Headers(pairs) => pairs.iter().all(|(name, value)| {
                header_has(target, name.as_ref(), |found| value.is_empty() || found == value)
            }),
            Self::HeadersLike(pairs) => pairs
                .iter()
                .all(|(name, like)| header_has(target, name.as_ref(), |found| like.is_match(found))),
            Self::Queries(pairs) => pairs.iter().all(|(key, like)| {
                let first = query_pairs(target.query).find(|(name, _)| name == key);
                like.is_match(&first.map_or_else(String::new, |(name, value)| format!("{name}={value}")))
            }),
        }
    }
}

fn ascii(call: &Call) -> Result<(), MatcherError> {
    match call.values.iter().find(|value| !value.is_ascii()) {
        Some(value) => Err(MatcherError::NotAscii { matcher: call.name, value: value.clone() }),
        None => Ok(()),
    }
}

fn pairs(call: &Call) -> Result<impl Iterator<Item = (&String, &String)>, MatcherError> {
    if !call.values.len().is_multiple_of(2) {
        return Err(MatcherError::Pairs { matcher: call.name });
    }
    Ok(call.values.chunks_exact(2).map(|pair| (&pair[0], &pair[1])))
}

fn same_host(wanted: &str, host: &str) -> bool {
    wanted == host || wanted.strip_suffix('.') == Some(host) || host.strip_suffix('.') == Some(wanted)
}
