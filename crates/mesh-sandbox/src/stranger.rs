//! Who comes to the doors of a shim.
//!
//! Their mode keeps other users out, not a container that runs as the same user and has got at the directory they lie
//! in. So whoever comes has to be in the shim's own pid namespace; each container but those with the machine's process
//! numbers is in another one.

use nix::sys::socket::{getsockopt, sockopt};
use std::{fs::File, io::Read as _, os::fd::AsFd, sync::OnceLock};

/// What the kernel says of most processes, in bytes.
const STATUS_BYTES: usize = 4096;

/// Whether the process at the other end of a connection was in this process's pid namespace when it connected.
pub(crate) fn is_from_outside(connection: impl AsFd) -> bool {
    getsockopt(&connection, sockopt::PeerCredentials).is_ok_and(|peer| is_outside(peer.pid()))
}

/// Whether a process is in this process's pid namespace; one that is gone is not. Numbers are those that this process
/// sees: 0 is one that it cannot see.
pub(crate) fn is_outside(pid: i32) -> bool {
    // What is to be seen from here is here or further in.
    pid > 0 && depth(&pid.to_string()).is_some_and(|theirs| own_depth() == Some(theirs))
}

/// That of this process, which stays where it is. What could not be read is read again.
fn own_depth() -> Option<usize> {
    static OWN: OnceLock<usize> = OnceLock::new();
    if let Some(own) = OWN.get() {
        return Some(*own);
    }
    let own = depth("self")?;
    Some(*OWN.get_or_init(|| own))
}

/// How many pid namespaces a process has a number in, of those that `/proc` knows.
fn depth(process: &str) -> Option<usize> {
    let mut status = Vec::with_capacity(STATUS_BYTES);
    File::open(format!("/proc/{process}/status")).ok()?.read_to_end(&mut status).ok()?;
    // A process may have given itself a name that is no text, but not one with the end of a line.
    let status = String::from_utf8_lossy(&status);
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    Some(numbers.split_whitespace().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_further_in_or_not_there_is_not_outside() {
        assert!(is_outside(std::process::id().cast_signed()));
        for stranger in [0, -1, i32::MAX] {
            assert!(!is_outside(stranger), "{stranger}");
        }
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(is_from_outside(&one));
    }
}
