//! Files that are written beside their place and get their name once they are whole and on the disk.
//!
//! Such a file is `NAME.new-PROCESS-NUMBER`, and locked as long as whoever writes it lives: what nobody has locked is left of
//! one that was killed, in this process namespace or another, and removed by the next write or by [`sweep`]. Absent: which
//! of two writers wins; whoever minds has a lock of its own.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write as _},
    os::unix::{
        ffi::OsStrExt as _,
        fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// What stands between the name and the writer's numbers.
const MARK: &str = ".new-";
/// Names that are tried for one file.
const NAMES_MAX: u32 = 100;
/// Entries of a directory that are looked through for what others left.
const LOOKED_MAX: usize = 4096;

/// A file that has not got its name yet; dropped before, it is removed.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    fresh: PathBuf,
    /// As long as it is open it is nobody else's to remove.
    file: File,
}

impl Beside {
    /// Begins one for `path`, mode 0600, and removes what others left that were killed.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn begin(path: &Path) -> io::Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        sweep(path);
        let mut tried = 0;
        loop {
            let number = COUNT.fetch_add(1, Ordering::Relaxed);
            let fresh = path.with_added_extension(format!("new-{}-{number}", std::process::id()));
            match Self::claim(&fresh) {
                Ok(Some(file)) => return Ok(Self { path: path.to_owned(), fresh, file }),
                Ok(None) => {}
                // Of a process of the same number, in another namespace.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
            tried += 1;
            if tried == NAMES_MAX {
                return Err(ErrorKind::AlreadyExists.into());
            }
        }
    }

    /// None where somebody took it for one that was left, before it was locked.
    fn claim(fresh: &Path) -> io::Result<Option<File>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
        match file.try_lock() {
            Ok(()) => Ok((file.metadata()?.nlink() > 0).then_some(file)),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes what it is to have, gives it its mode, and has it on the disk.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn write(&mut self, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.file.set_permissions(fs::Permissions::from_mode(mode))?;
        self.file.sync_all()
    }

    /// Gives it its name, in place of what has it; the name is on the disk then.
    ///
    /// # Errors
    /// What the disk refused.
    pub fn replace(self) -> io::Result<()> {
        fs::rename(&self.fresh, &self.path)?;
        sync_above(&self.path)
    }

    /// Gives it its name where nothing has it; the name is on the disk then.
    ///
    /// # Errors
    /// What the disk refused; of kind [`ErrorKind::AlreadyExists`] where something has the name, which stays.
    pub fn put(self) -> io::Result<()> {
        fs::hard_link(&self.fresh, &self.path)?;
        sync_above(&self.path)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // Renamed it is not there any more; what stays is removed by the next one.
        let _ = fs::remove_file(&self.fresh);
    }
}

/// Removes what writers of `path` left that were killed. What cannot be removed stays for the next one.
pub fn sweep(path: &Path) {
    let Some(name) = path.file_name() else { return };
    sweep_where(above(path), |left| left == name);
}

/// Removes what writers of any file of a directory left that were killed.
pub fn sweep_directory(directory: &Path) {
    sweep_where(directory, |_| true);
}

fn sweep_where(directory: &Path, wanted: impl Fn(&OsStr) -> bool) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten().take(LOOKED_MAX) {
        if written_for(&entry.file_name()).is_some_and(&wanted) {
            remove_left(&entry.path());
        }
    }
}

/// The name of the file that one was written for; none where it is no such one.
fn written_for(name: &OsStr) -> Option<&OsStr> {
    let name = name.as_bytes();
    let at = name.windows(MARK.len()).rposition(|part| part == MARK.as_bytes())?;
    let (before, numbers) = (&name[..at], &name[at + MARK.len()..]);
    // Earlier versions had the process alone.
    let mut parts = numbers.split(|byte| *byte == b'-');
    let number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let fits = parts.by_ref().take(2).all(number) && parts.next().is_none();
    (fits && !before.is_empty()).then(|| OsStr::from_bytes(before))
}

fn remove_left(path: &Path) {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(file) = opened else { return };
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_file && file.try_lock().is_ok() {
        let _ = fs::remove_file(path);
    }
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn sync_above(path: &Path) -> io::Result<()> {
    File::open(above(path))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn names_of_what_is_left_are_known() {
        for (name, expected) in [
            ("keys.json.new-12-0", Some("keys.json")),
            ("keys.new-12", Some("keys")),
            (".env.new-1-2", Some(".env")),
            ("a.new-1.new-2-3", Some("a.new-1")),
            ("keys.json.new-", None),
            ("keys.json.new-1-", None),
            ("keys.json.new-1-2-3", None),
            ("keys.json.new-x", None),
            (".new-1-2", None),
            ("keys.json", None),
        ] {
            assert_eq!(written_for(OsStr::new(name)), expected.map(OsStr::new), "{name}");
        }
    }

    #[test]
    fn a_file_is_there_whole_with_its_mode_and_what_was_left_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.json");
        for left in ["keys.json.new-4999999", "keys.json.new-4999999-7", "other.new-4999999-7"] {
            fs::write(home.path().join(left), "half of a key").unwrap();
        }
        let mut fresh = Beside::begin(&path).unwrap();
        fresh.write(b"whole", 0o640).unwrap();
        assert!(!path.exists());
        fresh.replace().unwrap();
        assert_eq!(
            (fs::read(&path).unwrap(), path.metadata().unwrap().mode() & 0o777),
            (b"whole".to_vec(), 0o640)
        );
        assert_eq!(names(home.path()), ["keys.json", "other.new-4999999-7"]);
        sweep_directory(home.path());
        assert_eq!(names(home.path()), ["keys.json"]);
    }

    #[test]
    fn what_somebody_is_still_writing_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let (mut first, mut second) = (Beside::begin(&path).unwrap(), Beside::begin(&path).unwrap());
        sweep_directory(home.path());
        first.write(b"first", 0o600).unwrap();
        second.write(b"second", 0o600).unwrap();
        first.put().unwrap();
        assert_eq!(second.put().unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(
            (names(home.path()), fs::read(&path).unwrap()),
            (vec!["key".to_owned()], b"first".to_vec())
        );
    }

    #[test]
    fn one_that_is_given_up_leaves_nothing_and_links_are_not_followed() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        drop(Beside::begin(&path).unwrap());
        fs::write(home.path().join("mine"), "mine").unwrap();
        std::os::unix::fs::symlink("mine", home.path().join("key.new-1-1")).unwrap();
        sweep(&path);
        assert_eq!(names(home.path()), ["key.new-1-1", "mine"]);
        assert!(Beside::begin(&home.path().join("none/key")).is_err());
    }
}
