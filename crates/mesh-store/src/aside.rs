//! Volumes that are put aside while others take their place, so that a change of several is made whole or not at all.
//!
//! A journal says which ones, before the first is touched. Each is renamed within its own directory, an empty one stands
//! in its place, and whoever fills those ends with [`Aside::keep`] or [`Aside::put_back`]. Who is killed in between
//! leaves the journal, and the next one that finds it ([`Aside::left`]) puts the old ones back; once `keep` has written
//! that the new ones count, it removes the old ones. Both ways may be cut off and gone again.

use crate::replace::replace;
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, chown},
    path::{Path, PathBuf},
};

/// Version of the journal.
const VERSION: u32 = 1;
/// Bytes of the journal.
const JOURNAL_BYTES_MAX: u64 = 1 << 20;
/// A volume's data, in the volume's directory.
const DATA: &str = "_data";
/// The data that was put aside.
const OLD: &str = "_data.old";
/// Data that is of no use to anybody any more; where something of this name stays, that and a number.
const GONE: &str = "_data.gone";
/// Names that are tried for it.
const GONE_MAX: u32 = 1000;

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// The disk refused.
    #[error("could not {operation} {}", path.display())]
    Disk {
        /// `read`, `write`, `rename` and the like.
        operation: &'static str,
        /// What.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The journal is there and is not what was written.
    #[error("{} is not a journal of volumes that were put aside: {reason}; it is left as it is", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Somebody is at work on it.
    #[error("another command is at work on the project's volumes")]
    Busy,
    /// An earlier change was cut off, and has the only whole data.
    #[error("an earlier change of the project's volumes was cut off, and is not put back yet")]
    Unfinished,
}

/// How far a change has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// The old volumes count.
    Begun,
    /// The new ones count.
    Kept,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Journal {
    version: u32,
    stage: Stage,
    /// The directories of the volumes.
    volumes: Vec<PathBuf>,
    /// What ran before.
    services: Vec<String>,
}

/// The right to put a project's volumes aside, before anything is. It goes with whoever drops it.
#[derive(Debug)]
pub struct Hold {
    path: PathBuf,
    lock: File,
}

impl Hold {
    /// Takes it, by the path of the journal.
    ///
    /// # Errors
    /// [`AsideError::Busy`] where somebody has it, [`AsideError::Unfinished`] where a change was cut off.
    pub fn take(path: &Path) -> Result<Self, AsideError> {
        let lock = lock(path)?.ok_or(AsideError::Busy)?;
        // What that change put aside is the only whole data.
        match read(path)? {
            Some(_) => Err(AsideError::Unfinished),
            None => Ok(Self { path: path.to_owned(), lock }),
        }
    }

    /// Writes down that these volumes, by their directories, are about to be put aside, and which services ran. Nothing
    /// of the volumes is touched yet.
    ///
    /// # Errors
    /// See [`AsideError`].
    pub fn begin(self, volumes: Vec<PathBuf>, services: Vec<String>) -> Result<Aside, AsideError> {
        // What an earlier change left would be taken for what this one put aside.
        for volume in &volumes {
            retire(volume)?;
            // What stays is under a name that is in nobody's way.
            let _ = sweep(volume);
        }
        let journal = Journal { version: VERSION, stage: Stage::Begun, volumes, services };
        write(&self.path, &journal)?;
        Ok(Aside { path: self.path, journal, _lock: self.lock })
    }
}

/// Volumes that are put aside. Whoever has it is the only one at work on them.
#[derive(Debug)]
pub struct Aside {
    path: PathBuf,
    journal: Journal,
    _lock: File,
}

impl Aside {
    /// Writes down that these volumes, by their directories, are about to be put aside, and which services ran.
    ///
    /// # Errors
    /// See [`AsideError`].
    pub fn begin(path: &Path, volumes: Vec<PathBuf>, services: Vec<String>) -> Result<Self, AsideError> {
        Hold::take(path)?.begin(volumes, services)
    }

    /// One that was cut off; none where there is none, or somebody is at work on it.
    ///
    /// # Errors
    /// See [`AsideError`].
    pub fn left(path: &Path) -> Result<Option<Self>, AsideError> {
        if !path.exists() {
            return Ok(None);
        }
        let Some(lock) = lock(path)? else { return Ok(None) };
        // Whoever had it may have come to its end meanwhile.
        Ok(read(path)?.map(|journal| Self { path: path.to_owned(), journal, _lock: lock }))
    }

    /// How far it has come.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.journal.stage
    }

    /// What ran before.
    #[must_use]
    pub fn services(&self) -> &[String] {
        &self.journal.services
    }

    /// Puts the volumes aside; an empty one of the same owner and mode stands in the place of each.
    ///
    /// # Errors
    /// See [`AsideError`].
    pub fn put_aside(&self) -> Result<(), AsideError> {
        for volume in &self.journal.volumes {
            let (data, old) = (volume.join(DATA), volume.join(OLD));
            let metadata = fs::metadata(&data).map_err(disk("read", &data))?;
            rename(&data, &old)?;
            DirBuilder::new().mode(0o700).create(&data).map_err(disk("make", &data))?;
            // An ordinary user may not give it away; then the copy that fills it does, in its namespace.
            let _ = chown(&data, Some(metadata.uid()), Some(metadata.gid()));
            let mode = fs::Permissions::from_mode(metadata.mode() & 0o7777);
            fs::set_permissions(&data, mode).map_err(disk("make", &data))?;
            sync(volume)?;
        }
        Ok(())
    }

    /// The new volumes count from now on, once all of them is on the disk; the old ones are removed. Gives those
    /// directories of which something stays.
    ///
    /// # Errors
    /// See [`AsideError`]: then the old ones count.
    pub fn keep(mut self) -> Result<Vec<PathBuf>, AsideError> {
        for volume in &self.journal.volumes {
            let synced = File::open(volume).and_then(|volume| Ok(rustix::fs::syncfs(volume)?));
            synced.map_err(disk("sync", volume))?;
        }
        self.journal.stage = Stage::Kept;
        write(&self.path, &self.journal)?;
        self.finish()
    }

    /// The old volumes take their places again; what stood there is removed. Gives those directories of which something
    /// stays. Of one that was kept, the same as [`keep`](Self::keep). Until this is dropped nobody else puts them aside.
    ///
    /// # Errors
    /// See [`AsideError`]; it can be tried again.
    pub fn put_back(&self) -> Result<Vec<PathBuf>, AsideError> {
        if self.journal.stage == Stage::Kept {
            return self.finish();
        }
        for volume in &self.journal.volumes {
            let (data, old) = (volume.join(DATA), volume.join(OLD));
            // Where nothing was put aside, or it is back already.
            if !old.exists() {
                continue;
            }
            if data.exists() {
                rename(&data, &free(volume)?)?;
            }
            rename(&old, &data)?;
            sync(volume)?;
        }
        self.finish()
    }

    /// Removes what is of no use, and then the journal.
    fn finish(&self) -> Result<Vec<PathBuf>, AsideError> {
        let mut staying = Vec::new();
        for volume in &self.journal.volumes {
            if self.journal.stage == Stage::Kept {
                retire(volume)?;
            }
            staying.extend(sweep(volume));
        }
        fs::remove_file(&self.path).map_err(disk("remove", &self.path))?;
        sync(self.path.parent().unwrap_or(Path::new("/")))?;
        Ok(staying)
    }
}

/// What was put aside is of no use any more. It is renamed: of what an ordinary user may not remove nothing may be in the
/// way of the next change.
fn retire(volume: &Path) -> Result<(), AsideError> {
    let old = volume.join(OLD);
    if fs::symlink_metadata(&old).is_err() {
        return Ok(());
    }
    rename(&old, &free(volume)?)
}

/// A name for what is of no use that nothing has.
fn free(volume: &Path) -> Result<PathBuf, AsideError> {
    let first = volume.join(GONE);
    let others = (1..GONE_MAX).map(|number| volume.join(format!("{GONE}-{number}")));
    let mut all = std::iter::once(first.clone()).chain(others);
    let free = all.find(|path| fs::symlink_metadata(path).is_err());
    free.ok_or_else(|| disk("remove", &first)(io::ErrorKind::DirectoryNotEmpty.into()))
}

/// Removes what is of no use in a volume's directory, whoever is at work on the volume. Gives what stays: files of other
/// users, where an ordinary user has not entered the namespace in which they are its own.
#[must_use]
pub fn sweep(volume: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(volume).into_iter().flatten().flatten();
    let gone = entries.map(|entry| entry.path()).filter(|path| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.and_then(|name| name.strip_prefix(GONE))
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    });
    let gone: Vec<PathBuf> = gone.collect();
    gone.iter().for_each(|path| discard(path));
    gone.into_iter().filter(|path| fs::symlink_metadata(path).is_ok()).collect()
}

/// What cannot be removed is told by who looks.
fn discard(path: &Path) {
    let _ = fs::remove_dir_all(path);
}

fn rename(from: &Path, to: &Path) -> Result<(), AsideError> {
    fs::rename(from, to).map_err(disk("rename", from))
}

fn sync(directory: &Path) -> Result<(), AsideError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(disk("sync", directory))
}

fn write(path: &Path, journal: &Journal) -> Result<(), AsideError> {
    let bytes = serde_json::to_vec(journal).map_err(|error| disk("write", path)(error.into()))?;
    replace(path, &bytes).map_err(disk("write", path))
}

fn read(path: &Path) -> Result<Option<Journal>, AsideError> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(disk("read", path))?,
    };
    let mut bytes = Vec::new();
    file.take(JOURNAL_BYTES_MAX).read_to_end(&mut bytes).map_err(disk("read", path))?;
    let corrupt = |reason: String| AsideError::Corrupt { path: path.to_owned(), reason };
    let journal: Journal = serde_json::from_slice(&bytes).map_err(|error| corrupt(error.to_string()))?;
    if journal.version != VERSION {
        return Err(corrupt(format!("its version is {}, this is for {VERSION}", journal.version)));
    }
    Ok(Some(journal))
}

/// `None`: somebody has it.
fn lock(path: &Path) -> Result<Option<File>, AsideError> {
    let path = path.with_extension("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let file = file.map_err(disk("lock", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(disk("lock", &path)(error)),
    }
}

fn disk(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> AsideError {
    let path = path.to_owned();
    move |source| AsideError::Disk { operation, path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bench {
        home: tempfile::TempDir,
    }

    impl Bench {
        fn new() -> Self {
            let home = tempfile::tempdir().unwrap();
            for name in ["a", "b"] {
                let data = home.path().join(name).join(DATA);
                fs::create_dir_all(&data).unwrap();
                fs::set_permissions(&data, fs::Permissions::from_mode(0o750)).unwrap();
                fs::write(data.join("file"), "old").unwrap();
            }
            Self { home }
        }

        fn journal(&self) -> PathBuf {
            self.home.path().join("restore.json")
        }

        fn volumes(&self) -> Vec<PathBuf> {
            ["a", "b"].map(|name| self.home.path().join(name)).to_vec()
        }

        fn begin(&self) -> Aside {
            Aside::begin(&self.journal(), self.volumes(), vec!["db".to_owned()]).unwrap()
        }

        fn fill(&self, name: &str) {
            fs::write(self.home.path().join(name).join(DATA).join("file"), "new").unwrap();
        }

        fn check(&self, want: &str) {
            for volume in self.volumes() {
                assert_eq!(fs::read_to_string(volume.join(DATA).join("file")).unwrap(), want);
                let names: Vec<_> =
                    fs::read_dir(&volume).unwrap().map(|one| one.unwrap().file_name()).collect();
                assert_eq!(names, [DATA], "{volume:?}");
                assert_eq!(volume.join(DATA).metadata().unwrap().mode() & 0o777, 0o750);
            }
            assert!(Aside::left(&self.journal()).unwrap().is_none());
        }
    }

    #[test]
    fn new_volumes_are_kept_and_old_ones_put_back() {
        let bench = Bench::new();
        let aside = bench.begin();
        aside.put_aside().unwrap();
        assert!(Aside::left(&bench.journal()).unwrap().is_none(), "somebody is at work on it");
        assert!(matches!(Aside::begin(&bench.journal(), Vec::new(), Vec::new()), Err(AsideError::Busy)));
        bench.fill("a");
        assert_eq!(aside.put_back().unwrap(), [""; 0].map(PathBuf::from));
        drop(aside);
        bench.check("old");
        let aside = bench.begin();
        aside.put_aside().unwrap();
        bench.fill("a");
        bench.fill("b");
        aside.keep().unwrap();
        bench.check("new");
    }

    #[test]
    fn whoever_is_cut_off_leaves_the_old_ones_or_the_new_ones() {
        // As a kill leaves it: begun and nothing moved, one of two moved, moved and no empty one made, half filled.
        for moved in 0..4 {
            let bench = Bench::new();
            let aside = bench.begin();
            match moved {
                0 => {}
                1 => {
                    fs::rename(bench.home.path().join("a").join(DATA), bench.home.path().join("a").join(OLD))
                        .unwrap()
                }
                2 => {
                    aside.put_aside().unwrap();
                    fs::remove_dir(bench.home.path().join("b").join(DATA)).unwrap();
                }
                _ => {
                    aside.put_aside().unwrap();
                    bench.fill("a");
                }
            }
            drop(aside);
            let left = Aside::left(&bench.journal()).unwrap().expect("it was cut off");
            assert_eq!((left.stage(), left.services()), (Stage::Begun, ["db".to_owned()].as_slice()));
            left.put_back().unwrap();
            drop(left);
            bench.check("old");
        }
        // Once the new ones count, the old ones are only to be removed.
        let bench = Bench::new();
        let mut aside = bench.begin();
        aside.put_aside().unwrap();
        bench.fill("a");
        bench.fill("b");
        aside.journal.stage = Stage::Kept;
        write(&aside.path, &aside.journal).unwrap();
        drop(aside);
        let left = Aside::left(&bench.journal()).unwrap().expect("it was cut off");
        assert_eq!(left.stage(), Stage::Kept);
        left.put_back().unwrap();
        drop(left);
        bench.check("new");
    }

    #[test]
    fn what_was_put_aside_by_one_that_was_cut_off_is_not_another_ones_to_remove() {
        let bench = Bench::new();
        let aside = bench.begin();
        aside.put_aside().unwrap();
        bench.fill("a");
        drop(aside);
        let begun = Aside::begin(&bench.journal(), bench.volumes(), Vec::new());
        assert!(matches!(begun, Err(AsideError::Unfinished)));
        let left = Aside::left(&bench.journal()).unwrap().expect("it was cut off");
        left.put_back().unwrap();
        // Whoever put it back may have more to do before the next one begins.
        assert!(matches!(Hold::take(&bench.journal()), Err(AsideError::Busy)));
        drop(left);
        bench.check("old");
        drop(Hold::take(&bench.journal()).unwrap());
    }

    #[test]
    fn what_could_not_be_removed_is_in_nobodys_way() {
        let bench = Bench::new();
        let volume = bench.home.path().join("a");
        // No directory, and so not removed as one.
        fs::write(volume.join(GONE), "stays").unwrap();
        fs::create_dir(volume.join(OLD)).unwrap();
        let aside = bench.begin();
        assert!(!volume.join(OLD).exists());
        aside.put_aside().unwrap();
        assert_eq!(aside.put_back().unwrap(), [volume.join(GONE)]);
        drop(aside);
        let aside = bench.begin();
        aside.put_aside().unwrap();
        bench.fill("a");
        bench.fill("b");
        assert_eq!(aside.keep().unwrap(), [volume.join(GONE)]);
        fs::remove_file(volume.join(GONE)).unwrap();
        bench.check("new");
    }

    #[test]
    fn a_journal_that_is_broken_stays() {
        let bench = Bench::new();
        fs::write(bench.journal(), "{").unwrap();
        assert!(matches!(Aside::left(&bench.journal()), Err(AsideError::Corrupt { .. })));
        assert!(bench.journal().exists());
    }
}
