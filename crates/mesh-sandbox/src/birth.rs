//! How a program is born into a container that runs.
//!
//! Whatever is in a container's pid namespace can be looked at by the container's programs, with `SYS_PTRACE` even
//! through `/proc/<pid>/root` and by what it may do. So nothing is born there before it is what the program will
//! be: a helper outside of that pid namespace joins all other namespaces and takes user, capabilities and filter,
//! then forks the program as its own sibling, says its number and is gone. The program's parent is the shim.
//!
//! Invariant: what is born has the container's files, network and control groups, and the program's own rights; where
//! there is one id only, its user namespace has to be made from inside, and until then it has the rights that the
//! user namespace of Mesh gives.

use crate::{
    exec,
    execute::Program,
    failure::{Attempt as _, Failure},
    settings,
    specification::{ExecSpecification, UserNamespace},
    terminal::{self, Passage},
};
use mesh_linux::process::{SingleThreaded, fork_sibling};
use nix::{
    fcntl::OFlag,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::{ForkResult, pipe2},
};
use std::{
    fs::File,
    io::{self, Read as _, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

/// Where a helper says the number of the program; kept by the program until it is executed.
pub(crate) struct Announcement(File);

/// Where its shim reads that; kept as long as the program, which sees by it that its shim lives.
pub(crate) struct Register(File);

/// Makes the pipe between the two. Neither side is waited for.
pub(crate) fn register() -> io::Result<(Announcement, Register)> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
    Ok((Announcement(write.into()), Register(read.into())))
}

impl Announcement {
    /// Whether the shim still lives: its end of the pipe is open.
    pub(crate) fn listener_lives(&self) -> bool {
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let _ = poll(&mut descriptors, PollTimeout::ZERO);
        !descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
    }
}

impl AsFd for Announcement {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Register {
    /// The number that was said, once the helper has ended. `None`: nothing was born.
    pub(crate) fn number(&mut self) -> Option<i32> {
        let mut number = [0; 4];
        self.0.read_exact(&mut number).ok()?;
        Some(i32::from_ne_bytes(number)).filter(|number| *number > 0)
    }
}

/// What a helper made of itself.
pub(crate) enum Ready {
    /// The program, but for its session.
    Program(Program),
    /// What can be had outside of the container's pid namespace; the innermost user namespace, if there is one.
    Half(Option<OwnedFd>),
}

/// Makes this process what the orders say, as far as it can be from outside of the container's pid namespace. It has
/// joined the others.
pub(crate) fn ready(
    specification: &ExecSpecification,
    innermost: Option<OwnedFd>,
    passage: Option<Passage>,
) -> Result<Ready, Failure> {
    let has_terminal = passage.is_some();
    match passage {
        Some(passage) => passage.make()?,
        None => exec::own_null_device()?,
    }
    if specification.user_namespace == UserNamespace::Sole {
        settings::limit_early(&specification.process)?;
        return Ok(Ready::Half(innermost));
    }
    exec::settle(specification, innermost, has_terminal).map(Ready::Program)
}

/// Goes on as the program, in the container's pid namespace. `false`: in the helper, which is to end.
pub(crate) fn be_born(evidence: SingleThreaded, announcement: &mut Announcement) -> Result<bool, Failure> {
    match fork_sibling(evidence).attempt(|| "fork the program")? {
        ForkResult::Child => Ok(true),
        ForkResult::Parent { child } => {
            // Into an empty pipe: there is room. A shim that is gone takes the program along.
            let _ = announcement.0.write_all(&child.as_raw().to_ne_bytes());
            Ok(false)
        }
    }
}

/// What is left in the program's own process, but for execve and what comes right before it.
pub(crate) fn settle(
    specification: &ExecSpecification,
    ready: Ready,
    has_terminal: bool,
) -> Result<Program, Failure> {
    exec::lead()?;
    if has_terminal {
        terminal::control()?;
    }
    match ready {
        Ready::Program(program) => Ok(program),
        Ready::Half(innermost) => exec::settle(specification, innermost, has_terminal),
    }
}
