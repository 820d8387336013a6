//! A layer of an image to a directory that an overlay takes as it is: deletions are the overlay's own
//! marks, so that layers stay apart and images share them.
//!
//! What is left out: device files where this user may not make them, and those with the numbers 0:0, which are an
//! overlay's own marks; and extended attributes of other kinds than users', access lists and file capabilities. A device
//! file of an image is there and opens nothing: containers' roots are mounted without devices.

use super::{
    error::LayerError,
    root::{Abilities, Finished, Place, Root, Status, times},
    stream::{Limits, Stream},
    tape::{Entry, Kind, Tape},
};
use mesh_oci::digest::Digest;
use rustix::{
    fs::{FileType, XattrFlags},
    io::Errno,
};
use std::{
    fs::File,
    io::{Read, Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// Most headers of one layer.
const HEADERS_MAX: u64 = 2_000_000;
/// Bytes of a file that are moved at once.
const BUFFER_BYTES: usize = 256 << 10;
/// Entries between two looks whether somebody still waits.
const ENTRIES_BETWEEN_CHECKS: u64 = 256;
/// Before the name of what is deleted below.
const WHITEOUT: &[u8] = b".wh.";
/// A name that hides everything below its directory.
const OPAQUE: &[u8] = b".wh..wh..opq";
/// Before names that are a file system's own notes.
const NOTES: &[u8] = b".wh..wh.";

/// What was unpacked.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    /// Bytes of its files.
    pub(crate) bytes: u64,
    /// It hides every layer below it.
    pub(crate) hides_all: bool,
    /// Directories whose owner and mode only a lower layer knows.
    pub(crate) implicit: Vec<std::path::PathBuf>,
}

/// Unpacks the archive that is read from `source` into the empty directory `into`. It must come out as
/// `expected` says. `go_on` is asked from time to time.
pub(crate) fn unpack(
    source: impl Read,
    expected: &Digest,
    into: &Path,
    abilities: Abilities,
    go_on: &dyn Fn() -> bool,
) -> Result<Unpacked, LayerError> {
    unpack_within(source, Some(expected), into, abilities, go_on, Limits::default())
}

fn unpack_within(
    source: impl Read,
    expected: Option<&Digest>,
    into: &Path,
    abilities: Abilities,
    go_on: &dyn Fn() -> bool,
    limits: Limits,
) -> Result<Unpacked, LayerError> {
    let mut stream = Stream::open(source, limits, expected)?;
    let filled = fill(&mut stream, into, abilities, go_on);
    let (bytes, finished) = filled.map_err(|error| stream.reason(error))?;
    let found = stream.finish()?;
    match expected {
        Some(expected) if *expected != found => {
            Err(LayerError::Content { expected: expected.to_string(), found: found.to_string() })
        }
        _ => Ok(Unpacked { bytes, hides_all: finished.hides_all, implicit: finished.implicit }),
    }
}

fn fill(
    stream: &mut Stream<'_>,
    into: &Path,
    abilities: Abilities,
    go_on: &dyn Fn() -> bool,
) -> Result<(u64, Finished), LayerError> {
    let mut work =
        Work { root: Root::open(into, abilities)?, buffer: vec![0; BUFFER_BYTES], bytes: 0, left_out: 0 };
    let mut tape = Tape::new(stream, HEADERS_MAX);
    let mut count = 0_u64;
    while let Some(entry) = tape.next()? {
        count += 1;
        if count.is_multiple_of(ENTRIES_BETWEEN_CHECKS) && !go_on() {
            return Err(LayerError::Cancelled);
        }
        work.entry(&entry, &mut tape.content(), go_on)?;
    }
    if work.left_out > 0 {
        tracing::debug!(count = work.left_out, "device files and attributes of a layer were left out");
    }
    Ok((work.bytes, work.root.finish()?))
}

struct Work {
    root: Root,
    buffer: Vec<u8>,
    bytes: u64,
    /// Devices, and attributes that are not kept or not taken here.
    left_out: u64,
}

impl Work {
    fn entry(
        &mut self,
        entry: &Entry,
        content: &mut dyn Read,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), LayerError> {
        match entry.kind {
            Kind::Other => return Ok(()),
            // Whoever could write the mark of a deletion by itself would not be held to a place.
            Kind::Character(0, 0) | Kind::Block(0, 0) => {
                self.left_out += 1;
                return Ok(());
            }
            _ => {}
        }
        let Some(place) = self.root.place(&entry.path)? else {
            return match entry.kind {
                Kind::Directory => self.own_root(entry),
                _ => Err(LayerError::Escape { path: entry.shown() }),
            };
        };
        if place.name().starts_with(WHITEOUT) {
            return self.deletion(entry, place);
        }
        match entry.kind {
            Kind::File => self.file(entry, &place, content, go_on),
            Kind::Directory => self.directory(entry, &place),
            Kind::Symlink => {
                self.root.symlink(&place, &entry.target)?;
                self.place_status(entry, &place, false)
            }
            Kind::Fifo => {
                self.root.fifo(&place)?;
                self.place_status(entry, &place, true)
            }
            Kind::HardLink => match self.root.hard_link(&place, &entry.target)? {
                true => Ok(()),
                false => Err(LayerError::NoTarget {
                    path: entry.shown(),
                    target: String::from_utf8_lossy(&entry.target).into_owned(),
                }),
            },
            Kind::Character(major, minor) => {
                self.device(entry, &place, FileType::CharacterDevice, (major, minor))
            }
            Kind::Block(major, minor) => self.device(entry, &place, FileType::BlockDevice, (major, minor)),
            Kind::Other => Ok(()),
        }
    }

    fn device(
        &mut self,
        entry: &Entry,
        place: &Place,
        kind: FileType,
        numbers: (u32, u32),
    ) -> Result<(), LayerError> {
        if self.root.device(place, kind, numbers)? {
            return self.place_status(entry, place, true);
        }
        self.left_out += 1;
        Ok(())
    }

    /// `.wh.name`: the name is deleted below; `.wh..wh..opq`: all below the directory is.
    fn deletion(&mut self, entry: &Entry, place: Place) -> Result<(), LayerError> {
        if place.name() == OPAQUE {
            return self.root.hide_below_parent(&place);
        }
        if place.name().starts_with(NOTES) {
            return Ok(());
        }
        let deleted = place.name()[WHITEOUT.len()..].to_vec();
        if matches!(deleted.as_slice(), b"" | b"." | b"..") {
            return Err(LayerError::Escape { path: entry.shown() });
        }
        self.root.whiteout(&place.renamed(&deleted))
    }

    fn file(
        &mut self,
        entry: &Entry,
        place: &Place,
        content: &mut dyn Read,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), LayerError> {
        let status = status(entry)?;
        let mut file = self.root.create(place)?;
        let write = |source: std::io::Error| LayerError::Write { path: entry.shown().into(), source };
        match &entry.pieces {
            None => self.bytes += self.copy(content, &mut file, entry.size, place, go_on)?,
            Some(pieces) => {
                for piece in pieces {
                    file.seek(SeekFrom::Start(piece.offset)).map_err(write)?;
                    self.bytes += self.copy(content, &mut file, piece.length, place, go_on)?;
                }
                file.set_len(entry.size).map_err(write)?;
            }
        }
        self.root.own(&file, status).map_err(|errno| self.unowned(entry, place, errno))?;
        file.set_permissions(std::fs::Permissions::from_mode(status.mode)).map_err(write)?;
        self.attributes(entry, |name, value| rustix::fs::fsetxattr(&file, name, value, XattrFlags::empty()))?;
        rustix::fs::futimens(&file, &times(status.modified)).map_err(|errno| self.root.failed(place, errno))
    }

    fn copy(
        &mut self,
        content: &mut dyn Read,
        file: &mut File,
        length: u64,
        place: &Place,
        go_on: &dyn Fn() -> bool,
    ) -> Result<u64, LayerError> {
        let mut left = length;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(self.buffer.len());
            let count = content.read(&mut self.buffer[..most]).map_err(LayerError::Read)?;
            if count == 0 {
                return Err(LayerError::CutOff);
            }
            file.write_all(&self.buffer[..count]).map_err(|error| {
                self.root.failed(place, Errno::from_io_error(&error).unwrap_or(Errno::IO))
            })?;
            left -= count as u64;
            if !go_on() {
                return Err(LayerError::Cancelled);
            }
        }
        Ok(length)
    }

    fn directory(&mut self, entry: &Entry, place: &Place) -> Result<(), LayerError> {
        let status = status(entry)?;
        let opened = self.root.directory(place, status)?;
        self.root.own(&opened, status).map_err(|errno| self.unowned(entry, place, errno))?;
        self.attributes(entry, |name, value| rustix::fs::fsetxattr(&opened, name, value, XattrFlags::empty()))
    }

    fn own_root(&mut self, entry: &Entry) -> Result<(), LayerError> {
        let status = status(entry)?;
        let opened = self.root.own_status(status)?;
        let write = |errno: Errno| LayerError::Write { path: entry.shown().into(), source: errno.into() };
        self.root.own(&opened, status).map_err(write)?;
        self.attributes(entry, |name, value| rustix::fs::fsetxattr(&opened, name, value, XattrFlags::empty()))
    }

    fn place_status(&mut self, entry: &Entry, place: &Place, with_mode: bool) -> Result<(), LayerError> {
        let status = status(entry)?;
        self.root.set(place, status, with_mode).map_err(|errno| self.unowned(entry, place, errno))?;
        let path = place.through();
        self.attributes(entry, |name, value| rustix::fs::lsetxattr(&path, name, value, XattrFlags::empty()))
    }

    /// Sets the attributes that are kept. One that the file system or the user's rights do not take is
    /// left out, as Docker does.
    fn attributes(
        &mut self,
        entry: &Entry,
        set: impl Fn(&[u8], &[u8]) -> Result<(), Errno>,
    ) -> Result<(), LayerError> {
        for (name, value) in &entry.attributes {
            if !is_kept(name) {
                self.left_out += 1;
                continue;
            }
            match set(name, value) {
                Ok(()) => {}
                Err(Errno::OPNOTSUPP | Errno::PERM | Errno::INVAL | Errno::ACCESS) => self.left_out += 1,
                Err(errno) => {
                    return Err(LayerError::Write { path: entry.shown().into(), source: errno.into() });
                }
            }
        }
        Ok(())
    }

    fn unowned(&self, entry: &Entry, place: &Place, errno: Errno) -> LayerError {
        match errno {
            Errno::INVAL | Errno::PERM => {
                LayerError::Owner { path: entry.shown(), uid: entry.uid, gid: entry.gid }
            }
            errno => self.root.failed(place, errno),
        }
    }
}

/// Whether an extended attribute of an image is kept. Those that steer overlays and security modules
/// are this machine's.
fn is_kept(name: &[u8]) -> bool {
    (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
        || matches!(name, b"security.capability" | b"system.posix_acl_access" | b"system.posix_acl_default")
}

fn status(entry: &Entry) -> Result<Status, LayerError> {
    let id = |number: u64| {
        // The highest number means "leave it" to the kernel.
        u32::try_from(number).ok().filter(|&id| id != u32::MAX)
    };
    let wrong = || LayerError::Owner { path: entry.shown(), uid: entry.uid, gid: entry.gid };
    Ok(Status {
        uid: id(entry.uid).ok_or_else(wrong)?,
        gid: id(entry.gid).ok_or_else(wrong)?,
        mode: entry.mode,
        modified: entry.modified,
    })
}

#[cfg(test)]
mod tests;
