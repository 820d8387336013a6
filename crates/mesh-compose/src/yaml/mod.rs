//! YAML to trees and trees to YAML or JSON.

mod emit;
mod json;
mod parse;
mod scalar;

pub(crate) use emit::to_yaml;
pub(crate) use json::to_json;
pub(crate) use parse::parse;
pub(crate) use scalar::float_text;
