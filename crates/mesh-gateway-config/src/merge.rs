//! Several configurations of one source as one.
//!
//! Routers and middlewares of the same name have to be the same; services of the same name become one with the servers
//! of both, where they differ in nothing else. What contradicts itself is left out, and told.

use super::model::{Configuration, LoadBalancer, Named, Service, TcpLoadBalancer, TcpService, UdpService};

/// What is defined more than once, and differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {name} is defined multiple times with different configurations, by {}", origins.join(" and "))]
pub(crate) struct Conflict {
    pub(crate) kind: &'static str,
    pub(crate) name: String,
    /// Where; in the order of their names.
    pub(crate) origins: Vec<String>,
}

/// What a source gave, by where it gave it.
pub(crate) fn merge(parts: Named<Configuration>) -> (Configuration, Vec<Conflict>) {
    let mut merged = Configuration::default();
    let mut conflicts = Vec::new();
    macro_rules! each {
        ($($kind:literal $($field:ident).+ $join:expr;)*) => {$(
            let parts_of = parts.iter().map(|(origin, part)| (origin.as_str(), &part.$($field).+));
            merge_named($kind, parts_of, $join, &mut merged.$($field).+, &mut conflicts);
        )*};
    }
    each! {
        "HTTP router" http.routers same;
        "HTTP service" http.services join_services;
        "HTTP middleware" http.middlewares same;
        "HTTP servers transport" http.servers_transports same;
        "TCP router" tcp.routers same;
        "TCP service" tcp.services join_tcp_services;
        "TCP middleware" tcp.middlewares same;
        "TCP servers transport" tcp.servers_transports same;
        "UDP router" udp.routers same;
        "UDP service" udp.services join_udp_services;
        "TLS options" tls.options same;
        "TLS store" tls.stores same;
    }
    for certificate in parts.into_values().flat_map(|part| part.tls.certificates) {
        let known = merged.tls.certificates.iter_mut().find(|known| {
            (&known.cert_file, &known.key_file) == (&certificate.cert_file, &certificate.key_file)
        });
        match known {
            None => merged.tls.certificates.push(certificate),
            Some(known) => {
                let new: Vec<_> =
                    certificate.stores.into_iter().filter(|store| !known.stores.contains(store)).collect();
                known.stores.extend(new);
            }
        }
    }
    (merged, conflicts)
}

fn merge_named<'p, T: Clone + 'p>(
    kind: &'static str,
    parts: impl Iterator<Item = (&'p str, &'p Named<T>)>,
    join: fn(&mut T, &T) -> bool,
    merged: &mut Named<T>,
    conflicts: &mut Vec<Conflict>,
) {
    let mut origins: Named<Vec<String>> = Named::new();
    let mut contradictory: Vec<String> = Vec::new();
    for (origin, part) in parts {
        for (name, thing) in part {
            origins.get_or_default(name).push(origin.to_owned());
            match merged.get_mut(name) {
                None => {
                    merged.insert(name.clone(), thing.clone());
                }
                Some(known) => {
                    if !join(known, thing) && !contradictory.contains(name) {
                        contradictory.push(name.clone());
                    }
                }
            }
        }
    }
    for name in contradictory {
        merged.remove(&name);
        let origins = origins.remove(&name).unwrap_or_default();
        conflicts.push(Conflict { kind, name, origins });
    }
}

fn same<T: PartialEq>(known: &mut T, other: &T) -> bool {
    known == other
}

fn join_services(known: &mut Service, other: &Service) -> bool {
    let (Some(balancer), Some(others)) = (&mut known.load_balancer, &other.load_balancer) else {
        return known == other;
    };
    let bare = |balancer: &LoadBalancer| LoadBalancer { servers: Vec::new(), ..balancer.clone() };
    bare(balancer) == bare(others) && append(&mut balancer.servers, &others.servers, |server| &server.url)
}

fn join_tcp_services(known: &mut TcpService, other: &TcpService) -> bool {
    let (Some(balancer), Some(others)) = (&mut known.load_balancer, &other.load_balancer) else {
        return known == other;
    };
    let bare = |balancer: &TcpLoadBalancer| TcpLoadBalancer { servers: Vec::new(), ..balancer.clone() };
    bare(balancer) == bare(others) && append(&mut balancer.servers, &others.servers, |server| &server.address)
}

fn join_udp_services(known: &mut UdpService, other: &UdpService) -> bool {
    let (Some(balancer), Some(others)) = (&mut known.load_balancer, &other.load_balancer) else {
        return known == other;
    };
    append(&mut balancer.servers, &others.servers, |server| &server.address)
}

/// Adds the servers that are not there yet.
fn append<T: Clone>(servers: &mut Vec<T>, others: &[T], address: fn(&T) -> &String) -> bool {
    let before = servers.len();
    for other in others {
        if !servers[..before].iter().any(|server| address(server) == address(other)) {
            servers.push(other.clone());
        }
    }
    true
}
