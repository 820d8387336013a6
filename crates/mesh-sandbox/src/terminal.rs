//! A terminal for a program: made in the container, relayed by its shim.
//!
//! The process in the container opens the master (the container's own devpts has it) and passes it to
//! the shim through a socket; the shim copies between it and its own standard input and output. A
//! caller's terminal is raw meanwhile and is put back on every way out.

use crate::{
    channel::say,
    console::input::Input,
    detach::Detach,
    failure::{Attempt as _, Failure},
    signals::{Signals, is_window},
};
use mesh_linux::{
    descriptor::place_standard,
    process::{signal_pidfd, wait_pidfd},
};
use nix::{
    cmsg_space,
    errno::Errno,
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{
        AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr, recvmsg,
        sendmsg, socketpair,
    },
    unistd::{read, write},
};
use rustix::{
    pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize},
};
use std::{
    fs::OpenOptions,
    io::{self, IoSlice, IoSliceMut},
    os::fd::{AsFd, AsRawFd as _, OwnedFd, RawFd},
    time::Instant,
};

/// Copied at once, in bytes.
const COPY_BYTES: usize = 4096;
/// How often the caller's window is looked at where no signal tells of its size, in milliseconds.
const WINDOW_POLL_MS: u16 = 500;
/// Output copied after the program's end, in bytes.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// Passes the master from the container to its shim.
pub(crate) struct Passage {
    shim: OwnedFd,
    container: OwnedFd,
}

impl Passage {
    pub(crate) fn new() -> Result<Self, Failure> {
        let (shim, container) =
            socketpair(AddressFamily::Unix, SockType::Datagram, None, SockFlag::SOCK_CLOEXEC)
                .attempt(|| "make a pair of sockets")?;
        Ok(Self { shim, container })
    }

    /// In the container: makes a terminal, sends its master, and takes it as standard streams and
    /// controlling terminal. This process must lead a session.
    pub(crate) fn open(self) -> Result<(), Failure> {
        self.make()?;
        control()
    }

    /// The same without the controlling terminal: that is for the program's own session, see [`control`].
    pub(crate) fn make(self) -> Result<(), Failure> {
        let master: OwnedFd = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/ptmx")
            .attempt(|| "open the container's /dev/ptmx")?
            .into();
        unlockpt(&master).attempt(|| "unlock the terminal")?;
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
        let terminal = ioctl_tiocgptpeer(&master, flags).attempt(|| "open the terminal")?;
        copy_window(io::stdin(), &terminal);
        let descriptors: [RawFd; 1] = [master.as_raw_fd()];
        let rights = [ControlMessage::ScmRights(&descriptors)];
        let one = [IoSlice::new(b"t")];
        sendmsg::<UnixAddr>(self.container.as_raw_fd(), &one, &rights, MsgFlags::empty(), None)
            .attempt(|| "pass the terminal on")?;
        for number in 0..=2 {
            place_standard(&terminal, number).attempt(|| "use the terminal")?;
        }
        Ok(())
    }

    /// In the shim, once the program was executed: the master.
    pub(crate) fn receive(self) -> Option<OwnedFd> {
        let mut byte = [0];
        let mut room = cmsg_space!([RawFd; 1]);
        let mut parts = [IoSliceMut::new(&mut byte)];
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
        let message = recvmsg::<UnixAddr>(self.shim.as_raw_fd(), &mut parts, Some(&mut room), flags).ok()?;
        message.cmsgs().ok()?.find_map(|part| match part {
            ControlMessageOwned::ScmRights(numbers) => {
                numbers.first().and_then(|number| mesh_linux::descriptor::take_received(*number))
            }
            _ => None,
        })
    }
}

/// Makes standard input the controlling terminal of the session that this process leads.
pub(crate) fn control() -> Result<(), Failure> {
    rustix::process::ioctl_tiocsctty(io::stdin()).attempt(|| "control the terminal")
}

/// Makes one terminal as large as another.
pub(crate) fn copy_window(from: impl AsFd, to: impl AsFd) {
    if let Ok(size) = tcgetwinsize(from) {
        let _ = tcsetwinsize(to, size);
    }
}

/// The caller's terminal in raw mode, until this is dropped.
pub(crate) struct Raw(Option<Termios>);

impl Raw {
    pub(crate) fn enter() -> Self {
        let stdin = io::stdin();
        let before = isatty(&stdin).then(|| tcgetattr(&stdin).ok()).flatten();
        if let Some(before) = &before {
            let mut raw = before.clone();
            raw.make_raw();
            let _ = tcsetattr(&stdin, OptionalActions::Now, &raw);
        }
        Self(before)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// How a relay ended.
pub(crate) enum End {
    /// With the program: its code.
    Code(i32),
    /// The deadline passed first.
    Deadline,
    /// The keys were typed that let go of the terminal. The program goes on.
    Detached,
    /// The caller is gone, or its terminal is. The program goes on.
    HungUp,
}

/// What ends a relay besides the program.
#[derive(Default)]
pub(crate) struct Limits {
    /// The time.
    pub(crate) deadline: Option<Instant>,
    /// Keys.
    pub(crate) detach: Detach,
    /// SIGHUP means that the caller is gone; else it is the program's.
    pub(crate) ends_on_hang_up: bool,
}

/// Copies between the shim's standard streams and `master` until the program ended.
pub(crate) fn relay(master: &OwnedFd, pidfd: &OwnedFd, signals: &Signals, mut limits: Limits) -> End {
    let _raw = Raw::enter();
    // A program that waits for its output to be read must not make us wait for it to read.
    set_nonblocking(master);
    let mut input = Input::new(master);
    let (stdin, stdout) = (io::stdin(), io::stdout());
    let (mut reading, mut showing) = (true, true);
    loop {
        if let Ok(Some(code)) = wait_pidfd(pidfd, false) {
            if showing {
                drain(master, &stdout);
            }
            return End::Code(code);
        }
        if limits.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return End::Deadline;
        }
        let mut descriptors = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
        ];
        let mut wanted = PollFlags::empty();
        wanted.set(PollFlags::POLLIN, showing);
        wanted.set(PollFlags::POLLOUT, input.is_waiting());
        // Where nothing is wanted of it, it would say again and again that its last user is gone.
        let watched = !wanted.is_empty();
        if watched {
            descriptors.push(PollFd::new(master.as_fd(), wanted));
        }
        let typing = reading && !input.is_waiting();
        if typing {
            descriptors.push(PollFd::new(stdin.as_fd(), PollFlags::POLLIN));
        }
        let _ = poll(&mut descriptors, PollTimeout::from(WINDOW_POLL_MS));
        let ready = |index: usize| {
            descriptors.get(index).and_then(|one| one.revents()).is_some_and(|events| !events.is_empty())
        };
        let (show, type_in) = (watched && ready(2), typing && ready(2 + usize::from(watched)));
        while let Some(number) = signals.next() {
            if number == libc::SIGHUP && limits.ends_on_hang_up {
                return End::HungUp;
            }
            if !is_window(number) {
                let _ = signal_pidfd(pidfd, number);
            }
        }
        copy_window(&stdin, master);
        if show {
            input.flush();
            showing = showing && copy(master, &stdout);
        }
        if type_in {
            match type_into(&mut input, &stdin, &mut limits.detach) {
                Typing::GoesOn => {}
                Typing::Ended => reading = false,
                Typing::Detached => return End::Detached,
            }
        }
    }
}

/// Reads on without a caller until the program ended; its code. What it writes is nobody's.
pub(crate) fn outlive(master: &OwnedFd, pidfd: &OwnedFd, signals: &Signals) -> i32 {
    let mut showing = true;
    loop {
        if let Ok(Some(code)) = wait_pidfd(pidfd, false) {
            return code;
        }
        let mut descriptors = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
        ];
        if showing {
            descriptors.push(PollFd::new(master.as_fd(), PollFlags::POLLIN));
        }
        let _ = poll(&mut descriptors, PollTimeout::NONE);
        let show = descriptors.get(2).and_then(|one| one.revents()).is_some_and(|events| !events.is_empty());
        while let Some(number) = signals.next() {
            let _ = signal_pidfd(pidfd, number);
        }
        if show {
            let read = read(master, &mut [0; COPY_BYTES]);
            showing = matches!(read, Ok(1..) | Err(Errno::EINTR | Errno::EAGAIN));
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

fn type_into(input: &mut Input<&OwnedFd>, stdin: &io::Stdin, detach: &mut Detach) -> Typing {
    let mut buffer = [0; COPY_BYTES];
    let count = match read(stdin, &mut buffer) {
        Ok(0) => return Typing::Ended,
        Ok(count) => count,
        Err(Errno::EINTR | Errno::EAGAIN) => return Typing::GoesOn,
        Err(_) => return Typing::Ended,
    };
    let typed = detach.filter(&buffer[..count]);
    input.take(&typed.bytes);
    match (typed.detached, input.is_closed()) {
        (true, _) => Typing::Detached,
        (false, false) => Typing::GoesOn,
        (false, true) => Typing::Ended,
    }
}

/// Makes reading and writing return at once.
pub(crate) fn set_nonblocking(descriptor: impl AsFd) {
    if let Ok(flags) = rustix::fs::fcntl_getfl(&descriptor) {
        let _ = rustix::fs::fcntl_setfl(&descriptor, flags | rustix::fs::OFlags::NONBLOCK);
    }
}

fn drain(master: &OwnedFd, to: &io::Stdout) {
    let mut bytes = 0;
    loop {
        let mut descriptors = [PollFd::new(master.as_fd(), PollFlags::POLLIN)];
        let waiting = poll(&mut descriptors, PollTimeout::ZERO).unwrap_or(0);
        if waiting == 0 || bytes > DRAIN_BYTES_MAX || !copy(master, to) {
            return;
        }
        bytes += COPY_BYTES;
    }
}

/// Copies once. `false`: there is no more to come, or nowhere to go.
fn copy(from: impl AsFd, to: impl AsFd) -> bool {
    let mut buffer = [0; COPY_BYTES];
    let count = match read(from, &mut buffer) {
        Ok(0) => return false,
        Ok(count) => count,
        Err(Errno::EINTR | Errno::EAGAIN) => return true,
        // A terminal whose last user is gone says EIO.
        Err(_) => return false,
    };
    write_all(to, &buffer[..count])
}

/// Writes all of it, waiting where it must. `false`: it goes nowhere.
pub(crate) fn write_all(to: impl AsFd, mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        match write(to.as_fd(), rest) {
            Ok(count) => rest = &rest[count..],
            Err(Errno::EINTR) => {}
            Err(Errno::EAGAIN) => {
                let mut descriptors = [PollFd::new(to.as_fd(), PollFlags::POLLOUT)];
                let _ = poll(&mut descriptors, PollTimeout::NONE);
            }
            Err(_) => return false,
        }
    }
    true
}

/// Says that a terminal was asked for and not made.
pub(crate) fn missing() {
    say("the container made no terminal");
}
