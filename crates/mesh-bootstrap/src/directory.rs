//! Files of what a service needs to log in, and of what everybody may have. Written beside and renamed; a file is
//! there whole or not at all.

use crate::keys::Keys;
use mesh_file::{Beside, sweep_directory};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// The file that is locked.
const LOCK_FILE: &str = ".lock";
/// Longest wait for another command that is at work.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(120);
/// Time between two looks whether it has ended.
const LOCK_LOOK: Duration = Duration::from_millis(50);
/// Bytes of a file that is read.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What the disk refused.
#[derive(Debug, thiserror::Error)]
#[error("could not {operation} {}", path.display())]
pub struct FileError {
    operation: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

/// Keeps others out of a directory until it is dropped.
#[derive(Debug)]
pub struct Lock(#[allow(dead_code, reason = "the lock is as long as the file is open")] File);

/// A directory with files in it.
#[derive(Debug, Clone)]
pub struct Directory {
    path: PathBuf,
    /// Mode of secret files; directories get the execute bits that go with it.
    secret_mode: u32,
}

impl Directory {
    /// At a path, for its owner alone.
    #[must_use]
    pub fn private(path: PathBuf) -> Self {
        Self { path, secret_mode: 0o600 }
    }

    /// At a path that containers see, whose processes have users of their own.
    #[must_use]
    pub fn readable(path: PathBuf) -> Self {
        Self { path, secret_mode: 0o644 }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The text of a file, if it is there.
    ///
    /// # Errors
    /// Where it is there and cannot be read, or is too large.
    pub fn read(&self, name: &str) -> Result<Option<String>, FileError> {
        let path = self.path.join(name);
        let failed = |source| FileError { operation: "read", path: path.clone(), source };
        match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed(error)),
            Ok(data) if data.len() > FILE_BYTES_MAX => {
                return Err(failed(io::Error::other("it is larger than such a file is")));
            }
            Ok(_) => {}
        }
        fs::read_to_string(&path).map(Some).map_err(failed)
    }

    /// Removes a file; one that is not there is no error.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn remove(&self, name: &str) -> Result<(), FileError> {
        let path = self.path.join(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(FileError { operation: "remove", path, source: error })
            }
            _ => Ok(()),
        }
    }

    /// Removes what writes of these files of a folder left that were killed; the folder may not be there.
    pub(crate) fn sweep(&self, folder: &str, names: &[&str]) {
        sweep_directory(&self.path.join(folder), names);
    }

    /// Keeps others out who lock it too, waiting for one that is at work, for as long as what it gives lives.
    ///
    /// # Errors
    /// What the disk refused, and another one who is at work for longer than two minutes.
    pub fn lock(&self) -> Result<Lock, FileError> {
        let path = self.path.join(LOCK_FILE);
        let failed = |source| FileError { operation: "lock", path: path.clone(), source };
        self.make(&self.path).map_err(failed)?;
        let options = || OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = options().map_err(failed)?;
        let until = Instant::now() + LOCK_WAIT_MAX;
        loop {
            match file.try_lock() {
                Ok(()) => {
                    // A write that was killed may have left keys, and no other write of that file may come.
                    self.sweep("", &Keys::FILES);
                    return Ok(Lock(file));
                }
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_LOOK),
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(io::Error::other(
                        "another command has been at work on it for too long",
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }

    /// The same where somebody may be at work at all; `None` where the directory is not there or may not be written
    /// into.
    ///
    /// # Errors
    /// Those of [`lock`](Self::lock).
    pub fn lock_if_there(&self) -> Result<Option<Lock>, FileError> {
        if !self.path.is_dir() {
            return Ok(None);
        }
        match self.lock() {
            Err(FileError { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
            {
                Ok(None)
            }
            locked => locked.map(Some),
        }
    }

    fn make(&self, directory: &Path) -> io::Result<()> {
        // Whoever may read may enter.
        let mode = 0o700 | ((self.secret_mode & 0o044) >> 2) | (self.secret_mode & 0o044);
        let missing = directory.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.exists());
        let missing: Vec<&Path> = missing.collect();
        DirBuilder::new().recursive(true).mode(mode).create(directory)?;
        // The name of each that was made is on disk with the directory that has it.
        for made in missing {
            let parent = made.parent().filter(|parent| !parent.as_os_str().is_empty());
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(())
    }

    /// Writes a file that is secret.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn write_secret(&self, name: &str, text: &str) -> Result<(), FileError> {
        self.write(name, text, self.secret_mode)
    }

    /// Writes a file that everybody may read.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn write_public(&self, name: &str, text: &str) -> Result<(), FileError> {
        self.write(name, text, 0o644)
    }

    fn write(&self, name: &str, text: &str, mode: u32) -> Result<(), FileError> {
        let path = self.path.join(name);
        let failed = |operation| {
            let path = path.clone();
            move |source| FileError { operation, path, source }
        };
        let parent = path.parent().unwrap_or(&self.path);
        self.make(parent).map_err(failed("make the directory of"))?;
        let mut fresh = Beside::begin(&path).map_err(failed("write"))?;
        fresh.write(text.as_bytes(), mode).and_then(|()| fresh.replace()).map_err(failed("write"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn two_at_once_take_turns() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::private(home.path().join("a/keys"));
        assert!(directory.lock_if_there().unwrap().is_none() && !directory.path().exists());
        let held = directory.lock().unwrap();
        let file = File::open(directory.path().join(LOCK_FILE)).unwrap();
        assert!(matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        let second = thread::spawn({
            let directory = directory.clone();
            move || directory.lock_if_there().map(|lock| lock.is_some())
        });
        drop(held);
        assert!(second.join().unwrap().unwrap());
        file.try_lock().unwrap();
    }

    #[test]
    fn directories_are_made_for_their_owner_and_those_that_were_there_stay() {
        let home = tempfile::tempdir().unwrap();
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let directory = Directory::private(home.path().join("a/b"));
        directory.write_secret("c/secret", "x").unwrap();
        directory.write_secret("c/secret", "y").unwrap();
        for (path, expected) in [("", 0o755), ("a", 0o700), ("a/b", 0o700), ("a/b/c", 0o700)] {
            assert_eq!(mode(&home.path().join(path)), expected, "{path}");
        }
        assert_eq!(directory.read("c/secret").unwrap().as_deref(), Some("y"));
    }

    #[test]
    fn what_killed_writes_left_goes_with_the_next_lock() {
        let home = tempfile::tempdir().unwrap();
        let directory = Directory::private(home.path().join("keys"));
        directory.write_secret("keys.json", "whole").unwrap();
        for left in
            [".keys.json.mesh-new-1-0", ".root-token.mesh-new-4999999-3", ".keys.pending.json.mesh-new-1-0"]
        {
            fs::write(directory.path().join(left), "half of a key").unwrap();
        }
        for others in [".mine.mesh-new-1-0", "keys.json.new-2026"] {
            fs::write(directory.path().join(others), "mine").unwrap();
        }
        drop(directory.lock().unwrap());
        let entries = fs::read_dir(directory.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, [LOCK_FILE, ".mine.mesh-new-1-0", "keys.json", "keys.json.new-2026"]);
    }
}
