//! IPv4 packets as the way out reads and writes them. Pure; no input panics.
//!
//! A frame is a `virtio_net_hdr` and a packet. Large segments and unfinished checksums stay as they
//! are: only addresses and ports change, and every checksum by their difference (RFC 1624).

use mesh_linux::tun::VNET_HEADER_BYTES;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Largest frame, in bytes.
pub(crate) const FRAME_BYTES_MAX: usize = VNET_HEADER_BYTES + 65_535;

const IP_HEADER_BYTES: usize = 20;
const UDP_HEADER_BYTES: usize = 8;
const TCP_HEADER_BYTES: usize = 20;
const TCP: u8 = 6;
const UDP: u8 = 17;
const TTL: u8 = 64;
const NEEDS_CHECKSUM: u8 = 1;

const FIN: u8 = 1;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// Transport of a packet that can be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    Tcp { flags: u8 },
    Udp,
}

/// What a packet says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Headers {
    pub(crate) source: SocketAddrV4,
    pub(crate) destination: SocketAddrV4,
    pub(crate) transport: Transport,
    /// Where the transport's header begins in the frame, in bytes.
    at: usize,
    /// Where the packet ends in the frame, in bytes.
    end: usize,
}

impl Headers {
    /// Reads the headers of a frame. `None`: no whole TCP or UDP packet of IPv4.
    pub(crate) fn read(frame: &[u8]) -> Option<Self> {
        let packet = frame.get(VNET_HEADER_BYTES..)?;
        let first = *packet.first()?;
        let header_bytes = usize::from(first & 15) * 4;
        let total = usize::from(u16_at(packet, 2)?);
        let fragment = u16_at(packet, 6)? & 0x3fff != 0;
        if first >> 4 != 4 || header_bytes < IP_HEADER_BYTES || total > packet.len() || fragment {
            return None;
        }
        let transport = packet.get(header_bytes..total)?;
        let transport = match *packet.get(9)? {
            TCP if transport.len() >= TCP_HEADER_BYTES => Transport::Tcp { flags: transport[13] },
            UDP if transport.len() >= UDP_HEADER_BYTES => Transport::Udp,
            _ => return None,
        };
        let (at, end) = (VNET_HEADER_BYTES + header_bytes, VNET_HEADER_BYTES + total);
        let address = |offset| Some(Ipv4Addr::from(u32_at(packet, offset)?));
        Some(Self {
            source: SocketAddrV4::new(address(12)?, u16_at(frame, at)?),
            destination: SocketAddrV4::new(address(16)?, u16_at(frame, at + 2)?),
            transport,
            at,
            end,
        })
    }

    /// Whether it asks for a new connection.
    pub(crate) fn opens(&self) -> bool {
        matches!(self.transport, Transport::Tcp { flags } if flags & (SYN | ACK | RST) == SYN)
    }

    /// Content of a datagram.
    pub(crate) fn datagram<'a>(&self, frame: &'a [u8]) -> &'a [u8] {
        let length = usize::from(u16_at(frame, self.at + 4).unwrap_or(0)).max(UDP_HEADER_BYTES);
        frame.get(self.at + UDP_HEADER_BYTES..(self.at + length).min(self.end)).unwrap_or_default()
    }

    /// Changes both ends of a TCP segment in place.
    pub(crate) fn readdress(&self, frame: &mut [u8], source: SocketAddrV4, destination: SocketAddrV4) {
        let words = |from: SocketAddrV4, to: SocketAddrV4| {
            let [a, b, c, d] = from.ip().octets();
            let [e, f, g, h] = to.ip().octets();
            [[a, b], [c, d], [e, f], [g, h]].map(u16::from_be_bytes)
        };
        let (old, new) = (words(self.source, self.destination), words(source, destination));
        let packet = VNET_HEADER_BYTES;
        frame[packet + 12..packet + 16].copy_from_slice(&source.ip().octets());
        frame[packet + 16..packet + 20].copy_from_slice(&destination.ip().octets());
        put(frame, self.at, source.port());
        put(frame, self.at + 2, destination.port());
        change(frame, packet + 10, &old, &new, Sum::Complement);
        if frame[0] & NEEDS_CHECKSUM != 0 {
            // The field holds the plain sum of the addresses; ports are added when it is completed.
            change(frame, self.at + 16, &old, &new, Sum::Plain);
            frame[0] = NEEDS_CHECKSUM;
        } else {
            change(frame, self.at + 16, &old, &new, Sum::Complement);
            let ports = |a: SocketAddrV4, b: SocketAddrV4| [a.port(), b.port()];
            let (old, new) = (ports(self.source, self.destination), ports(source, destination));
            change(frame, self.at + 16, &old, &new, Sum::Complement);
            frame[0] = 0;
        }
    }

    /// The segment that refuses this one (RFC 9293, 3.10.7.1).
    pub(crate) fn refusal(&self, frame: &[u8]) -> Option<Vec<u8>> {
        let Transport::Tcp { flags } = self.transport else { return None };
        if flags & RST != 0 {
            return None;
        }
        let (sequence, acknowledged) = (u32_at(frame, self.at + 4)?, u32_at(frame, self.at + 8)?);
        let header_bytes = usize::from(frame.get(self.at + 12)? >> 4) * 4;
        let payload = u32::try_from(self.end.checked_sub(self.at + header_bytes)?).ok()?;
        let marks = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        let (sequence, acknowledges, flags) = if flags & ACK != 0 {
            (acknowledged, 0, RST)
        } else {
            (0, sequence.wrapping_add(payload).wrapping_add(marks), RST | ACK)
        };
        let mut segment = [0; TCP_HEADER_BYTES];
        segment[4..8].copy_from_slice(&sequence.to_be_bytes());
        segment[8..12].copy_from_slice(&acknowledges.to_be_bytes());
        segment[12] = 5 << 4;
        segment[13] = flags;
        Some(build(TCP, self.destination, self.source, segment.to_vec(), 16))
    }
}

/// A datagram as a frame. `None`: it is too long.
pub(crate) fn datagram(source: SocketAddrV4, destination: SocketAddrV4, content: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(UDP_HEADER_BYTES + content.len()).ok()?;
    length.checked_add(20)?;
    let mut segment = vec![0; UDP_HEADER_BYTES];
    put(&mut segment, 4, length);
    segment.extend_from_slice(content);
    Some(build(UDP, source, destination, segment, 6))
}

/// A frame around a transport's header and content, with ports and checksums filled in.
fn build(
    protocol: u8,
    source: SocketAddrV4,
    destination: SocketAddrV4,
    mut segment: Vec<u8>,
    checksum_at: usize,
) -> Vec<u8> {
    put(&mut segment, 0, source.port());
    put(&mut segment, 2, destination.port());
    let length = segment.len() as u16;
    let mut pseudo = Vec::with_capacity(12);
    pseudo.extend(source.ip().octets());
    pseudo.extend(destination.ip().octets());
    pseudo.extend([0, protocol]);
    pseudo.extend(length.to_be_bytes());
    let sum = match !fold(add(add(0, &pseudo), &segment)) {
        0 => 0xffff,
        sum => sum,
    };
    put(&mut segment, checksum_at, sum);

    let mut frame = vec![0; VNET_HEADER_BYTES + IP_HEADER_BYTES];
    let header = &mut frame[VNET_HEADER_BYTES..];
    header[0] = 0x45;
    put(header, 2, IP_HEADER_BYTES as u16 + length);
    header[8] = TTL;
    header[9] = protocol;
    header[12..16].copy_from_slice(&source.ip().octets());
    header[16..20].copy_from_slice(&destination.ip().octets());
    let sum = !fold(add(0, header));
    put(header, 10, sum);
    frame.extend(segment);
    frame
}

#[derive(Clone, Copy)]
enum Sum {
    Plain,
    Complement,
}

/// Adjusts a checksum for words that changed.
fn change(frame: &mut [u8], at: usize, old: &[u16], new: &[u16], sum: Sum) {
    let Some(field) = u16_at(frame, at) else { return };
    let field = match sum {
        Sum::Plain => field,
        Sum::Complement => !field,
    };
    let words = old.iter().map(|word| u64::from(!word)).chain(new.iter().map(|word| u64::from(*word)));
    let total = fold(u64::from(field) + words.sum::<u64>());
    put(
        frame,
        at,
        match sum {
            Sum::Plain => total,
            Sum::Complement => !total,
        },
    );
}

fn add(sum: u64, bytes: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(pair.get(1).copied().unwrap_or(0));
    sum + bytes.chunks(2).map(word).sum::<u64>()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn put(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(field) = bytes.get_mut(at..at + 2) {
        field.copy_from_slice(&value.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> SocketAddrV4 {
        text.parse().expect("address")
    }

    /// Sums of the header and of the transport with its addresses; both zero when right.
    fn sums(frame: &[u8], protocol: u8) -> (u16, u16) {
        let packet = &frame[VNET_HEADER_BYTES..];
        let length = (packet.len() - IP_HEADER_BYTES) as u16;
        let transport = add(add(0, &packet[12..20]), &packet[20..]) + u64::from(protocol) + u64::from(length);
        (!fold(add(0, &packet[..20])), !fold(transport))
    }

    #[test]
    fn datagrams_are_whole() {
        for content in [&b""[..], b"odd", b"even", &[0xff; 1472]] {
            let frame = datagram(end("8.8.8.8:53"), end("10.1.0.2:4000"), content).expect("fits");
            assert_eq!(sums(&frame, UDP), (0, 0));
            let headers = Headers::read(&frame).expect("headers");
            assert_eq!((headers.source, headers.destination), (end("8.8.8.8:53"), end("10.1.0.2:4000")));
            assert_eq!(headers.datagram(&frame), content);
        }
        assert!(datagram(end("8.8.8.8:53"), end("10.1.0.2:4000"), &[0; 65_508]).is_none());
    }

    #[test]
    fn segments_keep_right_checksums() {
        let mut segment = vec![0; TCP_HEADER_BYTES];
        segment[4..8].copy_from_slice(&7_u32.to_be_bytes());
        segment[12] = 5 << 4;
        segment[13] = SYN;
        let mut frame = build(TCP, end("10.1.0.2:4000"), end("93.184.216.34:443"), segment, 16);
        let headers = Headers::read(&frame).expect("headers");
        assert!(headers.opens());

        let refusal = headers.refusal(&frame).expect("refusal");
        assert_eq!(sums(&refusal, TCP), (0, 0));
        let refused = Headers::read(&refusal).expect("headers");
        assert_eq!((refused.source, refused.destination), (headers.destination, headers.source));
        assert_eq!(refused.transport, Transport::Tcp { flags: RST | ACK });
        assert_eq!(u32_at(&refusal, refused.at + 8), Some(8));
        assert!(!refused.opens() && refused.refusal(&refusal).is_none());

        headers.readdress(&mut frame, end("169.254.1.3:1024"), end("169.254.1.2:40000"));
        assert_eq!(sums(&frame, TCP), (0, 0));
        let moved = Headers::read(&frame).expect("headers");
        assert_eq!((moved.source, moved.destination), (end("169.254.1.3:1024"), end("169.254.1.2:40000")));
    }

    #[test]
    fn unfinished_checksums_stay_unfinished() {
        let (a, b) = (end("10.1.0.2:4000"), end("93.184.216.34:443"));
        let mut segment = vec![0; TCP_HEADER_BYTES];
        segment[12] = 5 << 4;
        let mut frame = build(TCP, a, b, segment, 16);
        let pseudo =
            |frame: &[u8]| fold(add(0, &frame[VNET_HEADER_BYTES + 12..VNET_HEADER_BYTES + 20]) + 6 + 20);
        let at = VNET_HEADER_BYTES + 36;
        let sum = pseudo(&frame);
        put(&mut frame, at, sum);
        frame[0] = NEEDS_CHECKSUM;
        Headers::read(&frame).expect("headers").readdress(&mut frame, end("1.2.3.4:5"), end("6.7.8.9:10"));
        assert_eq!(u16_at(&frame, at), Some(pseudo(&frame)));
    }

    #[test]
    fn broken_packets_are_nothing() {
        let whole = datagram(end("8.8.8.8:53"), end("10.1.0.2:4000"), b"content").expect("fits");
        for length in 0..whole.len() {
            assert_eq!(Headers::read(&whole[..length]), None, "{length}");
        }
        for at in VNET_HEADER_BYTES..whole.len() {
            for value in [0, 1, 0x46, 0x4f, 0x60, 0xff] {
                let mut broken = whole.clone();
                broken[at] = value;
                if let Some(headers) = Headers::read(&broken) {
                    headers.datagram(&broken);
                    headers.refusal(&broken);
                }
            }
        }
    }
}
