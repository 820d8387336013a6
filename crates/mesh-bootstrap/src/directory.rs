//! Files of what a service needs to log in, and of what everybody may have. Written beside and renamed; a file is
//! there whole or not at all.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

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
        // Whoever may read may enter.
        let directory_mode = 0o700 | ((self.secret_mode & 0o044) >> 2) | (self.secret_mode & 0o044);
        DirBuilder::new()
            .recursive(true)
            .mode(directory_mode)
            .create(parent)
            .map_err(failed("make the directory of"))?;
        let beside = path.with_extension(format!("new-{}", std::process::id()));
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)
            .map_err(failed("write"))?;
        let written = file
            .write_all(text.as_bytes())
            .and_then(|()| file.set_permissions(fs::Permissions::from_mode(mode)))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&beside, &path));
        written.inspect_err(|_| drop(fs::remove_file(&beside))).map_err(failed("write"))
    }
}
