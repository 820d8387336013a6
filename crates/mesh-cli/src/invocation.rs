//! Running what the supervisor told us to run: this binary again, with orders on descriptor 3 and our
//! own standard streams.

use crate::{ThroughDoor, console, context::unexpected, failure::CliError, terminal::KeptMode};
use mesh_api::message::Answer;
use mesh_linux::{
    command::{Inheritance, inherit, read_only},
    descriptor::sealed_memory,
};
use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Write as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::Path,
    process::{Command, ExitStatus},
};
use tokio::{
    io::AsyncReadExt,
    net::unix::pipe::Receiver,
    signal::unix::{SignalKind, signal},
};

/// Number on which the program finds its orders.
const ORDERS_DESCRIPTOR: i32 = 3;
/// Number on which it says that its terminal was let go of.
const NOTICE_DESCRIPTOR: i32 = 5;
/// Number on which it says how its program ended.
const ENDING_DESCRIPTOR: i32 = 6;
/// Code of a program whose terminal was let go of, as Docker has it.
const DETACHED_CODE: u8 = 1;

/// The command of an answer, with its orders in place; standard streams are still ours to choose. The
/// orders hold environment values: memory only, never a file or a command line.
pub(crate) fn command(answer: Answer) -> Result<Command, CliError> {
    build(answer, Vec::new(), None, None)
}

/// The same for a program whose end the supervisor hears of.
pub(crate) fn command_told(answer: Answer, ending: PipeWriter) -> Result<Command, CliError> {
    build(answer, Vec::new(), None, Some(ending))
}

/// The same with arguments of our own.
pub(crate) fn command_with(answer: Answer, own: Vec<String>) -> Result<Command, CliError> {
    build(answer, own, None, None)
}

fn build(
    answer: Answer,
    own: Vec<String>,
    notice: Option<PipeWriter>,
    ending: Option<PipeWriter>,
) -> Result<Command, CliError> {
    let Answer::Invocation { arguments, payload, version: _, door: _ } = answer else {
        return Err(unexpected());
    };
    let mut command = Command::new(read_only(Path::new("/proc/self/exe")));
    command.arg0("mesh").args(arguments).args(own);
    sealed_memory(c"orders", payload.as_bytes())
        .and_then(|orders| {
            let mut placed = vec![(orders, ORDERS_DESCRIPTOR)];
            placed.extend(notice.map(|notice| (OwnedFd::from(notice), NOTICE_DESCRIPTOR)));
            placed.extend(ending.map(|ending| (OwnedFd::from(ending), ENDING_DESCRIPTOR)));
            inherit(&mut command, Inheritance { placed, ..Inheritance::default() })
        })
        .map_err(CliError::io("hand the orders on"))?;
    Ok(command)
}

/// The argument that tells a program which keys let go of its terminal.
pub(crate) fn detach_argument(keys: &[u8]) -> String {
    let digits: String = keys.iter().map(|key| format!("{key:02x}")).collect();
    format!("detach-keys={digits}")
}

/// Has the container's own shim run what an answer says, on our standard streams, where it is there for that; the
/// code. `ending` is told of it.
pub(crate) fn through_door(
    run: impl Fn(&Path, &[u8], [BorrowedFd<'_>; 3]) -> Option<ThroughDoor>,
    answer: &Answer,
    stdin: bool,
    mut ending: &PipeWriter,
) -> Option<u8> {
    let Answer::Invocation { payload, door: Some(door), .. } = answer else { return None };
    let (own, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    let nothing = if stdin { None } else { Some(File::open("/dev/null").ok()?) };
    let stdin = nothing.as_ref().map_or(own.as_fd(), AsFd::as_fd);
    let code = match run(door, payload.as_bytes(), [stdin, stdout.as_fd(), stderr.as_fd()])? {
        ThroughDoor::Ended(code) => {
            // That nobody listens any more changes nothing.
            let _ = ending.write_all(code.to_string().as_bytes());
            code
        }
        ThroughDoor::NotExecuted(code) => code,
    };
    Some(u8::try_from(code & 0xff).unwrap_or(1))
}

/// Runs what an answer says without a terminal: nothing is left to do afterwards, and this process becomes it.
pub(crate) fn become_command(mut command: Command) -> Result<u8, CliError> {
    Err(CliError::io("start the program")(command.exec()))
}

/// Runs what an answer says with a terminal of its own, which is ours meanwhile. It goes on after the keys
/// that let go of it.
pub(crate) async fn with_terminal(
    answer: Answer,
    keys: &[u8],
    ending: Option<PipeWriter>,
) -> Result<u8, CliError> {
    let (reader, writer) = io::pipe().map_err(CliError::io("make a pipe"))?;
    let command = build(answer, vec![detach_argument(keys)], Some(writer), ending)?;
    // Its shim makes it raw, and knows how it was, should this process be killed.
    let kept = KeptMode::keep();
    let ended = attended(command, Some(reader)).await;
    drop(kept);
    Ok(ended?.unwrap_or_else(|| {
        // The words and the code are Docker's.
        console::err_line("read escape sequence");
        DETACHED_CODE
    }))
}

/// Runs a command that sees to the terminal itself, and puts the terminal back if it could not.
pub(crate) async fn beside_terminal(command: Command) -> Result<u8, CliError> {
    let _kept = KeptMode::keep();
    Ok(attended(command, None).await?.unwrap_or(DETACHED_CODE))
}

/// Waits for a command that has our terminal: signals of the terminal reach it by themselves. `None`: it let
/// go of the terminal and goes on.
async fn attended(command: Command, notice: Option<PipeReader>) -> Result<Option<u8>, CliError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::io("watch for SIGINT"))?;
    let mut quit = signal(SignalKind::quit()).map_err(CliError::io("watch for SIGQUIT"))?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(CliError::io("watch for SIGHUP"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::io("watch for SIGTERM"))?;
    let mut command = tokio::process::Command::from(command);
    let mut child = command.spawn().map_err(CliError::io("start the program"))?;
    // Our own handle on what the program says goes with it.
    drop(command);
    let detached = noticed(notice);
    tokio::pin!(detached);
    loop {
        tokio::select! {
            status = child.wait() => {
                let status = status.map_err(CliError::io("wait for the program"))?;
                return Ok(Some(exit_code(status)));
            }
            () = &mut detached => return Ok(None),
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = hang_up.recv() => {}
            _ = terminate.recv() => pass_on_terminate(&child),
        }
    }
}

/// Resolves once something was said; never where nothing will be.
async fn noticed(notice: Option<PipeReader>) {
    if let Some(mut notice) = notice.and_then(|notice| Receiver::from_owned_fd(notice.into()).ok())
        && notice.read_u8().await.is_ok()
    {
        return;
    }
    std::future::pending().await
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

    #[test]
    fn keys_become_digits() {
        assert_eq!(detach_argument(&[16, 17, 0]), "detach-keys=101100");
    }
}
