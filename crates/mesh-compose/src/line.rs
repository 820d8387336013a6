//! What the command line has in common with the files: words of a command, files of variables.

use crate::{context::Context, dotenv, value};
use mesh_diag::Findings;
use std::collections::BTreeMap;

/// Takes a command line apart as a shell would, without expanding anything. `None`: a quote is open.
#[must_use]
pub fn words(text: &str) -> Option<Vec<String>> {
    value::words(text)
}

/// The variables of a file in the form of `.env`. `lookup` gives the value of a name that stands alone, and
/// of variables inside of values.
///
/// # Errors
/// What is wrong with it, under `name`.
pub fn variables(
    name: &str,
    text: &str,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<BTreeMap<String, String>, Findings> {
    let (mut cx, mut values) = (Context::default(), BTreeMap::new());
    let file = cx.add_variables(name);
    dotenv::parse(text, file, lookup, &mut values, &mut cx);
    if cx.has_errors() { Err(cx.into_findings()) } else { Ok(values) }
}
