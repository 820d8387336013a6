//! What a console and those who are attached to it say to each other: packets over a socket in the
//! container's directory, a message each.
//!
//! Both ends are this binary, but one may be older: what is not understood is passed over. The socket is
//! reached through an open directory, for its path may be longer than an address can be.

use crate::failure::{Attempt as _, Failure};
use mesh_journal::Stream;
use nix::sys::stat::{Mode, umask};
use rustix::{
    fs::{CWD, Mode as FileMode, OFlags, openat, unlinkat},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen,
        recv, send, socket_with,
    },
};
use std::{
    io,
    os::fd::{AsFd, AsRawFd as _, OwnedFd},
    path::Path,
};

/// Name of the socket in the container's directory.
const SOCKET_NAME: &str = "attach.sock";
/// Bytes of a stream in one message.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 10;
/// Largest message, in bytes.
pub(crate) const MESSAGE_BYTES_MAX: usize = CHUNK_BYTES_MAX + 16;
/// Connections that wait to be taken.
const WAITING_MAX: i32 = 8;

/// One message, of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message<'a> {
    /// To the client, first: what it is attached to.
    Hello {
        /// A terminal.
        terminal: bool,
        /// What is typed is read by somebody.
        input: bool,
    },
    /// To the client: output.
    Output(Stream, &'a [u8]),
    /// To the client: so many bytes were left out, for it was too slow.
    Lost(u64),
    /// To the client, last: the container's code.
    Exit(i32),
    /// To the client, in place of all others: there are too many.
    Full,
    /// To the console: typed.
    Input(&'a [u8]),
    /// To the console: the size of the client's window.
    Window {
        /// Lines.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// To the console: a signal for the container, by number.
    Signal(i32),
}

impl<'a> Message<'a> {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let (kind, body): (u8, Vec<u8>) = match self {
            Self::Hello { terminal, input } => (b'h', vec![u8::from(*terminal) | u8::from(*input) << 1]),
            Self::Output(Stream::Stdout, bytes) => (b'o', bytes.to_vec()),
            Self::Output(Stream::Stderr, bytes) => (b'e', bytes.to_vec()),
            Self::Lost(bytes) => (b'l', bytes.to_le_bytes().to_vec()),
            Self::Exit(code) => (b'x', code.to_le_bytes().to_vec()),
            Self::Full => (b'f', Vec::new()),
            Self::Input(bytes) => (b'i', bytes.to_vec()),
            Self::Window { rows, columns } => (b'w', [rows.to_le_bytes(), columns.to_le_bytes()].concat()),
            Self::Signal(number) => (b's', number.to_le_bytes().to_vec()),
        };
        let mut message = Vec::with_capacity(1 + body.len());
        message.push(kind);
        message.extend(body);
        message
    }

    pub(crate) fn decode(message: &'a [u8]) -> Option<Self> {
        let (kind, body) = message.split_first()?;
        Some(match kind {
            b'h' => {
                let flags = *body.first()?;
                Self::Hello { terminal: flags & 1 != 0, input: flags & 2 != 0 }
            }
            b'o' => Self::Output(Stream::Stdout, body),
            b'e' => Self::Output(Stream::Stderr, body),
            b'l' => Self::Lost(u64::from_le_bytes(body.try_into().ok()?)),
            b'x' => Self::Exit(i32::from_le_bytes(body.try_into().ok()?)),
            b'f' => Self::Full,
            b'i' => Self::Input(body),
            b'w' => {
                let (rows, columns) = body.split_first_chunk()?;
                Self::Window {
                    rows: u16::from_le_bytes(*rows),
                    columns: u16::from_le_bytes(columns.try_into().ok()?),
                }
            }
            b's' => Self::Signal(i32::from_le_bytes(body.try_into().ok()?)),
            _ => return None,
        })
    }
}

/// What one look at a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// A message of so many bytes.
    Message(usize),
    /// None now.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// Takes one message, without waiting.
pub(crate) fn receive(socket: &OwnedFd, buffer: &mut [u8; MESSAGE_BYTES_MAX]) -> Received {
    match recv(socket, buffer.as_mut_slice(), RecvFlags::DONTWAIT) {
        Ok((0, _)) => Received::Gone,
        Ok((count, _)) => Received::Message(count),
        // The other side ended with something of ours unread; what it sent before is still to come.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNRESET) => Received::Nothing,
        Err(_) => Received::Gone,
    }
}

/// How sending went.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way.
    Yes,
    /// There is no room now.
    NotNow,
    /// The other side is gone.
    Gone,
}

/// Sends one message, without waiting.
pub(crate) fn transmit(socket: &OwnedFd, message: &[u8]) -> Sent {
    match send(socket, message, SendFlags::DONTWAIT | SendFlags::NOSIGNAL) {
        Ok(_) => Sent::Yes,
        Err(Errno::AGAIN | Errno::INTR | Errno::NOBUFS) => Sent::NotNow,
        Err(_) => Sent::Gone,
    }
}

/// Listens in a container's directory, for its owner alone.
pub(crate) fn listen_in(directory: &Path) -> Result<OwnedFd, Failure> {
    let step = || format!("listen in {}", directory.display());
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = open(directory).attempt(step)?;
    let _ = unlinkat(&opened, SOCKET_NAME, rustix::fs::AtFlags::empty());
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None).attempt(step)?;
    // A socket's mode is what the mask leaves, from the moment that it is there.
    let mask = umask(Mode::from_bits_truncate(0o177));
    let bound = address(&opened).and_then(|address| Ok(bind(&socket, &address)?));
    umask(mask);
    bound.attempt(step)?;
    listen(&socket, WAITING_MAX).attempt(step)?;
    Ok(socket)
}

/// Connects to the console of the container whose directory this is.
pub(crate) fn connect_in(directory: &Path) -> io::Result<OwnedFd> {
    let opened = open(directory)?;
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    connect(&socket, &address(&opened)?)?;
    Ok(socket)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, directory, flags, FileMode::empty())?)
}

fn address(directory: impl AsFd) -> io::Result<SocketAddrUnix> {
    let number = directory.as_fd().as_raw_fd();
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{number}/{SOCKET_NAME}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_back_and_nonsense_does_not() {
        for message in [
            Message::Hello { terminal: true, input: false },
            Message::Hello { terminal: false, input: true },
            Message::Output(Stream::Stdout, b"out"),
            Message::Output(Stream::Stderr, b""),
            Message::Lost(1 << 40),
            Message::Exit(-1),
            Message::Full,
            Message::Input(b"typed"),
            Message::Window { rows: 24, columns: 80 },
            Message::Signal(15),
        ] {
            assert_eq!(Message::decode(&message.encode()), Some(message));
        }
        for nonsense in [&b""[..], b"?", b"h", b"w123", b"x1", b"s", b"l1234567"] {
            assert_eq!(Message::decode(nonsense), None, "{nonsense:?}");
        }
    }

    #[test]
    fn a_console_is_reached_through_a_long_path_and_by_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("x".repeat(200));
        std::fs::create_dir(&directory).unwrap();
        assert!(connect_in(&directory).is_err());
        let listening = listen_in(&directory).unwrap();
        let mode = std::fs::metadata(directory.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let client = connect_in(&directory).unwrap();
        let server = rustix::net::accept(&listening).unwrap();
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        assert_eq!(receive(&server, &mut buffer), Received::Nothing);
        assert_eq!(transmit(&client, &Message::Input(b"x").encode()), Sent::Yes);
        assert_eq!(receive(&server, &mut buffer), Received::Message(2));
        drop(client);
        assert_eq!(receive(&server, &mut buffer), Received::Gone);
        // Another run of the same container takes its place.
        drop((listening, server));
        assert!(connect_in(&directory).is_err());
        let _listening = listen_in(&directory).unwrap();
        assert!(connect_in(&directory).is_ok());
    }
}
