//! The folder of a backup: made under a hidden name, synced, and renamed once it is whole.
//!
//! Directories are 0700 and files 0600: what a backup holds is as secret as the data itself.

use super::{
    manifest::{DIGEST_FILE, FILE, Found, MANIFEST_BYTES_MAX, Manifest, PROOF_FILE},
    name,
    seal::{Key, Opening, Sealing},
};
use crate::failure::CliError;
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{ErrorKind, Read, Write},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

/// Mode of directories.
const DIRECTORY_MODE: u32 = 0o700;
/// Mode of files.
const FILE_MODE: u32 = 0o600;
/// Bytes read at once.
const BLOCK_BYTES: usize = 128 * 1024;
/// Largest file of a backup in bytes: 1 TiB.
const FILE_BYTES_MAX: u64 = 1 << 40;
/// Names that are tried where others are taken.
const NAMES_MAX: u64 = 60;
/// End of the name of one that is being made.
const PARTIAL: &str = ".partial";

/// A backup that is being made. What is not finished is removed when this is dropped.
pub(super) struct Partial {
    path: PathBuf,
    whole: PathBuf,
    /// What its files are sealed by.
    key: Option<Key>,
    /// Held as long as somebody works on it.
    _lock: File,
    finished: bool,
}

impl Partial {
    /// Begins one in `folder`; what earlier ones left that were cut off is removed.
    pub(super) fn begin(folder: &Path, now_unix_ms: u64, key: Option<Key>) -> Result<Self, CliError> {
        make_directory(folder)?;
        clear(folder)?;
        for second in 0..NAMES_MAX {
            let name = name::of_moment(now_unix_ms + second * 1000);
            let whole = folder.join(&name);
            let path = folder.join(format!(".{name}{PARTIAL}"));
            if whole.exists() {
                continue;
            }
            match DirBuilder::new().mode(DIRECTORY_MODE).create(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    let named = || format!("make {}", path.display());
                    made.map_err(CliError::io(named()))?;
                    let lock = File::open(&path).map_err(CliError::io(named()))?;
                    flock(&lock, FlockOperation::NonBlockingLockExclusive)
                        .map_err(|error| CliError::io(format!("lock {}", path.display()))(error.into()))?;
                    return Ok(Self { path, whole, key, _lock: lock, finished: false });
                }
            }
        }
        Err(CliError::said(format!("{} has a backup of this minute for every second", folder.display())))
    }

    /// A new file of it, sealed where there is a key.
    pub(super) fn file(&self, name: &str) -> Result<Writing, CliError> {
        let mut file = self.plain(name)?;
        if let Some(key) = &self.key {
            let mut beginning = Vec::new();
            file.sealing = Some(Sealing::begin(key, name, &mut beginning)?);
            file.write_out(&beginning)?;
        }
        Ok(file)
    }

    /// A new file that is not sealed.
    fn plain(&self, name: &str) -> Result<Writing, CliError> {
        let path = self.path.join(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&path);
        let file = file.map_err(CliError::io(format!("make {}", path.display())))?;
        Ok(Writing { path, file, sealing: None, digest: Sha256::new(), bytes: 0 })
    }

    /// Writes the manifest and gives it its name; the path of the whole.
    pub(super) fn finish(mut self, manifest: &Manifest) -> Result<PathBuf, CliError> {
        let text = manifest.to_text().map_err(|error| CliError::said(format!("no manifest: {error}")))?;
        let mut file = self.plain(FILE)?;
        file.write(text.as_bytes())?;
        let digest = file.finish()?.sha256;
        let mut file = self.plain(DIGEST_FILE)?;
        file.write(format!("{digest}  {FILE}\n").as_bytes())?;
        file.finish()?;
        if let Some(key) = &self.key {
            let mut file = self.plain(PROOF_FILE)?;
            file.write(format!("{}\n", key.proof(text.as_bytes())?).as_bytes())?;
            file.finish()?;
        }
        sync(&self.path)?;
        let named = format!("name the backup {}", self.whole.display());
        fs::rename(&self.path, &self.whole).map_err(CliError::io(named))?;
        self.finished = true;
        if let Some(folder) = self.whole.parent() {
            sync(folder)?;
        }
        Ok(self.whole.clone())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // The next one removes what stays.
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A file of a backup while it is written.
pub(super) struct Writing {
    path: PathBuf,
    file: File,
    sealing: Option<Sealing>,
    digest: Sha256,
    bytes: u64,
}

impl Writing {
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        let Some(sealing) = &mut self.sealing else { return self.write_out(bytes) };
        let mut sealed = Vec::new();
        sealing.push(bytes, &mut sealed)?;
        self.write_out(&sealed)
    }

    fn write_out(&mut self, bytes: &[u8]) -> Result<(), CliError> {
        self.bytes += u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.bytes > FILE_BYTES_MAX {
            return Err(CliError::said(format!("{} grows past {FILE_BYTES_MAX} bytes", self.path.display())));
        }
        self.digest.update(bytes);
        self.file.write_all(bytes).map_err(CliError::io(format!("write {}", self.path.display())))
    }

    /// Syncs it.
    pub(super) fn finish(mut self) -> Result<Found, CliError> {
        if let Some(sealing) = self.sealing.take() {
            let mut sealed = Vec::new();
            sealing.finish(&mut sealed)?;
            self.write_out(&sealed)?;
        }
        self.file.sync_all().map_err(CliError::io(format!("sync {}", self.path.display())))?;
        Ok(Found { bytes: self.bytes, sha256: hexadecimal(&self.digest.finalize()) })
    }
}

/// A file of a backup that is read.
pub(super) enum Source {
    /// As it is.
    Plain(File),
    /// Opened chunk by chunk.
    Sealed(Box<Opening<File>>),
}

/// A backup that is there.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) path: PathBuf,
    pub(super) name: String,
}

impl Whole {
    /// All of a folder, the latest last.
    pub(super) fn all(folder: &Path) -> Result<Vec<Self>, CliError> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(CliError::io(format!("list {}", folder.display())))?,
        };
        let mut found: Vec<Self> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                name::is_name(&name).then(|| Self { path: entry.path(), name })
            })
            .collect();
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// The one of this name, or the latest.
    pub(super) fn find(folder: &Path, name: Option<&str>) -> Result<Self, CliError> {
        let mut all = Self::all(folder)?;
        let place = || folder.display().to_string();
        let known = all.iter().map(|one| one.name.as_str()).collect::<Vec<_>>().join(", ");
        let Some(name) = name else {
            return all.pop().ok_or_else(|| {
                CliError::said(format!("there is no backup in {}", place()))
                    .with_hint("`mesh backup` makes one; `--output DIRECTORY` says where they are")
            });
        };
        all.into_iter().find(|one| one.name == name).ok_or_else(|| {
            let error = CliError::said(format!("there is no backup {name} in {}", place()));
            if known.is_empty() { error } else { error.with_hint(format!("there are {known}")) }
        })
    }

    /// Its manifest, and whether that is as it was written.
    pub(super) fn manifest(&self) -> Result<(Manifest, bool), CliError> {
        let (manifest, text) = self.read_manifest()?;
        let written = fs::read_to_string(self.path.join(DIGEST_FILE)).unwrap_or_default();
        let same = written.split_whitespace().next() == Some(hexadecimal(&Sha256::digest(&text)).as_str());
        Ok((manifest, same))
    }

    /// Whether this manifest of it was written by whoever has the key.
    pub(super) fn is_proved(&self, manifest: &Manifest, key: &Key) -> Result<bool, CliError> {
        let (there, text) = self.read_manifest()?;
        let proof = fs::read_to_string(self.path.join(PROOF_FILE)).unwrap_or_default();
        Ok(there == *manifest && key.proves(&text, &proof)?)
    }

    fn read_manifest(&self) -> Result<(Manifest, Vec<u8>), CliError> {
        let path = self.path.join(FILE);
        let named = || format!("read {}", path.display());
        let file = File::open(&path).map_err(CliError::io(named()))?;
        let mut text = Vec::new();
        file.take(MANIFEST_BYTES_MAX + 1).read_to_end(&mut text).map_err(CliError::io(named()))?;
        if u64::try_from(text.len()).unwrap_or(u64::MAX) > MANIFEST_BYTES_MAX {
            return Err(CliError::said(format!("{} is larger than a manifest is", path.display())));
        }
        let manifest = Manifest::parse(&text).map_err(|error| {
            let cause =
                std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
            CliError::said(format!("backup {}: {error}{cause}", self.name))
        })?;
        Ok((manifest, text))
    }

    /// One of its files, to be read.
    pub(super) fn open(&self, name: &str, key: Option<&Key>) -> Result<Source, CliError> {
        let path = self.path.join(name);
        let named = || format!("open {}", path.display());
        let file = File::open(&path).map_err(CliError::io(named()))?;
        match key {
            None => Ok(Source::Plain(file)),
            Some(key) => {
                let opening = Opening::begin(key, name, file).map_err(CliError::io(named()))?;
                Ok(Source::Sealed(Box::new(opening)))
            }
        }
    }

    /// The whole of a small one.
    pub(super) fn text(&self, name: &str, key: Option<&Key>, bytes_max: u64) -> Result<Vec<u8>, CliError> {
        let named = || format!("read {name} of the backup");
        let mut text = Vec::new();
        match self.open(name, key)? {
            Source::Plain(file) => {
                file.take(bytes_max).read_to_end(&mut text).map_err(CliError::io(named()))?;
            }
            Source::Sealed(mut opening) => {
                while let Some(chunk) = opening.chunk().map_err(CliError::io(named()))? {
                    text.extend(chunk);
                    if u64::try_from(text.len()).unwrap_or(u64::MAX) > bytes_max {
                        return Err(CliError::said(format!(
                            "{name} of the backup is larger than such a file is"
                        )));
                    }
                }
            }
        }
        Ok(text)
    }

    /// What is there of one of its files; `None`: nothing.
    pub(super) fn look(&self, name: &str) -> Result<Option<Found>, CliError> {
        let path = self.path.join(name);
        let mut file = match File::open(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            file => file.map_err(CliError::io(format!("open {}", path.display())))?,
        };
        let (mut digest, mut bytes, mut block) = (Sha256::new(), 0_u64, vec![0; BLOCK_BYTES]);
        loop {
            let count = match file.read(&mut block) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                count => count.map_err(CliError::io(format!("read {}", path.display())))?,
            };
            if count == 0 {
                return Ok(Some(Found { bytes, sha256: hexadecimal(&digest.finalize()) }));
            }
            bytes += u64::try_from(count).unwrap_or(u64::MAX);
            digest.update(&block[..count]);
        }
    }
}

fn make_directory(folder: &Path) -> Result<(), CliError> {
    let made = DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(folder);
    made.map_err(CliError::io(format!("make {}", folder.display())))
}

/// Removes what nobody works on any more.
fn clear(folder: &Path) -> Result<(), CliError> {
    let entries = fs::read_dir(folder).map_err(CliError::io(format!("list {}", folder.display())))?;
    for entry in entries.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let stem = name.strip_prefix('.').and_then(|name| name.strip_suffix(PARTIAL));
        // Whatever else is in the folder is not ours to open: a pipe would make us wait for its writer.
        if !stem.is_some_and(name::is_name) || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            // One that stays is in nobody's way.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

fn sync(directory: &Path) -> Result<(), CliError> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(CliError::io(format!("sync {}", directory.display())))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_backup_is_seen_whole_or_not_at_all() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().join("backups");
        let partial = Partial::begin(&folder, 0, None).unwrap();
        let mut file = partial.file("a.sql").unwrap();
        file.write(b"abc").unwrap();
        let found = file.finish().unwrap();
        assert_eq!(found.bytes, 3);
        assert!(found.sha256.starts_with("ba7816bf"));
        assert!(Whole::all(&folder).unwrap().is_empty());
        // Another one that begins in the same second gets the next, and does not take this one for left over.
        let other = Partial::begin(&folder, 0, None).unwrap();
        drop(other);
        let manifest = Manifest::new("p".to_owned(), 0, BTreeSet::new());
        let path = partial.finish(&manifest).unwrap();
        assert_eq!(path, folder.join("19700101_000000"));
        assert_eq!((mode(&folder), mode(&path), mode(&path.join("a.sql"))), (0o700, 0o700, 0o600));
        let whole = Whole::find(&folder, None).unwrap();
        assert_eq!(whole.manifest().unwrap(), (manifest, true));
        assert_eq!(whole.look("a.sql").unwrap(), Some(found));
        assert_eq!(whole.look("b").unwrap(), None);
        fs::write(path.join(DIGEST_FILE), "00  manifest.json\n").unwrap();
        assert!(!whole.manifest().unwrap().1);
        assert!(Whole::find(&folder, Some("19700101_000001")).is_err());
    }

    #[test]
    fn what_was_cut_off_is_removed() {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path();
        let left = folder.join(".19700101_000007.partial");
        let other = folder.join(".other.partial");
        fs::create_dir(&left).unwrap();
        fs::create_dir(&other).unwrap();
        let partial = Partial::begin(folder, 0, None).unwrap();
        assert!(!left.exists() && other.exists());
        let path = partial.path.clone();
        drop(partial);
        assert!(!path.exists());
    }
}
