//! Files that the engine and the embedded service of a container give each other. Blocking.
//!
//! Both directories are in the container's own, which nobody else on the machine may enter. What the service writes is
//! anything: links are not followed, and nothing but a file is opened to be read.

use crate::{conversion::Exchange, record, settings::system};
use mesh_runtime::{error::RuntimeError, exchange::Told};
use std::{
    fs::{self, Permissions},
    io::{self, Read as _},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
};

/// Whoever the service runs as may write; the directory above keeps everybody else out.
const SAID_MODE: u32 = 0o777;
/// What the service is told is read by whoever it runs as.
const TOLD_MODE: u32 = 0o755;
/// The same of its files.
const FILE_MODE: u32 = 0o644;
/// What is for whoever it runs as alone.
const SECRET_MODE: u32 = 0o600;

/// Makes one of the directories of a container.
///
/// # Errors
/// The system refused, or the disk is full.
pub(crate) fn make(container: &Path, exchange: Exchange) -> Result<PathBuf, RuntimeError> {
    let path = container.join(exchange.name());
    match fs::create_dir(&path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            return Err(system("make directory", &path, error));
        }
        _ => {}
    }
    let mode = match exchange {
        Exchange::Told => TOLD_MODE,
        Exchange::Said => SAID_MODE,
    };
    // Not at its making, where the mask of this process would have a say.
    fs::set_permissions(&path, Permissions::from_mode(mode))
        .map_err(|error| system("set the mode of", &path, error))?;
    Ok(path)
}

/// Writes a file for the service, in one step.
///
/// # Errors
/// There is no such container, the system refused, or the disk is full.
///
/// What is secret is for `owner` alone, a user and a group; without one for whoever runs this.
pub(crate) fn tell(container: &Path, file: &Told, owner: Option<(u32, u32)>) -> Result<(), RuntimeError> {
    // Without its record it is being removed, and nothing new may come into its directory.
    if !container.join("spec.json").exists() {
        let name = container.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(RuntimeError::Missing { kind: "container", name });
    }
    let path = make(container, Exchange::Told)?.join(file.name);
    let (mode, owner) = if file.secret { (SECRET_MODE, owner) } else { (FILE_MODE, None) };
    record::replace_for(&path, file.content.expose(), mode, owner)
        .map_err(|error| system("write", &path, error))
}

/// As whom a process acts, by the kernel's text about it.
pub(crate) fn owner_of(pid: u32) -> Option<(u32, u32)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let effective = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some((effective("Uid:")?, effective("Gid:")?))
}

/// What the service wrote to a file, if it did.
///
/// # Errors
/// It is larger than it may be, is no file, or the system refused.
pub(crate) fn heard(container: &Path, name: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, RuntimeError> {
    let path = container.join(Exchange::Said.name()).join(name);
    let failed = |error| system("read", &path, error);
    // A pipe without a writer must not be waited for.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = match fs::OpenOptions::new().read(true).custom_flags(flags).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(failed(io::Error::other("it is not a file")));
    }
    let mut content = Vec::new();
    file.take(bytes_max as u64 + 1).read_to_end(&mut content).map_err(failed)?;
    if content.len() > bytes_max {
        return Err(failed(io::Error::from(io::ErrorKind::FileTooLarge)));
    }
    Ok(Some(content))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_redact::Secret;
    use std::os::unix::fs::MetadataExt as _;

    #[test]
    fn what_is_told_is_there_and_what_is_said_is_doubted() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let container = directory.path();
        let told = |text: &str| {
            let content = Secret::new(text.as_bytes().to_vec());
            Told { name: "list.json", content, secret: false }
        };
        assert!(matches!(tell(container, &told(""), None), Err(RuntimeError::Missing { .. })), "it is gone");
        fs::write(container.join("spec.json"), "").expect("written");
        for text in ["[]", "[1]"] {
            let file = told(text);
            tell(container, &file, None).expect("written");
            assert_eq!(fs::read_to_string(container.join("told/list.json")).expect("there"), text);
        }
        let said = make(container, Exchange::Said).expect("made");
        let hear = || heard(container, "names.json", 4);
        assert!(matches!(hear(), Ok(None)));
        fs::write(said.join("names.json"), "1234").expect("written");
        assert!(matches!(hear(), Ok(Some(content)) if content == b"1234"));
        fs::write(said.join("names.json"), "12345").expect("written");
        assert!(hear().is_err(), "larger than it may be");
        fs::remove_file(said.join("names.json")).expect("removed");
        std::os::unix::fs::symlink(container.join("told/list.json"), said.join("names.json"))
            .expect("linked");
        assert!(hear().is_err(), "a link");
        fs::remove_file(said.join("names.json")).expect("removed");
        nix::unistd::mkfifo(&said.join("names.json"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        assert!(hear().is_err(), "a pipe");
    }

    #[test]
    fn a_secret_is_for_whoever_the_service_runs_as() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let container = directory.path();
        fs::write(container.join("spec.json"), "{}").expect("written");
        let own = owner_of(std::process::id()).expect("this process");
        assert_eq!(own, (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw()));
        let owner = if own.0 == 0 { (1234, 1235) } else { own };
        let file = Told { name: "key", content: Secret::new(b"x".to_vec()), secret: true };
        tell(container, &file, Some(owner)).expect("written");
        let found = fs::metadata(container.join("told/key")).expect("there");
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (owner.0, owner.1, 0o600));
        tell(container, &file, None).expect("written");
        let found = fs::metadata(container.join("told/key")).expect("there");
        assert_eq!((found.uid(), found.mode() & 0o777), (own.0, 0o600));
        assert_eq!(owner_of(u32::MAX), None);
    }
}
