//! `mesh shim run`: the shim of one container.

pub(crate) mod container;
mod ending;

use crate::{
    beside::Beside,
    channel::{self, Reporter},
    console::{Console, wire},
    detach::Detach,
    failure::{Attempt as _, Failure},
    files_lock,
    relay::{Journal, Pipe},
    signals::Signals,
    specification::{Output, Report, RunSpecification},
    terminal::{self, End, Limits, Passage},
};
use ending::Ending;
use mesh_journal::Stream;
use mesh_linux::process::{
    SingleThreaded, exit_now, fork, fork_into_pid_namespace, open_pidfd, release_free_memory,
    release_program_pages, signal_pidfd, wait_child,
};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    libc,
    unistd::{ForkResult, pipe2},
};
use std::{
    fs::OpenOptions,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// Code of a container whose sandbox could not be made.
const SETUP_FAILED: i32 = 125;

/// Code of a shim that killed its container: 128 and SIGKILL.
const KILLED: i32 = 137;

/// What the shim keeps of a container's streams.
enum Streams {
    /// Pipes; those of output end in the journal.
    Pipes { pipes: Vec<Pipe>, input: Option<OwnedFd>, journal: Journal },
    /// Nothing: they are the container's.
    None,
    /// A terminal, once the container made it, whose output ends in the journal.
    Terminal { passage: Passage, journal: Journal, reads: bool },
    /// A terminal, once the container made it, for our own streams.
    Relayed { passage: Passage, detach_keys: Vec<u8>, directory: PathBuf },
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
    // As long as this shim lives.
    let _files = attempt!(files_lock::for_run(&specification.directory));
    let (streams, own) = attempt!(streams(&specification.output, &specification.directory));
    let (progress, progress_reader) = attempt!(channel::progress());
    // Into a namespace of its own, so that what this shim forks later is born into the shim's.
    let forked = if specification.host_pid { fork(evidence) } else { fork_into_pid_namespace(evidence) };
    let child = match attempt!(forked.attempt(|| "fork the container")) {
        ForkResult::Child => {
            drop(progress_reader);
            drop(reporter);
            let terminal = match streams {
                Streams::Terminal { passage, .. } | Streams::Relayed { passage, .. } => Some(passage),
                Streams::Pipes { .. } | Streams::None => None,
            };
            exit_now(container::main(evidence, &specification, own, terminal, progress))
        }
        ForkResult::Parent { child } => child,
    };
    let door = open_door(&specification, &streams);
    let pid = child.as_raw().cast_unsigned();
    let beside = open_beside(evidence, &specification, &streams, pid);
    drop((progress, own, specification));
    release_free_memory();
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
    Ok(Some(serve(streams, (door, beside), &pidfd, &signals)))
}

/// Where those who attach come in. That nobody can attach is no reason not to run.
fn open_door(specification: &RunSpecification, streams: &Streams) -> Option<OwnedFd> {
    match streams {
        Streams::Pipes { .. } | Streams::Terminal { .. } => wire::listen_in(&specification.directory).ok(),
        Streams::None | Streams::Relayed { .. } => None,
    }
}

/// Where those come in who want a program beside it. Not into a pid namespace that does not end with the container,
/// and not while a terminal is relayed: those see to it themselves.
fn open_beside(
    evidence: SingleThreaded,
    specification: &RunSpecification,
    streams: &Streams,
    pid: u32,
) -> Option<Beside> {
    let serves = !matches!(streams, Streams::Relayed { .. }) && !specification.host_pid;
    serves.then(|| Beside::open(evidence, specification, pid)).flatten()
}

/// Passes signals, output and input along until the container ended; its code.
fn serve(
    streams: Streams,
    (door, beside): (Option<OwnedFd>, Option<Beside>),
    pidfd: &OwnedFd,
    signals: &Signals,
) -> i32 {
    let console = match streams {
        Streams::Pipes { pipes, input, journal } => {
            let console = Console::new(pipes, journal);
            match input {
                Some(input) => console.with_input(input),
                None => console,
            }
        }
        Streams::None => Console::new(Vec::new(), Journal::none()),
        Streams::Terminal { passage, journal, reads } => match passage.receive() {
            Some(master) => terminal_console(master, journal, reads),
            None => Console::new(Vec::new(), journal),
        },
        Streams::Relayed { passage, detach_keys, directory } => {
            return relay(passage, &detach_keys, &directory, pidfd, signals);
        }
    };
    let _ = channel::close_streams();
    console.with_door(door).with_beside(beside).serve(pidfd, signals)
}

/// Relays a terminal to our own streams. Once it was let go of, it is there for whoever attaches.
fn relay(passage: Passage, detach_keys: &[u8], directory: &Path, pidfd: &OwnedFd, signals: &Signals) -> i32 {
    let Some(master) = passage.receive() else {
        terminal::missing();
        return Console::new(Vec::new(), Journal::none()).serve(pidfd, signals);
    };
    let limits = Limits { detach: Detach::new(detach_keys), ..Limits::default() };
    if let End::Code(code) = terminal::relay(&master, pidfd, signals, limits) {
        return code;
    }
    let door = wire::listen_in(directory).ok();
    channel::send_detached();
    terminal_console(master, Journal::none(), true).with_door(door).serve(pidfd, signals)
}

/// The console of a terminal. Without a second handle on it nothing can be typed.
fn terminal_console(master: OwnedFd, journal: Journal, reads: bool) -> Console {
    terminal::set_nonblocking(&master);
    let input = master.try_clone();
    let console = Console::new(vec![Pipe::new(master, Stream::Stdout)], journal);
    match input {
        Ok(input) => console.with_terminal(input, reads),
        Err(_) => console,
    }
}

fn streams(output: &Output, directory: &Path) -> Result<(Streams, ContainerStreams), Failure> {
    let none = ContainerStreams { stdin: None, stdout: None, stderr: None };
    match output {
        Output::Journal { terminal: true, stdin, .. } => {
            let journal = Journal::open(output);
            Ok((Streams::Terminal { passage: Passage::new()?, journal, reads: *stdin }, none))
        }
        Output::Journal { stdin, .. } => {
            let (stdout_read, stdout) = output_pipe()?;
            let (stderr_read, stderr) = output_pipe()?;
            let pipes = vec![Pipe::new(stdout_read, Stream::Stdout), Pipe::new(stderr_read, Stream::Stderr)];
            let (stdin, input) = if *stdin {
                let (read, write) = pipe2(OFlag::O_CLOEXEC).attempt(|| "make a pipe")?;
                terminal::set_nonblocking(&write);
                (read, Some(write))
            } else {
                let opened = OpenOptions::new().read(true).write(true).open("/dev/null");
                (OwnedFd::from(opened.attempt(|| "open /dev/null")?), None)
            };
            let own = ContainerStreams { stdin: Some(stdin), stdout: Some(stdout), stderr: Some(stderr) };
            Ok((Streams::Pipes { pipes, input, journal: Journal::open(output) }, own))
        }
        Output::Inherit => Ok((Streams::None, none)),
        Output::Terminal { detach_keys } => {
            let (detach_keys, directory) = (detach_keys.clone(), directory.to_owned());
            Ok((Streams::Relayed { passage: Passage::new()?, detach_keys, directory }, none))
        }
    }
}

/// A pipe whose reading end does not block; its writing end does, as programs expect.
fn output_pipe() -> Result<(OwnedFd, OwnedFd), Failure> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).attempt(|| "make a pipe")?;
    fcntl(&read, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).attempt(|| "make a pipe")?;
    Ok((read, write))
}
