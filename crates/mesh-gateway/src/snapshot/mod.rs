//! From configurations to what requests are routed by.
//!
//! A [`Snapshot`] is built whole from what all providers gave, without I/O, and never changes: the router of every
//! request, the layers it goes through and the servers it may reach are found in it. What is wrong with a router, a
//! middleware or a service stands beside it, in the words and with the states of Traefik's API; it takes down nothing
//! but what needs it.
//!
//! Deliberately absent, each told when a configuration asks for it: routers of routers (`parentRefs`).

mod build;
mod choice;
mod condition;
mod depth;
mod inventory;
mod layers;
mod options;
mod own;
mod place;
mod routes;
mod servers;
mod service;
mod sticky;
mod tcp;
mod tcp_servers;
mod turns;
mod udp;
mod unsupported;

#[cfg(test)]
mod suite;
#[cfg(test)]
mod tests;

pub(crate) use build::build;
pub(crate) use choice::{Asker, Busy};
pub(crate) use condition::Condition;
pub(crate) use inventory::{Inventory, Part};
pub(crate) use place::Place;
pub(crate) use servers::{Address, Balancer};
pub(crate) use service::{Destination, Fallback, Layered, Mirrored, Own};
pub(crate) use tcp::{Ends, TcpRoute};
pub(crate) use tcp_servers::Announced;

use crate::{
    config::{Warning, model::Named},
    handshake::DEFAULT,
    middleware::Layer,
    observe::Told,
    published::Published,
    rule::{Connection, HttpRule, Target},
    upstream::{Checker, ServerState, TcpChecker},
};
use routes::Routes;
use std::sync::Arc;
use tcp_servers::TcpDestination;
use udp::UdpRoute;

/// What requests are routed by.
#[derive(Debug, Default)]
pub(crate) struct Snapshot {
    pub(crate) entry_points: Named<Table>,
    pub(crate) routers: Named<Status>,
    pub(crate) services: Named<Status>,
    /// The services that are served.
    pub(crate) destinations: Named<Arc<Destination>>,
    pub(crate) middlewares: Named<Status>,
    pub(crate) tcp_routers: Named<Status>,
    pub(crate) tcp_services: Named<Status>,
    /// Those that are served.
    pub(crate) tcp_destinations: Named<Arc<TcpDestination>>,
    pub(crate) tcp_middlewares: Named<Status>,
    /// Where the clients of the entry points of UDP go.
    pub(crate) udp: Named<UdpRoute>,
    pub(crate) udp_routers: Named<Status>,
    pub(crate) udp_services: Named<Status>,
    /// What was configured, for whoever asks.
    pub(crate) inventory: Inventory,
    /// Middlewares that requests can go through.
    pub(crate) layers: Named<Arc<Layer>>,
    /// What the rules name as hosts, and the domains beneath which they look for them, as `*.shop.test`.
    pub(crate) hosts: Vec<String>,
    /// By which ports of the machine this gateway is reached.
    pub(crate) published: Arc<Published>,
    pub(crate) warnings: Vec<Warning>,
}

impl Snapshot {
    fn balancers(&self) -> impl Iterator<Item = &Balancer> {
        self.destinations.values().filter_map(|destination| destination.balancer())
    }

    /// How the servers of each service are.
    pub(crate) fn servers(&self) -> Named<Vec<ServerState>> {
        self.balancers().map(|balancer| (balancer.name.clone(), balancer.states())).collect()
    }

    /// What servers are to be asked for as long as this is in force.
    pub(crate) fn checkers(&self) -> Vec<Checker> {
        self.balancers().flat_map(Balancer::checkers).collect()
    }

    /// The same for servers of TCP.
    pub(crate) fn tcp_checkers(&self) -> Vec<TcpChecker> {
        self.tcp_destinations.iter().flat_map(|(name, destination)| destination.checkers(name)).collect()
    }

    /// Servers and layers are as they were under the configuration before.
    pub(crate) fn take_over(&self, before: &Self) {
        for balancer in self.balancers() {
            if let Some(before) = before.destinations.get(&balancer.name).and_then(|before| before.balancer())
            {
                balancer.take_over(before);
            }
        }
        for (name, destination) in &self.tcp_destinations {
            if let Some(before) = before.tcp_destinations.get(name) {
                destination.take_over(before);
            }
        }
        for (name, layer) in &self.layers {
            if let Some(before) = before.layers.get(name) {
                layer.take_over(before);
            }
        }
    }
}

/// The routers of an entry point, first the one that is asked first.
#[derive(Debug, Default)]
pub(crate) struct Table {
    plain: Routes,
    tls: Routes,
    tcp: Vec<TcpRoute>,
    /// Names of TLS options, by the hosts that HTTP routers with TLS ask for.
    options: Named<String>,
    /// Whether an HTTP router with TLS names no host, and so takes any.
    any_host: bool,
}

impl Snapshot {
    /// Whether a service's server is taken to be well.
    pub(crate) fn is_up(&self, service: &str, server: &str) -> bool {
        self.state(service, server).is_none_or(|state| state.up)
    }

    /// How a service's server is.
    pub(crate) fn state(&self, service: &str, server: &str) -> Option<ServerState> {
        self.destinations.get(service)?.balancer()?.state(server)
    }

    /// The same for a server of a TCP service, by its address.
    pub(crate) fn tcp_state(&self, service: &str, address: &str) -> Option<ServerState> {
        self.tcp_destinations.get(service)?.state(address)
    }
}

impl Table {
    /// The router for a request.
    pub(crate) fn find(&self, target: &Target<'_>, tls: bool) -> Option<&Route> {
        if tls { &self.tls } else { &self.plain }.find(target)
    }

    /// The TLS options for a client that asks for a host.
    pub(crate) fn options(&self, host: &str) -> &str {
        self.asked_for(host).unwrap_or(DEFAULT)
    }

    /// The options of the HTTP routers that ask for a host by its name.
    fn asked_for(&self, host: &str) -> Option<&str> {
        let wild = || self.options.get(&format!("*.{}", host.split_once('.')?.1));
        self.options.get(host).or_else(wild).map(String::as_str)
    }

    /// Whether anybody here takes TLS.
    pub(crate) fn speaks_tls(&self) -> bool {
        !self.tls.is_empty() || self.tcp.iter().any(|route| route.ends != Ends::Plain)
    }

    /// Whether connections are looked at before anybody speaks HTTP.
    pub(crate) fn has_tcp(&self) -> bool {
        !self.tcp.is_empty()
    }

    /// The TCP router for a connection; none if it is to speak HTTP. With TLS, HTTP routers that ask for a host by name
    /// go before all of TCP, and those that take any before those of TCP that take any.
    pub(crate) fn find_tcp(&self, connection: &Connection<'_>, tls: bool) -> Option<&TcpRoute> {
        if tls && self.asked_for(connection.server_name).is_some() {
            return None;
        }
        let found =
            self.tcp.iter().find(|route| (route.ends != Ends::Plain) == tls && route.matches(connection))?;
        (!(tls && found.takes_all && self.any_host)).then_some(found)
    }
}

/// A router with all that its requests need.
#[derive(Debug, Clone)]
pub(crate) struct Route {
    pub(crate) name: String,
    /// Who wants to know of its requests.
    pub(crate) told: Arc<Told>,
    rule: HttpRule,
    place: Place,
    pub(crate) layers: Arc<[Arc<Layer>]>,
    pub(crate) destination: Arc<Destination>,
    /// The TLS options that its requests have to come by; none if they may come by any.
    pub(crate) options: Option<Arc<str>>,
}

/// How something stands, as Traefik's API says it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: State,
    pub(crate) errors: Vec<String>,
    /// The entry points that a router is at.
    pub(crate) using: Vec<String>,
}

/// Whether something is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum State {
    #[default]
    Enabled,
    /// It is, and not all as it was asked.
    Warning,
    Disabled,
}

impl Status {
    /// Notes what is wrong, once.
    fn error(&mut self, message: String, critical: bool) {
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
        self.state = match self.state {
            _ if critical => State::Disabled,
            State::Disabled => State::Disabled,
            _ => State::Warning,
        };
    }
}

/// A name with its provider.
fn qualified(name: &str, provider: &str) -> String {
    if name.contains('@') { name.to_owned() } else { format!("{name}@{provider}") }
}

/// The provider of a qualified name.
fn provider_of(name: &str) -> &str {
    name.rsplit_once('@').map_or("", |(_, provider)| provider)
}
