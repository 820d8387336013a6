//! Locks between processes and between tasks of one process: a file each, locked by the kernel, so
//! that a killed holder lets go.

use crate::error::ImageError;
use std::{
    fs::{File, TryLockError},
    path::Path,
};

/// A lock that is held until dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Lock {
    /// Waits for the lock, alone. Holders do bounded work, so the wait is bounded too.
    pub(crate) fn exclusive(path: &Path) -> Result<Self, ImageError> {
        let file = open(path)?;
        file.lock().map_err(|source| ImageError::io("lock", path, source))?;
        Ok(Self { _file: file })
    }

    /// Waits for the lock, beside others of this kind.
    pub(crate) fn shared(path: &Path) -> Result<Self, ImageError> {
        let file = open(path)?;
        file.lock_shared().map_err(|source| ImageError::io("lock", path, source))?;
        Ok(Self { _file: file })
    }

    /// Takes the lock alone if nobody holds it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, ImageError> {
        let file = open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(source)) => Err(ImageError::io("lock", path, source)),
        }
    }
}

fn open(path: &Path) -> Result<File, ImageError> {
    File::options()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(path)
        .map_err(|source| ImageError::io("open", path, source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_is_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("lock");
        let held = Lock::exclusive(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(held);
        let shared = Lock::shared(&path).unwrap();
        let other = Lock::shared(&path).unwrap();
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop((shared, other));
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }
}
