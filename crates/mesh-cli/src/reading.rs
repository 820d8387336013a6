//! What the files of a project said when `exec` last read them.
//!
//! Reading them is most of what an `exec` does by itself, and grows with them. What comes of it follows from the
//! environment, the directory, and the files that were looked at: as long as all of these are as they were, it is known.
//!
//! Invariants: a file counts as it was just before it was read, and nothing is kept if it is another one by the time of
//! keeping, or could still be changed in the moment of its last change; of a file that is not there it is known that it is
//! not. Nothing is kept of file systems whose files others change unseen. One reading is kept for a directory, and
//! directories share a bounded number of places. Values of variables are not kept, but what they come to. Absent on
//! purpose: options before the verb, whose lines are read as all others.

use crate::{context::Target, environment::Environment};
use mesh_compose::Stamp;
use mesh_store::{
    home::{Home, ProjectPaths},
    record,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// To be raised with every change of what is kept.
const FORMAT: u32 = 2;
/// Where readings are, below the directory of sockets.
const FOLDER: &str = "readings";
/// Places for readings.
const PLACES: u64 = 256;
/// Largest reading, in bytes.
const READING_BYTES_MAX: u64 = 256 << 10;
/// What most readings are below, in bytes.
const READING_BYTES: usize = 4096;
/// Files of one reading.
const FILES_MAX: usize = 512;
/// File systems of other machines and of programs, by their numbers (statfs(2)): NFS, SMB, CIFS, SMB 2, 9P, FUSE, AFS, Ceph.
const FAR: [u64; 8] =
    [0x6969, 0x517b, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x6573_5546, 0x5346_414f, 0x00c3_6400];
/// How long a reading may take to be written.
const WRITTEN_MAX: Duration = Duration::from_secs(10);

/// Under which circumstances a command is called.
#[derive(Debug)]
pub(crate) struct Circumstances {
    home: Home,
    directory: PathBuf,
    /// A digest of the environment, the directory and this binary.
    digest: u64,
    /// Before anything was read.
    begun: SystemTime,
}

/// What is known of a project without reading its files.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    format: u32,
    circumstances: u64,
    /// Its name.
    project: String,
    /// All of its services.
    services: BTreeSet<String>,
    /// Files, and what tells a changed one.
    files: Vec<(PathBuf, Stamp)>,
}

impl Circumstances {
    /// Those of this command; `None` where it is not to be known what was read before.
    pub(crate) fn now(environment: &Environment) -> Option<Self> {
        let directory = std::env::current_dir().ok()?;
        let uid = rustix::process::geteuid().as_raw();
        let home = Home::of_environment(&|name: &str| environment.get(name).map(Into::into), uid).ok()?;
        // Whose containers are there is then not asked.
        if environment.is_true("MESH_TAKE_OVER") {
            return None;
        }
        let mut hasher = DefaultHasher::new();
        // Another build may read the same otherwise.
        let binary = fs::metadata("/proc/self/exe").ok()?;
        (binary.dev(), binary.ino(), binary.size(), binary.ctime(), binary.ctime_nsec()).hash(&mut hasher);
        (&directory, environment.all()).hash(&mut hasher);
        Some(Self { home, directory, digest: hasher.finish(), begun: SystemTime::now() })
    }

    /// Where the reading of this directory is.
    fn place(&self) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        self.directory.hash(&mut hasher);
        self.home.runtime.join(FOLDER).join(format!("{:02x}.json", hasher.finish() % PLACES))
    }

    /// The reading that still holds.
    pub(crate) fn recall(&self) -> Option<Reading> {
        let mut text = Vec::with_capacity(READING_BYTES);
        let file = File::open(self.place()).ok()?;
        file.take(READING_BYTES_MAX).read_to_end(&mut text).ok()?;
        let reading: Reading = serde_json::from_slice(&text).ok()?;
        let is_ours = reading.format == FORMAT && reading.circumstances == self.digest;
        let holds = |(path, stamp): &(PathBuf, Stamp)| Stamp::now(path) == *stamp;
        (is_ours && reading.files.iter().all(holds)).then_some(reading)
    }

    /// Files of the project, as they are under these circumstances.
    pub(crate) fn paths(&self, reading: &Reading) -> ProjectPaths {
        self.home.project(&reading.project)
    }

    /// Keeps what `target` was read to be. Where it cannot be kept, it is read again.
    pub(crate) fn keep(&self, target: &Target) {
        if let Some(reading) = self.reading(target) {
            let _ = self.write(&reading);
        }
    }

    /// A reading of what nobody is changing, of the checkout that the containers belong to.
    fn reading(&self, target: &Target) -> Option<Reading> {
        let project = target.project.as_deref()?;
        let record_before = Stamp::now(&target.paths.record);
        let record = match record::load(&target.paths.record) {
            Ok(record::Loaded::Found(record)) => record,
            _ => return None,
        };
        if record.project.directory != project.directory || target.looked_at.len() >= FILES_MAX {
            return None;
        }
        let looked_at = target.looked_at.iter().map(|(path, before)| (path.as_path(), *before));
        let files = looked_at.chain([(target.paths.record.as_path(), record_before)]);
        Some(Reading {
            format: FORMAT,
            circumstances: self.digest,
            project: target.name.clone(),
            services: project.services.keys().chain(&project.inactive).cloned().collect(),
            files: files.map(|(path, before)| self.known(path, before)).collect::<Option<_>>()?,
        })
    }

    /// A file that is what it was `before` it was read, and that cannot become another one without being told from it.
    fn known(&self, path: &Path, before: Stamp) -> Option<(PathBuf, Stamp)> {
        let same = Stamp::now(path) == before;
        (same && before.is_settled(self.begun) && path.is_absolute() && is_told_of_changes(path))
            .then(|| (path.to_owned(), before))
    }

    fn write(&self, reading: &Reading) -> io::Result<()> {
        let text = serde_json::to_vec(reading)?;
        if u64::try_from(text.len()).is_ok_and(|bytes| bytes >= READING_BYTES_MAX) {
            return Ok(());
        }
        let place = self.place();
        let folder = self.home.runtime.join(FOLDER);
        match DirBuilder::new().mode(0o700).create(&folder) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let beside = place.with_extension("new");
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside) {
            Ok(file) => file,
            Err(error) => {
                // Of two that write at once one does not; and what a killed one left is in nobody's way for long.
                let since = fs::symlink_metadata(&beside).and_then(|left| left.modified()).ok();
                if since.and_then(|since| since.elapsed().ok()).is_some_and(|age| age > WRITTEN_MAX) {
                    let _ = fs::remove_file(&beside);
                }
                return Err(error);
            }
        };
        let written = file.write_all(&text).and_then(|()| fs::rename(&beside, &place));
        if written.is_err() {
            let _ = fs::remove_file(&beside);
        }
        written
    }
}

impl Reading {
    /// Whether the project has a service, active or not.
    pub(crate) fn has(&self, service: &str) -> bool {
        self.services.contains(service)
    }
}

/// Whether a file is on a file system that only this machine changes: what others change is seen late there, since what
/// was asked a moment ago is not asked again.
fn is_told_of_changes(path: &Path) -> bool {
    let there = path.ancestors().find_map(|place| rustix::fs::statfs(place).ok());
    there.is_some_and(|found| !FAR.contains(&u64::try_from(found.f_type).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_store::record::ProjectRecord;

    /// Longer than any file is unsettled.
    const SETTLED: Duration = Duration::from_secs(10);

    /// A directory with a Compose file of which a reading is kept.
    struct Checkout {
        root: tempfile::TempDir,
    }

    type Change = fn(&Checkout);

    impl Checkout {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("run")).unwrap();
            fs::write(root.path().join("compose.yaml"), "services: {a: {image: x}}\n").unwrap();
            Self { root }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        /// So much later than now.
        fn after(&self, later: Duration, digest: u64) -> Circumstances {
            let [data, state, runtime] = ["data", "state", "run"].map(|name| self.path(name));
            let begun = SystemTime::now() + later;
            let directory = self.root.path().to_owned();
            Circumstances { home: Home { data, state, runtime }, directory, digest, begun }
        }

        fn circumstances(&self) -> Circumstances {
            self.after(SETTLED * 2, 1)
        }

        /// The project as it is read, with a record of it.
        fn target(&self) -> Target {
            let options = mesh_compose::LoadOptions {
                working_directory: self.root.path().to_owned(),
                project_name: Some("shop".to_owned()),
                interpolate: true,
                ..Default::default()
            };
            let loaded = mesh_compose::load(&options).unwrap();
            let paths = self.circumstances().home.project("shop");
            fs::create_dir_all(&paths.directory).unwrap();
            record::save(&paths.record, &ProjectRecord::new(loaded.project.clone())).unwrap();
            Target {
                name: "shop".to_owned(),
                paths,
                project: Some(Box::new(loaded.project)),
                rehearsal: false,
                refusals: Default::default(),
                orphans: Default::default(),
                environment: loaded.environment,
                looked_at: loaded.looked_at,
            }
        }
    }

    #[test]
    fn a_reading_holds_as_long_as_nothing_changed() {
        let changes: [(&str, Change); 6] = [
            ("file", |it| fs::write(it.path("compose.yaml"), "services: {b: {image: x}}\n").unwrap()),
            ("same size, other file", |it| {
                fs::copy(it.path("compose.yaml"), it.path("new")).unwrap();
                fs::rename(it.path("new"), it.path("compose.yaml")).unwrap();
            }),
            ("variables", |it| fs::write(it.path(".env"), "A=b\n").unwrap()),
            ("override", |it| fs::write(it.path("compose.override.yml"), "{}\n").unwrap()),
            ("gone", |it| fs::remove_file(it.path("compose.yaml")).unwrap()),
            ("brought up again", |it| drop(it.target())),
        ];
        for (what, change) in changes {
            let checkout = Checkout::new();
            assert!(checkout.circumstances().recall().is_none(), "{what}: there is none yet");
            checkout.circumstances().keep(&checkout.target());
            let reading = checkout.circumstances().recall().expect(what);
            assert!(reading.has("a") && !reading.has("b"), "{what}");
            assert_eq!(checkout.circumstances().paths(&reading).record, checkout.target().paths.record);
            // The record was just written anew.
            assert!(checkout.circumstances().recall().is_none(), "{what}: the record is another one");
            checkout.circumstances().keep(&checkout.target());
            assert!(checkout.circumstances().recall().is_some(), "{what}");
            assert!(checkout.after(Duration::ZERO, 2).recall().is_none(), "{what}: other circumstances");
            change(&checkout);
            assert!(checkout.circumstances().recall().is_none(), "{what}");
        }
    }

    #[test]
    fn what_changed_since_it_was_read_is_not_kept() {
        let changes: [(&str, Change); 5] = [
            ("a file that was there", |it| fs::remove_file(it.path(".env")).unwrap()),
            ("one that was not", |it| fs::write(it.path("compose.override.yml"), "{}\n").unwrap()),
            ("a link to something older", |it| {
                fs::remove_file(it.path(".env")).unwrap();
                std::os::unix::fs::symlink(it.path("older"), it.path(".env")).unwrap();
            }),
            ("a file", |it| fs::write(it.path("compose.yaml"), "services: {b: {image: x}}\n").unwrap()),
            ("the time of the last change is the same, it is another file", |it| {
                fs::rename(it.path("older"), it.path(".env")).unwrap();
            }),
        ];
        for (what, change) in changes {
            let checkout = Checkout::new();
            for name in ["older", ".env"] {
                fs::write(checkout.path(name), "A=b\n").unwrap();
            }
            let read = checkout.target();
            change(&checkout);
            checkout.circumstances().keep(&read);
            assert!(checkout.circumstances().recall().is_none(), "{what}");
        }
    }

    #[test]
    fn what_a_killed_writer_left_is_in_the_way_once() {
        let checkout = Checkout::new();
        let target = checkout.target();
        let left = checkout.circumstances().place().with_extension("new");
        fs::create_dir(left.parent().unwrap()).unwrap();
        let file = File::create(&left).unwrap();
        checkout.circumstances().keep(&target);
        assert!(left.exists() && checkout.circumstances().recall().is_none(), "its writer may live");
        file.set_modified(SystemTime::now() - WRITTEN_MAX * 2).unwrap();
        checkout.circumstances().keep(&target);
        assert!(!left.exists() && checkout.circumstances().recall().is_none());
        checkout.circumstances().keep(&target);
        assert!(checkout.circumstances().recall().is_some());
    }

    #[test]
    fn what_may_still_change_and_what_is_somebody_else_s_is_not_kept() {
        let checkout = Checkout::new();
        checkout.after(Duration::ZERO, 1).keep(&checkout.target());
        assert!(checkout.circumstances().recall().is_none(), "its files are too new");
        let mut elsewhere = checkout.target();
        if let Some(project) = &mut elsewhere.project {
            project.directory = PathBuf::from("/elsewhere");
        }
        checkout.circumstances().keep(&elsewhere);
        assert!(checkout.circumstances().recall().is_none(), "the containers are another checkout's");
        let nothing = Target { project: None, ..checkout.target() };
        checkout.circumstances().keep(&nothing);
        assert!(checkout.circumstances().recall().is_none(), "nothing was read");
    }

    #[test]
    fn what_is_no_reading_is_none() {
        let checkout = Checkout::new();
        checkout.circumstances().keep(&checkout.target());
        let place = checkout.circumstances().place();
        let whole = fs::read(&place).unwrap();
        for torn in [&b""[..], b"{}", &whole[..whole.len() / 2]] {
            fs::write(&place, torn).unwrap();
            assert!(checkout.circumstances().recall().is_none());
        }
        fs::write(&place, &whole).unwrap();
        assert!(checkout.circumstances().recall().is_some());
        let kept: Vec<_> = fs::read_dir(place.parent().unwrap()).unwrap().flatten().collect();
        assert_eq!(kept.len(), 1, "nothing is left beside it");
    }
}
