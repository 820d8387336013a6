//! One program in a container, its output bounded and its end waited for.
//!
//! Invariants: a program that nobody waits for any more is ended; what a program left behind keeps open
//! does not delay its end.

use crate::{fault, watch};
use mesh_linux::process;
use mesh_runtime::{error::RuntimeError, exec::PROBE_OUTPUT_BYTES_MAX};
use mesh_sandbox::{
    spawn,
    specification::{CopySpecification, ExecSpecification},
};
use std::{io, os::fd::OwnedFd, path::Path, process::Child, time::Duration};
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
    child: Owned,
    pidfd: OwnedFd,
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
    /// Starts a program. Blocking.
    pub(crate) fn start(binary: &Path, specification: &ExecSpecification) -> Result<Self, RuntimeError> {
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
        let child = Owned(child);
        let pidfd = process::open_pidfd(child.0.id()).map_err(failed)?;
        Ok(Self { child, pidfd })
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
        self,
        wait_max: Duration,
        take: &mut (dyn FnMut(Stream, &[u8]) + Send),
    ) -> Result<Option<i32>, RuntimeError> {
        let Self { mut child, pidfd } = self;
        let mut pipes = (
            child.0.stdout.take().map(|pipe| receiver(pipe.into())).transpose()?,
            child.0.stderr.take().map(|pipe| receiver(pipe.into())).transpose()?,
        );
        let reading = async {
            let mut buffers = ([0; CHUNK_BYTES], [0; CHUNK_BYTES]);
            loop {
                tokio::select! {
                    count = read(&mut pipes.0, &mut buffers.0) => take(Stream::Out, &buffers.0[..count]),
                    count = read(&mut pipes.1, &mut buffers.1) => take(Stream::Error, &buffers.1[..count]),
                }
            }
        };
        let ended = tokio::select! {
            () = reading => false,
            _ = watch::wait(pidfd) => true,
            () = tokio::time::sleep(wait_max) => false,
        };
        drain(pipes.0.as_ref(), |bytes| take(Stream::Out, bytes));
        drain(pipes.1.as_ref(), |bytes| take(Stream::Error, bytes));
        match ended {
            // The shim's exit code is its program's.
            true => Ok(child.0.wait().map_err(failed)?.code()),
            false => Ok(None),
        }
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
