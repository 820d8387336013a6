//! What the files of a project said when `exec` last read them.
//!
//! Reading them is most of what an `exec` does by itself, and grows with them. What comes of it follows from the
//! environment, the directory, and the files that were looked at: as long as all of these are as they were, it is known.
//!
//! Invariants: nothing is kept of what could still be changed in the moment of its last change; of a file that is not
//! there it is known that it is not. One reading is kept for a directory, and directories share a bounded number of
//! places. Values of variables are not kept, but what they come to. Absent on purpose: options before the verb, whose
//! lines are read as all others.

use crate::{context::Target, environment::Environment};
use mesh_store::{
    home::{Home, ProjectPaths},
    record,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeSet,
    fs::{self, DirBuilder, File, Metadata, OpenOptions},
    hash::{DefaultHasher, Hash as _, Hasher as _},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// To be raised with every change of what is kept.
const FORMAT: u32 = 1;
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
/// How long a file has to be as it is before it is taken for known: a second change in the same moment could not be told
/// from the first. The kernel has moments of up to 10 ms.
const SETTLED: Duration = Duration::from_millis(200);
/// The same where a file system knows whole seconds only.
const SETTLED_COARSELY: Duration = Duration::from_secs(2);

/// Under which circumstances a command is called.
#[derive(Debug)]
pub(crate) struct Circumstances {
    home: Home,
    directory: PathBuf,
    /// A digest of the environment, the directory and this binary's version.
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
    /// Files, and what tells a changed one; nothing: it is not there.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// What is another one once a file was changed or replaced: device, number, bytes, and the time of its last change in
/// seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp(u64, u64, u64, i64, i64);

impl Stamp {
    fn of(file: &Metadata) -> Self {
        Self(file.dev(), file.ino(), file.size(), file.ctime(), file.ctime_nsec())
    }

    /// That of a file as it is now, through links; `None` within: it is not there.
    fn now(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(file) => Ok(Some(Self::of(&file))),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the last change was so long before that moment that another one would be told from it.
    fn is_settled(self, moment: SystemTime) -> bool {
        let Self(.., seconds, nanoseconds) = self;
        let settled = if nanoseconds == 0 { SETTLED_COARSELY } else { SETTLED };
        let changed = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        changed.is_some_and(|(seconds, nanoseconds)| {
            UNIX_EPOCH
                .checked_add(Duration::new(seconds, nanoseconds) + settled)
                .is_some_and(|it| it <= moment)
        })
    }
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
        (env!("CARGO_PKG_VERSION"), &directory, environment.all()).hash(&mut hasher);
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
        let holds =
            |(path, stamp): &(PathBuf, Option<Stamp>)| Stamp::now(path).is_ok_and(|now| now == *stamp);
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
        let record = match record::load(&target.paths.record) {
            Ok(record::Loaded::Found(record)) => record,
            _ => return None,
        };
        let files: BTreeSet<&Path> =
            target.looked_at.iter().map(PathBuf::as_path).chain([target.paths.record.as_path()]).collect();
        if record.project.directory != project.directory || files.len() > FILES_MAX {
            return None;
        }
        let stamped = |path: &Path| {
            let stamp = Stamp::now(path).ok()?;
            let known = path.is_absolute() && stamp.is_none_or(|stamp| stamp.is_settled(self.begun));
            known.then(|| (path.to_owned(), stamp))
        };
        Some(Reading {
            format: FORMAT,
            circumstances: self.digest,
            project: target.name.clone(),
            services: project.services.keys().chain(&project.inactive).cloned().collect(),
            files: files.into_iter().map(stamped).collect::<Option<_>>()?,
        })
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
        // Of two that write at once, each has a file of its own.
        let beside = place.with_extension(std::process::id().to_string());
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_store::record::ProjectRecord;

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
            self.after(SETTLED_COARSELY * 2, 1)
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
