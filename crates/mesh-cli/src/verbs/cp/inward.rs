//! Into containers: one stream, written to all of them.

use super::{
    Arguments,
    names::{Found, Landing, asserts_directory, base, ends_with_dot, landing, through},
    not_there,
    outward::is_directory,
};
use crate::{
    failure::CliError,
    files::{Copies, Files},
};
use mesh_api::{options::FileOperation, status::FileStatus};
use mesh_archive::Packer;
use rustix::fs::FileType;
use std::{
    fs::{self, Metadata},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
};

/// Links of a destination that are followed.
const LINKS_MAX: usize = 10;
/// Bytes of a stream that are passed on at once.
const BLOCK_BYTES: usize = 64 * 1024;

/// Copies into every container.
pub(super) async fn copy(
    files: &Files,
    here: &str,
    path: &str,
    arguments: &Arguments,
) -> Result<(), CliError> {
    let source = match here {
        "-" => None,
        _ => Some(Source::find(here, arguments.follow_link)?),
    };
    let mut copies = Copies::default();
    let mut name = None;
    for container in &files.containers {
        let landing = land(files, container, path, source.as_ref()).await?;
        let operation = FileOperation::In { directory: landing.directory, archive: arguments.archive };
        copies.start(files.command(container, operation).await?)?;
        // Containers of one service are alike: the name is the same in all of them, or it fails in some.
        name = landing.name.or(name);
    }
    let written = match &source {
        None => pass_on(&mut io::stdin().lock(), &mut copies),
        Some(source) => source.pack(name.as_deref(), &mut copies),
    };
    let all_well = copies.finish()?;
    match (all_well, written) {
        (true, written) => written.map_err(CliError::io(format!("read {here}"))),
        // Why was said on standard error.
        (false, _) => Err(CliError::Exit(1)),
    }
}

/// What is copied.
struct Source {
    path: PathBuf,
    metadata: Metadata,
    name: String,
}

impl Source {
    fn find(given: &str, follow_link: bool) -> Result<Self, CliError> {
        let absolute = std::path::absolute(given).map_err(CliError::io(format!("find {given}")))?;
        let failed = |error: io::Error| match error.kind() {
            ErrorKind::NotFound => {
                CliError::said(format!("lstat {}: no such file or directory", absolute.display()))
            }
            _ => CliError::io(format!("look at {given}"))(error),
        };
        // A path that can only be a directory's leads through a link at its end by itself.
        let followed = follow_link || asserts_directory(given);
        let path = if followed { absolute.canonicalize().map_err(failed)? } else { absolute.clone() };
        let metadata = fs::symlink_metadata(&path).map_err(failed)?;
        if asserts_directory(given) && !metadata.is_dir() {
            return Err(CliError::said(format!("lstat {given}: not a directory")));
        }
        let name = match base(given) {
            name if name == "." && !ends_with_dot(given) => {
                absolute.file_name().map_or(name, |name| name.to_string_lossy().into_owned())
            }
            name => name,
        };
        Ok(Self { path, metadata, name })
    }

    fn pack(&self, name: Option<&str>, writer: &mut Copies) -> io::Result<()> {
        let mut packer = Packer::new(writer);
        packer.add(&self.path, Path::new(name.unwrap_or(&self.name)))?;
        packer.finish().map(drop)
    }
}

/// Where a copy lands in a container.
async fn land(
    files: &Files,
    container: &str,
    path: &str,
    source: Option<&Source>,
) -> Result<Landing, CliError> {
    let (path, status) = follow(files, container, path).await?;
    let found = match (status.exists, is_directory(&status)) {
        (false, _) => Found::Nothing,
        (true, true) => Found::Directory,
        (true, false) => Found::File,
    };
    let kind = FileType::from_raw_mode(status.mode);
    if status.exists && matches!(kind, FileType::CharacterDevice | FileType::BlockDevice) {
        return Err(CliError::said(format!(
            "destination \"{container}:{path}\" must be a directory or a regular file: got a device"
        )));
    }
    let Some(source) = source else {
        return match found {
            Found::Directory => Ok(Landing { directory: path, name: None }),
            _ => Err(CliError::said(format!("destination \"{container}:{path}\" must be a directory"))),
        };
    };
    let landing = landing(source.metadata.is_dir(), &path, found).map_err(CliError::said)?;
    if found != Found::Directory && !files.look(container, &format!("{}/", landing.directory)).await?.exists {
        return Err(not_there(container, &landing.directory));
    }
    Ok(landing)
}

/// A destination with the links at its end followed.
async fn follow(files: &Files, container: &str, path: &str) -> Result<(String, FileStatus), CliError> {
    let mut path = match path.starts_with('/') {
        true => path.to_owned(),
        false => format!("/{path}"),
    };
    let mut status = files.look(container, &path).await?;
    for _ in 0..LINKS_MAX {
        let Some(link) = &status.link else { return Ok((path, status)) };
        path = through(link, &path);
        status = files.look(container, &path).await?;
    }
    Err(CliError::said(format!("too many symlinks in {path}")))
}

fn pass_on(from: &mut impl Read, to: &mut Copies) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match from.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => to.write_all(&block[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
