//! The caller's half: asking for a program, and hearing how it ended.

use super::wire::{self, Heard, Message};
use crate::signals::Signals;
use mesh_linux::descriptor::sealed_memory;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Code of a program that was killed with its container.
const KILLED: i32 = 137;

/// With the shim of a container, about one program in it. Dropped, it takes the program along.
#[derive(Debug)]
pub struct Conversation(OwnedFd);

/// What came of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It ended: its code, or 128 and the number of its signal.
    Code(i32),
    /// It could not be executed: 126, 127. Why stands on its standard error.
    NotExecuted(i32),
    /// Nothing was started, and nothing will be: a shim of its own (`mesh shim exec`) may serve.
    Refused,
}

impl Conversation {
    /// Asks the shim of the container with this directory for a program. `orders` are an
    /// [`ExecSpecification`](crate::specification::ExecSpecification), as JSON; its process is not detached and
    /// has no terminal of its own, and a deadline is its caller's to see to.
    ///
    /// # Errors
    /// There is no door, nobody behind it, or too many wait before it. Nothing will be started then.
    pub fn begin(directory: &Path, orders: &[u8], streams: [BorrowedFd<'_>; 3]) -> io::Result<Self> {
        let orders = sealed_memory(c"orders", orders)?;
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)?;
        let [stdin, stdout, stderr] = streams;
        wire::knock(directory, [theirs.as_fd(), orders.as_fd(), stdin, stdout, stderr])?;
        Ok(Self(ours))
    }

    /// What came of it; `None` as long as it runs. There is something to be heard when the descriptor is readable.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        match wire::hear(&self.0) {
            Heard::Message(Message::Exit(code)) => Some(End::Code(code)),
            Heard::Message(Message::NotExecuted(code)) => Some(End::NotExecuted(code)),
            Heard::Message(Message::Refused) => Some(End::Refused),
            Heard::Message(_) | Heard::Nothing => None,
            // The shim is gone, and everything in its container with it.
            Heard::Gone => Some(End::Code(KILLED)),
        }
    }

    /// Sends the program a signal, by number.
    pub fn signal(&self, number: i32) {
        wire::say(&self.0, Message::Signal(number));
    }

    /// Ends the program, and those it started as far as they stayed in its group.
    pub fn kill(&self) {
        wire::say(&self.0, Message::Kill);
    }

    /// Waits for its end, passing on the signals that this process gets.
    fn follow(&self, signals: &Signals) -> End {
        loop {
            let mut descriptors = [
                PollFd::new(self.0.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut descriptors, PollTimeout::NONE);
            while let Some(number) = signals.next() {
                self.signal(number);
            }
            if let Some(end) = self.end() {
                return end;
            }
        }
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Runs a program in the container with this directory on streams of this process, and passes on what signals this
/// process gets; blocks them for good. To be called by the only thread.
///
/// # Errors
/// As [`Conversation::begin`], and those of taking signals.
pub fn run(directory: &Path, orders: &[u8], streams: [BorrowedFd<'_>; 3]) -> io::Result<End> {
    let signals = Signals::block(false).map_err(io::Error::other)?;
    Ok(Conversation::begin(directory, orders, streams)?.follow(&signals))
}
