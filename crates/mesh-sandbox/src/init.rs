//! A process 1 that reaps: it starts the program, passes signals on, and ends with it.

use crate::{failure::Failure, signals};
use mesh_linux::process::{SingleThreaded, code_of, exit_now, fork};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::wait::{WaitPidFlag, waitpid},
    unistd::{ForkResult, Pid},
};
use std::os::fd::AsFd as _;

/// Forks: comes back in the child, which becomes the program; stays as process 1 in the parent.
pub(crate) fn split(evidence: SingleThreaded) -> Result<(), Failure> {
    use crate::failure::Attempt as _;
    // Before the fork, so that no end of a child is missed.
    let signals = signals::Signals::block(true)?;
    match fork(evidence).attempt(|| "fork the program off process 1")? {
        ForkResult::Child => {
            // Its own session: its terminal's signals are not for process 1.
            drop(signals);
            Ok(())
        }
        ForkResult::Parent { child } => {
            let _ = nix::sys::prctl::set_name(c"init");
            exit_now(serve(&signals, child))
        }
    }
}

/// Reaps and passes on until the program ended; its code.
fn serve(signals: &signals::Signals, program: Pid) -> i32 {
    close_others(signals);
    loop {
        let mut descriptors = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
        let _ = poll(&mut descriptors, PollTimeout::NONE);
        while let Some(number) = signals.next() {
            if !signals::is_child(number) {
                send(program, number);
            }
        }
        while let Ok(status) = waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            let Some(ended) = status.pid() else { break };
            if ended == program
                && let Some(code) = code_of(status)
            {
                return code;
            }
        }
    }
}

/// Keeps standard streams and signals: the pipe to the shim must close when the program is executed.
fn close_others(signals: &signals::Signals) {
    use std::os::fd::AsRawFd as _;
    let kept = signals.as_fd().as_raw_fd();
    mesh_linux::descriptor::close_between(3, kept.cast_unsigned());
    let _ = mesh_linux::descriptor::close_from(kept.cast_unsigned() + 1);
}

fn send(program: Pid, number: i32) {
    if let Ok(signal) = nix::sys::signal::Signal::try_from(number) {
        let _: Result<(), Errno> = nix::sys::signal::kill(program, signal);
    }
}
