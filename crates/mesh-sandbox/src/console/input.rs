//! What is typed, on its way to the container's standard input.

use nix::{errno::Errno, unistd::write};
use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

/// What is typed and not yet read by the container, in bytes. Beyond it clients wait.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// The writing end of a container's standard input; it must not block.
#[derive(Debug)]
pub(crate) struct Input<F> {
    descriptor: F,
    waiting: Vec<u8>,
    closed: bool,
}

impl<F: AsFd> Input<F> {
    pub(crate) fn new(descriptor: F) -> Self {
        Self { descriptor, waiting: Vec::new(), closed: false }
    }

    /// Takes what was typed; where the container reads no more it is forgotten.
    pub(crate) fn take(&mut self, bytes: &[u8]) {
        if !self.closed {
            self.waiting.extend_from_slice(bytes);
            self.flush();
        }
    }

    /// Whether more can be taken.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < WAITING_BYTES_MAX
    }

    /// Whether anything is to be passed on.
    pub(crate) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Whether the container reads no more.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Passes on what the container takes.
    pub(crate) fn flush(&mut self) {
        while !self.waiting.is_empty() {
            match write(&self.descriptor, &self.waiting) {
                Ok(count) => drop(self.waiting.drain(..count)),
                Err(Errno::EAGAIN | Errno::EINTR) => return,
                Err(_) => {
                    self.closed = true;
                    self.waiting = Vec::new();
                }
            }
        }
    }

    /// Gives the container's terminal a size.
    pub(crate) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = rustix::termios::Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(rustix::termios::tcsetwinsize(&self.descriptor, size)?)
    }
}

impl<F: AsFd> AsFd for Input<F> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}
