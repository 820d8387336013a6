//! The resolved tree as text: which keys each object shows, in which order, and how YAML and JSON write
//! them. It is the form of `docker compose config`, byte for byte.

mod json;
mod layout;
mod record;
mod style;
mod view;
mod yaml;

pub(crate) use json::{to_compact_json, to_json};
pub(crate) use layout::{PROJECT, SERVICE};
pub(crate) use record::record;
pub(crate) use view::{Format, View};
pub(crate) use yaml::{to_yaml, to_yaml_indented};
