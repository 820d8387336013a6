//! TUN devices: packets of a network namespace, read and written by a process.
//!
//! A device belongs to the namespace of the thread that opened it and ends with its descriptor.
//! Each packet carries a `virtio_net_hdr` of [`VNET_HEADER_BYTES`] in front, so that segments of up to
//! 64 KiB and unfinished checksums pass without being split or completed.

use nix::libc;
use std::{
    fs::OpenOptions,
    io,
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::fs::OpenOptionsExt,
    },
    path::Path,
};

/// Where the kernel offers TUN devices.
pub const DEVICE: &str = "/dev/net/tun";

/// Length of the header in front of each packet, in bytes.
pub const VNET_HEADER_BYTES: usize = 10;

const TUNSETIFF: libc::Ioctl = 0x4004_54ca_u32 as libc::Ioctl;
const TUNSETOFFLOAD: libc::Ioctl = 0x4004_54d0_u32 as libc::Ioctl;
const TUN_F_CSUM: libc::c_ulong = 1;
const TUN_F_TSO4: libc::c_ulong = 2;

/// Opens a TUN device called `name` in the network namespace of the calling thread, not blocking.
///
/// # Errors
/// The device file is missing or not accessible, the name is taken, or the caller has no
/// `CAP_NET_ADMIN` over the namespace.
pub fn open(name: &str) -> io::Result<OwnedFd> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(Path::new(DEVICE))?;
    let mut request = crate::netns::interface_request(name)?;
    request.ifr_ifru.ifru_flags = (libc::IFF_TUN | libc::IFF_NO_PI | libc::IFF_VNET_HDR) as libc::c_short;
    // SAFETY: the descriptor is an open TUN control file and `request` outlives the call.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETIFF, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: this request takes a plain number.
    if unsafe { libc::ioctl(file.as_raw_fd(), TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(file.into())
}
