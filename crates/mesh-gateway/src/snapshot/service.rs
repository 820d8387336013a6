//! Services: where requests go.

use super::{Status, provider_of, qualified};
use crate::config::{
    duration::Span,
    model::{LoadBalancer, Named, ServersTransport, Service},
    statics::StaticTransport,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

/// Deepest nesting of weighted services.
const DEPTH_LEVELS_MAX: usize = 16;
/// Most turns after which the order of servers begins anew.
const TURNS_MAX: usize = 4_096;

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum Destination {
    Balancer(Balancer),
    /// Others, by turns.
    Weighted {
        services: Vec<Arc<Destination>>,
        turns: Turns,
    },
    /// The gateway itself.
    Own(Own),
}

/// What the gateway answers by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Own {
    /// What is configured, and how it stands.
    Api,
    /// A page of it.
    Dashboard,
    /// Whether the gateway is there.
    Ping,
    /// Numbers.
    Prometheus,
    /// A redirection comes before it.
    Nothing,
}

/// Servers.
#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) name: String,
    pub(crate) addresses: Vec<Address>,
    turns: Turns,
    /// Whether servers are told the host that the client asked for.
    pub(crate) pass_host: bool,
    pub(crate) transport: Transport,
}

/// How servers are spoken to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Transport {
    pub(crate) dial: Option<Duration>,
    pub(crate) answer: Option<Duration>,
    pub(crate) idle: Option<Duration>,
    pub(crate) idle_connections: usize,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port.
    pub(crate) authority: String,
    /// Before the request's path; only if the server is to see it.
    pub(crate) path: String,
}

/// An order in which each gets as many turns as its weight says, spread evenly.
#[derive(Debug)]
pub(crate) struct Turns {
    order: Vec<usize>,
    next: AtomicUsize,
}

impl Turns {
    pub(super) fn new(weights: &[i64]) -> Self {
        let weights: Vec<usize> =
            weights.iter().map(|weight| usize::try_from(*weight).unwrap_or(0)).collect();
        let divisor = weights.iter().copied().fold(0, greatest_divisor).max(1);
        let mut weights: Vec<usize> = weights.iter().map(|weight| weight / divisor).collect();
        let sum: usize = weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight));
        if sum > TURNS_MAX {
            for weight in weights.iter_mut().filter(|weight| **weight > 0) {
                *weight = (weight.saturating_mul(TURNS_MAX) / sum).max(1);
            }
        }
        let total = i64::try_from(weights.iter().sum::<usize>()).unwrap_or(0);
        let mut credit = vec![0_i64; weights.len()];
        let mut order = Vec::new();
        for _ in 0..total {
            for (credit, weight) in credit.iter_mut().zip(&weights) {
                *credit += i64::try_from(*weight).unwrap_or(0);
            }
            let richest = (0..credit.len()).rev().max_by_key(|at| credit[*at]);
            if let Some(richest) = richest {
                credit[richest] -= total;
                order.push(richest);
            }
        }
        Self { order, next: AtomicUsize::new(0) }
    }

    /// Whose turn it is; none if nobody has any.
    pub(super) fn next(&self) -> Option<usize> {
        let at = self.next.fetch_add(1, Ordering::Relaxed);
        self.order.get(at.checked_rem(self.order.len())?).copied()
    }
}

fn greatest_divisor(left: usize, right: usize) -> usize {
    if right == 0 { left } else { greatest_divisor(right, left % right) }
}

impl Balancer {
    /// The server whose turn it is.
    pub(crate) fn next(&self) -> Option<&Address> {
        self.addresses.get(self.turns.next()?)
    }
}

impl Destination {
    /// The destination whose turn it is among services with weights.
    pub(crate) fn resolve(&self) -> Option<&Self> {
        let mut now = self;
        while let Self::Weighted { services, turns } = now {
            now = services.get(turns.next()?)?;
        }
        Some(now)
    }
}

/// Services by their names, each made once.
pub(super) struct Services<'c> {
    configured: &'c Named<Service>,
    transports: &'c Named<ServersTransport>,
    default: &'c StaticTransport,
    made: Named<Result<Arc<Destination>, String>>,
    statuses: Named<Status>,
}

impl<'c> Services<'c> {
    pub(super) fn new(
        configured: &'c Named<Service>,
        transports: &'c Named<ServersTransport>,
        default: &'c StaticTransport,
        own: Vec<(&'static str, Result<Own, String>)>,
    ) -> Self {
        let mut made = Named::new();
        for (name, own) in own {
            made.insert(name.to_owned(), own.map(|own| Arc::new(Destination::Own(own))));
        }
        let mut services = Self { configured, transports, default, made, statuses: Named::new() };
        for name in configured.keys() {
            // What is wrong stands in the service's status.
            let _ = services.find(name);
        }
        services
    }

    pub(super) fn find(&mut self, name: &str) -> Result<Arc<Destination>, String> {
        self.build(name, &mut Vec::new())
    }

    pub(super) fn finish(self) -> Named<Status> {
        self.statuses
    }

    fn build(&mut self, name: &str, way: &mut Vec<String>) -> Result<Arc<Destination>, String> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        let Some(service) = self.configured.get(name) else {
            return Err(format!("the service {name:?} does not exist"));
        };
        if way.iter().any(|before| before == name) || way.len() >= DEPTH_LEVELS_MAX {
            let cycle = [way.as_slice(), &[name.to_owned()]].concat().join("->");
            return Err(format!("could not instantiate service {name}: recursion detected in {cycle}"));
        }
        way.push(name.to_owned());
        let made = self.make(name, service, way).map(Arc::new);
        way.pop();
        let status = self.statuses.entry(name.to_owned()).or_default();
        if let Err(error) = &made {
            status.error(error.clone(), true);
        }
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn make(&mut self, name: &str, service: &Service, way: &mut Vec<String>) -> Result<Destination, String> {
        let given = [
            service.load_balancer.is_some(),
            service.weighted.is_some(),
            service.highest_random_weight.is_some(),
            service.mirroring.is_some(),
            service.failover.is_some(),
        ];
        if given.iter().filter(|given| **given).count() > 1 {
            return Err(
                "cannot create service: multi-types service not supported, consider declaring two different \
                        pieces of service instead"
                    .to_owned(),
            );
        }
        if let Some(balancer) = &service.load_balancer {
            return self.balancer(name, balancer).map(Destination::Balancer);
        }
        if let Some(weighted) = &service.weighted {
            let mut services = Vec::new();
            for other in &weighted.services {
                services.push(self.build(&qualified(&other.name, provider_of(name)), way)?);
            }
            let weights: Vec<i64> = weighted.services.iter().map(|other| other.weight.unwrap_or(1)).collect();
            return Ok(Destination::Weighted { services, turns: Turns::new(&weights) });
        }
        if given.iter().any(|given| *given) {
            return Err(
                "services by highest random weight, with mirrors or with a fallback are not there yet"
                    .to_owned(),
            );
        }
        Err(format!("the service {name:?} does not have any type defined"))
    }

    fn balancer(&self, name: &str, config: &LoadBalancer) -> Result<Balancer, String> {
        if config.strategy != "wrr" && !config.strategy.is_empty() {
            return Err(format!("unsupported load-balancer strategy {:?}", config.strategy));
        }
        let addresses = config.servers.iter().map(|server| address(&server.url, server.preserve_path));
        let weights: Vec<i64> = config.servers.iter().map(|server| server.weight.unwrap_or(1)).collect();
        Ok(Balancer {
            name: name.to_owned(),
            addresses: addresses.collect::<Result<_, _>>()?,
            turns: Turns::new(&weights),
            pass_host: config.pass_host_header.unwrap_or(true),
            transport: self.transport(name, &config.servers_transport)?,
        })
    }

    fn transport(&self, service: &str, name: &str) -> Result<Transport, String> {
        let (timeouts, idle_connections) = if name.is_empty() {
            (self.default.forwarding_timeouts.clone(), self.default.max_idle_conns_per_host)
        } else {
            let name = qualified(name, provider_of(service));
            let found = self
                .transports
                .get(&name)
                .ok_or_else(|| format!("the servers transport {name:?} does not exist"))?;
            (found.forwarding_timeouts.clone().unwrap_or_default(), found.max_idle_conns_per_host)
        };
        let of = |span: Span| span.get();
        Ok(Transport {
            dial: of(timeouts.dial_timeout),
            answer: of(timeouts.response_header_timeout),
            idle: of(timeouts.idle_conn_timeout),
            idle_connections: match idle_connections {
                0 => IDLE_CONNECTIONS,
                count => usize::try_from(count).unwrap_or(0),
            },
        })
    }
}

/// How many connections to a server stay open without a request, where nothing is said.
const IDLE_CONNECTIONS: usize = 200;

fn address(url: &str, preserve_path: bool) -> Result<Address, String> {
    let wrong = || format!("error parsing server URL {url}");
    let (scheme, rest) = url.split_once("://").ok_or_else(wrong)?;
    if scheme != "http" {
        return Err(format!("server {url}: servers are spoken to by http alone yet, not by {scheme}"));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    let parsed: hyper::http::uri::Authority = authority.parse().map_err(|_| wrong())?;
    let path = if preserve_path { path.trim_end_matches('/') } else { "" };
    let authority = if parsed.port().is_some() { authority.to_owned() } else { format!("{authority}:80") };
    Ok(Address { authority, path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_are_spread_evenly() {
        for (weights, expected) in [
            (&[1, 1][..], &[0, 1, 0, 1][..]),
            (&[3, 1], &[0, 0, 1, 0]),
            (&[10, 10, 0], &[0, 1, 0, 1]),
            (&[0], &[]),
            (&[], &[]),
            (&[-1, 2], &[1, 1]),
        ] {
            let turns = Turns::new(weights);
            let found: Vec<usize> = (0..expected.len()).filter_map(|_| turns.next()).collect();
            assert_eq!(found, expected, "{weights:?}");
            assert_eq!(turns.next().is_some(), !expected.is_empty());
        }
        assert!(Turns::new(&[i64::MAX, 1]).order.len() <= TURNS_MAX + 1);
    }
}
