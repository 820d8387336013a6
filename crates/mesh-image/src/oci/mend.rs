//! Directories that a layer has only because something lies in them.
//!
//! Some builders leave parents out of a layer's archive; owner and mode are then those of the directory
//! below. In an overlay the uppermost directory decides, so where one that was made on the way hides
//! one that means something, a further layer on top says again what the lower one said. Layers stay as
//! their archives have them, and shared.

use super::root::times;
use rustix::{
    fs::{AtFlags, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid, openat2, statat},
    io::Errno,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

/// A layer as it lies in the store.
#[derive(Debug, Clone)]
pub(super) struct Laid {
    /// Its files.
    pub(super) files: PathBuf,
    /// Directories that its archive does not have.
    pub(super) implicit: BTreeSet<PathBuf>,
}

/// What a directory says of itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Said {
    uid: u32,
    gid: u32,
    mode: u32,
    modified: (i64, u32),
}

/// The directories that have to be said again, with what they say; layers lowest first.
pub(super) fn wanted(layers: &[Laid], opaque: &str) -> io::Result<BTreeMap<PathBuf, Said>> {
    let mut wanted = BTreeMap::new();
    if layers.iter().all(|layer| layer.implicit.is_empty()) {
        return Ok(wanted);
    }
    let opened: Vec<Open<'_>> =
        layers.iter().map(|layer| Open::new(layer, opaque)).collect::<Result<_, _>>()?;
    let implicit: BTreeSet<&PathBuf> = layers.iter().flat_map(|layer| &layer.implicit).collect();
    for path in implicit {
        let Some((said, true)) = truth(&opened, path)? else { continue };
        wanted.insert(path.clone(), said);
        // The way there is in the further layer too, and must not say anything new.
        for above in path.ancestors().skip(1).filter(|above| !above.as_os_str().is_empty()) {
            if let Some((said, _)) = truth(&opened, above)? {
                wanted.entry(above.to_owned()).or_insert(said);
            }
        }
    }
    Ok(wanted)
}

/// Makes these directories in an empty layer.
pub(super) fn make(files: &Path, wanted: &BTreeMap<PathBuf, Said>, owners_kept: bool) -> io::Result<()> {
    for path in wanted.keys() {
        std::fs::create_dir_all(files.join(path))?;
    }
    for (path, said) in wanted.iter().rev() {
        let opened = std::fs::File::open(files.join(path))?;
        if owners_kept {
            rustix::fs::fchown(&opened, Some(Uid::from_raw(said.uid)), Some(Gid::from_raw(said.gid)))?;
        }
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(said.mode & 0o7777))?;
        rustix::fs::futimens(&opened, &times(said.modified))?;
    }
    Ok(())
}

struct Open<'a> {
    root: OwnedFd,
    implicit: &'a BTreeSet<PathBuf>,
    opaque: &'a str,
}

/// What a layer has at a path.
enum Has {
    Nothing,
    /// Nothing, and what lies below is hidden; or something that is no directory.
    Hides,
    Directory {
        stat: Box<Stat>,
        implicit: bool,
        hides: bool,
    },
}

impl<'a> Open<'a> {
    fn new(layer: &'a Laid, opaque: &'a str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(&layer.files, flags, Mode::empty())?;
        Ok(Self { root, implicit: &layer.implicit, opaque })
    }

    fn look(&self, path: &Path) -> io::Result<Has> {
        let mut hides = false;
        let (mut walked, mut stat) = (PathBuf::new(), None);
        for part in path {
            walked.push(part);
            let found = match self.open(&walked) {
                Ok(found) => found,
                Err(Errno::NOENT) if hides => return Ok(Has::Hides),
                Err(Errno::NOENT) => return Ok(Has::Nothing),
                Err(Errno::LOOP | Errno::NOTDIR) => return Ok(Has::Hides),
                Err(errno) => return Err(errno.into()),
            };
            let seen = statat(&found, "", AtFlags::EMPTY_PATH)?;
            if FileType::from_raw_mode(seen.st_mode) != FileType::Directory {
                return Ok(Has::Hides);
            }
            hides |= self.is_opaque(&walked);
            stat = Some(seen);
        }
        Ok(match stat {
            None => Has::Nothing,
            Some(stat) => {
                Has::Directory { stat: Box::new(stat), implicit: self.implicit.contains(path), hides }
            }
        })
    }

    /// Opens what is at a path of the layer; a link on the way is an error, and so is one at its end.
    fn open(&self, path: &Path) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        openat2(&self.root, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    fn is_opaque(&self, path: &Path) -> bool {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let Ok(opened) = openat2(&self.root, path, flags, Mode::empty(), resolve) else { return false };
        rustix::fs::fgetxattr(&opened, self.opaque, &mut [0_u8; 4][..]).is_ok()
    }
}

/// What the uppermost layer whose archive has the directory says of it, and whether one above that
/// layer hides it. `None`: none has it.
fn truth(layers: &[Open<'_>], path: &Path) -> io::Result<Option<(Said, bool)>> {
    let mut hidden = false;
    for layer in layers.iter().rev() {
        match layer.look(path)? {
            Has::Nothing => {}
            Has::Hides => return Ok(None),
            Has::Directory { stat, implicit: false, .. } => {
                let said = Said {
                    uid: stat.st_uid,
                    gid: stat.st_gid,
                    mode: stat.st_mode,
                    modified: (stat.st_mtime, u32::try_from(stat.st_mtime_nsec).unwrap_or(0)),
                };
                return Ok(Some((said, hidden)));
            }
            Has::Directory { hides: true, .. } => return Ok(None),
            Has::Directory { .. } => hidden = true,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::PermissionsExt as _};

    fn laid(root: &Path, name: &str, directories: &[(&str, u32)], implicit: &[&str]) -> Laid {
        let files = root.join(name);
        for (path, mode) in directories {
            fs::create_dir_all(files.join(path)).unwrap();
            fs::set_permissions(files.join(path), fs::Permissions::from_mode(*mode)).unwrap();
        }
        Laid { files, implicit: implicit.iter().map(PathBuf::from).collect() }
    }

    #[test]
    fn what_a_lower_layer_said_is_said_again() {
        let root = tempfile::tempdir().unwrap();
        let layers = [
            laid(
                root.path(),
                "1",
                &[("tmp", 0o1777), ("etc", 0o750), ("etc/app", 0o700), ("var", 0o755)],
                &[],
            ),
            laid(root.path(), "2", &[("etc", 0o711)], &[]),
            laid(
                root.path(),
                "3",
                &[("tmp", 0o755), ("etc/app", 0o755), ("new/deep", 0o755)],
                &["tmp", "etc", "etc/app", "new", "new/deep"],
            ),
        ];
        let wanted = wanted(&layers, "user.overlay.opaque").unwrap();
        let told: Vec<_> = wanted
            .iter()
            .map(|(path, said)| format!("{} {:o}", path.display(), said.mode & 0o7777))
            .collect();
        assert_eq!(told, ["etc 711", "etc/app 700", "tmp 1777"]);
        let made = root.path().join("made");
        fs::create_dir(&made).unwrap();
        make(&made, &wanted, false).unwrap();
        assert_eq!(fs::metadata(made.join("tmp")).unwrap().permissions().mode() & 0o7777, 0o1777);
        assert!(made.join("etc/app").is_dir() && !made.join("new").exists());
    }

    #[test]
    fn what_is_deleted_between_says_nothing() {
        let root = tempfile::tempdir().unwrap();
        let layers = [
            laid(root.path(), "1", &[("a", 0o700), ("b", 0o700)], &[]),
            laid(root.path(), "2", &[("c", 0o755)], &[]),
            laid(root.path(), "3", &[("a", 0o755), ("b", 0o755)], &["a", "b"]),
        ];
        fs::write(layers[1].files.join("a"), "a file").unwrap();
        std::os::unix::fs::symlink("/etc", layers[1].files.join("b")).unwrap();
        assert!(wanted(&layers, "user.overlay.opaque").unwrap().is_empty());
    }
}
