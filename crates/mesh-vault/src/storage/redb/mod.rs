//! Entries in one file, by redb: a B-tree that is written beside itself, with one sync a commit.
//!
//! One thread writes. It takes whatever batches wait, up to a bound, and commits them in one transaction: under load
//! the price of a sync is shared. Each caller hears of it after the sync. Readers see the tree as of the last commit
//! and wait for no sync: what they share with the writer is a lock held to exchange that view. What was read lately is
//! kept, encrypted as it is, until it is written.
//!
//! The file's space is reserved when it grows, so that a full disk is told before anything is written. Any error of
//! the disk closes the file and opens it anew, which rolls back what was not acknowledged; until that succeeds reads
//! fail as well.

mod backend;
mod cache;
mod view;
mod writer;

#[cfg(test)]
mod tests;

use super::{Batch, Boxed, Read, StorageError, Store};
use backend::Reserving;
use cache::Cache;
use std::{
    fmt, fs, io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard},
    thread::JoinHandle,
};
use tokio::sync::{mpsc, oneshot};
use view::View;

/// The file in the configured directory.
const FILE_NAME: &str = "vault.redb";
/// Largest value of an entry, in bytes, as the default `max_entry_size` of Vault's integrated storage is.
const ENTRY_BYTES_MAX: usize = 1 << 20;
/// Pages of the file that are kept in memory, in bytes.
const CACHE_BYTES: usize = 2 << 20;
/// Batches that may wait for the writer; a caller that finds the queue full waits for its place.
const QUEUE_MAX: usize = 1024;

/// What opens the file: the disk's, or one that fails for a test.
type Opener = Box<dyn Fn() -> Result<::redb::Database, StorageError> + Send>;

/// What readers share with the writer. Whoever reads holds the lock until what was read is in the cache, so the cache
/// has nothing of an older view.
#[derive(Default)]
struct Current {
    /// The view of the last commit; none while the file is closed after an error.
    view: Option<View>,
    cache: Cache,
}

type Shared = Arc<RwLock<Current>>;

/// A batch, and whom to tell.
struct Order {
    batch: Batch,
    done: oneshot::Sender<Result<(), StorageError>>,
}

/// Entries in a file.
pub struct Redb {
    view: Shared,
    /// Gone once the writer is to end.
    orders: Option<mpsc::Sender<Order>>,
    writer: Option<JoinHandle<()>>,
}

impl fmt::Debug for Redb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redb").finish_non_exhaustive()
    }
}

impl Redb {
    /// Opens the file in `directory`; makes both where they are not, for their owner alone.
    ///
    /// # Errors
    /// When it cannot be opened, another process has it open, or it is no such file.
    pub fn open(directory: &Path) -> Result<Self, StorageError> {
        let failed = |source| StorageError::Disk { operation: "make its directory", source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(failed)?;
        let file = directory.join(FILE_NAME);
        Self::with(Box::new(move || open_file(&file)))
    }

    fn with(opener: Opener) -> Result<Self, StorageError> {
        let database = opener()?;
        let view: Shared =
            Arc::new(RwLock::new(Current { view: Some(View::of(&database)?), ..Current::default() }));
        let (orders, inbox) = mpsc::channel(QUEUE_MAX);
        let state = writer::Writer { opener, database: Some(database), view: view.clone() };
        let thread = std::thread::Builder::new().name("vault-writer".to_owned());
        let failed = |source| StorageError::Disk { operation: "start its writer", source };
        let writer = thread.spawn(move || state.run(inbox)).map_err(failed)?;
        Ok(Self { view, orders: Some(orders), writer: Some(writer) })
    }

    fn current(&self) -> RwLockReadGuard<'_, Current> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Redb {
    /// Waits until the writer has written what was ordered and has closed the file.
    fn drop(&mut self) {
        self.orders = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer ended by a fault");
        }
    }
}

impl Read for Redb {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StorageError> {
        let current = self.current();
        let view = current.view.as_ref().ok_or_else(closed)?;
        if let Some(found) = current.cache.get(key) {
            return Ok(Some(found));
        }
        let found = view.get(key)?;
        if let Some(value) = &found {
            current.cache.keep(key, value);
        }
        Ok(found)
    }

    fn list(&self, prefix: &str) -> Result<Vec<String>, StorageError> {
        self.current().view.as_ref().ok_or_else(closed)?.list(prefix)
    }
}

impl Store for Redb {
    fn commit(&self, batch: Batch) -> Boxed<Result<(), StorageError>> {
        for (key, value) in &batch.writes {
            let bytes = value.as_ref().map_or(0, Vec::len);
            if bytes > ENTRY_BYTES_MAX {
                let error = StorageError::TooLarge { key: key.clone(), bytes, limit: ENTRY_BYTES_MAX };
                return Box::pin(std::future::ready(Err(error)));
            }
        }
        if batch.is_empty() {
            return Box::pin(std::future::ready(Ok(())));
        }
        let (done, outcome) = oneshot::channel();
        let orders = self.orders.clone();
        Box::pin(async move {
            let orders = orders.ok_or_else(closed)?;
            orders.send(Order { batch, done }).await.map_err(|_| closed())?;
            outcome.await.unwrap_or_else(|_| Err(closed()))
        })
    }
}

/// Opens or makes the file, with space for what it holds reserved on the disk.
fn open_file(path: &PathBuf) -> Result<::redb::Database, StorageError> {
    let failed = |source| StorageError::Disk { operation: "open its file", source };
    let mut options = fs::OpenOptions::new();
    let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
    let backend = Reserving::new(file.map_err(failed)?).map_err(failed)?;
    open_backend(backend)
}

fn open_backend(backend: impl ::redb::StorageBackend) -> Result<::redb::Database, StorageError> {
    let open = || ::redb::Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend);
    // A file that something else has written to may trip the library over its own assertions.
    let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(open));
    let opened = opened.unwrap_or_else(|_| Err(::redb::StorageError::Corrupted(String::new()).into()));
    opened.map_err(|error| {
        let source = match error {
            ::redb::DatabaseError::Storage(error) => io_error(error),
            ::redb::DatabaseError::DatabaseAlreadyOpen => io::Error::other("another process has it open"),
            error => io::Error::other(error.to_string()),
        };
        StorageError::Disk { operation: "open its file", source }
    })
}

fn closed() -> StorageError {
    let source = io::Error::other("the file is closed after an error of the disk");
    StorageError::Disk { operation: "reach its file", source }
}

fn io_error(error: ::redb::StorageError) -> io::Error {
    match error {
        ::redb::StorageError::Io(error) => error,
        ::redb::StorageError::Corrupted(_) => io::Error::other("the file is damaged"),
        error => io::Error::other(error.to_string()),
    }
}
