//! Files of an image, found in its layers as the kernel would put them together.
//!
//! Invariants: nothing outside of the layers is opened: of each directory on the way it is known that it is one, and
//! links are followed here, within the image; what a layer deletes or hides is not found in those below it. What is
//! found is read within bounds. Absent on purpose: everything but looking.

use rustix::fs::{Mode, OFlags};
use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::{Component, Path, PathBuf},
};

/// Most links that are followed on the way to a file.
const LINKS_MAX: usize = 40;
/// Most parts of a path, with those of its links.
const PARTS_MAX: usize = 256;
/// The attributes by which a directory hides those below it, for root and for others.
const OPAQUE: [&str; 2] = ["trusted.overlay.opaque", "user.overlay.opaque"];

/// What is at a path of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Found {
    /// A file: its path in the image without links, and on the machine.
    File(String, PathBuf),
    /// A directory: its path in the image without links.
    Directory(String),
    /// Neither, or nothing.
    Nothing,
}

/// One name in the directories that are put together at a place.
enum Entry {
    /// Directories, topmost first.
    Directories(Vec<PathBuf>),
    File(PathBuf),
    Link(PathBuf),
    Nothing,
}

/// Looks for an absolute path in layers, topmost first.
pub(super) fn find(layers: &[PathBuf], path: &str) -> Found {
    let mut rest = parts(Path::new(path));
    let mut place: Vec<(OsString, Vec<PathBuf>)> = Vec::new();
    let (mut links, mut steps) = (0, 0);
    while let Some(part) = rest.pop() {
        steps += 1;
        if steps > PARTS_MAX {
            return Found::Nothing;
        }
        if part == ".." {
            place.pop();
            continue;
        }
        let here = place.last().map_or(layers, |(_, directories)| directories.as_slice());
        match entry(here, &part) {
            Entry::Directories(directories) => place.push((part, directories)),
            Entry::File(file) if rest.is_empty() => return Found::File(shown(&place, Some(&part)), file),
            Entry::Link(target) => {
                links += 1;
                if links > LINKS_MAX {
                    return Found::Nothing;
                }
                if target.is_absolute() {
                    place.clear();
                }
                rest.extend(parts(&target));
            }
            Entry::File(_) | Entry::Nothing => return Found::Nothing,
        }
    }
    Found::Directory(shown(&place, None))
}

/// What is in a file of at most so many bytes.
///
/// # Errors
/// It is none, it is larger, or it cannot be read.
pub(super) fn read(file: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = fs::File::from(rustix::fs::open(file, flags, Mode::empty())?);
    if !opened.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    let read = opened.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if read as u64 > bytes_max {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// The parts of a path, the last one first.
fn parts(path: &Path) -> Vec<OsString> {
    let named = path.components().rev().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    named.collect()
}

fn shown(place: &[(OsString, Vec<PathBuf>)], last: Option<&OsString>) -> String {
    let names = place.iter().map(|(name, _)| name).chain(last);
    names.map(|name| format!("/{}", name.to_string_lossy())).collect()
}

fn entry(here: &[PathBuf], name: &OsString) -> Entry {
    let mut directories = Vec::new();
    for directory in here {
        let path = directory.join(name);
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        let kind = found.file_type();
        if !kind.is_dir() {
            return match directories.is_empty() {
                _ if kind.is_char_device() && found.rdev() == 0 => break,
                // What a directory above covers is hidden, with all below it.
                false => break,
                true if kind.is_symlink() => fs::read_link(&path).map_or(Entry::Nothing, Entry::Link),
                true if kind.is_file() => Entry::File(path),
                true => Entry::Nothing,
            };
        }
        let hides = OPAQUE.iter().any(|name| {
            let mut value = [0_u8; 1];
            rustix::fs::lgetxattr(&path, *name, &mut value).is_ok_and(|read| read == 1 && value == *b"y")
        });
        directories.push(path);
        if hides {
            break;
        }
    }
    if directories.is_empty() { Entry::Nothing } else { Entry::Directories(directories) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A tree of files with their texts; a text that begins with an arrow is a link.
    fn layer(root: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let layer = root.join(name);
        for (path, text) in files {
            let path = layer.join(path);
            fs::create_dir_all(path.parent().expect("a parent")).expect("made");
            match text.strip_prefix("-> ") {
                Some(target) => symlink(target, path).expect("linked"),
                None => fs::write(path, text).expect("written"),
            }
        }
        fs::create_dir_all(&layer).expect("made");
        layer
    }

    #[test]
    fn files_are_found_as_the_layers_are_put_together() {
        let folder = tempfile::tempdir().expect("a folder");
        let root = folder.path();
        fs::write(root.join("secret"), "of the machine").expect("written");
        let outside = root.join("secret").display().to_string();
        let below = layer(
            root,
            "below",
            &[
                ("etc/a.pem", "a below"),
                ("etc/b.pem", "b"),
                ("etc/cert.pem", "-> ../usr/c.pem"),
                ("etc/absolute.pem", "-> /usr/c.pem"),
                ("etc/round.pem", "-> round.pem"),
                ("etc/out.pem", &format!("-> {outside}")),
                ("etc/up.pem", "-> ../../../../../../../../usr/c.pem"),
                ("usr/c.pem", "c"),
                ("lib", "-> usr"),
                // In a higher layer this is a directory: it must not be walked through.
                ("opt", &format!("-> {}", root.display())),
                ("srv", "a file"),
            ],
        );
        let above = layer(root, "above", &[("etc/a.pem", "a above"), ("opt/x", "x"), ("srv/y", "y")]);
        let layers = [above, below];
        let text = |path: &str| match find(&layers, path) {
            Found::File(_, file) => Some(String::from_utf8(read(&file, 100).ok()?).expect("text")),
            _ => None,
        };
        for (path, want) in [
            ("/etc/a.pem", Some("a above")),
            ("/etc/b.pem", Some("b")),
            ("/etc/cert.pem", Some("c")),
            ("/etc/absolute.pem", Some("c")),
            ("/etc/up.pem", Some("c")),
            ("/lib/c.pem", Some("c")),
            ("/opt/x", Some("x")),
            ("/srv/y", Some("y")),
            ("/opt/secret", None),
            ("/etc/out.pem", None),
            ("/etc/round.pem", None),
            ("/etc/none.pem", None),
            ("/etc/b.pem/x", None),
            ("/etc", None),
        ] {
            assert_eq!(text(path).as_deref(), want, "{path}");
        }
        assert!(matches!(find(&layers, "/etc/cert.pem"), Found::File(path, _) if path == "/usr/c.pem"));
        assert_eq!(find(&layers, "/lib"), Found::Directory("/usr".to_owned()));
    }

    #[test]
    fn what_a_layer_deletes_or_hides_is_gone() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may make what stands for a deletion");
            return;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let below = layer(folder.path(), "below", &[("a", "a"), ("d/b", "b"), ("e/c", "c")]);
        let above = layer(folder.path(), "above", &[("d/new", "new"), ("e/new", "new")]);
        let device = rustix::fs::FileType::CharacterDevice;
        rustix::fs::mknodat(rustix::fs::CWD, above.join("a"), device, Mode::empty(), 0).expect("made");
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::lsetxattr(above.join("d"), OPAQUE[0], b"y", flags).expect("set");
        let layers = [above, below];
        assert_eq!(find(&layers, "/a"), Found::Nothing);
        assert_eq!(find(&layers, "/d/b"), Found::Nothing);
        assert!(matches!(find(&layers, "/e/c"), Found::File(..)));
        assert!(matches!(find(&layers, "/d/new"), Found::File(..)));
    }

    #[test]
    fn only_files_are_read_and_so_much_of_them() {
        let folder = tempfile::tempdir().expect("a folder");
        let layer = layer(folder.path(), "one", &[("a", "1234")]);
        assert_eq!(read(&layer.join("a"), 4).expect("read"), b"1234");
        assert_eq!(read(&layer.join("a"), 3).expect_err("too large").kind(), io::ErrorKind::FileTooLarge);
        nix::unistd::mkfifo(&layer.join("pipe"), nix::sys::stat::Mode::S_IRWXU).expect("made");
        read(&layer.join("pipe"), 4).expect_err("no file");
        assert_eq!(find(&[layer], "/pipe"), Found::Nothing);
    }
}
