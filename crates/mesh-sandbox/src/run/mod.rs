//! `mesh shim run`: the shim of one container.

pub(crate) mod container;
mod ending;

use crate::{
    channel::{self, Reporter},
    failure::{Attempt as _, Failure},
    relay::{Journal, Pipe},
    signals::Signals,
    specification::{Output, Report, RunSpecification},
    terminal::{self, Passage},
};
use ending::Ending;
use mesh_journal::Stream;
use mesh_linux::{
    descriptor::place_standard,
    process::{
        SingleThreaded, exit_now, fork, open_pidfd, release_free_memory, release_program_pages, signal_pidfd,
        wait_child, wait_pidfd,
    },
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sched::{CloneFlags, unshare},
    unistd::{ForkResult, pipe2},
};
use std::{
    fs::OpenOptions,
    os::fd::{AsFd as _, OwnedFd},
};

/// Code of a container whose sandbox could not be made.
const SETUP_FAILED: i32 = 125;

/// Code of a shim that killed its container: 128 and SIGKILL.
const KILLED: i32 = 137;

/// What the shim keeps of a container's streams.
enum Streams {
    /// Pipes into the journal.
    Journal { pipes: Vec<Pipe>, journal: Journal },
    /// Nothing: they are the container's.
    None,
    /// A terminal, once the container made it.
    Terminal(Passage),
}

/// What the container's process takes as its streams.
struct ContainerStreams {
    stdin: Option<OwnedFd>,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
}

pub(crate) fn main() -> i32 {
    let reporter = Reporter::take();
    // Nothing in a container may look into its shim, or write to the program the shim was made from.
    let _ = nix::sys::prctl::set_dumpable(false);
    let specification = match channel::read_specification::<RunSpecification>() {
        Ok(specification) => specification,
        Err(failure) => {
            reporter.send(&failure.report());
            return SETUP_FAILED;
        }
    };
    let ending = Ending::new(&specification);
    match start(specification, reporter) {
        Ok(Some(code)) => ending.record(code),
        // Not recorded: to whoever looks next, the container was never started.
        Ok(None) => KILLED,
        Err((failure, reporter)) => {
            reporter.send(&failure.report());
            ending.record(SETUP_FAILED)
        }
    }
}

/// Starts the container and stays until it ended; `None` if nobody kept that it runs, and it was killed
/// for that. Failures before the fork come back with the reporter, which has not been used then.
fn start(specification: RunSpecification, reporter: Reporter) -> Result<Option<i32>, (Failure, Reporter)> {
    macro_rules! attempt {
        ($step:expr) => {
            match $step {
                Ok(value) => value,
                Err(failure) => return Err((failure, reporter)),
            }
        };
    }
    let evidence = attempt!(
        SingleThreaded::prove()
            .ok_or_else(|| Failure::refused("fork the container", "this process has threads"))
    );
    let signals = attempt!(Signals::block(false));
    let (streams, own) = attempt!(streams(&specification.output));
    let (progress, progress_reader) = attempt!(channel::progress());
    if !specification.host_pid {
        attempt!(unshare(CloneFlags::CLONE_NEWPID).attempt(|| "make a pid namespace"));
    }
    let child = match attempt!(fork(evidence).attempt(|| "fork the container")) {
        ForkResult::Child => {
            drop(progress_reader);
            drop(reporter);
            let terminal = match streams {
                Streams::Terminal(passage) => Some(passage),
                Streams::Journal { .. } | Streams::None => None,
            };
            exit_now(container::main(evidence, &specification, own, terminal, progress))
        }
        ForkResult::Parent { child } => child,
    };
    drop((progress, own, specification));
    release_free_memory();
    let pid = child.as_raw().cast_unsigned();
    let pidfd = attempt!(open_pidfd(pid).attempt(|| "open a handle on the container"));
    let report = progress_reader.wait(pid);
    let failed = match &report {
        Report::Started { .. } => None,
        Report::SetupFailed { .. } => Some(SETUP_FAILED),
        Report::ExecuteFailed { code, .. } => Some(*code),
    };
    let kept = match failed {
        None => reporter.send_started(&report),
        Some(_) => {
            reporter.send(&report);
            true
        }
    };
    if failed.is_some() || !kept {
        let _ = signal_pidfd(&pidfd, libc::SIGKILL);
        let _ = wait_child(child);
        return Ok(failed);
    }
    release_program_pages();
    Ok(Some(serve(streams, &pidfd, &signals)))
}

/// Passes signals on and output along until the container ended; its code.
fn serve(streams: Streams, pidfd: &OwnedFd, signals: &Signals) -> i32 {
    let (mut pipes, mut journal) = match streams {
        Streams::Journal { pipes, journal } => {
            let _ = detach_streams();
            (pipes, Some(journal))
        }
        Streams::None => {
            let _ = detach_streams();
            (Vec::new(), None)
        }
        Streams::Terminal(passage) => match passage.receive() {
            Some(master) => match terminal::relay(&master, pidfd, signals, None) {
                terminal::End::Code(code) => return code,
                terminal::End::Deadline => (Vec::new(), None),
            },
            None => {
                terminal::missing();
                (Vec::new(), None)
            }
        },
    };
    let code = loop {
        let mut descriptors = vec![
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
            PollFd::new(pidfd.as_fd(), PollFlags::POLLIN),
        ];
        descriptors.extend(pipes.iter().map(|pipe| PollFd::new(pipe.as_fd(), PollFlags::POLLIN)));
        let _ = poll(&mut descriptors, PollTimeout::NONE);
        let ready: Vec<bool> =
            descriptors.iter().map(|one| one.revents().is_some_and(|events| !events.is_empty())).collect();
        while let Some(number) = signals.next() {
            let _ = signal_pidfd(pidfd, number);
        }
        if ready[1]
            && let Ok(Some(code)) = wait_pidfd(pidfd, false)
        {
            break code;
        }
        if let Some(journal) = &mut journal {
            let mut index = 1;
            pipes.retain_mut(|pipe| {
                index += 1;
                !ready[index] || pipe.pump(journal)
            });
        }
    };
    if let Some(mut journal) = journal {
        for pipe in pipes {
            pipe.drain(&mut journal);
        }
    }
    code
}

fn streams(output: &Output) -> Result<(Streams, ContainerStreams), Failure> {
    let null = || {
        let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
        opened.map(OwnedFd::from).attempt(|| "open /dev/null")
    };
    match output {
        Output::Journal { disabled: true, .. } => {
            let own = ContainerStreams { stdin: Some(null()?), stdout: Some(null()?), stderr: Some(null()?) };
            Ok((Streams::None, own))
        }
        Output::Journal { .. } => {
            let (stdout_read, stdout) = output_pipe()?;
            let (stderr_read, stderr) = output_pipe()?;
            let pipes = vec![Pipe::new(stdout_read, Stream::Stdout), Pipe::new(stderr_read, Stream::Stderr)];
            let journal = Journal::open(output);
            let own = ContainerStreams { stdin: Some(null()?), stdout: Some(stdout), stderr: Some(stderr) };
            Ok((Streams::Journal { pipes, journal }, own))
        }
        Output::Inherit => Ok((Streams::None, ContainerStreams { stdin: None, stdout: None, stderr: None })),
        Output::Terminal => Ok((
            Streams::Terminal(Passage::new()?),
            ContainerStreams { stdin: None, stdout: None, stderr: None },
        )),
    }
}

/// A pipe whose reading end does not block; its writing end does, as programs expect.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).attempt(|| "make a pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).attempt(|| "make a pipe")?;
    Ok((read, write))
}

/// Lets go of what the shim's own streams were: whoever reads them shall see their end with the
/// container's, not with the shim's.
fn detach_streams() -> std::io::Result<()> {
    let null = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/null")?);
    for number in 0..=2 {
        place_standard(&null, number)?;
    }
    Ok(())
}
