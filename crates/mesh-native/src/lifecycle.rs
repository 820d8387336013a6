//! Making, signalling, freezing and removing a container. Blocking.

use crate::{
    adopt,
    conversion::{self, PlannedSource, Surroundings},
    ground::Ground,
    phase::{Claim, Running, granted},
    record::{self, Kept},
    settings::system,
    shim,
    sources::Sources,
    statistics,
};
use mesh_model::container::{ContainerId, ContainerSpec};
use mesh_runtime::error::RuntimeError;
use mesh_sandbox::specification::Output;
use nix::libc;
use std::{fs, io, path::Path, sync::PoisonError};

/// Directories of a container that its overlay needs.
const OVERLAY_DIRECTORIES: [&str; 3] = ["upper", "work", "rootfs"];

/// Makes a container: its directory, the sources of its mounts, and last its record.
pub(crate) fn create(ground: &Ground, spec: &ContainerSpec) -> Result<(), RuntimeError> {
    let _claimed = match ground.phases.claim(&spec.id) {
        Claim::Running(_) => return Ok(()),
        other => granted(other, "make container")?,
    };
    check(ground, spec)?;
    let directory = ground.settings.container(&spec.id);
    if matches!(record::read_spec(&directory), Kept::Whole(present) if present == *spec) {
        return Ok(());
    }
    record::make_private_directory(&directory)?;
    let made = fill(ground, spec, &directory);
    if made.is_err() {
        // What was made is of no use without the record.
        let _ = fs::remove_dir_all(&directory);
    }
    made
}

/// Finds what the file asks for and this ground cannot do, before anything is made.
fn check(ground: &Ground, spec: &ContainerSpec) -> Result<(), RuntimeError> {
    let around = Surroundings {
        directory: ground.settings.container(&spec.id),
        mounts: Vec::new(),
        cgroups: Vec::new(),
        network_namespace: None,
        user_namespace: ground.entered.user_namespace,
        machine: ground.machine.clone(),
        output: Output::Inherit,
    };
    conversion::run(spec, around).map(drop)
}

fn fill(ground: &Ground, spec: &ContainerSpec, directory: &Path) -> Result<(), RuntimeError> {
    for name in OVERLAY_DIRECTORIES {
        let path = directory.join(name);
        match fs::create_dir(&path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(system("make directory", &path, error));
            }
            _ => {}
        }
    }
    let sources = Sources { directory, volumes: &ground.volumes };
    for mount in conversion::plan_mounts(spec)? {
        // A folder inside a volume may be made by a service that this one waits for: it is looked for
        // at the start.
        if !matches!(mount.source, PlannedSource::Volume { subpath: Some(_), .. }) {
            sources.prepare(&mount)?;
        }
    }
    record::write_spec(directory, spec)
}

/// Removes a container that does not run, with `volumes` those without a name too; one that is gone is
/// no error.
pub(crate) fn remove(ground: &Ground, id: &ContainerId, volumes: bool) -> Result<(), RuntimeError> {
    let _claimed = granted(ground.phases.claim(id), "remove container")?;
    let directory = ground.settings.container(id);
    if !directory.exists() {
        return Ok(());
    }
    // A run that nobody watched yet must not lose its files under it.
    if let Some(run) = record::read_run(&directory).whole()
        && run.shim.is_alive()
    {
        return Err(RuntimeError::Setup {
            step: "remove container".to_owned(),
            reason: "it is running; stop it first".to_owned(),
        });
    }
    if volumes && let Some(spec) = record::read_spec(&directory).whole() {
        for mount in conversion::plan_mounts(&spec)? {
            if let PlannedSource::Anonymous { name } = &mount.source {
                ground.volumes.remove(name)?;
            }
        }
    }
    // The record goes first: what is left of a removal that is cut off is no container any more.
    let record = directory.join("spec.json");
    let telling = ground.telling.lock().unwrap_or_else(PoisonError::into_inner);
    match fs::remove_file(&record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(system("remove", &record, error));
        }
        _ => {}
    }
    drop(telling);
    match fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(system("remove", &directory, error)),
        _ => Ok(()),
    }
}

/// Sends a signal to the first process; 9 goes to all of them.
pub(crate) fn signal(ground: &Ground, id: &ContainerId, number: i32) -> Result<(), RuntimeError> {
    let running = running(ground, id)?;
    if number == libc::SIGKILL && running.spec.service.security.host_pid {
        // Without a pid namespace of its own, the others do not end with the first one.
        for pid in members(&running) {
            let _ = shim::signal_number(pid, number);
        }
    }
    shim::signal(&running.record.process, number)?;
    if number == libc::SIGKILL && running.is_paused() {
        // A frozen process dies when it is thawed.
        let _ = running.group.thaw();
    }
    Ok(())
}

/// Freezes all processes, by the freezer, else by stopping each.
pub(crate) fn pause(ground: &Ground, id: &ContainerId, freeze: bool) -> Result<(), RuntimeError> {
    let running = running(ground, id)?;
    if running.is_paused() == freeze {
        return Ok(());
    }
    let by_group = match freeze {
        true => running.group.freeze(),
        false => running.group.thaw(),
    };
    if by_group.is_err() {
        let number = if freeze { libc::SIGSTOP } else { libc::SIGCONT };
        for pid in members(&running) {
            shim::signal_number(pid, number)?;
        }
    }
    running.set_paused(freeze);
    record::write_run(&ground.settings.container(id), &running.record_now())
}

/// Processes of a container.
pub(crate) fn members(running: &Running) -> Vec<u32> {
    let in_group = running.group.processes();
    match in_group.is_empty() {
        true => statistics::members(running.record.process.pid, running.spec.service.security.host_pid),
        // The shim is in the group as well and is not of the container.
        false => in_group.into_iter().filter(|pid| *pid != running.record.shim.pid).collect(),
    }
}

/// A container that runs; one that is not known at all is another error than one that does not run.
pub(crate) fn running(ground: &Ground, id: &ContainerId) -> Result<std::sync::Arc<Running>, RuntimeError> {
    ground.phases.running(id).or_else(|error| adopt::known(ground, id).and(Err(error)))
}
