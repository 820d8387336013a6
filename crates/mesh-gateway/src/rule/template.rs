//! Templates of the second version's rules: text with `{name:expression}` in it.

use super::{MatcherError, expression};
use regex::Regex;

/// What a template matches.
#[derive(Debug, Clone)]
pub(super) struct Template {
    pub(super) expression: Regex,
}

/// What a place without an expression of its own stands for, and how the whole is closed.
#[derive(Clone, Copy)]
struct Shape {
    flags: &'static str,
    place: &'static str,
    closed: bool,
}

impl Template {
    /// A whole host; the case of letters does not matter.
    pub(super) fn host(text: &str) -> Result<Self, MatcherError> {
        build(text, "", Shape { flags: "(?i)", place: "[^.]+", closed: true })
    }

    /// A whole path.
    pub(super) fn path(text: &str) -> Result<Self, MatcherError> {
        build(text, "", Shape { flags: "", place: "[^/]+", closed: true })
    }

    /// The beginning of a path.
    pub(super) fn prefix(text: &str) -> Result<Self, MatcherError> {
        build(text, "", Shape { flags: "", place: "[^/]+", closed: false })
    }

    /// A pair of a query, as `key=value`; an empty value stands for any.
    pub(super) fn query(text: &str) -> Result<Self, MatcherError> {
        let any = if text.ends_with('=') { ".*" } else { "" };
        build(text, any, Shape { flags: "", place: ".*", closed: true })
    }
}

fn build(text: &str, tail: &str, shape: Shape) -> Result<Template, MatcherError> {
    let mut pattern = format!("{}^", shape.flags);
    let mut rest = text;
    while let Some(open) = rest.find(['{', '}']) {
        let length =
            place_length(&rest[open..]).ok_or_else(|| MatcherError::Braces { template: text.to_owned() })?;
        pattern.push_str(&regex::escape(&rest[..open]));
        let inside = &rest[open + 1..open + length - 1];
        let (name, place) = inside.split_once(':').unwrap_or((inside, shape.place));
        if name.is_empty() || place.is_empty() {
            return Err(MatcherError::Place { place: rest[open..open + length].to_owned() });
        }
        pattern.push('(');
        pattern.push_str(place);
        pattern.push(')');
        rest = &rest[open + length..];
    }
    pattern.push_str(&regex::escape(rest));
    pattern.push_str(tail);
    if shape.closed {
        pattern.push('$');
    }
    let expression = expression::compile(&pattern)
        .map_err(|source| MatcherError::Expression { matcher: "template", source })?;
    Ok(Template { expression })
}

/// The bytes up to the brace that closes the one at the beginning; none without one.
fn place_length(text: &str) -> Option<usize> {
    let mut level = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => level += 1,
            b'}' => {
                level = level.checked_sub(1)?;
                if level == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}
