//! What a listing answers.

use crate::logical::{Fields, Refusal, Response};

/// The names, those after `after` and at most `limit` of them where the request says so; 404 where none is left.
pub(crate) fn answer(mut names: Vec<String>, fields: Fields<'_>) -> Result<Response, Refusal> {
    if let Some(after) = fields.string("after")?.filter(|after| !after.is_empty()) {
        names.retain(|name| *name > after);
    }
    let limit = fields.integer("limit")?.unwrap_or(0);
    if let Some(limit) = usize::try_from(limit).ok().filter(|limit| *limit > 0) {
        names.truncate(limit);
    }
    if names.is_empty() { Err(Refusal::NotFound) } else { Ok(Response::keys(names)) }
}

/// A folder's name as the store wants it: empty, or with a slash at its end.
pub(crate) fn folder(path: &str) -> String {
    if path.is_empty() || path.ends_with('/') { path.to_owned() } else { format!("{path}/") }
}
