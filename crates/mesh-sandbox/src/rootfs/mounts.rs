//! Mounts of the specification.

use super::{Missing, Root, files::Files, populate::populate, system};
use crate::{
    failure::{Attempt as _, Failure},
    mounting::{bind_open, file_system, name},
    specification::{MountKind, MountSpecification, RunSpecification, UserNamespace},
    user::Users,
};
use mesh_linux::mount::{Attributes, add_attributes};
use nix::mount::MsFlags;
use rustix::fs::{CWD, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, fstatfs, openat2};
use std::{
    fs,
    os::{fd::OwnedFd, unix::fs::chown},
    path::Path,
};

pub(super) fn mount_all(root: &Root, specification: &RunSpecification, users: &Users) -> Result<(), Failure> {
    let mut files = Files::new(&specification.directory, specification.user_namespace);
    for mount in &specification.mounts {
        let target = mount.target.as_str();
        match &mount.kind {
            MountKind::Bind { source, populate, owner } => {
                let owner = owner.as_deref();
                bind_source(root, mount, source, *populate, owner, specification.user_namespace, users)?;
            }
            MountKind::Tmpfs { .. } => tmpfs(root, mount, specification.user_namespace)?,
            MountKind::File { content, uid, gid, mode } => {
                let user = uid.as_deref().map_or(Ok(0), |name| users.user_id(name))?;
                let group = gid.as_deref().map_or(Ok(0), |name| users.group_id(name))?;
                let place = place(root, target, Missing::File)?;
                files.add(content.expose(), (user, group), *mode, &place, target)?;
                restrict(
                    root,
                    target,
                    Attributes { read_only: true, no_devices: true, ..Attributes::default() },
                )?;
            }
        }
    }
    system::bind_devices(root, specification)
}

/// Those of them that are of the machine: for a root that nothing runs in.
pub(super) fn bind_all(
    root: &Root,
    mounts: &[MountSpecification],
    namespace: UserNamespace,
    users: &Users,
) -> Result<(), Failure> {
    mounts.iter().try_for_each(|mount| match &mount.kind {
        MountKind::Bind { source, populate, owner } => {
            bind_source(root, mount, source, *populate, owner.as_deref(), namespace, users)
        }
        MountKind::Tmpfs { .. } | MountKind::File { .. } => Ok(()),
    })
}

fn bind_source(
    root: &Root,
    mount: &MountSpecification,
    source: &Path,
    fill: bool,
    owner: Option<&str>,
    namespace: UserNamespace,
    users: &Users,
) -> Result<(), Failure> {
    let opened = open_source(source).attempt(|| format!("find {} to bind it", source.display()))?;
    let path = name(&opened);
    let data = fs::metadata(&path).attempt(|| format!("look at {}", source.display()))?;
    let missing = if data.is_dir() { Missing::Directory } else { Missing::File };
    if fill && data.is_dir() {
        populate(root, &mount.target, Path::new(&path), source)?;
    }
    if let Some(owner) = owner.filter(|_| namespace != UserNamespace::Sole) {
        let identity = users.identity(owner, &[])?;
        chown(&path, Some(identity.uid), Some(identity.gid))
            .attempt(|| format!("give {} to {owner}", source.display()))?;
    }
    let place = place(root, &mount.target, missing)?;
    bind_open(&opened, source, &place, &mount.target)?;
    // A device file in a volume is no way to the machine's disks; /dev itself is asked for by name, but
    // not the memory that is mounted in it, where a container can make such files.
    let devices = source.starts_with("/dev") && !source.starts_with("/dev/shm");
    restrict(
        root,
        &mount.target,
        Attributes { read_only: mount.read_only, no_devices: !devices, ..Attributes::default() },
    )
}

/// Opens a source without following a link: whoever named it resolved it, and a link that is on its way
/// now was put there since, by a container that has a volume above it.
fn open_source(source: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    openat2(CWD, source, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

fn tmpfs(root: &Root, mount: &MountSpecification, namespace: UserNamespace) -> Result<(), Failure> {
    let MountKind::Tmpfs { size_bytes, mode, uid, gid, exec } = &mount.kind else { return Ok(()) };
    let mut options = vec![format!("mode={:o}", mode.unwrap_or(0o1777))];
    options.extend(size_bytes.map(|bytes| format!("size={bytes}")));
    // There is one id only where there is one: everything is its own.
    if namespace != UserNamespace::Sole {
        options.extend(uid.map(|uid| format!("uid={uid}")));
        options.extend(gid.map(|gid| format!("gid={gid}")));
    }
    let mut flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    flags.set(MsFlags::MS_NOEXEC, !exec);
    flags.set(MsFlags::MS_RDONLY, mount.read_only);
    let place = place(root, &mount.target, Missing::Directory)?;
    file_system("tmpfs", &place, flags, Some(&options.join(",")), &mount.target)
}

/// The open path to mount on. A link of the image that leads into `/proc` is refused: covering parts of
/// it would undo what is hidden there.
fn place(root: &Root, target: &str, missing: Missing) -> Result<OwnedFd, Failure> {
    if target.trim_matches('/').is_empty() {
        return Err(Failure::refused(format!("mount on {target:?}"), "it is the root itself"));
    }
    let place = root.ensure(target, missing)?;
    let kind = fstatfs(&place).attempt(|| format!("look at {target}"))?.f_type;
    if kind as u64 == PROC_SUPER_MAGIC as u64 {
        return Err(Failure::refused(format!("mount on {target}"), "it is inside of /proc"));
    }
    Ok(place)
}

/// Adds attributes to what was just mounted at `target`.
fn restrict(root: &Root, target: &str, attributes: Attributes) -> Result<(), Failure> {
    let mounted = root.find(target, OFlags::PATH).attempt(|| format!("open {target}"))?;
    add_attributes(&mounted, attributes, true).attempt(|| format!("restrict the mount on {target}"))
}
