//! A hosts file, changed in one step.
//!
//! The new content is written beside it and renamed over it, with its mode and owner; where it cannot be renamed, as
//! in a container that has it mounted, it is written in place. Two at once take turns; whoever may read the file may
//! hold its lock, so that nobody waits for it for long.

use super::block::BlockError;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    fs,
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::ffi::OsStrExt as _,
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Largest hosts file that is changed, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Longest wait for the lock: a change takes milliseconds.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(5);
/// Time between two attempts to have it.
const LOCK_EVERY: Duration = Duration::from_millis(20);

/// What stands between the name of the file and the number of the process that writes another one beside it.
const BESIDE: &str = ".mesh-";
/// Most entries of its folder that are looked through for what was left there.
const BESIDE_LOOKED_MAX: usize = 10_000;

/// Why a hosts file was not changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HostsError {
    /// The system refused.
    #[error("could not {attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Somebody else holds it for too long.
    #[error("{} is held by {holder} since {} s or more", path.display(), LOCK_WAIT_MAX.as_secs())]
    Held {
        /// The file.
        path: PathBuf,
        /// Which process.
        holder: String,
    },
    /// It is made by something else.
    #[error("{} is a link: what makes it has to be told of the names", path.display())]
    Link {
        /// The file.
        path: PathBuf,
    },
    /// It is larger than any such file.
    #[error("{} has more than {FILE_BYTES_MAX} bytes", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// Its blocks cannot be told from the rest.
    #[error("{} was left as it is", path.display())]
    Block {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BlockError,
    },
}

impl HostsError {
    /// Whether the system refused for lack of rights.
    pub(super) fn is_forbidden(&self) -> bool {
        self.kind() == Some(io::ErrorKind::PermissionDenied)
    }

    /// Whether nobody can write there.
    pub(super) fn is_read_only(&self) -> bool {
        self.kind() == Some(io::ErrorKind::ReadOnlyFilesystem)
    }

    fn kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::File { source, .. } => Some(source.kind()),
            _ => None,
        }
    }
}

/// Whether it may be written, found out without changing it.
pub(super) fn writable(path: &Path) -> Result<(), HostsError> {
    match fs::OpenOptions::new().write(true).open(path) {
        Ok(_) => Ok(()),
        // What stands in the way of making one is told where it is made.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed("open", path, error)),
    }
}

/// What is in it; nothing where there is none.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, HostsError> {
    match fs::File::open(path) {
        Ok(mut file) => content(&mut file, path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed("read", path, error)),
    }
}

/// Replaces what is in it by what `change` makes of it; whether it did. `None`: it stays.
pub(super) fn change(
    path: &Path,
    change: impl Fn(&[u8]) -> Result<Option<Vec<u8>>, BlockError>,
) -> Result<bool, HostsError> {
    if fs::symlink_metadata(path).is_ok_and(|found| found.is_symlink()) {
        return Err(HostsError::Link { path: path.to_owned() });
    }
    let mut file = locked(path)?;
    let before = content(&mut file, path)?;
    let after = change(&before).map_err(|source| HostsError::Block { path: path.to_owned(), source })?;
    let Some(after) = after.filter(|after| *after != before) else { return Ok(false) };
    match replace(path, &file, &after) {
        Ok(()) => Ok(true),
        // It is mounted there: its place is no one's to give.
        Err(error) if matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices) => {
            in_place(&mut file, &after).map_err(|error| {
                // It was there before, so there is room for it; if not, the first error says more.
                let _ = in_place(&mut file, &before);
                failed("write", path, error)
            })?;
            Ok(true)
        }
        Err(error) => Err(failed("replace", path, error)),
    }
}

/// Writes over what is there; what is left of it behind is cut off last.
fn in_place(file: &mut fs::File, content: &[u8]) -> io::Result<()> {
    file.rewind()?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)?;
    file.sync_all()
}

/// The file that is there now, held against others.
fn locked(path: &Path) -> Result<fs::File, HostsError> {
    locked_within(path, LOCK_WAIT_MAX)
}

fn locked_within(path: &Path, wait_max: Duration) -> Result<fs::File, HostsError> {
    let deadline = Instant::now() + wait_max;
    loop {
        let file = fs::OpenOptions::new().read(true).write(true).open(path);
        let file = file.map_err(|error| failed("open", path, error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                // Whoever had it before may have put another one in its place.
                let (held, there) = (file.metadata(), fs::metadata(path));
                if let (Ok(held), Ok(there)) = (held, there)
                    && (held.dev(), held.ino()) == (there.dev(), there.ino())
                {
                    return Ok(file);
                }
            }
            Err(Errno::WOULDBLOCK | Errno::INTR) => {}
            Err(error) => return Err(failed("lock", path, error.into())),
        }
        if Instant::now() >= deadline {
            return Err(HostsError::Held { path: path.to_owned(), holder: holder(&file) });
        }
        std::thread::sleep(LOCK_EVERY);
    }
}

/// Who holds a file, as the kernel tells it.
fn holder(file: &fs::File) -> String {
    let inode = file.metadata().map_or(0, |found| found.ino());
    let locks = fs::read_to_string("/proc/locks").unwrap_or_default();
    holder_in(&locks, inode).map_or_else(
        || "a process that is not to be seen from here".to_owned(),
        |number| {
            let name = fs::read_to_string(format!("/proc/{number}/comm")).unwrap_or_default();
            format!("process {number} ({})", name.trim().escape_debug())
        },
    )
}

/// The process of the lock on a file, in the kernel's list: `1: FLOCK ADVISORY WRITE 4711 fe:00:1234 0 EOF`.
fn holder_in(locks: &str, inode: u64) -> Option<u32> {
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, "FLOCK", _, _, number, file, ..] = fields.as_slice() else { return None };
        (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| number.parse().ok())?
    })
}

fn replace(path: &Path, old: &fs::File, content: &[u8]) -> io::Result<()> {
    let metadata = old.metadata()?;
    remove_left(path);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!("{BESIDE}{}", std::process::id()));
    let fresh = path.with_file_name(name);
    let result = (|| {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(content)?;
        std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
        file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        file.sync_all()?;
        fs::rename(&fresh, path)
    })();
    if result.is_err() {
        // It may not have been made.
        let _ = fs::remove_file(&fresh);
    }
    result
}

/// Removes what was written beside the file by processes that were killed meanwhile. The lock is ours, so that nobody
/// else is at it.
fn remove_left(path: &Path) {
    let mut prefix = path.file_name().unwrap_or_default().to_owned();
    prefix.push(BESIDE);
    let beside = path.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    for entry in beside.take(BESIDE_LOOKED_MAX) {
        let name = entry.file_name();
        let number = name.as_bytes().strip_prefix(prefix.as_bytes());
        if number.is_some_and(|number| !number.is_empty() && number.iter().all(u8::is_ascii_digit)) {
            // The next one tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn content(file: &mut fs::File, path: &Path) -> Result<Vec<u8>, HostsError> {
    let mut content = Vec::new();
    let read = file.take(FILE_BYTES_MAX + 1).read_to_end(&mut content);
    let read = read.map_err(|error| failed("read", path, error))?;
    if read as u64 > FILE_BYTES_MAX {
        return Err(HostsError::TooLarge { path: path.to_owned() });
    }
    Ok(content)
}

fn failed(attempted: &'static str, path: &Path, source: io::Error) -> HostsError {
    HostsError::File { attempted, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_file_is_replaced_with_its_mode_and_nothing_is_left_beside() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        fs::write(&path, "before").expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("set");
        assert!(!change(&path, |_| Ok(None)).expect("left"));
        assert!(!change(&path, |content| Ok(Some(content.to_vec()))).expect("left"));
        // What somebody left who was killed.
        fs::write(folder.path().join("hosts.mesh-1"), "half").expect("written");
        assert!(change(&path, |_| Ok(Some(b"after".to_vec()))).expect("changed"));
        assert_eq!(read(&path).expect("read"), b"after");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(folder.path()).expect("read").count(), 1);
        std::os::unix::fs::symlink(&path, folder.path().join("link")).expect("linked");
        let error = change(&folder.path().join("link"), |_| Ok(Some(Vec::new()))).expect_err("a link");
        assert!(matches!(error, HostsError::Link { .. }));
        assert!(read(&folder.path().join("none")).expect("nothing").is_empty());
    }

    #[test]
    fn two_at_once_take_turns() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        fs::write(&path, "").expect("written");
        thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    let line = format!("{number}\n");
                    change(path, |before| Ok(Some([before, line.as_bytes()].concat()))).expect("changed");
                });
            }
        });
        let text = fs::read_to_string(&path).expect("read");
        assert_eq!(text.lines().count(), 8, "{text}");
    }

    #[test]
    fn whoever_holds_it_for_long_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("hosts");
        fs::write(&path, "x").expect("written");
        let reader = fs::File::open(&path).expect("opened");
        flock(&reader, FlockOperation::LockShared).expect("held");
        let error = locked_within(&path, Duration::ZERO).expect_err("it is held").to_string();
        assert!(error.contains(&format!("process {} (", std::process::id())), "{error}");
        drop(reader);
        locked_within(&path, Duration::ZERO).expect("free");
        let locks = "1: POSIX  ADVISORY  WRITE 7 fe:00:12 0 EOF\n1: -> FLOCK x\n2: FLOCK  ADVISORY  READ 8 fe:00:12 0 EOF";
        assert_eq!((holder_in(locks, 12), holder_in(locks, 2)), (Some(8), None));
    }
}
