//! The container's view of files: root, system directories, mounts of the specification.
//!
//! Order: root, `/proc`, `/dev`, `/sys`, mounts in the order given, devices, working directory; then the
//! root is entered and the old one let go; then sysctls, what is masked, and last the read-only root.
//! Everything before entering is resolved inside the new root through [`Root`]; everything after is
//! inside because there is nothing else.

mod files;
mod mask;
mod mounts;
mod overlay;
mod populate;
mod resolve;
mod system;

pub(crate) use resolve::{Missing, Root};

use crate::{
    failure::{Attempt as _, Failure},
    specification::{RestingPlace, RunSpecification, UserNamespace},
    user::{Identity, Users},
};
use mesh_linux::mount::{Attributes, add_attributes};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};
use overlay::Parts;
use std::path::{Path, PathBuf};

/// Makes the container's root and enters it. Returns who its process is.
pub(crate) fn enter(specification: &RunSpecification) -> Result<Identity, Failure> {
    let RunSpecification { directory, layers, user_namespace, .. } = specification;
    let path = mount_root(Parts { directory, layers, user_namespace: *user_namespace })?;
    let root = Root::open(&path)?;
    let users = Users::read(&root);
    let process = &specification.process;
    let identity = users.identity(&process.user, &process.groups)?;
    system::mount_all(&root, specification)?;
    mounts::mount_all(&root, specification, &users)?;
    if !process.working_dir.is_empty() {
        root.ensure(&process.working_dir, Missing::Directory)?;
    }
    drop(root);
    change_root(&path)?;
    let root = Root::open(Path::new("/"))?;
    mask::write_sysctls(&root, specification)?;
    mask::mask(&root, specification)?;
    if specification.read_only {
        make_read_only(&root)?;
    }
    Ok(identity)
}

/// Makes the root of a container that does not run, without system directories, and enters it. Called in a
/// mount namespace of its own, with which it goes.
pub(crate) fn enter_at_rest(place: &RestingPlace, user_namespace: UserNamespace) -> Result<(), Failure> {
    let path = mount_root(Parts { directory: &place.directory, layers: &place.layers, user_namespace })?;
    let root = Root::open(&path)?;
    let users = Users::read(&root);
    mounts::bind_all(&root, &place.mounts, user_namespace, &users)?;
    drop(root);
    change_root(&path)?;
    match place.read_only {
        true => make_read_only(&Root::open(Path::new("/"))?),
        false => Ok(()),
    }
}

fn mount_root(parts: Parts<'_>) -> Result<PathBuf, Failure> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .attempt(|| "make all mounts private to the container")?;
    overlay::mount_root(parts)
}

fn change_root(path: &Path) -> Result<(), Failure> {
    chdir(path).attempt(|| "enter the container's root")?;
    pivot_root(".", ".").attempt(|| "make the container's root the root")?;
    umount2(".", MntFlags::MNT_DETACH).attempt(|| "let the old root go")?;
    chdir("/").attempt(|| "enter /")
}

fn make_read_only(root: &Root) -> Result<(), Failure> {
    let read_only = Attributes { read_only: true, ..Attributes::default() };
    add_attributes(root, read_only, false).attempt(|| "make the container's root read-only")
}
