//! The shim's half: the door, and the programs that run.

use super::{
    child::{self, Place},
    wire::{self, Heard, Message, Request},
};
use crate::{
    birth::{self, Register},
    settings,
    specification::RunSpecification,
};
use mesh_linux::{
    capability::Capabilities,
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

/// Signals that there are.
const SIGNALS: usize = 64;

/// Code of a program that was killed: 128 and SIGKILL.
const KILLED: i32 = 137;

/// The door of a container and whoever came through it.
pub(crate) struct Beside {
    evidence: SingleThreaded,
    /// First process of the container.
    first: u32,
    groups: Groups,
    /// The capabilities whose filter is to be compiled before the first program; `None` once it is, and where there is
    /// to be none.
    filtered: Option<Capabilities>,
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

/// A program, from its request on.
struct Guest {
    stage: Stage,
    /// With its caller; `None` once that is gone.
    conversation: Option<OwnedFd>,
    /// Where its helper says its number. Closed, it would tell the program that we ended.
    register: Register,
    over: bool,
}

/// How far a program is.
enum Stage {
    /// A helper of ours is about to have it born.
    Coming {
        helper: OwnedFd,
        /// Signals that wait for it, a bit each by number.
        signals: u64,
        /// It is to end at once.
        doomed: bool,
    },
    /// It is there.
    Running { leader: Pid, pidfd: OwnedFd },
}

impl Stage {
    fn pidfd(&self) -> &OwnedFd {
        match self {
            Self::Coming { helper: pidfd, .. } | Self::Running { pidfd, .. } => pidfd,
        }
    }
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
        let filtered = settings::filtered(&specification.process);
        Some(Self { evidence, first, groups, filtered, door, guests: Vec::new() })
    }

    /// Adds what is to be waited for.
    pub(crate) fn watch<'a>(&'a self, mut add: impl FnMut(Ready, PollFd<'a>)) {
        if let Some(door) = &self.door {
            add(Ready::Door, PollFd::new(door.as_fd(), PollFlags::POLLIN));
        }
        for (index, guest) in self.guests.iter().enumerate() {
            add(Ready::Program(index), PollFd::new(guest.stage.pidfd().as_fd(), PollFlags::POLLIN));
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
                let _ = signal_pidfd(guest.stage.pidfd(), libc::SIGKILL);
            }
        }
    }

    fn welcome(&mut self, request: Request, container: &OwnedFd) {
        if !request.understood || self.guests.len() >= GUESTS_MAX {
            return wire::say(&request.conversation, Message::Refused);
        }
        // Said first: whoever gave up by now is to see nothing run, and whoever hears it waits for the end.
        if !wire::say_begun(&request.conversation) {
            return;
        }
        match self.start(&request, container) {
            Ok((helper, register)) => {
                let stage = Stage::Coming { helper, signals: 0, doomed: false };
                let conversation = Some(request.conversation);
                self.guests.push(Guest { stage, conversation, register, over: false });
            }
            // Nothing of it was begun: its caller may succeed where we could not.
            Err(_) => wire::say(&request.conversation, Message::Refused),
        }
    }

    /// Forks the helper.
    fn start(&mut self, request: &Request, container: &OwnedFd) -> io::Result<(OwnedFd, Register)> {
        self.groups.open();
        if let Some(kept) = self.filtered.take() {
            settings::compile_ahead(kept);
        }
        let (announcement, register) = birth::register()?;
        match fork(self.evidence)? {
            ForkResult::Child => {
                let Self { evidence, first, groups, .. } = self;
                let place = Place { evidence: *evidence, first: *first, groups, container };
                exit_now(child::main(place, request, announcement))
            }
            ForkResult::Parent { child } => Ok((own_child(child)?, register)),
        }
    }
}

/// A handle on a child that nobody waited for: the number is still its. One that cannot be watched is killed.
fn own_child(child: Pid) -> io::Result<OwnedFd> {
    let opened = open_pidfd(child.as_raw().cast_unsigned());
    if opened.is_err() {
        let _ = nix::sys::signal::kill(child, Signal::SIGKILL);
        let _ = mesh_linux::process::wait_child(child);
    }
    opened
}

impl Guest {
    /// Goes on after a process of it ended: with the program, or with telling its code.
    fn farewell(&mut self) {
        let code = match wait_pidfd(self.stage.pidfd(), false) {
            Ok(None) => return,
            Ok(Some(code)) => Some(code),
            Err(_) => None,
        };
        if let Stage::Coming { signals, doomed, .. } = self.stage
            && let Some(number) = self.register.number()
        {
            let leader = Pid::from_raw(number);
            match own_child(leader) {
                Ok(pidfd) => return self.follow(leader, pidfd, signals, doomed),
                Err(_) => self.tell(KILLED),
            }
        } else if let Some(code) = code {
            self.tell(code);
        }
        self.over = true;
    }

    /// Takes over what the helper left.
    fn follow(&mut self, leader: Pid, pidfd: OwnedFd, signals: u64, doomed: bool) {
        for number in (1..).take(SIGNALS).filter(|number| signals & signal_bit(*number) != 0) {
            let _ = signal_pidfd(&pidfd, number);
        }
        self.stage = Stage::Running { leader, pidfd };
        if doomed {
            self.kill();
        }
    }

    fn tell(&self, code: i32) {
        self.conversation.iter().for_each(|caller| wire::say(caller, Message::Exit(code)));
    }

    /// Does what its caller says; one that is gone takes its program along.
    fn listen(&mut self) {
        // Once it was waited for, its number may be somebody else's.
        let Some(conversation) = self.conversation.as_ref().filter(|_| !self.over) else { return };
        match wire::hear(conversation) {
            Heard::Message(Message::Signal(number)) => match &mut self.stage {
                Stage::Coming { signals, .. } => *signals |= signal_bit(number),
                Stage::Running { pidfd, .. } => drop(signal_pidfd(pidfd, number)),
            },
            Heard::Message(Message::Kill) => self.kill(),
            Heard::Message(_) | Heard::Nothing => {}
            Heard::Gone => {
                self.kill();
                self.conversation = None;
            }
        }
    }

    /// Ends the program and those it started, as far as they stayed in its group; it leads one unless it was only just
    /// forked. A helper goes on until it has said what is to be ended: it may be held up by a container that is paused,
    /// and the caller need not wait for that.
    fn kill(&mut self) {
        match &mut self.stage {
            Stage::Coming { doomed, .. } => {
                *doomed = true;
                self.tell(KILLED);
                self.conversation = None;
            }
            Stage::Running { leader, pidfd } => {
                let _ = killpg(*leader, Signal::SIGKILL);
                let _ = signal_pidfd(pidfd, libc::SIGKILL);
            }
        }
    }
}

/// The bit of a signal; of a number that is none, no bit.
fn signal_bit(number: i32) -> u64 {
    let shift = u32::try_from(number).ok().and_then(|number| number.checked_sub(1));
    shift.and_then(|shift| 1_u64.checked_shl(shift)).unwrap_or(0)
}
