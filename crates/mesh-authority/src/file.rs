//! Files of authorities: read within bounds, and made whole or not at all.
//!
//! A file is written beside its place, synced, and put there by a link, which fails where another process was first,
//! or by a rename where it takes the place of one. What a killed process left beside is removed by the next that
//! writes one in the same directory.

use crate::AuthorityError;
use mesh_file::Beside;
use mesh_redact::Secret;
use std::{
    fs,
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

/// Largest file of an authority, in bytes.
const FILE_BYTES_MAX: u64 = 256 << 10;
/// What a mode says of everybody but the owner.
const OTHERS: u32 = 0o077;
/// What its files are for others: nothing.
const OWNER_ALONE: u32 = 0o600;
/// How the names of files began that versions of before were writing.
const FORMER: &str = ".new-";
/// How long such a file was not written to before it is nobody's; one took milliseconds.
const FORMER_AGE_MIN: Duration = Duration::from_hours(1);
/// Most entries of a directory that are looked through for them.
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
    match write_beside(path, content)?.put() {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(failed("make", path, source)),
    }
}

/// Makes a file that only its owner may read, in place of the one that is there.
pub(crate) fn replace(path: &Path, content: &Secret<String>) -> Result<(), AuthorityError> {
    write_beside(path, content)?.replace().map_err(|source| failed("replace", path, source))
}

fn write_beside(path: &Path, content: &Secret<String>) -> Result<Beside, AuthorityError> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    make_directory(directory)?;
    mesh_file::sweep_own_directory(directory);
    remove_former(directory, SystemTime::now());
    let attempt = |source| failed("write", path, source);
    let mut fresh = Beside::begin(path).map_err(attempt)?;
    fresh.write(content.expose().as_bytes(), OWNER_ALONE).map_err(attempt)?;
    Ok(fresh)
}

/// Removes what versions of before left half written: in a directory that nobody but Mesh writes to, a file of the name
/// that they gave, untouched for longer than any of them took to write one. Nothing tells whether its writer lives.
fn remove_former(directory: &Path, now: SystemTime) {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let former = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_former));
    for entry in former.take(LEFT_MAX) {
        let untouched = |found: fs::Metadata| now.duration_since(found.modified().ok()?).ok();
        let old = entry.metadata().ok().filter(fs::Metadata::is_file).and_then(untouched);
        if old.is_some_and(|age| age > FORMER_AGE_MIN) {
            // The next one tries again.
            let _ = fs::remove_file(entry.path());
        }
    }
}

/// Whether a name is `.new-PROCESS-NUMBER`.
fn is_former(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let numbers = name.strip_prefix(FORMER).and_then(|numbers| numbers.split_once('-'));
    numbers.is_some_and(|(process, number)| is_number(process) && is_number(number))
}

fn failed(attempted: &'static str, path: &Path, source: io::Error) -> AuthorityError {
    AuthorityError::File { attempted, path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::{FORMER_AGE_MIN, is_former, remove_former};
    use std::{
        fs,
        time::{Duration, SystemTime},
    };

    #[test]
    fn only_names_that_versions_of_before_gave_are_theirs() {
        for (name, former) in [
            (".new-4999999-0", true),
            (".new-1-12", true),
            (".new-1", false),
            (".new-1-", false),
            (".new--1", false),
            (".new-1-2-3", false),
            (".new-x-0", false),
            ("local.pem", false),
            (".local.pem.mesh-new-1-0", false),
        ] {
            assert_eq!(is_former(name), former, "{name}");
        }
    }

    #[test]
    fn what_a_version_of_before_left_goes_once_it_is_old() {
        let home = tempfile::tempdir().unwrap();
        let left = home.path().join(".new-4999999-0");
        let others = ["local.pem", ".new-key"].map(|name| home.path().join(name));
        fs::write(&left, "half of a key").unwrap();
        others.iter().for_each(|path| fs::write(path, "mine").unwrap());
        let now = SystemTime::now();
        remove_former(home.path(), now);
        assert!(left.exists(), "it may still be written to");
        remove_former(home.path(), now + FORMER_AGE_MIN + Duration::from_secs(1));
        assert!(!left.exists());
        assert!(others.iter().all(|path| path.exists()));
    }
}
