//! The root: layers below, the container's own changes above.
//!
//! Options of `mount` are limited to one page, and a service of packages has a layer each. So paths
//! are relative to the directory all layers share where that helps, and where it does not, layers are
//! handed over one by one (kernel 6.7 and later).

use crate::{
    failure::{Attempt as _, Failure},
    specification::UserNamespace,
};
use nix::mount::{MsFlags, mount};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, fsconfig_create, fsconfig_set_flag,
    fsconfig_set_string, fsmount, fsopen, move_mount,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Longest options of `mount`, in bytes: one page, with its end.
const OPTIONS_BYTES_MAX: usize = 4095;

/// What a root is made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parts<'a> {
    /// Directory of the container.
    pub(super) directory: &'a Path,
    /// Lower layers, lowest first.
    pub(super) layers: &'a [PathBuf],
    pub(super) user_namespace: UserNamespace,
}

/// Mounts the root at `<directory>/rootfs` and returns that path.
pub(super) fn mount_root(parts: Parts<'_>) -> Result<PathBuf, Failure> {
    let directory = parts.directory;
    let root = directory.join("rootfs");
    for name in ["rootfs", "upper", "work"] {
        let path = directory.join(name);
        match fs::create_dir(&path) {
            Ok(()) => fs::set_permissions(&path, fs::Permissions::from_mode(0o755)),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(error),
        }
        .attempt(|| format!("make {}", path.display()))?;
    }
    if parts.layers.is_empty() {
        let flags = MsFlags::MS_BIND;
        mount(Some(&directory.join("upper")), &root, None::<&str>, flags, None::<&str>)
            .attempt(|| format!("bind {}", root.display()))?;
    } else {
        overlay(parts, &root)?;
    }
    Ok(root)
}

fn overlay(parts: Parts<'_>, root: &Path) -> Result<(), Failure> {
    let step = || format!("mount {} layers on {}", parts.layers.len(), root.display());
    // Attributes that only real root may set cannot mark deletions in a user namespace.
    let flags: &[&str] = match parts.user_namespace {
        UserNamespace::None => &["metacopy=off"],
        UserNamespace::Range | UserNamespace::Sole => &["userxattr"],
    };
    let uppermost_first: Vec<&Path> = parts.layers.iter().rev().map(PathBuf::as_path).collect();
    let (upper, work) = (parts.directory.join("upper"), parts.directory.join("work"));
    let options = options(&uppermost_first, &upper, &work, flags);
    if options.len() <= OPTIONS_BYTES_MAX {
        return mount_options(root, &options).attempt(step);
    }
    let shared = shared_directory(&uppermost_first);
    let relative: Vec<&Path> =
        uppermost_first.iter().map(|layer| layer.strip_prefix(&shared).unwrap_or(layer)).collect();
    let options = self::options(&relative, &upper, &work, flags);
    if options.len() <= OPTIONS_BYTES_MAX {
        nix::unistd::chdir(&shared).attempt(|| format!("enter {}", shared.display()))?;
        mount_options(root, &options).attempt(step)?;
        return nix::unistd::chdir("/").attempt(|| "enter /");
    }
    one_by_one(root, &uppermost_first, &upper, &work, flags).attempt(step)
}

fn mount_options(root: &Path, options: &[u8]) -> nix::Result<()> {
    // Device files that a container makes in its root never work: those it has are in /dev.
    mount(Some("overlay"), root, Some("overlay"), MsFlags::MS_NODEV, Some(options))
}

fn options(layers: &[&Path], upper: &Path, work: &Path, flags: &[&str]) -> Vec<u8> {
    let mut text = b"lowerdir=".to_vec();
    for (index, layer) in layers.iter().enumerate() {
        if index > 0 {
            text.push(b':');
        }
        push_escaped(&mut text, layer, b":,\\");
    }
    for (key, path) in [("upperdir", upper), ("workdir", work)] {
        text.extend(format!(",{key}=").bytes());
        push_escaped(&mut text, path, b",\\");
    }
    for flag in flags {
        text.push(b',');
        text.extend(flag.bytes());
    }
    text
}

fn push_escaped(text: &mut Vec<u8>, path: &Path, special: &[u8]) {
    for byte in path.as_os_str().as_encoded_bytes() {
        if special.contains(byte) {
            text.push(b'\\');
        }
        text.push(*byte);
    }
}

/// The deepest directory that holds all layers.
fn shared_directory(layers: &[&Path]) -> PathBuf {
    let mut shared = layers.first().and_then(|layer| layer.parent()).unwrap_or(Path::new("/"));
    while !layers.iter().all(|layer| layer.starts_with(shared)) {
        shared = shared.parent().unwrap_or(Path::new("/"));
    }
    shared.to_owned()
}

fn one_by_one(
    root: &Path,
    layers: &[&Path],
    upper: &Path,
    work: &Path,
    flags: &[&str],
) -> rustix::io::Result<()> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    for layer in layers {
        fsconfig_set_string(&context, "lowerdir+", *layer)?;
    }
    fsconfig_set_string(&context, "upperdir", upper)?;
    fsconfig_set_string(&context, "workdir", work)?;
    for flag in flags {
        match flag.split_once('=') {
            Some((key, value)) => fsconfig_set_string(&context, key, value)?,
            None => fsconfig_set_flag(&context, *flag)?,
        }
    }
    fsconfig_create(&context)?;
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::MOUNT_ATTR_NODEV)?;
    let from_itself = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&mounted, "", rustix::fs::CWD, root, from_itself)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_escaped_and_ordered() {
        let layers = [Path::new("/l/b:1"), Path::new("/l/a,2")];
        let text = options(&layers, Path::new("/c/upper"), Path::new("/c/work"), &["userxattr"]);
        let want = r"lowerdir=/l/b\:1:/l/a\,2,upperdir=/c/upper,workdir=/c/work,userxattr";
        assert_eq!(String::from_utf8(text).unwrap(), want);
    }

    #[test]
    fn the_shared_directory_is_the_deepest() {
        for (layers, want) in
            [(["/s/l/a", "/s/l/b"], "/s/l"), (["/s/l/a", "/s/m/b"], "/s"), (["/x", "/y"], "/")]
        {
            assert_eq!(shared_directory(&layers.map(Path::new)), Path::new(want));
        }
    }
}
