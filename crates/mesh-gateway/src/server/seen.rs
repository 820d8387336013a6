//! What files were like when they were looked at, so that a change of one is seen.
//!
//! A file is known by its number, its size and its times. Those come from a clock that stands still between two ticks: a
//! file that is rewritten in place, with as many bytes, within the tick in which it was looked at is the same by all of
//! them. So as long as a change is young, what is in the file counts too.

use std::{
    collections::{HashMap, hash_map::DefaultHasher},
    fs,
    hash::Hasher as _,
    io::{self, Read as _, Write},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Most files that are looked at for a change.
const WATCHED_MAX: usize = 4_096;
/// How long a change is young: the coarsest clocks of file systems tick every two seconds.
const YOUNG: Duration = Duration::from_secs(3);
/// Most of a file that is looked at for a change, in bytes; nothing larger is read here.
const CONTENT_BYTES_MAX: u64 = 16 << 20;

/// A file as it was.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: PathBuf,
    /// Its number, its size, and when its content and its record were changed last, each in seconds and nanoseconds.
    record: (u64, u64, [i64; 4]),
    /// A hash of what is in it, while its last change is young.
    content: Option<u64>,
    /// Whether its last change was young then.
    young: bool,
}

impl PartialEq for Seen {
    fn eq(&self, other: &Self) -> bool {
        let contents = self.content.zip(other.content);
        self.path == other.path
            && self.record == other.record
            && contents.is_none_or(|(left, right)| left == right)
    }
}

/// Files as they are now, each beneath some paths.
#[derive(Debug)]
pub(super) struct Look<'b> {
    /// Those that were young at the look before, and are compared once more.
    unsure: HashMap<&'b Path, &'b Seen>,
    now: SystemTime,
    found: Vec<Seen>,
}

impl<'b> Look<'b> {
    /// Begins a look, after another one that found this.
    pub(super) fn after(before: &'b [Seen]) -> Self {
        let unsure = before.iter().filter(|seen| seen.content.is_some());
        Self {
            unsure: unsure.map(|seen| (seen.path.as_path(), seen)).collect(),
            now: SystemTime::now(),
            found: Vec::new(),
        }
    }

    /// Looks at a file, or at a directory and all that is beneath it. What is not there is not among what is found.
    pub(super) fn note(&mut self, path: &Path) {
        if self.found.len() >= WATCHED_MAX {
            return;
        }
        let Ok(found) = fs::metadata(path) else { return };
        let times = [found.mtime(), found.mtime_nsec(), found.ctime(), found.ctime_nsec()];
        let record = (found.ino(), found.len(), times);
        let young = self.is_young(found.ctime());
        // Its last change may have come just after the look before.
        let unsure = || self.unsure.get(path).is_some_and(|before| before.record == record);
        let content = (found.is_file() && (young || unsure())).then(|| content(path)).flatten();
        self.found.push(Seen { path: path.to_owned(), record, content, young });
        if found.is_dir() {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            paths.sort();
            for path in paths {
                self.note(&path);
            }
        }
    }

    /// Whether a change at this second is young. One that is still to come, by another machine's clock, is.
    fn is_young(&self, second: i64) -> bool {
        let since = UNIX_EPOCH + Duration::from_secs(u64::try_from(second).unwrap_or_default());
        self.now.duration_since(since).map_or(true, |age| age < YOUNG)
    }

    /// What was found.
    pub(super) fn found(self) -> Vec<Seen> {
        self.found
    }
}

/// What is kept of a look that found nothing new: what was no longer young then is not read again.
pub(super) fn settled(mut found: Vec<Seen>) -> Vec<Seen> {
    for seen in found.iter_mut().filter(|seen| !seen.young) {
        seen.content = None;
    }
    found
}

/// A hash of what is in a file; none if it cannot be read.
fn content(path: &Path) -> Option<u64> {
    struct Sink(DefaultHasher);
    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.write(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut sink = Sink(DefaultHasher::new());
    io::copy(&mut fs::File::open(path).ok()?.take(CONTENT_BYTES_MAX), &mut sink).ok()?;
    Some(sink.0.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &Path, before: &[Seen]) -> Vec<Seen> {
        let mut look = Look::after(before);
        look.note(path);
        look.found()
    }

    /// So often that some of them fall into one tick of the clock.
    #[test]
    fn a_file_that_is_rewritten_in_place_is_another() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.yml");
        let mut before = Vec::new();
        for turn in 0..500 {
            fs::write(&file, format!("{turn:03}")).expect("written");
            let now = look(folder.path(), &before);
            assert_ne!(now, before, "{turn}");
            assert_eq!(look(folder.path(), &now), now);
            before = now;
        }
        fs::write(folder.path().join("b.yml"), "").expect("written");
        assert_ne!(look(folder.path(), &before), before);
    }

    #[test]
    fn what_was_young_is_looked_at_once_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("a.yml");
        fs::write(&file, "new").expect("written");
        // As if it had been looked at with another content, in the tick of its last change, some time ago.
        let mut before = look(&file, &[]);
        before[0].content = Some(0);
        let old = |before: &[Seen]| {
            let mut look = Look { now: SystemTime::now() + 10 * YOUNG, ..Look::after(before) };
            look.note(&file);
            look.found()
        };
        assert_ne!(old(&before), before);
        let now = settled(old(&look(&file, &[])));
        assert_eq!(now[0].content, None, "it has settled");
        assert_eq!(old(&now)[0].content, None, "and is not read again");
        assert!(settled(look(&file, &[]))[0].content.is_some(), "it is young");
    }
}
