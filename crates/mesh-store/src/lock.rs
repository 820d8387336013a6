//! One owner per project: an exclusive lock that the kernel drops with the process.
//!
//! The file's content is only for telling who holds it; the lock itself is what decides, so a stale
//! file after a crash means nothing. The file is never deleted, because a deleted file could be locked
//! twice.

use std::{
    fs::{File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

/// Most bytes read of a holder's process id.
const HOLDER_BYTES_MAX: u64 = 32;

/// A lock that is held until it is dropped.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why a lock was not taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another process has it.
    #[error("{} is held by process {}", path.display(), pid.map_or("(unknown)".to_owned(), |pid| pid.to_string()))]
    Held {
        /// The lock's file.
        path: PathBuf,
        /// The other process, where it said who it is.
        pid: Option<u32>,
    },
    /// The file could not be used.
    #[error("could not lock {}", path.display())]
    Open {
        /// The lock's file.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock at `path` for this process, without waiting. Its directory must exist.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process has it.
    pub fn acquire(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Open { path: path.to_owned(), source };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(LockError::Held { path: path.to_owned(), pid: holder(&file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
        writeln!(file, "{}", std::process::id()).map_err(failed)?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &File) -> Option<u32> {
    let mut text = String::new();
    file.take(HOLDER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_who_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x.lock");
        let first = Lock::acquire(&path).unwrap();
        let LockError::Held { pid, .. } = Lock::acquire(&path).unwrap_err() else { panic!("not held") };
        assert_eq!(pid, Some(std::process::id()));
        drop(first);
        Lock::acquire(&path).unwrap();
    }

    #[test]
    fn a_missing_directory_is_an_error_that_names_the_file() {
        let error = Lock::acquire(Path::new("/nonexistent/x.lock")).unwrap_err();
        assert_eq!(error.to_string(), "could not lock /nonexistent/x.lock");
    }
}
