//! The table after `up`: what runs, how it is, what serves it, and where it is reached.

use crate::{table, words};
use mesh_api::status::{ContainerStatus, Health, State};
use std::collections::BTreeSet;

/// The table; one-off containers are not in it.
pub(crate) fn render(containers: &[ContainerStatus]) -> String {
    let rows: Vec<Vec<String>> = containers.iter().filter(|container| !container.one_off).map(row).collect();
    table::render(&["SERVICE", "STATE", "HEALTH", "SOURCE", "READY", "ADDRESS"], &rows)
}

fn row(container: &ContainerStatus) -> Vec<String> {
    let mut service = container.service.clone();
    if container.index > 1 {
        service.push_str(&format!("-{}", container.index));
    }
    // A host address of both families is one address to its user.
    let mut seen = BTreeSet::new();
    let addresses: Vec<String> = container
        .ports
        .iter()
        .filter(|port| seen.insert((port.host.port(), port.target, port.protocol)))
        .map(words::url)
        .collect();
    vec![
        service,
        state(container),
        container.health.map_or("-", health).to_owned(),
        container.source.clone(),
        container.ready_after_ms.map_or_else(|| "-".to_owned(), words::short),
        if addresses.is_empty() { "-".to_owned() } else { addresses.join(" ") },
    ]
}

/// The state as one word, with the exit code where it ended.
fn state(container: &ContainerStatus) -> String {
    match (container.state, container.exit_code) {
        (State::Exited, Some(0)) => "completed".to_owned(),
        (State::Exited, Some(code)) => format!("exited ({code})"),
        (state, _) => word(state).to_owned(),
    }
}

/// The word for a state.
pub(crate) fn word(state: State) -> &'static str {
    match state {
        State::Created => "created",
        State::Waiting => "waiting",
        State::Starting => "starting",
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Exited => "exited",
        State::Dead => "dead",
    }
}

/// The word for a state among Docker's: what waits for others, or is being started, was made and not started.
pub(crate) fn docker_word(state: State) -> &'static str {
    match state {
        State::Waiting | State::Starting => "created",
        other => word(other),
    }
}

/// The word for a health.
pub(crate) fn health(health: Health) -> &'static str {
    match health {
        Health::Starting => "starting",
        Health::Healthy => "healthy",
        Health::Unhealthy => "unhealthy",
    }
}

/// A container for tests of renderers.
#[cfg(test)]
pub(crate) fn sample(service: &str, state: State) -> ContainerStatus {
    ContainerStatus {
        id: "0123456789abcdef".repeat(4),
        name: format!("hub-{service}-1"),
        project: "hub".to_owned(),
        service: service.to_owned(),
        index: 1,
        one_off: false,
        orphan: false,
        image: "postgres:16.4".to_owned(),
        image_digest: "sha256:00112233445566778899".to_owned(),
        source: "debian 15.18 for 16.4".to_owned(),
        command: vec!["postgres".to_owned()],
        state,
        health: Some(Health::Healthy),
        check: None,
        exit_code: None,
        out_of_memory: false,
        pid: Some(7),
        created_unix_ms: 0,
        started_unix_ms: Some(1000),
        finished_unix_ms: None,
        ready_after_ms: Some(1234),
        restarts: 0,
        detail: None,
        ports: vec![mesh_api::status::PortStatus {
            host: std::net::SocketAddr::from(([0, 0, 0, 0], 5432)),
            target: 5432,
            protocol: mesh_model::network::Protocol::Tcp,
        }],
        lost_ports: Vec::new(),
        certificate_troubles: Vec::new(),
        hosts: Vec::new(),
        exposed: Vec::new(),
        addresses: std::collections::BTreeMap::new(),
        labels: std::collections::BTreeMap::new(),
        mounts: Vec::new(),
        networks: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_tells_where_to_go() {
        let mut both = sample("db", State::Running);
        both.ports.push(mesh_api::status::PortStatus {
            host: "[::]:5432".parse().unwrap(),
            target: 5432,
            protocol: mesh_model::network::Protocol::Tcp,
        });
        let mut job = sample("migrate", State::Exited);
        (job.exit_code, job.health, job.ports, job.ready_after_ms) = (Some(0), None, Vec::new(), None);
        let want = "SERVICE   STATE       HEALTH    SOURCE                  READY   ADDRESS\n\
                    db        running     healthy   debian 15.18 for 16.4   1.2s    postgres://127.0.0.1:5432\n\
                    migrate   completed   -         debian 15.18 for 16.4   -       -\n";
        assert_eq!(render(&[both, job]), want);
    }
}
