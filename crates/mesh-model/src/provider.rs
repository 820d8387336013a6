//! A service that a program outside of the project brings up: `provider`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// `provider` of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// `type`: the program.
    pub kind: String,
    /// `options`, each with one value or several.
    pub options: BTreeMap<String, Vec<String>>,
}
