//! From a stream to files.

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, Timespec, Timestamps, Uid, chownat, mknodat, utimensat};
use std::{
    collections::VecDeque,
    ffi::OsString,
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io::{self, Read},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
};
use tar::{Archive, Entry, EntryType};

/// Mode of directories that no entry describes.
const PARENT_MODE: u32 = 0o755;
/// Bits of a mode that are of any meaning here.
const MODE_MASK: u32 = 0o7777;

/// Who owns what is unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owners {
    /// Whoever unpacks.
    Own,
    /// Who the stream says.
    Stream,
    /// This user and group.
    Fixed(u32, u32),
}

/// How a stream is unpacked.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Who owns what is unpacked. Owners that cannot be given are left out.
    pub owners: Owners,
    /// Bits of modes that are not taken over.
    pub mode_left_out: u32,
    /// Other names for entries.
    pub rename: Rename,
}

/// Other names for entries, of which all begin with one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Rename {
    /// Names as they are.
    #[default]
    Keep,
    /// This name in place of the first part of each.
    First(OsString),
    /// This name in front of each.
    Under(OsString),
}

/// Unpacks a stream inside of a directory that is there.
///
/// # Errors
/// The stream is broken, an entry would lie outside of the directory, a directory would become another
/// kind of file or the other way round, or something cannot be written.
pub fn unpack(stream: impl Read, directory: &Path, rules: &Rules) -> io::Result<()> {
    let root = directory.canonicalize()?;
    let mut archive = Archive::new(stream);
    // A directory's time is set once nothing more is written into it.
    let mut directories = VecDeque::new();
    for entry in archive.entries()? {
        let mut entry = entry.map_err(no_archive)?;
        let path = renamed(&entry.path()?, rules);
        if path.as_os_str().is_empty() {
            continue;
        }
        let place = inside(&root, &path)?;
        let Some(made) = place_entry(&mut entry, &place, &root, rules)? else { continue };
        finish(&entry, &place, made, rules)?;
        if made == Made::Directory {
            directories.push_front((place, entry.header().mtime()?));
        } else if made != Made::Link {
            set_time(&place, entry.header().mtime()?);
        }
    }
    for (place, seconds) in directories {
        set_time(&place, seconds);
    }
    // Whoever writes the stream writes more zeros behind its end, and is not to fail over that.
    io::copy(&mut archive.into_inner(), &mut io::sink())?;
    Ok(())
}

/// Where a header cannot be read, its bytes are not shown: they may be anything.
fn no_archive(error: io::Error) -> io::Error {
    match error.raw_os_error() {
        None => io::Error::new(error.kind(), "the stream is no tar archive, or is broken or cut off"),
        Some(_) => error,
    }
}

/// What came of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Directory,
    File,
    Symlink,
    /// Another name for what was there: it has an owner and a mode already.
    Link,
}

/// Parts of a path that lead down, under the name that they are to have.
fn renamed(path: &Path, rules: &Rules) -> PathBuf {
    let mut parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_owned()),
        _ => None,
    });
    let first = match &rules.rename {
        Rename::Keep => None,
        Rename::First(name) => parts.next().map(|_| name.clone()),
        Rename::Under(name) => Some(name.clone()),
    };
    first.into_iter().chain(parts).collect()
}

/// The place of a path below the root: its parent is made where it is missing, and must lie inside, links
/// resolved.
fn inside(root: &Path, path: &Path) -> io::Result<PathBuf> {
    let outside = || io::Error::other(format!("{} would leave the directory", path.display()));
    let (Some(name), Some(parent)) = (path.file_name(), path.parent()) else { return Err(outside()) };
    let mut at = root.to_owned();
    for part in parent.components() {
        let next = at.join(part);
        match fs::symlink_metadata(&next) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                DirBuilder::new().mode(PARENT_MODE).create(&next)?;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        at = next.canonicalize()?;
        if !at.starts_with(root) {
            return Err(outside());
        }
    }
    Ok(at.join(name))
}

/// Makes what an entry is; `None`: it is nothing that could be made here.
fn place_entry(
    entry: &mut Entry<'_, impl Read>,
    place: &Path,
    root: &Path,
    rules: &Rules,
) -> io::Result<Option<Made>> {
    let kind = entry.header().entry_type();
    make_room(place, kind.is_dir())?;
    match kind {
        EntryType::Directory => match DirBuilder::new().mode(0o700).create(place) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            _ => Ok(Some(Made::Directory)),
        },
        EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
            let mut file: File = OpenOptions::new().write(true).create_new(true).mode(0o600).open(place)?;
            io::copy(entry, &mut file)?;
            Ok(Some(Made::File))
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
            std::os::unix::fs::symlink(target, place)?;
            Ok(Some(Made::Symlink))
        }
        EntryType::Link => {
            let target = entry.link_name()?.ok_or_else(|| io::Error::other("a link without a target"))?;
            let target = inside(root, &renamed(&target, rules))?;
            // Never through a link: that of a stream may point anywhere.
            rustix::fs::linkat(CWD, &target, CWD, place, AtFlags::empty())?;
            Ok(Some(Made::Link))
        }
        EntryType::Fifo | EntryType::Char | EntryType::Block => make_node(entry, place, kind),
        _ => Ok(None),
    }
}

/// Makes a device or a pipe, where this user may.
fn make_node(entry: &Entry<'_, impl Read>, place: &Path, kind: EntryType) -> io::Result<Option<Made>> {
    let number = |part: io::Result<Option<u32>>| part.map(Option::unwrap_or_default);
    let header = entry.header();
    let device = rustix::fs::makedev(number(header.device_major())?, number(header.device_minor())?);
    let kind = match kind {
        EntryType::Fifo => FileType::Fifo,
        EntryType::Char => FileType::CharacterDevice,
        _ => FileType::BlockDevice,
    };
    match mknodat(CWD, place, kind, Mode::from_raw_mode(0o600), device) {
        Err(rustix::io::Errno::PERM) => Ok(None),
        made => made.map(|()| Some(Made::File)).map_err(Into::into),
    }
}

/// Takes away what an entry replaces.
fn make_room(place: &Path, for_directory: bool) -> io::Result<()> {
    let found = match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        found => found?,
    };
    let refused = |what: &str, by: &str| {
        Err(io::Error::other(format!("cannot overwrite {what} \"{}\" with {by}", place.display())))
    };
    match (found.is_dir(), for_directory) {
        (true, true) => Ok(()),
        (true, false) => refused("directory", "non-directory"),
        (false, true) => refused("non-directory", "directory"),
        (false, false) => fs::remove_file(place),
    }
}

/// Gives what was made its owner and mode, in this order: a change of owner takes bits away.
fn finish(entry: &Entry<'_, impl Read>, place: &Path, made: Made, rules: &Rules) -> io::Result<()> {
    if made == Made::Link {
        return Ok(());
    }
    let header = entry.header();
    let id = |number: io::Result<u64>| number.map(|number| u32::try_from(number).unwrap_or(0));
    let owner = match rules.owners {
        Owners::Own => None,
        Owners::Stream => Some((id(header.uid())?, id(header.gid())?)),
        Owners::Fixed(uid, gid) => Some((uid, gid)),
    };
    if let Some((uid, gid)) = owner {
        let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        // Not every user may give files away, and not every namespace has every id.
        let _ = chownat(CWD, place, uid, gid, AtFlags::SYMLINK_NOFOLLOW);
    }
    if made != Made::Symlink {
        let mode = header.mode()? & MODE_MASK & !rules.mode_left_out;
        fs::set_permissions(place, Permissions::from_mode(mode))?;
    }
    Ok(())
}

/// That a time cannot be set is no reason not to have the file.
fn set_time(place: &Path, seconds: u64) {
    let time = Timespec { tv_sec: i64::try_from(seconds).unwrap_or(0), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    let _ = utimensat(CWD, place, &times, AtFlags::SYMLINK_NOFOLLOW);
}
