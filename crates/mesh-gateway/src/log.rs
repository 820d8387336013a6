//! The process's own log: where it goes, and what becomes of a file that grows.
//!
//! Whoever writes never fails for it: a line that the disk does not take is lost, which is told once on standard error,
//! and in the file once it takes lines again. A file past its size is renamed and a new one begun; those that are renamed
//! are compressed, and the oldest go. Deliberately absent: the lines' form, which is whoever's who starts the log.

mod rotation;

use crate::config::statics;
use rotation::Rotation;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

/// How the log is kept.
#[derive(Debug, Clone)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// Whether its lines are objects of JSON.
    pub json: bool,
    /// Where they go.
    pub writer: Arc<LogWriter>,
}

/// Where lines go: a file, or standard error. It takes whatever is written to it.
#[derive(Debug)]
pub struct LogWriter(Option<Mutex<Pen>>);

/// Why a log has no file.
#[derive(Debug, thiserror::Error)]
#[error("could not open the log {}", path.display())]
pub(crate) struct LogError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

#[derive(Debug)]
struct Pen {
    path: PathBuf,
    file: File,
    bytes: u64,
    rotation: Rotation,
    /// How many lines were lost since the disk took one.
    lost: u64,
    /// Whether the last line is not there to its end.
    torn: bool,
    /// Whether it was told that the file cannot be renamed.
    stuck: bool,
}

impl Log {
    /// As it is asked for; on standard error, and errors alone, where nothing is.
    pub(crate) fn new(options: Option<&statics::Log>) -> Result<Self, LogError> {
        let level = options.map_or_else(|| "error".to_owned(), |log| log.level.to_lowercase());
        let level = match level.as_str() {
            "trace" | "debug" | "info" | "warn" => level,
            _ => "error".to_owned(),
        };
        let file = options.filter(|log| !log.file_path.is_empty());
        let pen = file.map(|log| Pen::open(Path::new(&log.file_path), Rotation::new(log))).transpose()?;
        let json = options.is_some_and(|log| log.format == "json");
        Ok(Self { level, json, writer: Arc::new(LogWriter(pen.map(Mutex::new))) })
    }
}

impl LogWriter {
    fn pen(&self) -> Option<MutexGuard<'_, Pen>> {
        Some(self.0.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Opens the file anew, after somebody has moved it away.
    pub(crate) fn reopen(&self) -> Result<(), LogError> {
        self.pen().map_or(Ok(()), |mut pen| pen.reopen())
    }
}

impl Write for &LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.pen() {
            Some(mut pen) => pen.put(bytes),
            None => say(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Standard error without a reader must not end anything.
fn say(bytes: &[u8]) {
    let _ = io::stderr().lock().write_all(bytes);
}

impl Pen {
    fn open(path: &Path, rotation: Rotation) -> Result<Self, LogError> {
        let (file, bytes) = open(path)?;
        let path = path.to_owned();
        Ok(Self { path, file, bytes, rotation, lost: 0, torn: false, stuck: false })
    }

    fn reopen(&mut self) -> Result<(), LogError> {
        (self.file, self.bytes) = open(&self.path)?;
        self.torn = false;
        Ok(())
    }

    fn put(&mut self, line: &[u8]) {
        let more = u64::try_from(line.len()).unwrap_or(u64::MAX);
        if self.bytes > 0 && self.bytes.saturating_add(more) > self.rotation.bytes_max {
            self.rotate();
        }
        let mut text = Vec::new();
        if self.torn {
            text.push(b'\n');
        }
        if self.lost > 0 {
            // Said before what it may be about.
            text.extend_from_slice(format!("{} lines of this log were lost\n", self.lost).as_bytes());
        }
        text.extend_from_slice(line);
        let (written, failed) = write_most(&mut self.file, &text);
        self.bytes = self.bytes.saturating_add(u64::try_from(written).unwrap_or(u64::MAX));
        if written > 0 {
            self.torn = text.get(written - 1) != Some(&b'\n');
        }
        match failed {
            None => self.lost = 0,
            Some(error) => {
                if self.lost == 0 {
                    let path = self.path.display();
                    say(format!("the log {path} cannot be written, its lines are lost: {error}\n").as_bytes());
                }
                self.lost += 1;
            }
        }
    }

    /// Begins a new file. Where that cannot be done, the one there is goes on.
    fn rotate(&mut self) {
        let now = SystemTime::now();
        let aside = self.rotation.name(&self.path, now);
        let moved = match fs::rename(&self.path, &aside) {
            // Somebody else has moved it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            other => other,
        };
        let opened = moved.map_err(|source| LogError { path: aside, source }).and_then(|()| self.reopen());
        match opened {
            Ok(()) => {
                self.stuck = false;
                self.rotation.tidy(&self.path, now);
            }
            Err(error) if !std::mem::replace(&mut self.stuck, true) => {
                say(format!("the log goes on in its file: {}\n", crate::chain(&error)).as_bytes());
            }
            Err(_) => {}
        }
    }
}

fn open(path: &Path) -> Result<(File, u64), LogError> {
    let failed = |source| LogError { path: path.to_owned(), source };
    let file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    Ok((file, bytes))
}

/// Writes as much as can be, and why it was not all.
fn write_most(to: &mut impl Write, bytes: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Some(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}

#[cfg(test)]
mod tests;
