//! Work on a container's files, whether it runs or not. Blocking.

use crate::{
    conversion::{self, PlannedSource},
    ground::Ground,
    lifecycle,
    record::{self, Kept},
    sources::Sources,
};
use mesh_model::container::{ContainerId, ContainerSpec};
use mesh_runtime::{error::RuntimeError, exec::CopyRequest};
use mesh_sandbox::specification::{CopySpecification, MountKind, RestingPlace};

/// What `shim copy` is told. One that is frozen can be copied from: nothing runs in it for that.
///
/// # Errors
/// [`RuntimeError::Missing`] where there is no such container, and those of its mounts.
pub(crate) fn orders(
    ground: &Ground,
    id: &ContainerId,
    request: &CopyRequest,
) -> Result<CopySpecification, RuntimeError> {
    let user_namespace = ground.entered.user_namespace;
    let of = |spec: &ContainerSpec, pid, at_rest| {
        let operation = conversion::copy(spec, user_namespace, request);
        CopySpecification { pid, at_rest, operation, user_namespace }
    };
    match lifecycle::running(ground, id) {
        Ok(running) => Ok(of(&running.spec, running.record.process.pid, None)),
        Err(RuntimeError::NotRunning) => {
            let spec = match record::read_spec(&ground.settings.container(id)) {
                Kept::Whole(spec) => spec,
                Kept::Absent | Kept::Torn(_) => return Err(RuntimeError::NotRunning),
            };
            let place = at_rest(ground, &spec)?;
            Ok(of(&spec, 0, Some(place)))
        }
        Err(error) => Err(error),
    }
}

/// Where a container is that does not run. What is only there while it runs (memory, secrets, names) is left
/// out.
fn at_rest(ground: &Ground, spec: &ContainerSpec) -> Result<RestingPlace, RuntimeError> {
    let directory = ground.settings.container(&spec.id);
    let sources = Sources { directory: &directory, volumes: &ground.volumes };
    let mut mounts = Vec::new();
    for planned in conversion::plan_mounts(spec)? {
        if matches!(planned.source, PlannedSource::Own(_) | PlannedSource::Content { .. }) {
            continue;
        }
        let mount = sources.prepare(&planned)?;
        if matches!(mount.kind, MountKind::Bind { .. }) {
            mounts.push(mount);
        }
    }
    Ok(RestingPlace {
        directory,
        layers: spec.image.layers.clone(),
        mounts,
        read_only: spec.service.security.read_only,
        holder: ground.entered.holder.pid,
    })
}
