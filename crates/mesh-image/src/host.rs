//! What the store has to know of the machine: its release, its architecture, and whether files may
//! be given to other users here.

use crate::error::ImageError;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// The machine's distribution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Release {
    /// `debian`.
    pub(crate) id: String,
    /// `12`.
    pub(crate) version: String,
    /// `bookworm`.
    pub(crate) codename: String,
}

impl Release {
    /// Reads `/etc/os-release`.
    pub(crate) fn read() -> Result<Self, ImageError> {
        let path = Path::new("/etc/os-release");
        let text = fs::read_to_string(path).map_err(|source| ImageError::io("read", path, source))?;
        Self::parse(&text).ok_or_else(|| ImageError::NoCodename { path: PathBuf::from(path) })
    }

    fn parse(text: &str) -> Option<Self> {
        let value = |key: &str| {
            text.lines().find_map(|line| {
                let (name, value) = line.split_once('=')?;
                (name.trim() == key).then(|| value.trim().trim_matches(['"', '\'']).to_owned())
            })
        };
        let codename = value("VERSION_CODENAME").filter(|name| !name.is_empty())?;
        Some(Self {
            id: value("ID").unwrap_or_else(|| "linux".to_owned()),
            version: value("VERSION_ID").unwrap_or_else(|| codename.clone()),
            codename,
        })
    }

    /// `debian 12`.
    pub(crate) fn distribution(&self) -> String {
        format!("{} {}", self.id, self.version)
    }
}

/// Debian's name of this machine's architecture, where we know it.
pub(crate) fn architecture() -> Option<&'static str> {
    Some(match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "i386",
        "arm" => "armhf",
        "riscv64" => "riscv64",
        "powerpc64" => "ppc64el",
        "s390x" => "s390x",
        _ => return None,
    })
}

/// Whether a platform as Compose writes it (`linux/amd64`, `amd64`, `linux/arm64/v8`) is this machine's.
pub(crate) fn is_own_platform(platform: &str) -> bool {
    let mut parts = platform.split('/');
    let first = parts.next().unwrap_or_default();
    let name = if first == "linux" { parts.next().unwrap_or_default() } else { first };
    let own = std::env::consts::ARCH;
    name == own || Some(name) == architecture()
}

/// Whether files in the directory may be given to another user: root may, an ordinary user may not,
/// and in a user namespace it depends on the ids that are mapped. Tried, since nothing tells it.
pub(crate) fn may_change_owner(directory: &Path) -> Result<bool, ImageError> {
    let path = directory.join(format!(".owner-{}-{:?}", std::process::id(), std::thread::current().id()));
    fs::write(&path, b"").map_err(|source| ImageError::io("write", &path, source))?;
    // The highest id that recipes use besides nobody's, and a low one: both must be there.
    let outcome = [(999, 999), (65534, 65534)]
        .into_iter()
        .try_for_each(|(uid, gid)| std::os::unix::fs::lchown(&path, Some(uid), Some(gid)));
    // Nothing to be done about a probe that stays: it is empty, and swept with the other leftovers.
    let _ = fs::remove_file(&path);
    match outcome {
        Ok(()) => Ok(true),
        Err(error) if owner_refused(&error) => Ok(false),
        Err(source) => Err(ImageError::io("change the owner of", &path, source)),
    }
}

/// Whether attributes that only the machine's own root may set can be set in the directory. Tried, as an
/// overlay that is mounted without a user namespace reads those and no others.
pub(crate) fn may_set_trusted(directory: &Path) -> Result<bool, ImageError> {
    let path = directory.join(format!(".trusted-{}-{:?}", std::process::id(), std::thread::current().id()));
    fs::write(&path, b"").map_err(|source| ImageError::io("write", &path, source))?;
    let flags = rustix::fs::XattrFlags::empty();
    let outcome = rustix::fs::lsetxattr(&path, "trusted.mesh", b"y", flags);
    // As with the probe of owners.
    let _ = fs::remove_file(&path);
    Ok(outcome.is_ok())
}

/// Whether the kernel says that this process may not give files away: `EPERM`, or `EINVAL` for an id
/// that the user namespace does not map.
fn owner_refused(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read() {
        let release = Release::parse("ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n").unwrap();
        assert_eq!(
            (release.distribution(), release.codename),
            ("debian 12".to_owned(), "bookworm".to_owned())
        );
        assert_eq!(Release::parse("ID=alpine\n"), None);
    }

    #[test]
    fn the_own_platform_is_known_by_each_of_its_names() {
        let own = std::env::consts::ARCH;
        for (platform, expected) in [
            (format!("linux/{own}"), true),
            (own.to_owned(), true),
            ("linux/none".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_own_platform(&platform), expected, "{platform}");
        }
        if let Some(debian) = architecture() {
            assert!(is_own_platform(&format!("linux/{debian}/v8")));
        }
    }
}
