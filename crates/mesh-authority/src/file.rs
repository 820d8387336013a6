//! Files of authorities: read within bounds, and made whole or not at all.
//!
//! A file is written beside its place, synced, and put there by a link, which fails where another process was first,
//! or by a rename where it takes the place of one. What a killed process left beside is removed by the next.

use crate::AuthorityError;
use mesh_redact::Secret;
use std::{
    fs,
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    process,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

/// Largest file of an authority, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// What a mode says of everybody but the owner.
const OTHERS: u32 = 0o077;
/// How the names of files begin that are being written.
const FRESH: &str = ".new-";
/// Most of them that are looked through for what others left.
const LEFT_MAX: usize = 64;
/// What is locked while a root is made.
const LOCK: &str = ".lock";
/// Longest wait for another process that makes one.
const LOCK_WAIT_MAX: Duration = Duration::from_secs(10);
/// Time between two looks whether it has ended.
const LOCK_LOOK: Duration = Duration::from_millis(10);

/// Makes a directory, and those above it, that only its owner may enter.
pub(crate) fn make_directory(path: &Path) -> Result<(), AuthorityError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| failed("make directory", path, source))
}

/// What is in a file; none where there is no such file.
pub(crate) fn read(path: &Path) -> Result<Option<Secret<Vec<u8>>>, AuthorityError> {
    let file = match fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(failed("read", path, source)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|source| failed("read", path, source))?;
    Ok(Some(Secret::new(bytes)))
}

/// Takes a file that holds a key away from everybody but its owner, where others may read it; that is told, since they
/// may have done so.
pub(crate) fn tighten(path: &Path) -> Result<(), AuthorityError> {
    let Ok(found) = fs::metadata(path) else { return Ok(()) };
    if found.mode() & OTHERS == 0 {
        return Ok(());
    }
    tracing::warn!(
        file = %path.display(),
        mode = format!("{:o}", found.mode() & 0o777),
        "others could read the key of an authority: it is its owner's alone from now on"
    );
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
        .map_err(|source| failed("tighten", path, source))
}

/// Keeps other processes of this user out of making roots, as long as what it gives lives.
pub(crate) fn lock(directory: &Path) -> Result<fs::File, AuthorityError> {
    make_directory(directory)?;
    let path = directory.join(LOCK);
    let options = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = options.map_err(|source| failed("open", &path, source))?;
    let until = Instant::now() + LOCK_WAIT_MAX;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_LOOK),
            Err(fs::TryLockError::WouldBlock) => {
                return Err(AuthorityError::Busy { path: directory.to_owned() });
            }
            Err(fs::TryLockError::Error(source)) => return Err(failed("lock", &path, source)),
        }
    }
}

/// Makes a file that only its owner may read; whether it was this process that made it.
pub(crate) fn make(path: &Path, content: &Secret<String>) -> Result<bool, AuthorityError> {
    let fresh = write_beside(path, content)?;
    let linked = fs::hard_link(&fresh, path);
    // What stays is removed by whoever comes next.
    let _ = fs::remove_file(&fresh);
    match linked {
        Ok(()) => sync_above(path).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(failed("make", path, source)),
    }
}

/// Makes a file that only its owner may read, in place of the one that is there.
pub(crate) fn replace(path: &Path, content: &Secret<String>) -> Result<(), AuthorityError> {
    let fresh = write_beside(path, content)?;
    fs::rename(&fresh, path).map_err(|source| failed("replace", path, source))?;
    sync_above(path)
}

fn write_beside(path: &Path, content: &Secret<String>) -> Result<PathBuf, AuthorityError> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let directory = path.parent().unwrap_or(Path::new("/"));
    make_directory(directory)?;
    remove_left(directory);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let fresh = directory.join(format!("{FRESH}{}-{number}", process::id()));
    let attempt = |source| failed("write", &fresh, source);
    // One of a process that had the same number and is dead.
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(attempt(error)),
        _ => {}
    }
    let mut file =
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh).map_err(attempt)?;
    let written = file.write_all(content.expose().as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|source| {
        let _ = fs::remove_file(&fresh);
        attempt(source)
    })?;
    Ok(fresh)
}

/// Removes what processes left that are dead. That of living ones stays.
fn remove_left(directory: &Path) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten().take(LEFT_MAX) {
        let name = entry.file_name();
        let writer = name.to_str().and_then(|name| name.strip_prefix(FRESH)?.split('-').next());
        if let Some(writer) = writer
            && !Path::new("/proc").join(writer).exists()
        {
            // The next one tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn sync_above(path: &Path) -> Result<(), AuthorityError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let synced = fs::File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|source| failed("write", directory, source))
}

fn failed(attempted: &'static str, path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { attempted, path: path.to_owned(), source }
}
