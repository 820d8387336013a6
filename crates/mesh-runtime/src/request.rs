//! What the supervisor asks of a ground.

use mesh_model::{image::Image, project::Substitute, registry::RegistryVariables, service::PullPolicy};
use serde::{Deserialize, Serialize};
use std::{any::Any, fmt};

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
    /// How registries are asked; `None`: as this process would by its own environment.
    #[serde(default)]
    pub registry: Option<RegistryVariables>,
}

/// An image that was resolved. The ground keeps it from being removed for as long as this is there; from when a
/// container made of it was [created](crate::Runtime::create) that container does.
pub struct HeldImage {
    /// The image.
    pub image: Image,
    hold: Box<dyn Any + Send + Sync>,
}

impl HeldImage {
    /// An image that stays as long as `hold`.
    #[must_use]
    pub fn new(image: Image, hold: impl Any + Send + Sync) -> Self {
        Self { image, hold: Box::new(hold) }
    }
}

impl fmt::Debug for HeldImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = !self.hold.is::<()>();
        f.debug_struct("HeldImage").field("image", &self.image).field("held", &held).finish()
    }
}
