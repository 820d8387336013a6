//! Blocks of addresses that a login or a token is bound to.

use std::{fmt, net::IpAddr};

/// An address with how much of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Cidr {
    address: IpAddr,
    prefix: u32,
}

impl Cidr {
    /// `10.0.0.0/8`, `::1/128`; an address alone is a block of one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) if prefix.bytes().all(|byte| byte.is_ascii_digit()) => {
                (address, Some(prefix))
            }
            Some(_) => return None,
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let bits = bits(address);
        let prefix = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|prefix| *prefix <= bits)?,
            None => bits,
        };
        Some(Self { address, prefix })
    }

    /// Whether an address is in the block. An IPv4 address that came in IPv6's clothes is an IPv4 address.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        bits(address) == bits(self.address)
            && network(address, self.prefix) == network(self.address, self.prefix)
    }

    fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.prefix == bits(self.address) {
            return self.address.fmt(f);
        }
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// What is wrong with the first that is no block; an address alone is none here.
pub(super) fn check(blocks: &[String]) -> Result<(), String> {
    let wrong = blocks.iter().find(|block| !block.contains('/') || Cidr::parse(block).is_none());
    wrong.map_or(Ok(()), |block| Err(format!("invalid CIDR address: {block}")))
}

/// Whether the address is in one of the blocks. What is no block contains nothing.
pub(super) fn any_contains(blocks: &[String], address: IpAddr) -> bool {
    blocks.iter().filter_map(|block| Cidr::parse(block)).any(|block| block.contains(address))
}

/// Whether each of `inner` lies in one of `outer`; so it does where `outer` is empty.
pub(super) fn is_subset(inner: &[String], outer: &[String]) -> bool {
    let outer_blocks: Vec<Cidr> = outer.iter().filter_map(|block| Cidr::parse(block)).collect();
    outer.is_empty()
        || inner.iter().all(|inner| {
            Cidr::parse(inner).is_some_and(|inner| outer_blocks.iter().any(|outer| outer.covers(inner)))
        })
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

/// The first `prefix` bits; the rest is cut off.
fn network(address: IpAddr, prefix: u32) -> u128 {
    let (value, bits) = match address {
        IpAddr::V4(address) => (u128::from(u32::from(address)), 32),
        IpAddr::V6(address) => (u128::from(address), 128),
    };
    value.checked_shr(bits - prefix).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::{Cidr, any_contains, is_subset};

    #[test]
    fn blocks() {
        for (block, address, inside) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.0/8", "::ffff:10.1.2.3", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("fd00::/8", "fd12::1", true),
        ] {
            assert_eq!(
                Cidr::parse(block).unwrap().contains(address.parse().unwrap()),
                inside,
                "{block} {address}"
            );
        }
        for text in ["", "x", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "10.0.0.0/-1", "::/129", "/8"] {
            assert_eq!(Cidr::parse(text), None, "{text}");
        }
        assert_eq!(Cidr::parse("127.0.0.1/32").unwrap().to_string(), "127.0.0.1");
        assert!(!any_contains(&["nonsense".to_owned()], "127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn subsets() {
        let list = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (inner, outer, subset) in [
            (list(&["10.1.0.0/16"]), list(&["10.0.0.0/8", "192.168.0.0/16"]), true),
            (list(&["10.0.0.0/8"]), list(&["10.1.0.0/16"]), false),
            (list(&["10.0.0.0/8"]), list(&[]), true),
            (list(&[]), list(&["10.0.0.0/8"]), true),
            (list(&["x"]), list(&["10.0.0.0/8"]), false),
        ] {
            assert_eq!(is_subset(&inner, &outer), subset, "{inner:?} {outer:?}");
        }
    }
}
