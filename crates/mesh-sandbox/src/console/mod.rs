//! A container's streams: its output into the journal and to whoever is attached, and what they type to
//! its standard input.
//!
//! Invariants: neither the journal nor any client is waited for, so a service never waits for its
//! readers; clients, what waits for each of them, and what they typed are bounded.

mod client;
pub(crate) mod input;
pub(crate) mod wire;

use crate::{
    beside::{self, Beside},
    relay::{Journal, Pipe},
    signals::Signals,
    stranger::is_from_outside,
};
use client::Client;
use input::Input;
use mesh_linux::process::{signal_pidfd, wait_pidfd};
use nix::{
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use rustix::{
    io::Errno,
    net::{SocketFlags, accept_with},
};
use std::{
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};
use wire::{MESSAGE_BYTES_MAX, Message, Received, receive};

/// Clients of one console.
const CLIENTS_MAX: usize = 16;
/// Messages of one client that are taken in a row.
const MESSAGES_IN_A_ROW_MAX: usize = 16;
/// Time that clients are given to take the last output, once the container ended.
const FAREWELL_MAX: Duration = Duration::from_millis(250);

/// A container's streams.
pub(crate) struct Console {
    sources: Vec<Pipe>,
    journal: Journal,
    input: Option<Input<OwnedFd>>,
    terminal: bool,
    /// The container reads what is typed.
    reads: bool,
    door: Option<OwnedFd>,
    clients: Vec<Client>,
    beside: Option<Beside>,
}

/// What a descriptor that became ready belongs to.
#[derive(Debug, Clone, Copy)]
enum Ready {
    Signals,
    Process,
    Door,
    Input,
    Source(usize),
    Client(usize),
    Beside(beside::Ready),
}

impl Console {
    /// Of output alone, which ends in the journal.
    pub(crate) fn new(sources: Vec<Pipe>, journal: Journal) -> Self {
        let (input, door, beside, clients) = (None, None, None, Vec::new());
        Self { sources, journal, input, terminal: false, reads: false, door, clients, beside }
    }

    /// With a pipe to its standard input, which must not block.
    pub(crate) fn with_input(self, pipe: OwnedFd) -> Self {
        Self { input: Some(Input::new(pipe)), reads: true, ..self }
    }

    /// With a terminal, whose master must not block; `reads`: what is typed is for the container.
    pub(crate) fn with_terminal(self, master: OwnedFd, reads: bool) -> Self {
        Self { input: Some(Input::new(master)), terminal: true, reads, ..self }
    }

    /// With a socket that clients come through.
    pub(crate) fn with_door(self, door: Option<OwnedFd>) -> Self {
        Self { door, ..self }
    }

    /// With programs that run beside the container's own.
    pub(crate) fn with_beside(self, beside: Option<Beside>) -> Self {
        Self { beside, ..self }
    }

    /// Serves until the container ended; its code.
    pub(crate) fn serve(mut self, pidfd: &OwnedFd, signals: &Signals) -> i32 {
        let code = loop {
            let mut ended = None;
            for (ready, events) in self.wait(pidfd, signals) {
                match ready {
                    Ready::Signals => {
                        while let Some(number) = signals.next() {
                            let _ = signal_pidfd(pidfd, number);
                        }
                    }
                    Ready::Process => ended = wait_pidfd(pidfd, false).ok().flatten(),
                    Ready::Door => self.welcome(),
                    Ready::Input => self.input.iter_mut().for_each(Input::flush),
                    Ready::Source(index) => self.pump(index),
                    Ready::Client(index) => self.attend(index, events, pidfd),
                    Ready::Beside(ready) => {
                        self.beside.iter_mut().for_each(|beside| beside.attend(ready, pidfd));
                    }
                }
            }
            self.beside.iter_mut().for_each(Beside::sweep);
            self.sources.retain(|source| !source.is_over());
            self.clients.retain(|client| !client.is_gone());
            if let Some(code) = ended {
                break code;
            }
        };
        self.end(code);
        code
    }

    /// Waits until something can be done, and says what.
    fn wait(&self, pidfd: &OwnedFd, signals: &Signals) -> Vec<(Ready, PollFlags)> {
        let mut descriptors = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
        ];
        let mut whose = vec![Ready::Signals, Ready::Process];
        if let Some(door) = &self.door {
            descriptors.push(PollFd::new(door.as_fd(), PollFlags::POLLIN));
            whose.push(Ready::Door);
        }
        if let Some(input) = self.input.as_ref().filter(|input| input.is_waiting()) {
            descriptors.push(PollFd::new(input.as_fd(), PollFlags::POLLOUT));
            whose.push(Ready::Input);
        }
        for (index, source) in self.sources.iter().enumerate() {
            descriptors.push(PollFd::new(source.as_fd(), PollFlags::POLLIN));
            whose.push(Ready::Source(index));
        }
        let room = self.input.as_ref().is_none_or(Input::has_room);
        for (index, client) in self.clients.iter().enumerate() {
            let mut events = PollFlags::empty();
            events.set(PollFlags::POLLIN, room);
            events.set(PollFlags::POLLOUT, client.has_backlog());
            descriptors.push(PollFd::new(client.as_fd(), events));
            whose.push(Ready::Client(index));
        }
        if let Some(beside) = &self.beside {
            beside.watch(|ready, descriptor| {
                descriptors.push(descriptor);
                whose.push(Ready::Beside(ready));
            });
        }
        let _ = poll(&mut descriptors, PollTimeout::NONE);
        let events = descriptors.iter().map(|one| one.revents().unwrap_or(PollFlags::empty()));
        whose.into_iter().zip(events).filter(|(_, events)| !events.is_empty()).collect()
    }

    /// Lets one client in, or tells it that there are too many.
    fn welcome(&mut self) {
        let Some(door) = &self.door else { return };
        let socket = match accept_with(door, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
            Ok(socket) => socket,
            Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => return,
            // It would be ready again at once, and for ever.
            Err(_) => return self.door = None,
        };
        if !is_from_outside(&socket) {
            return;
        }
        let client = match self.clients.len() < CLIENTS_MAX {
            true => Client::new(socket, Message::Hello { terminal: self.terminal, input: self.reads }),
            false => return drop(Client::new(socket, Message::Full)),
        };
        self.clients.push(client);
    }

    fn pump(&mut self, index: usize) {
        let Self { sources, journal, clients, .. } = self;
        if let Some(source) = sources.get_mut(index) {
            source.pump(journal, |stream, bytes| {
                clients.iter_mut().for_each(|client| client.show(stream, bytes));
            });
        }
    }

    /// Takes what a client says, and sends it what waits for it.
    fn attend(&mut self, index: usize, events: PollFlags, pidfd: &OwnedFd) {
        let Some(client) = self.clients.get_mut(index) else { return };
        if events.contains(PollFlags::POLLOUT) {
            client.flush();
        }
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_IN_A_ROW_MAX {
            if !self.input.as_ref().is_none_or(Input::has_room) {
                break;
            }
            match receive(client.socket(), &mut buffer) {
                Received::Message(count) => match Message::decode(&buffer[..count]) {
                    Some(Message::Input(bytes)) if self.reads => {
                        self.input.iter_mut().for_each(|input| input.take(bytes));
                    }
                    Some(Message::Window { rows, columns }) if self.terminal => {
                        self.input.iter().for_each(|input| drop(input.resize(rows, columns)));
                    }
                    Some(Message::Signal(number)) if is_proxied(number) => {
                        let _ = signal_pidfd(pidfd, number);
                    }
                    _ => {}
                },
                Received::Nothing => break,
                Received::Gone => return client.leave(),
            }
        }
        // One that hung up while nothing of it can be taken will not come back.
        if events.contains(PollFlags::POLLHUP) && !events.contains(PollFlags::POLLIN) {
            client.leave();
        }
    }

    /// Passes the last output on and tells everybody the code.
    fn end(self, code: i32) {
        let Self { sources, mut journal, mut clients, beside, .. } = self;
        if let Some(beside) = beside {
            beside.end();
        }
        for source in sources {
            source.drain(&mut journal, |stream, bytes| {
                clients.iter_mut().for_each(|client| client.show(stream, bytes));
            });
        }
        clients.iter_mut().for_each(|client| client.tell(Message::Exit(code)));
        let deadline = Instant::now() + FAREWELL_MAX;
        loop {
            clients.iter_mut().for_each(Client::flush);
            clients.retain(|client| !client.is_gone() && client.has_backlog());
            let left = deadline.saturating_duration_since(Instant::now());
            if clients.is_empty() || left.is_zero() {
                return;
            }
            let mut waiting: Vec<PollFd<'_>> =
                clients.iter().map(|client| PollFd::new(client.as_fd(), PollFlags::POLLOUT)).collect();
            let _ = poll(&mut waiting, PollTimeout::try_from(left).unwrap_or(PollTimeout::ZERO));
        }
    }
}

/// Whether a client may pass a signal on: one that it can itself be told of.
fn is_proxied(number: i32) -> bool {
    (1..=libc::SIGSYS).contains(&number) && !matches!(number, libc::SIGKILL | libc::SIGSTOP)
}
