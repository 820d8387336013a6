//! `mesh shim attach`: the caller's terminal or pipes at the streams of a container that runs.
//!
//! The caller's terminal is raw where the container has one and what is typed is passed on; it is put
//! back on every way out.

use crate::{
    channel,
    console::wire::{self, CHUNK_BYTES_MAX, MESSAGE_BYTES_MAX, Message, Received, Sent},
    detach::Detach,
    failure::{Attempt as _, Failure},
    signals::{Signals, is_window},
    specification::{AttachSpecification, Report},
    terminal::{Raw, write_all},
};
use mesh_journal::Stream;
use nix::{
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signal::Signal,
    unistd::read,
};
use rustix::termios::tcgetwinsize;
use std::{
    io::{self, ErrorKind, IsTerminal as _},
    os::fd::{AsFd as _, OwnedFd},
    time::{Duration, Instant},
};

/// Code of an attaching that failed, or was let go of.
const FAILED: i32 = 1;
/// Code of a container that was killed with its shim.
const KILLED: i32 = 137;
/// Added to the number of the signal that ended us.
const SIGNALLED: i32 = 128;
/// Longest wait for the console's first word.
const HELLO_MAX: Duration = Duration::from_secs(5);
/// Messages that wait for room.
const OUTGOING_MAX: usize = 64;
/// How often the window is looked at where no signal tells of its size, in milliseconds.
const WINDOW_POLL_MS: u16 = 500;

pub(crate) fn main(arguments: &[&str]) -> i32 {
    let _ = nix::sys::prctl::set_dumpable(false);
    match start(arguments) {
        Ok(code) => code,
        Err(failure) => {
            if let Report::SetupFailed { step, reason } = failure.report() {
                channel::say(&format!("could not {step}: {reason}"));
            }
            FAILED
        }
    }
}

fn start(arguments: &[&str]) -> Result<i32, Failure> {
    let specification = channel::read_specification::<AttachSpecification>()?;
    let step = || format!("attach to {}", specification.name);
    let socket = match wire::connect_in(&specification.directory) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            let reason = "its streams are with the command that started it, or with an older version of Mesh";
            return Err(Failure::refused(step(), reason));
        }
        connected => connected.attempt(step)?,
    };
    let (terminal, input) = greeted(&socket).attempt(step)?;
    let stdin = input && !arguments.contains(&"no-stdin");
    if terminal && stdin && !io::stdin().is_terminal() {
        return Err(Failure::refused(
            step(),
            "cannot attach stdin to a TTY-enabled container because stdin is not a terminal",
        ));
    }
    let signals = Signals::block(false)?;
    let raw = (terminal && stdin).then(Raw::enter);
    if raw.is_some() {
        // A caller that is killed leaves its terminal to a shell, which is not to share it with us.
        let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGHUP);
    }
    let client = Client {
        socket,
        detach: if raw.is_some() { Detach::among(arguments) } else { Detach::default() },
        proxies: !terminal && !arguments.contains(&"no-sig-proxy"),
        window: terminal.then_some((0, 0)),
        outgoing: Vec::new(),
    };
    let end = client.relay(stdin, &signals);
    drop(raw);
    Ok(match end {
        End::Code(code) => code,
        End::Signal(number) => SIGNALLED + number,
        End::Detached => {
            channel::say_plainly("read escape sequence");
            FAILED
        }
    })
}

/// What the console says first: whether it is a terminal, and whether the container reads.
fn greeted(socket: &OwnedFd) -> io::Result<(bool, bool)> {
    let deadline = Instant::now() + HELLO_MAX;
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    loop {
        match wire::receive(socket, &mut buffer) {
            Received::Message(count) => match Message::decode(&buffer[..count]) {
                Some(Message::Hello { terminal, input }) => return Ok((terminal, input)),
                Some(Message::Full) => {
                    return Err(io::Error::other("as many are attached to it as can be"));
                }
                _ => {}
            },
            Received::Nothing => {}
            Received::Gone => return Err(io::Error::other("it ended")),
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut descriptors, PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    }
}

/// How an attaching ended.
enum End {
    /// With the container.
    Code(i32),
    /// A signal ended us.
    Signal(i32),
    /// The keys were typed.
    Detached,
}

struct Client {
    socket: OwnedFd,
    detach: Detach,
    /// Signals are the container's.
    proxies: bool,
    /// Size of the window as the console knows it, where it has one.
    window: Option<(u16, u16)>,
    /// Messages that wait for room, oldest first.
    outgoing: Vec<Vec<u8>>,
}

impl Client {
    fn relay(mut self, mut stdin: bool, signals: &Signals) -> End {
        let input = io::stdin();
        self.repaint();
        loop {
            let mut events = PollFlags::POLLIN;
            events.set(PollFlags::POLLOUT, !self.outgoing.is_empty());
            let mut descriptors = vec![
                PollFd::new(signals.as_fd(), PollFlags::POLLIN),
                PollFd::new(self.socket.as_fd(), events),
            ];
            let typing = stdin && self.outgoing.is_empty();
            if typing {
                descriptors.push(PollFd::new(input.as_fd(), PollFlags::POLLIN));
            }
            let _ = poll(&mut descriptors, PollTimeout::from(WINDOW_POLL_MS));
            let typed = typing && descriptors[2].revents().is_some_and(|events| !events.is_empty());
            while let Some(number) = signals.next() {
                match number {
                    _ if is_window(number) => {}
                    _ if self.proxies => self.send(Message::Signal(number)),
                    libc::SIGHUP | libc::SIGINT | libc::SIGQUIT | libc::SIGTERM => {
                        return End::Signal(number);
                    }
                    _ => {}
                }
            }
            self.flush();
            if let Some(code) = self.show() {
                return End::Code(code);
            }
            self.resize();
            if typed {
                match self.type_in(&input) {
                    Typing::GoesOn => {}
                    Typing::Ended => stdin = false,
                    Typing::Detached => return End::Detached,
                }
            }
        }
    }

    /// Shows what came; the container's code once that came.
    fn show(&mut self) -> Option<i32> {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        loop {
            match wire::receive(&self.socket, &mut buffer) {
                Received::Message(count) => match Message::decode(&buffer[..count]) {
                    Some(Message::Output(Stream::Stdout, bytes)) => drop(write_all(io::stdout(), bytes)),
                    Some(Message::Output(Stream::Stderr, bytes)) => drop(write_all(io::stderr(), bytes)),
                    Some(Message::Lost(bytes)) => {
                        channel::say(&format!("{bytes} bytes were left out: this terminal is too slow"));
                    }
                    Some(Message::Exit(code)) => return Some(code),
                    _ => {}
                },
                Received::Nothing => return None,
                // It went without a word.
                Received::Gone => return Some(KILLED),
            }
        }
    }

    fn type_in(&mut self, input: &io::Stdin) -> Typing {
        let mut buffer = [0; CHUNK_BYTES_MAX];
        let count = match read(input, &mut buffer) {
            Ok(0) => return Typing::Ended,
            Ok(count) => count,
            Err(Errno::EINTR | Errno::EAGAIN) => return Typing::GoesOn,
            Err(_) => return Typing::Ended,
        };
        let typed = self.detach.filter(&buffer[..count]);
        for chunk in typed.bytes.chunks(CHUNK_BYTES_MAX) {
            self.send(Message::Input(chunk));
        }
        if typed.detached { Typing::Detached } else { Typing::GoesOn }
    }

    /// Has whatever is on the screen drawn again: its program believes that the size changed.
    fn repaint(&mut self) {
        if self.window.is_some()
            && let Ok(size) = tcgetwinsize(io::stdin())
        {
            let (rows, columns) = (size.ws_row.saturating_add(1), size.ws_col.saturating_add(1));
            self.send(Message::Window { rows, columns });
            self.resize();
        }
    }

    /// Tells the size of the window where it changed.
    fn resize(&mut self) {
        let Some(known) = self.window else { return };
        let Ok(size) = tcgetwinsize(io::stdin()) else { return };
        let now = (size.ws_row, size.ws_col);
        if now != known && now != (0, 0) {
            self.window = Some(now);
            self.send(Message::Window { rows: now.0, columns: now.1 });
        }
    }

    fn send(&mut self, message: Message<'_>) {
        // Typing waits for room by itself; signals and sizes beyond this nobody would miss.
        if self.outgoing.len() < OUTGOING_MAX {
            self.outgoing.push(message.encode());
        }
        self.flush();
    }

    /// Sends what there is room for.
    fn flush(&mut self) {
        while let Some(message) = self.outgoing.first() {
            match wire::transmit(&self.socket, message) {
                // That it is gone shows in receiving.
                Sent::Yes | Sent::Gone => drop(self.outgoing.remove(0)),
                Sent::NotNow => return,
            }
        }
    }
}

/// How typing goes.
enum Typing {
    GoesOn,
    /// Nothing more is typed.
    Ended,
    /// The keys were typed.
    Detached,
}
