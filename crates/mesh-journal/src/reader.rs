//! Reading what was written.

use crate::{
    error::JournalError,
    record::{LINE_BYTES_MAX, Record, decode},
    segment,
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::Path,
};

/// Bytes read from a segment's end at first, when only its last lines are wanted.
const TAIL_BLOCK_BYTES: u64 = 64 * 1024;

/// Which records are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Query {
    /// Not older than this, in nanoseconds since 1970.
    pub since_unix_ns: Option<u64>,
    /// Older than this, in nanoseconds since 1970.
    pub until_unix_ns: Option<u64>,
    /// Only so many of the newest.
    pub tail: Option<usize>,
}

impl Query {
    /// Whether a record lies in the time asked for.
    pub(crate) fn admits(&self, record: &Record) -> bool {
        self.since_unix_ns.is_none_or(|since| record.at_unix_ns >= since)
            && self.until_unix_ns.is_none_or(|until| record.at_unix_ns < until)
    }
}

/// Where reading ended: a segment, and the length of its whole records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) number: u64,
    pub(crate) offset: u64,
}

/// The newest `lines` records, oldest first. A journal that is not there has none.
///
/// # Errors
/// Where the directory or a segment cannot be read.
pub fn tail(directory: &Path, lines: usize) -> Result<Vec<Record>, JournalError> {
    read(directory, &Query { tail: Some(lines), ..Query::default() })
}

/// The records asked for, oldest first. A journal that is not there has none.
///
/// # Errors
/// Where the directory or a segment cannot be read.
pub fn read(directory: &Path, query: &Query) -> Result<Vec<Record>, JournalError> {
    read_to_position(directory, query).map(|(records, _)| records)
}

/// The same, and where it ended.
pub(crate) fn read_to_position(
    directory: &Path,
    query: &Query,
) -> Result<(Vec<Record>, Option<Position>), JournalError> {
    match query.tail {
        // Times are not needed to know which lines are the last ones, so only the end is read.
        Some(lines) if query.until_unix_ns.is_none() => read_tail(directory, query, lines),
        _ => read_forward(directory, query),
    }
}

fn read_forward(directory: &Path, query: &Query) -> Result<(Vec<Record>, Option<Position>), JournalError> {
    let mut found = VecDeque::new();
    let mut position = None;
    for number in segment::list(directory)? {
        let Some(mut file) = open(directory, number)? else { continue };
        let offset = scan(&mut file, |record| {
            if query.admits(&record) {
                found.push_back(record);
                if query.tail.is_some_and(|lines| found.len() > lines) {
                    found.pop_front();
                }
            }
        })
        .map_err(|source| failed(directory, number, source))?;
        position = Some(Position { number, offset });
    }
    Ok((found.into(), position))
}

fn read_tail(
    directory: &Path,
    query: &Query,
    lines: usize,
) -> Result<(Vec<Record>, Option<Position>), JournalError> {
    let mut newest_first: Vec<Vec<Record>> = Vec::new();
    let mut wanted = lines;
    let mut position = None;
    for number in segment::list(directory)?.into_iter().rev() {
        let Some(mut file) = open(directory, number)? else { continue };
        let (mut records, offset) =
            last_records(&mut file, wanted).map_err(|source| failed(directory, number, source))?;
        position = position.or(Some(Position { number, offset }));
        wanted -= records.len().min(wanted);
        records.retain(|record| query.admits(record));
        newest_first.push(records);
        if wanted == 0 {
            break;
        }
    }
    Ok((newest_first.into_iter().rev().flatten().collect(), position))
}

/// The last `wanted` records of a segment, and the length of its whole records.
fn last_records(file: &mut File, wanted: usize) -> io::Result<(Vec<Record>, u64)> {
    let length = file.metadata()?.len();
    let mut block_bytes = TAIL_BLOCK_BYTES;
    loop {
        let start = length.saturating_sub(block_bytes);
        file.seek(SeekFrom::Start(start))?;
        let mut block = Vec::new();
        Read::by_ref(file).take(length - start).read_to_end(&mut block)?;
        let whole = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // The block may begin within a line.
        let first = match start {
            0 => 0,
            _ => block.iter().position(|byte| *byte == b'\n').map_or(whole, |at| at + 1),
        };
        let records: Vec<Record> = match block.get(first..whole) {
            Some(lines) => lines.split(|byte| *byte == b'\n').filter_map(decode).collect(),
            None => Vec::new(),
        };
        if records.len() >= wanted || start == 0 {
            let kept = records.len().saturating_sub(wanted);
            return Ok((records.into_iter().skip(kept).collect(), start + whole as u64));
        }
        block_bytes = block_bytes.saturating_mul(4);
    }
}

/// Hands over every record of a segment from its current place on and tells the offset after the last
/// whole line. A line longer than any record is skipped without being kept.
fn scan(file: &mut File, mut each: impl FnMut(Record)) -> io::Result<u64> {
    let mut offset = file.stream_position()?;
    let mut reader = BufReader::with_capacity(LINE_BYTES_MAX, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = Read::by_ref(&mut reader).take(LINE_BYTES_MAX as u64).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(offset);
        }
        if line.pop_if(|last| *last == b'\n').is_none() {
            // Too long for a record: go on behind its end. At the file's end: torn.
            let skipped = reader.skip_until(b'\n')?;
            if skipped == 0 {
                return Ok(offset);
            }
            offset += (read + skipped) as u64;
            continue;
        }
        offset += read as u64;
        if let Some(record) = decode(&line) {
            each(record);
        }
    }
}

/// Opens a segment; `None` if it was removed since it was listed.
pub(crate) fn open(directory: &Path, number: u64) -> Result<Option<File>, JournalError> {
    let path = segment::path(directory, number);
    match File::open(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(JournalError::Open { path, source }),
    }
}

pub(crate) fn failed(directory: &Path, number: u64, source: io::Error) -> JournalError {
    JournalError::Read { path: segment::path(directory, number), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        record::Stream,
        writer::{Settings, Writer},
    };

    fn check(query: Query, want: &[u64]) {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().to_owned();
        let mut writer =
            Writer::open(Settings { directory, segment_bytes_max: 60, segments_max: 100 }).unwrap();
        for at in 0..20 {
            writer.write(Stream::Stdout, b"some text", at, true).unwrap();
        }
        let found: Vec<u64> = read(home.path(), &query).unwrap().iter().map(|r| r.at_unix_ns).collect();
        assert_eq!(found, want, "{query:?}");
    }

    #[test]
    fn queries_choose_by_time_and_number() {
        let all: Vec<u64> = (0..20).collect();
        check(Query::default(), &all);
        check(Query { tail: Some(0), ..Query::default() }, &[]);
        check(Query { tail: Some(7), ..Query::default() }, &all[13..]);
        check(Query { tail: Some(99), ..Query::default() }, &all);
        check(Query { since_unix_ns: Some(18), ..Query::default() }, &all[18..]);
        check(Query { until_unix_ns: Some(2), ..Query::default() }, &all[..2]);
        check(Query { until_unix_ns: Some(9), tail: Some(2), ..Query::default() }, &all[7..9]);
        check(Query { since_unix_ns: Some(17), tail: Some(9), ..Query::default() }, &all[17..]);
    }

    #[test]
    fn the_tail_of_a_large_segment_needs_more_than_one_block() {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().to_owned();
        let mut writer =
            Writer::open(Settings { directory, segment_bytes_max: 1 << 24, segments_max: 2 }).unwrap();
        for at in 0..6000 {
            writer.write(Stream::Stderr, &[b'y'; 50], at, true).unwrap();
        }
        let found = tail(home.path(), 4000).unwrap();
        assert_eq!((found.len(), found[0].at_unix_ns, found[3999].at_unix_ns), (4000, 2000, 5999));
    }

    #[test]
    fn no_journal_no_records() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(tail(&home.path().join("none"), 5).unwrap(), []);
    }

    #[test]
    fn an_endless_line_is_skipped() {
        let home = tempfile::tempdir().unwrap();
        let mut bytes = vec![b'z'; LINE_BYTES_MAX * 3];
        bytes.extend_from_slice(b"\n5 o. fine\n");
        std::fs::write(home.path().join("0000000001.log"), bytes).unwrap();
        assert_eq!(read(home.path(), &Query::default()).unwrap().len(), 1);
    }
}
