//! The shim's half: the door, and the programs that run.

use super::{
    child::{self, Place},
    wire::{self, Heard, Message, Request},
};
use crate::specification::RunSpecification;
use mesh_linux::{
    cgroup::Members,
    process::{SingleThreaded, exit_now, fork, open_pidfd, signal_pidfd, wait_pidfd},
};
use nix::{
    libc,
    poll::{PollFd, PollFlags},
    sys::signal::{Signal, killpg},
    unistd::{ForkResult, Pid},
};
use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::PathBuf,
};

/// Programs that run at once; whoever comes then sees to a program without us.
const GUESTS_MAX: usize = 64;

/// Code of a program that was killed: 128 and SIGKILL.
const KILLED: i32 = 137;

/// The door of a container and whoever came through it.
pub(crate) struct Beside {
    evidence: SingleThreaded,
    /// First process of the container.
    first: u32,
    groups: Groups,
    /// `None` once it is broken.
    door: Option<OwnedFd>,
    guests: Vec<Guest>,
}

/// What of it became ready.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ready {
    Door,
    Program(usize),
    Caller(usize),
}

/// A program that runs.
struct Guest {
    leader: Pid,
    pidfd: OwnedFd,
    /// With its caller; `None` once that is gone.
    conversation: Option<OwnedFd>,
    over: bool,
}

/// The control groups of a container.
pub(super) struct Groups {
    pub(super) directories: Vec<PathBuf>,
    /// Open from the first program on; `None` where they cannot be held open.
    pub(super) members: Option<Vec<Members>>,
}

impl Groups {
    /// Opens them once: a program joins eight of them where control groups are of version 1.
    fn open(&mut self) {
        if self.members.is_none() {
            self.members = self.directories.iter().map(|directory| Members::open(directory).ok()).collect();
        }
    }
}

impl Beside {
    /// Makes the door in the container's directory. A container without one runs as well.
    pub(crate) fn open(
        evidence: SingleThreaded,
        specification: &RunSpecification,
        first: u32,
    ) -> Option<Self> {
        let door = Some(wire::open_door(&specification.directory).ok()?);
        let groups = Groups { directories: specification.cgroups.clone(), members: None };
        Some(Self { evidence, first, groups, door, guests: Vec::new() })
    }

    /// Adds what is to be waited for.
    pub(crate) fn watch<'a>(&'a self, mut add: impl FnMut(Ready, PollFd<'a>)) {
        if let Some(door) = &self.door {
            add(Ready::Door, PollFd::new(door.as_fd(), PollFlags::POLLIN));
        }
        for (index, guest) in self.guests.iter().enumerate() {
            add(Ready::Program(index), PollFd::new(guest.pidfd.as_fd(), PollFlags::POLLIN));
            if let Some(conversation) = &guest.conversation {
                add(Ready::Caller(index), PollFd::new(conversation.as_fd(), PollFlags::POLLIN));
            }
        }
    }

    /// Does what there is to do. `container` is a handle on its first process.
    pub(crate) fn attend(&mut self, ready: Ready, container: &OwnedFd) {
        match ready {
            Ready::Door => match self.door.as_ref().map(wire::answer_door) {
                Some(Ok(Some(request))) => self.welcome(request, container),
                Some(Ok(None)) | None => {}
                // It would be ready again at once, and for ever.
                Some(Err(_)) => self.door = None,
            },
            Ready::Program(index) => self.guests.get_mut(index).into_iter().for_each(Guest::farewell),
            Ready::Caller(index) => self.guests.get_mut(index).into_iter().for_each(Guest::listen),
        }
    }

    /// Forgets those that ended: indexes are others then.
    pub(crate) fn sweep(&mut self) {
        self.guests.retain(|guest| !guest.over);
        if self.guests.is_empty() {
            self.guests = Vec::new();
        }
    }

    /// Ends all, once the container has.
    pub(crate) fn end(mut self) {
        for guest in &mut self.guests {
            guest.farewell();
            if !guest.over {
                let _ = signal_pidfd(&guest.pidfd, libc::SIGKILL);
            }
        }
    }

    fn welcome(&mut self, request: Request, container: &OwnedFd) {
        if !request.understood || self.guests.len() >= GUESTS_MAX {
            return wire::say(&request.conversation, Message::Refused);
        }
        match self.start(&request, container) {
            Ok(Some((leader, pidfd))) => {
                let conversation = Some(request.conversation);
                self.guests.push(Guest { leader, pidfd, conversation, over: false });
            }
            Ok(None) => wire::say(&request.conversation, Message::Exit(KILLED)),
            // Nothing of it was begun: its caller may succeed where we could not.
            Err(_) => wire::say(&request.conversation, Message::Refused),
        }
    }

    /// Forks what becomes the program. `None`: it was begun, and killed because it could not have been watched.
    fn start(&mut self, request: &Request, container: &OwnedFd) -> io::Result<Option<(Pid, OwnedFd)>> {
        self.groups.open();
        // So that what is forked can tell that we ended: its parent is out of its sight.
        let shim = open_pidfd(std::process::id())?;
        match fork(self.evidence)? {
            ForkResult::Child => {
                let Self { evidence, first, groups, .. } = self;
                let place = Place { evidence: *evidence, first: *first, groups, container, shim: &shim };
                exit_now(child::main(place, request))
            }
            ForkResult::Parent { child } => match open_pidfd(child.as_raw().cast_unsigned()) {
                Ok(pidfd) => Ok(Some((child, pidfd))),
                Err(_) => {
                    // Our own child that nobody waited for: the number is still its.
                    let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
                    let _ = mesh_linux::process::wait_child(child);
                    Ok(None)
                }
            },
        }
    }
}

impl Guest {
    /// Tells the code of a program that ended.
    fn farewell(&mut self) {
        match wait_pidfd(&self.pidfd, false) {
            Ok(None) => return,
            Ok(Some(code)) => {
                self.conversation.iter().for_each(|caller| wire::say(caller, Message::Exit(code)));
            }
            Err(_) => {}
        }
        self.over = true;
    }

    /// Does what its caller says; one that is gone takes its program along.
    fn listen(&mut self) {
        // Once it was waited for, its number may be somebody else's.
        let Some(conversation) = self.conversation.as_ref().filter(|_| !self.over) else { return };
        match wire::hear(conversation) {
            Heard::Message(Message::Signal(number)) => drop(signal_pidfd(&self.pidfd, number)),
            Heard::Message(Message::Kill) => {
                // Those it started, as far as they stayed in its group; it leads one unless it was only just forked.
                let _ = killpg(self.leader, Signal::SIGKILL);
                let _ = signal_pidfd(&self.pidfd, libc::SIGKILL);
            }
            Heard::Message(_) | Heard::Nothing => {}
            Heard::Gone => {
                let _ = signal_pidfd(&self.pidfd, libc::SIGKILL);
                self.conversation = None;
            }
        }
    }
}
