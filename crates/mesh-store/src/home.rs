//! Where Mesh keeps its files, for one user.
//!
//! `MESH_HOME` puts everything under one directory; otherwise the XDG variables decide. Resolving
//! reads no file; only [`Home::create`] and [`Home::projects`] touch the disk.

use sha2::{Digest, Sha256};
use std::{
    ffi::OsString,
    fs::{self, DirBuilder, Permissions},
    io,
    os::unix::{
        ffi::OsStrExt,
        fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// Longest path of a socket in bytes; the kernel's limit is 107 and some room is left for suffixes.
pub const SOCKET_PATH_BYTES_MAX: usize = 100;
/// Where this machine names its users.
const USERS_FILE: &str = "/etc/passwd";
/// Most projects that are listed.
pub const PROJECTS_MAX: usize = 10_000;

/// The three directories of one user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    /// Images and volumes; large and worth keeping.
    pub data: PathBuf,
    /// Records, journals and logs of projects.
    pub state: PathBuf,
    /// Sockets and locks; gone after a reboot.
    pub runtime: PathBuf,
}

/// Why the directories cannot be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HomeError {
    /// Nothing says where they are.
    #[error("no directory for Mesh's files: neither MESH_HOME nor HOME is set")]
    Unknown,
    /// A relative path would mean another place for every working directory.
    #[error("{variable} is not an absolute path: {}", path.display())]
    Relative {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        path: PathBuf,
    },
}

/// The home directory of a user, by the lines of `/etc/passwd`.
fn home_of(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':').skip(2);
        let own = fields.next()?.parse() == Ok(uid);
        fields.nth(2).filter(|home| own && home.starts_with('/'))
    })
}

/// A failure on the disk.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A directory could not be made private to its owner.
    #[error("could not create directory {}", path.display())]
    Create {
        /// The directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
    /// A directory could not be listed.
    #[error("could not list directory {}", path.display())]
    List {
        /// The directory.
        path: PathBuf,
        /// Cause.
        #[source]
        source: io::Error,
    },
}

/// The files of one project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectPaths {
    /// `<state>/projects/<name>`.
    pub directory: PathBuf,
    /// The project's record, in `directory`.
    pub record: PathBuf,
    /// Journals, in `directory`: one folder per container name.
    pub journal: PathBuf,
    /// What the supervisor itself says, in `directory`.
    pub log: PathBuf,
    /// Which volumes are put aside by a restore, in `directory`.
    pub aside: PathBuf,
    /// Held by the one supervisor of the project.
    pub lock: PathBuf,
    /// Control socket; at most [`SOCKET_PATH_BYTES_MAX`] bytes as far as the runtime directory allows.
    pub socket: PathBuf,
}

impl Home {
    /// Finds the directories from the environment, given as a look-up, and the user's number.
    ///
    /// # Errors
    /// When no variable says where, or `MESH_HOME` is relative. Relative XDG variables are ignored, as
    /// their specification asks.
    pub fn resolve(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Result<Self, HomeError> {
        let set = |name: &str| lookup(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        if let Some(root) = set("MESH_HOME") {
            if root.is_relative() {
                return Err(HomeError::Relative { variable: "MESH_HOME", path: root });
            }
            return Ok(Self {
                data: root.join("data"),
                state: root.join("state"),
                runtime: root.join("run"),
            });
        }
        let absolute = |name: &str| set(name).filter(|path| path.is_absolute());
        let below_home = |variable: &str, tail: &str| {
            absolute(variable)
                .or_else(|| absolute("HOME").map(|home| home.join(tail)))
                .map(|base| base.join("mesh"))
                .ok_or(HomeError::Unknown)
        };
        let data = below_home("XDG_DATA_HOME", ".local/share")?;
        let state = below_home("XDG_STATE_HOME", ".local/state")?;
        let runtime = match absolute("XDG_RUNTIME_DIR") {
            Some(base) => base.join("mesh"),
            None if uid == 0 => PathBuf::from("/run/mesh"),
            None => state.join("run"),
        };
        Ok(Self { data, state, runtime })
    }

    /// The same from this process's environment; where that has no `HOME`, as a service of the machine has
    /// none, it is what the list of users says.
    ///
    /// # Errors
    /// Those of [`Home::resolve`].
    pub fn of_environment(lookup: &dyn Fn(&str) -> Option<OsString>, uid: u32) -> Result<Self, HomeError> {
        match Self::resolve(lookup, uid) {
            Err(HomeError::Unknown) => {
                let users = fs::read_to_string(USERS_FILE).unwrap_or_default();
                let own = home_of(&users, uid).map(OsString::from);
                Self::resolve(&|name| lookup(name).or_else(|| own.clone().filter(|_| name == "HOME")), uid)
            }
            resolved => resolved,
        }
    }

    /// The files of the project called `name`. The name must be valid by Compose's rule; anything that
    /// could leave the directory is replaced by its hash.
    #[must_use]
    pub fn project(&self, name: &str) -> ProjectPaths {
        let safe = if is_plain(name) { name.to_owned() } else { short_hash(name) };
        let directory = self.state.join("projects").join(&safe);
        let socket = self.runtime.join(format!("{safe}.sock"));
        let socket = if socket.as_os_str().as_bytes().len() <= SOCKET_PATH_BYTES_MAX {
            socket
        } else {
            self.runtime.join(format!("{}.sock", short_hash(name)))
        };
        ProjectPaths {
            record: directory.join("project.json"),
            journal: directory.join("journal"),
            log: directory.join("supervisor.log"),
            aside: directory.join("restore.json"),
            lock: self.runtime.join(format!("{safe}.lock")),
            socket,
            directory,
        }
    }

    /// Names of the projects that have a directory, sorted; at most [`PROJECTS_MAX`].
    ///
    /// # Errors
    /// When the directory exists and cannot be read.
    pub fn projects(&self) -> Result<Vec<String>, StoreError> {
        let path = self.state.join("projects");
        let listing = match fs::read_dir(&path) {
            Ok(listing) => listing,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(StoreError::List { path, source }),
        };
        let mut names = Vec::new();
        for entry in listing.take(PROJECTS_MAX) {
            let entry = entry.map_err(|source| StoreError::List { path: path.clone(), source })?;
            if let Ok(name) = entry.file_name().into_string()
                && entry.path().is_dir()
            {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// Makes the directories, mode 0700.
    ///
    /// # Errors
    /// When one cannot be made or belongs to somebody else.
    pub fn create(&self) -> Result<(), StoreError> {
        [&self.data, &self.state, &self.runtime].into_iter().try_for_each(|path| create_private(path))
    }
}

impl ProjectPaths {
    /// Makes the project's own directory, mode 0700, and those above it.
    ///
    /// # Errors
    /// When one cannot be made or belongs to somebody else.
    pub fn create(&self) -> Result<(), StoreError> {
        create_private(&self.directory)?;
        create_private(&self.journal)?;
        self.lock.parent().map_or(Ok(()), create_private)
    }
}

/// Makes a directory and those above it; the last one gets mode 0700 even if it was there, so that a
/// directory of somebody else is an error and not a place for secrets.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let failed = |source| StoreError::Create { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let found = fs::metadata(path).map_err(failed)?;
    // Root could close a directory of anybody's, and still its owner would read what is in it.
    if found.uid() != rustix::process::geteuid().as_raw() {
        let reason = format!("it belongs to user {}", found.uid());
        return Err(failed(io::Error::new(io::ErrorKind::PermissionDenied, reason)));
    }
    let mode = found.permissions().mode();
    if mode & 0o777 != 0o700 {
        fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(failed)?;
    }
    Ok(())
}

fn is_plain(name: &str) -> bool {
    let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 128 && name.as_bytes().iter().all(allowed)
}

fn short_hash(name: &str) -> String {
    Sha256::digest(name.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn homes_are_found_among_the_users() {
        let users =
            "root:x:0:0:root:/root:/bin/sh\nbroken\nme:x:1000:1000::/home/me:\nodd:x:7:7::none:/bin/sh\n";
        for (uid, want) in [(0, Some("/root")), (1000, Some("/home/me")), (7, None), (5, None)] {
            assert_eq!(home_of(users, uid), want);
        }
    }

    fn check(variables: &[(&str, &str)], uid: u32, want: Result<[&str; 3], HomeError>) {
        let lookup = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value))
        };
        let want = want.map(|[data, state, runtime]| Home {
            data: data.into(),
            state: state.into(),
            runtime: runtime.into(),
        });
        assert_eq!(Home::resolve(&lookup, uid), want, "{variables:?}");
    }

    #[test]
    fn directories_follow_the_environment() {
        check(&[("MESH_HOME", "/d"), ("HOME", "/h")], 5, Ok(["/d/data", "/d/state", "/d/run"]));
        let home = ("HOME", "/h");
        let (data, state) = ("/h/.local/share/mesh", "/h/.local/state/mesh");
        check(&[home], 0, Ok([data, state, "/run/mesh"]));
        check(&[home], 7, Ok([data, state, "/h/.local/state/mesh/run"]));
        check(&[home, ("XDG_RUNTIME_DIR", "/run/user/7")], 7, Ok([data, state, "/run/user/7/mesh"]));
        check(&[home, ("XDG_DATA_HOME", "/x")], 0, Ok(["/x/mesh", state, "/run/mesh"]));
        check(&[home, ("XDG_DATA_HOME", "relative")], 0, Ok([data, state, "/run/mesh"]));
        check(&[], 0, Err(HomeError::Unknown));
        let relative = HomeError::Relative { variable: "MESH_HOME", path: "d".into() };
        check(&[("MESH_HOME", "d")], 0, Err(relative));
    }

    #[test]
    fn sockets_stay_short_and_names_stay_inside() {
        let home = Home { data: "/d".into(), state: "/s".into(), runtime: "/run/mesh".into() };
        assert_eq!(home.project("hub").socket, Path::new("/run/mesh/hub.sock"));
        assert_eq!(home.project("hub").record, Path::new("/s/projects/hub/project.json"));
        let long = "x".repeat(120);
        assert!(home.project(&long).socket.as_os_str().len() <= SOCKET_PATH_BYTES_MAX);
        assert!(home.project("../../etc").directory.starts_with("/s/projects"));
        assert!(!home.project("../../etc").directory.to_string_lossy().contains(".."));
    }

    #[test]
    fn directories_are_private_and_listed() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        let home = Home { data: at("data"), state: at("state"), runtime: at("run") };
        assert_eq!(home.projects().unwrap(), Vec::<String>::new());
        fs::create_dir(at("data")).unwrap();
        home.create().unwrap();
        for name in ["b", "a"] {
            home.project(name).create().unwrap();
        }
        assert_eq!(home.projects().unwrap(), ["a", "b"]);
        if rustix::process::geteuid().is_root() {
            std::os::unix::fs::chown(at("run"), Some(65_534), None).unwrap();
            let error = home.create().unwrap_err();
            assert!(std::error::Error::source(&error).unwrap().to_string().contains("65534"), "{error}");
            std::os::unix::fs::chown(at("run"), Some(0), None).unwrap();
        }
        for path in [at("data"), at("run"), home.project("a").directory] {
            assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o700);
        }
    }
}
