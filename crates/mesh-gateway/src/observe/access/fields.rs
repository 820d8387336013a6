//! What of a request is written, and what is not.

use crate::config::statics;
use std::collections::HashMap;

/// What becomes of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    Keep,
    Drop,
    /// It is told that there is one.
    Redact,
}

#[derive(Debug)]
pub(super) struct Fields {
    default: Mode,
    /// By names in small letters.
    names: HashMap<String, Mode>,
    header_default: Mode,
    headers: HashMap<String, Mode>,
    query: bool,
}

fn mode(text: &str, default: Mode) -> Mode {
    match text {
        "keep" => Mode::Keep,
        "drop" => Mode::Drop,
        "redact" => Mode::Redact,
        _ => default,
    }
}

impl Fields {
    pub(super) fn new(options: &statics::Fields) -> Self {
        let named = |names: &crate::config::model::Named<String>, default| {
            names.iter().map(|(name, text)| (name.to_lowercase(), mode(text, default))).collect()
        };
        let default = mode(&options.default_mode, Mode::Keep);
        let header_default = mode(&options.headers.default_mode, Mode::Keep);
        Self {
            names: named(&options.names, default),
            headers: named(&options.headers.names, header_default),
            query: mode(&options.query_parameters.default_mode, Mode::Keep) == Mode::Keep,
            default,
            header_default,
        }
    }

    pub(super) fn keeps(&self, name: &str) -> bool {
        let found = self.names.get(&name.to_lowercase()).copied();
        found.unwrap_or(self.default) == Mode::Keep
    }

    /// `name` in small letters.
    pub(super) fn header(&self, name: &str) -> Mode {
        self.headers.get(name).copied().unwrap_or(self.header_default)
    }

    pub(super) fn has_headers(&self) -> bool {
        self.header_default != Mode::Drop || self.headers.values().any(|mode| *mode != Mode::Drop)
    }

    pub(super) fn keeps_query(&self) -> bool {
        self.query
    }
}
