//! From a container's specification to what its shim is told. Pure: every path and every number comes
//! in, nothing is looked up.
//!
//! Absent on purpose: sources of mounts (`sources` looks at the disk) and namespaces (`start` opens
//! them).

mod capabilities;
mod mounts;
pub(crate) mod names;
mod process;
mod volume_options;

pub(crate) use mounts::{Access, Exchange, OwnFile, PlannedMount, PlannedSource, plan as plan_mounts};
pub(crate) use volume_options::{Backing, backing};

use mesh_model::{container::ContainerSpec, health::HealthTest, service::NetworkMode};
use mesh_runtime::{
    error::RuntimeError,
    exec::{CopyRequest, ExecRequest},
};
use mesh_sandbox::specification::{
    CopyOperation, ExecSpecification, MountSpecification, Output, RunSpecification, UserNamespace,
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// Size of `/dev/shm` where the file names none.
const SHM_DEFAULT_BYTES: u64 = 64 * 1024 * 1024;

/// What a start brings to a specification.
#[derive(Debug)]
pub(crate) struct Surroundings {
    /// Directory of the container.
    pub(crate) directory: PathBuf,
    /// Mounts, with their sources looked at, outermost first.
    pub(crate) mounts: Vec<MountSpecification>,
    /// Directories of its control groups.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Its network namespace; `None`: a new one, or the host's where the file says so.
    pub(crate) network_namespace: Option<PathBuf>,
    /// Which user ids there are.
    pub(crate) user_namespace: UserNamespace,
    /// Host name of the machine.
    pub(crate) machine: String,
    /// Where output goes.
    pub(crate) output: Output,
}

/// What the shim of a container is told.
///
/// # Errors
/// What the file asks for and this ground cannot do, and a container without a command.
pub(crate) fn run(spec: &ContainerSpec, around: Surroundings) -> Result<RunSpecification, RuntimeError> {
    let service = &spec.service;
    Ok(RunSpecification {
        id: spec.id.0.clone(),
        directory: around.directory,
        layers: spec.image.layers.clone(),
        process: process::first(spec, around.user_namespace)?,
        hostname: hostname(spec, &around.machine),
        domainname: service.network.domainname.clone(),
        mounts: around.mounts,
        cgroups: around.cgroups,
        network_namespace: around.network_namespace,
        host_network: matches!(service.network.mode, NetworkMode::Host),
        host_pid: service.security.host_pid,
        host_ipc: service.security.host_ipc,
        init: service.process.init,
        read_only: service.security.read_only,
        shm_bytes: service.limits.shm_bytes.unwrap_or(SHM_DEFAULT_BYTES),
        sysctls: sysctls(spec)?,
        devices: service.devices.iter().map(|device| parse_device(device)).collect::<Result<_, _>>()?,
        user_namespace: around.user_namespace,
        output: around.output,
    })
}

/// What `shim exec` is told about a program.
///
/// # Errors
/// Those of the process.
pub(crate) fn exec(
    spec: &ContainerSpec,
    place: RunningPlace,
    request: &ExecRequest,
) -> Result<ExecSpecification, RuntimeError> {
    Ok(ExecSpecification {
        pid: place.pid,
        cgroups: place.cgroups,
        process: process::further(spec, place.user_namespace, request)?,
        terminal: request.tty,
        detach: request.detach,
        user_namespace: place.user_namespace,
        timeout_ms: None,
        container_user: process::user(spec, place.user_namespace),
    })
}

/// What `shim exec` is told about a health test.
///
/// # Errors
/// Those of the process.
pub(crate) fn probe(
    spec: &ContainerSpec,
    place: RunningPlace,
    test: &HealthTest,
    timeout: Duration,
) -> Result<ExecSpecification, RuntimeError> {
    let command = match test {
        HealthTest::Command(words) => words.clone(),
        HealthTest::Shell(line) => vec!["/bin/sh".to_owned(), "-c".to_owned(), line.clone()],
        // Made over the network; nothing is run for it, and no command is told as such.
        HealthTest::Outside(_) => Vec::new(),
    };
    let request = ExecRequest {
        command,
        environment: BTreeMap::new(),
        user: None,
        working_dir: None,
        tty: false,
        privileged: false,
        detach: false,
    };
    let mut specification = exec(spec, place, &request)?;
    specification.timeout_ms = Some(u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
    Ok(specification)
}

/// What `shim copy` is told to do.
pub(crate) fn copy(
    spec: &ContainerSpec,
    user_namespace: UserNamespace,
    request: &CopyRequest,
) -> CopyOperation {
    match request.clone() {
        CopyRequest::Out { path } => CopyOperation::Out { path },
        CopyRequest::In { directory, archive } => {
            let user = process::user(spec, user_namespace);
            CopyOperation::In { directory, owner: (archive && !user.is_empty()).then_some(user) }
        }
        CopyRequest::Look { path } => CopyOperation::Look { path },
        CopyRequest::List { path } => CopyOperation::List { path },
        CopyRequest::Print { path, bytes_max } => CopyOperation::Print { path, bytes_max },
        CopyRequest::Remove { paths } => CopyOperation::Remove { paths },
    }
}

/// Where a running container is found.
#[derive(Debug, Clone)]
pub(crate) struct RunningPlace {
    /// Its first process.
    pub(crate) pid: u32,
    /// Directories of its control groups.
    pub(crate) cgroups: Vec<PathBuf>,
    /// Which user ids there are.
    pub(crate) user_namespace: UserNamespace,
}

/// Host name of a container: the file's, else the machine's on the machine's own network, else the
/// short id.
pub(crate) fn hostname(spec: &ContainerSpec, machine: &str) -> String {
    match (&spec.service.network.hostname, &spec.service.network.mode) {
        (Some(name), _) => name.clone(),
        (None, NetworkMode::Host) => machine.to_owned(),
        (None, _) => spec.id.short().to_owned(),
    }
}

/// Whether what a container sends may have other sources than its own: it may give its interfaces further addresses,
/// or passes on what others send.
pub(crate) fn sends_for_others(spec: &ContainerSpec) -> bool {
    let kept = capabilities::kept(&spec.service.security).unwrap_or_default();
    let forwards = |(name, value): (&String, &String)| name.contains("forward") && value.trim() != "0";
    kept.iter().any(|name| name == "NET_ADMIN") || spec.service.sysctls.iter().any(forwards)
}

/// Sysctls of a namespace the container has of its own; others would change the machine.
fn sysctls(spec: &ContainerSpec) -> Result<BTreeMap<String, String>, RuntimeError> {
    let service = &spec.service;
    let own_network = !matches!(service.network.mode, NetworkMode::Host);
    for name in service.sysctls.keys() {
        let allowed = match name.split('.').next().unwrap_or_default() {
            "net" => own_network,
            "kernel" => {
                !service.security.host_ipc
                    && (name.starts_with("kernel.msg")
                        || name.starts_with("kernel.shm")
                        || name == "kernel.sem")
            }
            "fs" => name.starts_with("fs.mqueue.") && !service.security.host_ipc,
            _ => false,
        };
        if !allowed {
            return Err(RuntimeError::Unsupported {
                what: format!("sysctls: {name}"),
                reason: "it belongs to the whole machine; set it there".to_owned(),
            });
        }
    }
    Ok(service.sysctls.clone())
}

/// `/dev/x`, `/dev/x:/dev/y` or `/dev/x:/dev/y:rwm`.
fn parse_device(text: &str) -> Result<(PathBuf, PathBuf), RuntimeError> {
    let mut parts = text.split(':');
    let host = parts.next().unwrap_or_default();
    let container = match parts.next() {
        Some(part) if part.starts_with('/') => part,
        _ => host,
    };
    if !host.starts_with('/') {
        return Err(RuntimeError::Unsupported {
            what: format!("devices: {text}"),
            reason: "a device is an absolute path".to_owned(),
        });
    }
    Ok((PathBuf::from(host), PathBuf::from(container)))
}

#[cfg(test)]
mod tests;
