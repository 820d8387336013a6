//! Filling an empty volume with what the image has in its place.
//!
//! The content is copied beside first and moved into place then, each step marked by a name, so that a
//! kill in the middle leaves a volume that the next start finishes or starts over.
//! Another container may have the volume already and be of bad will: every directory that is written
//! into is held open, and no link in the volume is followed.
//! Absent on purpose: extended attributes and sockets, which no image's data directory has.

use super::Root;
use crate::{
    failure::{Attempt as _, Failure},
    mounting::name,
};
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use std::{
    collections::HashMap,
    fs::{self, File, FileTimes, Metadata, OpenOptions},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
    rc::Rc,
};

/// A copy that is not whole.
const COPYING: &str = ".mesh-copying";
/// A copy that is whole and on its way into place.
const COPIED: &str = ".mesh-copied";
/// What a fresh file system has of its own.
const LOST_AND_FOUND: &str = "lost+found";
/// Directories below each other that are copied.
const DEPTH_MAX: usize = 128;

/// Fills `volume` with what the image has at `target`, where the volume is empty; `named` is what
/// messages call it.
pub(super) fn populate(root: &Root, target: &str, volume: &Path, named: &Path) -> Result<(), Failure> {
    let step = || format!("copy {target} of the image into {}", named.display());
    let Ok(image) = root.find(target, OFlags::PATH | OFlags::DIRECTORY) else { return Ok(()) };
    // Two containers may start on one volume at once.
    let opened = File::open(volume).attempt(step)?;
    flock(&opened, FlockOperation::LockExclusive).attempt(step)?;
    fill(Path::new(&name(&image)), &opened).attempt(step)
}

fn fill(image: &Path, volume: &File) -> io::Result<()> {
    let top = PathBuf::from(name(volume));
    let (copying, copied) = (top.join(COPYING), top.join(COPIED));
    if fs::symlink_metadata(&copied).is_err() {
        if fs::symlink_metadata(&copying).is_ok() {
            fs::remove_dir_all(&copying)?;
        }
        for entry in fs::read_dir(&top)? {
            if entry?.file_name() != LOST_AND_FOUND {
                return Ok(());
            }
        }
        fs::create_dir(&copying)?;
        copy_directory(image, &Rc::new(pinned(&copying)?), &mut HashMap::new(), 0)?;
        fs::rename(&copying, &copied)?;
    }
    let whole = pinned(&copied)?;
    let inside = PathBuf::from(name(&whole));
    for entry in fs::read_dir(&inside)? {
        let part = entry?.file_name();
        fs::rename(inside.join(&part), top.join(&part))?;
    }
    // The volume itself last: it is filled only when it has its owner.
    let data = fs::metadata(image)?;
    own(&top.join("."), &data)?;
    volume.set_permissions(data.permissions())?;
    fs::remove_dir(&copied)
}

/// A directory held open, where there is one and no link. Its name stays good whatever happens to the
/// place it was found at.
fn pinned(path: &Path) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

/// The first copy of a file with several names: its directory and its name there.
type Linked = HashMap<(u64, u64), (Rc<File>, PathBuf)>;

/// `linked` has the copy of every file with several names.
fn copy_directory(from: &Path, to: &Rc<File>, linked: &mut Linked, depth: usize) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let into = PathBuf::from(name(&**to));
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), into.join(entry.file_name()));
        let data = fs::symlink_metadata(&source)?;
        let kind = data.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            own(&target, &data)?;
            continue;
        }
        let made = if kind.is_dir() {
            fs::create_dir(&target)?;
            let directory = Rc::new(pinned(&target)?);
            copy_directory(&source, &directory, linked, depth + 1)?;
            directory
        } else if kind.is_file() {
            if data.nlink() > 1 {
                if let Some((directory, first)) = linked.get(&(data.dev(), data.ino())) {
                    fs::hard_link(Path::new(&name(&**directory)).join(first), &target)?;
                    continue;
                }
                linked.insert((data.dev(), data.ino()), (Rc::clone(to), entry.file_name().into()));
            }
            let mut file = OpenOptions::new().write(true).create_new(true).open(&target)?;
            io::copy(&mut File::open(&source)?, &mut file)?;
            Rc::new(file)
        } else if kind.is_fifo() {
            nix::unistd::mkfifo(&target, nix::sys::stat::Mode::S_IRUSR)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            Rc::new(rustix::fs::open(&target, flags, Mode::empty())?.into())
        } else {
            continue;
        };
        own(&target, &data)?;
        // Through the open file, which is the one that was made.
        let open = PathBuf::from(name(&*made));
        fs::set_permissions(open, fs::Permissions::from_mode(data.mode() & 0o7777))?;
        if let (Ok(modified), false) = (data.modified(), kind.is_fifo()) {
            made.set_times(FileTimes::new().set_modified(modified))?;
        }
    }
    Ok(())
}

/// Gives `path` the owner of `data`. Where that id is not mapped (one id only), it stays our own.
fn own(path: &Path, data: &Metadata) -> io::Result<()> {
    match lchown(path, Some(data.uid()), Some(data.gid())) {
        Err(error)
            if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied) =>
        {
            Ok(())
        }
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        fs::create_dir(image.path().join("sub")).unwrap();
        fs::write(image.path().join("sub/file"), "x").unwrap();
        fs::hard_link(image.path().join("sub/file"), image.path().join("second")).unwrap();
        symlink("sub/file", image.path().join("link")).unwrap();
        fs::set_permissions(image.path(), fs::Permissions::from_mode(0o1770)).unwrap();
        image
    }

    fn names(volume: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(volume)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn an_empty_volume_gets_content_and_mode() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fill(image.path(), &File::open(volume.path()).unwrap()).unwrap();
        assert_eq!(names(volume.path()), ["link", "second", "sub"]);
        let data = fs::metadata(volume.path()).unwrap();
        assert_eq!(data.mode() & 0o7777, 0o1770);
        assert_eq!(fs::metadata(volume.path().join("second")).unwrap().nlink(), 2);
        assert_eq!(fs::read_link(volume.path().join("link")).unwrap(), Path::new("sub/file"));
    }

    #[test]
    fn a_volume_in_use_is_left_alone() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fs::write(volume.path().join("mine"), "").unwrap();
        fill(image.path(), &File::open(volume.path()).unwrap()).unwrap();
        assert_eq!(names(volume.path()), ["mine"]);
    }

    #[test]
    fn links_planted_in_a_volume_lead_nowhere() {
        for planted in [COPIED, COPYING] {
            let (image, volume, outside) =
                (image(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
            fs::write(outside.path().join("theirs"), "").unwrap();
            symlink(outside.path(), volume.path().join(planted)).unwrap();
            let result = fill(image.path(), &File::open(volume.path()).unwrap());
            assert_eq!(result.is_err(), planted == COPIED, "{result:?}");
            assert_eq!(names(outside.path()), ["theirs"]);
        }
    }

    #[test]
    fn a_kill_in_the_middle_is_mended() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fs::create_dir(volume.path().join(COPYING)).unwrap();
        fs::write(volume.path().join(COPYING).join("half"), "").unwrap();
        fill(image.path(), &File::open(volume.path()).unwrap()).unwrap();
        assert_eq!(names(volume.path()), ["link", "second", "sub"]);
        fs::create_dir(volume.path().join(COPIED)).unwrap();
        fs::rename(volume.path().join("link"), volume.path().join(COPIED).join("link")).unwrap();
        fill(image.path(), &File::open(volume.path()).unwrap()).unwrap();
        assert_eq!(names(volume.path()), ["link", "second", "sub"]);
    }
}
