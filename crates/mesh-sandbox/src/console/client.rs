//! One who is attached, as the console sees it.
//!
//! A client is never waited for. What it does not take is kept up to a bound; beyond it output is left
//! out, and the client is told how much.

use super::wire::{CHUNK_BYTES_MAX, Message, Sent, transmit};
use mesh_journal::Stream;
use std::{
    collections::VecDeque,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Output kept for one slow client, in bytes; the kernel keeps some besides.
const BACKLOG_BYTES_MAX: usize = 1 << 20;

#[derive(Debug)]
pub(crate) struct Client {
    socket: OwnedFd,
    backlog: VecDeque<Vec<u8>>,
    backlog_bytes: usize,
    lost_bytes: u64,
    gone: bool,
}

impl Client {
    /// Greets one that just came.
    pub(crate) fn new(socket: OwnedFd, hello: Message<'_>) -> Self {
        let mut client =
            Self { socket, backlog: VecDeque::new(), backlog_bytes: 0, lost_bytes: 0, gone: false };
        client.tell(hello);
        client
    }

    pub(crate) fn socket(&self) -> &OwnedFd {
        &self.socket
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(crate) fn has_backlog(&self) -> bool {
        !self.backlog.is_empty() || self.lost_bytes > 0
    }

    pub(crate) fn leave(&mut self) {
        self.gone = true;
    }

    /// Passes output on.
    pub(crate) fn show(&mut self, stream: Stream, bytes: &[u8]) {
        for chunk in bytes.chunks(CHUNK_BYTES_MAX) {
            // Once something is left out, all is until there is room: half a line would be shown as whole.
            if self.lost_bytes > 0 || self.backlog_bytes + chunk.len() > BACKLOG_BYTES_MAX {
                self.lost_bytes += chunk.len() as u64;
            } else {
                self.tell(Message::Output(stream, chunk));
            }
        }
    }

    /// Sends a message now or later.
    pub(crate) fn tell(&mut self, message: Message<'_>) {
        let message = message.encode();
        self.backlog_bytes += message.len();
        self.backlog.push_back(message);
        self.flush();
    }

    /// Sends what there is room for.
    pub(crate) fn flush(&mut self) {
        while let Some(message) = self.backlog.front() {
            match transmit(&self.socket, message) {
                Sent::Yes => {
                    self.backlog_bytes -= message.len();
                    self.backlog.pop_front();
                }
                Sent::NotNow => return,
                Sent::Gone => {
                    self.gone = true;
                    self.backlog.clear();
                    return;
                }
            }
        }
        self.backlog = VecDeque::new();
        let lost = std::mem::take(&mut self.lost_bytes);
        if lost > 0 {
            self.tell(Message::Lost(lost));
        }
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::{MESSAGE_BYTES_MAX, Received, receive};
    use super::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn a_slow_client_costs_a_bound_and_is_told_what_it_missed() {
        let flags = SocketFlags::CLOEXEC;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).unwrap();
        let mut client = Client::new(ours, Message::Hello { terminal: false, input: false });
        let line = [b'x'; 1000];
        let shown = 5000;
        for _ in 0..shown {
            client.show(Stream::Stdout, &line);
        }
        assert!(client.has_backlog() && client.backlog_bytes <= BACKLOG_BYTES_MAX + 16);
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        let (mut got, mut lost) = (0, 0);
        loop {
            match receive(&theirs, &mut buffer) {
                Received::Message(count) => match Message::decode(&buffer[..count]) {
                    Some(Message::Output(_, bytes)) => got += bytes.len() as u64,
                    Some(Message::Lost(bytes)) => lost += bytes,
                    _ => {}
                },
                Received::Nothing if client.has_backlog() => client.flush(),
                Received::Nothing => break,
                Received::Gone => panic!("the connection ended"),
            }
        }
        assert!(lost > 0 && got > 0);
        assert_eq!(got + lost, shown * 1000);
        drop(theirs);
        client.show(Stream::Stdout, b"more");
        assert!(client.is_gone());
    }
}
