//! The distribution's package tools, asked without touching the machine's own package state.
//!
//! Every call names a configuration file of ours that points apt at directories of the store. Lists
//! are refreshed by one caller at a time; finding out what a set of packages needs only reads them,
//! and runs beside others.

pub(crate) mod closure;
pub(crate) mod command;
pub(crate) mod fetch;
pub(crate) mod lists;
pub(crate) mod sources;

use crate::{error::ImageError, host, lock::Lock};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// apt's directories within the store.
#[derive(Debug, Clone)]
pub(crate) struct Apt {
    directory: PathBuf,
    /// `etc` of the machine: `/etc/apt`, or that of a test.
    configured: PathBuf,
}

impl Apt {
    /// Makes the directories and the configuration file.
    pub(crate) fn open(directory: PathBuf, configured: PathBuf) -> Result<Self, ImageError> {
        let make =
            |path: &Path| fs::create_dir_all(path).map_err(|source| ImageError::io("create", path, source));
        make(&directory)?;
        // Homes may share a store by a link. The configuration file is one for all of them, so it names
        // the directory by the path that stays when a home goes.
        let directory =
            fs::canonicalize(&directory).map_err(|source| ImageError::io("resolve", &directory, source))?;
        let apt = Self { directory, configured };
        for path in ["lists/partial", "cache/archives/partial", "state", "sources.d", "plans"] {
            make(&apt.directory.join(path))?;
        }
        write_if_changed(&apt.path("empty"), "")?;
        write_if_changed(&apt.path("apt.conf"), &apt.configuration())?;
        Ok(apt)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Held alone while lists are refreshed, beside others while they are read.
    pub(crate) fn reading(&self) -> Result<Lock, ImageError> {
        Lock::shared(&self.path("lock"))
    }

    /// The configuration read after the machine's own, so that its proxies and credentials stay while
    /// its hooks, pins and directories do not.
    fn configuration(&self) -> String {
        let here = self.directory.display();
        let architectures = host::architecture()
            .map(|name| format!("APT::Architectures {{ \"{name}\"; }};\n"))
            .unwrap_or_default();
        format!(
            "#clear APT::Update::Pre-Invoke;\n#clear APT::Update::Post-Invoke;\n\
             #clear APT::Update::Post-Invoke-Success;\n#clear DPkg::Pre-Invoke;\n#clear DPkg::Post-Invoke;\n\
             #clear DPkg::Pre-Install-Pkgs;\n#clear Acquire::IndexTargets::deb::DEP-11;\n\
             #clear Acquire::IndexTargets::deb::CNF;\n#clear Acquire::IndexTargets::deb::Contents-deb;\n\
             #clear APT::Architectures;\n{architectures}\
             Dir::State \"{here}/state/\";\nDir::State::lists \"{here}/lists/\";\n\
             Dir::State::status \"{here}/empty\";\nDir::State::extended_states \"{here}/state/extended\";\n\
             Dir::Cache \"{here}/cache/\";\nDir::Cache::archives \"{here}/cache/archives/\";\n\
             Dir::Cache::pkgcache \"\";\nDir::Cache::srcpkgcache \"srcpkgcache.bin\";\n\
             Dir::Etc::sourcelist \"{here}/sources.list\";\nDir::Etc::sourceparts \"{here}/sources.d\";\n\
             Dir::Etc::preferences \"/dev/null\";\nDir::Etc::preferencesparts \"/dev/null\";\n\
             Dir::Log \"/dev/null\";\nAPT::Sandbox::User \"root\";\nDebug::NoLocking \"true\";\n\
             APT::Install-Recommends \"false\";\nAPT::Install-Suggests \"false\";\nAPT::Get::Assume-Yes \"true\";\n\
             Acquire::Languages \"none\";\nAcquire::GzipIndexes \"false\";\nAcquire::ForceHash \"SHA256\";\n\
             Acquire::Retries \"{RETRIES_MAX}\";\nAcquire::http::Timeout \"{NETWORK_TIMEOUT_SECONDS}\";\n\
             Acquire::https::Timeout \"{NETWORK_TIMEOUT_SECONDS}\";\n"
        )
    }
}

/// Times apt asks again for one file.
const RETRIES_MAX: u32 = 2;
/// How long apt waits for a server that says nothing, seconds.
const NETWORK_TIMEOUT_SECONDS: u32 = 15;

/// Writes a small file in one step where its content is another one.
pub(crate) fn write_if_changed(path: &Path, content: &str) -> Result<(), ImageError> {
    if fs::read_to_string(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    write_atomic(path, content.as_bytes())
}

/// Writes a small file beside its place and renames it there.
pub(crate) fn write_atomic(path: &Path, content: &[u8]) -> Result<(), ImageError> {
    let thread = format!("{:?}", std::thread::current().id()).replace(['(', ')'], "");
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}-{thread}.new", std::process::id()));
    let new = path.with_file_name(name);
    fs::write(&new, content).map_err(|source| ImageError::io("write", &new, source))?;
    fs::rename(&new, path).map_err(|source| ImageError::io("replace", path, source))
}

#[cfg(test)]
mod tests;
