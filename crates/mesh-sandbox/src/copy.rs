//! `mesh shim copy`: files out of a container or into it, as a tar stream.
//!
//! The child is inside of the container's mount namespace: its root is the container's, so no path and
//! no link leads out. For a container that does not run its root is made for the copy, in a mount
//! namespace that goes with it; a start meanwhile waits.

use crate::{
    channel::{self, Reporter},
    exec::Namespaces,
    failure::{Attempt as _, Failure},
    files_lock,
    rootfs::{self, Root},
    specification::{
        CopyOperation, CopySpecification, FileEntry, FileStatus, Report, RestingPlace, UserNamespace,
    },
    user::Users,
};
use mesh_archive::{Owners, Packer, Rename, Rules, unpack};
use mesh_linux::{
    namespace,
    process::{SingleThreaded, die_with_parent, exit_now, fork, wait_child},
};
use nix::{
    fcntl::OFlag,
    sched::{CloneFlags, setns, unshare},
    unistd::ForkResult,
};
use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Files of one list.
const LISTED_MAX: usize = 200_000;
/// Directories below each other that are listed.
const LISTED_DEPTH_MAX: usize = 128;
/// Code of a copy that failed.
const FAILED: i32 = 1;

pub(crate) fn main() -> i32 {
    let reporter = Reporter::take();
    let _ = nix::sys::prctl::set_dumpable(false);
    match start() {
        Ok(code) => code,
        Err(failure) => {
            match failure.report() {
                Report::SetupFailed { step, reason } => {
                    channel::say_plainly(&format!("error: could not {step}: {reason}"))
                }
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
    if let Some(place) = &specification.at_rest {
        let _held = files_lock::for_copy(&place.directory)?;
        enter_at_rest(place, specification.user_namespace)?;
        return copy(&specification.operation).map(|()| 0);
    }
    let mut namespaces = Namespaces::open(specification.pid)?;
    namespaces.join_owner()?;
    namespaces.join_all_but_pid()?;
    drop(namespaces);
    match fork(evidence).attempt(|| "fork the copier")? {
        ForkResult::Parent { child } => wait_child(child).attempt(|| "wait for the copier"),
        ForkResult::Child => {
            let copied = die_with_parent()
                .attempt(|| "tie the copier to its parent")
                .and_then(|()| copy(&specification.operation));
            exit_now(match copied {
                Ok(()) => 0,
                Err(failure) => {
                    if let Report::SetupFailed { step, reason } = failure.report() {
                        channel::say_plainly(&format!("error: could not {step}: {reason}"));
                    }
                    FAILED
                }
            })
        }
    }
}

/// Enters a root that is made for this copy.
fn enter_at_rest(place: &RestingPlace, user_namespace: UserNamespace) -> Result<(), Failure> {
    let step = || "join the user namespace of the container's files";
    let path = format!("/proc/{}/ns/user", place.holder);
    let theirs = File::open(&path).attempt(|| format!("open {path}"))?;
    let own = File::open("/proc/self/ns/user").attempt(|| "open the own user namespace")?;
    if !namespace::same(&theirs, &own).attempt(step)? {
        setns(theirs, CloneFlags::CLONE_NEWUSER).attempt(step)?;
    }
    unshare(CloneFlags::CLONE_NEWNS).attempt(|| "make a mount namespace")?;
    rootfs::enter_at_rest(place, user_namespace)
}

fn copy(operation: &CopyOperation) -> Result<(), Failure> {
    match operation {
        CopyOperation::Out { path } => send(path).attempt(|| format!("read {path}")),
        CopyOperation::In { directory, owner } => receive(directory, owner.as_deref()),
        CopyOperation::Look { path } => look(path).attempt(|| format!("look at {path}")),
        CopyOperation::List { path } => list(path).attempt(|| format!("list {path}")),
        CopyOperation::Print { path, bytes_max } => {
            print(path, *bytes_max).attempt(|| format!("read {path}"))
        }
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

/// Prints the content of a file. A pipe or a device in its place is not waited for.
fn print(path: &str, bytes_max: usize) -> io::Result<()> {
    let file = File::options().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(absolute(path))?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut content = Vec::new();
    file.take(limit.saturating_add(1)).read_to_end(&mut content)?;
    if content.len() > bytes_max {
        return Err(io::Error::other(format!("it has more than {bytes_max} bytes")));
    }
    let mut to = io::stdout().lock();
    // What comes after the last line's end would stay here.
    to.write_all(&content).and_then(|()| to.flush())
}

/// Prints what is at a path and below it.
fn list(path: &str) -> io::Result<()> {
    let path = absolute(path);
    let mut to = io::BufWriter::new(io::stdout().lock());
    let mut left = LISTED_MAX;
    list_below(Path::new(&path), "", 0, &mut left, &mut to)?;
    to.flush()
}

fn list_below(
    path: &Path,
    shown: &str,
    depth: usize,
    left: &mut usize,
    to: &mut impl io::Write,
) -> io::Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        // It went while we looked.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        Err(error) => return Err(error),
    };
    let Some(fewer) = left.checked_sub(1) else { return Ok(()) };
    *left = fewer;
    let link = fs::read_link(path).ok().map(|link| link.to_string_lossy().into_owned());
    let (mode, size, modified_seconds) = (metadata.mode(), metadata.len(), metadata.mtime());
    serde_json::to_writer(
        &mut *to,
        &FileEntry { path: shown.to_owned(), mode, size, modified_seconds, link },
    )?;
    to.write_all(b"\n")?;
    if !metadata.is_dir() || depth >= LISTED_DEPTH_MAX {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let below = if shown.is_empty() { name } else { format!("{shown}/{name}") };
        list_below(&entry.path(), &below, depth + 1, left, to)?;
    }
    Ok(())
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
