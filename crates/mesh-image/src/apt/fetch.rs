//! Downloading packages through apt's own methods (so that its proxies and credentials count), each
//! verified by apt against the hash that the signed lists have.
//!
//! One caller downloads at a time: the line to the mirror is shared anyway, and a package two images
//! need is fetched once. Downloads are removed when nobody works with them any more.

use super::{Apt, closure::Package, command, lists::bytes_in};
use crate::{error::ImageError, lock::Lock, progress::Reporter};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

/// Downloaded packages, and who works with them.
#[derive(Debug, Clone)]
pub(crate) struct Downloads {
    directory: PathBuf,
}

/// Keeps downloads in place while held.
#[derive(Debug)]
pub(crate) struct InUse {
    lock: Option<Lock>,
    downloads: Downloads,
}

/// apt's program for a plain download.
const HELPER: &str = "/usr/lib/apt/apt-helper";
/// How long a download may go without a byte.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Packages given to one run of the helper, which bounds its command line.
const BATCH_MAX: usize = 200;

impl Downloads {
    pub(crate) fn open(directory: PathBuf) -> Result<Self, ImageError> {
        let partial = directory.join("partial");
        fs::create_dir_all(&partial).map_err(|source| ImageError::io("create", &partial, source))?;
        Ok(Self { directory })
    }

    /// Keeps what is downloaded from now on until the value is dropped.
    pub(crate) fn in_use(&self) -> Result<InUse, ImageError> {
        let lock = Lock::shared(&self.directory.join("in-use.lock"))?;
        Ok(InUse { lock: Some(lock), downloads: self.clone() })
    }

    /// Where a package lies once it is downloaded.
    pub(crate) fn path(&self, package: &Package) -> PathBuf {
        self.directory.join(format!("{}.deb", package.sha256))
    }

    /// Downloads what is not there yet.
    pub(crate) fn fetch(
        &self,
        apt: &Apt,
        packages: &[Package],
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        let lock_path = self.directory.join("fetch.lock");
        let _alone = match Lock::try_exclusive(&lock_path)? {
            Some(lock) => lock,
            None => {
                reporter.resolving("waiting for another download");
                Lock::exclusive(&lock_path)?
            }
        };
        let missing: Vec<&Package> = packages.iter().filter(|package| !self.path(package).exists()).collect();
        let total: u64 = packages.iter().map(|package| package.bytes).sum();
        let mut before: u64 = total - missing.iter().map(|package| package.bytes).sum::<u64>();
        for batch in missing.chunks(BATCH_MAX) {
            self.fetch_batch(apt, batch, before, total, reporter)?;
            before += batch.iter().map(|package| package.bytes).sum::<u64>();
        }
        reporter.downloading(total, total);
        Ok(())
    }

    fn fetch_batch(
        &self,
        apt: &Apt,
        batch: &[&Package],
        before: u64,
        total: u64,
        reporter: &Reporter,
    ) -> Result<(), ImageError> {
        let partial = self.directory.join("partial");
        empty(&partial)?;
        let target = |package: &Package| partial.join(format!("{}.deb", package.sha256));
        let mut helper = apt.command(HELPER);
        helper.arg("download-file");
        for package in batch {
            helper.arg(&package.uri).arg(target(package)).arg(format!("SHA256:{}", package.sha256));
        }
        let mut seen = u64::MAX;
        let moved = || {
            let now = bytes_in(&partial);
            let moved = std::mem::replace(&mut seen, now) != now;
            if moved {
                reporter.downloading((before + now).min(total), total);
            }
            moved
        };
        let said = command::run(HELPER, helper, STALL_MAX, reporter, moved)?;
        if !said.status.success() {
            return Err(failure(
                reporter.reference(),
                &format!("{}\n{}", said.errors, said.output),
                &partial,
            ));
        }
        for package in batch {
            let from = target(package);
            let length = fs::metadata(&from).map_err(|source| ImageError::io("read", &from, source))?.len();
            if length != package.bytes {
                let detail = format!("{} has {length} bytes, {} were announced", package.name, package.bytes);
                return Err(ImageError::Download { reference: reporter.reference().to_owned(), detail });
            }
            let to = self.path(package);
            fs::rename(&from, &to).map_err(|source| ImageError::io("rename", &to, source))?;
        }
        Ok(())
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        drop(self.lock.take());
        let directory = &self.downloads.directory;
        // Whoever is last removes them. Failing to is no failure of the image: the next one tries again.
        if let Ok(Some(_alone)) = Lock::try_exclusive(&directory.join("in-use.lock")) {
            let Ok(entries) = fs::read_dir(directory) else { return };
            for entry in
                entries.flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "deb"))
            {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}

/// Which failure it is that apt told of.
fn failure(reference: &str, said: &str, partial: &Path) -> ImageError {
    let detail = command::detail(said);
    let reference = reference.to_owned();
    if said.contains("No space left on device") || said.contains("(28: ") {
        ImageError::DiskFull { path: partial.to_owned() }
    } else if said.contains("404  Not Found") || said.contains("File not found") {
        ImageError::Vanished { reference, detail }
    } else {
        ImageError::Download { reference, detail }
    }
}

fn empty(directory: &Path) -> Result<(), ImageError> {
    let entries = fs::read_dir(directory).map_err(|source| ImageError::io("read", directory, source))?;
    for entry in entries.flatten() {
        fs::remove_file(entry.path()).map_err(|source| ImageError::io("remove", &entry.path(), source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: &str, expected: &str) {
        assert_eq!(failure("x", said, Path::new("/p")).to_string(), expected, "{said}");
    }

    #[test]
    fn failures_are_told_apart() {
        check(
            "E: Failed to fetch u  404  Not Found",
            "a package that x needs is gone from the mirror: Failed to fetch u  404  Not Found",
        );
        check("E: write (28: No space left on device)", "no space left on the device that holds /p");
        check(
            "E: Temporary failure resolving 'm'",
            "could not download the packages of x: Temporary failure resolving 'm'",
        );
    }

    #[test]
    fn downloads_go_when_the_last_user_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let downloads = Downloads::open(directory.path().to_owned()).unwrap();
        let deb = directory.path().join("a.deb");
        let (first, second) = (downloads.in_use().unwrap(), downloads.in_use().unwrap());
        fs::write(&deb, "x").unwrap();
        drop(first);
        assert!(deb.exists());
        drop(second);
        assert!(!deb.exists());
    }
}
