//! Programs that the supervisor itself runs in a container, to their end: hooks.

use crate::{
    conversion, files,
    ground::{Ground, blocking},
    lifecycle, probe,
    program::{Program, Stream},
};
use mesh_model::container::ContainerId;
use mesh_runtime::{
    error::RuntimeError,
    exec::{CopyRequest, EXECUTED_OUTPUT_BYTES_MAX, ExecRequest, Executed},
};
use std::{io, sync::Arc, time::Duration};
use tokio::sync::mpsc;

/// Exit code of a shim whose program took longer than it may.
const TIMED_OUT_CODE: i32 = 124;
/// Time a shim has for ending a program that took too long.
const SHIM_GRACE: Duration = Duration::from_secs(2);

/// Longest time that reading a file takes.
const READ_MAX: Duration = Duration::from_secs(10);

/// Longest line that is told as one, in bytes.
const LINE_BYTES_MAX: usize = 4096;

/// Runs a program to its end, at most so long; its lines are told as they come.
pub(crate) async fn execute(
    ground: &Arc<Ground>,
    id: &ContainerId,
    request: &ExecRequest,
    longest: Duration,
    lines: mpsc::Sender<String>,
) -> Result<Executed, RuntimeError> {
    let program = {
        let (ground, id, request) = (Arc::clone(ground), id.clone(), request.clone());
        blocking("run a program in a container", move || {
            let running = lifecycle::running(&ground, &id)?;
            let place = probe::place(&ground, &running)?;
            let mut specification = conversion::exec(&running.spec, place, &request)?;
            specification.timeout_ms = Some(u64::try_from(longest.as_millis()).unwrap_or(u64::MAX).max(1));
            Program::start(&ground.settings.binary, &ground.settings.container(&id), specification)
        })
        .await?
    };
    let (mut stdout, mut stderr) = (Tail::default(), Tail::default());
    let mut teller = Teller::new(lines);
    let code = program
        .attend(longest + SHIM_GRACE, &mut |stream, bytes| {
            teller.take(stream, bytes);
            match stream {
                Stream::Out => stdout.take(bytes),
                Stream::Error => stderr.take(bytes),
            }
        })
        .await?;
    teller.end();
    let code = code.filter(|code| *code != TIMED_OUT_CODE);
    Ok(Executed { code, stdout: stdout.text(), stderr: stderr.text() })
}

/// Reads a file of a running container.
pub(crate) async fn read_file(
    ground: &Arc<Ground>,
    id: &ContainerId,
    path: &str,
    bytes_max: usize,
) -> Result<Vec<u8>, RuntimeError> {
    let program = {
        let (ground, id) = (Arc::clone(ground), id.clone());
        let request = CopyRequest::Print { path: path.to_owned(), bytes_max };
        blocking("read a container's file", move || {
            lifecycle::running(&ground, &id)?;
            Program::copying(&ground.settings.binary, &files::orders(&ground, &id, &request)?)
        })
        .await?
    };
    let (mut content, mut said) = (Vec::new(), Tail::default());
    let code = program
        .attend(READ_MAX, &mut |stream, bytes| match stream {
            Stream::Out if content.len() <= bytes_max => content.extend_from_slice(bytes),
            Stream::Out => {}
            Stream::Error => said.take(bytes),
        })
        .await?;
    let source = match code {
        Some(0) if content.len() <= bytes_max => return Ok(content),
        Some(_) => {
            let said = said.text();
            // The shim names what it attempted too.
            let step = format!("error: could not read {path}: ");
            io::Error::other(said.trim().trim_start_matches(step.as_str()).to_owned())
        }
        None => io::ErrorKind::TimedOut.into(),
    };
    Err(RuntimeError::System { attempted: format!("could not read {path} in the container"), source })
}

/// Makes lines of what comes.
struct Teller {
    lines: mpsc::Sender<String>,
    /// The line of each stream whose end did not come yet.
    open: [Vec<u8>; 2],
    /// Lines that nobody had room for.
    lost: u64,
}

impl Teller {
    fn new(lines: mpsc::Sender<String>) -> Self {
        Self { lines, open: Default::default(), lost: 0 }
    }

    fn take(&mut self, stream: Stream, bytes: &[u8]) {
        let place = usize::from(stream == Stream::Error);
        for byte in bytes {
            if *byte == b'\n' || self.open[place].len() >= LINE_BYTES_MAX {
                self.tell(place);
            }
            if *byte != b'\n' {
                self.open[place].push(*byte);
            }
        }
    }

    fn tell(&mut self, place: usize) {
        let line = std::mem::take(&mut self.open[place]);
        let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
        // A reader that is behind holds nothing up; one that is gone needs nothing.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.lines.try_send(line) {
            self.lost += 1;
        }
    }

    fn end(mut self) {
        for place in [0, 1] {
            if !self.open[place].is_empty() {
                self.tell(place);
            }
        }
        if self.lost > 0 {
            let _ = self.lines.try_send(format!("({} lines are not shown)", self.lost));
        }
    }
}

/// The end of what was written.
#[derive(Debug, Default)]
struct Tail(Vec<u8>);

impl Tail {
    fn take(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(&bytes[bytes.len().saturating_sub(EXECUTED_OUTPUT_BYTES_MAX)..]);
        let surplus = self.0.len().saturating_sub(EXECUTED_OUTPUT_BYTES_MAX);
        self.0.drain(..surplus);
    }

    /// As text, in which bytes that are none are left out.
    fn text(self) -> String {
        String::from_utf8_lossy(&self.0).replace(char::REPLACEMENT_CHARACTER, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_as_they_come_and_counted_where_there_is_no_room() {
        let (sender, mut lines) = mpsc::channel(3);
        let mut teller = Teller::new(sender);
        teller.take(Stream::Out, b"one\ntw");
        teller.take(Stream::Error, b"beside\r\n");
        assert_eq!(lines.try_recv().ok().as_deref(), Some("one"));
        teller.take(Stream::Out, b"o\n3\n4\n5");
        for want in ["beside", "two", "3"] {
            assert_eq!(lines.try_recv().ok().as_deref(), Some(want));
        }
        teller.end();
        assert_eq!(lines.try_recv().ok().as_deref(), Some("5"));
        assert_eq!(lines.try_recv().ok().as_deref(), Some("(1 lines are not shown)"));
    }

    #[test]
    fn the_end_is_kept() {
        let mut tail = Tail::default();
        for _ in 0..3 {
            tail.take(&[b'a'; EXECUTED_OUTPUT_BYTES_MAX]);
        }
        tail.take(b"\xFFend");
        let text = tail.text();
        assert!(text.len() <= EXECUTED_OUTPUT_BYTES_MAX && text.starts_with('a') && text.ends_with("aend"));
    }
}
