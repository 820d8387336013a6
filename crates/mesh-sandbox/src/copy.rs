//! `mesh shim copy`: files out of a container or into it, as a tar stream.
//!
//! The child is inside of the container's mount namespace: its root is the container's, so no path and
//! no link leads out.

use crate::{
    channel::{self, Reporter},
    exec::Namespaces,
    failure::{Attempt as _, Failure},
    rootfs::Root,
    specification::{CopyOperation, CopySpecification, FileStatus, Report},
    user::Users,
};
use mesh_archive::{Owners, Packer, Rename, Rules, unpack};
use mesh_linux::process::{SingleThreaded, exit_now, fork, wait_child};
use nix::unistd::ForkResult;
use std::{
    fs,
    io::{self, ErrorKind, Write as _},
    os::unix::fs::MetadataExt as _,
    path::Path,
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
            exit_now(match namespaces.join_after_fork().and_then(|_| copy(&specification.operation)) {
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

fn copy(operation: &CopyOperation) -> Result<(), Failure> {
    match operation {
        CopyOperation::Out { path } => send(path).attempt(|| format!("read {path}")),
        CopyOperation::In { directory, owner } => receive(directory, owner.as_deref()),
        CopyOperation::Look { path } => look(path).attempt(|| format!("look at {path}")),
        CopyOperation::Remove { paths } => {
            paths.iter().try_for_each(|path| remove(&absolute(path)).attempt(|| format!("remove {path}")))
        }
    }
}

/// A path of the container from its root; a slash or dot at its end stays.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

fn send(path: &str) -> io::Result<()> {
    let path = absolute(path);
    let stripped = path.trim_end_matches('/');
    let name = match stripped.rsplit('/').next() {
        None | Some("" | "." | "..") => ".",
        Some(name) => name,
    };
    let mut packer = Packer::new(io::BufWriter::new(io::stdout().lock()));
    packer.add(Path::new(&path), Path::new(name))?;
    packer.finish().map(drop)
}

fn receive(directory: &str, owner: Option<&str>) -> Result<(), Failure> {
    let step = || format!("write into {directory}");
    let owners = match owner {
        None => Owners::Stream,
        Some(owner) => {
            let root = Root::open(Path::new("/"))?;
            let identity = Users::read(&root).identity(owner, &[])?;
            Owners::Fixed(identity.uid, identity.gid)
        }
    };
    let path = absolute(directory);
    if !fs::metadata(&path).attempt(step)?.is_dir() {
        return Err(Failure::refused(step(), "extraction point is not a directory"));
    }
    let rules = Rules { owners, mode_left_out: 0, rename: Rename::Keep };
    unpack(io::stdin().lock(), Path::new(&path), &rules).attempt(step)
}

fn look(path: &str) -> io::Result<()> {
    let path = absolute(path);
    let status = match fs::symlink_metadata(&path) {
        Ok(metadata) => FileStatus {
            exists: true,
            mode: metadata.mode(),
            link: fs::read_link(&path).ok().map(|link| link.to_string_lossy().into_owned()),
        },
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            FileStatus { exists: false, mode: 0, link: None }
        }
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(&status)?;
    line.push(b'\n');
    io::stdout().write_all(&line)
}

fn remove(path: &str) -> io::Result<()> {
    let gone = |result: io::Result<()>| match result {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(()),
        result => result,
    };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => gone(fs::remove_dir_all(path)),
        Ok(_) => gone(fs::remove_file(path)),
        Err(error) => gone(Err(error)),
    }
}
