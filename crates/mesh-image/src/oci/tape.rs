//! Reading a layer's archive: a stream of entries, each with all that is said of it.
//!
//! Every form that images are made in is read: plain ustar, GNU's long names and numbers, pax records,
//! and the four forms of sparse files. The archive is a stranger's: nothing it says makes this reader
//! hold more than [`EXTENSION_BYTES_MAX`] of it, and every header counts as an entry.
//!
//! Absent on purpose: any file. What an entry becomes is decided elsewhere.

use super::{
    error::LayerError,
    pax::{self, Records},
    sparse::{self, Piece},
};
use std::io::{self, Read};

/// Size of a block; headers and contents are padded to it.
pub(super) const BLOCK: usize = 512;
/// Largest extended header, in bytes; as Docker has it.
const EXTENSION_BYTES_MAX: u64 = 1 << 20;
/// Longest path and longest target of a link, in bytes: the kernel's.
const PATH_BYTES_MAX: usize = 4096;

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    Symlink,
    HardLink,
    Fifo,
    /// A character device, with its numbers.
    Character(u32, u32),
    /// A block device, with its numbers.
    Block(u32, u32),
    /// Nothing that belongs in a file system (volume labels and the like).
    Other,
}

/// One entry, with what extended headers said of it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) path: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Seconds since 1970 and nanoseconds.
    pub(super) modified: (i64, u32),
    /// Bytes of the file; those of a sparse one with its holes.
    pub(super) size: u64,
    /// Where its bytes belong, where it has holes.
    pub(super) pieces: Option<Vec<Piece>>,
    /// Extended attributes.
    pub(super) attributes: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Entry {
    /// Its path, for a message.
    pub(super) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.path).into_owned()
    }
}

/// An archive that is being read.
#[derive(Debug)]
pub(super) struct Tape<R> {
    source: R,
    /// Bytes of the entry's content that were not read.
    left: u64,
    /// Bytes that pad it.
    padding: u64,
    /// Headers so far.
    headers: u64,
    headers_max: u64,
}

impl<R: Read> Tape<R> {
    /// An archive of at most so many headers.
    pub(super) fn new(source: R, headers_max: u64) -> Self {
        Self { source, left: 0, padding: 0, headers: 0, headers_max }
    }

    /// The next entry; `None` at the end. What was not read of the one before is passed over.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, LayerError> {
        let mut records = Records::default();
        let (mut long_path, mut long_target) = (None, None);
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            self.headers += 1;
            if self.headers > self.headers_max {
                return Err(LayerError::TooManyEntries { limit: self.headers_max });
            }
            match header.flag() {
                b'x' | b'X' => records.add(&self.extension(&header)?)?,
                // What it says of all entries are names of tools and the like.
                b'g' => drop(self.extension(&header)?),
                b'L' => long_path = Some(until_nul(self.extension(&header)?)),
                b'K' => long_target = Some(until_nul(self.extension(&header)?)),
                _ => return self.entry(&header, records, long_path, long_target).map(Some),
            }
        }
    }

    /// The content of the entry, as it is stored.
    pub(super) fn content(&mut self) -> Content<'_, R> {
        Content { tape: self }
    }

    fn entry(
        &mut self,
        header: &Header,
        records: Records,
        long_path: Option<Vec<u8>>,
        long_target: Option<Vec<u8>>,
    ) -> Result<Entry, LayerError> {
        let path = records.path.or(long_path).unwrap_or_else(|| header.path());
        let target = records.target.or(long_target).unwrap_or_else(|| header.target());
        for (what, text) in [("path", &path), ("link", &target)] {
            if text.len() >= PATH_BYTES_MAX || text.contains(&0) {
                return Err(LayerError::BadPath { what, bytes: text.len() });
            }
        }
        let kind = header.kind(&path);
        self.hold(match kind {
            Kind::File | Kind::Other => records.size.unwrap_or(header.number(SIZE)?),
            _ => 0,
        })?;
        let (mut size, mut pieces) = (self.left, None);
        if header.flag() == b'S' {
            let stored = self.left;
            let (found, real) = sparse::old_form(header, &mut self.source, stored)?;
            (size, pieces) = (real, Some(found));
        } else if let Some(form) = &records.sparse {
            let (found, real) = sparse::pax_form(form, &mut self.content())?;
            (size, pieces) = (real, Some(found));
        }
        if let Some(pieces) = &pieces {
            sparse::check(pieces, self.left, size)?;
        }
        Ok(Entry {
            kind,
            path: records.sparse.and_then(|form| form.name).unwrap_or(path),
            target,
            mode: u32::try_from(header.number(MODE)? & 0o7777).unwrap_or(0),
            uid: records.uid.map_or_else(|| header.number(UID), Ok)?,
            gid: records.gid.map_or_else(|| header.number(GID), Ok)?,
            modified: records.modified.unwrap_or((header.time(), 0)),
            size,
            pieces,
            attributes: records.attributes,
        })
    }

    /// Takes the stored size of the content that follows.
    fn hold(&mut self, size: u64) -> Result<(), LayerError> {
        let block = BLOCK as u64;
        if size > i64::MAX as u64 {
            return Err(LayerError::Broken { why: "a size that no file has" });
        }
        (self.left, self.padding) = (size, (block - size % block) % block);
        Ok(())
    }

    /// Reads an extended header whole.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, LayerError> {
        let size = header.number(SIZE)?;
        if size > EXTENSION_BYTES_MAX {
            return Err(LayerError::Broken { why: "an extended header of more than 1 MiB" });
        }
        self.hold(size)?;
        let mut bytes = Vec::new();
        self.content().read_to_end(&mut bytes).map_err(LayerError::Read)?;
        if bytes.len() as u64 != size {
            return Err(LayerError::CutOff);
        }
        Ok(bytes)
    }

    /// Passes over what is left of an entry.
    fn skip(&mut self) -> Result<(), LayerError> {
        let rest = self.left + self.padding;
        (self.left, self.padding) = (0, 0);
        let passed =
            io::copy(&mut (&mut self.source).take(rest), &mut io::sink()).map_err(LayerError::Read)?;
        if passed == rest { Ok(()) } else { Err(LayerError::CutOff) }
    }

    /// The next header; `None` where the archive ends: two blocks of zeros, or nothing any more.
    fn header(&mut self) -> Result<Option<Header>, LayerError> {
        let Some(header) = self.block()? else { return Ok(None) };
        if header.0.iter().any(|&byte| byte != 0) {
            return header.checked().map(Some);
        }
        match self.block()? {
            Some(second) if second.0.iter().any(|&byte| byte != 0) => {
                Err(LayerError::Broken { why: "entries after its end" })
            }
            _ => Ok(None),
        }
    }

    fn block(&mut self) -> Result<Option<Header>, LayerError> {
        read_block(&mut self.source)
    }
}

/// Reads a block; `None` where there is nothing any more.
pub(super) fn read_block(source: &mut impl Read) -> Result<Option<Header>, LayerError> {
    let mut bytes = [0; BLOCK];
    let mut filled = 0;
    while filled < BLOCK {
        match source.read(&mut bytes[filled..]) {
            Ok(0) if filled == 0 => return Ok(None),
            Ok(0) => return Err(LayerError::CutOff),
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(LayerError::Read(error)),
        }
    }
    Ok(Some(Header(bytes)))
}

/// The stored content of the current entry. It ends early where the archive does.
pub(super) struct Content<'a, R> {
    tape: &'a mut Tape<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.tape.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let count = self.tape.source.read(&mut buffer[..most])?;
        self.tape.left -= count as u64;
        Ok(count)
    }
}

/// Where a field lies in a header.
type Field = std::ops::Range<usize>;
const NAME: Field = 0..100;
const MODE: Field = 100..108;
const UID: Field = 108..116;
const GID: Field = 116..124;
const SIZE: Field = 124..136;
const TIME: Field = 136..148;
const SUM: Field = 148..156;
const FLAG: usize = 156;
const TARGET: Field = 157..257;
const MAGIC: Field = 257..263;
const DEVICE_MAJOR: Field = 329..337;
const DEVICE_MINOR: Field = 337..345;
const PREFIX: Field = 345..500;

/// A header as it stands.
pub(super) struct Header(pub(super) [u8; BLOCK]);

impl Header {
    /// Fails unless its sum is right.
    fn checked(self) -> Result<Self, LayerError> {
        let sum = |signed: bool| -> i64 {
            let bytes = self.0.iter().enumerate();
            let value = |(at, &byte): (usize, &u8)| match SUM.contains(&at) {
                true => i64::from(b' '),
                false if signed => i64::from(byte.cast_signed()),
                false => i64::from(byte),
            };
            bytes.map(value).sum()
        };
        let said = i64::try_from(self.number(SUM)?).unwrap_or(-1);
        match said == sum(false) || said == sum(true) {
            true => Ok(self),
            false => Err(LayerError::Broken { why: "a header whose checksum is wrong" }),
        }
    }

    fn flag(&self) -> u8 {
        self.0[FLAG]
    }

    fn kind(&self, path: &[u8]) -> Kind {
        match self.flag() {
            // Before there was a mark for directories, a slash at the end was it.
            b'0' | 0 | b'7' if path.ends_with(b"/") => Kind::Directory,
            b'0' | 0 | b'7' | b'S' => Kind::File,
            b'1' => Kind::HardLink,
            b'2' => Kind::Symlink,
            b'3' => Kind::Character(self.device(DEVICE_MAJOR), self.device(DEVICE_MINOR)),
            b'4' => Kind::Block(self.device(DEVICE_MAJOR), self.device(DEVICE_MINOR)),
            b'5' => Kind::Directory,
            b'6' => Kind::Fifo,
            _ => Kind::Other,
        }
    }

    /// A number of a device; one that cannot be read is that of none.
    fn device(&self, field: Field) -> u32 {
        self.number(field).ok().and_then(|number| u32::try_from(number).ok()).unwrap_or(u32::MAX)
    }

    fn path(&self) -> Vec<u8> {
        let name = until_nul(self.0[NAME].to_vec());
        // GNU's own form has other things where ustar has the prefix.
        let prefix =
            if &self.0[MAGIC] == b"ustar\0" { until_nul(self.0[PREFIX].to_vec()) } else { Vec::new() };
        match prefix.as_slice() {
            [] => name,
            prefix => [prefix, b"/", &name].concat(),
        }
    }

    fn target(&self) -> Vec<u8> {
        until_nul(self.0[TARGET].to_vec())
    }

    /// A number: octal digits, or GNU's binary form.
    pub(super) fn number(&self, field: Field) -> Result<u64, LayerError> {
        pax::number(&self.0[field])
    }

    /// Seconds since 1970; a time that cannot be read is none.
    fn time(&self) -> i64 {
        i64::try_from(self.number(TIME).unwrap_or(0)).unwrap_or(0)
    }
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|&byte| byte == 0) {
        bytes.truncate(end);
    }
    bytes
}
