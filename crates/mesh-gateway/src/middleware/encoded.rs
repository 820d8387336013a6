//! Which encoded characters a path may have.

use super::exchange::{Exchange, Reply};
use crate::config::model;
use hyper::StatusCode;

#[derive(Debug)]
pub(crate) struct EncodedCharacters {
    denied: Vec<&'static str>,
}

impl EncodedCharacters {
    pub(crate) fn new(config: &model::EncodedCharacters) -> Self {
        let all = [
            (config.allow_encoded_slash, "%2F"),
            (config.allow_encoded_back_slash, "%5C"),
            (config.allow_encoded_null_character, "%00"),
            (config.allow_encoded_semicolon, "%3B"),
            (config.allow_encoded_percent, "%25"),
            (config.allow_encoded_question_mark, "%3F"),
            (config.allow_encoded_hash, "%23"),
        ];
        Self { denied: all.into_iter().filter(|(allowed, _)| !allowed).map(|(_, text)| text).collect() }
    }

    pub(super) fn before(&self, exchange: &Exchange) -> Result<(), Reply> {
        if self.admits(&exchange.path) { Ok(()) } else { Err(Reply::empty(StatusCode::BAD_REQUEST)) }
    }

    pub(crate) fn admits(&self, path: &str) -> bool {
        path.match_indices('%').all(|(at, _)| {
            let code = path.get(at..at + 3);
            code.is_some_and(|code| !self.denied.iter().any(|denied| code.eq_ignore_ascii_case(denied)))
        })
    }
}
