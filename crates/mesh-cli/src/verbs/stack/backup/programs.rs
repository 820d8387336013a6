//! Programs in containers, and copies of their files, as streams from and to files of this machine.

use super::folder::{Source, Writing};
use crate::{failure::CliError, invocation::command, supervisor::Client};
use mesh_api::{message::Message, options::ExecOptions, request::Request};
use std::{
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    process::Child,
    signal::unix::{Signal, SignalKind, signal},
    time::timeout,
};

/// Longest time for one file of a backup.
const FILE_MAX: Duration = Duration::from_secs(6 * 3600);
/// Bytes passed on at once.
const BLOCK_BYTES: usize = 128 * 1024;

/// A program in a container of a service, its streams still to be chosen.
pub(super) async fn program(
    client: &Client,
    service: &str,
    words: &[String],
    user: Option<&String>,
) -> Result<Command, CliError> {
    let options = ExecOptions {
        service: service.to_owned(),
        command: words.to_vec(),
        user: user.cloned(),
        ..ExecOptions::default()
    };
    let mut ignore = |_: Message| {};
    command(client.call(Request::Exec(options), &mut ignore, None).await?)
}

/// Runs a program to its end, and writes what it says on standard output.
pub(super) async fn keep(what: &str, mut command: Command, to: &mut Writing) -> Result<(), CliError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = start(what, command)?;
    let Some(mut output) = child.stdout.take() else {
        return Err(CliError::said(format!("{what} has no output")));
    };
    let passing = async {
        let mut block = vec![0; BLOCK_BYTES];
        loop {
            let count = output.read(&mut block).await.map_err(CliError::io(format!("read from {what}")))?;
            match block.get(..count).filter(|bytes| !bytes.is_empty()) {
                Some(bytes) => to.write(bytes)?,
                None => break,
            }
        }
        end(what, &mut child).await
    };
    in_time(what, passing).await
}

/// Runs a program to its end, which reads a file on standard input; what it says is not shown, its errors are.
pub(super) async fn feed(what: &str, mut command: Command, from: Source) -> Result<(), CliError> {
    command.stdout(Stdio::null());
    let mut opening = match from {
        Source::Plain(file) => {
            command.stdin(Stdio::from(file));
            let mut child = start(what, command)?;
            return in_time(what, end(what, &mut child)).await;
        }
        Source::Sealed(opening) => opening,
    };
    command.stdin(Stdio::piped());
    let mut child = start(what, command)?;
    let Some(mut input) = child.stdin.take() else {
        return Err(CliError::said(format!("{what} has no input")));
    };
    let passing = async {
        while let Some(chunk) = opening.chunk().map_err(CliError::io(format!("open the file for {what}")))? {
            // Whoever reads no more says why by its end.
            if input.write_all(&chunk).await.is_err() {
                break;
            }
        }
        drop(input);
        end(what, &mut child).await
    };
    in_time(what, passing).await
}

fn start(what: &str, command: Command) -> Result<Child, CliError> {
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    command.spawn().map_err(CliError::io(format!("start {what}")))
}

async fn end(what: &str, child: &mut Child) -> Result<(), CliError> {
    let status = child.wait().await.map_err(CliError::io(format!("wait for {what}")))?;
    match status.success() {
        true => Ok(()),
        // It said more on standard error.
        false => Err(CliError::said(format!("{what} failed: {status}"))),
    }
}

async fn in_time(what: &str, work: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    let late = |_| CliError::said(format!("{what} took longer than {} hours", FILE_MAX.as_secs() / 3600));
    timeout(FILE_MAX, work).await.unwrap_or_else(|elapsed| Err(late(elapsed)))
}

/// The signals that end a command. They are watched from the first to the last: one that comes between two pieces of work
/// ends the next.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hang_up: Signal,
}

impl Signals {
    /// From here on they no longer end the command by themselves.
    pub(super) fn watch() -> Result<Self, CliError> {
        let watch = |kind| signal(kind).map_err(CliError::io("watch for signals"));
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
            hang_up: watch(SignalKind::hangup())?,
        })
    }

    /// Does the work, unless a signal ends it before: whoever called it can still put things right.
    pub(super) async fn unless_interrupted<T>(
        &mut self,
        work: impl Future<Output = Result<T, CliError>>,
    ) -> Result<T, CliError> {
        tokio::select! { biased;
            _ = self.interrupt.recv() => Err(CliError::Interrupted),
            _ = self.terminate.recv() => Err(CliError::Interrupted),
            _ = self.hang_up.recv() => Err(CliError::Interrupted),
            done = work => done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_signal_between_two_pieces_of_work_ends_the_next() {
        let mut signals = Signals::watch().unwrap();
        signals.unless_interrupted(async { Ok(()) }).await.unwrap();
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP).unwrap();
        // Told by a pipe: it is there once whoever reads that had its turn.
        let waits = signals.unless_interrupted(std::future::pending::<Result<(), CliError>>());
        let told = timeout(Duration::from_secs(10), waits).await.unwrap();
        assert!(matches!(told, Err(CliError::Interrupted)));
    }
}
