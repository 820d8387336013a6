//! Where ports are published when the file's own addresses are not asked for (`--ports auto`).
//!
//! A project gets an address of 127.0.0.0/8 that follows from its name, so that it is the same after every
//! restart and in every home, and publishes there under the file's own ports. Free ports stand in where that
//! cannot be: the file names an address that is not the loopback's, something else listens on all addresses,
//! or this user may not have the port. What was chosen stays with the project until it is taken down.

mod web;

use crate::{container::Container, desk::Desk, outlet::Outlet, words};
use mesh_api::message::{ApiError, Level};
use mesh_model::{
    container::ContainerId,
    network::{PortMapping, Protocol, Published},
    project::{Ports, Project, Publishing},
    service::Service,
};
use mesh_runtime::observed::PortTrial;
use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::time::timeout;

/// Time in which the ground tells of ports that it published again.
const TOLD_MAX: Duration = Duration::from_secs(2);

/// Addresses that are tried for a project.
const ADDRESSES_TRIED_MAX: u64 = 16;

/// Free ports that are tried for one that is not free itself.
const FREE_PORTS_TRIED_MAX: usize = 16;

/// Free ports that are remembered; a file that changes for years does not make a record grow for years.
const GIVEN_MAX: usize = 1 << 16;

/// A port that somebody listens on.
type Listener = (SocketAddr, Protocol);

/// The ports of one project, while they are chosen.
struct Choice<'a> {
    desk: &'a Desk,
    /// What its own containers listen on.
    ours: BTreeSet<Listener>,
    /// What was chosen before, and the service it is for.
    taken: BTreeMap<Listener, String>,
    publishing: Publishing,
    address: Ipv4Addr,
}

impl Desk {
    /// Puts the project's published ports where they shall be. `commanded` is what the command says of it.
    pub(crate) async fn choose_ports(&self, project: &mut Project, commanded: Option<Ports>) {
        let view = self.owner.now();
        let before = view.project.as_ref().map(|before| before.publishing.clone()).unwrap_or_default();
        let in_file = project.publishing.in_file;
        let commanded = commanded.or(before.commanded);
        let mut publishing = Publishing { in_file, commanded, further: BTreeMap::new(), ..before };
        if publishing.given.len() > GIVEN_MAX {
            publishing.given.clear();
        }
        project.publishing = publishing.clone();
        let alive = view.containers.values().filter(|found| found.phase.alive());
        let ours = alive.flat_map(|found| found.facts.ports.iter().map(|port| (port.host, port.protocol)));
        let (ours, address) = (ours.collect(), Ipv4Addr::LOCALHOST);
        if publishing.ports() != Ports::Auto {
            return self.stand_in(project, &ours).await;
        }
        let mut choice = Choice { desk: self, ours, taken: BTreeMap::new(), publishing, address };
        choice.address = choice.own_address(project).await;
        let written: BTreeMap<String, Vec<Published>> = project
            .services
            .values()
            .filter(|service| !service.network.ports.is_empty())
            .map(|service| {
                (service.name.clone(), service.network.ports.iter().map(|it| it.published).collect())
            })
            .collect();
        // What is fixed comes first: of a range, another port does as well.
        for ranges in [false, true] {
            for service in project.services.values_mut() {
                for mapping in service.network.ports.iter_mut().filter(|mapping| is_range(mapping) == ranges)
                {
                    choice.place(&service.name, mapping).await;
                }
            }
        }
        let of = |(name, ports): (String, Vec<Published>)| {
            let placed = project.services.get(&name).map(|service| service.network.ports.as_slice());
            let pairs = ports.into_iter().zip(placed.unwrap_or_default());
            let ports = pairs.map(|(written, placed)| choice.further(&name, written, placed)).collect();
            (name, ports)
        };
        let further = written.into_iter().map(of).collect();
        project.publishing = Publishing { address: Some(choice.address), further, ..choice.publishing };
    }

    /// A service of `run` publishes where its further containers do, as long as one of `up` has its own ports.
    pub(crate) fn beside_others(&self, project: &Project, service: &mut Service) {
        let alive = self.owner.now().of_service(&service.name).any(|found| found.phase.alive());
        let further = project.publishing.further.get(&service.name).filter(|_| alive);
        for (mapping, published) in service.network.ports.iter_mut().zip(further.into_iter().flatten()) {
            mapping.published = *published;
        }
    }

    /// Has the ports published that running containers lost; refuses where something still has one.
    pub(crate) async fn regain_ports(&self, ids: &[ContainerId]) -> Result<(), ApiError> {
        let view = self.owner.now();
        let lacking = |found: &&Container| found.phase.alive() && !found.facts.lost.is_empty();
        let mut errors = Vec::new();
        for container in ids.iter().filter_map(|id| view.containers.get(id)).filter(lacking) {
            let id = &container.spec.id;
            let what = format!("service {}", container.service());
            match self.ground(&what, self.runtime.publish_lost(id)).await {
                Ok(()) => {
                    let told = self.owner.until(|view| {
                        view.containers.get(id).is_none_or(|found| found.facts.lost.is_empty())
                    });
                    // Whether it was told changes nothing about what is published.
                    let _ = timeout(TOLD_MAX, told).await;
                }
                Err(error) => {
                    let now = self.owner.now();
                    let lost = now.containers.get(id).map_or(0, |found| found.facts.lost.len());
                    let more = if lost > 1 {
                        format!(" (and {} more of its ports)", lost - 1)
                    } else {
                        String::new()
                    };
                    errors.push(ApiError { message: format!("{}{more}", error.message), ..error });
                }
            }
        }
        words::together(errors)
    }

    /// Says where the project is reached, if it has an address of its own.
    pub(crate) async fn tell_address(&self, project: &Project, outlet: &Outlet) {
        let publishes = project.services.values().any(|service| !service.network.ports.is_empty());
        if let (Ports::Auto, Some(address), true) =
            (project.publishing.ports(), project.publishing.address, publishes)
        {
            let text =
                format!("ports of project {} are published on {address}, its own address", project.name);
            outlet.note(Level::Info, text).await;
        }
    }
}

impl Choice<'_> {
    /// The project's address: the one it has, or the first of its own on which nobody else has its ports.
    async fn own_address(&self, project: &Project) -> Ipv4Addr {
        let mappings = project.services.values().flat_map(|service| &service.network.ports);
        let fixed = |mapping: &PortMapping| match mapping.published {
            Published::Port(port) if on_loopback(mapping) => Some((port, mapping.protocol)),
            _ => None,
        };
        let wanted: BTreeSet<(u16, Protocol)> = mappings.filter_map(fixed).collect();
        if let Some(address) = self.publishing.address {
            return address;
        }
        let mut first = None;
        for number in 0..ADDRESSES_TRIED_MAX {
            let address = derived(&project.name, number);
            match self.trial(SocketAddr::from((address, 0)), Protocol::Tcp).await {
                PortTrial::NoAddress => continue,
                _ => drop(first.get_or_insert(address)),
            }
            let mut free = true;
            for (port, protocol) in &wanted {
                let listener = (SocketAddr::from((address, *port)), *protocol);
                free &=
                    self.is_ours(&listener) || self.trial(listener.0, *protocol).await != PortTrial::Taken;
            }
            if free {
                return address;
            }
        }
        // Something listens on all addresses, or there is only one of them.
        first.unwrap_or(Ipv4Addr::LOCALHOST)
    }

    /// Where further containers of a service publish a port whose first container has it where it is `placed`: they
    /// find one as they start, of the range that is `written` where no other service counts on one of it.
    fn further(&self, service: &str, written: Published, placed: &PortMapping) -> Published {
        let Published::OneOf(first, last) = written else { return Published::Any };
        let other = |((address, protocol), of): (&Listener, &String)| {
            of != service
                && *protocol == placed.protocol
                && Some(address.ip()) == placed.host_ip
                && (first..=last).contains(&address.port())
        };
        if self.taken.iter().any(other) { Published::Any } else { written }
    }

    /// Puts one port of a service where it shall be.
    async fn place(&mut self, service: &str, mapping: &mut PortMapping) {
        let key = key(service, mapping);
        let address = match mapping.host_ip {
            Some(other) if !on_loopback(mapping) => other,
            _ => IpAddr::V4(self.address),
        };
        mapping.host_ip = Some(address);
        let written = match mapping.published {
            Published::Port(port) => port..=port,
            Published::OneOf(first, last) => first..=last,
            Published::Any => return,
        };
        let given = self.publishing.given.get(&key).copied();
        for chosen in given.into_iter().chain(written.filter(|_| given.is_none())) {
            if self.take(service, address, chosen, mapping.protocol).await {
                if is_range(mapping) {
                    self.publishing.given.insert(key, chosen);
                }
                mapping.published = Published::Port(chosen);
                return;
            }
        }
        if let Some(port) = self.any(service, address, mapping.protocol).await {
            self.publishing.given.insert(key, port);
            mapping.published = Published::Port(port);
        }
        // Else it stays as it is written, and publishing says what is wrong with the address.
    }

    /// Takes a port that is free; one that is not held yet may be found twice.
    async fn any(&mut self, service: &str, address: IpAddr, protocol: Protocol) -> Option<u16> {
        for _ in 0..FREE_PORTS_TRIED_MAX {
            let trial = self.trial(SocketAddr::new(address, 0), protocol).await;
            let PortTrial::Free(port) = trial else { return None };
            if let Entry::Vacant(free) = self.taken.entry((SocketAddr::new(address, port), protocol)) {
                free.insert(service.to_owned());
                return Some(port);
            }
        }
        None
    }

    /// Takes a port, if it is free, or one of the project's own, and not taken for another of them.
    async fn take(&mut self, service: &str, address: IpAddr, port: u16, protocol: Protocol) -> bool {
        let listener = (SocketAddr::new(address, port), protocol);
        if self.taken.contains_key(&listener) {
            return false;
        }
        let free =
            self.is_ours(&listener) || matches!(self.trial(listener.0, protocol).await, PortTrial::Free(_));
        if free {
            self.taken.insert(listener, service.to_owned());
        }
        free
    }

    /// Whether one of the project's own containers listens there, if only on all addresses: it will make room.
    fn is_ours(&self, (address, protocol): &Listener) -> bool {
        let same = |ip: IpAddr| ip == address.ip() || ip.is_unspecified();
        self.ours.iter().any(|(held, of)| held.port() == address.port() && of == protocol && same(held.ip()))
    }

    async fn trial(&self, address: SocketAddr, protocol: Protocol) -> PortTrial {
        self.desk.runtime.try_port(address, protocol).await
    }
}

fn is_range(mapping: &PortMapping) -> bool {
    matches!(mapping.published, Published::OneOf(..))
}

/// Whether the project's own address serves in place of the one that the file names.
fn on_loopback(mapping: &PortMapping) -> bool {
    match mapping.host_ip {
        None => true,
        Some(IpAddr::V4(address)) => address.is_loopback(),
        Some(IpAddr::V6(_)) => false,
    }
}

/// A port as the file has it, by which a choice is found again.
fn key(service: &str, mapping: &PortMapping) -> String {
    let host = mapping.host_ip.map(|ip| ip.to_string()).unwrap_or_default();
    let published = match mapping.published {
        Published::Port(port) => port.to_string(),
        Published::OneOf(first, last) => format!("{first}-{last}"),
        Published::Any => String::new(),
    };
    format!("{service} {host}:{published}:{}/{}", mapping.target, mapping.protocol)
}

/// An address of 127.0.0.0/8 that follows from a name; not of 127.0.0.0/16, where machines have names for
/// themselves and their resolvers.
fn derived(name: &str, number: u64) -> Ipv4Addr {
    // FNV-1a: the same in every build, which the standard library does not promise of its own.
    let mut hash: u64 = 0xCBF2_9CE4_8422_2325;
    for byte in name.bytes().chain(number.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    }
    let part = |shift: u32, count: u64| u8::try_from((hash >> shift) % count).unwrap_or(0);
    Ipv4Addr::new(127, 1 + part(40, 254), part(24, 256), 1 + part(8, 254))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_follow_from_names() {
        let mut seen = BTreeSet::new();
        for name in ["shop", "shop-dev", "hub", "a", ""] {
            for number in 0..ADDRESSES_TRIED_MAX {
                let address = derived(name, number);
                assert_eq!(address, derived(name, number));
                let [first, second, _, last] = address.octets();
                assert!(first == 127 && second > 0 && (1..255).contains(&last), "{address}");
                seen.insert(address);
            }
        }
        assert_eq!(seen.len(), 5 * 16, "no two are the same here");
        assert_eq!(derived("shop", 0).to_string(), derived("shop", 0).to_string());
    }

    #[test]
    fn loopback_and_no_address_give_way() {
        for (host, want) in [
            (None, true),
            (Some("127.0.0.1"), true),
            (Some("127.9.9.9"), true),
            (Some("0.0.0.0"), false),
            (Some("10.0.0.1"), false),
            (Some("::1"), false),
        ] {
            let host_ip = host.map(|text| text.parse().expect("an address"));
            let published = Published::Port(80);
            let mapping = PortMapping { host_ip, published, target: 80, protocol: Protocol::Tcp };
            assert_eq!(on_loopback(&mapping), want, "{host:?}");
        }
    }
}
