//! Programs of the machine that keep its stores, run with nothing to read.

use std::{
    ffi::OsStr,
    io,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// Most characters of what a program said that are told.
const SAID_CHARS_MAX: usize = 400;

/// Why a store is not as it should be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TrustError {
    /// A program could not be run.
    #[error("could not run {program}")]
    Run {
        /// Its name.
        program: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It ran and failed.
    #[error("{program} failed: {said}")]
    Failed {
        /// Its name.
        program: String,
        /// What it said.
        said: String,
    },
    /// It failed, and so did taking back what was done before.
    #[error("{} could not be put back as it was", path.display())]
    Left {
        /// The file.
        path: PathBuf,
        /// What failed first.
        #[source]
        source: Box<TrustError>,
    },
    /// A file of a store.
    #[error("could not {attempted} {}", path.display())]
    File {
        /// What was attempted.
        attempted: &'static str,
        /// On what.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
}

/// Where a program is, by `PATH` and where administrators' programs are.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let folders = std::env::split_paths(&path).filter(|folder| folder.is_absolute()).chain(usual);
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// Runs a program to its end.
pub(super) fn run(
    program: &Path,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> Result<String, TrustError> {
    let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let Output { status, stdout, stderr } =
        output.map_err(|source| TrustError::Run { program: name.clone(), source })?;
    if status.success() {
        return Ok(String::from_utf8_lossy(&stdout).into_owned());
    }
    let said = String::from_utf8_lossy(if stderr.is_empty() { &stdout } else { &stderr }).into_owned();
    let said: String =
        said.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(SAID_CHARS_MAX).collect();
    Err(TrustError::Failed { program: name, said: if said.is_empty() { status.to_string() } else { said } })
}
