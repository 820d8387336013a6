//! Paths: prefixes put on and taken off, and other paths.

use super::{
    LayerError,
    exchange::{Exchange, Reply, decoded, encode, is_normal, rooted},
};
use crate::{
    config::{expression::compile, model},
    rule::encoded,
};
use hyper::{
    StatusCode,
    header::{HeaderName, HeaderValue},
};
use regex::Regex;

/// What a service is told of the prefix that was taken off.
const PREFIX_HEADER: HeaderName = HeaderName::from_static("x-forwarded-prefix");
/// What a service is told of the path that it does not see.
const PATH_HEADER: HeaderName = HeaderName::from_static("x-replaced-path");

#[derive(Debug)]
pub(crate) struct AddPrefix {
    /// Encoded.
    prefix: String,
}

impl AddPrefix {
    pub(super) fn new(config: &model::AddPrefix) -> Result<Self, LayerError> {
        if config.prefix.is_empty() {
            return Err(LayerError::NoPrefix);
        }
        Ok(Self { prefix: encode(&config.prefix) })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) {
        exchange.path = rooted(format!("{}{}", self.prefix, exchange.path));
    }
}

#[derive(Debug)]
pub(crate) struct StripPrefix {
    prefixes: Vec<String>,
    force_slash: bool,
}

impl StripPrefix {
    pub(super) fn new(config: &model::StripPrefix) -> Self {
        Self {
            prefixes: config.prefixes.iter().map(|prefix| prefix.trim().to_owned()).collect(),
            force_slash: config.force_slash.unwrap_or_default(),
        }
    }

    /// The first prefix that the path has is the one that is taken off.
    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        let found =
            self.prefixes.iter().find_map(|prefix| Some((prefix, encoded_length(&exchange.path, prefix)?)));
        let Some((prefix, length)) = found else { return Ok(()) };
        let rest = exchange.path.split_off(length);
        let rest = if self.force_slash {
            format!("/{}", rest.strip_prefix('/').unwrap_or(&rest))
        } else {
            rooted(rest)
        };
        take(exchange, rest, prefix)
    }
}

/// The bytes of an encoded path that a prefix takes; none if it does not begin with it.
fn encoded_length(path: &str, prefix: &str) -> Option<usize> {
    let bytes = path.as_bytes();
    let mut at = 0;
    for wanted in prefix.bytes() {
        let byte = *bytes.get(at)?;
        let value = (byte == b'%').then(|| bytes.get(at + 1..at + 3).and_then(encoded)).flatten();
        if value.unwrap_or(byte) != wanted {
            return None;
        }
        at += if value.is_some() { 3 } else { 1 };
    }
    path.is_char_boundary(at).then_some(at)
}

/// Goes on with a shorter path, if it means nothing else once it is normalised.
fn take(exchange: &mut Exchange, rest: String, prefix: &str) -> Result<(), Reply> {
    if !rest.is_empty() && !is_normal(&decoded(&rest)) {
        return Err(Reply::plain(StatusCode::BAD_REQUEST));
    }
    exchange.path = rest;
    if let Ok(value) = HeaderValue::from_str(prefix) {
        exchange.headers.append(PREFIX_HEADER, value);
    }
    Ok(())
}

#[derive(Debug)]
pub(crate) struct StripPrefixLike {
    expressions: Vec<Regex>,
}

impl StripPrefixLike {
    pub(super) fn new(config: &model::StripPrefixRegex) -> Result<Self, LayerError> {
        let expressions = config.regex.iter().map(|pattern| compile(pattern.trim()));
        Ok(Self { expressions: expressions.collect::<Result<_, _>>()? })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        let path = decoded(&exchange.path);
        for expression in &self.expressions {
            let Some(found) = expression.find(&path).filter(|found| found.start() == 0) else { continue };
            let prefix = found.as_str();
            let Some(length) = encoded_length(&exchange.path, prefix) else { continue };
            let rest = rooted(exchange.path.split_off(length));
            return take(exchange, rest, prefix);
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct ReplacePath {
    path: String,
}

impl ReplacePath {
    pub(super) fn new(config: &model::ReplacePath) -> Self {
        Self { path: config.path.clone() }
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        replace(exchange, self.path.clone())
    }
}

#[derive(Debug)]
pub(crate) struct ReplacePathLike {
    expression: Regex,
    replacement: String,
}

impl ReplacePathLike {
    pub(super) fn new(config: &model::ReplacePathRegex) -> Result<Self, LayerError> {
        let replacement = config.replacement.trim().to_owned();
        Ok(Self { expression: compile(config.regex.trim())?, replacement })
    }

    pub(super) fn before(&self, exchange: &mut Exchange) -> Result<(), Reply> {
        if !self.expression.is_match(&exchange.path) {
            return Ok(());
        }
        let path = self.expression.replace_all(&exchange.path, self.replacement.as_str()).into_owned();
        replace(exchange, path)?;
        let path = decoded(&exchange.path);
        if path.is_empty() || (path.starts_with('/') && is_normal(&path)) {
            Ok(())
        } else {
            Err(Reply::plain(StatusCode::BAD_REQUEST))
        }
    }
}

fn replace(exchange: &mut Exchange, path: String) -> Result<(), Reply> {
    let encoding = path
        .match_indices('%')
        .all(|(at, _)| path.as_bytes().get(at + 1..at + 3).and_then(encoded).is_some());
    if let Ok(value) = HeaderValue::from_str(&exchange.path) {
        exchange.headers.append(PATH_HEADER, value);
    }
    if !encoding {
        return Err(Reply::plain(StatusCode::INTERNAL_SERVER_ERROR));
    }
    exchange.path = encode(&path);
    Ok(())
}
