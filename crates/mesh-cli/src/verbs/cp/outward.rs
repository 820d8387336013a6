//! Out of a container.

use super::{
    names::{Found, base, ends_with_dot, landing, through},
    not_there,
};
use crate::{failure::CliError, files::Files};
use mesh_api::{options::FileOperation, status::FileStatus};
use mesh_archive::{Owners, Rename, Rules, unpack};
use rustix::fs::FileType;
use std::{fs, io::ErrorKind, os::unix::fs::FileTypeExt as _, path::Path, process::Stdio};

/// Set-user-id and set-group-id: a program of a container's making is not to run here as whoever copied it.
const SET_ID_BITS: u32 = 0o6000;

/// Copies from the first container.
pub(super) async fn copy(files: &Files, path: &str, here: &str, follow_link: bool) -> Result<(), CliError> {
    let Some(container) = files.containers.first() else { return Ok(()) };
    if here != "-" {
        check_output(here)?;
    }
    let source = Source::find(files, container, path, follow_link).await?;
    let mut command = files.command(container, FileOperation::Out { path: source.path.clone() }).await?;
    command.stdin(Stdio::null());
    if here == "-" {
        let status = command.status().map_err(CliError::io("start the copy"))?;
        return if status.success() { Ok(()) } else { Err(CliError::Exit(1)) };
    }
    let found = match fs::metadata(here) {
        Ok(metadata) if metadata.is_dir() => Found::Directory,
        Ok(_) => Found::File,
        Err(_) => Found::Nothing,
    };
    let landing = landing(source.is_directory, here, found).map_err(CliError::said)?;
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(CliError::io("start the copy"))?;
    let Some(stream) = child.stdout.take() else { return Err(CliError::said("the copy has no output")) };
    let rename = match landing.name.or(source.rename) {
        None => Rename::Keep,
        Some(name) if base(&source.path) == "." => Rename::Under(name.into()),
        Some(name) => Rename::First(name.into()),
    };
    let rules = Rules { owners: Owners::Own, mode_left_out: SET_ID_BITS, rename };
    let unpacked = unpack(stream, Path::new(&landing.directory), &rules);
    let status = child.wait().map_err(CliError::io("wait for the copy"))?;
    // The other side's failure explains ours.
    match (status.success(), unpacked) {
        (true, unpacked) => unpacked.map_err(CliError::io(format!("unpack into {}", landing.directory))),
        (false, _) => Err(CliError::Exit(1)),
    }
}

/// What is copied.
struct Source {
    path: String,
    is_directory: bool,
    /// The name it has in place of its own: that of the link it was reached by.
    rename: Option<String>,
}

impl Source {
    async fn find(files: &Files, container: &str, path: &str, follow_link: bool) -> Result<Self, CliError> {
        let found = files.look(container, path).await?;
        if !found.exists {
            return Err(not_there(container, path));
        }
        let link = found.link.as_deref().filter(|_| follow_link);
        let Some(link) = link else {
            return Ok(Self { path: path.to_owned(), is_directory: is_directory(&found), rename: None });
        };
        let target = through(link, path);
        let found = files
            .look(container, &format!("{target}{}", if ends_with_dot(path) { "/." } else { "" }))
            .await?;
        if !found.exists {
            return Err(not_there(container, &target));
        }
        let rename = (base(&target) != base(path)).then(|| base(path));
        Ok(Self { is_directory: is_directory(&found), path: target, rename })
    }
}

pub(super) fn is_directory(status: &FileStatus) -> bool {
    FileType::from_raw_mode(status.mode) == FileType::Directory
}

/// Whether a copy can land at a path of this machine.
fn check_output(path: &str) -> Result<(), CliError> {
    let clean = path.trim_end_matches('/');
    let parent = Path::new(clean).parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent
        && matches!(fs::metadata(parent), Err(error) if error.kind() == ErrorKind::NotFound)
    {
        let parent = std::path::absolute(parent).unwrap_or_else(|_| parent.to_owned());
        return Err(CliError::said(format!(
            "invalid output path: directory {:?} does not exist",
            parent.display().to_string()
        )));
    }
    match fs::metadata(path) {
        Ok(found) if found.file_type().is_char_device() || found.file_type().is_block_device() => {
            Err(CliError::said(format!(
                "invalid output path: {path:?} must be a directory or a regular file: got a device"
            )))
        }
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound) => Ok(()),
        Err(error) if error.kind() == ErrorKind::NotADirectory => Err(not_a_directory(path)),
        Err(error) => Err(CliError::io(format!("look at {path}"))(error)),
    }
}

fn not_a_directory(path: &str) -> CliError {
    CliError::io(format!("look at {path}"))(ErrorKind::NotADirectory.into())
}
