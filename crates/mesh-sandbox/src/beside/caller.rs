//! The caller's half: asking for a program, and hearing how it ended.

use super::wire::{self, Heard, Message};
use crate::signals::Signals;
use mesh_linux::descriptor::sealed_memory;
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

/// Code of a program that was killed with its container.
const KILLED: i32 = 137;

/// Longest wait for a shim to take a request. One that is stopped, or busy for longer, is not waited for.
const TAKING_MAX: Duration = Duration::from_millis(500);

/// Added to the number of the signal that ended us.
const SIGNALLED: i32 = 128;

/// With the shim of a container, about one program in it. Dropped, it takes the program along.
#[derive(Debug)]
pub struct Conversation {
    socket: OwnedFd,
    asked: Instant,
    /// The shim took the request.
    begun: AtomicBool,
}

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
        Ok(Self::on(ours))
    }

    fn on(socket: OwnedFd) -> Self {
        Self { socket, asked: Instant::now(), begun: AtomicBool::new(false) }
    }

    /// How much longer to wait for the shim to take the request, which is to be withdrawn then; `None` once it did.
    #[must_use]
    pub fn patience(&self) -> Option<Duration> {
        (!self.has_begun()).then(|| TAKING_MAX.saturating_sub(self.asked.elapsed()))
    }

    /// Takes the request back. [`End::Refused`] says that nothing was started and nothing will be; what was begun by
    /// now is killed.
    #[must_use]
    pub fn withdraw(&self) -> End {
        wire::withdraw(&self.socket);
        self.end().unwrap_or_else(|| self.gone())
    }

    fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    /// What it means that the shim is gone: everything in its container is, and what was not begun is not to be.
    fn gone(&self) -> End {
        if self.has_begun() { End::Code(KILLED) } else { End::Refused }
    }

    /// What came of it; `None` as long as it runs. There is something to be heard when the descriptor is readable.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        loop {
            return match wire::hear(&self.socket) {
                Heard::Message(Message::Begun) => {
                    self.begun.store(true, Ordering::Relaxed);
                    continue;
                }
                Heard::Message(Message::Exit(code)) => Some(End::Code(code)),
                Heard::Message(Message::NotExecuted(code)) => Some(End::NotExecuted(code)),
                Heard::Message(Message::Refused) => Some(End::Refused),
                Heard::Message(_) | Heard::Nothing => None,
                Heard::Gone => Some(self.gone()),
            };
        }
    }

    /// Sends the program a signal, by number.
    pub fn signal(&self, number: i32) {
        wire::say(&self.socket, Message::Signal(number));
    }

    /// Ends the program, and those it started as far as they stayed in its group.
    pub fn kill(&self) {
        wire::say(&self.socket, Message::Kill);
    }

    /// Waits for its end, passing on the signals that this process gets. Before the shim took the request, one that
    /// asks for the end is for this process; after it, the second kills the program, and the third is for this process.
    fn follow(&self, signals: &Signals) -> End {
        let mut asked_to_end = 0;
        loop {
            // Rounded up: a wait that is a moment too short would come round at once.
            let timeout = self.patience().map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::ZERO)
            });
            let mut descriptors = [
                PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            ];
            let _ = poll(&mut descriptors, timeout);
            if let Some(end) = self.end() {
                return end;
            }
            while let Some(number) = signals.next() {
                asked_to_end += u32::from(asks_for_the_end(number));
                match (self.has_begun(), asked_to_end) {
                    (false, 1..) => {
                        let end = self.withdraw();
                        return if end == End::Refused { End::Code(SIGNALLED + number) } else { end };
                    }
                    (_, 0 | 1) => self.signal(number),
                    (true, 2) => self.kill(),
                    (true, 3..) => return End::Code(SIGNALLED + number),
                }
            }
            if self.patience().is_some_and(|left| left.is_zero()) {
                return self.withdraw();
            }
        }
    }
}

/// Whether a signal says that its program is to end.
fn asks_for_the_end(number: i32) -> bool {
    matches!(number, libc::SIGINT | libc::SIGTERM)
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
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

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, raise};

    fn pair() -> (Conversation, OwnedFd) {
        let flags = SocketFlags::CLOEXEC;
        let (ours, shim) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        (Conversation::on(ours), shim)
    }

    #[test]
    fn signals_are_the_caller_s_until_its_request_was_taken() {
        // Of this thread alone, as those that are raised here.
        let signals = Signals::block(false).unwrap();
        let (conversation, shim) = pair();
        raise(Signal::SIGINT).unwrap();
        assert_eq!(conversation.follow(&signals), End::Code(130));
        assert!(!wire::say_begun(&shim), "it was withdrawn");
        let (conversation, shim) = pair();
        assert!(wire::say_begun(&shim));
        raise(Signal::SIGINT).unwrap();
        raise(Signal::SIGTERM).unwrap();
        let shim = std::thread::spawn(move || {
            let mut heard = Vec::new();
            while heard.len() < 2 {
                match wire::hear(&shim) {
                    Heard::Message(message) => heard.push(message),
                    _ => std::thread::yield_now(),
                }
            }
            wire::say(&shim, Message::Exit(KILLED));
            heard
        });
        assert_eq!(conversation.follow(&signals), End::Code(KILLED));
        assert_eq!(shim.join().unwrap(), [Message::Signal(2), Message::Kill]);
    }

    #[test]
    fn a_request_that_nobody_takes_is_withdrawn() {
        let signals = Signals::block(false).unwrap();
        let (conversation, shim) = pair();
        assert_eq!(conversation.follow(&signals), End::Refused);
        assert!(!wire::say_begun(&shim));
        // Gone before it took the request, and after.
        for (begun, end) in [(false, End::Refused), (true, End::Code(KILLED))] {
            let (conversation, shim) = pair();
            assert!(!begun || wire::say_begun(&shim));
            drop(shim);
            assert_eq!(conversation.follow(&signals), end);
        }
    }
}
