//! Reading on while it is being written.

use crate::{
    error::JournalError,
    reader::{Position, Query, failed, open, read_to_position},
    record::{LINE_BYTES_MAX, Record, decode},
    segment,
};
use std::{
    fs::File,
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

/// Bytes taken from a segment in one call.
const POLL_BYTES_MAX: u64 = 256 * 1024;

/// Gives records as they come, over rotation and over a journal that is removed and made again. It
/// holds at most one open file and one block of bytes; the caller chooses when to look.
#[derive(Debug)]
pub struct Follower {
    directory: PathBuf,
    since_unix_ns: Option<u64>,
    current: Option<Current>,
}

#[derive(Debug)]
struct Current {
    number: u64,
    file: File,
    /// Bytes of a line whose end was not yet read.
    rest: Vec<u8>,
}

impl Follower {
    /// The records that `query` asks for, and a follower that goes on exactly behind them. The journal
    /// need not be there yet.
    ///
    /// # Errors
    /// Where the directory or a segment cannot be read.
    pub fn open(directory: &Path, query: &Query) -> Result<(Vec<Record>, Self), JournalError> {
        let (records, position) = read_to_position(directory, query)?;
        let mut follower =
            Self { directory: directory.to_owned(), since_unix_ns: query.since_unix_ns, current: None };
        if let Some(Position { number, offset }) = position {
            follower.enter(number, offset)?;
        }
        Ok((records, follower))
    }

    /// Records that came since the last call, at once; none if there are none. When some came, more may
    /// be there already.
    ///
    /// # Errors
    /// Where the directory or a segment cannot be read.
    pub fn poll(&mut self) -> Result<Vec<Record>, JournalError> {
        loop {
            let records = self.read_current()?;
            if !records.is_empty() {
                return Ok(records);
            }
            let Some(next) = self.next_segment()? else { return Ok(records) };
            // A writer fills a segment no further once it made the next one: what it wrote between the
            // reading above and the listing is taken before moving on.
            let records = self.read_current()?;
            if !records.is_empty() {
                return Ok(records);
            }
            self.enter(next, 0)?;
        }
    }

    fn enter(&mut self, number: u64, offset: u64) -> Result<(), JournalError> {
        self.current = match open(&self.directory, number)? {
            Some(mut file) => {
                file.seek(SeekFrom::Start(offset))
                    .map_err(|source| failed(&self.directory, number, source))?;
                Some(Current { number, file, rest: Vec::new() })
            }
            None => None,
        };
        Ok(())
    }

    /// The segment to read after the current one, if there is one.
    fn next_segment(&self) -> Result<Option<u64>, JournalError> {
        let numbers = segment::list(&self.directory)?;
        let Some(current) = &self.current else { return Ok(numbers.first().copied()) };
        let later = numbers.iter().copied().find(|number| *number > current.number);
        let gone = !numbers.contains(&current.number);
        Ok(later.or_else(|| if gone { numbers.first().copied() } else { None }))
    }

    fn read_current(&mut self) -> Result<Vec<Record>, JournalError> {
        let Some(current) = &mut self.current else { return Ok(Vec::new()) };
        let mut records = Vec::new();
        while records.is_empty() {
            let read = Read::by_ref(&mut current.file)
                .take(POLL_BYTES_MAX)
                .read_to_end(&mut current.rest)
                .map_err(|source| failed(&self.directory, current.number, source))?;
            if read == 0 {
                break;
            }
            let whole = current.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let lines = current.rest[..whole].split(|byte| *byte == b'\n');
            records.extend(lines.filter_map(decode));
            records.retain(|record| self.since_unix_ns.is_none_or(|since| record.at_unix_ns >= since));
            current.rest.drain(..whole);
            if current.rest.len() > LINE_BYTES_MAX {
                // No record is that long; its end will not decode and is skipped as well.
                current.rest.clear();
            }
        }
        Ok(records)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Stream,
        writer::{Settings, Writer},
    };
    use std::io::Write;

    fn writer(directory: &Path) -> Writer {
        let directory = directory.to_owned();
        Writer::open(Settings { directory, segment_bytes_max: 100, segments_max: 50 }).unwrap()
    }

    fn drain(follower: &mut Follower) -> Vec<u64> {
        let mut found = Vec::new();
        loop {
            let records = follower.poll().unwrap();
            if records.is_empty() {
                return found;
            }
            found.extend(records.iter().map(|record| record.at_unix_ns));
        }
    }

    #[test]
    fn follows_over_rotation_without_loss_or_repetition() {
        let home = tempfile::tempdir().unwrap();
        let mut writer = writer(home.path());
        for at in 0..5 {
            writer.write(Stream::Stdout, b"before", at, true).unwrap();
        }
        let query = Query { tail: Some(2), ..Query::default() };
        let (records, mut follower) = Follower::open(home.path(), &query).unwrap();
        assert_eq!(records.iter().map(|record| record.at_unix_ns).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(drain(&mut follower), [0_u64; 0]);
        for start in (5..100).step_by(19) {
            for at in start..start + 19 {
                writer.write(Stream::Stdout, b"after", at, true).unwrap();
            }
            assert_eq!(drain(&mut follower), (start..start + 19).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_journal_may_appear_later_and_be_made_again() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("later");
        let (records, mut follower) = Follower::open(&directory, &Query::default()).unwrap();
        assert!(records.is_empty() && drain(&mut follower).is_empty());
        let mut first = writer(&directory);
        for at in 0..9 {
            first.write(Stream::Stdout, b"first life", at, true).unwrap();
        }
        assert_eq!(drain(&mut follower).len(), 9);
        std::fs::remove_dir_all(&directory).unwrap();
        writer(&directory).write(Stream::Stdout, b"second life", 100, true).unwrap();
        assert_eq!(drain(&mut follower), [100]);
    }

    #[test]
    fn half_a_record_waits_for_its_other_half() {
        let home = tempfile::tempdir().unwrap();
        let (_, mut follower) = Follower::open(home.path(), &Query::default()).unwrap();
        let mut file = File::create(home.path().join("0000000001.log")).unwrap();
        file.write_all(b"1 o. one\n2 o. t").unwrap();
        assert_eq!(drain(&mut follower), [1]);
        file.write_all(b"wo\n").unwrap();
        assert_eq!(drain(&mut follower), [2]);
    }
}
