//! What a shim hears and says: descriptors 3 to 6, and the pipe from the process that becomes the
//! container to its shim.
//!
//! Where descriptor 4 is a socket, its other end answers a report of success with one byte as soon as
//! it has kept that the container runs. Its end without that byte means that nobody knows of the
//! container.
//!
//! That pipe closes on execve. Its messages, in order: a mark that execve is about to happen, or a
//! failure as a report. The mark and then the end of the pipe mean success; an end without the mark
//! means that the process died on the way.

use crate::{
    failure::{Attempt as _, Failure},
    specification::Report,
};
use mesh_linux::descriptor::{place_standard, take_inherited};
use nix::{
    errno::Errno,
    fcntl::OFlag,
    sys::socket::{Shutdown, shutdown},
    unistd::pipe2,
};
use serde::de::DeserializeOwned;
use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd, RawFd},
};

/// Where the specification is read.
pub(crate) const SPECIFICATION_DESCRIPTOR: RawFd = 3;
/// Where the one report goes.
pub(crate) const REPORT_DESCRIPTOR: RawFd = 4;
/// Where an exec says that its terminal was let go of.
pub(crate) const NOTICE_DESCRIPTOR: RawFd = 5;
/// Where an exec says how its program ended.
const ENDING_DESCRIPTOR: RawFd = 6;
/// What says that it was let go of.
const DETACHED: u8 = b'd';
/// Largest specification, in bytes. A secret of 500 KiB, the most Compose allows, takes 2 MB of it.
const SPECIFICATION_BYTES_MAX: u64 = 64 << 20;
/// Largest report, in bytes.
pub(crate) const REPORT_BYTES_MAX: u64 = 64 << 10;
/// Says that execve is next.
const EXECUTING: u8 = b'x';
/// Answers a report of success: the run is kept.
pub(crate) const KEPT: u8 = b'k';

/// Reads the specification.
pub(crate) fn read_specification<T: DeserializeOwned>() -> Result<T, Failure> {
    let step = || "read the specification on descriptor 3";
    let inherited =
        take_inherited(SPECIFICATION_DESCRIPTOR).ok_or_else(|| Failure::refused(step(), "it is not open"))?;
    parse(inherited.into()).attempt(step)
}

/// Reads what came with a request.
pub(crate) fn read_orders<T: DeserializeOwned>(orders: &OwnedFd) -> Result<T, Failure> {
    orders.try_clone().and_then(|orders| parse(orders.into())).attempt(|| "read the orders")
}

fn parse<T: DeserializeOwned>(file: File) -> io::Result<T> {
    // Memory says how much it holds, and is then read at once.
    let bytes = file.metadata().map_or(0, |file| file.len().min(SPECIFICATION_BYTES_MAX));
    let mut text = Vec::with_capacity(usize::try_from(bytes).unwrap_or(0) + 1);
    file.take(SPECIFICATION_BYTES_MAX).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Descriptor 4, where somebody listens; else standard error, for a person.
pub(crate) struct Reporter(Option<File>);

impl Reporter {
    pub(crate) fn take() -> Self {
        Self(take_inherited(REPORT_DESCRIPTOR).map(File::from))
    }

    /// Says it, once. That a listener is gone changes nothing about a failure.
    pub(crate) fn send(self, report: &Report) {
        match (self.0, report) {
            (Some(mut file), report) => {
                let _ = write_report(&mut file, report);
            }
            (None, report) => tell(report),
        }
    }

    /// Says that the container runs, and waits until the listener has kept that. `false`: it is gone,
    /// and nobody will ever look after the container. A pipe answers nothing and is not waited for,
    /// and where there is no descriptor 4 nobody needs to know.
    pub(crate) fn send_started(self, report: &Report) -> bool {
        let Some(mut file) = self.0 else { return true };
        if write_report(&mut file, report).is_err() {
            return false;
        }
        match shutdown(file.as_raw_fd(), Shutdown::Write) {
            Ok(()) => {}
            Err(Errno::ENOTSOCK) => return true,
            Err(_) => return false,
        }
        let mut answer = [0];
        file.read_exact(&mut answer).is_ok() && answer == [KEPT]
    }
}

/// Where somebody waits to hear that a terminal was let go of.
pub(crate) struct Notice(File);

impl Notice {
    /// Descriptor 5. To be called before anything is opened.
    pub(crate) fn take() -> Option<Self> {
        take_inherited(NOTICE_DESCRIPTOR).map(|descriptor| Self(descriptor.into()))
    }

    /// Says it.
    pub(crate) fn send(mut self) {
        let _ = self.0.write_all(&[DETACHED]);
    }
}

/// Where somebody waits to hear how a program ended.
pub(crate) struct Ending(File);

impl Ending {
    /// Descriptor 6. To be called before anything is opened.
    pub(crate) fn take() -> Option<Self> {
        take_inherited(ENDING_DESCRIPTOR).map(|descriptor| Self(descriptor.into()))
    }

    /// Says its code. That nobody listens any more changes nothing.
    pub(crate) fn send(mut self, code: i32) {
        let _ = self.0.write_all(code.to_string().as_bytes());
    }
}

/// Says on standard error that a terminal was let go of, and closes the standard streams.
pub(crate) fn send_detached() {
    let _ = io::stderr().write_all(&[DETACHED]);
    let _ = close_streams();
}

/// Lets go of what the shim's own streams are: whoever reads them shall see their end with the
/// container's, not with the shim's.
pub(crate) fn close_streams() -> io::Result<()> {
    let null = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/null")?);
    for number in 0..=2 {
        place_standard(&null, number)?;
    }
    Ok(())
}

/// Writes a report and its end.
fn write_report(file: &mut File, report: &Report) -> io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    file.write_all(&line)
}

/// Tells a person of a failure.
pub(crate) fn tell(report: &Report) {
    match report {
        Report::Started { .. } => {}
        Report::SetupFailed { step, reason } => say(&format!("could not {step}: {reason}")),
        Report::ExecuteFailed { program, reason, .. } => {
            say(&format!("could not execute {program}: {reason}"));
        }
    }
}

/// Tells a person on standard error.
pub(crate) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "mesh: {text}");
}

/// The same in another program's words.
pub(crate) fn say_plainly(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// The writing end, in the process that becomes the container.
pub(crate) struct Progress(File);

/// The reading end, in the shim.
pub(crate) struct ProgressReader(File);

/// Makes the pipe between the two.
pub(crate) fn progress() -> Result<(Progress, ProgressReader), Failure> {
    let (read, write) = pipe2(OFlag::O_CLOEXEC).attempt(|| "make a pipe")?;
    Ok((Progress(write.into()), ProgressReader(read.into())))
}

impl Progress {
    /// Says that execve is next.
    pub(crate) fn executing(&mut self) {
        let _ = self.0.write_all(&[EXECUTING]);
    }

    /// Says why it will not be.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        if let Ok(text) = serde_json::to_vec(&failure.report()) {
            let _ = self.0.write_all(&text);
        }
    }

    /// Whether the shim still lives: its end of the pipe is open.
    pub(crate) fn listener_lives(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        use std::os::fd::AsFd as _;
        let mut descriptors = [PollFd::new(self.0.as_fd(), PollFlags::empty())];
        let _ = poll(&mut descriptors, PollTimeout::ZERO);
        !descriptors[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
    }
}

impl ProgressReader {
    /// Waits until the program was executed or was not; `pid` is what a report of success says.
    pub(crate) fn wait(self, pid: u32) -> Report {
        let mut text = Vec::new();
        let _ = self.0.take(REPORT_BYTES_MAX).read_to_end(&mut text);
        verdict(&text, pid)
    }
}

fn verdict(text: &[u8], pid: u32) -> Report {
    let failure = text.strip_prefix(&[EXECUTING]).unwrap_or(text);
    if !failure.is_empty()
        && let Ok(report) = serde_json::from_slice(failure)
    {
        return report;
    }
    if text == [EXECUTING] {
        return Report::Started { pid };
    }
    Report::SetupFailed {
        step: "set up the container".to_owned(),
        reason: "its first process was killed before it executed the program".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_pipe_says_is_understood() {
        let failure = Failure::refused("find user ghost", "it is not in the container's /etc/passwd");
        let mut text = serde_json::to_vec(&failure.report()).unwrap();
        assert!(matches!(verdict(&text, 7), Report::SetupFailed { step, .. } if step.contains("ghost")));
        text.insert(0, EXECUTING);
        assert!(matches!(verdict(&text, 7), Report::SetupFailed { .. }));
        assert!(matches!(verdict(&[EXECUTING], 7), Report::Started { pid: 7 }));
        assert!(matches!(verdict(&[], 7), Report::SetupFailed { .. }));
        assert!(matches!(verdict(b"nonsense", 7), Report::SetupFailed { .. }));
    }
}
