//! From files to a stream.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read as _, Write},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};
use tar::{Builder, EntryType, Header};

/// Directories below each other that are entered; what is deeper is refused.
const DEPTH_MAX: usize = 512;

/// Writes entries into a stream.
pub struct Packer<W: Write> {
    builder: Builder<W>,
}

impl<W: Write> Packer<W> {
    /// A stream without entries.
    pub fn new(writer: W) -> Self {
        Self { builder: Builder::new(writer) }
    }

    /// Adds what is at `path`, a directory with everything in it, under `name` (`.`: the contents of a
    /// directory without a name of its own). Links are kept as links.
    ///
    /// # Errors
    /// What is at `path` cannot be read, or the stream cannot be written.
    pub fn add(&mut self, path: &Path, name: &Path) -> io::Result<()> {
        self.add_where(path, name, &mut |_| true)
    }

    /// The same for what `wanted` says of each path.
    ///
    /// # Errors
    /// As for [`Packer::add`].
    pub fn add_where(
        &mut self,
        path: &Path,
        name: &Path,
        wanted: &mut dyn FnMut(&Path) -> bool,
    ) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        self.add_one(path, name, &metadata)?;
        if metadata.is_dir() {
            self.add_directory(path, name, wanted, 0)?;
        }
        Ok(())
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// The stream cannot be written.
    pub fn finish(self) -> io::Result<W> {
        let mut writer = self.builder.into_inner()?;
        writer.flush()?;
        Ok(writer)
    }

    fn add_directory(
        &mut self,
        path: &Path,
        name: &Path,
        wanted: &mut dyn FnMut(&Path) -> bool,
        depth: usize,
    ) -> io::Result<()> {
        if depth > DEPTH_MAX {
            return Err(io::Error::other(format!("{} lies too deep", path.display())));
        }
        let mut children = match fs::read_dir(path) {
            Ok(entries) => {
                entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<io::Result<Vec<_>>>()?
            }
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(named(path, error)),
        };
        children.sort();
        for child in children {
            let (path, name) = (path.join(&child), name.join(&child));
            if !wanted(&path) {
                continue;
            }
            let metadata = match fs::symlink_metadata(&path) {
                Ok(metadata) => metadata,
                Err(error) if is_gone(&error) => continue,
                Err(error) => return Err(named(&path, error)),
            };
            self.add_one(&path, &name, &metadata)?;
            if metadata.is_dir() {
                self.add_directory(&path, &name, wanted, depth + 1)?;
            }
        }
        Ok(())
    }

    /// Adds one entry. A socket is nothing that could be copied.
    fn add_one(&mut self, path: &Path, name: &Path, metadata: &Metadata) -> io::Result<()> {
        let kind = metadata.file_type();
        let mut header = Header::new_gnu();
        header.set_metadata(metadata);
        if kind.is_dir() {
            header.set_size(0);
            self.builder.append_data(&mut header, directory_name(name), io::empty())
        } else if kind.is_symlink() {
            let target = match fs::read_link(path) {
                Ok(target) => target,
                Err(error) if is_gone(&error) => return Ok(()),
                Err(error) => return Err(named(path, error)),
            };
            header.set_size(0);
            self.builder.append_link(&mut header, name, target)
        } else if kind.is_file() {
            self.add_file(path, name, header, metadata.len())
        } else if kind.is_fifo() || kind.is_char_device() || kind.is_block_device() {
            header.set_entry_type(match (kind.is_fifo(), kind.is_char_device()) {
                (true, _) => EntryType::Fifo,
                (_, true) => EntryType::Char,
                _ => EntryType::Block,
            });
            header.set_size(0);
            header.set_device_major(rustix::fs::major(metadata.rdev()))?;
            header.set_device_minor(rustix::fs::minor(metadata.rdev()))?;
            self.builder.append_data(&mut header, name, io::empty())
        } else {
            Ok(())
        }
    }

    fn add_file(&mut self, path: &Path, name: &Path, mut header: Header, size: u64) -> io::Result<()> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if is_gone(&error) => return Ok(()),
            Err(error) => return Err(named(path, error)),
        };
        header.set_size(size);
        self.builder.append_data(&mut header, name, file.chain(io::repeat(0)).take(size))
    }
}

/// A directory's name ends with a slash, that of the top too.
fn directory_name(name: &Path) -> PathBuf {
    name.join("")
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}
