//! Which container is called what, seen from which container. Pure.

use crate::record::AttachmentRecord;
use mesh_model::container::ContainerId;
use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

/// Most labels of a name above which a domain is looked for.
const LABELS_MAX: usize = 128;

/// What the directory says about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// Its addresses, in no order.
    Addresses(Vec<Ipv4Addr>),
    /// Name of an address.
    Name(String),
    /// It is nobody here; others may know.
    Unknown,
    /// It is nobody, and nobody else may be asked.
    Nobody,
}

/// Every attached container.
#[derive(Debug, Default)]
pub(crate) struct Directory {
    records: BTreeMap<ContainerId, AttachmentRecord>,
    /// Names of others that a container answers for, in small letters: a gateway's hosts.
    lent: BTreeMap<ContainerId, BTreeSet<String>>,
}

impl Directory {
    pub(crate) fn insert(&mut self, id: ContainerId, record: AttachmentRecord) {
        self.records.insert(id, record);
    }

    pub(crate) fn remove(&mut self, id: &ContainerId) -> Option<AttachmentRecord> {
        self.lent.remove(id);
        self.records.remove(id)
    }

    /// Has a container that is attached found by these names too, in place of those before; `*.shop.test` stands for all
    /// names beneath that domain.
    pub(crate) fn lend(&mut self, id: &ContainerId, names: BTreeSet<String>) {
        if self.records.contains_key(id) {
            let small = names.into_iter().map(|name| name.to_ascii_lowercase());
            self.lent.insert(id.clone(), small.collect());
        }
    }

    pub(crate) fn get(&self, id: &ContainerId) -> Option<&AttachmentRecord> {
        self.records.get(id)
    }

    /// Addresses of a name on the first network of the asker that has it, so that all of them can be
    /// reached in the same way.
    pub(crate) fn addresses(&self, asker: &ContainerId, name: &str) -> Finding {
        let Some(record) = self.records.get(asker) else { return Finding::Nobody };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        for network in &record.networks {
            let bare = [&network.name, &network.key].into_iter().find_map(|suffix| {
                name.strip_suffix(&suffix.to_ascii_lowercase()).and_then(|rest| rest.strip_suffix('.'))
            });
            let on_network = |wanted: &str| -> Vec<Ipv4Addr> {
                let holders = self.records.values().filter_map(|other| {
                    let joined = other.networks.iter().find(|n| n.name == network.name)?;
                    let mut known = other.names.iter().chain(&joined.aliases);
                    known.any(|known| known.eq_ignore_ascii_case(wanted)).then_some(joined.address)
                });
                holders.collect()
            };
            let mut found = on_network(&name);
            if let (true, Some(bare)) = (found.is_empty(), bare) {
                found = on_network(bare);
            }
            if !found.is_empty() {
                return Finding::Addresses(found);
            }
        }
        self.lent_addresses(record, &name).map_or_else(|| outside(record), Finding::Addresses)
    }

    /// Addresses of those that answer for a name, on the first network of the asker on which there is one.
    fn lent_addresses(&self, asker: &AttachmentRecord, name: &str) -> Option<Vec<Ipv4Addr>> {
        let beneath = |names: &BTreeSet<String>| {
            let above = name.match_indices('.').map(|(at, _)| &name[at..]);
            above.take(LABELS_MAX).any(|domain| names.contains(&format!("*{domain}")))
        };
        // A name that is lent as it is goes before a domain.
        let is_named = self.lent.values().any(|names| names.contains(name));
        let holders = || {
            self.lent.iter().filter(|(_, names)| if is_named { names.contains(name) } else { beneath(names) })
        };
        let on_network = |network: &str| -> Vec<Ipv4Addr> {
            let joined = holders().filter_map(|(id, _)| {
                self.records.get(id)?.networks.iter().find(|joined| joined.name == network)
            });
            joined.map(|joined| joined.address).collect()
        };
        asker.networks.iter().map(|network| on_network(&network.name)).find(|found| !found.is_empty())
    }

    /// Name of an address that the asker shares a network with.
    pub(crate) fn name(&self, asker: &ContainerId, address: Ipv4Addr) -> Finding {
        let Some(record) = self.records.get(asker) else { return Finding::Nobody };
        let shared = |name: &str| record.networks.iter().any(|network| network.name == name);
        let holder = self.records.values().find_map(|other| {
            let joined = other.networks.iter().find(|n| n.address == address && shared(&n.name))?;
            // The second name is the container's, which is one container's alone.
            let name = other.names.get(1).or(other.names.first())?;
            Some(format!("{name}.{}.", joined.name))
        });
        holder.map_or_else(|| outside(record), Finding::Name)
    }
}

fn outside(record: &AttachmentRecord) -> Finding {
    if record.networks.iter().any(|network| !network.internal) { Finding::Unknown } else { Finding::Nobody }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::NetworkRecord;

    fn container(names: &[&str], networks: &[(&str, &str, bool, &[&str])]) -> AttachmentRecord {
        AttachmentRecord {
            names: names.iter().map(ToString::to_string).collect(),
            networks: networks
                .iter()
                .map(|(key, address, internal, aliases)| NetworkRecord {
                    key: (*key).into(),
                    name: format!("p_{key}"),
                    address: address.parse().expect("address"),
                    internal: *internal,
                    aliases: aliases.iter().map(ToString::to_string).collect(),
                })
                .collect(),
            upstream_dns: Vec::new(),
            host_gateway: false,
        }
    }

    fn check(asker: &str, name: &str, expected: &[&str]) {
        let mut directory = Directory::default();
        for (id, record) in [
            ("web", container(&["web", "p-web-1"], &[("front", "10.1.0.2", false, &[])])),
            (
                "api1",
                container(
                    &["api", "p-api-1"],
                    &[("front", "10.1.0.3", false, &["backend"]), ("back", "10.2.0.3", true, &[])],
                ),
            ),
            (
                "api2",
                container(
                    &["api", "p-api-2"],
                    &[("front", "10.1.0.4", false, &[]), ("back", "10.2.0.4", true, &[])],
                ),
            ),
            ("db", container(&["db", "p-db-1"], &[("back", "10.2.0.5", true, &["Primary"])])),
        ] {
            directory.insert(ContainerId(id.into()), record);
        }
        let lend = |name: &str| BTreeSet::from([name.to_owned()]);
        let names = ["Shop.example", "db", "*.shop.test", "web.docs.test"];
        directory.lend(&ContainerId("api1".into()), names.map(str::to_owned).into());
        directory.lend(&ContainerId("web".into()), lend("*.docs.test"));
        directory.lend(&ContainerId("gone".into()), lend("nobody.example"));
        let asker = ContainerId(asker.into());
        let found = match name.parse() {
            Ok(address) => directory.name(&asker, address),
            Err(_) => directory.addresses(&asker, name),
        };
        let found: Vec<String> = match found {
            Finding::Addresses(list) => list.iter().map(ToString::to_string).collect(),
            Finding::Name(name) => vec![name],
            Finding::Unknown => vec!["?".into()],
            Finding::Nobody => Vec::new(),
        };
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn names_are_seen_on_shared_networks_only() {
        check("web", "api.", &["10.1.0.3", "10.1.0.4"]);
        check("web", "API", &["10.1.0.3", "10.1.0.4"]);
        check("web", "p-api-2", &["10.1.0.4"]);
        check("web", "backend", &["10.1.0.3"]);
        check("web", "api.p_front", &["10.1.0.3", "10.1.0.4"]);
        check("web", "api.front", &["10.1.0.3", "10.1.0.4"]);
        check("web", "api.p_back", &["?"]);
        check("web", "SHOP.example.", &["10.1.0.3"]);
        check("db", "shop.example", &["10.2.0.3"]);
        check("web", "a.b.shop.test", &["10.1.0.3"]);
        check("web", "shop.test", &["?"]);
        check("web", "myshop.test", &["?"]);
        check("api1", "a.docs.test", &["10.1.0.2"]);
        check("api1", "web.docs.test", &["10.1.0.3"]);
        check("web", "nobody.example", &["?"]);
        check("web", "db", &["10.1.0.3"]);
        check("api1", "db", &["10.2.0.5"]);
        check("db", "api", &["10.2.0.3", "10.2.0.4"]);
        check("db", "backend", &[]);
        check("db", "example.org", &[]);
        check("api1", "primary", &["10.2.0.5"]);
        check("api1", "api", &["10.1.0.3", "10.1.0.4"]);
        check("web", "10.1.0.4", &["p-api-2.p_front."]);
        check("web", "10.2.0.5", &["?"]);
        check("gone", "web", &[]);
    }
}
