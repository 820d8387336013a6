//! `mesh shim copy`: files out of a container or into it, as a tar stream.
//!
//! The child is inside of the container's mount namespace: its root is the container's, so no path and
//! no link leads out. Entries that would land above the directory named are refused by the archive
//! reader.

use crate::{
    channel::{self, Reporter},
    exec::Namespaces,
    failure::{Attempt as _, Failure},
    specification::{CopySpecification, Report},
};
use mesh_linux::process::{SingleThreaded, exit_now, fork, wait_child};
use nix::unistd::ForkResult;
use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Code of a copy that failed.
const FAILED: i32 = 1;

pub(crate) fn main() -> i32 {
    let reporter = Reporter::take();
    let _ = nix::sys::prctl::set_dumpable(false);
    match start() {
        Ok(code) => code,
        Err(failure) => {
            match failure.report() {
                Report::SetupFailed { step, reason } => channel::say(&format!("could not {step}: {reason}")),
                report => reporter.send(&report),
            }
            FAILED
        }
    }
}

fn start() -> Result<i32, Failure> {
    let specification = channel::read_specification::<CopySpecification>()?;
    let evidence = SingleThreaded::prove()
        .ok_or_else(|| Failure::refused("fork the copier", "this process has threads"))?;
    let mut namespaces = Namespaces::open(specification.pid)?;
    namespaces.join_before_fork()?;
    match fork(evidence).attempt(|| "fork the copier")? {
        ForkResult::Parent { child } => wait_child(child).attempt(|| "wait for the copier"),
        ForkResult::Child => {
            exit_now(match namespaces.join_after_fork().and_then(|_| copy(&specification)) {
                Ok(()) => 0,
                Err(failure) => {
                    if let Report::SetupFailed { step, reason } = failure.report() {
                        channel::say(&format!("could not {step}: {reason}"));
                    }
                    FAILED
                }
            })
        }
    }
}

fn copy(specification: &CopySpecification) -> Result<(), Failure> {
    let path = Path::new("/").join(&specification.path);
    if specification.out {
        send(&path, specification.follow_link).attempt(|| format!("read {}", path.display()))
    } else {
        receive(&path, specification.archive).attempt(|| format!("write into {}", path.display()))
    }
}

/// One entry at the top, named as the path's last part.
fn send(path: &Path, follow: bool) -> io::Result<()> {
    let path = if follow { fs::canonicalize(path)? } else { path.to_owned() };
    let name = path.file_name().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let mut archive = tar::Builder::new(io::BufWriter::new(io::stdout().lock()));
    archive.follow_symlinks(false);
    if fs::symlink_metadata(&path)?.is_dir() {
        archive.append_dir_all(name, &path)?;
    } else {
        archive.append_path_with_name(&path, name)?;
    }
    archive.into_inner()?.flush()
}

fn receive(directory: &Path, archive_owners: bool) -> io::Result<()> {
    if !fs::metadata(directory)?.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut archive = tar::Archive::new(io::stdin().lock());
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(archive_owners);
    archive.set_overwrite(true);
    archive.unpack(directory)
}
