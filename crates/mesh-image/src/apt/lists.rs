//! Package lists: fetched when they are missing, too old, or made from other sources than the machine
//! has now. Lists that cannot be refreshed still serve, with a warning.

use super::{Apt, command, sources::Sources, write_atomic, write_if_changed};
use crate::{error::ImageError, host::Release, lock::Lock, progress::Reporter};
use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

/// How long fetching lists may go without a byte.
const STALL_MAX: Duration = Duration::from_secs(90);
/// After a refresh that failed, older lists serve without another try for this long.
const RETRY_AFTER: Duration = Duration::from_secs(300);

/// Lists that are there: what was asked and when, and which package names they have.
#[derive(Debug)]
pub(crate) struct Lists {
    /// Changes with every refresh.
    pub(crate) generation: String,
    names: BTreeSet<String>,
}

impl Lists {
    /// The first alternative that the lists have; one ending in the wanted number goes before the others.
    pub(crate) fn choose(&self, alternatives: &str, major: Option<u32>) -> Option<String> {
        let mut all: Vec<&str> = alternatives.split('|').map(str::trim).collect();
        if let Some(major) = major {
            let suffix = format!("-{major}");
            all.sort_by_key(|name| !name.ends_with(&suffix));
        }
        all.into_iter().find(|name| self.names.contains(*name)).map(str::to_owned)
    }
}

impl Apt {
    /// Lists refreshed at `not_before` or later, or what is there when that cannot be had.
    ///
    /// `forced` asks the mirrors even when the last try failed just now.
    pub(crate) fn lists(
        &self,
        release: &Release,
        not_before: SystemTime,
        forced: bool,
        reporter: &Reporter,
    ) -> Result<Lists, ImageError> {
        let sources = Sources::read(&self.configured, &release.codename)?;
        let asked = format!("{}\n{}\n{}", release.codename, sources.list, sources.stanzas);
        if !self.is_fresh(&asked, not_before) {
            let _alone = Lock::exclusive(&self.path("lock"))?;
            // Another caller may have done it while this one waited.
            let failed = !forced && modified(&self.path("failed")).is_some_and(|at| age(at) < RETRY_AFTER);
            let serves = self.is_fresh(&asked, not_before)
                || (failed && self.path("names").exists() && self.has_lists());
            if !serves {
                self.refresh(&sources, &asked, reporter)?;
            }
        }
        let names = self.path("names");
        let text = fs::read_to_string(&names).map_err(|source| ImageError::io("read", &names, source))?;
        let generation = modified(&self.path("refreshed")).map_or(0, |at| since_epoch(at).as_nanos());
        Ok(Lists {
            generation: format!("{}-{generation}", release.codename),
            names: text.lines().map(str::to_owned).collect(),
        })
    }

    fn is_fresh(&self, asked: &str, not_before: SystemTime) -> bool {
        let stamp = self.path("refreshed");
        modified(&stamp).is_some_and(|at| at >= not_before)
            && fs::read_to_string(&stamp).is_ok_and(|text| text == asked)
    }

    fn has_lists(&self) -> bool {
        let any = |entries: fs::ReadDir| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with("_Packages"))
        };
        fs::read_dir(self.path("lists")).is_ok_and(any)
    }

    fn refresh(&self, sources: &Sources, asked: &str, reporter: &Reporter) -> Result<(), ImageError> {
        reporter.resolving("package lists");
        write_if_changed(&self.path("sources.list"), &sources.list)?;
        write_if_changed(&self.path("sources.d/mesh.sources"), &sources.stanzas)?;
        let mut update = self.command("apt-get");
        update.arg("update");
        let (lists, partial) = (self.path("lists"), self.path("lists/partial"));
        let mut seen = 0;
        let moved = || {
            let now = bytes_in(&lists) + bytes_in(&partial);
            std::mem::replace(&mut seen, now) != now
        };
        let said = command::run("apt-get", update, STALL_MAX, reporter, moved)?;
        let complaints = ["Failed to fetch", "Some index files failed", "E: "];
        let complete = said.status.success() && !complaints.iter().any(|text| said.errors.contains(text));
        if said.errors.contains("No space left on device") {
            return Err(ImageError::DiskFull { path: lists });
        }
        if !complete {
            if !self.has_lists() {
                return Err(ImageError::NoLists { detail: said.detail() });
            }
            tracing::warn!(reason = said.detail(), "package lists could not be refreshed; older ones serve");
            write_atomic(&self.path("failed"), b"")?;
            if self.path("names").exists() {
                return Ok(());
            }
        }
        let mut pkgnames = self.command("apt-cache");
        pkgnames.arg("pkgnames");
        let said = command::run("apt-cache", pkgnames, STALL_MAX, reporter, || false)?;
        if !said.status.success() || said.output.is_empty() {
            return Err(ImageError::NoLists { detail: said.detail() });
        }
        write_atomic(&self.path("names"), said.output.as_bytes())?;
        if complete {
            write_atomic(&self.path("refreshed"), asked.as_bytes())?;
            if let Err(error) = fs::remove_file(self.path("failed"))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(ImageError::io("remove", &self.path("failed"), error));
            }
        }
        Ok(())
    }
}

/// Bytes of the files in a directory, not below it.
pub(crate) fn bytes_in(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    entries
        .flatten()
        .filter_map(|entry| entry.metadata().ok())
        .filter(|data| data.is_file())
        .map(|data| data.len())
        .sum()
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn age(at: SystemTime) -> Duration {
    SystemTime::now().duration_since(at).unwrap_or_default()
}

fn since_epoch(at: SystemTime) -> Duration {
    at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tag_chooses_among_alternatives() {
        let names = ["postgresql-15", "postgresql-17", "redis"].map(str::to_owned).into();
        let lists = Lists { generation: String::new(), names };
        for (alternatives, major, expected) in [
            ("postgresql-18|postgresql-17|postgresql-15", None, Some("postgresql-17")),
            ("postgresql-18|postgresql-17|postgresql-15", Some(15), Some("postgresql-15")),
            ("postgresql-18|postgresql-17|postgresql-15", Some(16), Some("postgresql-17")),
            ("valkey | redis", None, Some("redis")),
            ("valkey", None, None),
        ] {
            assert_eq!(lists.choose(alternatives, major).as_deref(), expected, "{alternatives}");
        }
    }
}
