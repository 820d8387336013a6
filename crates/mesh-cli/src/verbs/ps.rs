//! `ps`.

use super::summary;
use crate::{
    arguments::Format,
    console,
    context::Context,
    failure::CliError,
    table,
    words::{self, now_unix_ms},
};
use clap::{Args, ValueEnum};
use mesh_api::status::{ContainerStatus, State};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Arguments of `ps`.
#[derive(Debug, Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct Arguments {
    /// Services; none: all
    #[arg(value_name = "SERVICE")]
    services: Vec<String>,
    /// Also containers that do not run, and those made by `run`
    #[arg(short, long)]
    all: bool,
    /// Only ids
    #[arg(short, long)]
    quiet: bool,
    /// Only names of services
    #[arg(long = "services")]
    names: bool,
    /// Only containers in this state; may be given several times
    #[arg(long, value_enum, value_name = "STATE")]
    status: Vec<Status>,
    /// Only what this admits: status=STATE
    #[arg(long, value_name = "FILTER", value_parser = parse_filter)]
    filter: Vec<Status>,
    /// Format
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Cut nothing
    #[arg(long)]
    no_trunc: bool,
    /// Also containers of services that the file no longer has
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    orphans: bool,
}

/// A state to choose by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "clap shows each as it is")]
pub(crate) enum Status {
    Created,
    Waiting,
    Running,
    Paused,
    Restarting,
    Removing,
    Exited,
    Dead,
}

impl Status {
    fn admits(self, state: State) -> bool {
        match self {
            Self::Created => state == State::Created,
            Self::Waiting => state == State::Waiting,
            Self::Running => state == State::Running,
            Self::Paused => state == State::Paused,
            Self::Restarting => state == State::Restarting,
            Self::Removing => false,
            Self::Exited => state == State::Exited,
            Self::Dead => state == State::Dead,
        }
    }
}

fn parse_filter(text: &str) -> Result<Status, String> {
    let state = text.strip_prefix("status=").ok_or("the only filter is status=STATE")?;
    Status::from_str(state, true)
}

/// Does it.
pub(crate) async fn run(context: &Context, arguments: Arguments) -> Result<u8, CliError> {
    let target = context.target()?;
    target.check_services(&arguments.services)?;
    let mut containers = target.containers().await?;
    containers.retain(|container| admits(&arguments, container));
    if arguments.quiet {
        containers.iter().for_each(|container| console::out_line(&container.id));
    } else if arguments.names {
        let names: BTreeSet<&String> = containers.iter().map(|container| &container.service).collect();
        names.into_iter().for_each(|name| console::out_line(name));
    } else {
        let now = now_unix_ms();
        match arguments.format {
            Format::Table => console::out(&render(&containers, now, arguments.no_trunc)),
            Format::Json => containers
                .iter()
                .for_each(|container| console::out_line(&document(container, now).to_string())),
        }
    }
    Ok(0)
}

fn admits(arguments: &Arguments, container: &ContainerStatus) -> bool {
    let named = arguments.services.is_empty() || arguments.services.contains(&container.service);
    let asked = || arguments.status.iter().chain(&arguments.filter);
    let stated = if asked().next().is_some() {
        asked().any(|status| status.admits(container.state))
    } else {
        arguments.all || !matches!(container.state, State::Created | State::Exited | State::Dead)
    };
    let kind = (arguments.all || !container.one_off) && (arguments.orphans || !container.orphan);
    named && stated && kind
}

fn render(containers: &[ContainerStatus], now: u64, whole: bool) -> String {
    let row = |container: &ContainerStatus| {
        vec![
            container.name.clone(),
            container.image.clone(),
            words::command(&container.command, whole),
            container.service.clone(),
            created(container, now),
            status(container, now),
            ports(container),
            container.source.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = containers.iter().map(row).collect();
    table::render(&["NAME", "IMAGE", "COMMAND", "SERVICE", "CREATED", "STATUS", "PORTS", "SOURCE"], &rows)
}

fn created(container: &ContainerStatus, now: u64) -> String {
    format!("{} ago", words::rough(now.saturating_sub(container.created_unix_ms)))
}

/// Docker's words for how a container is.
fn status(container: &ContainerStatus, now: u64) -> String {
    let since = |moment: Option<u64>| words::rough(now.saturating_sub(moment.unwrap_or(now)));
    let up = || format!("Up {}", since(container.started_unix_ms));
    let detail = |word: &str| match &container.detail {
        Some(detail) => format!("{word} ({detail})"),
        None => word.to_owned(),
    };
    match container.state {
        State::Created => detail("Created"),
        State::Waiting => container.detail.as_deref().map_or_else(|| "Waiting".to_owned(), words::waiting),
        State::Running => match container.health {
            Some(mesh_api::status::Health::Starting) => format!("{} (health: starting)", up()),
            Some(health) => format!("{} ({})", up(), summary::health(health)),
            None => up(),
        },
        State::Paused => format!("{} (Paused)", up()),
        State::Restarting => {
            format!(
                "Restarting ({}) {} ago",
                container.exit_code.unwrap_or(0),
                since(container.finished_unix_ms)
            )
        }
        State::Exited => {
            let ended = format!(
                "Exited ({}) {} ago",
                container.exit_code.unwrap_or(0),
                since(container.finished_unix_ms)
            );
            if container.out_of_memory { format!("{ended} (out of memory)") } else { ended }
        }
        State::Dead => detail("Dead"),
    }
}

fn ports(container: &ContainerStatus) -> String {
    let published = container.ports.iter().map(words::port);
    let is_published = |exposed: &&String| {
        !container.ports.iter().any(|port| **exposed == format!("{}/{}", port.target, port.protocol))
    };
    published.chain(container.exposed.iter().filter(is_published).cloned()).collect::<Vec<_>>().join(", ")
}

/// Docker's keys.
fn document(container: &ContainerStatus, now: u64) -> Value {
    let publishers: Vec<Value> = container
        .ports
        .iter()
        .map(|port| {
            json!({
                "URL": port.host.ip().to_string(),
                "TargetPort": port.target,
                "PublishedPort": port.host.port(),
                "Protocol": port.protocol.to_string(),
            })
        })
        .collect();
    let labels: Vec<String> =
        container.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    json!({
        "ID": container.id,
        "Name": container.name,
        "Names": container.name,
        "Image": container.image,
        "Command": words::command(&container.command, true),
        "Project": container.project,
        "Service": container.service,
        "State": summary::word(container.state),
        "Status": status(container, now),
        "Health": container.health.map_or("", summary::health),
        "ExitCode": container.exit_code.unwrap_or(0),
        "Publishers": publishers,
        "Ports": ports(container),
        "CreatedAt": words::timestamp(container.created_unix_ms),
        "RunningFor": created(container, now),
        "Labels": labels.join(","),
        "Source": container.source,
    })
}

#[cfg(test)]
mod tests {
    use super::{super::summary::sample, *};
    use mesh_api::status::Health;

    #[test]
    fn the_table_reads_as_docker_s() {
        let mut db = sample("db", State::Running);
        db.exposed = vec!["5432/tcp".to_owned(), "9/udp".to_owned()];
        let want = "NAME       IMAGE           COMMAND      SERVICE   CREATED          STATUS                    PORTS                             SOURCE\n\
                    hub-db-1   postgres:16.4   \"postgres\"   db        10 seconds ago   Up 9 seconds (healthy)    0.0.0.0:5432->5432/tcp, 9/udp     debian 15.18 for 16.4\n";
        let squeeze = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(squeeze(&render(&[db], 10_000, false)), squeeze(want));
    }

    #[test]
    fn states_are_told_in_docker_s_words() {
        let check = |change: &dyn Fn(&mut ContainerStatus), want: &str| {
            let mut container = sample("db", State::Running);
            change(&mut container);
            assert_eq!(status(&container, 61_000), want);
        };
        check(&|_| {}, "Up About a minute (healthy)");
        check(&|c| c.health = Some(Health::Starting), "Up About a minute (health: starting)");
        check(&|c| c.health = None, "Up About a minute");
        check(&|c| c.state = State::Paused, "Up About a minute (Paused)");
        check(
            &|c| (c.state, c.detail) = (State::Waiting, Some("waiting for db".to_owned())),
            "Waiting for db",
        );
        check(
            &|c| (c.state, c.exit_code, c.finished_unix_ms) = (State::Exited, Some(2), Some(59_000)),
            "Exited (2) 2 seconds ago",
        );
        check(
            &|c| (c.state, c.exit_code, c.out_of_memory) = (State::Exited, Some(137), true),
            "Exited (137) Less than a second ago (out of memory)",
        );
    }

    #[test]
    fn documents_have_docker_s_keys() {
        let document = document(&sample("db", State::Running), 5_000);
        for key in [
            "ID",
            "Name",
            "Image",
            "Command",
            "Project",
            "Service",
            "State",
            "Health",
            "ExitCode",
            "Publishers",
            "CreatedAt",
            "Status",
            "Labels",
            "Names",
            "Ports",
            "RunningFor",
        ] {
            assert!(document.get(key).is_some(), "{key}");
        }
        assert_eq!(document["Publishers"][0]["PublishedPort"], 5432);
        assert_eq!(document["CreatedAt"], "1970-01-01 00:00:00 +0000 UTC");
    }
}
