//! What containers ask for, as Traefik's docker provider reads it.
//!
//! Nobody is asked here: the engine says which containers there are, with their labels, addresses and ports.

use super::{
    Warning,
    default_rule::{Subject, normalize, render},
    labels::{self, Labels, Taking},
    merge::merge,
    model::{
        Configuration, HttpConfiguration, LoadBalancer, Named, Router, Server, Service, TcpConfiguration,
        TcpLoadBalancer, TcpServer, TcpService, UdpConfiguration, UdpLoadBalancer, UdpServer, UdpService,
    },
    statics::Docker,
};
use crate::{expression::compile, rule::Tree};
use std::collections::BTreeMap;

const COMPOSE_PROJECT: &str = "com.docker.compose.project";
const COMPOSE_SERVICE: &str = "com.docker.compose.service";
/// What the matchers of a constraint are.
const CONSTRAINTS: &[&str] = &["Label", "LabelRegex"];

/// A container that may want to be reached.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Container {
    /// What the engine knows it by.
    pub id: String,
    /// What it is called; it may begin with a slash.
    pub name: String,
    /// What it asks for, and what else it is marked with.
    pub labels: Labels,
    /// `running`, or something else; empty if it is not known.
    pub status: String,
    /// `healthy`, `unhealthy` or `starting`; empty if nobody asks.
    pub health: String,
    /// `host`, `container:NAME`, or a network.
    pub network_mode: String,
    /// The container's address in each of its networks.
    pub networks: BTreeMap<String, String>,
    /// The ports it listens at, by number.
    pub ports: BTreeMap<u16, Option<Published>>,
}

/// Where a port of a container is on the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Published {
    /// The address of the machine; empty for all.
    pub address: String,
    /// The port of the machine.
    pub port: String,
}

/// Why a container is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error(transparent)]
    Labels(#[from] labels::LabelError),
    #[error("service {service:?}: load-balancer is not defined")]
    NoBalancer { service: String },
    #[error("service {service:?}: defining scheme or port is not allowed when URL is defined")]
    UrlAndPort { service: String },
    #[error("service {service:?}: unable to find the IP address")]
    NoAddress { service: String },
    #[error("service {service:?}: port is missing")]
    NoPort { service: String },
}

/// The containers that the engine has written down.
///
/// # Errors
/// What is wrong with the JSON.
pub fn read(text: &str) -> Result<Vec<Container>, serde_json::Error> {
    serde_json::from_str(text)
}

/// The configuration that containers ask for.
pub fn configuration(
    containers: &[Container],
    options: &Docker,
    warnings: &mut Vec<Warning>,
) -> Configuration {
    let mut parts = Named::new();
    for container in containers {
        let origin = format!("{}-{}", service_name(container), container.id);
        let mut told = Vec::new();
        match part(container, containers, options, &mut told) {
            Ok(Some(part)) => drop(parts.insert(origin, part)),
            Ok(None) => {}
            Err(refusal) => told.push(format!("not taken: {}", crate::chain(&refusal))),
        }
        let place = format!("container {}", container.name);
        warnings.extend(told.into_iter().map(|message| Warning { place: place.clone(), message }));
    }
    let (merged, conflicts) = merge(parts);
    warnings.extend(
        conflicts
            .iter()
            .map(|conflict| Warning { place: "containers".to_owned(), message: conflict.to_string() }),
    );
    merged
}

fn part(
    container: &Container,
    all: &[Container],
    options: &Docker,
    told: &mut Vec<String>,
) -> Result<Option<Configuration>, Refusal> {
    let taking = labels::taking(&container.labels, options.exposed_by_default)?;
    if !is_kept(container, &taking, options, told) {
        return Ok(None);
    }
    told.extend(labels::unknown(&container.labels).iter().map(|key| format!("{key}: unknown label")));
    let mut part = labels::configuration(&container.labels)?;
    let place = Location { container, all, taking: &taking, options };
    let name = service_name(container);
    let tcp = !part.tcp.routers.is_empty() || !part.tcp.services.is_empty();
    let udp = !part.udp.routers.is_empty() || !part.udp.services.is_empty();
    if tcp {
        place.complete_tcp(&name, &mut part.tcp)?;
        link_tcp(&mut part.tcp, told);
    }
    if udp {
        place.complete_udp(&name, &mut part.udp)?;
        link_udp(&mut part.udp, told);
    }
    let http = &mut part.http;
    if (tcp || udp) && http.routers.is_empty() && http.middlewares.is_empty() && http.services.is_empty() {
        return Ok(Some(part));
    }
    place.complete_http(&name, http)?;
    let subject = Subject {
        name: &name,
        container_name: container.name.strip_prefix('/').unwrap_or(&container.name),
        labels: &container.labels,
    };
    link_http(http, subject, options, told);
    Ok(Some(part))
}

/// What a container's service is called where nothing else is said.
fn service_name(container: &Container) -> String {
    let label = |key: &str| container.labels.get(key).filter(|value| !value.is_empty());
    match (label(COMPOSE_SERVICE), label(COMPOSE_PROJECT)) {
        (Some(service), Some(project)) => normalize(&format!("{service}_{project}")),
        _ => normalize(&container.name),
    }
}

fn is_kept(container: &Container, taking: &Taking, options: &Docker, told: &mut Vec<String>) -> bool {
    if !taking.enabled {
        return false;
    }
    match meets(&container.labels, &options.constraints) {
        Ok(true) => {}
        Ok(false) => return false,
        Err(error) => {
            told.push(format!("constraints: {error}"));
            return false;
        }
    }
    let healthy = container.health.is_empty() || container.health == "healthy";
    taking.allow_non_running || (is_running(container) && (options.allow_empty_services || healthy))
}

fn is_running(container: &Container) -> bool {
    container.status.is_empty() || container.status == "running"
}

/// Whether labels meet an expression of `Label` and `LabelRegex`.
fn meets(labels: &Labels, constraints: &str) -> Result<bool, String> {
    fn holds(tree: &Tree, labels: &Labels) -> Result<bool, String> {
        match tree {
            Tree::And(left, right) => Ok(holds(left, labels)? && holds(right, labels)?),
            Tree::Or(left, right) => Ok(holds(left, labels)? || holds(right, labels)?),
            Tree::Matcher(call) => {
                let [key, wanted] = &call.values[..] else {
                    return Err(format!("{} takes a key and a value", call.name));
                };
                let value = labels.get(key);
                let is = match call.name {
                    "Label" => value == Some(wanted),
                    _ => {
                        let expression = compile(wanted).map_err(|error| crate::chain(&error))?;
                        value.is_some_and(|value| expression.is_match(value))
                    }
                };
                Ok(is != call.negated)
            }
        }
    }
    if constraints.is_empty() {
        return Ok(true);
    }
    holds(&Tree::parse(constraints, CONSTRAINTS).map_err(|error| error.to_string())?, labels)
}

/// Where a container's services are.
struct Location<'c> {
    container: &'c Container,
    all: &'c [Container],
    taking: &'c Taking,
    options: &'c Docker,
}

impl Location<'_> {
    /// Whether there is a server at all: services of what is not up stay, without one.
    fn serves(&self) -> bool {
        is_running(self.container) && (self.container.health.is_empty() || self.container.health == "healthy")
    }

    fn complete_http(&self, name: &str, http: &mut HttpConfiguration) -> Result<(), Refusal> {
        if http.services.is_empty() {
            let balancer = Some(LoadBalancer::default());
            http.services.insert(name.to_owned(), Service { load_balancer: balancer, ..Service::default() });
        }
        if !self.serves() {
            return Ok(());
        }
        for (service, definition) in &mut http.services {
            let missing = || Refusal::NoBalancer { service: service.clone() };
            let balancer = definition.load_balancer.as_mut().ok_or_else(missing)?;
            if balancer.servers.is_empty() {
                balancer.servers.push(Server::default());
            }
            let Some(server) = balancer.servers.first_mut() else { continue };
            if !server.url.is_empty() {
                if !server.scheme.is_empty() || !server.port.is_empty() {
                    return Err(Refusal::UrlAndPort { service: service.clone() });
                }
                continue;
            }
            let address = self.address_of(service, &std::mem::take(&mut server.port))?;
            let scheme = std::mem::take(&mut server.scheme);
            let scheme = if scheme.is_empty() { "http" } else { &scheme };
            server.url = format!("{scheme}://{address}");
        }
        Ok(())
    }

    fn complete_tcp(&self, name: &str, tcp: &mut TcpConfiguration) -> Result<(), Refusal> {
        if tcp.services.is_empty() {
            let balancer = Some(TcpLoadBalancer::default());
            tcp.services
                .insert(name.to_owned(), TcpService { load_balancer: balancer, ..TcpService::default() });
        }
        if !self.serves() {
            return Ok(());
        }
        for (service, definition) in &mut tcp.services {
            let missing = || Refusal::NoBalancer { service: service.clone() };
            let servers = &mut definition.load_balancer.as_mut().ok_or_else(missing)?.servers;
            if servers.is_empty() {
                servers.push(TcpServer::default());
            }
            servers[0].address = self.address_of(service, &std::mem::take(&mut servers[0].port))?;
        }
        Ok(())
    }

    fn complete_udp(&self, name: &str, udp: &mut UdpConfiguration) -> Result<(), Refusal> {
        if udp.services.is_empty() {
            let balancer = Some(UdpLoadBalancer::default());
            udp.services
                .insert(name.to_owned(), UdpService { load_balancer: balancer, ..UdpService::default() });
        }
        if !self.serves() {
            return Ok(());
        }
        for (service, definition) in &mut udp.services {
            let missing = || Refusal::NoBalancer { service: service.clone() };
            let servers = &mut definition.load_balancer.as_mut().ok_or_else(missing)?.servers;
            if servers.is_empty() {
                servers.push(UdpServer::default());
            }
            servers[0].address = self.address_of(service, &std::mem::take(&mut servers[0].port))?;
        }
        Ok(())
    }

    fn address_of(&self, service: &str, asked: &str) -> Result<String, Refusal> {
        let port = match asked {
            "" => self.container.ports.keys().next().map(u16::to_string).unwrap_or_default(),
            asked => asked.to_owned(),
        };
        let published = self.published(&port);
        let (address, port) = match published {
            Some(published) => (Some(published.address.clone()), published.port.clone()),
            None => (self.address(self.container, self.taking), port),
        };
        let missing = || Refusal::NoAddress { service: service.to_owned() };
        let address = address.filter(|address| !address.is_empty()).ok_or_else(missing)?;
        if port.is_empty() {
            return Err(Refusal::NoPort { service: service.to_owned() });
        }
        Ok(if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") })
    }

    /// Where the port is on the host, if that is to be taken, and is at one address.
    fn published(&self, port: &str) -> Option<&Published> {
        let number: u16 = port.parse().ok()?;
        let published =
            self.container.ports.get(&number)?.as_ref().filter(|_| self.options.use_bind_port_ip)?;
        let anywhere = ["", "0.0.0.0", "::"].contains(&published.address.as_str());
        (!anywhere).then_some(published)
    }

    fn address(&self, container: &Container, taking: &Taking) -> Option<String> {
        let wanted = taking.network.as_ref().unwrap_or(&self.options.network);
        if let Some(address) = container.networks.get(wanted) {
            return Some(address.clone());
        }
        if container.network_mode == "host" {
            return Some("127.0.0.1".to_owned());
        }
        if let Some(other) = container.network_mode.strip_prefix("container:") {
            let is = |other_container: &&Container| {
                other_container.id == other || other_container.name.trim_start_matches('/') == other
            };
            let other =
                self.all.iter().find(is).filter(|other| !other.network_mode.starts_with("container:"))?;
            let mut theirs = labels::taking(&other.labels, true).ok()?;
            theirs.network = theirs.network.or_else(|| taking.network.clone());
            return self.address(other, &theirs);
        }
        container.networks.values().next().cloned()
    }
}

fn link_http(http: &mut HttpConfiguration, subject: Subject<'_>, options: &Docker, told: &mut Vec<String>) {
    if http.routers.is_empty() {
        match http.services.len() {
            0 | 1 => drop(http.routers.insert(subject.name.to_owned(), Router::default())),
            _ => told.push("could not create a router for the container: too many services".to_owned()),
        }
    }
    let services = &http.services;
    http.routers.retain(|name, router| {
        if router.rule.is_empty() {
            match render(&options.default_rule, subject) {
                Ok(rule) if !rule.is_empty() => router.rule = rule,
                Ok(_) => {
                    told.push(format!("router {name}: undefined rule"));
                    return false;
                }
                Err(error) => {
                    told.push(format!("router {name}: {error}"));
                    return false;
                }
            }
        }
        link(name, &mut router.service, services, told)
    });
}

fn link_tcp(tcp: &mut TcpConfiguration, told: &mut Vec<String>) {
    let services = &tcp.services;
    tcp.routers.retain(|name, router| {
        if router.rule.is_empty() {
            told.push(format!("TCP router {name}: empty rule"));
            return false;
        }
        link(name, &mut router.service, services, told)
    });
}

fn link_udp(udp: &mut UdpConfiguration, told: &mut Vec<String>) {
    let services = &udp.services;
    udp.routers.retain(|name, router| link(name, &mut router.service, services, told));
}

/// Gives a router without a service the only one there is; false if there are several.
fn link<T>(name: &str, service: &mut String, services: &Named<T>, told: &mut Vec<String>) -> bool {
    if !service.is_empty() {
        return true;
    }
    let mut names = services.keys();
    match (names.next(), names.next()) {
        (Some(only), None) => service.clone_from(only),
        (Some(_), Some(_)) => {
            let names: Vec<_> = services.keys().map(String::as_str).collect();
            told.push(format!(
                "router {name} cannot be linked automatically with multiple services: {}",
                names.join(", ")
            ));
            return false;
        }
        (None, _) => {}
    }
    true
}
