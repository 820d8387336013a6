//! Directories of this machine that are looked after: what changed in them, by inotify.
//!
//! Directories of which nothing is meant are not entered. How many can be looked after is the system's to
//! say, and bounded here too; where it is too many, that is told with what can be done about it. Changes
//! that were lost are told as a change of everything.

use super::rules::Rule;
use crate::failure::CliError;
use rustix::{
    fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags},
    io::Errno,
};
use std::{
    collections::{BTreeSet, HashMap},
    ffi::{OsStr, OsString},
    fs, io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    net::unix::pipe::Receiver,
    time::{Instant, timeout_at},
};

/// Directories that are looked after.
const DIRECTORIES_MAX: usize = 200_000;
/// Directories below each other that are entered.
const DEPTH_MAX: usize = 128;
/// Paths of one batch; where more change it is everything.
const BATCH_PATHS_MAX: usize = 100_000;
/// Bytes of events that are read at once.
const EVENTS_BYTES: usize = 64 * 1024;
/// Time without a change that ends a burst of them.
const QUIET: Duration = Duration::from_millis(200);
/// Longest time that a burst is waited out.
const BURST_MAX: Duration = Duration::from_secs(3);

/// What changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Batch {
    /// These paths; some are not there any more.
    Paths(BTreeSet<PathBuf>),
    /// More than could be told.
    Everything,
}

/// Directories that are looked after.
pub(crate) struct Tree {
    queue: Receiver,
    directories: HashMap<i32, PathBuf>,
    rules: Vec<Rule>,
    /// Paths of this burst that the rules were asked about.
    asked: HashMap<PathBuf, bool>,
}

impl Tree {
    /// Looks after everything that the rules mean, from here on.
    pub(crate) fn open(rules: &[Rule]) -> Result<Self, CliError> {
        let queue = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(instances)?;
        let queue = Receiver::from_owned_fd_unchecked(queue).map_err(CliError::io("watch for changes"))?;
        let mut tree =
            Self { queue, directories: HashMap::new(), rules: rules.to_vec(), asked: HashMap::new() };
        tree.look_again(&mut BTreeSet::new())?;
        Ok(tree)
    }

    /// A path of a rule: a directory with what is in it; a file by the directory it is in, for editors put
    /// another file in its place; and what is not there yet by the nearest directory that is.
    fn look_after(&mut self, path: &Path, files: &mut BTreeSet<PathBuf>) -> Result<(), CliError> {
        if path.is_dir() {
            return self.add_below(path, files, 0);
        }
        match path.ancestors().skip(1).find(|path| path.is_dir()) {
            Some(directory) => self.add(directory).map(drop),
            None => Ok(()),
        }
    }

    /// Waits for changes, and until there were none for a moment.
    pub(crate) async fn changes(&mut self) -> Result<Batch, CliError> {
        let mut paths = BTreeSet::new();
        let mut lost = false;
        self.asked = HashMap::new();
        let mut limit: Option<Instant> = None;
        loop {
            let now = Instant::now();
            let until = limit.map(|limit| limit.min(now + QUIET));
            let ready = self.queue.readable();
            let came = match until {
                None => Some(ready.await),
                Some(until) => timeout_at(until, ready).await.ok(),
            };
            match came {
                Some(came) => came.map_err(CliError::io("watch for changes"))?,
                None if paths.is_empty() && !lost => limit = None,
                None => break,
            }
            let before = (paths.len(), lost);
            lost |= self.read(&mut paths)?;
            if paths.len() > BATCH_PATHS_MAX {
                paths.clear();
                lost = true;
            }
            // What nobody asked for neither begins a burst nor draws it out.
            if before != (paths.len(), lost) && limit.is_none() {
                limit = Some(Instant::now() + BURST_MAX);
            }
        }
        Ok(if lost { Batch::Everything } else { Batch::Paths(paths) })
    }

    /// Takes all events that wait. `true`: some were lost.
    fn read(&mut self, paths: &mut BTreeSet<PathBuf>) -> Result<bool, CliError> {
        let mut events = Vec::new();
        let mut buffer = vec![0; EVENTS_BYTES];
        loop {
            match self.queue.try_read(&mut buffer) {
                Ok(count @ 1..) => parse(&buffer[..count], &mut events),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(CliError::io("watch for changes")(error)),
                Ok(0) => return Err(CliError::said("watching for changes ended")),
            }
        }
        let mut lost = false;
        for Event { number, kind, name } in events {
            if kind.contains(ReadFlags::QUEUE_OVERFLOW) {
                lost = true;
                self.look_again(&mut BTreeSet::new())?;
                continue;
            }
            if kind.contains(ReadFlags::IGNORED) {
                self.directories.remove(&number);
                continue;
            }
            let (Some(directory), Some(name)) = (self.directories.get(&number), name) else { continue };
            let path = directory.join(name);
            if kind.contains(ReadFlags::ISDIR) {
                self.directory_changed(&path, kind, paths)?;
            } else if self.concerns(&path) {
                paths.insert(path);
            }
        }
        Ok(lost)
    }

    fn directory_changed(
        &mut self,
        path: &Path,
        kind: ReadFlags,
        paths: &mut BTreeSet<PathBuf>,
    ) -> Result<(), CliError> {
        if kind.intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
            // What was put into it before it was looked after is found by looking.
            let on_the_way = self.rules.iter().any(|rule| rule.watch.path.starts_with(path));
            if on_the_way {
                return self.look_again(paths);
            }
            return self.add_below(path, paths, 0);
        }
        if kind.intersects(ReadFlags::DELETE | ReadFlags::MOVED_FROM) {
            self.forget_below(path);
            if self.concerns(path) {
                paths.insert(path.to_owned());
            }
        }
        Ok(())
    }

    /// Looks after whatever the rules mean, and collects its files.
    fn look_again(&mut self, files: &mut BTreeSet<PathBuf>) -> Result<(), CliError> {
        let paths: Vec<PathBuf> = self.rules.iter().map(|rule| rule.watch.path.clone()).collect();
        paths.iter().try_for_each(|path| self.look_after(path, files))
    }

    /// Whether any rule means a path; each is asked once in a burst.
    fn concerns(&mut self, path: &Path) -> bool {
        if let Some(answer) = self.asked.get(path) {
            return *answer;
        }
        let answer = self.rules.iter().any(|rule| rule.concerns(path));
        self.asked.insert(path.to_owned(), answer);
        answer
    }

    /// Looks after a directory and those in it, and collects the files.
    fn add_below(
        &mut self,
        directory: &Path,
        files: &mut BTreeSet<PathBuf>,
        depth: usize,
    ) -> Result<(), CliError> {
        if depth > DEPTH_MAX || self.rules.iter().all(|rule| rule.leaves_out(directory)) {
            return Ok(());
        }
        if !self.add(directory)? {
            return Ok(());
        }
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(CliError::io(format!("look into {}", directory.display()))(error)),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.add_below(&path, files, depth + 1)?,
                Ok(_) if self.concerns(&path) => _ = files.insert(path),
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks after one directory. `false`: it is gone, or may not be looked into.
    fn add(&mut self, directory: &Path) -> Result<bool, CliError> {
        if self.directories.len() >= DIRECTORIES_MAX {
            return Err(CliError::said(format!("more than {DIRECTORIES_MAX} directories are to be watched"))
                .with_hint("leave some out with `ignore`, or watch a directory further down"));
        }
        let flags = WatchFlags::CREATE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::DELETE
            | WatchFlags::ONLYDIR
            | WatchFlags::EXCL_UNLINK;
        match inotify::add_watch(&self.queue, directory, flags) {
            Ok(number) => {
                self.directories.insert(number, directory.to_owned());
                Ok(true)
            }
            Err(Errno::NOENT | Errno::NOTDIR | Errno::ACCESS) => Ok(false),
            Err(Errno::NOSPC) => Err(watches(self.directories.len())),
            Err(error) => Err(CliError::io(format!("watch {}", directory.display()))(error.into())),
        }
    }

    fn forget_below(&mut self, path: &Path) {
        let gone = self.directories.iter().filter(|(_, known)| known.starts_with(path));
        let numbers: Vec<i32> = gone.map(|(number, _)| *number).collect();
        for number in numbers {
            self.directories.remove(&number);
            // One that was removed is not watched any more, one that was moved away is.
            let _ = inotify::remove_watch(&self.queue, number);
        }
    }
}

/// One event of the system.
#[derive(Debug, PartialEq, Eq)]
struct Event {
    /// Of the directory.
    number: i32,
    kind: ReadFlags,
    name: Option<OsString>,
}

/// Takes events apart: four numbers each, of which the last is the length of the name that follows, filled
/// up with zeros. What is cut off is not there.
fn parse(mut bytes: &[u8], events: &mut Vec<Event>) {
    while let Some((head, rest)) = bytes.split_first_chunk::<16>() {
        let number = |at: usize| [head[at], head[at + 1], head[at + 2], head[at + 3]];
        let length = u32::from_ne_bytes(number(12)) as usize;
        let Some((name, rest)) = rest.split_at_checked(length) else { return };
        let name = name.split(|byte| *byte == 0).next().filter(|name| !name.is_empty());
        events.push(Event {
            number: i32::from_ne_bytes(number(0)),
            kind: ReadFlags::from_bits_retain(u32::from_ne_bytes(number(4))),
            name: name.map(|name| OsStr::from_bytes(name).to_owned()),
        });
        bytes = rest;
    }
}

fn watches(count: usize) -> CliError {
    let limit = fs::read_to_string("/proc/sys/fs/inotify/max_user_watches").unwrap_or_default();
    CliError::said(format!(
        "the system watches no more than {} directories for one user, and {count} were not all that are to be",
        limit.trim()
    ))
    .with_hint("leave some out with `ignore`, or raise it: sysctl fs.inotify.max_user_watches=1048576")
}

fn instances(error: Errno) -> CliError {
    match error {
        Errno::MFILE => CliError::said("this user watches in as many programs as the system allows")
            .with_hint("raise it: sysctl fs.inotify.max_user_instances=1024"),
        error => CliError::io("watch for changes")(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_taken_apart() {
        let event = |number: i32, kind: u32, name: &[u8]| {
            let length = u32::try_from(name.len()).unwrap();
            [&number.to_ne_bytes()[..], &kind.to_ne_bytes(), &[0; 4], &length.to_ne_bytes(), name].concat()
        };
        let bytes = [event(1, 2, b"file\0\0\0\0"), event(-1, 0x4000, b""), event(9, 1, b"cut")].concat();
        let mut events = Vec::new();
        parse(&bytes[..bytes.len() - 1], &mut events);
        let want = [
            Event { number: 1, kind: ReadFlags::MODIFY, name: Some("file".into()) },
            Event { number: -1, kind: ReadFlags::QUEUE_OVERFLOW, name: None },
        ];
        assert_eq!(events, want);
    }
}
