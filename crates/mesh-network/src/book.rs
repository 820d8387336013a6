//! Who has which subnet and which address: the book of one project. Pure.
//!
//! Invariants: no two networks overlap; no address is given twice; the network's own address, its
//! broadcast address and its gateway are never given.
//!
//! Addresses that nobody asked for by name are taken from the end of the range downwards, because
//! people write fixed addresses at its beginning, and some of those containers have not come yet.

use crate::{error::NetworkError, record::PresentNetwork};
use mesh_model::{
    container::ContainerId,
    network::{Network, Subnet},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
};

/// Shortest and longest prefix of a subnet that can hold containers, in bits.
const PREFIX_BITS: std::ops::RangeInclusive<u8> = 8..=30;

/// A network as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) subnet: Subnet,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) range: Option<Subnet>,
    pub(crate) internal: bool,
    taken: BTreeMap<Ipv4Addr, ContainerId>,
    reserved: BTreeSet<Ipv4Addr>,
}

/// All networks of the project by name.
#[derive(Debug, Default)]
pub(crate) struct Book {
    networks: BTreeMap<String, Entry>,
    /// Containers that may reach the host's loopback.
    to_host: BTreeSet<ContainerId>,
}

impl Book {
    pub(crate) fn get(&self, name: &str) -> Result<&Entry, NetworkError> {
        self.networks.get(name).ok_or_else(|| NetworkError::NoSuchNetwork { name: name.into() })
    }

    fn get_mut(&mut self, name: &str) -> Result<&mut Entry, NetworkError> {
        self.networks.get_mut(name).ok_or_else(|| NetworkError::NoSuchNetwork { name: name.into() })
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.networks.keys().cloned().collect()
    }

    pub(crate) fn present(&self) -> Vec<PresentNetwork> {
        let present = |(name, entry): (&String, &Entry)| PresentNetwork {
            name: name.clone(),
            subnet: entry.subnet,
            gateway: entry.gateway,
            internal: entry.internal,
        };
        self.networks.iter().map(present).collect()
    }

    /// Whether an address belongs to any network of the project.
    pub(crate) fn owns(&self, address: Ipv4Addr) -> bool {
        self.networks.values().any(|entry| entry.subnet.contains(address.into()))
    }

    /// Enters a network that was found on the ground.
    pub(crate) fn found(&mut self, name: String, subnet: Subnet, gateway: Ipv4Addr, internal: bool) {
        self.networks.insert(name, Entry::new(subnet, gateway, None, internal));
    }

    /// Enters a network as the file has it; `None`: it is there as asked for.
    pub(crate) fn plan(&mut self, network: &Network) -> Result<Option<Entry>, NetworkError> {
        let name = &network.name;
        let wanted = wanted(network)?;
        if let Some(present) = self.networks.get_mut(name) {
            match wanted {
                Some((subnet, gateway, _))
                    if subnet != present.subnet || gateway.is_some_and(|g| g != present.gateway) =>
                {
                    return Err(NetworkError::NetworkDiffers {
                        name: name.clone(),
                        present: present.subnet,
                        wanted: subnet,
                    });
                }
                Some((_, _, range)) => present.range = range,
                None => {}
            }
            return Ok(None);
        }
        let (subnet, gateway, range) = match wanted {
            Some(wanted) => wanted,
            None => (self.free_subnet(name)?, None, None),
        };
        if let Some((holder, entry)) = self.networks.iter().find(|(_, e)| overlap(e.subnet, subnet)) {
            return Err(NetworkError::SubnetTaken {
                name: name.clone(),
                subnet,
                other: entry.subnet,
                holder: holder.clone(),
            });
        }
        let gateway = gateway.or_else(|| nth(subnet, 1)).ok_or_else(|| NetworkError::SubnetUnusable {
            name: name.clone(),
            reason: format!("{subnet} has no first address"),
        })?;
        let entry = Entry::new(subnet, gateway, range, network.internal);
        self.networks.insert(name.clone(), entry.clone());
        Ok(Some(entry))
    }

    /// Strikes a network out. It must have no containers.
    pub(crate) fn remove(&mut self, name: &str) -> Result<(), NetworkError> {
        match self.networks.get(name).map_or(0, |entry| entry.taken.len()) {
            0 => {
                self.networks.remove(name);
                Ok(())
            }
            containers => Err(NetworkError::NetworkInUse { name: name.into(), containers }),
        }
    }

    /// Keeps addresses from being given to a container that did not ask for them.
    pub(crate) fn reserve(&mut self, name: &str, addresses: &[Ipv4Addr]) -> Result<(), NetworkError> {
        self.get_mut(name)?.reserved.extend(addresses);
        Ok(())
    }

    /// Gives an address: the fixed one, or a free one.
    pub(crate) fn take(
        &mut self,
        name: &str,
        id: &ContainerId,
        fixed: Option<Ipv4Addr>,
    ) -> Result<Ipv4Addr, NetworkError> {
        let entry = self.get_mut(name)?;
        let address = match fixed {
            Some(address) => entry.check_fixed(name, id, address)?,
            None => entry.free().ok_or_else(|| NetworkError::NoAddressLeft { name: name.into() })?,
        };
        entry.taken.insert(address, id.clone());
        Ok(address)
    }

    /// Lets a container reach the host's loopback, until it is released.
    pub(crate) fn allow_host(&mut self, id: &ContainerId) {
        self.to_host.insert(id.clone());
    }

    /// Whether the container of this address may reach the host's loopback.
    pub(crate) fn may_reach_host(&self, address: Ipv4Addr) -> bool {
        let mut holders = self.networks.values().filter_map(|entry| entry.taken.get(&address));
        holders.any(|holder| self.to_host.contains(holder))
    }

    /// Takes back every address of a container, and its way to the host.
    pub(crate) fn release(&mut self, id: &ContainerId) {
        self.to_host.remove(id);
        for entry in self.networks.values_mut() {
            entry.taken.retain(|_, holder| holder != id);
        }
    }

    fn free_subnet(&self, name: &str) -> Result<Subnet, NetworkError> {
        let pool = (18..=31)
            .map(|second| (Ipv4Addr::new(172, second, 0, 0), 16))
            .chain((0..16).map(|piece| (Ipv4Addr::new(192, 168, piece * 16, 0), 20)));
        pool.map(|(address, prefix)| Subnet { address: address.into(), prefix })
            .find(|subnet| !self.networks.values().any(|entry| overlap(entry.subnet, *subnet)))
            .ok_or_else(|| NetworkError::NoSubnetLeft { name: name.into() })
    }
}

impl Entry {
    fn new(subnet: Subnet, gateway: Ipv4Addr, range: Option<Subnet>, internal: bool) -> Self {
        Self { subnet, gateway, range, internal, taken: BTreeMap::new(), reserved: BTreeSet::new() }
    }

    fn check_fixed(&self, name: &str, id: &ContainerId, address: Ipv4Addr) -> Result<Ipv4Addr, NetworkError> {
        let (first, last) = bounds(self.subnet);
        let taken = |holder: &str| {
            Err(NetworkError::AddressTaken { name: name.into(), address, holder: holder.into() })
        };
        if !(first + 1..last).contains(&u32::from(address)) {
            return Err(NetworkError::AddressOutside { name: name.into(), address, subnet: self.subnet });
        }
        if address == self.gateway {
            return taken("its gateway");
        }
        match self.taken.get(&address) {
            Some(holder) if holder != id => taken(holder.short()),
            _ => Ok(address),
        }
    }

    fn free(&self) -> Option<Ipv4Addr> {
        let (first, last) = bounds(self.subnet);
        let (range_first, range_last) = self.range.map_or((first, last), bounds);
        let candidates = range_first.max(first + 1)..=range_last.min(last - 1);
        candidates.rev().map(Ipv4Addr::from).find(|address| {
            *address != self.gateway && !self.taken.contains_key(address) && !self.reserved.contains(address)
        })
    }
}

type Wanted = (Subnet, Option<Ipv4Addr>, Option<Subnet>);

/// The first IPv4 pool of the file, checked.
fn wanted(network: &Network) -> Result<Option<Wanted>, NetworkError> {
    let Some(pool) = network.ipam.iter().find(|pool| pool.subnet.address.is_ipv4()) else {
        return Ok(None);
    };
    let unusable = |reason: String| Err(NetworkError::SubnetUnusable { name: network.name.clone(), reason });
    if !PREFIX_BITS.contains(&pool.subnet.prefix) {
        return unusable(format!("the prefix of {} is not within 8 to 30 bits", pool.subnet));
    }
    let gateway = match pool.gateway {
        Some(IpAddr::V4(gateway)) => {
            let (first, last) = bounds(pool.subnet);
            if !(first + 1..last).contains(&u32::from(gateway)) {
                return unusable(format!("gateway {gateway} is not a host's address in {}", pool.subnet));
            }
            Some(gateway)
        }
        _ => None,
    };
    if let Some(range) = pool.ip_range
        && !(overlap(range, pool.subnet) && range.prefix >= pool.subnet.prefix)
    {
        return unusable(format!("range {range} is not within {}", pool.subnet));
    }
    Ok(Some((pool.subnet, gateway, pool.ip_range)))
}

fn overlap(a: Subnet, b: Subnet) -> bool {
    a.contains(b.address) || b.contains(a.address)
}

fn nth(subnet: Subnet, index: u128) -> Option<Ipv4Addr> {
    match subnet.nth(index)? {
        IpAddr::V4(address) => Some(address),
        IpAddr::V6(_) => None,
    }
}

/// First and last address of a subnet; of an IPv6 one, nothing (an empty range).
fn bounds(subnet: Subnet) -> (u32, u32) {
    match subnet.address {
        IpAddr::V4(address) => {
            let hosts = u32::MAX.checked_shr(subnet.prefix.into()).unwrap_or(0);
            (u32::from(address), u32::from(address) | hosts)
        }
        IpAddr::V6(_) => (1, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_model::network::IpamPool;

    fn network(name: &str, subnet: Option<&str>, range: Option<&str>) -> Network {
        let subnet = subnet.map(|text| Subnet::parse(text).expect("subnet"));
        Network {
            key: name.into(),
            name: name.into(),
            internal: false,
            external: false,
            ipam: subnet
                .map(|subnet| IpamPool {
                    subnet,
                    gateway: None,
                    ip_range: range.map(|text| Subnet::parse(text).expect("range")),
                })
                .into_iter()
                .collect(),
            driver: "bridge".into(),
            driver_opts: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }

    fn id(text: &str) -> ContainerId {
        ContainerId(text.into())
    }

    fn check(book: &mut Book, who: &str, fixed: Option<&str>, expected: Result<&str, &str>) {
        let fixed = fixed.map(|text| text.parse().expect("address"));
        let given = book.take("n", &id(who), fixed).map(|a| a.to_string()).map_err(|e| e.to_string());
        assert_eq!(given.as_deref().map_err(String::as_str), expected, "{who}");
    }

    #[test]
    fn addresses_are_given_once() {
        let mut book = Book::default();
        book.plan(&network("n", Some("10.1.0.0/29"), None)).expect("plan");
        book.reserve("n", &[Ipv4Addr::new(10, 1, 0, 5)]).expect("reserve");
        check(&mut book, "a", None, Ok("10.1.0.6"));
        check(&mut book, "b", None, Ok("10.1.0.4"));
        check(&mut book, "c", Some("10.1.0.5"), Ok("10.1.0.5"));
        check(&mut book, "c", Some("10.1.0.5"), Ok("10.1.0.5"));
        check(&mut book, "d", Some("10.1.0.5"), Err("address 10.1.0.5 of network n is taken by c"));
        check(&mut book, "d", Some("10.1.0.1"), Err("address 10.1.0.1 of network n is taken by its gateway"));
        for outside in ["10.1.0.0", "10.1.0.7", "10.1.0.8", "9.9.9.9"] {
            let text =
                format!("address {outside} is not a host's address in subnet 10.1.0.0/29 of network n");
            check(&mut book, "d", Some(outside), Err(&text));
        }
        check(&mut book, "d", None, Ok("10.1.0.3"));
        check(&mut book, "e", None, Ok("10.1.0.2"));
        check(&mut book, "f", None, Err("network n has no address left"));
        assert!(matches!(book.remove("n"), Err(NetworkError::NetworkInUse { containers: 5, .. })));
        book.release(&id("b"));
        check(&mut book, "f", None, Ok("10.1.0.4"));
    }

    #[test]
    fn subnets_do_not_overlap_and_ranges_are_kept() {
        let mut book = Book::default();
        book.plan(&network("n", Some("172.18.0.0/16"), Some("172.18.5.0/24"))).expect("plan");
        check(&mut book, "a", None, Ok("172.18.5.255"));
        let chosen = book.plan(&network("m", None, None)).expect("plan").expect("new");
        assert_eq!(chosen.subnet.to_string(), "172.19.0.0/16");
        assert_eq!(chosen.gateway, Ipv4Addr::new(172, 19, 0, 1));
        assert!(book.plan(&network("m", None, None)).expect("again").is_none());
        let refused = book.plan(&network("x", Some("172.18.9.0/24"), None)).expect_err("overlap");
        assert!(matches!(refused, NetworkError::SubnetTaken { .. }), "{refused}");
        let refused = book.plan(&network("n", Some("10.0.0.0/24"), None)).expect_err("differs");
        assert!(matches!(refused, NetworkError::NetworkDiffers { .. }), "{refused}");
        for (subnet, range) in [("10.0.0.0/31", None), ("10.0.0.0/24", Some("10.0.1.0/25"))] {
            let refused = book.plan(&network("y", Some(subnet), range)).expect_err("unusable");
            assert!(matches!(refused, NetworkError::SubnetUnusable { .. }), "{refused}");
        }
        for piece in 0..28 {
            book.plan(&network(&format!("p{piece}"), None, None)).expect("free");
        }
        assert!(matches!(book.plan(&network("z", None, None)), Err(NetworkError::NoSubnetLeft { .. })));
    }
}
