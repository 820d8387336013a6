//! Paths inside of a container's root, whatever links they cross.

use crate::failure::{Attempt as _, Failure};
use rustix::{
    fs::{Mode, OFlags, ResolveFlags, mkdirat, openat, openat2, readlinkat},
    io::Errno,
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _},
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::Path,
};

/// Links that are followed on one path.
const LINKS_MAX: usize = 40;

/// A root directory. No path resolved through it leaves it.
pub(crate) struct Root(OwnedFd);

/// What a path that is not there is made as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    Directory,
    File,
}

impl Root {
    /// Opens a directory as a root.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = rustix::fs::open(path, flags, Mode::empty());
        opened.map(Self).attempt(|| format!("open {}", path.display()))
    }

    /// Opens what is at `path`, as the container would see it.
    pub(crate) fn find(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.is_empty() { "." } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.0, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Reads a regular file of at most `bytes_max`.
    pub(crate) fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        // Not blocking: a pipe of that name has no say in when we go on.
        let file = File::from(self.find(path, OFlags::RDONLY | OFlags::NONBLOCK)?);
        let status = file.metadata()?;
        if !status.is_file() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let room = usize::try_from(status.len()).map_or(bytes_max, |bytes| bytes.min(bytes_max));
        let mut bytes = Vec::with_capacity(room + 1);
        file.take(bytes_max as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// An open path to `path`; what is missing of it is made, with directories of mode 0755.
    pub(crate) fn ensure(&self, path: &str, missing: Missing) -> Result<OwnedFd, Failure> {
        self.ensure_inner(path, missing).attempt(|| format!("make {path} in the container"))
    }

    fn ensure_inner(&self, path: &str, missing: Missing) -> Result<OwnedFd, Errno> {
        let mut rest: VecDeque<String> = parts(path).collect();
        let mut done = ".".to_owned();
        let mut found = self.find(".", OFlags::PATH)?;
        let mut links = 0;
        while let Some(part) = rest.pop_front() {
            let next = format!("{done}/{part}");
            match self.find(&next, OFlags::PATH) {
                Ok(descriptor) => {
                    (found, done) = (descriptor, next);
                    continue;
                }
                Err(Errno::NOENT) => {}
                Err(errno) => return Err(errno),
            }
            let kind = if rest.is_empty() { missing } else { Missing::Directory };
            match make(found.as_fd(), &part, kind) {
                Ok(()) => rest.push_front(part),
                // Something is there and leads nowhere: a link to what is to be made.
                Err(Errno::EXIST) => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(Errno::LOOP);
                    }
                    let target = readlinkat(&found, part.as_str(), Vec::new())?;
                    let target = target.to_str().map_err(|_| Errno::ILSEQ)?;
                    if target.starts_with('/') {
                        done = ".".to_owned();
                        found = self.find(".", OFlags::PATH)?;
                    }
                    for part in parts(target).rev() {
                        rest.push_front(part);
                    }
                }
                Err(errno) => return Err(errno),
            }
        }
        Ok(found)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn parts(path: &str) -> impl DoubleEndedIterator<Item = String> + '_ {
    path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned)
}

fn make(parent: BorrowedFd<'_>, name: &str, kind: Missing) -> Result<(), Errno> {
    match kind {
        Missing::Directory => mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Missing::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
            openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink};

    #[test]
    fn what_is_made_is_inside() {
        let outer = tempfile::tempdir().unwrap();
        let inside = outer.path().join("root");
        fs::create_dir_all(inside.join("real")).unwrap();
        symlink("/absent/deep", inside.join("dangling")).unwrap();
        symlink("../../../..", inside.join("up")).unwrap();
        symlink("loop", inside.join("loop")).unwrap();
        symlink("real", inside.join("relative")).unwrap();
        let root = Root::open(&inside).unwrap();
        for path in ["/a/b", "dangling/c", "up/d", "relative/e", "../../f", "real/../g"] {
            root.ensure(path, Missing::Directory).unwrap();
        }
        for made in ["a/b", "absent/deep/c", "d", "real/e", "f", "g"] {
            assert!(inside.join(made).is_dir(), "{made}");
        }
        assert!(root.ensure("loop/x", Missing::File).is_err());
        root.ensure("/etc/file", Missing::File).unwrap();
        assert!(inside.join("etc/file").is_file());
        assert_eq!(fs::read_dir(outer.path()).unwrap().count(), 1);
        assert!(root.read("a", 10).is_err());
    }
}
