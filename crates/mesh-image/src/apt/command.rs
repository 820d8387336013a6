//! Running one of the package tools: bounded in time and in what is read of it.

use super::Apt;
use crate::{error::ImageError, progress::Reporter};
use std::{
    io::{Read, Seek, SeekFrom},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// What a tool said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) status: ExitStatus,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Said {
    /// The last lines that are errors or warnings, on one line, for a message.
    pub(crate) fn detail(&self) -> String {
        detail(&self.errors)
    }
}

/// Most bytes read of a tool's output.
const OUTPUT_BYTES_MAX: u64 = 64 << 20;
/// Most lines of a tool's errors that a message repeats.
const DETAIL_LINES_MAX: usize = 3;
/// Most characters of a tool's errors that a message repeats.
const DETAIL_CHARACTERS_MAX: usize = 400;
/// How often a running tool is looked at.
const POLL: Duration = Duration::from_millis(40);

/// The lines of apt's errors that say what happened, on one line.
pub(crate) fn detail(errors: &str) -> String {
    let worth = |line: &&str| line.starts_with("E: ") || line.starts_with("Err:");
    let mut lines: Vec<&str> = errors.lines().filter(worth).collect();
    if lines.is_empty() {
        lines = errors.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    }
    let kept = lines.len().min(DETAIL_LINES_MAX);
    let text = lines[..kept].iter().map(|line| line.trim_start_matches("E: ")).collect::<Vec<_>>().join("; ");
    if text.is_empty() {
        "it said nothing".to_owned()
    } else {
        text.chars().take(DETAIL_CHARACTERS_MAX).collect()
    }
}

impl Apt {
    /// A call of one of apt's programs with our configuration.
    pub(crate) fn command(&self, program: &'static str) -> Command {
        let mut command = Command::new(program);
        command.arg("-c").arg(self.path("apt.conf")).arg("-q=1");
        command.env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive").env_remove("APT_CONFIG");
        command
    }
}

/// Runs a tool to its end. `progressing` is asked at each look whether something moved; after `stall`
/// without any, the tool is ended. Output goes through unnamed files, so that a tool that says much
/// never waits for a reader.
pub(crate) fn run(
    program: &'static str,
    mut command: Command,
    stall: Duration,
    reporter: &Reporter,
    mut progressing: impl FnMut() -> bool,
) -> Result<Said, ImageError> {
    let here = std::env::temp_dir();
    let scratch = || unnamed_file().map_err(|source| ImageError::io("make a scratch file in", &here, source));
    let (output, errors) = (scratch()?, scratch()?);
    let copy =
        |file: &std::fs::File| file.try_clone().map_err(|source| ImageError::io("duplicate", &here, source));
    command.stdin(Stdio::null()).stdout(copy(&output)?).stderr(copy(&errors)?);
    let mut child = command.spawn().map_err(|source| ImageError::NoApt { program, source })?;
    let mut moved = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break status,
            Ok(None) => {}
            Err(source) => return Err(ImageError::NoApt { program, source }),
        }
        if let Err(error) = reporter.check() {
            end(child);
            return Err(error);
        }
        if progressing() {
            moved = Instant::now();
        } else if moved.elapsed() > stall {
            end(child);
            return Err(ImageError::Stalled { program, seconds: stall.as_secs() });
        }
        thread::sleep(POLL);
    };
    let read = |file| read_from_start(file).map_err(|source| ImageError::io("read back from", &here, source));
    Ok(Said { status, output: read(output)?, errors: read(errors)? })
}

fn unnamed_file() -> std::io::Result<std::fs::File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    Ok(memfd_create("mesh-apt", MemfdFlags::CLOEXEC)?.into())
}

fn read_from_start(mut file: std::fs::File) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    let mut bytes = Vec::new();
    file.take(OUTPUT_BYTES_MAX).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn end(mut child: Child) {
    // It may have ended by itself meanwhile; either way it is reaped.
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, atomic::AtomicBool};

    fn reporter(cancelled: bool) -> Reporter {
        Reporter::new("x", tokio::sync::mpsc::channel(1).0, Arc::new(AtomicBool::new(cancelled)))
    }

    #[test]
    fn a_tool_is_heard_ended_and_missed() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo out; echo 'E: wrong' >&2; exit 3"]);
        let said = run("sh", command, Duration::from_secs(10), &reporter(false), || false).unwrap();
        assert_eq!(
            (said.status.code(), said.output.as_str(), said.detail().as_str()),
            (Some(3), "out\n", "wrong")
        );

        let sleeper = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            command
        };
        let stalled = run("sleep", sleeper(), Duration::ZERO, &reporter(false), || false);
        assert!(matches!(stalled, Err(ImageError::Stalled { .. })));
        let cancelled = run("sleep", sleeper(), Duration::from_secs(60), &reporter(true), || false);
        assert!(matches!(cancelled, Err(ImageError::Cancelled { .. })));
        let none =
            run("apt-none", Command::new("/none/apt-none"), Duration::ZERO, &reporter(false), || false);
        assert!(matches!(none, Err(ImageError::NoApt { program: "apt-none", .. })));
    }

    #[test]
    fn details_prefer_errors() {
        for (errors, expected) in
            [("W: a\nE: b\nE: c\n", "b; c"), ("just this\n", "just this"), ("", "it said nothing")]
        {
            assert_eq!(detail(errors), expected);
        }
    }
}
