//! What a set of packages needs: apt's own solver, asked against a status file of ours.
//!
//! The status file says that the base's packages are installed, and that packages are whose absence
//! is harmless: tools of maintainer scripts, which are never run here, and what a recipe names.

use super::{Apt, command, write_atomic};
use crate::{error::ImageError, host, lock::Lock, progress::Reporter};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt::Write as _, fs, time::Duration};

/// A package to be had.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// With epoch and revision: `5:7.0.15-1~deb12u10`.
    pub(crate) version: String,
    /// Hexadecimal.
    pub(crate) sha256: String,
    pub(crate) bytes: u64,
    pub(crate) uri: String,
}

/// The packages of the base layer, and the status file text that says they are there.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct BasePlan {
    key: String,
    pub(crate) packages: Vec<Package>,
    pub(crate) status: String,
}

/// Packages that only maintainer scripts, cron or an init system need.
const ABSENT: [&str; 30] = [
    "adduser",
    "cron",
    "cron-daemon-common",
    "dbus",
    "debconf",
    "dpkg",
    "init-system-helpers",
    "install-info",
    "javascript-common",
    "libjson-perl",
    "libpam-modules",
    "libpam-modules-bin",
    "libpam-runtime",
    "login",
    "logrotate",
    "lsb-base",
    "man-db",
    "passwd",
    "perl",
    "perl-base",
    "perl-modules",
    "postgresql-client-common",
    "postgresql-common",
    "readline-common",
    "sensible-utils",
    "ssl-cert",
    "systemd",
    "systemd-sysv",
    "sysvinit-utils",
    "ucf",
];
/// How long the solver may take.
const SOLVE_MAX: Duration = Duration::from_secs(120);
/// Most packages one image may need.
const PACKAGES_MAX: usize = 1000;

impl Apt {
    /// The base's packages, found once for each refresh of the lists.
    pub(crate) fn base_plan(
        &self,
        names: &[String],
        generation: &str,
        reporter: &Reporter,
    ) -> Result<BasePlan, ImageError> {
        let key = format!("{generation} {}", names.join(" "));
        let path = self.path("plans/base.json");
        let _alone = Lock::exclusive(&self.path("plans/base.lock"))?;
        let stored = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<BasePlan>(&bytes).ok());
        if let Some(plan) = stored.filter(|plan| plan.key == key) {
            return Ok(plan);
        }
        let packages = self.closure(names, &[], "", reporter)?;
        let status = self.status_of(&packages, reporter)?;
        let plan = BasePlan { key, packages, status };
        let bytes = serde_json::to_vec(&plan).unwrap_or_default();
        write_atomic(&path, &bytes)?;
        Ok(plan)
    }

    /// The packages that `names` need besides those that `status` says are there, by name.
    pub(crate) fn closure(
        &self,
        names: &[String],
        absent: &[String],
        status: &str,
        reporter: &Reporter,
    ) -> Result<Vec<Package>, ImageError> {
        reporter.resolving("packages needed");
        let mut text = status.to_owned();
        let present: BTreeSet<&str> =
            status.lines().filter_map(|line| line.strip_prefix("Package: ")).collect();
        for name in ABSENT.into_iter().chain(absent.iter().map(String::as_str)) {
            if !present.contains(name) && !names.iter().any(|wanted| wanted == name) {
                text.push_str(&absent_stanza(name));
            }
        }
        let file = tempfile_beside(self, &text)?;
        let mut solve = self.command("apt-get");
        solve.arg("-o").arg(format!("Dir::State::status={}", file.0.display()));
        solve.args(["--print-uris", "install"]).args(names);
        let said = command::run("apt-get", solve, SOLVE_MAX, reporter, || false)?;
        if !said.status.success() {
            return Err(ImageError::Closure {
                reference: reporter.reference().to_owned(),
                detail: said.detail(),
            });
        }
        let mut packages: Vec<Package> = said.output.lines().filter_map(parse_line).collect();
        packages.sort();
        if packages.len() > PACKAGES_MAX {
            let detail = format!("it needs {} packages, more than {PACKAGES_MAX}", packages.len());
            return Err(ImageError::Closure { reference: reporter.reference().to_owned(), detail });
        }
        Ok(packages)
    }

    /// Status file text that says the packages are installed, from the lists' own records.
    fn status_of(&self, packages: &[Package], reporter: &Reporter) -> Result<String, ImageError> {
        let mut show = self.command("apt-cache");
        show.arg("show").args(packages.iter().map(|package| format!("{}={}", package.name, package.version)));
        let said = command::run("apt-cache", show, SOLVE_MAX, reporter, || false)?;
        if !said.status.success() {
            return Err(ImageError::Closure {
                reference: reporter.reference().to_owned(),
                detail: said.detail(),
            });
        }
        Ok(installed(&said.output))
    }
}

/// The records with a status line each, and without what the solver does not read.
fn installed(records: &str) -> String {
    const READ: [&str; 13] = [
        "Package:",
        "Version:",
        "Architecture:",
        "Multi-Arch:",
        "Essential:",
        "Priority:",
        "Section:",
        "Depends:",
        "Pre-Depends:",
        "Provides:",
        "Breaks:",
        "Conflicts:",
        "Replaces:",
    ];
    let mut text = String::new();
    for record in records.split("\n\n").filter(|record| !record.trim().is_empty()) {
        for line in record.lines().filter(|line| READ.iter().any(|field| line.starts_with(field))) {
            let _ = writeln!(text, "{line}");
        }
        text.push_str("Status: install ok installed\nMaintainer: mesh\nDescription: base\n\n");
    }
    text
}

fn absent_stanza(name: &str) -> String {
    let architecture = host::architecture().unwrap_or("all");
    format!(
        "Package: {name}\nStatus: install ok installed\nArchitecture: {architecture}\nMulti-Arch: allowed\n\
         Version: 999:999\nMaintainer: mesh\nDescription: absent\n\n"
    )
}

/// `'uri' name_version_architecture.deb bytes SHA256:hex`.
fn parse_line(line: &str) -> Option<Package> {
    let (uri, rest) = line.strip_prefix('\'')?.split_once("' ")?;
    let mut words = rest.split_whitespace();
    let (file, bytes, hash) = (words.next()?, words.next()?, words.next()?);
    let mut parts = file.strip_suffix(".deb")?.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let sha256 = hash.strip_prefix("SHA256:")?;
    if sha256.len() != 64 || !sha256.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    Some(Package {
        name: name.to_owned(),
        version: version.replace("%3a", ":"),
        sha256: sha256.to_ascii_lowercase(),
        bytes: bytes.parse().ok()?,
        uri: uri.to_owned(),
    })
}

/// Upstream's version: without epoch, revision, and the marks of a repackaged source.
pub(crate) fn upstream(version: &str) -> &str {
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let version = version.rsplit_once('-').map_or(version, |(upstream, _)| upstream);
    let end = ["+ds", "+dfsg", ".dfsg", "~ds", "~dfsg", "+really"]
        .iter()
        .filter_map(|mark| version.find(mark))
        .min();
    &version[..end.unwrap_or(version.len())]
}

struct StatusFile(std::path::PathBuf);

impl Drop for StatusFile {
    fn drop(&mut self) {
        // One that stays is overwritten or swept; it holds nothing of worth.
        let _ = fs::remove_file(&self.0);
    }
}

fn tempfile_beside(apt: &Apt, text: &str) -> Result<StatusFile, ImageError> {
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    let path = apt.path(&format!("state/status-{}-{thread}", std::process::id()));
    fs::write(&path, text).map_err(|source| ImageError::io("write", &path, source))?;
    Ok(StatusFile(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_apt_are_read() {
        let hash = "ab".repeat(32);
        let line = format!("'http://m/pool/r_5%253a7.deb' redis_5%3a7.0.15-1_amd64.deb 99 SHA256:{hash}");
        let package = parse_line(&line).unwrap();
        assert_eq!(
            (package.name.as_str(), package.version.as_str(), package.bytes),
            ("redis", "5:7.0.15-1", 99)
        );
        for line in [
            "Reading package lists...",
            "'http://m' x.deb 1 SHA256:zz",
            "'http://m' a_1_all.deb 9 MD5Sum:0",
            "'",
        ] {
            assert_eq!(parse_line(line), None, "{line}");
        }
    }

    #[test]
    fn versions_are_upstreams() {
        for (version, expected) in [
            ("15.20-0+deb12u1", "15.20"),
            ("5:7.0.15-1~deb12u10", "7.0.15"),
            ("2.42.0+ds-5+deb12u1", "2.42.0"),
            ("1:10.11.19-0+deb12u1", "10.11.19"),
            ("3.10.8-1.1+deb12u1", "3.10.8"),
            ("12.4+deb12u15", "12.4+deb12u15"),
        ] {
            assert_eq!(upstream(version), expected);
        }
    }

    #[test]
    fn records_become_a_status() {
        let status =
            installed("Package: a\nVersion: 1\nDescription: x\nSHA256: y\n\nPackage: b\nVersion: 2\n\n");
        assert_eq!(status.matches("Status: install ok installed").count(), 2);
        assert!(status.contains("Package: b\nVersion: 2\n") && !status.contains("SHA256"));
    }
}
