//! Packages to files: `dpkg-deb` decompresses, and each entry of the archive is placed here. No
//! maintainer script is run and no database is written.

use super::{
    place::{is_skipped, place},
    tree::{Attributes, Tree},
};
use crate::{
    apt::{closure::Package, command::detail, fetch::Downloads},
    error::{ImageError, UnpackError},
    pattern,
    progress::Reporter,
};
use std::{
    io::Read,
    path::Path,
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
    thread,
};

/// Threads that unpack one layer.
const THREADS_MAX: usize = 2;
/// Most bytes read of what `dpkg-deb` complains about.
const COMPLAINT_BYTES_MAX: u64 = 4096;
/// The program that decompresses.
const PROGRAM: &str = "dpkg-deb";

/// Unpacks packages into a tree, leaving out what the patterns match.
pub(crate) fn unpack(
    tree: &Tree,
    packages: &[Package],
    downloads: &Downloads,
    skip: &[String],
    reporter: &Reporter,
) -> Result<(), ImageError> {
    let total = u32::try_from(packages.len()).unwrap_or(u32::MAX);
    let (next, done) = (AtomicUsize::new(0), AtomicU32::new(0));
    let work = || -> Result<(), ImageError> {
        while let Some(package) = packages.get(next.fetch_add(1, Ordering::Relaxed)) {
            reporter.check()?;
            unpack_package(tree, &downloads.path(package), skip).map_err(|failure| match failure {
                Failure::NoProgram(source) => ImageError::NoApt { program: PROGRAM, source },
                Failure::Unpack(source) => ImageError::unpack(&package.name, source),
            })?;
            reporter.unpacking(done.fetch_add(1, Ordering::Relaxed) + 1, total);
        }
        Ok(())
    };
    reporter.unpacking(0, total);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS_MAX.min(packages.len())).map(|_| scope.spawn(work)).collect();
        let outcomes = workers.into_iter().map(|worker| match worker.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        // Every worker is waited for before the first failure is returned.
        outcomes.collect::<Vec<_>>().into_iter().collect()
    })
}

enum Failure {
    NoProgram(std::io::Error),
    Unpack(UnpackError),
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        Self::Unpack(error)
    }
}

fn unpack_package(tree: &Tree, file: &Path, skip: &[String]) -> Result<(), Failure> {
    let mut command = Command::new(PROGRAM);
    command.arg("--fsys-tarfile").arg(file).env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(Failure::NoProgram)?;
    let outcome = match child.stdout.take() {
        Some(stdout) => unpack_archive(tree, stdout, skip),
        None => Ok(()),
    };
    // The archive was let go above, so a program that still writes ends by itself.
    let mut complaint = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        // Only for a message: what cannot be read is not told.
        let _ = stderr.take(COMPLAINT_BYTES_MAX).read_to_end(&mut complaint);
    }
    let status = child.wait().map_err(Failure::NoProgram)?;
    outcome?;
    if !status.success() {
        return Err(UnpackError::Archive { detail: detail(&String::from_utf8_lossy(&complaint)) }.into());
    }
    Ok(())
}

/// Places every entry of an archive.
fn unpack_archive(tree: &Tree, archive: impl Read, skip: &[String]) -> Result<(), UnpackError> {
    let mut archive = tar::Archive::new(archive);
    for entry in archive.entries().map_err(UnpackError::Read)? {
        let mut entry = entry.map_err(UnpackError::Read)?;
        unpack_entry(tree, &mut entry, skip)?;
    }
    // What follows the last entry is padding; read, so that the writer ends without a broken pipe.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink()).map_err(UnpackError::Read)?;
    Ok(())
}

fn unpack_entry(
    tree: &Tree,
    entry: &mut tar::Entry<'_, impl Read>,
    skip: &[String],
) -> Result<(), UnpackError> {
    let kind = entry.header().entry_type();
    let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
    let Some(path) = place(&name, kind.is_symlink())? else { return Ok(()) };
    if is_skipped(&path) || skip.iter().any(|skipped| pattern::covers(skipped, &path)) {
        return Ok(());
    }
    let number =
        |value: std::io::Result<u64>| value.map(|n| u32::try_from(n).unwrap_or(0)).map_err(UnpackError::Read);
    let attributes = Attributes {
        uid: number(entry.header().uid())?,
        gid: number(entry.header().gid())?,
        mode: entry.header().mode().map_err(UnpackError::Read)? & 0o7777,
        modified: entry.header().mtime().map_err(UnpackError::Read)?,
    };
    let target =
        entry.link_name_bytes().map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    match kind {
        tar::EntryType::Directory => tree.directory(&path, attributes),
        tar::EntryType::Regular | tar::EntryType::Continuous => tree.file(&path, entry, attributes),
        tar::EntryType::Symlink => tree.link(&path, &target),
        tar::EntryType::Link => match place(&target, false)? {
            Some(existing) => tree.hard_link(&path, &existing),
            None => Err(UnpackError::Escape { path: name }),
        },
        tar::EntryType::Block | tar::EntryType::Char | tar::EntryType::Fifo => {
            Err(UnpackError::Device { path: name })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for &(path, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(if kind.is_dir() { 0o755 } else { 0o644 });
            // Written by hand: the builder refuses the paths that are tested here.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            let is_link = kind.is_symlink() || kind.is_hard_link();
            if is_link {
                header.as_old_mut().linkname[..text.len()].copy_from_slice(text.as_bytes());
            }
            let content = if is_link { "" } else { text };
            header.set_size(content.len() as u64);
            header.set_uid(0);
            header.set_gid(0);
            header.set_mtime(0);
            header.set_cksum();
            builder.append(&header, content.as_bytes()).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn check(entries: &[(&str, tar::EntryType, &str)], expected: &str) {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::new(root.path(), false);
        let told = match unpack_archive(&tree, archive(entries).as_slice(), &["opt/skip*".to_owned()]) {
            Ok(()) => listing(root.path(), root.path()).join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(told, expected, "{entries:?}");
    }

    fn listing(root: &Path, directory: &Path) -> Vec<String> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            if entry.file_type().unwrap().is_dir() {
                found.extend(listing(root, &entry.path()));
            } else {
                found.push(entry.path().strip_prefix(root).unwrap().display().to_string());
            }
        }
        found.sort();
        found
    }

    #[test]
    fn entries_are_placed_or_refused() {
        use tar::EntryType as T;
        check(
            &[
                ("./bin/", T::Directory, ""),
                ("./bin/sh", T::Regular, "x"),
                ("./bin/bash", T::Link, "./bin/sh"),
                ("./usr/bin/dash", T::Symlink, "sh"),
            ],
            "usr/bin/bash usr/bin/dash usr/bin/sh",
        );
        check(
            &[
                ("./usr/share/doc/a/b", T::Regular, "x"),
                ("./opt/skipped/y", T::Regular, "x"),
                ("./opt/kept", T::Regular, ""),
            ],
            "opt/kept",
        );
        check(&[("../x", T::Regular, "x")], "entry \"../x\" would leave the layer");
        check(&[("./x", T::Link, "../../etc/passwd")], "entry \"../../etc/passwd\" would leave the layer");
        check(&[("./dev/x", T::Char, "")], "entry \"./dev/x\" is a device");
    }

    #[test]
    fn a_broken_archive_is_told() {
        let root = tempfile::tempdir().unwrap();
        let broken = root.path().join("broken.deb");
        std::fs::write(&broken, "no archive").unwrap();
        let outcome = unpack_package(&Tree::new(root.path(), false), &broken, &[]);
        assert!(matches!(outcome, Err(Failure::Unpack(_) | Failure::NoProgram(_))));
    }
}
