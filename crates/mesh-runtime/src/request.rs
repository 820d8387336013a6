//! What the supervisor asks of a ground.

use mesh_model::{project::Substitute, service::PullPolicy};
use serde::{Deserialize, Serialize};

/// An image to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRequest {
    /// Reference as the file has it.
    pub reference: String,
    /// When to fetch.
    pub pull: PullPolicy,
    /// Whether a stand-in may serve.
    pub substitute: Substitute,
    /// Platform asked for.
    pub platform: Option<String>,
}
