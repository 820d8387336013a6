//! The file of secrets, as it is written.

use super::{At, Kept, Recipe};
use mesh_redact::Secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Version of a file in which every value is.
const VERSION_WHOLE: u32 = 1;
/// Version of a file that says of values that a vault has them.
const VERSION: u32 = 2;

#[derive(Serialize, Deserialize)]
struct Content {
    version: u32,
    secrets: BTreeMap<String, Line>,
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Exposed>,
    /// Where the vault has the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vault: Option<String>,
    #[serde(default)]
    recipe: Option<Recipe>,
    made_unix_seconds: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Exposed(#[serde(with = "mesh_redact::exposed")] Secret<String>);

/// What is wrong is said without a word of the content: the text of a JSON error may repeat a value, its place does not.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Kept>, String> {
    let place = |error: serde_json::Error| format!("line {}, column {}", error.line(), error.column());
    let content: Content = serde_json::from_slice(bytes).map_err(place)?;
    if !(VERSION_WHOLE..=VERSION).contains(&content.version) {
        return Err(format!("its version is {}, this is for {VERSION}", content.version));
    }
    let lines = content.secrets.into_iter();
    lines
        .map(|(name, Line { value, vault, recipe, made_unix_seconds })| {
            let at = match (value, vault) {
                (Some(Exposed(value)), None) => At::File(value),
                (None, Some(path)) => At::Vault(path),
                _ => return Err(format!("{name} has not one place, but none or two")),
            };
            Ok((name, Kept { at, recipe, made_unix_seconds }))
        })
        .collect()
}

/// A file in which every value is has the version that it had before there were others.
pub(super) fn write(secrets: &BTreeMap<String, Kept>) -> Result<Vec<u8>, serde_json::Error> {
    let whole = secrets.values().all(|kept| kept.value().is_some());
    let line = |kept: &Kept| {
        let (value, vault) = match &kept.at {
            At::File(value) => (Some(Exposed(value.clone())), None),
            At::Vault(path) => (None, Some(path.clone())),
        };
        Line { value, vault, recipe: kept.recipe.clone(), made_unix_seconds: kept.made_unix_seconds }
    };
    let secrets = secrets.iter().map(|(name, kept)| (name.clone(), line(kept))).collect();
    serde_json::to_vec(&Content { version: if whole { VERSION_WHOLE } else { VERSION }, secrets })
}
