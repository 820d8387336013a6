//! What this process is doing with each container.
//!
//! Invariants: one operation at a time changes a container (a claim); a container is in `Running`
//! exactly as long as one task watches its shim; a claim that is dropped leaves no trace.

use crate::record::RunRecord;
use mesh_linux::cgroup::Group;
use mesh_model::container::{ContainerId, ContainerSpec};
use mesh_runtime::{
    error::RuntimeError,
    observed::{BoundPort, LostPort},
};
use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// A container that runs.
#[derive(Debug)]
pub(crate) struct Running {
    /// What it was made from.
    pub(crate) spec: ContainerSpec,
    /// The run.
    pub(crate) record: RunRecord,
    /// Its control group.
    pub(crate) group: Group,
    /// Frozen; the record's own mark is that of the start.
    paused: AtomicBool,
    /// Its ports; those of the record are those of the start or the adoption.
    published: Mutex<Published>,
    /// One attempt at a time publishes again what was lost.
    pub(crate) publishing: tokio::sync::Mutex<()>,
}

/// The ports of a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Published {
    /// Those that are listened on.
    pub(crate) ports: Vec<BoundPort>,
    /// Those that something else has.
    pub(crate) lost: Vec<LostPort>,
}

impl Running {
    /// A container that runs, as its record says.
    pub(crate) fn new(spec: ContainerSpec, record: RunRecord, group: Group) -> Self {
        let paused = AtomicBool::new(record.paused);
        let published = Mutex::new(Published { ports: record.ports.clone(), lost: Vec::new() });
        Self { spec, record, group, paused, published, publishing: tokio::sync::Mutex::default() }
    }

    /// Its ports as they are now.
    pub(crate) fn published(&self) -> Published {
        self.published.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes its ports.
    pub(crate) fn set_published(&self, published: Published) {
        *self.published.lock().unwrap_or_else(PoisonError::into_inner) = published;
    }

    /// The record of the run as it is now.
    pub(crate) fn record_now(&self) -> RunRecord {
        let Published { ports, lost } = self.published();
        let lost = lost.into_iter().map(|lost| lost.port).collect();
        RunRecord { paused: self.is_paused(), ports, lost, ..self.record.clone() }
    }

    /// Whether it is frozen.
    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Acquire)
    }

    /// Marks it frozen or thawed.
    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Ordering::Release);
    }
}

#[derive(Debug, Clone)]
enum Phase {
    /// An operation has it.
    Claimed,
    /// It runs and is watched.
    Running(Arc<Running>),
    /// Its shim ended, and what it leaves is being put away.
    Ending,
}

/// Phases of all containers that are not at rest.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    phases: Mutex<HashMap<ContainerId, Phase>>,
}

/// What a claim gave.
#[derive(Debug)]
pub(crate) enum Claim {
    /// The container is at rest, and the caller's until the claim is dropped.
    Granted(Claimed),
    /// It runs.
    Running(Arc<Running>),
    /// Another operation has it.
    Busy,
}

/// The right to change one container.
#[derive(Debug)]
pub(crate) struct Claimed {
    phases: Arc<Phases>,
    id: ContainerId,
}

impl Phases {
    /// Claims a container.
    pub(crate) fn claim(self: &Arc<Self>, id: &ContainerId) -> Claim {
        let mut phases = self.lock();
        match phases.get(id) {
            Some(Phase::Running(running)) => Claim::Running(Arc::clone(running)),
            Some(Phase::Claimed | Phase::Ending) => Claim::Busy,
            None => {
                phases.insert(id.clone(), Phase::Claimed);
                Claim::Granted(Claimed { phases: Arc::clone(self), id: id.clone() })
            }
        }
    }

    /// The container, if it runs.
    pub(crate) fn running(&self, id: &ContainerId) -> Result<Arc<Running>, RuntimeError> {
        match self.lock().get(id) {
            Some(Phase::Running(running)) => Ok(Arc::clone(running)),
            Some(Phase::Claimed | Phase::Ending) | None => Err(RuntimeError::NotRunning),
        }
    }

    /// The running container of a service, the one with the lowest number.
    pub(crate) fn running_of_service(&self, service: &str) -> Option<Arc<Running>> {
        let phases = self.lock();
        let all = phases.values().filter_map(|phase| match phase {
            Phase::Running(running) if running.spec.service.name == service && !running.spec.one_off => {
                Some(running)
            }
            _ => None,
        });
        all.min_by_key(|running| running.spec.index).cloned()
    }

    /// Whether a container neither runs nor is at work.
    pub(crate) fn is_at_rest(&self, id: &ContainerId) -> bool {
        !self.lock().contains_key(id)
    }

    /// Whether nothing runs and nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.lock().is_empty()
    }

    /// The shim ended: what it leaves is put away from here to [`Phases::ended`].
    pub(crate) fn ending(&self, id: &ContainerId) {
        self.lock().insert(id.clone(), Phase::Ending);
    }

    /// The container is at rest.
    pub(crate) fn ended(&self, id: &ContainerId) {
        self.lock().remove(id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerId, Phase>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// The container runs, and the caller watches it.
    pub(crate) fn run(self, running: Arc<Running>) {
        self.phases.lock().insert(self.id.clone(), Phase::Running(running));
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        let mut phases = self.phases.lock();
        if matches!(phases.get(&self.id), Some(Phase::Claimed)) {
            phases.remove(&self.id);
        }
    }
}

/// The claim, or an error that says that the container is at work.
pub(crate) fn granted(claim: Claim, attempted: &str) -> Result<Claimed, RuntimeError> {
    let refused =
        |reason: &str| RuntimeError::Setup { step: attempted.to_owned(), reason: reason.to_owned() };
    match claim {
        Claim::Granted(claimed) => Ok(claimed),
        Claim::Running(_) => Err(refused("it is running; stop it first")),
        Claim::Busy => Err(refused("another operation on it is under way")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_claim_at_a_time() {
        let phases = Arc::new(Phases::default());
        let id = ContainerId("a".repeat(64));
        let claim = phases.claim(&id);
        assert!(matches!(phases.claim(&id), Claim::Busy));
        assert!(!phases.is_idle());
        drop(claim);
        assert!(phases.is_idle());
        phases.ending(&id);
        assert!(matches!(phases.claim(&id), Claim::Busy));
        assert!(matches!(phases.running(&id), Err(RuntimeError::NotRunning)));
        phases.ended(&id);
        assert!(granted(phases.claim(&id), "remove container").is_ok());
    }
}
