//! Networks a token is bound to.

use std::net::IpAddr;

/// `10.0.0.0/8`, `::1`, `127.0.0.1`: address and bits. `None` for anything else.
fn parse(network: &str) -> Option<(IpAddr, u32)> {
    let (address, bits) = match network.split_once('/') {
        Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
        None => (network, None),
    };
    let address: IpAddr = address.trim().parse().ok()?;
    let all = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.unwrap_or(all);
    (bits <= all).then_some((address, bits))
}

/// Whether it is a network.
pub(super) fn is_network(network: &str) -> bool {
    parse(network).is_some()
}

/// Whether an address is in one of several networks. One that cannot be read contains nothing.
pub(super) fn contains(networks: &[String], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().filter_map(|network| parse(network)).any(|(network, bits)| {
        match (network.to_canonical(), address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
                u32::from(network) & mask == u32::from(address) & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
                u128::from(network) & mask == u128::from(address) & mask
            }
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::{contains, is_network};

    #[test]
    fn networks() {
        for (network, address, expected) in [
            ("10.0.0.0/8", "10.1.2.3", true),
            ("10.0.0.0/8", "11.1.2.3", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.0.0.1/32", "127.0.0.2", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "::1", false),
            ("::/0", "::1", true),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("nonsense", "10.0.0.1", false),
        ] {
            assert_eq!(
                contains(&[network.to_owned()], address.parse().unwrap()),
                expected,
                "{network} {address}"
            );
        }
        assert!(is_network("10.0.0.0/8") && !is_network("10.0.0.0/33") && !is_network("x"));
    }
}
