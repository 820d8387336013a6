//! The regular files and links of a tar stream, one after the other, with names of any length.
//!
//! Long names and extended headers are read here within bounds, as the library would read them into memory
//! whatever their size.

use super::{ArchiveError, read::StreamFault};
use crate::manifest::shortened;
use std::io::{self, Read};
use tar::{Archive, Entry, EntryType};

/// Largest long name or extended header, in bytes.
const EXTENSION_BYTES_MAX: u64 = 64 << 10;

/// What an entry is.
pub(super) enum Kind {
    /// A file with content.
    File,
    /// Another name of the entry with this name; relative to the own folder where it is symbolic.
    Link { target: String, symbolic: bool },
}

/// Takes one file or link: its name, what it is, its content.
type Take<'a> = &'a mut dyn FnMut(&str, Kind, &mut dyn Read) -> Result<(), ArchiveError>;

/// What extension entries said about the next one.
#[derive(Default)]
struct Extension {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

/// Calls `take` for each file and link, with its name as it stands there.
pub(super) fn each<R: Read>(reader: R, entries_max: u64, take: Take<'_>) -> Result<(), ArchiveError> {
    let mut archive = Archive::new(reader);
    let mut extension = Extension::default();
    for (count, entry) in (0..).zip(archive.entries().map_err(ArchiveError::Stream)?.raw(true)) {
        let mut entry = entry.map_err(|error| broken(count, error))?;
        if count >= entries_max {
            return Err(ArchiveError::TooMuch { what: "entries", limit: entries_max });
        }
        let kind = entry.header().entry_type();
        match kind {
            EntryType::GNULongName => extension.name = Some(text(&bounded(&mut entry)?)),
            EntryType::GNULongLink => extension.link = Some(text(&bounded(&mut entry)?)),
            EntryType::XHeader => extension.read(&bounded(&mut entry)?),
            EntryType::XGlobalHeader => drop(bounded(&mut entry)?),
            _ => {
                let said = std::mem::take(&mut extension);
                one(&mut entry, kind, said, take)?;
            }
        }
    }
    Ok(())
}

/// The fault of a header. What is no archive at its very beginning is none; and of a header nothing is repeated,
/// as a file given by mistake may be of any size and secrecy.
fn broken(count: u64, error: io::Error) -> ArchiveError {
    let quotes = error.raw_os_error().is_none() && error.to_string().contains("numeric field");
    let of_stream = error.get_ref().is_some_and(|inner| inner.is::<StreamFault>());
    if quotes || (count == 0 && !of_stream) { ArchiveError::NoTar } else { ArchiveError::Stream(error) }
}

fn one<R: Read>(
    entry: &mut Entry<'_, R>,
    kind: EntryType,
    said: Extension,
    take: Take<'_>,
) -> Result<(), ArchiveError> {
    let name = said.name.unwrap_or_else(|| text(&entry.path_bytes()));
    let wrong = |reason| Err(ArchiveError::Entry { name: shortened(&name), reason });
    match kind {
        EntryType::Regular | EntryType::Continuous => {
            if said.size.is_some_and(|size| size != entry.size()) {
                return wrong("is larger than its header can say");
            }
            take(&name, Kind::File, entry)
        }
        EntryType::Symlink | EntryType::Link => {
            let target = said.link.or_else(|| entry.link_name_bytes().map(|bytes| text(&bytes)));
            let symbolic = kind == EntryType::Symlink;
            let kind = Kind::Link { target: target.unwrap_or_default(), symbolic };
            take(&name, kind, &mut io::empty())
        }
        EntryType::GNUSparse => wrong("has holes, which archives of images do not have"),
        // Directories say nothing that is needed; devices and pipes are of no use here.
        _ => Ok(()),
    }
}

fn bounded<R: Read>(entry: &mut Entry<'_, R>) -> Result<Vec<u8>, ArchiveError> {
    let mut bytes = Vec::new();
    entry.take(EXTENSION_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(ArchiveError::Stream)?;
    if bytes.len() as u64 > EXTENSION_BYTES_MAX {
        return Err(ArchiveError::TooMuch { what: "bytes in a name", limit: EXTENSION_BYTES_MAX });
    }
    Ok(bytes)
}

/// Names in archives of images are plain; what is not Unicode names nothing that is looked for.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

impl Extension {
    /// Records of `length key=value\n`.
    fn read(&mut self, mut bytes: &[u8]) {
        while let Some(space) = bytes.iter().position(|&byte| byte == b' ') {
            let length =
                std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse::<usize>().ok());
            let Some(record) = length.and_then(|length| bytes.get(space + 1..length)) else { return };
            let record = text(record.strip_suffix(b"\n").unwrap_or(record));
            if let Some((key, value)) = record.split_once('=') {
                match key {
                    "path" => self.name = Some(value.to_owned()),
                    "linkpath" => self.link = Some(value.to_owned()),
                    "size" => self.size = value.parse().ok(),
                    _ => {}
                }
            }
            bytes = &bytes[length.unwrap_or(bytes.len())..];
        }
    }
}
