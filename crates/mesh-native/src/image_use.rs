//! Which images the containers of all projects were made of. Blocking.

use crate::{
    EnterError,
    record::{self, Kept},
};
pub use mesh_model::container::ContainerSpec;
use std::{fs, path::Path};

/// What every container of this user was made from; `state` holds the projects. A record that is torn is
/// passed over: a container without one cannot start again.
#[must_use]
pub fn containers(state: &Path) -> Vec<ContainerSpec> {
    let mut found = Vec::new();
    let below = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten();
    for project in below(&state.join("projects")) {
        for container in below(&project.path().join("containers")) {
            match record::read_spec(&container.path()) {
                Kept::Whole(spec) => found.push(spec),
                Kept::Absent => {}
                Kept::Torn(reason) => {
                    tracing::warn!(container = %container.path().display(), reason, "a record cannot be read");
                }
            }
        }
    }
    found
}

/// Enters a user namespace as a project's supervisor would, for work on the layers of an ordinary user:
/// some of their files have other ids. The process must still have one thread.
///
/// # Errors
/// When user namespaces are not allowed here, with how to allow them.
pub fn enter_user_namespace(binary: &Path) -> Result<(), EnterError> {
    crate::enter::enter_alone(binary)
}
