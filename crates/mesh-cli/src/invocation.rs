//! Running what the supervisor told us to run: this binary again, with orders on descriptor 3 and our
//! own standard streams.

use crate::{context::unexpected, failure::CliError, terminal::RawMode};
use mesh_api::message::Answer;
use mesh_linux::{
    command::{Inheritance, inherit, read_only},
    descriptor::sealed_memory,
};
use std::{
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus},
};
use tokio::signal::unix::{SignalKind, signal};

/// Number on which the program finds its orders.
const ORDERS_DESCRIPTOR: i32 = 3;

/// The command of an answer, with its orders in place; standard streams are still ours to choose. The
/// orders hold environment values: memory only, never a file or a command line.
pub(crate) fn command(answer: Answer) -> Result<Command, CliError> {
    let Answer::Invocation { arguments, payload, version: _ } = answer else { return Err(unexpected()) };
    let mut command = Command::new(read_only(Path::new("/proc/self/exe")));
    command.arg0("mesh").args(arguments);
    sealed_memory(c"orders", payload.as_bytes())
        .and_then(|orders| {
            let placed = vec![(orders, ORDERS_DESCRIPTOR)];
            inherit(&mut command, Inheritance { placed, ..Inheritance::default() })
        })
        .map_err(CliError::io("hand the orders on"))?;
    Ok(command)
}

/// Runs the command in the foreground and gives its exit code. With a terminal, whose mode has to come back,
/// this process outlives it; signals of the terminal reach it by themselves. Without one nothing is left to
/// do afterwards, and this process becomes it.
pub(crate) async fn foreground(mut command: Command, tty: bool) -> Result<u8, CliError> {
    if !tty {
        return Err(CliError::io("start the program")(command.exec()));
    }
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::io("watch for SIGINT"))?;
    let mut quit = signal(SignalKind::quit()).map_err(CliError::io("watch for SIGQUIT"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::io("watch for SIGTERM"))?;
    let raw = RawMode::enter().ok();
    let mut child =
        tokio::process::Command::from(command).spawn().map_err(CliError::io("start the program"))?;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(CliError::io("wait for the program"))?,
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => pass_on_terminate(&child),
        }
    };
    drop(raw);
    Ok(exit_code(status))
}

fn pass_on_terminate(child: &tokio::process::Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

/// The code a shell would give: its own, or 128 and the signal.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    u8::try_from(code & 0xff).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_a_shell_s() {
        for (raw, want) in [(0, 0), (3 << 8, 3), (127 << 8, 127), (9, 137), (15, 143)] {
            assert_eq!(exit_code(ExitStatus::from_raw(raw)), want);
        }
    }
}
