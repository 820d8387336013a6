//! A file on a thread of its own, because a pipe nobody reads, or a full disk, blocks whoever writes.
//!
//! A record is a line, whatever was written before it: half of one, of a disk that was full or a server that was killed,
//! gets an end of its own first.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{FileExt as _, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};
use tokio::sync::{mpsc, oneshot};

/// Records that may wait for the file; a request that comes after waits before the queue.
const QUEUE_RECORDS_MAX: usize = 256;
/// What `mode` says where nothing is said.
const MODE: u32 = 0o600;

/// A record that was not written.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum WriteError {
    /// The file.
    #[error("could not write to {path}: {reason}")]
    File {
        /// Which.
        path: String,
        /// Why not.
        reason: String,
    },
    /// The thread is gone.
    #[error("the audit device is closed")]
    Closed,
}

enum Order {
    Write(Vec<u8>),
    Reopen,
}

type Done = oneshot::Sender<Result<(), WriteError>>;

/// Writes lines to a file, to standard output, or nowhere. Dropping it ends the thread.
pub(super) struct Writer {
    orders: mpsc::Sender<(Order, Done)>,
    prefix: Vec<u8>,
}

impl Writer {
    /// `stdout` and `discard` are no files.
    pub(super) fn new(path: &str, mode: Option<u32>, prefix: &str) -> Self {
        let (orders, inbox) = mpsc::channel(QUEUE_RECORDS_MAX);
        let sink = Sink { path: path.to_owned(), mode, file: None, torn: false };
        // Without a thread the inbox is dropped, and every write fails as closed.
        if let Err(error) = std::thread::Builder::new().name("audit".to_owned()).spawn(|| sink.run(inbox)) {
            tracing::error!(%error, "an audit device has no thread");
        }
        Self { orders, prefix: prefix.as_bytes().to_vec() }
    }

    pub(super) async fn write(&self, line: Vec<u8>) -> Result<(), WriteError> {
        let line = if self.prefix.is_empty() { line } else { [self.prefix.clone(), line].concat() };
        self.order(Order::Write(line)).await
    }

    pub(super) async fn reopen(&self) -> Result<(), WriteError> {
        self.order(Order::Reopen).await
    }

    async fn order(&self, order: Order) -> Result<(), WriteError> {
        let (done, wait) = oneshot::channel();
        self.orders.send((order, done)).await.map_err(|_| WriteError::Closed)?;
        wait.await.map_err(|_| WriteError::Closed)?
    }
}

struct Sink {
    path: String,
    mode: Option<u32>,
    file: Option<File>,
    /// The file ends in half a line.
    torn: bool,
}

impl Sink {
    fn run(mut self, mut inbox: mpsc::Receiver<(Order, Done)>) {
        while let Some((order, done)) = inbox.blocking_recv() {
            let result = match order {
                Order::Write(line) => self.write(&line),
                Order::Reopen => {
                    self.file = None;
                    self.open()
                }
            };
            let named =
                |error: io::Error| WriteError::File { path: self.path.clone(), reason: error.to_string() };
            // Whoever asked may be gone.
            drop(done.send(result.map_err(named)));
        }
    }

    /// Once more with the file opened anew, as Vault does.
    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self.path.as_str() {
            "discard" => return Ok(()),
            "stdout" => return io::stdout().lock().write_all(line),
            _ => {}
        }
        if self.append(line).is_ok() {
            return Ok(());
        }
        self.file = None;
        let again = self.append(line);
        if again.is_err() {
            // What there is of it is looked at before the next one.
            self.file = None;
        }
        again
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        self.open()?;
        let Some(file) = &mut self.file else { return Ok(()) };
        if self.torn {
            file.write_all(b"\n")?;
            self.torn = false;
        }
        file.write_all(line)
    }

    fn open(&mut self) -> io::Result<()> {
        if self.file.is_some() || self.path == "discard" || self.path == "stdout" {
            return Ok(());
        }
        let path = PathBuf::from(&self.path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        let file =
            OpenOptions::new().create(true).append(true).mode(self.mode.unwrap_or(MODE)).open(&path)?;
        let metadata = file.metadata()?;
        // A pipe or a device keeps the mode it has.
        if metadata.is_file() {
            let wanted = self.mode.unwrap_or(MODE);
            if metadata.permissions().mode() & 0o777 != wanted {
                file.set_permissions(std::fs::Permissions::from_mode(wanted))?;
            }
            self.torn = metadata.len() > 0 && ends_in_half_a_line(&path, metadata.len());
        } else {
            self.torn = false;
        }
        self.file = Some(file);
        Ok(())
    }
}

/// A file that may be written and not read is taken for whole.
fn ends_in_half_a_line(path: &Path, bytes: u64) -> bool {
    let mut last = [0];
    let read = File::open(path).and_then(|file| file.read_exact_at(&mut last, bytes.saturating_sub(1)));
    read.is_ok() && last != *b"\n"
}

#[cfg(test)]
mod tests {
    use super::Writer;

    #[tokio::test]
    async fn half_a_line_that_is_there_takes_no_record_with_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("audit.log");
        let writer = |prefix: &str| Writer::new(path.to_str().unwrap(), None, prefix);
        let lines = || std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, "whole\nhal").unwrap();
        let first = writer("");
        first.write(b"one\n".to_vec()).await.unwrap();
        first.write(b"two\n".to_vec()).await.unwrap();
        assert_eq!(lines(), "whole\nhal\none\ntwo\n");
        // Moved away and made anew, as a rotation does it.
        std::fs::rename(&path, home.path().join("audit.log.1")).unwrap();
        first.reopen().await.unwrap();
        first.write(b"three\n".to_vec()).await.unwrap();
        assert_eq!(lines(), "three\n");
        writer("@cee: ").write(b"four\n".to_vec()).await.unwrap();
        assert_eq!(lines(), "three\n@cee: four\n");
    }
}
