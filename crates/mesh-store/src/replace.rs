//! A file replaced as a whole: written beside, synced, renamed over it.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Puts `bytes` at `path`, mode 0600; when this fails the old file is still whole. For whoever holds the lock of the
/// file: what is written beside has one name, so that the next write takes over what a killed one left.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = written.and_then(|()| fs::rename(&temporary, path)) {
        // The error that counts is the first one; a left-over file is overwritten next time.
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::replace;
    use std::fs;

    #[test]
    fn what_a_killed_write_left_is_taken_over() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("shop.json");
        fs::write(home.path().join("shop.new"), "half of what was to be written, and longer").unwrap();
        replace(&path, b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        let names: Vec<_> = fs::read_dir(home.path()).unwrap().map(|one| one.unwrap().file_name()).collect();
        assert_eq!(names, ["shop.json"]);
    }
}
