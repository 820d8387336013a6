//! From planned mounts to mounts whose sources are there: volumes and bind directories are made,
//! small files are read. Blocking.

use crate::{
    conversion::{Access, PlannedMount, PlannedSource},
    exchange,
    settings::system,
    volume::Volumes,
};
use mesh_redact::Secret;
use mesh_runtime::error::RuntimeError;
use mesh_sandbox::specification::{MountKind, MountSpecification};
use std::{
    fs, io,
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Largest secret or config that is written into a container's memory.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Where sources live.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    /// Directory of the container.
    pub(crate) directory: &'a Path,
    /// Named volumes.
    pub(crate) volumes: &'a Volumes,
}

impl Sources<'_> {
    /// Makes what a mount needs, and says how it is mounted.
    ///
    /// # Errors
    /// [`RuntimeError::Missing`] for what is not there and may not be made, a full disk, and what the
    /// system refused.
    pub(crate) fn prepare(&self, mount: &PlannedMount) -> Result<MountSpecification, RuntimeError> {
        let kind = match &mount.source {
            PlannedSource::Volume { name, subpath, populate } => {
                let source = self.volumes.source(name, subpath.as_deref())?;
                // Free of links already; looked at again, a link made since would be followed.
                MountKind::Bind { populate: *populate, source, owner: None }
            }
            PlannedSource::Anonymous { name } => {
                let source = self.volumes.create_anonymous(name)?;
                MountKind::Bind { source, populate: true, owner: None }
            }
            PlannedSource::Bind { path, create } => bind(&find(path, *create)?)?,
            PlannedSource::Tmpfs { size_bytes, mode, uid, gid, exec } => {
                MountKind::Tmpfs { size_bytes: *size_bytes, mode: *mode, uid: *uid, gid: *gid, exec: *exec }
            }
            PlannedSource::File { kind, key, path, access } => file(kind, key, path, access)?,
            PlannedSource::Content { content, access } => content_of(content.clone(), access),
            PlannedSource::OwnBinary => bind(&own_binary()?)?,
            PlannedSource::Exchange(exchange) => bind(&exchange::make(self.directory, *exchange)?)?,
            // It may not be written yet.
            PlannedSource::Own(file) => MountKind::Bind {
                source: resolved(self.directory)?.join(file.name()),
                populate: false,
                owner: None,
            },
        };
        Ok(MountSpecification { target: mount.target.clone(), kind, read_only: mount.read_only })
    }
}

/// The binary that runs this. One that was replaced since, by an upgrade, is the one that is there now.
fn own_binary() -> Result<PathBuf, RuntimeError> {
    let link = Path::new("/proc/self/exe");
    let path = fs::read_link(link).map_err(|error| system("read", link, error))?;
    let there =
        path.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map_or(path.clone(), PathBuf::from);
    find(&there, false)
}

fn bind(source: &Path) -> Result<MountKind, RuntimeError> {
    Ok(MountKind::Bind { source: resolved(source)?, populate: false, owner: None })
}

/// A path without links, as the shim demands it.
fn resolved(path: &Path) -> Result<PathBuf, RuntimeError> {
    path.canonicalize().map_err(|error| system("look at", path, error))
}

fn content_of(content: Secret<Vec<u8>>, access: &Access) -> MountKind {
    MountKind::File { content, uid: access.uid.clone(), gid: access.gid.clone(), mode: access.mode }
}

/// The source of a bind, made as a directory where that is allowed.
fn find(path: &Path, create: bool) -> Result<PathBuf, RuntimeError> {
    match fs::metadata(path) {
        Ok(_) => Ok(path.to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && create => {
            fs::create_dir_all(path).map_err(|error| system("make directory", path, error))?;
            Ok(path.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(RuntimeError::Missing { kind: "bind source", name: path.display().to_string() })
        }
        Err(error) => Err(system("look at", path, error)),
    }
}

/// A secret or config that is a file: bound where everybody may read it and nothing else is asked
/// (changes to it are then seen at once), else read and given as content, so that the owner and the
/// mode asked for hold and the file on the machine stays as closed as it is.
fn file(kind: &'static str, key: &str, path: &Path, access: &Access) -> Result<MountKind, RuntimeError> {
    let metadata = fs::metadata(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            RuntimeError::Missing { kind, name: format!("{key} ({})", path.display()) }
        }
        _ => system("look at", path, error),
    })?;
    if metadata.is_dir() || (access.is_plain() && metadata.permissions().mode() & 0o004 != 0) {
        return bind(path);
    }
    if metadata.size() > FILE_BYTES_MAX {
        return Err(RuntimeError::Unsupported {
            what: format!("{kind} {key} of {} bytes", metadata.size()),
            reason: format!(
                "with an owner or mode of its own, at most {FILE_BYTES_MAX} bytes; bind the file instead"
            ),
        });
    }
    let mut content = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut content))
        .map_err(|error| system("read", path, error))?;
    Ok(content_of(Secret::new(content), access))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(mode: u32) -> Access {
        Access { uid: None, gid: None, mode }
    }

    #[test]
    fn a_readable_file_is_bound_and_a_closed_one_is_given_as_content() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("token");
        fs::write(&path, "x").expect("writes");
        for (file_mode, asked, bound) in [(0o644, 0o444, true), (0o600, 0o444, false), (0o644, 0o400, false)]
        {
            fs::set_permissions(&path, fs::Permissions::from_mode(file_mode)).expect("sets the mode");
            let kind = file("secret", "token", &path, &access(asked)).expect("prepares");
            assert_eq!(matches!(kind, MountKind::Bind { .. }), bound, "{file_mode:o} {asked:o}");
            assert!(bound || matches!(kind, MountKind::File { mode, .. } if mode == asked));
        }
    }

    #[test]
    fn the_bound_of_a_file_holds_at_its_edge() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("large");
        for (size, fits) in [(FILE_BYTES_MAX, true), (FILE_BYTES_MAX + 1, false)] {
            fs::File::create(&path).and_then(|file| file.set_len(size)).expect("makes");
            assert_eq!(file("config", "large", &path, &access(0o400)).is_ok(), fits, "{size}");
        }
    }

    #[test]
    fn a_bind_source_is_made_only_where_that_is_asked() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let path = directory.path().join("a/b");
        let error = find(&path, false).expect_err("is not there");
        assert!(matches!(error, RuntimeError::Missing { kind: "bind source", .. }), "{error}");
        assert!(find(&path, true).is_ok_and(|path| path.is_dir()));
    }
}
