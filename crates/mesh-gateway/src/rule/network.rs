//! Addresses and networks that a client's address is looked for in.

use std::net::{IpAddr, Ipv6Addr};

/// Why a text is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NetworkError {
    #[error("no trusted IPs provided")]
    None,
    #[error("{0:?} is neither an address nor a network")]
    Invalid(String),
}

/// Addresses and networks. An IPv4 address and what IPv6 maps it to are the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Networks(Vec<Network>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Network {
    bits: u128,
    mask: u128,
}

impl Networks {
    pub(crate) fn parse<S: AsRef<str>>(texts: &[S]) -> Result<Self, NetworkError> {
        if texts.is_empty() {
            return Err(NetworkError::None);
        }
        let parse =
            |text: &S| network(text.as_ref()).ok_or_else(|| NetworkError::Invalid(text.as_ref().to_owned()));
        Ok(Self(texts.iter().map(parse).collect::<Result<_, _>>()?))
    }

    pub(crate) fn contain(&self, address: IpAddr) -> bool {
        let bits = bits(address);
        self.0.iter().any(|network| bits & network.mask == network.bits)
    }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

fn network(text: &str) -> Option<Network> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Network { bits: bits(address), mask: u128::MAX });
    }
    let (address, length) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if length.is_empty() || !length.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let length: u32 = length.parse().ok()?;
    let (width, before) = if address.is_ipv4() { (32, 96) } else { (128, 0) };
    if length > width {
        return None;
    }
    let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - before - length).unwrap_or(0);
    Some(Network { bits: bits(address) & mask, mask })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_found_in_their_networks() {
        for (networks, address, expected) in [
            (&["10.0.0.1"][..], "10.0.0.1", true),
            (&["10.0.0.1"], "::ffff:10.0.0.1", true),
            (&["10.0.0.0/8"], "10.255.1.2", true),
            (&["10.0.0.0/8"], "11.0.0.1", false),
            (&["0.0.0.0/0"], "1.2.3.4", true),
            (&["0.0.0.0/0"], "2001:db8::1", false),
            (&["::/0"], "2001:db8::1", true),
            (&["2001:db8::/32", "127.0.0.1"], "127.0.0.1", true),
        ] {
            let networks = Networks::parse(networks).expect("networks");
            assert_eq!(networks.contain(address.parse().expect("an address")), expected, "{address}");
        }
        for text in ["", "10.0.0", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "::/129", "host"] {
            assert!(Networks::parse(&[text]).is_err(), "{text}");
        }
    }
}
