//! The hash by which a service is told from what it was: that of Docker Compose, over the service in JSON.

use super::Document;
use crate::print::{self, Format, SERVICE, View};
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;

/// Keys that do not count: they change nothing of a container that is there.
const NOT_COUNTED: [&str; 5] = ["profiles", "build", "depends_on", "pull_policy", "scale"];

impl Document {
    /// The hash of an active service, in hexadecimal digits.
    ///
    /// It is that of Docker Compose where the document was loaded without the contents of its `env_file`s.
    #[must_use]
    pub fn hash(&self, service: &str) -> Option<String> {
        let node = self.tree.at_path(&["services", service])?;
        let View::Map(mut pairs) = print::record(node, &SERVICE, Format::Json) else { return None };
        pairs.retain(|(key, _)| !NOT_COUNTED.contains(&key.as_ref()));
        for (key, value) in &mut pairs {
            if let ("deploy", View::Map(deploy)) = (key.as_ref(), value) {
                deploy.retain(|(key, _)| key != "replicas");
            }
        }
        let text = print::to_compact_json(&View::Map(pairs));
        let mut digits = String::new();
        for byte in Sha256::digest(text.as_bytes()) {
            let _ = write!(digits, "{byte:02x}");
        }
        Some(digits)
    }
}
