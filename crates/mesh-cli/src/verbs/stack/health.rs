//! `health`: what health checks say, and an exit code by it.

use super::{There, status::Condition};
use crate::{console, context::Context, failure::CliError, table, verbs::summary, words};
use clap::Args;
use mesh_api::status::{ContainerStatus, State};
use serde_json::{Value, json};

/// Letters of a check's output in the table; JSON has all of it.
const OUTPUT_LETTERS_MAX: usize = 60;

/// Arguments of `health`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// `table` or `json`
    #[arg(long, default_value = "table", value_parser = ["table", "json"])]
    format: String,
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.shown_target()?;
    target.check_services(&arguments.services)?;
    let mut containers = There::find(&target).await?.map(|there| there.containers).unwrap_or_default();
    containers.retain(|one| arguments.services.is_empty() || arguments.services.contains(&one.service));
    if containers.is_empty() {
        return Err(
            CliError::said(format!("nothing of {} runs", target.name)).with_hint("`mesh up` starts it")
        );
    }
    let now = words::now_unix_ms();
    if arguments.format == "json" {
        let rows: Vec<Value> = containers.iter().map(document).collect();
        console::out_line(&Value::Array(rows).to_string());
    } else {
        let rows: Vec<Vec<String>> = containers.iter().map(|one| row(one, now)).collect();
        console::out(&table::render(&["SERVICE", "HEALTH", "SINCE", "LAST CHECK", "IT SAID"], &rows));
    }
    Ok(u8::from(!all_well(&containers)))
}

/// Whether nothing is unhealthy or failed.
fn all_well(containers: &[ContainerStatus]) -> bool {
    containers.iter().all(|one| Condition::of_one(one) != Condition::Failing)
}

fn row(container: &ContainerStatus, now: u64) -> Vec<String> {
    let ago = |moment: u64| format!("{} ago", words::rough(now.saturating_sub(moment)));
    let check = container.check.as_ref();
    let since = check.and_then(|check| check.since_unix_ms).or(container.started_unix_ms);
    let runs = matches!(container.state, State::Running | State::Paused);
    let said = check.map(|check| check.output.trim()).filter(|output| !output.is_empty());
    vec![
        name(container),
        health(container),
        since.filter(|_| runs).map_or_else(|| "-".to_owned(), ago),
        check.map_or_else(|| "-".to_owned(), |check| ago(check.at_unix_ms)),
        said.or(container.detail.as_deref()).map_or_else(|| "-".to_owned(), first_line),
    ]
}

fn name(container: &ContainerStatus) -> String {
    match container.index {
        0 | 1 => container.service.clone(),
        index => format!("{}-{index}", container.service),
    }
}

/// The health, or, of what has none, how it is.
fn health(container: &ContainerStatus) -> String {
    match (container.state, container.health) {
        (State::Running, Some(health)) => summary::health(health).to_owned(),
        (State::Running, None) => "running (no check)".to_owned(),
        (State::Exited, _) if container.exit_code == Some(0) => "completed".to_owned(),
        (State::Exited, _) => format!("exited ({})", container.exit_code.unwrap_or(0)),
        (state, _) => summary::word(state).to_owned(),
    }
}

fn first_line(text: &str) -> String {
    crate::layout::shortened(text.trim().lines().next().unwrap_or_default(), OUTPUT_LETTERS_MAX)
}

fn document(container: &ContainerStatus) -> Value {
    let check = container.check.as_ref();
    json!({
        "Service": container.service,
        "Name": container.name,
        "State": summary::word(container.state),
        "Health": container.health.map(summary::health),
        "Since": check.and_then(|check| check.since_unix_ms).map(words::timestamp),
        "LastCheck": check.map(|check| words::timestamp(check.at_unix_ms)),
        "Passed": check.map(|check| check.passed),
        "Output": check.map(|check| check.output.clone()),
        "Detail": container.detail,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::summary::sample;
    use mesh_api::status::{CheckStatus, Health};

    #[test]
    fn a_row_tells_what_the_check_said_and_since_when() {
        let check = |passed: bool| CheckStatus {
            at_unix_ms: 95_000,
            since_unix_ms: Some(40_000),
            passed,
            output: "connection refused\nand more".to_owned(),
        };
        let mut one = sample("db", State::Running);
        (one.health, one.check) = (Some(Health::Unhealthy), Some(check(false)));
        assert_eq!(
            row(&one, 100_000),
            ["db", "unhealthy", "About a minute ago", "5 seconds ago", "connection refused"]
        );
        assert_eq!(document(&one)["Passed"], json!(false));
        assert!(!all_well(std::slice::from_ref(&one)));
        one.health = Some(Health::Healthy);
        assert!(all_well(std::slice::from_ref(&one)));
        one.check = None;
        one.health = None;
        assert_eq!(row(&one, 100_000)[1..4], ["running (no check)", "About a minute ago", "-"]);
        (one.state, one.exit_code) = (State::Exited, Some(3));
        assert_eq!(row(&one, 100_000)[1], "exited (3)");
        assert!(!all_well(&[one]));
    }
}
