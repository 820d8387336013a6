//! Whether a container that is held may start, by the phases of those that it waits for.

use crate::{container::Container, init::step_name};
use mesh_lifecycle::{
    condition::{Standing, judge},
    phase::Phase,
};
use mesh_model::{container::ContainerId, service::Condition};
use std::collections::BTreeMap;

/// Judges what a container waits for among `all`.
pub(crate) fn gate(container: &Container, all: &BTreeMap<ContainerId, Container>) -> Gate {
    let mut waits = Vec::new();
    for (service, dependency) in container.gates.iter() {
        let phases = all
            .values()
            .filter(|found| !found.spec.one_off && found.service() == service)
            .map(|found| &found.phase);
        match judge(dependency.condition, phases) {
            Standing::Holds => {}
            Standing::Never(reason) if dependency.required => {
                return Gate::Shut(format!("{service} {reason}"));
            }
            Standing::Never(_) => {}
            Standing::Waits => waits.push(format!("{service} {}", expectation(dependency.condition))),
        }
    }
    // A step that is gone was removed because it ended well.
    if let Some(before) = container.after.as_ref().and_then(|id| all.get(id)) {
        let name = step_name(before).unwrap_or_else(|| before.spec.name.clone());
        match judge(Condition::ServiceCompletedSuccessfully, [&before.phase]) {
            Standing::Holds => {}
            Standing::Never(_) => return Gate::Shut(format!("{name} {}", ending(before))),
            Standing::Waits => waits.push(format!("{name} to complete")),
        }
    }
    if waits.is_empty() { Gate::Open } else { Gate::Waits(format!("waiting for {}", waits.join(", "))) }
}

/// How a step ended that should have ended well.
fn ending(step: &Container) -> String {
    match &step.phase {
        Phase::Exited { exit, .. } => format!("exited with code {}", exit.code),
        _ => "could not be run".to_owned(),
    }
}

/// Whether a held container may start.
pub(crate) enum Gate {
    Open,
    Waits(String),
    Shut(String),
}

/// What must still come true, after the name of the service.
fn expectation(condition: Condition) -> &'static str {
    match condition {
        Condition::ServiceStarted => "to start",
        Condition::ServiceHealthy => "to be healthy",
        Condition::ServiceCompletedSuccessfully => "to complete",
    }
}
