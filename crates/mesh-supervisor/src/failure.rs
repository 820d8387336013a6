//! The text of a failure: what failed, its last lines, and what it holds up.

use crate::{
    container::{Container, View},
    desk::Desk,
    follow::{Goal, Way, way},
    init::step_name,
    words,
};
use mesh_api::message::{ApiError, ErrorKind, Failure};
use mesh_lifecycle::{
    condition::{Standing, judge},
    health::Verdict,
    phase::{Greeting, Phase},
};
use mesh_model::{container::ContainerId, service::Condition};
use mesh_plan::graph;
use mesh_runtime::exec::Verdict as ProbeVerdict;
use std::collections::BTreeMap;
use tokio::{task::spawn_blocking, time::Instant};

/// Log lines told of a service that failed.
const LOG_LINES_MAX: usize = 20;
/// Services that are told of at most.
const FAILURES_MAX: usize = 50;

/// Containers that are to blame, by name, each with the reason.
type Culprits<'a> = BTreeMap<&'a str, (&'a Container, String)>;

impl Desk {
    /// The error for containers of which at least one failed.
    pub(crate) async fn failure(&self, view: &View, ids: &[ContainerId], goal: Goal) -> ApiError {
        let (mut culprits, now) = (Culprits::new(), Instant::now());
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            if way(&container.phase, goal, now) == Way::Failed {
                blame(view, container, &mut culprits);
            }
        }
        let on_ground = culprits.values().any(|(found, _)| matches!(found.phase, Phase::Failed { .. }));
        let kind = if on_ground { ErrorKind::Ground } else { ErrorKind::Service };
        let hint = culprits.values().find_map(|(found, _)| found.facts.start_error.clone()?.hint);
        let hint = hint.or_else(|| culprits.values().find_map(|(found, _)| slow_start_hint(found)));
        let first = culprits.values().next();
        let mut message = first.map_or_else(
            || "a service failed".to_owned(),
            |(found, reason)| format!("service {}: {reason}", found.service()),
        );
        if culprits.len() > 1 {
            message.push_str(&format!(" (and {} more)", culprits.len() - 1));
        }
        ApiError { kind, message, hint, failures: self.failures(view, culprits).await }
    }

    /// The error for containers that did not reach their goal in time.
    pub(crate) async fn timed_out(&self, view: &View, ids: &[ContainerId], goal: Goal) -> ApiError {
        let (mut culprits, now) = (Culprits::new(), Instant::now());
        for container in ids.iter().filter_map(|id| view.containers.get(id)) {
            if way(&container.phase, goal, now) != Way::Reached {
                culprits.insert(&container.spec.name, (container, reason(container)));
            }
        }
        let names: Vec<&str> = culprits.values().map(|(found, _)| found.service()).collect();
        let message = format!("not ready in time: {}", names.join(", "));
        let failures = self.failures(view, culprits).await;
        ApiError { kind: ErrorKind::Timeout, message, hint: None, failures }
    }

    async fn failures(&self, view: &View, culprits: Culprits<'_>) -> Vec<Failure> {
        let project = view.project(&self.name);
        let mut failures = Vec::new();
        for (container, reason) in culprits.into_values().take(FAILURES_MAX) {
            failures.push(Failure {
                service: container.service().to_owned(),
                container: container.spec.name.clone(),
                reason,
                probe_output: probe_output(container),
                log_tail: self.log_tail(&container.spec.name).await,
                // Nobody waits for a container of `run`; a step before the start of a service is one too.
                blocks: match container.spec.one_off && step_name(container).is_none() {
                    true => Vec::new(),
                    false => graph::dependents(&project, container.service()),
                },
            });
        }
        failures
    }

    async fn log_tail(&self, container: &str) -> Vec<String> {
        let directory = self.journal.join(container);
        let read = spawn_blocking(move || mesh_journal::tail(&directory, LOG_LINES_MAX)).await;
        match read {
            Ok(Ok(records)) => records.into_iter().map(|record| record.text).collect(),
            Ok(Err(error)) => {
                tracing::warn!(container, error = %error, "a journal could not be read");
                Vec::new()
            }
            Err(_panic) => Vec::new(),
        }
    }
}

/// Finds who is to blame for a container that failed: itself, or those it waited for.
fn blame<'a>(view: &'a View, container: &'a Container, culprits: &mut Culprits<'a>) {
    let name = container.spec.name.as_str();
    if culprits.contains_key(name) {
        return;
    }
    let Phase::Blocked { reason: blocked } = &container.phase else {
        culprits.insert(name, (container, reason(container)));
        return;
    };
    let mut blamed = false;
    if let Some(step) = container.after.as_ref().and_then(|id| view.containers.get(id))
        && matches!(judge(Condition::ServiceCompletedSuccessfully, [&step.phase]), Standing::Never(_))
    {
        blamed = true;
        blame(view, step, culprits);
    }
    for (service, dependency) in container.gates.iter().filter(|(_, dependency)| dependency.required) {
        for other in view.of_service(service) {
            let Standing::Never(why) = judge(dependency.condition, [&other.phase]) else { continue };
            blamed = true;
            if matches!(other.phase, Phase::Blocked { .. }) {
                blame(view, other, culprits);
            } else if matches!(other.phase, Phase::Up { greeting: Greeting::Done, .. })
                && other.phase.verdict().is_none()
            {
                let why = format!("{why}, and {} waits for it to be healthy", container.service());
                culprits.insert(&other.spec.name, (other, why));
            } else {
                culprits.insert(&other.spec.name, (other, reason(other)));
            }
        }
    }
    if !blamed {
        culprits.insert(name, (container, format!("cannot start: {blocked}")));
    }
}

/// What is wrong with a container, in words.
fn reason(container: &Container) -> String {
    let limit = container.spec.service.limits.memory_bytes;
    match &container.phase {
        Phase::Failed { reason } => reason.clone(),
        Phase::Blocked { reason } => format!("cannot start: {reason}"),
        Phase::Exited { exit, .. } => match step_name(container) {
            Some(step) => {
                let id = container.spec.id.short();
                format!("{step} exited with code {} (hook container {id} retained for inspection)", exit.code)
            }
            None => words::exit(exit, limit),
        },
        Phase::Backoff { restarts, .. } if container.facts.detail.is_some() => {
            let detail = container.facts.detail.clone().unwrap_or_default();
            format!("{detail}, again after {} restarts", restarts.total)
        }
        Phase::Backoff { exit, restarts, .. } => {
            format!("{}, again after {} restarts", words::exit(exit, limit), restarts.total)
        }
        Phase::Up { greeting: Greeting::Failed(reason), .. } => reason.clone(),
        Phase::Up { health: Some(health), .. } if health.verdict == Verdict::Unhealthy => {
            format!("unhealthy after {} failed probes", health.failures)
        }
        Phase::Up { .. } => "its health check has not passed yet".to_owned(),
        Phase::Held => container.facts.detail.clone().unwrap_or_else(|| "waiting".to_owned()),
        Phase::Created => "not started".to_owned(),
        Phase::Starting { .. } => "its process is being started".to_owned(),
        Phase::Stopping { .. } => "it is being stopped".to_owned(),
    }
}

/// What to do about a container that was not given time to become healthy.
fn slow_start_hint(container: &Container) -> Option<String> {
    let probe = container.policy.probe.as_ref().filter(|probe| probe.start_period.is_zero())?;
    let never =
        container.phase.verdict() == Some(Verdict::Unhealthy) && container.facts.ready_after_ms.is_none();
    let given = probe.interval.saturating_mul(probe.retries);
    never.then(|| {
        format!(
            "service {} had {} s to become healthy (interval x retries); where its start takes longer, give it \
             `start_period` in its healthcheck, in which failures do not count",
            container.service(),
            given.as_secs_f64()
        )
    })
}

fn probe_output(container: &Container) -> Option<String> {
    if !matches!(container.phase, Phase::Up { .. }) {
        return None;
    }
    let probe = container.facts.probe.as_ref()?;
    let verdict = match probe.verdict {
        ProbeVerdict::Passed => return None,
        ProbeVerdict::Failed(code) => format!("exited with {code}"),
        ProbeVerdict::TimedOut => "took too long".to_owned(),
        ProbeVerdict::NotRun => "could not be run".to_owned(),
    };
    let output = probe.output.trim();
    Some(if output.is_empty() { format!("(no output; it {verdict})") } else { output.to_owned() })
}
