//! A file whose space is reserved when it grows, so that a full disk is told before anything is written.

use redb::{BackendError, StorageBackend, backends::FileBackend};
use rustix::fs::{FallocateFlags, fallocate};
use std::{fs::File, io, ops::Bound};

/// Redb's own file, growing by reservation.
#[derive(Debug)]
pub(super) struct Reserving {
    file: FileBackend,
    /// The same open file: for the calls that redb's does not make.
    handle: File,
}

impl Reserving {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let handle = file.try_clone()?;
        let file = FileBackend::new(file).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self { file, handle })
    }
}

impl StorageBackend for Reserving {
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let present = self.file.len()?;
        if len > present {
            match fallocate(&self.handle, FallocateFlags::empty(), present, len - present) {
                Ok(()) => return Ok(()),
                // Not every file system can; there a full disk is told by the write.
                Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.file.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write(offset, data)
    }

    fn close(&self) -> io::Result<()> {
        self.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.file.query_lock_range(start, end)
    }
}
