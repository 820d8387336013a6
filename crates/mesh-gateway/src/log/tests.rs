use super::*;
use std::{
    collections::BTreeSet,
    io::Read as _,
    time::{Duration, Instant, UNIX_EPOCH},
};

fn options(path: &Path) -> statics::Log {
    statics::Log { file_path: path.display().to_string(), ..statics::Log::default() }
}

fn names(folder: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_log_is_what_is_asked_for() {
    let log = |options: Option<&statics::Log>| Log::new(options).expect("a log");
    assert_eq!((log(None).level.as_str(), log(None).json), ("error", false));
    let mut asked =
        statics::Log { level: "DEBUG".to_owned(), format: "json".to_owned(), ..Default::default() };
    assert_eq!((log(Some(&asked)).level.as_str(), log(Some(&asked)).json), ("debug", true));
    asked.level = "panic".to_owned();
    assert_eq!(log(Some(&asked)).level, "error");
    let folder = tempfile::tempdir().expect("a folder");
    let wrong = options(&folder.path().join("nowhere/a.log"));
    assert!(Log::new(Some(&wrong)).is_err());
}

#[test]
fn a_file_that_is_full_is_put_aside() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("traefik.log");
    let log = Log::new(Some(&statics::Log { max_size: 1, max_backups: 2, ..options(&path) })).expect("a log");
    let line = format!("{}\n", "x".repeat(400 << 10));
    for _ in 0..5 {
        (&*log.writer).write_all(line.as_bytes()).expect("taken");
    }
    // Two lines have room in a megabyte: two files are full, and a third was begun.
    let deadline = Instant::now() + Duration::from_secs(20);
    while names(folder.path()).iter().filter(|name| name.ends_with(".log.gz")).count() < 2 {
        assert!(Instant::now() < deadline, "{:?}", names(folder.path()));
        log.writer.pen().expect("a file").rotation.tidy(&path, SystemTime::now());
        std::thread::yield_now();
    }
    assert_eq!(fs::read_to_string(&path).expect("a log"), line);
    let kept = names(folder.path()).into_iter().find(|name| name.ends_with(".gz")).expect("one");
    let mut text = String::new();
    let file = File::open(folder.path().join(kept)).expect("a file");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("whole");
    assert_eq!(text, line.repeat(2));
}

#[test]
fn those_that_are_old_or_too_many_go() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.log");
    let day = |count: u64| UNIX_EPOCH + Duration::from_secs(count * 86_400);
    let others =
        ["a.log", "a-2026.log", "b-1970-01-02T00-00-00.000.log", "a-1970-01-09T00-00-00.000.log.part"];
    for (age, backups, kept) in [(0, 0, 5), (3, 0, 3), (0, 2, 2), (3, 1, 1), (1, 9, 1)] {
        let rotation = Rotation::new(&statics::Log { max_age: age, max_backups: backups, ..options(&path) });
        for count in 1..=5 {
            fs::write(rotation.name(&path, day(count)), "text").expect("written");
        }
        for other in others {
            fs::write(folder.path().join(other), "other").expect("written");
        }
        rotation.put_in_order(&path, day(5) + Duration::from_secs(60));
        let left = names(folder.path());
        let aside: Vec<_> =
            left.iter().filter(|name| name.starts_with("a-1970") && name.ends_with(".gz")).collect();
        assert_eq!(aside.len(), kept, "{age} {backups}: {left:?}");
        assert!(aside.last().is_some_and(|name| name.contains("1970-01-06")), "the newest stays: {left:?}");
        assert!(others.iter().all(|other| left.contains(*other)), "{left:?}");
        for name in left {
            fs::remove_file(folder.path().join(name)).expect("removed");
        }
    }
}

#[test]
fn a_file_that_was_moved_away_is_begun_anew_when_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.log");
    let log = Log::new(Some(&options(&path))).expect("a log");
    let write = |text: &str| (&*log.writer).write_all(text.as_bytes()).expect("taken");
    write("one\n");
    fs::rename(&path, folder.path().join("old")).expect("renamed");
    write("two\n");
    log.writer.reopen().expect("opened");
    write("three\n");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).expect("a file");
    assert_eq!((read("old"), read("a.log")), ("one\ntwo\n".to_owned(), "three\n".to_owned()));
}

/// A disk that takes so many bytes.
struct Disk(usize, Vec<u8>);

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(self.0);
        self.0 -= count;
        self.1.extend_from_slice(&bytes[..count]);
        if count == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(count) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_a_disk_took_is_known() {
    let mut disk = Disk(5, Vec::new());
    let (written, failed) = write_most(&mut disk, b"one\ntwo\n");
    assert_eq!((written, failed.map(|error| error.kind())), (5, Some(io::ErrorKind::StorageFull)));
    assert_eq!(disk.1, b"one\nt");
    assert!(matches!(write_most(&mut Disk(9, Vec::new()), b"one\n"), (4, None)));
}
