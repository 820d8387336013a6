//! Bridges, veths, rules and routes, by netlink.
//!
//! What a bridge's containers may reach is decided by its own routing table alone. Its two rules are
//! asked before the kernel's table of local addresses, which [`Links::prepare`] moves behind them:
//!
//! ```text
//! 10  iif br-x lookup <table of br-x>   local <gateway of br-x>; default dev <way out>, if there is one
//! 20  iif br-x unreachable
//! 100 lookup local
//! ```
//!
//! So a packet from one bridge reaches neither another bridge nor another gateway, and the loss of the
//! way out closes it.

use crate::error::NetworkError;
use futures_util::TryStreamExt;
use rtnetlink::{
    Error, Handle, IpVersion, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder,
    packet_route::{
        address::AddressAttribute,
        link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkMessage},
        route::{RouteScope, RouteType},
        rule::{RuleAction, RuleAttribute, RuleMessage},
    },
};
use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr},
    os::fd::{AsRawFd, BorrowedFd},
};

/// In front of a network's name in its bridge's alias.
const ALIAS: &str = "mesh:";
const ALIAS_INTERNAL: &str = "mesh-internal:";

const TABLE_FIRST: u32 = 10_000;
const TABLE_LOCAL: u32 = 255;
const PRIORITY_LOOKUP: u32 = 10;
const PRIORITY_CLOSED: u32 = 20;
const PRIORITY_LOCAL: u32 = 100;

/// A bridge that was found.
pub(crate) struct Found {
    pub(crate) network: String,
    pub(crate) internal: bool,
    pub(crate) bridge: Bridge,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) prefix: u8,
}

/// A network's bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bridge {
    index: u32,
}

/// One end in the project's namespace, one in the container's.
pub(crate) struct Veth<'a> {
    pub(crate) name: &'a str,
    pub(crate) bridge: Bridge,
    pub(crate) namespace: BorrowedFd<'a>,
    pub(crate) interface: &'a str,
    pub(crate) hardware: [u8; 6],
}

/// Links, rules and routes of one namespace.
#[derive(Debug, Clone)]
pub(crate) struct Links(pub(crate) Handle);

impl Links {
    /// Moves the table of local addresses behind the bridges' rules.
    pub(crate) async fn prepare(&self) -> Result<(), NetworkError> {
        let failed = || NetworkError::netlink("order the routing rules of the project's namespace");
        let rules = self.rules().await?;
        let is_local = |rule: &RuleMessage| {
            u32::from(rule.header.table) == TABLE_LOCAL && rule.header.action == RuleAction::ToTable
        };
        let moved = |rule: &RuleMessage| rule.attributes.contains(&RuleAttribute::Priority(PRIORITY_LOCAL));
        if !rules.iter().any(|rule| is_local(rule) && moved(rule)) {
            let rule = self.0.rule().add().v4().table_id(TABLE_LOCAL).action(RuleAction::ToTable);
            rule.priority(PRIORITY_LOCAL).execute().await.map_err(failed())?;
        }
        for rule in rules.into_iter().filter(|rule| is_local(rule) && !moved(rule)) {
            self.0.rule().del(rule).execute().await.map_err(failed())?;
        }
        Ok(())
    }

    /// Bridges of networks that are there.
    pub(crate) async fn found(&self) -> Result<Vec<Found>, NetworkError> {
        let failed = || NetworkError::netlink("list the bridges of the project's namespace");
        let links: Vec<LinkMessage> = self.0.link().get().execute().try_collect().await.map_err(failed())?;
        let mut found = Vec::new();
        for link in links {
            let alias = link.attributes.iter().find_map(|attribute| match attribute {
                LinkAttribute::IfAlias(alias) => Some(alias.as_str()),
                _ => None,
            });
            let (network, internal) =
                match alias.map(|a| (a.strip_prefix(ALIAS), a.strip_prefix(ALIAS_INTERNAL))) {
                    Some((Some(network), _)) => (network, false),
                    Some((_, Some(network))) => (network, true),
                    _ => continue,
                };
            let index = link.header.index;
            let request = self.0.address().get().set_link_index_filter(index).execute();
            let addresses: Vec<_> = request.try_collect().await.map_err(failed())?;
            let address = addresses.iter().find_map(|address| {
                let local = address.attributes.iter().find_map(|attribute| match attribute {
                    AddressAttribute::Local(IpAddr::V4(local)) => Some(*local),
                    _ => None,
                });
                local.map(|local| (local, address.header.prefix_len))
            });
            match address {
                Some((gateway, prefix)) => {
                    let bridge = Bridge { index };
                    found.push(Found { network: network.to_owned(), internal, bridge, gateway, prefix });
                }
                // Its maker was killed half-way; nothing is attached to it.
                None => self.delete_index(index).await.map_err(failed())?,
            }
        }
        Ok(found)
    }

    /// Makes a network's bridge. The rules come first, so that it is never open; the address comes
    /// last, so that a bridge with an address is a complete one.
    pub(crate) async fn make_bridge(
        &self,
        network: &str,
        internal: bool,
        gateway: Ipv4Addr,
        prefix: u8,
    ) -> Result<Bridge, NetworkError> {
        let failed = || NetworkError::netlink(format!("make the bridge of network {network}"));
        let name = bridge_name(network);
        self.remove_bridge(network).await?;
        self.add_rules(&name, None).await.map_err(failed())?;
        let link = LinkBridge::new(&name).address(hardware_address(gateway).to_vec()).build();
        self.0.link().add(link).execute().await.map_err(failed())?;
        let alias = format!("{}{network}", if internal { ALIAS_INTERNAL } else { ALIAS });
        let link = LinkUnspec::new_with_name(&name).alias(alias).up().build();
        self.0.link().set(link).execute().await.map_err(failed())?;
        let index = self.index(&name).await.map_err(failed())?;
        let bridge = Bridge { index };
        self.add_rules(&name, Some(bridge.table())).await.map_err(failed())?;
        let own = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(gateway, 32)
            .output_interface(index)
            .table_id(bridge.table())
            .kind(RouteType::Local)
            .scope(RouteScope::Host);
        self.0.route().add(own.build()).replace().execute().await.map_err(failed())?;
        self.0.address().add(index, gateway.into(), prefix).execute().await.map_err(failed())?;
        Ok(bridge)
    }

    /// Removes a network's bridge and its rules, if they are there.
    pub(crate) async fn remove_bridge(&self, network: &str) -> Result<(), NetworkError> {
        let failed = || NetworkError::netlink(format!("remove the bridge of network {network}"));
        let name = bridge_name(network);
        self.delete(&name).await.map_err(failed())?;
        let belongs = RuleAttribute::Iifname(name);
        for rule in self.rules().await?.into_iter().filter(|rule| rule.attributes.contains(&belongs)) {
            self.0.rule().del(rule).execute().await.map_err(failed())?;
        }
        Ok(())
    }

    /// Leads everything of a bridge that is for nobody else to the device of the way out.
    pub(crate) async fn open_way_out(&self, bridge: Bridge, device: u32) -> Result<(), NetworkError> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .output_interface(device)
            .table_id(bridge.table())
            .scope(RouteScope::Link);
        let failed = NetworkError::netlink("route a bridge to the way out");
        self.0.route().add(route.build()).replace().execute().await.map_err(failed)
    }

    /// Brings up the device of the way out with its own address and that of its peer.
    pub(crate) async fn raise_device(
        &self,
        name: &str,
        address: Ipv4Addr,
        peer: Ipv4Addr,
    ) -> Result<u32, Error> {
        let index = self.index(name).await?;
        self.0.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
        self.0.address().add(index, address.into(), 32).replace().execute().await?;
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(peer, 32)
            .output_interface(index)
            .scope(RouteScope::Link);
        self.0.route().add(route.build()).replace().execute().await?;
        Ok(index)
    }

    /// Makes a veth with its far end in the container's namespace from the first moment: moving it there
    /// costs tens of milliseconds. The far end is still down, as the kernel cannot raise it before it
    /// has its peer.
    pub(crate) async fn make_veth(&self, veth: &Veth<'_>) -> Result<(), Error> {
        let message = || {
            let peer = LinkMessageBuilder::<LinkUnspec>::new()
                .name(veth.interface)
                .address(veth.hardware.to_vec())
                .setns_by_fd(veth.namespace.as_raw_fd())
                .build();
            LinkMessageBuilder::<LinkVeth>::new_with_info_kind(InfoKind::Veth)
                .name(veth.name)
                .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
                .controller(veth.bridge.index)
                .up()
                .build()
        };
        match self.0.link().add(message()).execute().await {
            Err(error) if kind(&error) == Some(ErrorKind::AlreadyExists) => {
                // Left over from an earlier life of the same container.
                self.delete(veth.name).await?;
                self.0.link().add(message()).execute().await
            }
            other => other,
        }
    }

    /// Brings up an interface with its address.
    pub(crate) async fn raise(&self, name: &str, address: Ipv4Addr, prefix: u8) -> Result<(), Error> {
        let index = self.index(name).await?;
        self.0.link().set(LinkUnspec::new_with_index(index).up().build()).execute().await?;
        self.0.address().add(index, address.into(), prefix).execute().await
    }

    /// Sets the default route.
    pub(crate) async fn add_default_route(&self, gateway: Ipv4Addr) -> Result<(), Error> {
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(Ipv4Addr::UNSPECIFIED, 0)
            .gateway(gateway);
        self.0.route().add(route.build()).execute().await
    }

    /// Deletes a link if it is there.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        let message = LinkUnspec::new_with_name(name).build();
        absent_is_fine(self.0.link().del_with_message(message).execute().await)
    }

    async fn delete_index(&self, index: u32) -> Result<(), Error> {
        absent_is_fine(self.0.link().del(index).execute().await)
    }

    pub(crate) async fn index(&self, name: &str) -> Result<u32, Error> {
        let link = self.0.link().get().match_name(name).execute().try_next().await?;
        link.map(|link| link.header.index).ok_or(Error::RequestFailed)
    }

    async fn rules(&self) -> Result<Vec<RuleMessage>, NetworkError> {
        let rules = self.0.rule().get(IpVersion::V4).execute().try_collect().await;
        rules.map_err(NetworkError::netlink("list the routing rules of the project's namespace"))
    }

    /// The rule that closes a bridge, or the one that opens its own table.
    async fn add_rules(&self, bridge: &str, table: Option<u32>) -> Result<(), Error> {
        let rule = self.0.rule().add().v4().input_interface(bridge);
        let rule = match table {
            Some(table) => rule.table_id(table).action(RuleAction::ToTable).priority(PRIORITY_LOOKUP),
            None => rule.table_id(0).action(RuleAction::Unreachable).priority(PRIORITY_CLOSED),
        };
        rule.execute().await
    }
}

impl Bridge {
    fn table(self) -> u32 {
        TABLE_FIRST + self.index
    }
}

/// The kernel's reason.
pub(crate) fn kind(error: &Error) -> Option<ErrorKind> {
    match error {
        Error::NetlinkError(message) => Some(message.to_io().kind()),
        _ => None,
    }
}

fn absent_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(Error::NetlinkError(message))
            if message.to_io().raw_os_error() == Some(nix::errno::Errno::ENODEV as i32) =>
        {
            Ok(())
        }
        other => other,
    }
}

/// Name of a network's bridge: names of networks are longer than the kernel's of interfaces.
fn bridge_name(network: &str) -> String {
    format!("br-{:012x}", digest(network) & 0xffff_ffff_ffff)
}

/// Name of the end of a veth that stays with the bridge.
pub(crate) fn veth_name(container: &str, position: usize) -> String {
    format!("v{:010x}-{position}", digest(container) & 0xff_ffff_ffff)
}

/// A hardware address that follows from the address, so that a new holder of it needs no new entry in
/// its neighbours' tables.
pub(crate) fn hardware_address(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

/// FNV-1a: stable over versions, which `std`'s hasher does not promise.
fn digest(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernel() {
        let long = "a-project-with-a-long-name_a-network-with-a-long-name";
        assert_eq!(bridge_name(long).len(), 15);
        assert_ne!(bridge_name(long), bridge_name("other"));
        assert!(veth_name(&"f".repeat(64), 99).len() <= 15);
    }
}
