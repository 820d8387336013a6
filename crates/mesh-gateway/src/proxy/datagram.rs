//! Datagrams with the address that they were sent to.
//!
//! A machine has many addresses, and an answer has to come from the one that was asked: clients take no other, and
//! nobody in between does. A socket that listens at all of them would answer from whichever is nearest to the client.

use nix::{
    libc,
    sys::socket::{
        ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::AsRawFd as _,
};
use tokio::{io::Interest, net::UdpSocket};

/// Between whom datagrams go: sessions are told apart by both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Pair {
    pub(super) client: SocketAddr,
    /// The own address that the client asked; none where the system does not say, or it is that of a group or of all.
    asked: Option<IpAddr>,
}

/// An address without a host is every one of both families.
pub(super) async fn listen(address: &str) -> io::Result<UdpSocket> {
    let socket = match address.strip_prefix(':') {
        None => UdpSocket::bind(address).await?,
        Some(port) => match UdpSocket::bind(format!("[::]:{port}")).await {
            Ok(socket) => socket,
            // A machine without IPv6.
            Err(_) => UdpSocket::bind(format!("0.0.0.0:{port}")).await?,
        },
    };
    match socket.local_addr()? {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
    }
    Ok(socket)
}

/// The next datagram's size, and between whom it goes.
pub(super) async fn receive(socket: &UdpSocket, datagram: &mut [u8]) -> io::Result<(usize, Pair)> {
    socket.async_io(Interest::READABLE, || taken(socket, datagram)).await
}

fn taken(socket: &UdpSocket, datagram: &mut [u8]) -> io::Result<(usize, Pair)> {
    let mut room = nix::cmsg_space!(libc::in6_pktinfo);
    let mut parts = [IoSliceMut::new(datagram)];
    let flags = MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut room), flags)?;
    let client = message.address.as_ref().and_then(|address| {
        let fourth = address.as_sockaddr_in().map(|address| SocketAddr::V4((*address).into()));
        fourth.or_else(|| address.as_sockaddr_in6().map(|address| SocketAddr::V6((*address).into())))
    });
    let asked = message.cmsgs()?.find_map(|part| match part {
        // The own one by which it came, where it was sent to a group or to all.
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            Some(IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes())))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => Some(IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr))),
        _ => None,
    });
    let client = client.ok_or(io::ErrorKind::InvalidData)?;
    Ok((message.bytes, Pair { client, asked: asked.filter(|asked| may_answer(*asked)) }))
}

/// Whether an address can be one machine's, as far as it can be seen by itself. At a socket of both families those of
/// IPv4 come within those of IPv6.
fn may_answer(asked: IpAddr) -> bool {
    match asked.to_canonical() {
        IpAddr::V4(asked) => !asked.is_multicast() && !asked.is_broadcast(),
        IpAddr::V6(asked) => !asked.is_multicast(),
    }
}

/// Answers a client from the address that it asked.
pub(super) async fn answer(socket: &UdpSocket, pair: Pair, datagram: &[u8]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, || given(socket, pair, datagram)).await
}

fn given(socket: &UdpSocket, pair: Pair, datagram: &[u8]) -> io::Result<()> {
    match sent(socket, pair, datagram) {
        // What was asked may have been all of a network, which is not to be seen by the address; and a link's own
        // address answers nobody beyond it. The system finds another.
        Err(error) if pair.asked.is_some() && error.kind() != io::ErrorKind::WouldBlock => {
            sent(socket, Pair { asked: None, ..pair }, datagram)
        }
        sent => sent,
    }
}

fn sent(socket: &UdpSocket, pair: Pair, datagram: &[u8]) -> io::Result<()> {
    let Pair { client, asked } = pair;
    let (fourth, sixth) = match asked {
        None => (None, None),
        Some(IpAddr::V4(asked)) => {
            let asked = libc::in_addr { s_addr: u32::from_ne_bytes(asked.octets()) };
            let any = libc::in_addr { s_addr: libc::INADDR_ANY };
            (Some(libc::in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: asked, ipi_addr: any }), None)
        }
        Some(IpAddr::V6(asked)) => {
            let asked = libc::in6_addr { s6_addr: asked.octets() };
            (None, Some(libc::in6_pktinfo { ipi6_addr: asked, ipi6_ifindex: 0 }))
        }
    };
    let fourth = fourth.as_ref().map(ControlMessage::Ipv4PacketInfo);
    let from: Vec<ControlMessage<'_>> =
        fourth.into_iter().chain(sixth.as_ref().map(ControlMessage::Ipv6PacketInfo)).collect();
    let (parts, to) = ([IoSlice::new(datagram)], SockaddrStorage::from(client));
    sendmsg(socket.as_raw_fd(), &parts, &from, MsgFlags::MSG_DONTWAIT, Some(&to))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn groups_and_all_answer_nobody() {
        for (asked, may) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("2001:db8::1", true),
            ("224.0.0.251", false),
            ("::ffff:224.0.0.251", false),
            ("255.255.255.255", false),
            ("::ffff:255.255.255.255", false),
            ("ff02::fb", false),
        ] {
            assert_eq!(may_answer(asked.parse().expect("an address")), may, "{asked}");
        }
    }

    #[tokio::test]
    async fn who_asks_all_of_a_network_gets_an_answer() {
        for (listens, asked) in
            [(":0", "127.255.255.255"), (":0", "127.0.0.7"), ("0.0.0.0:0", "127.255.255.255")]
        {
            let own = listen(listens).await.expect("a socket");
            let port = own.local_addr().expect("its address").port();
            let client = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
            client.set_broadcast(true).expect("it may ask all");
            client.send_to(b"who", (asked, port)).await.expect("it is sent");
            let mut room = [0; 16];
            let patience = Duration::from_secs(20);
            let (count, pair) =
                timeout(patience, receive(&own, &mut room)).await.expect("in time").expect("a datagram");
            assert_eq!(&room[..count], b"who");
            answer(&own, pair, b"me").await.expect("it is answered");
            let (count, from) =
                timeout(patience, client.recv_from(&mut room)).await.expect("in time").expect("an answer");
            assert_eq!(&room[..count], b"me", "{asked} at {listens}");
            if asked == "127.0.0.7" {
                assert_eq!(from.ip().to_string(), asked, "the one that was asked answers");
            }
        }
    }
}
