//! What a caller and a shim say to each other about one program.
//!
//! Both ends are this binary, but one may be older: a request of another format is refused, and what is not
//! understood later is passed over.

use crate::stranger::is_outside;
use mesh_linux::descriptor::take_received;
use nix::{
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        socket::{ControlMessageOwned, MsgFlags, UnixAddr, UnixCredentials, recvmsg, setsockopt, sockopt},
        stat::{Mode, umask},
    },
};
use rustix::{
    fs::{CWD, Mode as FileMode, OFlags, openat, unlinkat},
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, Shutdown,
        SocketAddrUnix, SocketFlags, SocketType, bind, connect, recv, send, sendmsg, shutdown, socket_with,
    },
};
use std::{
    io::{self, IoSlice, IoSliceMut},
    mem::MaybeUninit,
    os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd},
    path::Path,
};

/// Name of the socket in the container's directory.
const SOCKET_NAME: &str = "exec.sock";
/// What requests look like. To be raised with every change of them and of the orders that an older shim would
/// understand wrongly.
const FORMAT: u8 = 2;
/// Descriptors of a request.
const DESCRIPTORS: usize = 5;
/// Descriptors that the kernel takes with one datagram.
const DESCRIPTORS_SENT_MAX: usize = 253;
/// Longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 8;

/// A request, as it came.
#[derive(Debug)]
pub(crate) struct Request {
    /// Whether its format is ours.
    pub(crate) understood: bool,
    /// Where its caller listens.
    pub(crate) conversation: OwnedFd,
    /// Memory with an [`ExecSpecification`](crate::specification::ExecSpecification).
    pub(crate) orders: OwnedFd,
    /// Standard input, output and error.
    pub(crate) streams: [OwnedFd; 3],
}

/// What is said in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Message {
    /// To the shim: a signal for the program, by number.
    Signal(i32),
    /// To the shim: the program is to end now, with what it started.
    Kill,
    /// To the caller, first: the request was taken, and its program is on its way.
    Begun,
    /// To the caller, last: the program ended with this code.
    Exit(i32),
    /// To the caller, last: it could not be executed, which has this code.
    NotExecuted(i32),
    /// To the caller, alone: nothing was started.
    Refused,
}

impl Message {
    fn encode(self) -> Vec<u8> {
        let with = |kind: u8, number: i32| [&[kind][..], &number.to_le_bytes()].concat();
        match self {
            Self::Signal(number) => with(b's', number),
            Self::Kill => vec![b'k'],
            Self::Begun => vec![b'b'],
            Self::Exit(code) => with(b'x', code),
            Self::NotExecuted(code) => with(b'n', code),
            Self::Refused => vec![b'r'],
        }
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let (kind, body) = message.split_first()?;
        let number = || body.try_into().ok().map(i32::from_le_bytes);
        match kind {
            b's' => number().map(Self::Signal),
            b'k' => Some(Self::Kill),
            b'b' => Some(Self::Begun),
            b'x' => number().map(Self::Exit),
            b'n' => number().map(Self::NotExecuted),
            b'r' => Some(Self::Refused),
            _ => None,
        }
    }
}

/// What one look at a conversation brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Message(Message),
    /// Nothing that is understood.
    Nothing,
    /// The other side is gone.
    Gone,
}

/// Takes one message, without waiting.
pub(crate) fn hear(conversation: impl AsFd) -> Heard {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    match recv(conversation, &mut buffer, RecvFlags::DONTWAIT) {
        Ok((0, _)) => Heard::Gone,
        Ok((count, _)) => Message::decode(&buffer[..count]).map_or(Heard::Nothing, Heard::Message),
        // The other side ended with something of ours unread; what it said before is still to come.
        Err(Errno::AGAIN | Errno::INTR | Errno::CONNRESET) => Heard::Nothing,
        Err(_) => Heard::Gone,
    }
}

/// Says something, without waiting. A side that is gone, or does not listen, misses it.
pub(crate) fn say(conversation: impl AsFd, message: Message) {
    let _ = send(conversation, &message.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
}

/// Says that a request was taken. `false`: it was withdrawn.
pub(crate) fn say_begun(conversation: impl AsFd) -> bool {
    send(conversation, &Message::Begun.encode(), SendFlags::DONTWAIT | SendFlags::NOSIGNAL).is_ok()
}

/// Breaks a conversation for both sides, whoever else has this end open; what came before can still be heard.
pub(crate) fn withdraw(conversation: impl AsFd) {
    let _ = shutdown(conversation, Shutdown::Both);
}

/// Whether the other side is gone, or broke it.
pub(crate) fn is_gone(conversation: impl AsFd) -> bool {
    let mut descriptors = [PollFd::new(conversation.as_fd(), PollFlags::empty())];
    let _ = poll(&mut descriptors, PollTimeout::ZERO);
    descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// Makes the door in a container's directory, for its owner alone.
pub(crate) fn open_door(directory: &Path) -> io::Result<OwnedFd> {
    let opened = open(directory)?;
    let _ = unlinkat(&opened, SOCKET_NAME, rustix::fs::AtFlags::empty());
    let door = datagrams()?;
    setsockopt(&door, sockopt::PassCred, &true)?;
    // A socket's mode is what the mask leaves, from the moment that it is there.
    let mask = umask(Mode::from_bits_truncate(0o177));
    let bound = address(&opened).and_then(|address| Ok(bind(&door, &address)?));
    umask(mask);
    bound.map(|()| door)
}

/// Sends a request to the door in a container's directory, without waiting for room.
pub(crate) fn knock(directory: &Path, descriptors: [BorrowedFd<'_>; DESCRIPTORS]) -> io::Result<()> {
    let opened = open(directory)?;
    let socket = datagrams()?;
    connect(&socket, &address(&opened)?)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    sendmsg(&socket, &[IoSlice::new(&[FORMAT])], &mut ancillary, flags)?;
    Ok(())
}

/// Takes one request, without waiting. `None`: there is none, one that cannot even be refused, or one of a stranger.
pub(crate) fn answer_door(door: &OwnedFd) -> io::Result<Option<Request>> {
    let mut format = [0];
    // For whatever one datagram can bring: a list that is cut short is not told, and its descriptors stay open.
    let mut room = nix::cmsg_space!([RawFd; DESCRIPTORS_SENT_MAX], UnixCredentials);
    let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_CMSG_CLOEXEC;
    let mut parts = [IoSliceMut::new(&mut format)];
    let message = match recvmsg::<UnixAddr>(door.as_raw_fd(), &mut parts, Some(&mut room), flags) {
        Ok(message) => message,
        Err(nix::Error::EAGAIN | nix::Error::EINTR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    let (mut came, mut sender) = (Vec::with_capacity(DESCRIPTORS), None);
    for part in message.cmsgs()? {
        match part {
            ControlMessageOwned::ScmRights(numbers) => {
                came.extend(numbers.into_iter().filter_map(take_received));
            }
            ControlMessageOwned::ScmCredentials(credentials) => sender = Some(credentials.pid()),
            _ => {}
        }
    }
    let Ok([conversation, orders, stdin, stdout, stderr]) = <[OwnedFd; DESCRIPTORS]>::try_from(came) else {
        return Ok(None);
    };
    if !sender.is_some_and(is_outside) {
        return Ok(None);
    }
    let understood = format == [FORMAT];
    Ok(Some(Request { understood, conversation, orders, streams: [stdin, stdout, stderr] }))
}

fn datagrams() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn open(directory: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, directory, flags, FileMode::empty())?)
}

/// Through an open directory, for its path may be longer than an address can be.
fn address(directory: impl AsFd) -> io::Result<SocketAddrUnix> {
    let number = directory.as_fd().as_raw_fd();
    Ok(SocketAddrUnix::new(format!("/proc/self/fd/{number}/{SOCKET_NAME}"))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::net::socketpair;
    use std::os::unix::fs::PermissionsExt as _;

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
    }

    #[test]
    fn messages_come_back_and_nonsense_does_not() {
        let (one, other) = pair();
        let all = [
            Message::Signal(15),
            Message::Kill,
            Message::Begun,
            Message::Exit(-1),
            Message::NotExecuted(127),
            Message::Refused,
        ];
        for message in all {
            say(&one, message);
            assert_eq!(hear(&other), Heard::Message(message));
        }
        assert_eq!(hear(&other), Heard::Nothing);
        for nonsense in [&b"?"[..], b"s", b"x1", b"s12345678901234567890"] {
            send(&one, nonsense, SendFlags::empty()).unwrap();
            assert_eq!(hear(&other), Heard::Nothing, "{nonsense:?}");
        }
        assert!(!is_gone(&other));
        drop(one);
        assert!(is_gone(&other));
        assert_eq!(hear(&other), Heard::Gone);
        // What is withdrawn is not begun, even if this end is open elsewhere; what was begun before is known.
        for begun in [false, true] {
            let (caller, shim) = pair();
            let _elsewhere = caller.try_clone().unwrap();
            if begun {
                assert!(say_begun(&shim));
            }
            withdraw(&caller);
            assert!(!say_begun(&shim) && is_gone(&shim));
            assert_eq!(hear(&caller) == Heard::Message(Message::Begun), begun);
            assert_eq!(hear(&caller), Heard::Gone);
        }
    }

    /// Another list here is another format: an older shim passes over what it does not know.
    #[test]
    fn the_fields_of_orders_are_those_of_this_format() {
        use crate::specification::{ExecSpecification, ProcessSpecification, UserNamespace};
        let orders = ExecSpecification {
            pid: 1,
            cgroups: Vec::new(),
            process: ProcessSpecification {
                arguments: Vec::new(),
                environment: mesh_redact::Secret::new(std::collections::BTreeMap::new()),
                user: String::new(),
                groups: Vec::new(),
                working_dir: String::new(),
                capabilities: Vec::new(),
                no_new_privileges: true,
                seccomp: true,
                ulimits: std::collections::BTreeMap::new(),
                oom_score_adj: None,
            },
            terminal: false,
            detach: false,
            user_namespace: UserNamespace::None,
            timeout_ms: None,
            container_user: String::new(),
        };
        let orders = serde_json::to_value(&orders).unwrap();
        let names = |value: &serde_json::Value| {
            let mut names: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
            names.sort();
            names.join(" ")
        };
        let outer = "cgroups container_user detach pid process terminal timeout_ms user_namespace";
        let process = "arguments capabilities environment groups no_new_privileges oom_score_adj seccomp ulimits \
            user working_dir";
        assert_eq!((FORMAT, &*names(&orders), &*names(&orders["process"])), (2, outer, process));
    }

    #[test]
    fn a_request_goes_through_the_door_whole_and_the_door_is_its_owner_s() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("x".repeat(200));
        std::fs::create_dir(&directory).unwrap();
        let (ours, theirs) = pair();
        let descriptors = || [theirs.as_fd(), ours.as_fd(), ours.as_fd(), ours.as_fd(), ours.as_fd()];
        assert!(knock(&directory, descriptors()).is_err(), "there is none yet");
        let door = open_door(&directory).unwrap();
        let mode = std::fs::metadata(directory.join(SOCKET_NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(answer_door(&door).unwrap().is_none());
        knock(&directory, descriptors()).unwrap();
        let request = answer_door(&door).unwrap().unwrap();
        assert!(request.understood);
        say(&request.conversation, Message::Exit(3));
        assert_eq!(hear(&ours), Heard::Message(Message::Exit(3)));
        // Too few descriptors, or a format of another time.
        let stranger = datagrams().unwrap();
        let opened = open(&directory).unwrap();
        connect(&stranger, &address(&opened).unwrap()).unwrap();
        send(&stranger, &[FORMAT], SendFlags::empty()).unwrap();
        assert!(answer_door(&door).unwrap().is_none());
        // Too many: what does not fit is closed by the kernel, the rest by us, and the door stays.
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        let seven = [ours.as_fd(); 7];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(7))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&seven));
        sendmsg(&stranger, &[IoSlice::new(&[FORMAT])], &mut ancillary, SendFlags::empty()).unwrap();
        drop(answer_door(&door).unwrap());
        assert!(open() <= before + 2, "other tests open a few, but not all of these");
        knock(&directory, descriptors()).unwrap();
        assert!(answer_door(&door).unwrap().is_some());
        // Whoever does not take what waits is not waited for.
        while knock(&directory, descriptors()).is_ok() {}
        drop(door);
        assert!(knock(&directory, descriptors()).is_err());
    }
}
