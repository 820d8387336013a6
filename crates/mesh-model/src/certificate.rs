//! Certificates that the containers of a service hold, and how they are made anew before they expire.

use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A certificate in a file of the service's containers (`x-mesh.certificate`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// Its file in the container, from the root; PEM, the first certificate counts.
    pub file: String,
    /// The command, run in the container, that writes a new one; `None`: it is only watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub renew: Option<Vec<String>>,
    /// How the service is told; `None`: it notices by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reload: Option<Reload>,
    /// Time before its end from which on it is renewed; `None`: a third of its life.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Duration>,
    /// Who runs the commands; `None`: the service's user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// How a service is told that its certificate is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reload {
    /// A signal to the container's first process, by number.
    Signal(i32),
    /// A command in the container, in words.
    Command(Vec<String>),
}
