//! Filling an empty volume with what the image has in its place.
//!
//! The content is copied beside first and moved into place then, each step marked by a name, so that a
//! kill in the middle leaves a volume that the next start finishes or starts over.
//! Absent on purpose: extended attributes and sockets, which no image's data directory has.

use super::Root;
use crate::{
    failure::{Attempt as _, Failure},
    mounting::name,
};
use rustix::fs::{FlockOperation, OFlags, flock};
use std::{
    collections::HashMap,
    fs::{self, File, FileTimes, Metadata},
    io,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _, lchown, symlink},
    path::{Path, PathBuf},
};

/// A copy that is not whole.
const COPYING: &str = ".mesh-copying";
/// A copy that is whole and on its way into place.
const COPIED: &str = ".mesh-copied";
/// What a fresh file system has of its own.
const LOST_AND_FOUND: &str = "lost+found";
/// Directories below each other that are copied.
const DEPTH_MAX: usize = 128;

/// Fills `volume` with what the image has at `target`, where the volume is empty.
pub(super) fn populate(root: &Root, target: &str, volume: &Path) -> Result<(), Failure> {
    let step = || format!("copy {target} of the image into {}", volume.display());
    let Ok(image) = root.find(target, OFlags::PATH | OFlags::DIRECTORY) else { return Ok(()) };
    // Two containers may start on one volume at once.
    let lock = File::open(volume).attempt(step)?;
    flock(&lock, FlockOperation::LockExclusive).attempt(step)?;
    fill(Path::new(&name(&image)), volume).attempt(step)
}

fn fill(image: &Path, volume: &Path) -> io::Result<()> {
    let (copying, copied) = (volume.join(COPYING), volume.join(COPIED));
    if !copied.exists() {
        if copying.exists() {
            fs::remove_dir_all(&copying)?;
        }
        for entry in fs::read_dir(volume)? {
            if entry?.file_name() != LOST_AND_FOUND {
                return Ok(());
            }
        }
        fs::create_dir(&copying)?;
        copy_directory(image, &copying, &mut HashMap::new(), 0)?;
        fs::rename(&copying, &copied)?;
    }
    for entry in fs::read_dir(&copied)? {
        let entry = entry?;
        fs::rename(entry.path(), volume.join(entry.file_name()))?;
    }
    // The volume itself last: it is filled only when it has its owner.
    let data = fs::metadata(image)?;
    own(volume, &data)?;
    fs::set_permissions(volume, data.permissions())?;
    fs::remove_dir(&copied)
}

/// `linked` has the copy of every file with several names.
fn copy_directory(
    from: &Path,
    to: &Path,
    linked: &mut HashMap<(u64, u64), PathBuf>,
    depth: usize,
) -> io::Result<()> {
    if depth > DEPTH_MAX {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let data = fs::symlink_metadata(&source)?;
        let kind = data.file_type();
        if kind.is_symlink() {
            symlink(fs::read_link(&source)?, &target)?;
            own(&target, &data)?;
            continue;
        }
        if kind.is_dir() {
            fs::create_dir(&target)?;
            copy_directory(&source, &target, linked, depth + 1)?;
        } else if kind.is_file() {
            if data.nlink() > 1 {
                if let Some(first) = linked.get(&(data.dev(), data.ino())) {
                    fs::hard_link(first, &target)?;
                    continue;
                }
                linked.insert((data.dev(), data.ino()), target.clone());
            }
            fs::copy(&source, &target)?;
        } else if kind.is_fifo() {
            nix::unistd::mkfifo(&target, nix::sys::stat::Mode::S_IRUSR)?;
        } else {
            continue;
        }
        own(&target, &data)?;
        fs::set_permissions(&target, fs::Permissions::from_mode(data.mode() & 0o7777))?;
        if let (Ok(modified), false) = (data.modified(), kind.is_fifo()) {
            File::open(&target)?.set_times(FileTimes::new().set_modified(modified))?;
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
        fill(image.path(), volume.path()).unwrap();
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
        fill(image.path(), volume.path()).unwrap();
        assert_eq!(names(volume.path()), ["mine"]);
    }

    #[test]
    fn a_kill_in_the_middle_is_mended() {
        let (image, volume) = (image(), tempfile::tempdir().unwrap());
        fs::create_dir(volume.path().join(COPYING)).unwrap();
        fs::write(volume.path().join(COPYING).join("half"), "").unwrap();
        fill(image.path(), volume.path()).unwrap();
        assert_eq!(names(volume.path()), ["link", "second", "sub"]);
        fs::create_dir(volume.path().join(COPIED)).unwrap();
        fs::rename(volume.path().join("link"), volume.path().join(COPIED).join("link")).unwrap();
        fill(image.path(), volume.path()).unwrap();
        assert_eq!(names(volume.path()), ["link", "second", "sub"]);
    }
}
