//! Writing a layer's files below its own root and nowhere else.
//!
//! Every parent is opened by the kernel with the layer as its root (`RESOLVE_IN_ROOT`), so that a link on
//! the way leads within the layer whatever it says, and what is made, replaced or linked is named
//! relative to that open parent, its last part never followed.
//!
//! Invariants: a character device 0:0, which marks a deletion in an overlay, is made for a deletion only
//! and is never a hard link's target; directories get their mode and time last, the deepest first.

use super::error::LayerError;
use rustix::{
    fs::{
        AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Stat, Timespec, Timestamps, UTIME_OMIT, mkdirat,
        mknodat, openat, openat2, readlinkat, renameat_with, statat, unlinkat, utimensat,
    },
    io::Errno,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ffi::{OsStr, OsString},
    fs::File,
    io,
    os::{
        fd::{AsFd, AsRawFd as _, OwnedFd},
        unix::ffi::{OsStrExt as _, OsStringExt as _},
    },
    path::{Path, PathBuf},
};

/// Links followed on the way to one file, as many as the kernel does.
const LINKS_MAX: u32 = 40;
/// Highest numbers of a device that the kernel knows.
const DEVICE_MAJOR_MAX: u32 = 0xfff;
const DEVICE_MINOR_MAX: u32 = 0xf_ffff;
/// Directories below each other.
pub(super) const DEPTH_MAX: usize = 200;
/// Bytes of the paths that are remembered until the end.
const REMEMBERED_BYTES_MAX: usize = 128 << 20;

/// What this process may do to a layer's files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Abilities {
    /// Files can be given to other users.
    pub(crate) owners_kept: bool,
    /// Attributes that only the machine's root may set mark directories that hide what lies below;
    /// without them those of users do.
    pub(crate) trusted: bool,
}

impl Abilities {
    pub(super) fn opaque_name(self) -> &'static str {
        if self.trusted { "trusted.overlay.opaque" } else { "user.overlay.opaque" }
    }
}

/// Owner, mode and time of a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Status {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) modified: (i64, u32),
}

/// A layer's directory while it is filled.
pub(super) struct Root {
    descriptor: OwnedFd,
    path: PathBuf,
    abilities: Abilities,
    /// The parent used last, by the path it was asked for by.
    last: Option<(PathBuf, OwnedFd)>,
    /// Mode and time of the directories that the archive has.
    directories: BTreeMap<PathBuf, (u32, (i64, u32))>,
    /// Directories that it does not have and that were made for what lies in them.
    implicit: BTreeSet<PathBuf>,
    /// Directories that hide what lies below them; the root is the empty path.
    opaque: BTreeSet<PathBuf>,
    whiteouts: BTreeSet<PathBuf>,
    remembered: usize,
}

/// What a filled layer is known for besides its files.
#[derive(Debug, Default)]
pub(super) struct Finished {
    /// It hides every layer below it.
    pub(super) hides_all: bool,
    /// Directories whose owner and mode only a lower layer knows.
    pub(super) implicit: Vec<PathBuf>,
}

/// A place in the layer: an open directory and a name in it.
pub(super) struct Place {
    parent: OwnedFd,
    name: OsString,
}

impl Root {
    pub(super) fn open(path: &Path, abilities: Abilities) -> Result<Self, LayerError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let write = |source: Errno| LayerError::Write { path: path.to_owned(), source: source.into() };
        let path =
            path.canonicalize().map_err(|source| LayerError::Write { path: path.to_owned(), source })?;
        let descriptor = rustix::fs::open(&path, flags, Mode::empty()).map_err(write)?;
        Ok(Self {
            descriptor,
            path,
            abilities,
            last: None,
            directories: BTreeMap::new(),
            implicit: BTreeSet::new(),
            opaque: BTreeSet::new(),
            whiteouts: BTreeSet::new(),
            remembered: 0,
        })
    }

    /// Where an entry belongs, its parents made; `None`: it is the root itself.
    pub(super) fn place(&mut self, path: &[u8]) -> Result<Option<Place>, LayerError> {
        let parts = parts(path)?;
        let Some((name, parents)) = parts.split_last() else { return Ok(None) };
        let parent = self.parent(parents, path)?;
        Ok(Some(Place { parent, name: (*name).to_owned() }))
    }

    /// What is at a place, if anything is.
    pub(super) fn found(&self, place: &Place) -> Result<Option<Stat>, LayerError> {
        match statat(&place.parent, &place.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed(place, errno)),
        }
    }

    /// Makes an empty file at a place, in place of what is there.
    pub(super) fn create(&mut self, place: &Place) -> Result<File, LayerError> {
        self.clear(place)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&place.parent, &place.name, flags, Mode::from_raw_mode(0o600));
        made.map(File::from).map_err(|errno| self.failed(place, errno))
    }

    /// Makes a directory, or keeps the one that is there; gives it open.
    pub(super) fn directory(&mut self, place: &Place, status: Status) -> Result<OwnedFd, LayerError> {
        let found = self.found(place)?;
        let deleted = found.as_ref().is_some_and(is_whiteout);
        if !found.as_ref().is_some_and(is_directory) {
            self.clear(place)?;
            let made = mkdirat(&place.parent, &place.name, Mode::from_raw_mode(0o755));
            made.map_err(|errno| self.failed(place, errno))?;
        }
        let opened = self.enter(place)?;
        let path = self.canonical(&opened)?;
        if deleted {
            // What is deleted below must not show through the directory that takes its place.
            self.hide_below(&opened, path.clone())?;
        }
        self.implicit.remove(&path);
        self.remember(&path)?;
        self.directories.insert(path, (status.mode, status.modified));
        Ok(opened)
    }

    /// Mode and time of the layer's own root.
    pub(super) fn own_status(&mut self, status: Status) -> Result<OwnedFd, LayerError> {
        self.directories.insert(PathBuf::new(), (status.mode, status.modified));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(&self.descriptor, ".", flags, Mode::empty())
            .map_err(|errno| LayerError::Write { path: self.path.clone(), source: errno.into() })
    }

    /// Makes a symbolic link in place of what is there.
    pub(super) fn symlink(&mut self, place: &Place, target: &[u8]) -> Result<(), LayerError> {
        self.clear(place)?;
        let made = rustix::fs::symlinkat(OsStr::from_bytes(target), &place.parent, &place.name);
        made.map_err(|errno| self.failed(place, errno))
    }

    /// Makes a named pipe in place of what is there.
    pub(super) fn fifo(&mut self, place: &Place) -> Result<(), LayerError> {
        self.clear(place)?;
        let made = mknodat(&place.parent, &place.name, FileType::Fifo, Mode::from_raw_mode(0o600), 0);
        made.map_err(|errno| self.failed(place, errno))
    }

    /// Makes a device file in place of what is there; `false` where this user may not, or where it is none that the
    /// kernel knows.
    pub(super) fn device(
        &mut self,
        place: &Place,
        kind: FileType,
        (major, minor): (u32, u32),
    ) -> Result<bool, LayerError> {
        // Only a layer with its own owners is seen by its root alone.
        if !self.abilities.owners_kept || major > DEVICE_MAJOR_MAX || minor > DEVICE_MINOR_MAX {
            return Ok(false);
        }
        self.clear(place)?;
        let device = rustix::fs::makedev(major, minor);
        match mknodat(&place.parent, &place.name, kind, Mode::from_raw_mode(0o600), device) {
            Ok(()) => Ok(true),
            Err(Errno::PERM) => Ok(false),
            Err(errno) => Err(self.failed(place, errno)),
        }
    }

    /// Makes another name for a file of this layer; `false` where there is no such file.
    pub(super) fn hard_link(&mut self, place: &Place, target: &[u8]) -> Result<bool, LayerError> {
        let parts = parts(target)?;
        let Some((name, parents)) = parts.split_last() else { return Ok(false) };
        let Ok(parent) = self.find(&joined(parents)) else { return Ok(false) };
        let from = Place { parent, name: (*name).to_owned() };
        let Some(stat) = self.found(&from)? else { return Ok(false) };
        if is_directory(&stat) || is_whiteout(&stat) {
            return Ok(false);
        }
        if self.found(place)?.is_some_and(|own| (own.st_dev, own.st_ino) == (stat.st_dev, stat.st_ino)) {
            return Ok(true);
        }
        self.clear(place)?;
        // Without AT_SYMLINK_FOLLOW: a link is given another name, what it leads to is not.
        let made = rustix::fs::linkat(&from.parent, &from.name, &place.parent, &place.name, AtFlags::empty());
        made.map(|()| true).map_err(|errno| self.failed(place, errno))
    }

    /// Marks a name as deleted below. What this layer has of that name stays, and hides it.
    pub(super) fn whiteout(&mut self, place: &Place) -> Result<(), LayerError> {
        match self.found(place)? {
            Some(stat) if is_directory(&stat) => {
                let opened = self.enter(place)?;
                let path = self.canonical(&opened)?;
                return self.hide_below(&opened, path);
            }
            Some(_) => return Ok(()),
            None => {}
        }
        let made = mknodat(&place.parent, &place.name, FileType::CharacterDevice, Mode::empty(), 0);
        if let Err(errno) = made {
            self.whiteout_by_rename(place).map_err(|_| LayerError::Whiteout {
                path: place.name.to_string_lossy().into_owned(),
                source: errno.into(),
            })?;
        }
        let path = self.canonical(&place.parent)?.join(&place.name);
        self.remember(&path)?;
        self.whiteouts.insert(path);
        Ok(())
    }

    /// Where device files may not be made the kernel still leaves the mark itself behind a rename.
    fn whiteout_by_rename(&self, place: &Place) -> Result<(), Errno> {
        let other = OsString::from_vec([b".mesh-moved-", place.name.as_bytes()].concat());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        drop(openat(&place.parent, &place.name, flags, Mode::from_raw_mode(0o600))?);
        let flags = rustix::fs::RenameFlags::WHITEOUT;
        let renamed = renameat_with(&place.parent, &place.name, &place.parent, &other, flags);
        let left = if renamed.is_ok() { &other } else { &place.name };
        unlinkat(&place.parent, left, AtFlags::empty())?;
        renamed
    }

    /// Marks the directory that holds a place: nothing of it shows from below.
    pub(super) fn hide_below_parent(&mut self, place: &Place) -> Result<(), LayerError> {
        let path = self.canonical(&place.parent)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(&place.parent, ".", flags, Mode::empty());
        let opened = opened.map_err(|errno| self.failed(place, errno))?;
        self.hide_below(&opened, path)
    }

    fn hide_below(&mut self, opened: &OwnedFd, path: PathBuf) -> Result<(), LayerError> {
        if !path.as_os_str().is_empty() {
            let flags = rustix::fs::XattrFlags::empty();
            rustix::fs::fsetxattr(opened, self.abilities.opaque_name(), b"y", flags).map_err(|errno| {
                LayerError::Whiteout { path: path.display().to_string(), source: errno.into() }
            })?;
        }
        self.remember(&path)?;
        self.opaque.insert(path);
        Ok(())
    }

    /// Gives what is open its owner, mode, attributes and time, in that order: an owner clears modes, and
    /// both clear capabilities. A directory's mode and time come at the end, see [`Root::finish`].
    pub(super) fn own(&self, file: impl AsFd, status: Status) -> Result<(), Errno> {
        match self.abilities.owners_kept {
            true => rustix::fs::fchown(file, Some(uid(status.uid)), Some(gid(status.gid))),
            false => Ok(()),
        }
    }

    /// The same for a link or a pipe, by its place.
    pub(super) fn set(&self, place: &Place, status: Status, with_mode: bool) -> Result<(), Errno> {
        if self.abilities.owners_kept {
            let (user, group) = (Some(uid(status.uid)), Some(gid(status.gid)));
            rustix::fs::chownat(&place.parent, &place.name, user, group, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        if with_mode {
            let mode = Mode::from_raw_mode(status.mode);
            rustix::fs::chmodat(&place.parent, &place.name, mode, AtFlags::empty())?;
        }
        utimensat(&place.parent, &place.name, &times(status.modified), AtFlags::SYMLINK_NOFOLLOW)
    }

    /// Sets what was put off: modes and times of directories, the deepest first; and removes marks of
    /// deletion where nothing lies below any more.
    pub(super) fn finish(mut self) -> Result<Finished, LayerError> {
        for path in std::mem::take(&mut self.whiteouts) {
            let hidden = path.ancestors().skip(1).any(|above| self.opaque.contains(above));
            let Some((parent, name)) = path.parent().zip(path.file_name()) else { continue };
            if let (true, Ok(parent)) = (hidden, self.find(parent)) {
                let place = Place { parent, name: name.to_owned() };
                if self.found(&place)?.as_ref().is_some_and(is_whiteout) {
                    unlinkat(&place.parent, &place.name, AtFlags::empty())
                        .map_err(|errno| self.failed(&place, errno))?;
                }
            }
        }
        for (path, &(mode, modified)) in self.directories.iter().rev() {
            let at = if path.as_os_str().is_empty() { Path::new(".") } else { path };
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
            let set = || -> Result<(), Errno> {
                let opened = openat2(&self.descriptor, at, flags, Mode::empty(), resolve)?;
                rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode))?;
                rustix::fs::futimens(&opened, &times(modified))
            };
            match set() {
                // A later entry took its place.
                Ok(()) | Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                Err(errno) => {
                    return Err(LayerError::Write { path: self.path.join(path), source: errno.into() });
                }
            }
        }
        let hides_all = self.opaque.contains(Path::new(""));
        Ok(Finished { hides_all, implicit: self.implicit.into_iter().collect() })
    }

    /// What is meant by a place, for messages.
    pub(super) fn failed(&self, place: &Place, errno: Errno) -> LayerError {
        let parent = self.canonical(&place.parent).unwrap_or_default();
        LayerError::Write { path: self.path.join(parent).join(&place.name), source: errno.into() }
    }

    /// Removes what is at a place.
    fn clear(&mut self, place: &Place) -> Result<(), LayerError> {
        let Some(stat) = self.found(place)? else { return Ok(()) };
        // Where a parent is may be another place from now on.
        self.last = None;
        if !is_directory(&stat) {
            return unlinkat(&place.parent, &place.name, AtFlags::empty())
                .map_err(|errno| self.failed(place, errno));
        }
        let path = self.canonical(&place.parent)?.join(&place.name);
        let inside = |known: &&PathBuf| known.starts_with(&path);
        let known = self.directories.range(path.clone()..).map(|(known, _)| known);
        for gone in known.take_while(inside).cloned().collect::<Vec<_>>() {
            self.directories.remove(&gone);
        }
        for set in [&mut self.implicit, &mut self.opaque, &mut self.whiteouts] {
            for gone in set.range(path.clone()..).take_while(inside).cloned().collect::<Vec<_>>() {
                set.remove(&gone);
            }
        }
        // Its own path has no link in it, and nobody else writes here.
        let whole = self.path.join(&path);
        std::fs::remove_dir_all(&whole).map_err(|source| LayerError::Write { path: whole, source })
    }

    fn enter(&self, place: &Place) -> Result<OwnedFd, LayerError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        openat(&place.parent, &place.name, flags, Mode::empty()).map_err(|errno| self.failed(place, errno))
    }

    /// The open parent of an entry, made where it is not there.
    fn parent(&mut self, parents: &[&OsStr], shown: &[u8]) -> Result<OwnedFd, LayerError> {
        let path = joined(parents);
        if let Some((last, descriptor)) = &self.last
            && *last == path
        {
            return descriptor.try_clone().map_err(|source| LayerError::Write { path, source });
        }
        let opened = match self.find(&path) {
            Err(Errno::NOENT | Errno::NOTDIR) => self.make(&path, shown)?,
            Err(Errno::LOOP) => return Err(LayerError::LinkDepth { path: text(shown) }),
            Err(errno) => return Err(LayerError::Write { path: self.path.join(path), source: errno.into() }),
            Ok(opened) => opened,
        };
        let kept = opened.try_clone().map_err(|source| LayerError::Write { path: path.clone(), source })?;
        self.last = Some((path, kept));
        Ok(opened)
    }

    /// Opens a directory of the layer as the layer sees it.
    fn find(&self, path: &Path) -> Result<OwnedFd, Errno> {
        self.resolve(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    fn resolve(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        openat2(&self.descriptor, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    /// Walks to a directory and makes what is missing, behind links too.
    fn make(&mut self, path: &Path, shown: &[u8]) -> Result<OwnedFd, LayerError> {
        let wrong = |errno: Errno| match errno {
            Errno::LOOP => LayerError::LinkDepth { path: text(shown) },
            errno => LayerError::Write { path: PathBuf::from(text(shown)), source: errno.into() },
        };
        let mut rest: VecDeque<OsString> = path.iter().map(OsStr::to_owned).collect();
        let (mut done, mut links) = (PathBuf::from("."), 0);
        let mut found = self.find(&done).map_err(wrong)?;
        while let Some(part) = rest.pop_front() {
            let next = done.join(&part);
            match self.find(&next) {
                Ok(descriptor) => {
                    (found, done) = (descriptor, next);
                    continue;
                }
                Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(errno) => return Err(wrong(errno)),
            }
            let place = Place { parent: found, name: part };
            match self.found(&place)? {
                None => self.make_implicit(&place, shown, false)?,
                Some(stat) if is_whiteout(&stat) => {
                    self.clear(&place)?;
                    self.make_implicit(&place, shown, true)?;
                }
                Some(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                    links += 1;
                    if links > LINKS_MAX {
                        return Err(LayerError::LinkDepth { path: text(shown) });
                    }
                    let target = readlinkat(&place.parent, &place.name, Vec::new()).map_err(wrong)?;
                    let target = PathBuf::from(OsString::from_vec(target.into_bytes()));
                    if target.is_absolute() {
                        done = PathBuf::from(".");
                    }
                    let steps = target.iter().filter(|step| *step != "/" && *step != ".");
                    steps.rev().for_each(|step| rest.push_front(step.to_owned()));
                    found = self.find(&done).map_err(wrong)?;
                    continue;
                }
                Some(_) => return Err(LayerError::NoDirectory { path: text(shown) }),
            }
            rest.push_front(place.name);
            found = place.parent;
        }
        Ok(found)
    }

    fn make_implicit(&mut self, place: &Place, shown: &[u8], hides: bool) -> Result<(), LayerError> {
        let path = self.canonical(&place.parent)?.join(&place.name);
        if path.iter().count() > DEPTH_MAX {
            return Err(too_deep(shown));
        }
        mkdirat(&place.parent, &place.name, Mode::from_raw_mode(0o755))
            .map_err(|errno| self.failed(place, errno))?;
        let opened = self.enter(place)?;
        // Whatever the process's mask is.
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(0o755)).map_err(|errno| self.failed(place, errno))?;
        if hides {
            self.hide_below(&opened, path.clone())?;
        }
        self.remember(&path)?;
        self.implicit.insert(path);
        Ok(())
    }

    /// The path of an open directory of the layer, without links, relative to the layer.
    fn canonical(&self, opened: &OwnedFd) -> Result<PathBuf, LayerError> {
        let name = format!("/proc/self/fd/{}", opened.as_raw_fd());
        let wrong = |source| LayerError::Write { path: self.path.clone(), source };
        let path = readlinkat(CWD, name, Vec::new()).map_err(|errno| wrong(errno.into()))?;
        let path = PathBuf::from(OsString::from_vec(path.into_bytes()));
        let inside = path.strip_prefix(&self.path).map(Path::to_owned);
        let inside = inside.map_err(|_| wrong(io::Error::other("a directory of it is somewhere else")))?;
        match inside.iter().count() > DEPTH_MAX {
            true => Err(too_deep(inside.as_os_str().as_bytes())),
            false => Ok(inside),
        }
    }

    /// Counts what is kept in memory until the end.
    fn remember(&mut self, path: &Path) -> Result<(), LayerError> {
        self.remembered += path.as_os_str().len() + size_of::<PathBuf>();
        match self.remembered > REMEMBERED_BYTES_MAX {
            true => Err(LayerError::Broken { why: "more directories than a layer has" }),
            false => Ok(()),
        }
    }
}

impl Place {
    /// A path for calls that take no directory: through the open parent, its last part a name in it.
    pub(super) fn through(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.parent.as_raw_fd())).join(&self.name)
    }

    /// Its name in its directory.
    pub(super) fn name(&self) -> &[u8] {
        self.name.as_bytes()
    }

    /// Another name in the same directory.
    pub(super) fn renamed(self, name: &[u8]) -> Self {
        Self { parent: self.parent, name: OsStr::from_bytes(name).to_owned() }
    }
}

/// A path of the archive in its parts; one that climbs is refused.
fn parts(path: &[u8]) -> Result<Vec<&OsStr>, LayerError> {
    let mut parts = Vec::new();
    for part in path.split(|&byte| byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => return Err(LayerError::Escape { path: text(path) }),
            part => parts.push(OsStr::from_bytes(part)),
        }
    }
    if parts.len() > DEPTH_MAX { Err(too_deep(path)) } else { Ok(parts) }
}

fn joined(parts: &[&OsStr]) -> PathBuf {
    parts.iter().collect()
}

fn too_deep(path: &[u8]) -> LayerError {
    LayerError::TooDeep { path: text(&path[..path.len().min(80)]), limit: DEPTH_MAX }
}

fn text(path: &[u8]) -> String {
    String::from_utf8_lossy(path).into_owned()
}

fn is_directory(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Whether it is the mark of a deletion.
fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

fn uid(number: u32) -> rustix::fs::Uid {
    rustix::fs::Uid::from_raw(number)
}

fn gid(number: u32) -> rustix::fs::Gid {
    rustix::fs::Gid::from_raw(number)
}

/// The time a file was changed, its time of access left alone.
pub(super) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    let changed = Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    Timestamps { last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }, last_modification: changed }
}
