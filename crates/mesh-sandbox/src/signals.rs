//! Signals of a shim and of a reaping process 1: read from a descriptor, passed on.

use crate::failure::{Attempt as _, Failure};
use nix::{
    libc,
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};
use std::os::fd::{AsFd, BorrowedFd};

/// What is passed on. Stopping and continuing stay with the one they were sent to.
const FORWARDED: [Signal; 11] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGALRM,
    Signal::SIGWINCH,
    Signal::SIGPWR,
    Signal::SIGIO,
    Signal::SIGURG,
];

/// Signals that wait to be read; blocked for this process from here on.
pub(crate) struct Signals(SignalFd);

impl Signals {
    /// Blocks what is passed on, and with `children` the end of children as well.
    pub(crate) fn block(children: bool) -> Result<Self, Failure> {
        let mut set: SigSet = FORWARDED.iter().copied().collect();
        // Real-time signals have meanings of the service's own (systemd in a container, say), and
        // cannot be in a set of this kind: they act on the shim as on any process.
        if children {
            set.add(Signal::SIGCHLD);
        }
        set.thread_block().attempt(|| "block signals")?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        SignalFd::with_flags(&set, flags).map(Self).attempt(|| "make a descriptor for signals")
    }

    /// The next one that waits, by number.
    pub(crate) fn next(&self) -> Option<i32> {
        let info = self.0.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

/// Whether a number is the end of a child.
pub(crate) fn is_child(number: i32) -> bool {
    number == libc::SIGCHLD
}

/// Whether a number says that a terminal changed its size.
pub(crate) fn is_window(number: i32) -> bool {
    number == libc::SIGWINCH
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
