//! Lines to a file, by a thread of their own.
//!
//! Whoever hands a line over never waits. A line that finds no place, or that the disk does not take, is lost; that this
//! began is told once, and how many it were when it is over.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel},
    },
    thread,
    time::Duration,
};

/// How many lines wait where nothing is said, and most that may.
const LINES: usize = 8_192;
const LINES_MAX: usize = 1 << 18;
/// Bytes that are written at once.
const BUFFER_BYTES: usize = 64 << 10;
/// How long is waited at the end until all is written.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// Why the log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("could not make the folder of the access log {}", path.display())]
    Folder {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not open the access log {}", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("could not start a thread for the access log")]
    Thread(#[source] io::Error),
}

enum Message {
    Line(Vec<u8>),
    Reopen,
    Flush(SyncSender<()>),
}

/// Where lines go to.
#[derive(Debug)]
pub(super) struct Writer {
    queue: SyncSender<Message>,
    lost: AtomicU64,
}

impl Writer {
    /// Standard output, if no path is given.
    pub(super) fn open(path: &str, lines: usize) -> Result<Self, OpenError> {
        let path = (!path.is_empty()).then(|| PathBuf::from(path));
        let file = path.as_deref().map(open).transpose()?;
        let (queue, inbox) = sync_channel(lines.clamp(LINES, LINES_MAX));
        let pen =
            Pen { path, file, pending: Vec::with_capacity(BUFFER_BYTES), lines: 0, lost: 0, torn: false };
        let thread = thread::Builder::new().name("access-log".to_owned());
        thread.spawn(move || pen.run(&inbox)).map_err(OpenError::Thread)?;
        Ok(Self { queue, lost: AtomicU64::new(0) })
    }

    pub(super) fn write(&self, line: Vec<u8>) {
        match self.queue.try_send(Message::Line(line)) {
            Ok(()) => {
                if self.lost.load(Ordering::Relaxed) > 0 {
                    let lost = self.lost.swap(0, Ordering::Relaxed);
                    tracing::warn!(lost, "the access log keeps up again");
                }
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                if self.lost.fetch_add(1, Ordering::Relaxed) == 0 {
                    tracing::error!("the access log does not keep up: lines are lost");
                }
            }
        }
    }

    pub(super) fn reopen(&self) {
        if self.queue.try_send(Message::Reopen).is_err() {
            tracing::error!("the access log does not keep up, and was not opened anew");
        }
    }

    /// Waits until everything before it is written.
    pub(super) fn flush(&self) {
        let (done, written) = sync_channel(1);
        if self.queue.try_send(Message::Flush(done)).is_ok() {
            // What takes longer is lost with the process.
            let _ = written.recv_timeout(FLUSH_MAX);
        }
    }
}

fn open(path: &Path) -> Result<File, OpenError> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let failed = |source| OpenError::Folder { path: folder.to_owned(), source };
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| OpenError::File { path: path.to_owned(), source })
}

/// The thread's own.
struct Pen {
    path: Option<PathBuf>,
    file: Option<File>,
    pending: Vec<u8>,
    /// How many lines are pending.
    lines: u64,
    /// How many were lost since the disk took one.
    lost: u64,
    /// Whether the last one is not there to its end.
    torn: bool,
}

impl Pen {
    fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            // With something pending the queue is only looked at: when it is empty, it is written.
            let wait = if self.pending.is_empty() { Duration::MAX } else { Duration::ZERO };
            match receive(inbox, wait) {
                Ok(Message::Line(line)) => {
                    self.pending.extend_from_slice(&line);
                    self.lines += 1;
                    if self.pending.len() >= BUFFER_BYTES {
                        self.put();
                    }
                }
                Ok(Message::Reopen) => {
                    self.put();
                    self.reopen();
                }
                Ok(Message::Flush(done)) => {
                    self.put();
                    // Whoever asked may have given up.
                    let _ = done.try_send(());
                }
                Err(RecvTimeoutError::Timeout) => self.put(),
                Err(RecvTimeoutError::Disconnected) => return self.put(),
            }
        }
    }

    fn put(&mut self) {
        if self.pending.is_empty() {
            return;
        }
        let torn = std::mem::take(&mut self.torn);
        if torn {
            // What the disk has of it stays a line of its own.
            self.pending.insert(0, b'\n');
        }
        let (written, outcome) = match &mut self.file {
            Some(file) => put(file, &self.pending),
            None => put(&mut io::stdout().lock(), &self.pending),
        };
        let taken = &self.pending[..written];
        self.torn = if written == 0 { torn } else { !taken.ends_with(b"\n") };
        let ends = taken.iter().filter(|&&byte| byte == b'\n').count().saturating_sub(usize::from(torn));
        let left = self.lines.saturating_sub(ends.try_into().unwrap_or(u64::MAX));
        match outcome {
            Ok(()) if self.lost > 0 => {
                tracing::warn!(lost = self.lost, "the access log can be written again");
                self.lost = 0;
            }
            Ok(()) => {}
            Err(error) => {
                if self.lost == 0 {
                    tracing::error!(%error, "the access log cannot be written: lines are lost");
                }
                self.lost += left;
            }
        }
        self.pending.clear();
        self.lines = 0;
    }

    fn reopen(&mut self) {
        let Some(path) = &self.path else { return };
        match open(path) {
            Ok(file) => (self.file, self.torn) = (Some(file), false),
            Err(error) => {
                tracing::error!(error = %crate::chain(&error), "the access log stays in the file that it was in");
            }
        }
    }
}

/// Writes as much as can be; how much that was.
fn put(to: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match to.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, to.flush())
}

fn receive(inbox: &Receiver<Message>, wait: Duration) -> Result<Message, RecvTimeoutError> {
    if wait == Duration::MAX {
        return inbox.recv().map_err(|_| RecvTimeoutError::Disconnected);
    }
    inbox.recv_timeout(wait)
}
