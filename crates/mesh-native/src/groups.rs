//! Control groups of one project: `mesh/<project>.<home>/<short id>` in every hierarchy there is.
//!
//! The home is the identity of the directory that holds the project's state: projects of one name in two homes
//! have nothing in common, and what clears up after one ends nothing of the other.
//!
//! Where groups cannot be made, containers run without limits; that is told once, in
//! [`Groups::missing`], and never hidden.

use crate::devices;
use mesh_linux::cgroup::{CgroupError, Cgroups, Controller, Group, Limits};
use mesh_model::{
    container::{ContainerId, ContainerSpec},
    limits,
};
use mesh_runtime::error::RuntimeError;
use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt, path::Path, thread, time::Duration};

/// Tries at removing a group whose processes are still being put away by the kernel.
const REMOVE_ATTEMPTS_MAX: u32 = 100;
/// Most groups of lost containers that are looked for.
const CHILDREN_MAX: usize = 10_000;
/// Time between two of them.
const REMOVE_PAUSE: Duration = Duration::from_millis(2);

/// Control groups of one project.
#[derive(Debug)]
pub(crate) struct Groups {
    all: Cgroups,
    /// Name of the project's group: `shop.fe01-2a41c`.
    project: String,
    lacking: BTreeSet<Controller>,
}

impl Groups {
    /// Looks at what there is, by making a group, limiting it and removing it. `state` is the directory of
    /// the project's state. Blocking.
    pub(crate) fn detect(project: &str, state: &Path) -> Self {
        let home = fs::metadata(state).map_or_else(
            |_| "unknown".to_owned(),
            |directory| format!("{:x}-{:x}", directory.dev(), directory.ino()),
        );
        let all = Cgroups::detect().unwrap_or_else(|error| {
            tracing::warn!(error = crate::fault::chain(&error), "no control groups");
            Cgroups::default()
        });
        let mut groups = Self { all, project: format!("{project}.{home}"), lacking: BTreeSet::new() };
        groups.lacking = groups.try_out();
        groups
    }

    /// Controllers that cannot be had.
    fn try_out(&self) -> BTreeSet<Controller> {
        let wanted =
            Limits { memory_bytes: Some(1 << 40), cpus: Some(1.0), pids: Some(1 << 15), ..Limits::default() };
        let everything = || wanted.controllers().into_iter().collect();
        let Ok(trial) = self.named("trial") else { return everything() };
        let lacking = match trial.create().and_then(|()| trial.apply(&wanted)) {
            Ok(lacking) => lacking.into_iter().collect(),
            Err(error) => {
                tracing::debug!(error = crate::fault::chain(&error), "control groups cannot be made");
                everything()
            }
        };
        let _ = trial.remove();
        lacking
    }

    /// A sentence for everything that limits cannot do here.
    pub(crate) fn missing(&self, rootless: bool) -> Vec<String> {
        let what: Vec<&str> = self
            .lacking
            .iter()
            .filter_map(|controller| match controller {
                Controller::Memory => Some("memory"),
                Controller::Cpu => Some("processors"),
                Controller::Pids => Some("processes"),
                _ => None,
            })
            .collect();
        if what.is_empty() {
            return Vec::new();
        }
        let why = match (self.busy(), rootless) {
            (Some(group), _) => format!(
                "{} holds processes itself; start Mesh from a control group of its own below it",
                group.display()
            ),
            (None, true) => "control groups cannot be made here; start Mesh with `systemd-run --user \
                             --scope -p Delegate=yes`, or as root"
                .to_owned(),
            (None, false) => "control groups cannot be made here; mount /sys/fs/cgroup writable".to_owned(),
        };
        vec![format!("limits of {} are not held: {why}", what.join(", "))]
    }

    /// The control group that cannot be divided because it holds processes itself.
    pub(crate) fn busy(&self) -> Option<&Path> {
        self.all.busy()
    }

    /// Makes a container's group and sets its limits. Where no group can be made, the container runs
    /// in none.
    ///
    /// # Errors
    /// [`RuntimeError::Setup`] where the kernel refuses a limit.
    pub(crate) fn place(&self, spec: &ContainerSpec) -> Result<Group, RuntimeError> {
        let group = self.of(&spec.id)?;
        if let Err(error) = group.create() {
            tracing::warn!(error = crate::fault::chain(&error), "a container runs without control group");
            let _ = group.remove();
            return self.nowhere();
        }
        let limited = match devices::rules(spec) {
            Some(rules) => group.limit_devices(&rules).map(|_| ()),
            None => Ok(()),
        };
        match limited.and_then(|()| group.apply(&limits(&spec.service.limits))) {
            Ok(lacking) => {
                for controller in lacking {
                    tracing::warn!(service = spec.service.name, ?controller, "a limit is not held");
                }
                Ok(group)
            }
            Err(error) => {
                let _ = group.remove();
                Err(refused(&error))
            }
        }
    }

    /// The group of a container, made or not.
    pub(crate) fn of(&self, id: &ContainerId) -> Result<Group, RuntimeError> {
        self.named(id.short()).map_err(|error| refused(&error))
    }

    /// Removes a container's group and whatever still runs in it.
    pub(crate) fn remove(&self, group: &Group) {
        for attempt in 1..=REMOVE_ATTEMPTS_MAX {
            let _ = group.kill();
            match group.remove() {
                Ok(()) => return,
                Err(error) if attempt == REMOVE_ATTEMPTS_MAX => {
                    tracing::warn!(error = crate::fault::chain(&error), "a control group is left behind");
                }
                Err(_) => thread::sleep(REMOVE_PAUSE),
            }
        }
    }

    /// Removes the project's group, which holds no container any more, and Mesh's own where no other
    /// project is left.
    pub(crate) fn release(&self) {
        if let Ok(group) = self.all.group(&format!("mesh/{}", self.project)) {
            // Of containers that were lost in a kill; nobody else would ever remove them.
            for name in group.paths().iter().flat_map(|path| children(path)).collect::<BTreeSet<_>>() {
                if let Ok(left) = self.named(&name) {
                    self.remove(&left);
                }
            }
            self.remove(&group);
        }
        if let Ok(group) = self.all.group("mesh") {
            // Refused while another project has a group in it.
            let _ = group.remove();
        }
    }

    fn named(&self, name: &str) -> Result<Group, CgroupError> {
        self.all.group(&format!("mesh/{}/{name}", self.project))
    }

    fn nowhere(&self) -> Result<Group, RuntimeError> {
        Cgroups::default().group("mesh").map_err(|error| refused(&error))
    }
}

/// Names of the groups in a group's directory.
fn children(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter_map(|entry| entry.file_name().into_string().ok())
        .take(CHILDREN_MAX)
        .collect()
}

fn refused(error: &CgroupError) -> RuntimeError {
    RuntimeError::Setup { step: "limit the container".to_owned(), reason: crate::fault::chain(error) }
}

fn limits(limits: &limits::Limits) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes,
        memory_swap_bytes: limits.memory_swap_bytes,
        memory_reservation_bytes: limits.memory_reservation_bytes,
        cpus: limits.cpus,
        cpu_shares: limits.cpu_shares,
        cpuset: limits.cpuset.clone(),
        pids: limits.pids,
    }
}
