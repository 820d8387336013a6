//! Files that are written beside their place and get their name once they are whole and on the disk.
//!
//! Such a file is `.NAME.mesh-new-PROCESS-NUMBER`, as nobody else names theirs, and locked as long as whoever writes it lives:
//! what nobody has locked is left of one that was killed, in this process namespace or another, and removed by the next write
//! or by [`sweep`]. Where a file system has no locks nothing is removed. Absent: which of two writers wins; whoever minds has
//! a lock of its own.

use std::{
    ffi::{OsStr, OsString},
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
const MARK: &str = ".mesh-new-";
/// Names that are tried for one file.
const NAMES_MAX: u32 = 100;
/// Entries of a directory that are looked through for what others left.
const LOOKED_MAX: usize = 4096;

/// A file that has not got its name yet; dropped before, it is removed.
#[derive(Debug)]
pub struct Beside {
    path: PathBuf,
    /// The name it has until then; none once that is nobody's again, and may be another process's.
    fresh: Option<PathBuf>,
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
            let fresh = fresh_name(path, std::process::id(), number)?;
            match Self::claim(&fresh) {
                Ok(Some(file)) => return Ok(Self { path: path.to_owned(), fresh: Some(fresh), file }),
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
        let locked = match file.try_lock() {
            // Whoever has it removes it.
            Err(fs::TryLockError::WouldBlock) => return Ok(None),
            Err(fs::TryLockError::Error(error)) if !is_without_locks(&error) => Err(error),
            // Nobody can lock it then, and nobody removes what they cannot lock.
            Ok(()) | Err(fs::TryLockError::Error(_)) => file.metadata(),
        };
        match locked {
            Ok(metadata) => Ok((metadata.nlink() > 0).then_some(file)),
            Err(error) => {
                // What stays is removed by the next one.
                let _ = fs::remove_file(fresh);
                Err(error)
            }
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
    pub fn replace(mut self) -> io::Result<()> {
        if let Some(fresh) = &self.fresh {
            fs::rename(fresh, &self.path)?;
            self.fresh = None;
        }
        sync_above(&self.path)
    }

    /// Gives it its name where nothing has it; the name is on the disk then.
    ///
    /// # Errors
    /// What the disk refused; of kind [`ErrorKind::AlreadyExists`] where something has the name, which stays.
    pub fn put(self) -> io::Result<()> {
        if let Some(fresh) = &self.fresh {
            fs::hard_link(fresh, &self.path)?;
        }
        sync_above(&self.path)
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        // What stays is removed by the next one.
        let _ = self.fresh.take().map(fs::remove_file);
    }
}

fn fresh_name(path: &Path, process: u32, number: u64) -> io::Result<PathBuf> {
    let name = path.file_name().ok_or(ErrorKind::InvalidInput)?;
    let mut fresh = OsString::from(".");
    fresh.push(name);
    fresh.push(format!("{MARK}{process}-{number}"));
    Ok(path.with_file_name(fresh))
}

/// Whether it says that the file system, or the machine it is of, has no locks.
fn is_without_locks(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    errno.is_some_and(|errno| [Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS].contains(&errno))
}

/// Removes what writers of `path` left that were killed. What cannot be removed stays for the next one.
pub fn sweep(path: &Path) {
    let Some(name) = path.file_name() else { return };
    sweep_where(above(path), |left| left == name);
}

/// Removes what writers of these files of a directory left that were killed.
pub fn sweep_directory(directory: &Path, names: &[&str]) {
    sweep_where(directory, |left| names.iter().any(|name| left == OsStr::new(name)));
}

/// Removes what killed writers of any file left in a directory that nobody but Mesh writes to.
pub fn sweep_own_directory(directory: &Path) {
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
    let name = name.as_bytes().strip_prefix(b".")?;
    let at = name.windows(MARK.len()).rposition(|part| part == MARK.as_bytes())?;
    let (before, numbers) = (&name[..at], &name[at + MARK.len()..]);
    let mut parts = numbers.split(|byte| *byte == b'-');
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut number = || parts.next().is_some_and(is_number);
    let fits = number() && number() && parts.next().is_none();
    (fits && !before.is_empty()).then(|| OsStr::from_bytes(before))
}

fn remove_left(path: &Path) {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let opened = OpenOptions::new().write(true).custom_flags(flags.bits().cast_signed()).open(path);
    let Ok(file) = opened else { return };
    let Ok(found) = file.metadata() else { return };
    if !found.is_file() || file.try_lock().is_err() {
        return;
    }
    // Its writer may have ended meanwhile, and one of the same number have begun.
    let still = |there: fs::Metadata| (there.dev(), there.ino()) == (found.dev(), found.ino());
    if path.symlink_metadata().is_ok_and(still) {
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
            (".keys.json.mesh-new-12-0", Some("keys.json")),
            ("..env.mesh-new-1-2", Some(".env")),
            (".a.mesh-new-1-0.mesh-new-2-3", Some("a.mesh-new-1-0")),
            ("keys.json.mesh-new-12-0", None),
            (".keys.json.mesh-new-", None),
            (".keys.json.mesh-new-1", None),
            (".keys.json.mesh-new-1-", None),
            (".keys.json.mesh-new-1-2-3", None),
            (".keys.json.mesh-new-x-0", None),
            (".mesh-new-1-2", None),
            (".keys.json.new-1-2", None),
            ("keys.json.new-12", None),
            ("keys.json", None),
        ] {
            assert_eq!(written_for(OsStr::new(name)), expected.map(OsStr::new), "{name}");
        }
        let path = fresh_name(Path::new("/a/.env"), 1, 2).unwrap();
        assert_eq!(path, Path::new("/a/..env.mesh-new-1-2"));
        assert!(fresh_name(Path::new("/"), 1, 2).is_err());
    }

    #[test]
    fn a_file_is_there_whole_with_its_mode_and_what_was_left_is_not() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("keys.json");
        for left in [".keys.json.mesh-new-1-0", ".keys.json.mesh-new-4999999-7", ".other.mesh-new-1-0"] {
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
        assert_eq!(names(home.path()), [".other.mesh-new-1-0", "keys.json"]);
        sweep_directory(home.path(), &["keys.json"]);
        assert_eq!(names(home.path()), [".other.mesh-new-1-0", "keys.json"]);
        sweep_directory(home.path(), &["keys.json", "other"]);
        assert_eq!(names(home.path()), ["keys.json"]);
        fs::write(home.path().join(".other.mesh-new-1-0"), "half of a key").unwrap();
        fs::write(home.path().join(".new-1-0"), "of a version before").unwrap();
        sweep_own_directory(home.path());
        assert_eq!(names(home.path()), [".new-1-0", "keys.json"]);
    }

    #[test]
    fn files_of_others_stay() {
        let home = tempfile::tempdir().unwrap();
        let others = [
            ".env",
            ".env.new-2",
            ".env.new-2-3",
            ".key.new-1-0",
            "key",
            "key.mesh-new-1-0",
            "key.new-2026",
            "key.new-4999999-0",
        ];
        for name in others {
            fs::write(home.path().join(name), "mine").unwrap();
        }
        sweep(&home.path().join("key"));
        sweep(&home.path().join(".env"));
        sweep_directory(home.path(), &["key", ".env"]);
        drop(Beside::begin(&home.path().join(".env")).unwrap());
        assert_eq!(names(home.path()), others);
    }

    #[test]
    fn what_somebody_is_still_writing_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let (mut first, mut second) = (Beside::begin(&path).unwrap(), Beside::begin(&path).unwrap());
        let of_another = home.path().join(".key.mesh-new-1-0");
        let locked = File::create(&of_another).unwrap();
        locked.try_lock().unwrap();
        sweep_directory(home.path(), &["key"]);
        assert!(of_another.exists());
        drop(locked);
        sweep(&path);
        assert!(!of_another.exists());
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
        std::os::unix::fs::symlink("mine", home.path().join(".key.mesh-new-1-1")).unwrap();
        sweep(&path);
        assert_eq!(names(home.path()), [".key.mesh-new-1-1", "mine"]);
        assert!(Beside::begin(&home.path().join("none/key")).is_err());
    }

    #[test]
    fn a_name_is_given_back_with_the_file_that_had_it() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("key");
        let mut fresh = Beside::begin(&path).unwrap();
        let had = fresh.fresh.clone().unwrap();
        fresh.write(b"whole", 0o600).unwrap();
        // In place of a directory it cannot be put: the name is its own still, and goes.
        fs::create_dir(&path).unwrap();
        assert!(fresh.replace().is_err() && !had.exists());
        fs::remove_dir(&path).unwrap();
        let mut fresh = Beside::begin(&path).unwrap();
        let had = fresh.fresh.take().unwrap();
        fs::rename(&had, &path).unwrap();
        fs::write(&had, "another's of the same number").unwrap();
        drop(fresh);
        assert!(had.exists());
    }

    #[test]
    fn a_file_system_without_locks_is_told_from_one_that_fails() {
        use rustix::io::Errno;
        let is = |errno: Errno| is_without_locks(&io::Error::from(errno));
        assert!([Errno::NOLCK, Errno::OPNOTSUPP, Errno::NOSYS].into_iter().all(is));
        assert!(![Errno::IO, Errno::INTR, Errno::NOSPC].into_iter().any(is));
    }
}
