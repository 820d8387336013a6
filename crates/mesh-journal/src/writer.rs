//! Appending.

use crate::{
    error::JournalError,
    record::{self, LINE_BYTES_MAX, Stream, TEXT_BYTES_MAX},
    segment,
};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::PathBuf,
};

/// Where a journal is and how large it may become.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Its directory, made (mode 0700) where it is not there.
    pub directory: PathBuf,
    /// Largest size of one segment in bytes; one record is written whatever it says.
    pub segment_bytes_max: u64,
    /// Segments kept; at least one.
    pub segments_max: u32,
}

/// Appends records to a journal. One writer a journal at a time.
#[derive(Debug)]
pub struct Writer {
    settings: Settings,
    number: u64,
    file: File,
    /// Length of the segment up to its last whole record.
    bytes: u64,
    line: Vec<u8>,
}

impl Writer {
    /// Opens a journal for appending; a torn last line is cut off.
    ///
    /// # Errors
    /// Where the directory or the segment cannot be made or read.
    pub fn open(settings: Settings) -> Result<Self, JournalError> {
        let path = settings.directory.clone();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| JournalError::MakeDirectory { path, source })?;
        let number = segment::list(&settings.directory)?.last().copied().unwrap_or(1);
        let mut file = open_segment(&settings, number)?;
        let path = segment::path(&settings.directory, number);
        let whole = whole_bytes(&mut file).map_err(|source| JournalError::Read { path, source })?;
        let mut writer = Self { settings, number, file, bytes: 0, line: Vec::new() };
        match whole {
            Some(bytes) => {
                writer.bytes = bytes;
                writer.cut_back().map_err(|source| writer.write_failed(source))?;
            }
            None => writer.rotate()?,
        }
        writer.remove_old()?;
        Ok(writer)
    }

    /// Appends one line, without its line end. `complete` says whether the line ended there. A line
    /// feed inside begins another record; a text over [`TEXT_BYTES_MAX`] is divided.
    ///
    /// # Errors
    /// Where the segment cannot be written (the disk is full): that record is lost, earlier ones are
    /// not, and a later call tries again.
    pub fn write(
        &mut self,
        stream: Stream,
        line: &[u8],
        at_unix_ns: u64,
        complete: bool,
    ) -> Result<(), JournalError> {
        let mut lines = line.split(|byte| *byte == b'\n').peekable();
        while let Some(line) = lines.next() {
            let ended = complete || lines.peek().is_some();
            let mut rest = line;
            loop {
                let (text, more) = rest.split_at(rest.len().min(TEXT_BYTES_MAX));
                self.append(stream, text, at_unix_ns, ended && more.is_empty())?;
                if more.is_empty() {
                    break;
                }
                rest = more;
            }
        }
        Ok(())
    }

    fn append(&mut self, stream: Stream, text: &[u8], at: u64, complete: bool) -> Result<(), JournalError> {
        self.line.clear();
        record::encode(&mut self.line, at, stream, complete, text);
        let length = self.line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.settings.segment_bytes_max {
            self.rotate()?;
        }
        if let Err(source) = self.file.write_all(&self.line) {
            // Half a record would swallow the next one; when cutting fails too, its reader skips both.
            let _ = self.cut_back();
            return Err(self.write_failed(source));
        }
        self.bytes += length;
        Ok(())
    }

    fn rotate(&mut self) -> Result<(), JournalError> {
        self.file = open_segment(&self.settings, self.number + 1)?;
        self.number += 1;
        self.bytes = 0;
        self.remove_old()
    }

    fn remove_old(&self) -> Result<(), JournalError> {
        let numbers = segment::list(&self.settings.directory)?;
        let kept = self.settings.segments_max.max(1) as usize;
        for number in &numbers[..numbers.len().saturating_sub(kept)] {
            let path = segment::path(&self.settings.directory, *number);
            match std::fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(JournalError::Remove { path, source });
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn cut_back(&self) -> io::Result<()> {
        if self.file.metadata()?.len() > self.bytes {
            self.file.set_len(self.bytes)?;
        }
        Ok(())
    }

    fn write_failed(&self, source: io::Error) -> JournalError {
        JournalError::Write { path: segment::path(&self.settings.directory, self.number), source }
    }
}

fn open_segment(settings: &Settings, number: u64) -> Result<File, JournalError> {
    let path = segment::path(&settings.directory, number);
    OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .mode(0o600)
        .open(&path)
        .map_err(|source| JournalError::Open { path, source })
}

/// Length up to the last line feed. `None`: there is none where the last record must end, so that
/// the file is no segment of ours and is left alone.
fn whole_bytes(file: &mut File) -> io::Result<Option<u64>> {
    let length = file.metadata()?.len();
    let looked_at = length.min(LINE_BYTES_MAX as u64);
    file.seek(SeekFrom::Start(length - looked_at))?;
    let mut end = Vec::new();
    file.take(looked_at).read_to_end(&mut end)?;
    Ok(match end.iter().rposition(|byte| *byte == b'\n') {
        Some(at) => Some(length - looked_at + at as u64 + 1),
        None if looked_at == length => Some(0),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reader::{Query, read};

    fn settings(directory: &std::path::Path) -> Settings {
        Settings { directory: directory.join("web-1"), segment_bytes_max: 200, segments_max: 3 }
    }

    fn texts(directory: &std::path::Path) -> Vec<(String, bool)> {
        let records = read(&directory.join("web-1"), &Query::default()).unwrap();
        records.into_iter().map(|record| (record.text, record.complete)).collect()
    }

    #[test]
    fn stays_within_its_bounds_and_keeps_the_newest() {
        let home = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(settings(home.path())).unwrap();
        for index in 0..500_u64 {
            writer.write(Stream::Stdout, format!("line {index}").as_bytes(), index, true).unwrap();
        }
        let files: Vec<_> = std::fs::read_dir(home.path().join("web-1")).unwrap().collect();
        assert_eq!(files.len(), 3);
        for file in files {
            assert!(file.unwrap().metadata().unwrap().len() <= 200);
        }
        assert_eq!(texts(home.path()).last().unwrap().0, "line 499");
    }

    #[test]
    fn a_torn_tail_is_skipped_and_then_cut_off() {
        let home = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(settings(home.path())).unwrap();
        writer.write(Stream::Stdout, b"whole", 1, true).unwrap();
        writer.file.write_all(b"2 o. tor").unwrap();
        drop(writer);
        assert_eq!(texts(home.path()), [("whole".to_owned(), true)]);
        let mut writer = Writer::open(settings(home.path())).unwrap();
        writer.write(Stream::Stderr, b"after", 3, true).unwrap();
        assert_eq!(texts(home.path()), [("whole".to_owned(), true), ("after".to_owned(), true)]);
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("web-1")).unwrap();
        let strange = home.path().join("web-1/0000000004.log");
        std::fs::write(&strange, vec![0; LINE_BYTES_MAX * 2]).unwrap();
        let mut writer = Writer::open(settings(home.path())).unwrap();
        writer.write(Stream::Stdout, b"mine", 1, true).unwrap();
        assert_eq!(std::fs::metadata(&strange).unwrap().len(), LINE_BYTES_MAX as u64 * 2);
        assert_eq!(texts(home.path()), [("mine".to_owned(), true)]);
    }

    #[test]
    fn long_and_broken_lines_are_divided() {
        let home = tempfile::tempdir().unwrap();
        let mut wide = settings(home.path());
        wide.segment_bytes_max = 1 << 20;
        let mut writer = Writer::open(wide).unwrap();
        writer.write(Stream::Stdout, b"one\ntwo", 1, false).unwrap();
        writer.write(Stream::Stdout, &vec![b'x'; TEXT_BYTES_MAX + 1], 2, true).unwrap();
        let found: Vec<_> = texts(home.path()).into_iter().map(|(text, end)| (text.len(), end)).collect();
        assert_eq!(found, [(3, true), (3, false), (TEXT_BYTES_MAX, false), (1, true)]);
    }
}
