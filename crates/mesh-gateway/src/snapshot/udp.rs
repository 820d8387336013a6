//! UDP routers and services: which server a client's datagrams go to.
//!
//! There are no rules: all that comes in at an entry point goes to one service. Where several routers ask for an entry
//! point it is the one whose name is last, as with Traefik, and the others are told that they get nothing.

use super::{Snapshot, Status, provider_of, qualified, turns::Turns};
use crate::config::{
    model::{Named, UdpConfiguration, UdpService},
    statics::Statics,
};
use std::sync::Arc;

/// Deepest nesting of weighted services.
const DEPTH_LEVELS_MAX: usize = 16;

/// Where the clients of an entry point go.
#[derive(Debug, Clone)]
pub(crate) struct UdpRoute {
    pub(crate) name: String,
    pub(crate) destination: Arc<UdpDestination>,
}

/// Where clients go.
#[derive(Debug)]
pub(crate) enum UdpDestination {
    /// Hosts with ports, of which each client gets one.
    Servers {
        addresses: Vec<String>,
        turns: Turns,
    },
    Weighted {
        services: Vec<Arc<UdpDestination>>,
        turns: Turns,
    },
}

impl UdpDestination {
    /// The server whose turn it is; none if there is none.
    pub(crate) fn next(&self) -> Option<&str> {
        let mut now = self;
        loop {
            match now {
                Self::Servers { addresses, turns } => {
                    return addresses.get(turns.next()?).map(String::as_str);
                }
                Self::Weighted { services, turns } => now = services.get(turns.next()?)?,
            }
        }
    }
}

/// UDP services by their names, each made once.
struct UdpServices<'c> {
    all: &'c Named<UdpService>,
    made: Named<Result<Arc<UdpDestination>, String>>,
}

impl UdpServices<'_> {
    fn build(&mut self, name: &str, way: &mut Vec<String>) -> Result<Arc<UdpDestination>, String> {
        if let Some(made) = self.made.get(name) {
            return made.clone();
        }
        let all = self.all;
        let service = all.get(name).ok_or_else(|| format!("the UDP service {name:?} does not exist"))?;
        if way.iter().any(|before| before == name) || way.len() >= DEPTH_LEVELS_MAX {
            return Err(format!("could not instantiate service {name}: recursion detected"));
        }
        way.push(name.to_owned());
        let made = self.make(name, service, way).map(Arc::new);
        way.pop();
        self.made.insert(name.to_owned(), made.clone());
        made
    }

    fn make(
        &mut self,
        name: &str,
        service: &UdpService,
        way: &mut Vec<String>,
    ) -> Result<UdpDestination, String> {
        match (&service.load_balancer, &service.weighted) {
            (Some(_), Some(_)) => Err(
                "cannot create service: multi-types service not supported, consider declaring two different \
                     pieces of service instead"
                    .to_owned(),
            ),
            (None, None) => Err(format!("the UDP service {name:?} does not have any type defined")),
            (Some(balancer), None) => {
                let addresses: Vec<String> =
                    balancer.servers.iter().map(|server| server.address.clone()).collect();
                let has_port = |address: &&String| {
                    address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
                };
                if let Some(address) = addresses.iter().find(|address| !has_port(address)) {
                    return Err(format!("the server {address:?} is no host with a port"));
                }
                let turns = Turns::new(&vec![1; addresses.len()]);
                Ok(UdpDestination::Servers { addresses, turns })
            }
            (None, Some(weighted)) => {
                let child = |one: &crate::config::model::TcpWeightedService| {
                    self.build(&qualified(&one.name, provider_of(name)), way)
                };
                let services = weighted.services.iter().map(child).collect::<Result<_, _>>()?;
                let weights: Vec<i64> = weighted.services.iter().map(|one| one.weight.unwrap_or(1)).collect();
                Ok(UdpDestination::Weighted { services, turns: Turns::new(&weights) })
            }
        }
    }
}

/// Finds out where the clients of each entry point of UDP go, and how routers and services stand.
pub(super) fn place(all: &UdpConfiguration, statics: &Statics, snapshot: &mut Snapshot) {
    let mut services = UdpServices { all: &all.services, made: Named::new() };
    for name in all.services.keys() {
        let status = snapshot.udp_services.get_or_default(name);
        if let Err(message) = services.build(name, &mut Vec::new()) {
            status.error(message, true);
        }
    }
    // The last one first: whoever comes later finds the place taken.
    for (name, router) in all.routers.iter().rev() {
        let is_udp = |entry: &&String| statics.entry_points.get(entry).is_some_and(|point| point.is_udp());
        let known: Vec<String> = router.entry_points.iter().filter(is_udp).cloned().collect();
        let mut status = Status::using(&known);
        for entry in router.entry_points.iter().filter(|entry| !is_udp(entry)) {
            let message = match statics.entry_points.contains_key(entry) {
                true => format!("entryPoint {entry:?} is none of UDP: its address does not end in /udp"),
                false => format!("entryPoint {entry:?} doesn't exist"),
            };
            status.error(message, known.is_empty());
        }
        if router.entry_points.is_empty() {
            status.error("a UDP router has no entry points but those that it names".to_owned(), true);
        }
        match services.build(&qualified(&router.service, provider_of(name)), &mut Vec::new()) {
            Ok(destination) => {
                for entry in known {
                    if let Some(taken) = snapshot.udp.get(&entry) {
                        let other = &taken.name;
                        let message =
                            format!("entryPoint {entry:?} goes to the router {other}, not to this one");
                        status.error(message, false);
                        continue;
                    }
                    let route = UdpRoute { name: name.clone(), destination: destination.clone() };
                    snapshot.udp.insert(entry, route);
                }
            }
            Err(message) => status.error(message, true),
        }
        snapshot.udp_routers.insert(name.clone(), status);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{State, build};
    use crate::config::{
        files::of_text,
        statics::{EntryPoint, Statics},
    };
    use std::path::Path;

    #[test]
    fn clients_go_where_their_entry_point_goes() {
        let mut statics = Statics::default();
        for (name, address) in [("dns", ":53/udp"), ("other", ":54/UDP"), ("web", ":80")] {
            let entry = EntryPoint { address: address.to_owned(), ..EntryPoint::default() };
            statics.entry_points.insert(name.to_owned(), entry);
        }
        let text = "
udp:
  routers:
    a: {entryPoints: [dns], service: two}
    b: {entryPoints: [dns, other], service: shared}
    lost: {entryPoints: [other], service: none}
    nowhere: {service: two}
    wrong: {entryPoints: [web, gone], service: two}
  services:
    two: {loadBalancer: {servers: [{address: '10.0.0.1:53'}, {address: '10.0.0.2:53'}]}}
    one: {loadBalancer: {servers: [{address: '10.0.0.3:53'}]}}
    shared: {weighted: {services: [{name: two, weight: 2}, {name: one, weight: 1}]}}
    round: {weighted: {services: [{name: round}]}}
    bare: {loadBalancer: {servers: [{address: 10.0.0.1}]}}
";
        let part = of_text(Path::new("a.yml"), text).expect("read");
        let snapshot = build(&[("file", &part)], &statics);
        let route = &snapshot.udp["dns"];
        assert_eq!(route.name, "b@file");
        let found: Vec<_> = (0..6).filter_map(|_| route.destination.next()).collect();
        assert_eq!(found.iter().filter(|address| **address == "10.0.0.3:53").count(), 2, "{found:?}");
        assert_eq!(found.iter().filter(|address| **address == "10.0.0.1:53").count(), 2, "{found:?}");
        for (name, state, error) in [
            ("a", State::Warning, "goes to the router b@file"),
            ("b", State::Enabled, ""),
            ("lost", State::Disabled, "\"none@file\" does not exist"),
            ("nowhere", State::Disabled, "no entry points"),
            ("wrong", State::Disabled, "is none of UDP"),
        ] {
            let status = &snapshot.udp_routers[&format!("{name}@file")];
            assert_eq!(status.state, state, "{name}: {status:?}");
            assert!(status.errors.concat().contains(error), "{name}: {status:?}");
        }
        for (name, error) in [("round", "recursion"), ("bare", "no host with a port")] {
            let status = &snapshot.udp_services[&format!("{name}@file")];
            assert!(status.errors.concat().contains(error), "{name}: {status:?}");
        }
    }
}
