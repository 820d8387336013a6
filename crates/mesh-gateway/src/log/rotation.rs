//! What becomes of a log's file that is full: names, ages and numbers of those that came before it.

use crate::{clock, config::statics};
use flate2::{Compression, write::GzEncoder};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, SystemTime},
};

const MEGABYTE_BYTES: u64 = 1 << 20;
/// The size of a file where none is asked for, as Traefik has it.
const MEGABYTES: u64 = 100;
const DAY: Duration = Duration::from_secs(86_400);
/// What follows the name of one that is compressed.
const COMPRESSED: &str = ".gz";
/// Milliseconds in which one name after the other may be taken.
const MOMENTS_MAX: u64 = 1_000;
/// Most files of a folder that are looked through.
const FILES_MAX: usize = 65_536;

/// How a log's file is rotated.
#[derive(Debug, Clone)]
pub(super) struct Rotation {
    pub(super) bytes_max: u64,
    /// Most files from before; all, if there is no number.
    backups: Option<usize>,
    /// How old they may become; as old as they like, if that is not said.
    age: Option<Duration>,
    /// Whether somebody is at it.
    busy: Arc<AtomicBool>,
}

impl Rotation {
    pub(super) fn new(options: &statics::Log) -> Self {
        let positive = |number: i64| u64::try_from(number).ok().filter(|number| *number > 0);
        Self {
            bytes_max: positive(options.max_size).unwrap_or(MEGABYTES).saturating_mul(MEGABYTE_BYTES),
            backups: positive(options.max_backups).and_then(|number| usize::try_from(number).ok()),
            age: positive(options.max_age)
                .map(|days| DAY.saturating_mul(u32::try_from(days).unwrap_or(u32::MAX))),
            busy: Arc::default(),
        }
    }

    /// What a file is called from now on: `traefik.log` becomes `traefik-2026-11-22T05-06-07.000.log`. One that was put
    /// aside in the same moment is not in its way.
    pub(super) fn name(&self, path: &Path, time: SystemTime) -> PathBuf {
        let (stem, extension) = parts(path);
        let name = |time| format!("{stem}-{}{extension}", clock::stamp(time));
        let times = (0..MOMENTS_MAX).map(|later| time + Duration::from_millis(later));
        let mut free = times.filter(|time| {
            let name = name(*time);
            !path.with_file_name(&name).exists() && !path.with_file_name(name + COMPRESSED).exists()
        });
        path.with_file_name(name(free.next().unwrap_or(time)))
    }

    /// Compresses and removes what came before a file, on a thread of its own; what cannot be done is left for the next
    /// time.
    pub(super) fn tidy(&self, path: &Path, time: SystemTime) {
        if self.busy.swap(true, Ordering::AcqRel) {
            return;
        }
        let (rotation, path) = (self.clone(), path.to_owned());
        let made = thread::Builder::new().name("log".to_owned()).spawn(move || {
            rotation.put_in_order(&path, time);
            rotation.busy.store(false, Ordering::Release);
        });
        if made.is_err() {
            self.busy.store(false, Ordering::Release);
        }
    }

    pub(super) fn put_in_order(&self, path: &Path, time: SystemTime) {
        let mut found = before(path);
        // Names tell times, the newest first.
        found.sort_by(|left, right| right.stamp.cmp(&left.stamp));
        let oldest = self.age.and_then(|age| time.checked_sub(age)).map(clock::stamp);
        for (at, one) in found.iter().enumerate() {
            let over = self.backups.is_some_and(|most| at >= most);
            let old = oldest.as_ref().is_some_and(|oldest| one.stamp < *oldest);
            // What is left is looked at again with the next one.
            let _ = match () {
                () if over || old => fs::remove_file(&one.path),
                () if one.compressed => Ok(()),
                () => compress(&one.path),
            };
        }
    }
}

/// A file that was a log's.
#[derive(Debug)]
struct Before {
    path: PathBuf,
    stamp: String,
    compressed: bool,
}

/// What is before and after the time in a name.
fn parts(path: &Path) -> (String, String) {
    let text = |text: Option<&OsStr>| text.unwrap_or_default().to_string_lossy().into_owned();
    let extension = text(path.extension());
    (text(path.file_stem()), if extension.is_empty() { extension } else { format!(".{extension}") })
}

fn before(path: &Path) -> Vec<Before> {
    let (stem, extension) = parts(path);
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().take(FILES_MAX);
    let one = |path: PathBuf| {
        let name = path.file_name()?.to_str()?.to_owned();
        let rest = name.strip_prefix(&stem)?.strip_prefix('-')?;
        let (rest, compressed) = rest.strip_suffix(COMPRESSED).map_or((rest, false), |rest| (rest, true));
        let stamp = rest.strip_suffix(&extension).filter(|text| clock::is_stamp(text))?.to_owned();
        Some(Before { path, stamp, compressed })
    };
    entries.filter_map(|entry| one(entry.path())).collect()
}

/// A file beside it that is whole takes its place.
fn compress(path: &Path) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(COMPRESSED);
    let (done, part) = (PathBuf::from(&name), {
        name.push(".part");
        PathBuf::from(name)
    });
    let compressed = (|| {
        let mut to = GzEncoder::new(File::create(&part)?, Compression::default());
        io::copy(&mut File::open(path)?, &mut to)?;
        to.finish()?;
        fs::rename(&part, &done)
    })();
    match compressed {
        Ok(()) => fs::remove_file(path),
        Err(error) => {
            // Half of one is worth less than its room.
            let _ = fs::remove_file(&part);
            Err(error)
        }
    }
}
