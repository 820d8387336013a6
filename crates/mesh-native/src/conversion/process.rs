//! The process of a container and of a program run in it. Pure.

use super::capabilities;
use mesh_model::{
    container::{ContainerSpec, arguments},
    service::Service,
};
use mesh_redact::Secret;
use mesh_runtime::{error::RuntimeError, exec::ExecRequest};
use mesh_sandbox::specification::{ProcessSpecification, UserNamespace};
use std::collections::BTreeMap;

/// Terminal type of a process that is given a terminal and names none.
const TERM_DEFAULT: &str = "xterm";

/// The first process of a container.
///
/// # Errors
/// [`RuntimeError::Execute`] where neither file nor image names a program, and those of the
/// capabilities.
pub(super) fn first(
    spec: &ContainerSpec,
    namespace: UserNamespace,
) -> Result<ProcessSpecification, RuntimeError> {
    let service = &spec.service;
    let arguments = arguments(service, &spec.image);
    if arguments.is_empty() {
        return Err(RuntimeError::Execute {
            program: String::new(),
            reason: format!("neither the service nor the image {} names a command", spec.image.reference),
        });
    }
    Ok(ProcessSpecification {
        arguments,
        environment: Secret::new(environment(spec, service.process.tty)),
        user: user(spec, namespace),
        groups: service.process.group_add.clone(),
        working_dir: working_dir(spec),
        capabilities: capabilities::kept(&service.security)?,
        no_new_privileges: service.security.no_new_privileges && !service.security.privileged,
        seccomp: !service.security.privileged && !service.security.seccomp_unconfined,
        ulimits: ulimits(service),
        oom_score_adj: service.limits.oom_score_adj,
    })
}

/// A program run in a container: everything as the first process has it, save what is asked.
///
/// # Errors
/// Those of [`first`], and an empty command.
pub(super) fn further(
    spec: &ContainerSpec,
    namespace: UserNamespace,
    request: &ExecRequest,
) -> Result<ProcessSpecification, RuntimeError> {
    if request.command.is_empty() {
        return Err(RuntimeError::Execute {
            program: String::new(),
            reason: "the command is empty".to_owned(),
        });
    }
    let mut security = spec.service.security.clone();
    security.privileged |= request.privileged;
    let mut environment = environment(spec, request.tty);
    environment.extend(request.environment.clone());
    Ok(ProcessSpecification {
        arguments: request.command.clone(),
        environment: Secret::new(environment),
        user: request.user.clone().unwrap_or_else(|| user(spec, namespace)),
        groups: spec.service.process.group_add.clone(),
        working_dir: request.working_dir.clone().unwrap_or_else(|| working_dir(spec)),
        capabilities: capabilities::kept(&security)?,
        no_new_privileges: security.no_new_privileges && !security.privileged,
        seccomp: !security.privileged && !security.seccomp_unconfined,
        ulimits: ulimits(&spec.service),
        oom_score_adj: None,
    })
}

/// User of the first process: the service's, else the image's; where there is one id only, the one
/// that the image's entrypoint would step down to.
pub(super) fn user(spec: &ContainerSpec, namespace: UserNamespace) -> String {
    let image = &spec.image.config;
    match (&spec.service.process.user, namespace, &image.sole_user) {
        (Some(user), _, _) => user.clone(),
        (None, UserNamespace::Sole, Some(sole)) => sole.clone(),
        (None, _, _) => image.user.clone(),
    }
}

fn ulimits(service: &Service) -> BTreeMap<String, (i64, i64)> {
    service.ulimits.iter().map(|(name, limit)| (name.clone(), (limit.soft, limit.hard))).collect()
}

fn working_dir(spec: &ContainerSpec) -> String {
    spec.service.process.working_dir.clone().unwrap_or_else(|| spec.image.config.working_dir.clone())
}

/// The image's environment under the service's, without what that names and gives no value.
fn environment(spec: &ContainerSpec, tty: bool) -> BTreeMap<String, String> {
    let mut environment = spec.image.config.environment.clone();
    environment.retain(|name, _| !spec.service.environment_unset.contains(name));
    environment.extend(spec.service.environment.clone());
    if tty {
        environment.entry("TERM".to_owned()).or_insert_with(|| TERM_DEFAULT.to_owned());
    }
    environment
}
