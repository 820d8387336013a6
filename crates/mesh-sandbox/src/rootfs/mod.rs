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
    specification::RunSpecification,
    user::{Identity, Users},
};
use mesh_linux::mount::{Attributes, add_attributes};
use nix::{
    mount::{MntFlags, MsFlags, mount, umount2},
    unistd::{chdir, pivot_root},
};
use std::path::Path;

/// Makes the container's root and enters it. Returns who its process is.
pub(crate) fn enter(specification: &RunSpecification) -> Result<Identity, Failure> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .attempt(|| "make all mounts private to the container")?;
    let path = overlay::mount_root(specification)?;
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
    chdir(&path).attempt(|| "enter the container's root")?;
    pivot_root(".", ".").attempt(|| "make the container's root the root")?;
    umount2(".", MntFlags::MNT_DETACH).attempt(|| "let the old root go")?;
    chdir("/").attempt(|| "enter /")?;
    let root = Root::open(Path::new("/"))?;
    mask::write_sysctls(&root, specification)?;
    mask::mask(&root, specification)?;
    if specification.read_only {
        let read_only = Attributes { read_only: true, ..Attributes::default() };
        add_attributes(&root, read_only, false).attempt(|| "make the container's root read-only")?;
    }
    Ok(identity)
}
