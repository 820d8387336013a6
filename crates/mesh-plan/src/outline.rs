//! A plan as a list of deeds, in the order of doing, for telling it without carrying it out.

use crate::plan::{Plan, Present, PresentState, Step};
use mesh_model::project::Project;

/// What something is done to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Object {
    /// A network.
    Network,
    /// A volume.
    Volume,
    /// A container.
    Container,
}

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It is made.
    Create,
    /// It is made in place of another one.
    Recreate,
    /// It is started.
    Start,
    /// It is left running.
    Leave,
    /// It is left as it ended.
    LeaveCompleted,
    /// It is stopped.
    Stop,
    /// It is removed.
    Remove,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What kind of thing it is done to.
    pub object: Object,
    /// Its name.
    pub name: String,
    /// Its service, for containers.
    pub service: Option<String>,
    /// What is done.
    pub deed: Deed,
}

/// The deeds of a plan; without `start` nothing is started.
#[must_use]
pub fn outline(plan: &Plan, project: &Project, start: bool) -> Vec<Line> {
    let mut lines = Vec::new();
    let named = |object, name: &str, deed| Line { object, name: name.to_owned(), service: None, deed };
    for (keys, deed) in [(&plan.networks, Deed::Create), (&plan.outdated, Deed::Recreate)] {
        let networks = keys.iter().filter_map(|key| project.networks.get(key));
        lines.extend(networks.map(|network| named(Object::Network, &network.name, deed)));
    }
    let volumes = plan.volumes.iter().filter_map(|key| project.volumes.get(key));
    lines.extend(volumes.map(|volume| named(Object::Volume, &volume.name, Deed::Create)));
    for present in &plan.removals {
        lines.extend(stopped(present));
        lines.push(of(present, Deed::Remove));
    }
    for step in &plan.containers {
        match step {
            Step::Create(spec) => lines.push(container(&spec.name, &spec.service.name, Deed::Create)),
            Step::Recreate { new, .. } => {
                lines.push(container(&new.name, &new.service.name, Deed::Recreate));
            }
            Step::Start(_) | Step::Leave(_) => {}
        }
    }
    lines.extend(plan.displaced.iter().filter_map(stopped));
    for step in &plan.containers {
        match step {
            Step::Leave(old) if old.state == PresentState::Completed => {
                lines.push(of(old, Deed::LeaveCompleted));
            }
            Step::Leave(old) => lines.push(of(old, Deed::Leave)),
            Step::Create(spec) | Step::Recreate { new: spec, .. } if start => {
                lines.push(container(&spec.name, &spec.service.name, Deed::Start));
            }
            Step::Start(old) if start => lines.push(of(old, Deed::Start)),
            Step::Create(_) | Step::Recreate { .. } | Step::Start(_) => {}
        }
    }
    let back = plan.displaced.iter().filter(|old| start && old.state == PresentState::Running);
    lines.extend(back.map(|old| of(old, Deed::Start)));
    lines
}

fn stopped(present: &Present) -> Option<Line> {
    (present.state == PresentState::Running).then(|| of(present, Deed::Stop))
}

fn of(present: &Present, deed: Deed) -> Line {
    container(&present.name, &present.service, deed)
}

fn container(name: &str, service: &str, deed: Deed) -> Line {
    Line { object: Object::Container, name: name.to_owned(), service: Some(service.to_owned()), deed }
}
