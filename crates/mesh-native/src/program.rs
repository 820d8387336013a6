//! One program in a container, its output bounded and its end waited for.
//!
//! Invariants: a program that nobody waits for any more is ended; what a program left behind keeps open
//! does not delay its end.

use crate::{fault, ground::blocking, watch};
use mesh_linux::process;
use mesh_runtime::{error::RuntimeError, exec::PROBE_OUTPUT_BYTES_MAX};
use mesh_sandbox::{
    beside::caller::{Conversation, End},
    spawn,
    specification::{CopySpecification, ExecSpecification},
};
use std::{
    fs::File,
    io,
    os::fd::{AsFd as _, OwnedFd},
    path::{Path, PathBuf},
    process::Child,
    time::{Duration, Instant},
};
use tokio::{io::AsyncReadExt as _, net::unix::pipe::Receiver};

/// Bytes read at once.
const CHUNK_BYTES: usize = 4096;

/// Chunks that are still taken from a pipe when its program has ended: what the kernel holds at most.
const DRAIN_CHUNKS_MAX: usize = 16;

/// Which of a program's streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Error,
}

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Its exit code; `None` if it had to be killed.
    pub(crate) code: Option<i32>,
    /// Its output, of which the beginning is kept.
    pub(crate) output: String,
}

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Program {
    runner: Runner,
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// Who sees to a program.
#[derive(Debug)]
enum Runner {
    /// A shim of its own, which ends it in time.
    Own { child: Owned, pidfd: OwnedFd },
    /// The container's shim.
    Container(Box<Guest>),
}

/// A program of the container's shim, and what a shim of its own would need.
#[derive(Debug)]
struct Guest {
    conversation: Conversation,
    deadline: Option<Instant>,
    binary: PathBuf,
    specification: ExecSpecification,
}

/// A child that is ended when it is dropped.
#[derive(Debug)]
struct Owned(Child);

impl Drop for Owned {
    fn drop(&mut self) {
        if !matches!(self.0.try_wait(), Ok(Some(_))) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
}

impl Program {
    /// Starts a program in the container with this directory: by its shim where that has a door, else by one of the
    /// program's own. Blocking.
    pub(crate) fn start(
        binary: &Path,
        directory: &Path,
        specification: ExecSpecification,
    ) -> Result<Self, RuntimeError> {
        match knock(binary, directory, specification) {
            Ok(program) => Ok(program),
            Err(specification) => Self::alone(binary, &specification),
        }
    }

    /// Starts a program by a shim of its own. Blocking.
    fn alone(binary: &Path, specification: &ExecSpecification) -> Result<Self, RuntimeError> {
        let child = spawn::spawn_exec(binary, specification).map_err(|error| RuntimeError::Setup {
            step: "start a shim for a program".to_owned(),
            reason: fault::chain(&error),
        })?;
        Self::of(child)
    }

    /// Starts work on a container's files. Blocking.
    pub(crate) fn copying(binary: &Path, specification: &CopySpecification) -> Result<Self, RuntimeError> {
        let child = spawn::spawn_copy(binary, specification).map_err(|error| RuntimeError::Setup {
            step: "start a shim for a container's files".to_owned(),
            reason: fault::chain(&error),
        })?;
        Self::of(child)
    }

    fn of(child: Child) -> Result<Self, RuntimeError> {
        let mut child = Owned(child);
        let pidfd = process::open_pidfd(child.0.id()).map_err(failed)?;
        let missing = || failed(io::ErrorKind::BrokenPipe.into());
        let stdout = child.0.stdout.take().ok_or_else(missing)?.into();
        let stderr = child.0.stderr.take().ok_or_else(missing)?.into();
        Ok(Self { runner: Runner::Own { child, pidfd }, stdout, stderr })
    }

    /// Waits for its end, at most so long.
    pub(crate) async fn end(self, wait_max: Duration) -> Result<Ended, RuntimeError> {
        let mut output = Output::default();
        let code = self.attend(wait_max, &mut |_, bytes| output.take(bytes)).await?;
        Ok(Ended { code, output: output.text() })
    }

    /// The same, with each piece of its output given to `take`. Gives its exit code; `None` if it had to
    /// be killed.
    pub(crate) async fn attend(
        mut self,
        wait_max: Duration,
        take: &mut (dyn FnMut(Stream, &[u8]) + Send),
    ) -> Result<Option<i32>, RuntimeError> {
        loop {
            let mut pipes = (Some(receiver(self.stdout)?), Some(receiver(self.stderr)?));
            let reading = async {
                let mut buffers = ([0; CHUNK_BYTES], [0; CHUNK_BYTES]);
                loop {
                    tokio::select! {
                        count = read(&mut pipes.0, &mut buffers.0) => take(Stream::Out, &buffers.0[..count]),
                        count = read(&mut pipes.1, &mut buffers.1) => take(Stream::Error, &buffers.1[..count]),
                    }
                }
            };
            let finish = tokio::select! {
                () = reading => Finish::Late,
                finish = self.runner.finish() => finish?,
                () = tokio::time::sleep(wait_max) => Finish::Late,
            };
            drain(pipes.0.as_ref(), |bytes| take(Stream::Out, bytes));
            drain(pipes.1.as_ref(), |bytes| take(Stream::Error, bytes));
            match finish {
                Finish::Code(code) => return Ok(code),
                Finish::Late => return Ok(None),
                Finish::Refused(guest) => {
                    let start = move || Self::alone(&guest.binary, &guest.specification);
                    self = blocking("start a shim for a program", start).await?;
                }
            }
        }
    }
}

/// How a program finished.
enum Finish {
    Code(Option<i32>),
    Late,
    /// It was not started; a shim of its own may do that.
    Refused(Box<Guest>),
}

impl Runner {
    async fn finish(self) -> Result<Finish, RuntimeError> {
        match self {
            Self::Own { mut child, pidfd } => {
                watch::wait(pidfd).await;
                // The shim's exit code is its program's.
                Ok(Finish::Code(child.0.wait().map_err(failed)?.code()))
            }
            Self::Container(guest) => guest.finish().await,
        }
    }
}

impl Guest {
    async fn finish(self: Box<Self>) -> Result<Finish, RuntimeError> {
        let late = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        let ended = tokio::select! { biased;
            ended = self.ended() => ended?,
            () = late => {
                self.conversation.kill();
                // Until it is gone: what it would still do is nobody's.
                self.ended().await?;
                return Ok(Finish::Late);
            }
        };
        match ended {
            End::Code(code) | End::NotExecuted(code) => Ok(Finish::Code(Some(code))),
            End::Refused => Ok(Finish::Refused(self)),
        }
    }

    async fn ended(&self) -> Result<End, RuntimeError> {
        loop {
            let heard = watch::wait(self.conversation.as_fd().try_clone_to_owned().map_err(failed)?);
            if let Some(left) = self.conversation.patience() {
                if tokio::time::timeout(left, heard).await.is_err() {
                    return Ok(self.conversation.withdraw());
                }
            } else {
                heard.await;
            }
            if let Some(end) = self.conversation.end() {
                return Ok(end);
            }
        }
    }
}

/// Asks the container's shim for a program; gives the orders back where nothing will come of it.
#[expect(clippy::result_large_err, reason = "what was given comes back")]
fn knock(
    binary: &Path,
    directory: &Path,
    specification: ExecSpecification,
) -> Result<Program, ExecSpecification> {
    let begin = || -> io::Result<(Conversation, OwnedFd, OwnedFd)> {
        let orders = serde_json::to_vec(&specification)?;
        let nothing = File::open("/dev/null")?;
        let ((stdout, out), (stderr, error)) = (io::pipe()?, io::pipe()?);
        let streams = [nothing.as_fd(), out.as_fd(), error.as_fd()];
        Ok((Conversation::begin(directory, &orders, streams)?, stdout.into(), stderr.into()))
    };
    match begin() {
        Ok((conversation, stdout, stderr)) => {
            let timeout = specification.timeout_ms.map(Duration::from_millis);
            let deadline = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            let guest = Guest { conversation, deadline, binary: binary.to_owned(), specification };
            Ok(Program { runner: Runner::Container(Box::new(guest)), stdout, stderr })
        }
        Err(_) => Err(specification),
    }
}

fn failed(source: io::Error) -> RuntimeError {
    RuntimeError::System { attempted: "could not wait for a program in the container".to_owned(), source }
}

fn receiver(pipe: OwnedFd) -> Result<Receiver, RuntimeError> {
    Receiver::from_owned_fd(pipe).map_err(failed)
}

/// Reads once; a pipe at its end is given up and never ready again.
async fn read(pipe: &mut Option<Receiver>, buffer: &mut [u8]) -> usize {
    match pipe {
        Some(receiver) => match receiver.read(buffer).await {
            Ok(0) | Err(_) => {
                *pipe = None;
                0
            }
            Ok(count) => count,
        },
        None => std::future::pending().await,
    }
}

/// Takes what is in a pipe now.
fn drain(pipe: Option<&Receiver>, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; CHUNK_BYTES];
    for _ in 0..DRAIN_CHUNKS_MAX {
        match pipe.map(|pipe| pipe.try_read(&mut buffer)) {
            Some(Ok(count)) if count > 0 => take(&buffer[..count]),
            _ => return,
        }
    }
}

/// The beginning of what was written.
#[derive(Debug, Default)]
struct Output(Vec<u8>);

impl Output {
    /// Keeps what fits; the rest is read and forgotten, so that no program waits for its reader.
    fn take(&mut self, bytes: &[u8]) {
        let room = PROBE_OUTPUT_BYTES_MAX.saturating_sub(self.0.len());
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// As text of at most [`PROBE_OUTPUT_BYTES_MAX`] bytes.
    fn text(self) -> String {
        let mut text = String::from_utf8_lossy(&self.0).into_owned();
        // A byte that is no text takes three of the replacement.
        while text.len() > PROBE_OUTPUT_BYTES_MAX {
            text.pop();
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_bounded_in_bytes_whatever_they_are() {
        for byte in [b'a', 0xFF] {
            let mut output = Output::default();
            for _ in 0..3 {
                output.take(&[byte; CHUNK_BYTES - 1]);
            }
            assert!(output.0.len() <= PROBE_OUTPUT_BYTES_MAX);
            let text = output.text();
            assert!(!text.is_empty() && text.len() <= PROBE_OUTPUT_BYTES_MAX);
        }
    }
}
