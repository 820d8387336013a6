//! Segment files: their names, and finding them.

use crate::error::JournalError;
use std::{
    io,
    path::{Path, PathBuf},
};

/// Path of one segment.
pub(crate) fn path(directory: &Path, number: u64) -> PathBuf {
    directory.join(format!("{number:010}.log"))
}

/// Numbers of the segments in a directory, oldest first. A directory that is not there has none.
pub(crate) fn list(directory: &Path) -> Result<Vec<u64>, JournalError> {
    let failed = |source| JournalError::List { path: directory.to_owned(), source };
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let number: Option<u64> =
            name.to_str().and_then(|name| name.strip_suffix(".log")).and_then(|n| n.parse().ok());
        numbers.extend(number);
    }
    numbers.sort_unstable();
    Ok(numbers)
}
