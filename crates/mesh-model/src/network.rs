//! Networks, attachments and published ports.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// A network of the project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Network {
    /// Key in the file.
    pub key: String,
    /// Name on the ground: `<project>_<key>`, or the `name:` given.
    pub name: String,
    /// No way out.
    pub internal: bool,
    /// Made outside this project.
    pub external: bool,
    /// `ipam.config`; empty: the ground chooses a subnet.
    pub ipam: Vec<IpamPool>,
    /// Driver; `bridge` when the file names none.
    pub driver: String,
    /// Options of the driver.
    pub driver_opts: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

/// One pool of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IpamPool {
    /// Subnet.
    pub subnet: Subnet,
    /// Gateway; `None`: its first address.
    pub gateway: Option<IpAddr>,
    /// Addresses handed out are taken from this part of it.
    pub ip_range: Option<Subnet>,
}

/// An address and a prefix length, such as `172.20.1.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Subnet {
    /// Network address (host bits zero).
    pub address: IpAddr,
    /// Prefix length in bits.
    pub prefix: u8,
}

impl Subnet {
    /// Parses `address/prefix` and clears the host bits. `None` if it is neither.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = text.split_once('/')?;
        let (address, prefix) = (address.parse::<IpAddr>().ok()?, prefix.parse::<u8>().ok()?);
        let bits = if address.is_ipv4() { 32 } else { 128 };
        (prefix <= bits).then(|| Self { address: masked(address, prefix), prefix })
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && masked(address, self.prefix) == self.address
    }

    /// The `index`-th address of it (0 is the network address itself); `None` past its end.
    #[must_use]
    pub fn nth(&self, index: u128) -> Option<IpAddr> {
        let address = match self.address {
            IpAddr::V4(v4) => {
                IpAddr::V4(Ipv4Addr::from(u32::from(v4).checked_add(u32::try_from(index).ok()?)?))
            }
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(u128::from(v6).checked_add(index)?)),
        };
        self.contains(address).then_some(address)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
        }
    }
}

/// How a service joins one network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Attachment {
    /// Further names it has there.
    pub aliases: Vec<String>,
    /// Fixed address.
    pub ipv4_address: Option<Ipv4Addr>,
    /// Fixed address.
    pub ipv6_address: Option<Ipv6Addr>,
    /// Fixed hardware address, as written.
    pub mac_address: Option<String>,
    /// Order of joining, highest first; the first one gives the default route.
    pub priority: i32,
    /// Name of its interface in the container; `None`: `eth` and a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface_name: Option<String>,
}

/// One published port. Ranges were expanded while loading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMapping {
    /// Address on the host; `None`: all.
    pub host_ip: Option<IpAddr>,
    /// Port on the host: fixed, one of a range, or chosen by the machine.
    pub published: Published,
    /// Port in the container.
    pub target: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// Port on the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Published {
    /// Any free one.
    Any,
    /// This one.
    Port(u16),
    /// The first free one from the first to the last, both included.
    OneOf(u16, u16),
}

/// Transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_parse_mask_and_count() {
        let subnet = Subnet::parse("172.20.1.77/24").expect("valid");
        assert_eq!(subnet.to_string(), "172.20.1.0/24");
        assert!(subnet.contains("172.20.1.255".parse().expect("valid")));
        assert!(!subnet.contains("172.20.2.1".parse().expect("valid")));
        assert_eq!(subnet.nth(10), "172.20.1.10".parse().ok());
        assert_eq!(subnet.nth(256), None);
        assert!(Subnet::parse("0.0.0.0/0").expect("valid").contains("9.9.9.9".parse().expect("valid")));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "::1/129"] {
            assert_eq!(Subnet::parse(bad), None, "{bad}");
        }
    }
}
