//! Network namespaces: making one, entering one, and its loopback device.
//!
//! Both [`create`] and [`enter`] change the calling thread for good: call them on a thread that is
//! given to the namespace.

use nix::{
    libc,
    sched::{CloneFlags, setns, unshare},
};
use std::{
    fs::File,
    io,
    net::UdpSocket,
    os::fd::{AsFd, AsRawFd, OwnedFd},
};

/// Moves the calling thread into a new network namespace and returns a descriptor that holds it.
///
/// # Errors
/// The caller has no `CAP_SYS_ADMIN` in its user namespace, or a limit is reached.
pub fn create() -> io::Result<OwnedFd> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    Ok(File::open("/proc/thread-self/ns/net")?.into())
}

/// Moves the calling thread into the network namespace that `namespace` holds.
///
/// # Errors
/// It is no network namespace, or the caller has no `CAP_SYS_ADMIN` over it.
pub fn enter(namespace: impl AsFd) -> io::Result<()> {
    Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
}

/// Brings up the loopback device of the calling thread's network namespace.
///
/// # Errors
/// The caller has no `CAP_NET_ADMIN` over the namespace.
pub fn loopback_up() -> io::Result<()> {
    // Any socket serves as the handle; one that is bound nowhere needs no address.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    let mut request = interface_request("lo")?;
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the descriptor is an open socket and `request` outlives the call.
    if unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// An empty request about the interface `name`.
pub(crate) fn interface_request(name: &str) -> io::Result<libc::ifreq> {
    // SAFETY: `ifreq` is plain data, valid when zero.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() || name.contains('\0') {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "interface name too long"));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interfaces_are_bounded() {
        assert!(interface_request("fifteen-letters").is_ok());
        assert!(interface_request("sixteen-letters!").is_err());
        assert!(interface_request("a\0b").is_err());
    }

    #[test]
    fn a_new_namespace_has_a_loopback_device_of_its_own() {
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: needs root");
            return;
        }
        std::thread::spawn(|| {
            let namespace = create().expect("create");
            assert!(UdpSocket::bind("127.0.0.11:53").and_then(|s| s.connect("127.0.0.1:9")).is_err());
            loopback_up().expect("up");
            UdpSocket::bind("127.0.0.11:53").and_then(|s| s.connect("127.0.0.1:9")).expect("bind");
            enter(&namespace).expect("enter");
        })
        .join()
        .expect("thread");
    }
}
