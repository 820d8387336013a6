//! `status`: how the stack is, in a sentence, and its services.

use super::{There, left_out};
use crate::{console, context::Context, failure::CliError, verbs::summary};
use clap::Args;
use mesh_api::status::{ContainerStatus, Health, State};
use serde_json::{Value, json};

/// Arguments of `status`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// `table` or `json`
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// How a stack is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Condition {
    /// Nothing of it is there.
    Down,
    /// Everything is ready or complete.
    Up,
    /// Containers are there, and none runs.
    Stopped,
    /// Something is frozen.
    Paused,
    /// Something is not ready yet.
    Starting,
    /// Something failed.
    Failing,
}

impl Condition {
    /// Of a whole: the worst of its parts; one that rests beside others that run changes nothing.
    pub(super) fn of(containers: &[ContainerStatus]) -> Self {
        let rests = |one: &ContainerStatus| matches!(one.state, State::Created | State::Exited | State::Dead);
        let failed = |one: &ContainerStatus| Self::of_one(one) == Self::Failing;
        if !containers.is_empty() && containers.iter().all(rests) && !containers.iter().any(failed) {
            return Self::Stopped;
        }
        let parts = containers.iter().map(Self::of_one).filter(|part| *part != Self::Stopped);
        parts.max().unwrap_or(Self::Down)
    }

    /// Of one container.
    pub(super) fn of_one(container: &ContainerStatus) -> Self {
        match (container.state, container.health, container.exit_code) {
            (State::Running, Some(Health::Unhealthy), _) | (State::Dead | State::Restarting, ..) => {
                Self::Failing
            }
            (State::Running, None | Some(Health::Healthy), _) | (State::Exited, _, Some(0)) => Self::Up,
            // Whoever was told to end gave a code of its own to that.
            (State::Exited, ..) if was_stopped(container) => Self::Stopped,
            (State::Exited, ..) => Self::Failing,
            (State::Paused, ..) => Self::Paused,
            (State::Created, ..) => Self::Stopped,
            (State::Running | State::Waiting | State::Starting, ..) => Self::Starting,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Stopped => "stopped",
            Self::Paused => "paused",
            Self::Starting => "starting",
            Self::Failing => "failing",
        }
    }
}

/// Whether a signal that commands end programs with ended it: SIGINT, SIGQUIT, SIGKILL, SIGTERM.
fn was_stopped(container: &ContainerStatus) -> bool {
    !container.out_of_memory && matches!(container.exit_code, Some(130 | 131 | 137 | 143))
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    let there = There::find(&target).await?;
    let (containers, project) = match there {
        Some(there) => (there.containers, there.project),
        None => (Vec::new(), None),
    };
    let missing = project.as_deref().map(|project| project.left_out.clone()).unwrap_or_default();
    let condition = Condition::of(&containers);
    if arguments.format == "json" {
        let services: Vec<Value> = containers
            .iter()
            .map(|one| {
                json!({
                    "Service": one.service, "Name": one.name, "State": summary::word(one.state),
                    "Health": one.health.map(summary::health), "Source": one.source, "ExitCode": one.exit_code,
                })
            })
            .collect();
        let document = json!({
            "Project": target.name, "State": condition.word(), "Services": services, "LeftOut": missing,
        });
        console::out_line(&document.to_string());
        return Ok(0);
    }
    console::out_line(&sentence(&target.name, condition, &containers));
    if !containers.is_empty() {
        console::out(&summary::render(&containers));
    }
    if let Some(text) = project.as_deref().and_then(left_out) {
        console::out_line(&text);
    }
    Ok(0)
}

/// `devstack is up: 11 running, 2 completed`.
fn sentence(name: &str, condition: Condition, containers: &[ContainerStatus]) -> String {
    let count =
        |admits: &dyn Fn(&ContainerStatus) -> bool| containers.iter().filter(|one| admits(one)).count();
    let parts = [
        (count(&|one| one.state == State::Running), "running"),
        (count(&|one| one.health == Some(Health::Unhealthy)), "of them unhealthy"),
        (count(&|one| one.state == State::Paused), "paused"),
        (count(&|one| one.state == State::Restarting), "restarting"),
        (count(&|one| matches!(one.state, State::Waiting | State::Starting)), "waiting"),
        (count(&|one| one.state == State::Exited && one.exit_code == Some(0)), "completed"),
        (count(&|one| one.state == State::Exited && one.exit_code != Some(0)), "ended"),
        (count(&|one| matches!(one.state, State::Created | State::Dead)), "not started"),
    ];
    let told: Vec<String> = parts
        .into_iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, word)| format!("{number} {word}"))
        .collect();
    let told = if told.is_empty() { String::new() } else { format!(": {}", told.join(", ")) };
    format!("{name} is {}{told}", condition.word())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::summary::sample;

    fn container(state: State, health: Option<Health>, exit_code: Option<i32>) -> ContainerStatus {
        ContainerStatus { health, exit_code, ..sample("a", state) }
    }

    #[test]
    fn a_stack_is_as_the_worst_of_its_services() {
        let healthy = || container(State::Running, Some(Health::Healthy), None);
        let completed = || container(State::Exited, None, Some(0));
        let check = |containers: Vec<ContainerStatus>, want: &str| {
            assert_eq!(sentence("s", Condition::of(&containers), &containers), want);
        };
        check(vec![], "s is down");
        check(vec![healthy(), completed()], "s is up: 1 running, 1 completed");
        check(
            vec![completed(), container(State::Exited, None, Some(143))],
            "s is stopped: 1 completed, 1 ended",
        );
        check(
            vec![healthy(), container(State::Running, Some(Health::Unhealthy), None)],
            "s is failing: 2 running, 1 of them unhealthy",
        );
        check(
            vec![healthy(), container(State::Running, Some(Health::Starting), None)],
            "s is starting: 2 running",
        );
        check(vec![healthy(), container(State::Paused, None, None)], "s is paused: 1 running, 1 paused");
        check(
            vec![completed(), container(State::Exited, None, Some(1))],
            "s is failing: 1 completed, 1 ended",
        );
        for rests in [container(State::Created, None, None), container(State::Exited, None, Some(143))]
            .map(|one| vec![one])
        {
            let of = |others: Vec<ContainerStatus>| Condition::of(&[others, rests.clone()].concat());
            assert_eq!(of(vec![]), Condition::Stopped);
            assert_eq!(of(vec![completed()]), Condition::Stopped);
            assert_eq!(of(vec![healthy()]), Condition::Up);
            assert_eq!(of(vec![healthy(), completed()]), Condition::Up);
            assert_eq!(of(vec![container(State::Paused, None, None)]), Condition::Paused);
        }
        check(vec![healthy(), container(State::Created, None, None)], "s is up: 1 running, 1 not started");
        check(vec![healthy(), container(State::Waiting, None, None)], "s is starting: 1 running, 1 waiting");
    }
}
