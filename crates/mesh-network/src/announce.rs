//! What a relayed connection begins with where the server wants to know its client: a header of the PROXY protocol,
//! version 2, as HAProxy's specification has it (section 2.2). Pure.
//!
//! Absent on purpose: who may be told so. A server that does not read the header takes it for its client's words.

use std::net::{IpAddr, SocketAddr};

/// What tells the header from anything else.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, on somebody's behalf.
const VERSION_AND_COMMAND: u8 = 0x21;
/// TCP over IPv4 and over IPv6.
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;
/// Bytes of both addresses and ports.
const TCP4_BYTES: u16 = 12;
const TCP6_BYTES: u16 = 36;

/// How a relayed connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beginning {
    /// With what the client says.
    Plain,
    /// With a header that says who the client is. TCP only.
    Announced,
}

/// The header of a connection from `client`, accepted at `host`. Addresses of IPv4 in those of IPv6 are what they stand
/// for.
pub(crate) fn header(client: SocketAddr, host: SocketAddr) -> Vec<u8> {
    let mut bytes = SIGNATURE.to_vec();
    bytes.push(VERSION_AND_COMMAND);
    match (client.ip().to_canonical(), host.ip().to_canonical()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            bytes.push(TCP4);
            bytes.extend(TCP4_BYTES.to_be_bytes());
            bytes.extend(from.octets());
            bytes.extend(to.octets());
        }
        (from, to) => {
            bytes.push(TCP6);
            bytes.extend(TCP6_BYTES.to_be_bytes());
            bytes.extend(wide(from));
            bytes.extend(wide(to));
        }
    }
    bytes.extend(client.port().to_be_bytes());
    bytes.extend(host.port().to_be_bytes());
    bytes
}

fn wide(address: IpAddr) -> [u8; 16] {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_written_and_mapped_addresses_are_those_of_ipv4() {
        let four = [&[TCP4, 0, 12, 198, 51, 100, 2, 127, 0, 0, 1][..], &[0x30, 0x39, 0, 80]].concat();
        let mut six = vec![TCP6, 0, 36, 0x20, 1, 0xd, 0xb8];
        six.extend([0; 11]);
        six.push(7);
        six.extend([0; 15]);
        six.extend([1, 0x30, 0x39, 0, 80]);
        for (client, host, expected) in [
            ("198.51.100.2:12345", "127.0.0.1:80", &four),
            ("[::ffff:198.51.100.2]:12345", "[::ffff:127.0.0.1]:80", &four),
            ("[2001:db8::7]:12345", "[::1]:80", &six),
        ] {
            let written = header(client.parse().expect("an address"), host.parse().expect("an address"));
            assert_eq!(written[..12], *b"\r\n\r\n\0\r\nQUIT\n", "{client}");
            assert_eq!(written[12], 0x21, "{client}");
            assert_eq!(written[13..], **expected, "{client}");
        }
        let mixed = header("1.2.3.4:1".parse().expect("v4"), "[2001:db8::7]:2".parse().expect("v6"));
        assert_eq!(mixed.len(), 16 + 36, "one family holds both");
        assert_eq!(mixed[26..32], [0xff, 0xff, 1, 2, 3, 4]);
    }
}
