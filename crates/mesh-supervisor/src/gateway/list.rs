//! A container, as a gateway is told of it. Pure.

use crate::container::{Container, View};
use mesh_lifecycle::health::Verdict;
use mesh_model::service::NetworkMode;
use serde::Serialize;
use std::collections::BTreeMap;

/// What Docker's API would say of a container, as far as routing goes.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listed {
    id: String,
    name: String,
    labels: BTreeMap<String, String>,
    /// `running`, `paused`, `restarting`, `created`, `exited` or `dead`.
    status: &'static str,
    /// Empty where nobody tests it.
    health: &'static str,
    /// `host`, `none`, `container:NAME`, or the name of a network.
    network_mode: String,
    /// Its address in each network, by the network's name.
    networks: BTreeMap<String, String>,
    /// TCP ports that it listens at, and where they are on the machine.
    ports: BTreeMap<u16, Option<Published>>,
}

/// Where a port is on the machine.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Published {
    address: String,
    port: String,
}

/// A container of the project.
pub(super) fn of(container: &Container, view: &View) -> Listed {
    let status = container.status(false);
    let spec = &container.spec;
    let mut labels = spec.image.config.labels.clone();
    labels.extend(status.labels);
    let exposed = status.exposed.iter().filter_map(|port| port.strip_suffix("/tcp")?.parse().ok());
    let mut ports: BTreeMap<u16, Option<Published>> = exposed.map(|port| (port, None)).collect();
    for port in status.ports.iter().filter(|port| port.protocol.to_string() == "tcp") {
        let (address, number) = (port.host.ip().to_string(), port.host.port().to_string());
        ports.insert(port.target, Some(Published { address, port: number }));
    }
    Listed {
        id: status.id,
        name: status.name,
        labels,
        status: word(container),
        health: match container.phase.verdict() {
            Some(Verdict::Starting) => "starting",
            Some(Verdict::Healthy) => "healthy",
            Some(Verdict::Unhealthy) => "unhealthy",
            None => "",
        },
        network_mode: network_mode(container, view),
        networks: status.addresses.into_iter().map(|(name, address)| (name, address.to_string())).collect(),
        ports,
    }
}

fn word(container: &Container) -> &'static str {
    use mesh_api::status::State;
    match container.status(false).state {
        State::Created | State::Waiting | State::Starting => "created",
        State::Running => "running",
        State::Paused => "paused",
        State::Restarting => "restarting",
        State::Exited => "exited",
        State::Dead => "dead",
    }
}

fn network_mode(container: &Container, view: &View) -> String {
    let spec = &container.spec;
    match &spec.service.network.mode {
        NetworkMode::Host => "host".to_owned(),
        NetworkMode::None => "none".to_owned(),
        NetworkMode::Service(service) => {
            let shared = view.of_service(service).next();
            shared.map_or_else(|| "none".to_owned(), |other| format!("container:{}", other.spec.name))
        }
        NetworkMode::Networks(joined) => {
            let first = joined.keys().find_map(|key| spec.resources.networks.get(key));
            first.map(|network| network.name.clone()).unwrap_or_default()
        }
    }
}
