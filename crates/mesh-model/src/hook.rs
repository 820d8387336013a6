//! What runs at turns of a container's life: before its start, after it, and before its end.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The hooks of a service, each list in the order it is run.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hooks {
    /// `pre_start`: containers of their own that run to their end before the service's are started.
    pub pre_start: Vec<InitContainer>,
    /// `post_start`: run inside the container once it runs.
    pub post_start: Vec<Hook>,
    /// `pre_stop`: run inside the container before a command stops it.
    pub pre_stop: Vec<Hook>,
}

impl Hooks {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pre_start.is_empty() && self.post_start.is_empty() && self.pre_stop.is_empty()
    }
}

/// A command that is run inside a container of the service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hook {
    /// The command, in words; never empty.
    pub command: Vec<String>,
    /// Who runs it; `None`: the service's user.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// Where it starts; `None`: the service's directory.
    pub working_dir: Option<String>,
    /// Laid over the service's environment.
    pub environment: BTreeMap<String, String>,
    /// Where it is written, as `compose.yaml:12`, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<String>,
}

/// A step of `pre_start`: a container that must end with 0 before the service starts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct InitContainer {
    /// Its image; `None`: the service's.
    pub image: Option<String>,
    /// The command, in words; `None`: what the image runs.
    pub command: Option<Vec<String>>,
    /// Who runs it; `None`: the image's user, or the service's where the image is the service's.
    pub user: Option<String>,
    /// With all capabilities.
    pub privileged: bool,
    /// Where it starts; `None`: the service's directory.
    pub working_dir: Option<String>,
    /// Laid over the service's environment.
    pub environment: BTreeMap<String, String>,
    /// Once for each container of the service instead of once before the first of them.
    pub per_replica: bool,
}
