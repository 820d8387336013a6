//! YAML to trees.

mod parse;
mod scalar;

pub(crate) use parse::parse;
pub(crate) use scalar::float_text;
