//! One group: made, limited, frozen, counted, killed, removed.

use super::{
    CgroupError, Controller, Limits, Usage,
    detect::Hierarchy,
    usage::{self, keyed},
};
use nix::{
    errno::Errno,
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
};

/// One group, in every hierarchy there is. Its directories need not be there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub(super) hierarchies: Vec<Hierarchy>,
    pub(super) name: PathBuf,
}

/// Rounds of reading a group's processes and killing them on version 1: one that forks while it is
/// read is seen in the next round, unless it forks faster than this.
const KILL_ROUNDS_MAX: usize = 64;

impl Group {
    /// Makes its directories, with the controllers of version 2 enabled on the way as far as the kernel
    /// allows. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`CgroupError::Create`], [`CgroupError::Write`].
    pub fn create(&self) -> Result<(), CgroupError> {
        for hierarchy in &self.hierarchies {
            let mut directory = hierarchy.base.clone();
            for part in self.name.components() {
                if hierarchy.unified {
                    enable_controllers(&directory, &hierarchy.controllers);
                }
                let parent = directory.clone();
                directory.push(part);
                make(&directory)?;
                if hierarchy.unified {
                    may_hold_processes(&directory)?;
                }
                if !hierarchy.unified && hierarchy.controllers.contains(&Controller::CpuSet) {
                    inherit_cpuset(&parent, &directory)?;
                }
            }
        }
        Ok(())
    }

    /// Sets limits. What cannot be had here is returned (which controller is missing), not failed.
    ///
    /// # Errors
    /// [`CgroupError::Write`] where the kernel refuses a value.
    pub fn apply(&self, limits: &Limits) -> Result<Vec<Controller>, CgroupError> {
        let missing: BTreeSet<_> =
            limits.controllers().into_iter().filter(|wanted| !self.controls(*wanted)).collect();
        for (unified, settings) in [(false, limits.settings_v1()), (true, limits.settings_v2())] {
            for (controller, file, value) in settings {
                let Some((directory, is_unified)) = self.directory(controller) else { continue };
                let path = directory.join(file);
                // Swap accounting may be off, and then its file is not there.
                if is_unified != unified || missing.contains(&controller) || !path.exists() {
                    continue;
                }
                write_limit(&path, &value)?;
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Its directories, for a process that joins it ([`super::join`]).
    #[must_use]
    pub fn paths(&self) -> Vec<PathBuf> {
        self.hierarchies.iter().map(|hierarchy| hierarchy.base.join(&self.name)).collect()
    }

    /// How often the kernel killed something in it for want of memory.
    #[must_use]
    pub fn oom_kills(&self) -> u64 {
        oom_kills(&self.paths())
    }

    /// What it uses now.
    #[must_use]
    pub fn usage(&self) -> Usage {
        usage::read(self)
    }

    /// Its processes, those of groups below it not counted.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let mut found = BTreeSet::new();
        for path in self.paths() {
            let text = fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
            found.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
        }
        found.into_iter().collect()
    }

    /// Freezes all of its processes. Freezing is asked for, not waited for.
    ///
    /// # Errors
    /// [`CgroupError::Write`]; `Unsupported` as its source where nothing can freeze.
    pub fn freeze(&self) -> Result<(), CgroupError> {
        self.set_frozen(true)
    }

    /// Thaws them.
    ///
    /// # Errors
    /// As for [`Self::freeze`].
    pub fn thaw(&self) -> Result<(), CgroupError> {
        self.set_frozen(false)
    }

    fn set_frozen(&self, frozen: bool) -> Result<(), CgroupError> {
        let Some((directory, unified)) = self.directory(Controller::Freezer) else {
            let source = io::ErrorKind::Unsupported.into();
            return Err(CgroupError::Write { path: self.name.clone(), value: "freeze".into(), source });
        };
        let (file, value) = match (unified, frozen) {
            (true, true) => ("cgroup.freeze", "1"),
            (true, false) => ("cgroup.freeze", "0"),
            (false, true) => ("freezer.state", "FROZEN"),
            (false, false) => ("freezer.state", "THAWED"),
        };
        write(&directory.join(file), value)
    }

    /// Kills all of its processes, frozen ones as well. Their end is not waited for.
    ///
    /// # Errors
    /// [`CgroupError::Write`] where `cgroup.kill` is refused.
    pub fn kill(&self) -> Result<(), CgroupError> {
        if let Some((directory, true)) = self.unified_directory().filter(|_| self.is_unified_only()) {
            let file = directory.join("cgroup.kill");
            if file.exists() {
                return write(&file, "1");
            }
        }
        for _ in 0..KILL_ROUNDS_MAX {
            let living: Vec<_> = self.processes().into_iter().filter(|pid| signal(*pid).is_ok()).collect();
            // A frozen process of version 1 dies only when it is thawed.
            let _ = self.thaw();
            if living.is_empty() {
                break;
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Removes its directories, which must hold no process. Those that are gone are no error.
    ///
    /// # Errors
    /// [`CgroupError::Remove`]: most often `EBUSY` while processes are left.
    pub fn remove(&self) -> Result<(), CgroupError> {
        for path in self.paths() {
            remove(&path)?;
        }
        Ok(())
    }

    /// The directory of a controller and whether it is of version 2.
    pub(super) fn directory(&self, controller: Controller) -> Option<(PathBuf, bool)> {
        let hierarchy =
            self.hierarchies.iter().find(|hierarchy| hierarchy.controllers.contains(&controller))?;
        Some((hierarchy.base.join(&self.name), hierarchy.unified))
    }

    pub(super) fn unified_directory(&self) -> Option<(PathBuf, bool)> {
        let hierarchy = self.hierarchies.iter().find(|hierarchy| hierarchy.unified)?;
        Some((hierarchy.base.join(&self.name), true))
    }

    fn is_unified_only(&self) -> bool {
        self.hierarchies.iter().all(|hierarchy| hierarchy.unified)
    }

    /// Whether the group has this controller indeed: on version 2 its files are there only when every
    /// group above enabled it.
    fn controls(&self, controller: Controller) -> bool {
        let Some((directory, unified)) = self.directory(controller) else { return false };
        if !unified {
            return true;
        }
        let listed = fs::read_to_string(directory.join("cgroup.controllers")).unwrap_or_default();
        controller.name_v2().is_none_or(|name| listed.split_whitespace().any(|word| word == name))
    }
}

/// How often the kernel killed something for want of memory in the group with these directories.
#[must_use]
pub fn oom_kills(directories: &[PathBuf]) -> u64 {
    let count = |directory: &PathBuf| {
        // The first is of version 2, the second of version 1.
        keyed(&directory.join("memory.events"), "oom_kill")
            .or_else(|| keyed(&directory.join("memory.oom_control"), "oom_kill"))
    };
    directories.iter().filter_map(count).max().unwrap_or(0)
}

fn make(directory: &Path) -> Result<(), CgroupError> {
    match fs::create_dir(directory) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(CgroupError::Create { path: directory.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    fs::write(path, value).map_err(|source| CgroupError::Write {
        path: path.to_owned(),
        value: value.to_owned(),
        source,
    })
}

/// Memory limits depend on each other: on version 1 the total may not be below memory alone, so a
/// group that is limited again may need the other order; the total is raised first then.
fn write_limit(path: &Path, value: &str) -> Result<(), CgroupError> {
    let result = write(path, value);
    let conflicting = matches!(&result, Err(CgroupError::Write { source, .. })
        if source.raw_os_error() == Some(Errno::EINVAL as i32) && path.ends_with("memory.limit_in_bytes"));
    if !conflicting {
        return result;
    }
    let _ = fs::write(path.with_file_name("memory.memsw.limit_in_bytes"), "-1");
    write(path, value)
}

/// Enables controllers for the groups below `directory`, one by one: a refusal of one (a group that
/// has processes of its own, no delegation) must not cost the others. What failed shows in the
/// child's `cgroup.controllers`.
///
/// None is tried on a group that holds processes: the kernel would grant those that work by thread, and
/// from then on let no process into any group below ("domain invalid").
fn enable_controllers(directory: &Path, controllers: &[Controller]) {
    if is_busy(directory) {
        return;
    }
    let file = directory.join("cgroup.subtree_control");
    let enabled = fs::read_to_string(&file).unwrap_or_default();
    for name in controllers.iter().filter_map(|controller| controller.name_v2()) {
        if !enabled.split_whitespace().any(|word| word == name) {
            let _ = fs::write(&file, format!("+{name}"));
        }
    }
}

/// Whether a group of version 2 holds processes itself, and so cannot give controllers to those below.
/// The root of all is excepted, by the kernel's rule; it has no type.
pub(super) fn is_busy(directory: &Path) -> bool {
    directory.join("cgroup.type").exists()
        && fs::read_to_string(directory.join("cgroup.procs")).is_ok_and(|text| !text.trim().is_empty())
}

/// Refuses a group of version 2 that cannot hold processes, because one above it works by thread.
fn may_hold_processes(directory: &Path) -> Result<(), CgroupError> {
    let kind = fs::read_to_string(directory.join("cgroup.type")).unwrap_or_default();
    if kind.trim() == "domain invalid" {
        let source = io::Error::new(io::ErrorKind::Unsupported, "a group above it works by thread");
        return Err(CgroupError::Create { path: directory.to_owned(), source });
    }
    Ok(())
}

/// A new cpuset of version 1 is empty, and no process can join it before it is filled.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), CgroupError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let path = child.join(file);
        let empty = fs::read_to_string(&path).is_ok_and(|text| text.trim().is_empty());
        if empty {
            let inherited = fs::read_to_string(parent.join(file)).unwrap_or_default();
            write(&path, inherited.trim())?;
        }
    }
    Ok(())
}

fn signal(pid: u32) -> Result<(), Errno> {
    kill(Pid::from_raw(i32::try_from(pid).map_err(|_| Errno::ESRCH)?), Signal::SIGKILL)
}

fn remove(path: &Path) -> Result<(), CgroupError> {
    match fs::remove_dir(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(CgroupError::Remove { path: path.to_owned(), source: error })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
