//! Where one project keeps its things, and how a path becomes an error text.
//!
//! Absent on purpose: any choice of directories. They come from the caller, whole.

use mesh_model::container::{ContainerId, ContainerSpec};
use mesh_runtime::error::RuntimeError;
use std::{
    io,
    path::{Path, PathBuf},
};

/// What the native ground of one project works with.
#[derive(Debug, Clone)]
pub struct NativeSettings {
    /// Name of the project.
    pub project: String,
    /// Data of the user, shared by all projects: `images/` and `volumes/` live under it.
    pub data: PathBuf,
    /// State of this project: `containers/`, `journal/` and `holder.json` live under it.
    pub state: PathBuf,
    /// How registries are asked for images.
    pub registry: mesh_oci::settings::Settings,
    /// The binary that is run again as a shim; its first words are `shim run|exec|copy|hold`.
    pub binary: PathBuf,
}

impl NativeSettings {
    /// Store of images.
    pub(crate) fn images(&self) -> PathBuf {
        self.data.join("images")
    }

    /// Named volumes of every project of this user.
    pub(crate) fn volumes(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Directories of this project's containers.
    pub(crate) fn containers(&self) -> PathBuf {
        self.state.join("containers")
    }

    /// Directory of one container.
    pub(crate) fn container(&self, id: &ContainerId) -> PathBuf {
        self.containers().join(&id.0)
    }

    /// Directory that holds the state of every project of this user.
    pub(crate) fn projects(&self) -> PathBuf {
        self.state.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Record of the process that holds the project's namespaces.
    pub(crate) fn holder(&self) -> PathBuf {
        self.state.join("holder.json")
    }
}

/// Directory of the journal that a container writes to: `<state>/journal/<container name>`. A
/// recreated container has the name of the one before it, and goes on in the same journal.
#[must_use]
pub fn journal_directory(state: &Path, spec: &ContainerSpec) -> PathBuf {
    // A name is valid by Compose's rule; a slash in a torn record must still not lead elsewhere.
    state.join("journal").join(spec.name.replace('/', "_"))
}

/// An `io::Error` with what was attempted on `path`; a full disk is told as such.
pub(crate) fn system(attempted: &'static str, path: &Path, source: io::Error) -> RuntimeError {
    match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            RuntimeError::DiskFull { path: path.to_owned() }
        }
        _ => RuntimeError::System { attempted: format!("could not {attempted} {}", path.display()), source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_told_as_such() {
        let full = io::Error::from_raw_os_error(nix::libc::ENOSPC);
        assert!(matches!(system("write", Path::new("/x"), full), RuntimeError::DiskFull { .. }));
        let denied = io::Error::from_raw_os_error(nix::libc::EACCES);
        assert_eq!(system("write", Path::new("/x"), denied).to_string(), "could not write /x");
    }
}
