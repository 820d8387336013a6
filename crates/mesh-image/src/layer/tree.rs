//! Writing files below a root and nowhere else.
//!
//! Every parent is walked from the root, and a link on the way is followed within the root: an
//! absolute link of a package points into the layer, never into this machine.

use crate::error::UnpackError;
use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    io::{self, Read},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

/// A layer's files while they are written; several threads may write at once.
#[derive(Debug)]
pub(crate) struct Tree {
    root: PathBuf,
    owners_kept: bool,
    bytes: AtomicU64,
    /// Directories already walked, with where they are.
    walked: Mutex<HashMap<String, PathBuf>>,
    /// Directories' attributes, set at the end: a directory without write permission takes no files.
    directories: Mutex<BTreeMap<PathBuf, Attributes>>,
}

/// Owner, mode and time of a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Attributes {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    /// Seconds since 1970.
    pub(crate) modified: u64,
}

impl Attributes {
    pub(crate) fn new((uid, gid): (u32, u32), mode: u32) -> Self {
        Self { uid, gid, mode, modified: 0 }
    }
}

/// Most bytes of one layer.
const LAYER_BYTES_MAX: u64 = 16 << 30;
/// Links followed on the way to one file, as many as the kernel does.
const LINKS_MAX: u32 = 40;

impl Tree {
    pub(crate) fn new(root: &Path, owners_kept: bool) -> Self {
        Self {
            root: root.to_owned(),
            owners_kept,
            bytes: AtomicU64::new(0),
            walked: Mutex::default(),
            directories: Mutex::default(),
        }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Bytes of the files written so far.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Writes a regular file in place of what is there.
    pub(crate) fn file(
        &self,
        path: &str,
        content: &mut dyn Read,
        attributes: Attributes,
    ) -> Result<(), UnpackError> {
        let at = self.locate(path)?;
        let write = |source| UnpackError::Write { path: at.clone(), source };
        remove_file(&at).map_err(write)?;
        let mut file =
            fs::File::options().write(true).create_new(true).mode(0o600).open(&at).map_err(write)?;
        let left = LAYER_BYTES_MAX.saturating_sub(self.bytes());
        let written = io::copy(&mut content.take(left + 1), &mut file).map_err(write)?;
        if written > left {
            return Err(UnpackError::TooLarge { limit: LAYER_BYTES_MAX });
        }
        self.bytes.fetch_add(written, Ordering::Relaxed);
        self.own(&at, attributes).map_err(write)?;
        file.set_permissions(fs::Permissions::from_mode(attributes.mode)).map_err(write)?;
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(attributes.modified);
        file.set_modified(modified).map_err(write)
    }

    /// Makes a directory; its attributes are set by [`Tree::finish`].
    pub(crate) fn directory(&self, path: &str, attributes: Attributes) -> Result<(), UnpackError> {
        let at = self.walk(path)?;
        lock(&self.directories).insert(at, attributes);
        Ok(())
    }

    /// Makes a symbolic link in place of what is there; a directory that is there stays.
    pub(crate) fn link(&self, path: &str, target: &str) -> Result<(), UnpackError> {
        let at = self.locate(path)?;
        let write = |source| UnpackError::Write { path: at.clone(), source };
        if at.symlink_metadata().is_ok_and(|data| data.is_dir()) {
            return Ok(());
        }
        remove_file(&at).map_err(write)?;
        symlink(target, &at).map_err(write)
    }

    /// Makes another name for a file of this layer.
    pub(crate) fn hard_link(&self, path: &str, existing: &str) -> Result<(), UnpackError> {
        let (at, from) = (self.locate(path)?, self.locate(existing)?);
        let write = |source| UnpackError::Write { path: at.clone(), source };
        remove_file(&at).map_err(write)?;
        fs::hard_link(&from, &at).map_err(write)
    }

    /// Sets the attributes of directories, the deepest first.
    pub(crate) fn finish(&self) -> Result<(), UnpackError> {
        for (at, &attributes) in lock(&self.directories).iter().rev() {
            let write = |source| UnpackError::Write { path: at.clone(), source };
            self.own(at, attributes).map_err(write)?;
            fs::set_permissions(at, fs::Permissions::from_mode(attributes.mode)).map_err(write)?;
        }
        Ok(())
    }

    /// Gives a file its owner, where this process may. Done before the mode, which it would clear.
    fn own(&self, at: &Path, attributes: Attributes) -> io::Result<()> {
        if self.owners_kept { lchown(at, Some(attributes.uid), Some(attributes.gid)) } else { Ok(()) }
    }

    /// Where a file belongs, its parent made.
    fn locate(&self, path: &str) -> Result<PathBuf, UnpackError> {
        match path.rsplit_once('/') {
            Some((parent, name)) => Ok(self.walk(parent)?.join(name)),
            None => Ok(self.root.join(path)),
        }
    }

    /// Walks to a directory from the root, making what is missing and following links within the root.
    fn walk(&self, path: &str) -> Result<PathBuf, UnpackError> {
        if let Some(at) = lock(&self.walked).get(path) {
            return Ok(at.clone());
        }
        let mut left: VecDeque<String> = path.split('/').map(str::to_owned).collect();
        let mut stack: Vec<String> = Vec::new();
        let mut links = 0;
        while let Some(part) = left.pop_front() {
            match part.as_str() {
                "" | "." => continue,
                ".." => {
                    stack.pop();
                    continue;
                }
                _ => {}
            }
            let at = self.at(&stack).join(&part);
            let write = |source| UnpackError::Write { path: at.clone(), source };
            match at.symlink_metadata() {
                Ok(data) if data.is_dir() => stack.push(part),
                Ok(data) if data.is_symlink() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(UnpackError::LinkDepth { path: path.to_owned() });
                    }
                    let target = fs::read_link(&at).map_err(write)?.to_string_lossy().into_owned();
                    if target.starts_with('/') {
                        stack.clear();
                    }
                    for step in target.split('/').rev() {
                        left.push_front(step.to_owned());
                    }
                }
                Ok(_) => return Err(write(io::ErrorKind::NotADirectory.into())),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    make_directory(&at).map_err(write)?;
                    stack.push(part);
                }
                Err(source) => return Err(write(source)),
            }
        }
        let at = self.at(&stack);
        lock(&self.walked).insert(path.to_owned(), at.clone());
        Ok(at)
    }

    fn at(&self, stack: &[String]) -> PathBuf {
        stack.iter().fold(self.root.clone(), |path, part| path.join(part))
    }
}

/// A panic of another thread fails the layer anyway; what it left in the map is whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a directory of the usual mode whatever the process's mask is; another thread may be first.
fn make_directory(at: &Path) -> io::Result<()> {
    match fs::create_dir(at) {
        Ok(()) => fs::set_permissions(at, fs::Permissions::from_mode(0o755)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_file(at: &Path) -> io::Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed_within_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let outside = directory.path().join("outside");
        let root = directory.path().join("root");
        fs::create_dir_all(&outside).unwrap();
        fs::create_dir_all(&root).unwrap();
        let tree = Tree::new(&root, false);
        let plain = Attributes::new((0, 0), 0o644);
        tree.link("absolute", outside.to_str().unwrap()).unwrap();
        tree.file("absolute/a", &mut &b"a"[..], plain).unwrap();
        tree.link("climbing", "../../../../..").unwrap();
        tree.file("climbing/b", &mut &b"bc"[..], plain).unwrap();
        assert!(fs::read_dir(&outside).unwrap().next().is_none());
        assert!(root.join("b").exists() && root.join(outside.strip_prefix("/").unwrap()).join("a").exists());
        assert_eq!(tree.bytes(), 3);
        tree.link("circle", "circle").unwrap();
        assert!(matches!(tree.file("circle/c", &mut &b""[..], plain), Err(UnpackError::LinkDepth { .. })));
    }

    #[test]
    fn a_link_of_the_same_name_is_replaced_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let victim = directory.path().join("victim");
        fs::write(&victim, "old").unwrap();
        let root = directory.path().join("root");
        fs::create_dir(&root).unwrap();
        let tree = Tree::new(&root, false);
        tree.link("etc/x", victim.to_str().unwrap()).unwrap();
        tree.file("etc/x", &mut &b"new"[..], Attributes::new((0, 0), 0o640)).unwrap();
        tree.hard_link("etc/y", "etc/x").unwrap();
        tree.directory("closed", Attributes::new((0, 0), 0o500)).unwrap();
        tree.file("closed/z", &mut &b""[..], Attributes::new((0, 0), 0o644)).unwrap();
        tree.finish().unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), "old");
        assert_eq!(fs::read_to_string(root.join("etc/y")).unwrap(), "new");
        let mode = |path: &str| fs::metadata(root.join(path)).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode("etc/x"), mode("closed")), (0o640, 0o500));
    }
}
