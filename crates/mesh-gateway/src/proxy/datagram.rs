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
    /// The own address that the client asked; none where the system does not say, or it is that of a group.
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
    Ok((message.bytes, Pair { client, asked: asked.filter(|asked| !asked.is_multicast()) }))
}

/// Answers a client from the address that it asked.
pub(super) async fn answer(socket: &UdpSocket, pair: Pair, datagram: &[u8]) -> io::Result<()> {
    socket.async_io(Interest::WRITABLE, || given(socket, pair, datagram)).await
}

fn given(socket: &UdpSocket, pair: Pair, datagram: &[u8]) -> io::Result<()> {
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
