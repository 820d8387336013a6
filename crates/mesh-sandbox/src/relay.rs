//! From a container's output into its journal.
//!
//! A service never waits for its log: where the journal cannot be written (a full disk), lines are
//! dropped. Lines longer than 16 KiB are divided.

use crate::specification::Output;
use mesh_journal::{Settings, Stream, Writer};
use nix::{errno::Errno, unistd::read};
use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::{SystemTime, UNIX_EPOCH},
};

/// Longest piece of a line, in bytes.
const LINE_BYTES_MAX: usize = 16 << 10;
/// Read at once, in bytes.
const READ_BYTES: usize = 16 << 10;
/// Read after the end of the first process, in bytes: what a pipe can hold. Whoever else still has it
/// open may write more, and is not waited for.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// A journal that may be missing.
pub(crate) struct Journal(Option<Writer>);

impl Journal {
    /// Opens it. Where it cannot be, the container runs without.
    pub(crate) fn open(output: &Output) -> Self {
        let Output::Journal { directory, segment_bytes_max, segments_max, disabled: false, .. } = output
        else {
            return Self(None);
        };
        let settings = Settings {
            directory: directory.clone(),
            segment_bytes_max: *segment_bytes_max,
            segments_max: *segments_max,
        };
        Self(Writer::open(settings).ok())
    }

    /// None at all.
    pub(crate) fn none() -> Self {
        Self(None)
    }

    fn write(&mut self, stream: Stream, line: &[u8], complete: bool) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let at_unix_ns = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if let Some(writer) = &mut self.0 {
            // Dropped where it cannot be written; the next one is tried again.
            let _ = writer.write(stream, line, at_unix_ns, complete);
        }
    }
}

/// One pipe (or terminal) and the line that is being read from it.
pub(crate) struct Pipe {
    descriptor: OwnedFd,
    stream: Stream,
    line: Vec<u8>,
    over: bool,
}

impl Pipe {
    /// The reading end must not block.
    pub(crate) fn new(descriptor: OwnedFd, stream: Stream) -> Self {
        Self { descriptor, stream, line: Vec::new(), over: false }
    }

    /// Whether it ended.
    pub(crate) fn is_over(&self) -> bool {
        self.over
    }

    /// Reads what is there once; the bytes are shown as they are, too.
    pub(crate) fn pump(&mut self, journal: &mut Journal, show: impl FnMut(Stream, &[u8])) {
        if self.pump_some(journal, show).is_none() {
            self.over = true;
            self.end_line(journal);
        }
    }

    /// Reads all that is there and ends the last line.
    pub(crate) fn drain(mut self, journal: &mut Journal, mut show: impl FnMut(Stream, &[u8])) {
        let mut bytes = 0;
        while let Some(count @ 1..) = self.pump_some(journal, &mut show) {
            bytes += count;
            if bytes > DRAIN_BYTES_MAX {
                break;
            }
        }
        self.end_line(journal);
    }

    fn end_line(&mut self, journal: &mut Journal) {
        if !self.line.is_empty() {
            journal.write(self.stream, &self.line, true);
            self.line.clear();
        }
    }

    /// Bytes read; `None`: the end.
    fn pump_some(&mut self, journal: &mut Journal, mut show: impl FnMut(Stream, &[u8])) -> Option<usize> {
        let mut buffer = [0; READ_BYTES];
        match read(&self.descriptor, &mut buffer) {
            Ok(0) => None,
            Ok(count) => {
                let stream = self.stream;
                show(stream, &buffer[..count]);
                absorb(&mut self.line, &buffer[..count], |line, complete| {
                    journal.write(stream, line, complete);
                });
                Some(count)
            }
            Err(Errno::EAGAIN | Errno::EINTR) => Some(0),
            // Of a terminal: the last one who had it open is gone.
            Err(_) => None,
        }
    }
}

impl AsFd for Pipe {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// Adds `bytes` to the `line` begun and hands over each piece that is whole: a line without its end, or
/// [`LINE_BYTES_MAX`] of a longer one.
fn absorb(line: &mut Vec<u8>, bytes: &[u8], mut give: impl FnMut(&[u8], bool)) {
    for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
        let (text, ended) = piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
        let mut text = text;
        while line.len() + text.len() > LINE_BYTES_MAX {
            let (now, later) = text.split_at(LINE_BYTES_MAX - line.len());
            line.extend_from_slice(now);
            give(line, false);
            line.clear();
            text = later;
        }
        line.extend_from_slice(text);
        if ended {
            give(line, true);
            line.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(chunks: &[&[u8]], want: &[(usize, bool)], left: usize) {
        let (mut line, mut got) = (Vec::new(), Vec::new());
        for chunk in chunks {
            absorb(&mut line, chunk, |piece, complete| got.push((piece.len(), complete)));
        }
        assert_eq!((got.as_slice(), line.len()), (want, left));
    }

    #[test]
    fn lines_are_divided_where_they_end_or_grow_too_long() {
        let long = vec![b'a'; LINE_BYTES_MAX + 5];
        let exact = vec![b'a'; LINE_BYTES_MAX];
        check(&[b"one\ntwo\n\nthr", b"ee\n"], &[(3, true), (3, true), (0, true), (5, true)], 0);
        check(&[&long, b"\n"], &[(LINE_BYTES_MAX, false), (5, true)], 0);
        check(&[&exact, b"\n"], &[(LINE_BYTES_MAX, true)], 0);
        check(&[b"left"], &[], 4);
    }
}
