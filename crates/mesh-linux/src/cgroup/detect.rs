//! Which hierarchies there are, and where in each a group may be made.

use super::{CgroupError, Controller, Group, group::is_busy};
use nix::unistd::{AccessFlags, access};
use std::{
    fs,
    path::{Component, Path, PathBuf},
};

/// The hierarchies in which this process may make groups.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cgroups {
    pub(super) hierarchies: Vec<Hierarchy>,
}

/// One hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    /// Version 2.
    pub(super) unified: bool,
    /// Directory under which groups are made: the hierarchy's root, or what was delegated.
    pub(super) base: PathBuf,
    /// What it controls and we use.
    pub(super) controllers: Vec<Controller>,
}

/// One line of `/proc/self/mountinfo` that is a hierarchy.
struct Mount {
    unified: bool,
    root: PathBuf,
    point: PathBuf,
    options: String,
}

impl Cgroups {
    /// Looks at this process's mounts and groups. Hierarchies without a place where this process may
    /// make groups are left out.
    ///
    /// # Errors
    /// [`CgroupError::Detect`].
    pub fn detect() -> Result<Self, CgroupError> {
        let read = |path: &str| {
            fs::read_to_string(path).map_err(|source| CgroupError::Detect { path: path.into(), source })
        };
        Ok(Self::from_text(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?))
    }

    /// The decision itself, from the two files' text; looks at the directories named there only.
    #[must_use]
    pub fn from_text(mount_information: &str, own_groups: &str) -> Self {
        let found =
            mount_information.lines().filter_map(mount).filter_map(|mount| hierarchy(&mount, own_groups));
        let mut hierarchies: Vec<Hierarchy> = found.collect();
        // Beside version 1, a version 2 without controllers does nothing that is not done already, and
        // joining it is what costs (see `join`).
        if hierarchies.iter().any(|one| !one.unified && one.controllers.contains(&Controller::Freezer)) {
            hierarchies.retain(|one| !one.unified || one.controllers != [Controller::Freezer]);
        }
        Self { hierarchies }
    }

    /// Whether anything can be limited or counted by `controller` here. On version 2 it may still be
    /// refused when the first group is made.
    #[must_use]
    pub fn has(&self, controller: Controller) -> bool {
        self.hierarchies.iter().any(|hierarchy| hierarchy.controllers.contains(&controller))
    }

    /// The group of version 2 under which groups are made, where it holds processes itself: controllers
    /// cannot be had below it then.
    #[must_use]
    pub fn busy(&self) -> Option<&Path> {
        self.hierarchies
            .iter()
            .find(|hierarchy| hierarchy.unified && is_busy(&hierarchy.base))
            .map(|hierarchy| hierarchy.base.as_path())
    }

    /// The group of this name (`mesh/<project>/<id>`), made or not.
    ///
    /// # Errors
    /// [`CgroupError::Name`] for an empty name or one with `..` or a leading slash.
    pub fn group(&self, name: &str) -> Result<Group, CgroupError> {
        let path = Path::new(name);
        let plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        if name.is_empty() || !plain {
            return Err(CgroupError::Name { name: name.to_owned() });
        }
        Ok(Group { hierarchies: self.hierarchies.clone(), name: path.to_owned() })
    }
}

fn mount(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, point) = (left.next()?, left.next()?);
    let mut right = right.split(' ');
    let unified = match right.next()? {
        "cgroup2" => true,
        "cgroup" => false,
        _ => return None,
    };
    let options = right.nth(1).unwrap_or_default().to_owned();
    Some(Mount { unified, root: root.into(), point: unescape(point).into(), options })
}

/// Blanks in mount points are written as `\040`.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\")
}

fn hierarchy(mount: &Mount, own_groups: &str) -> Option<Hierarchy> {
    let own = own_group(mount, own_groups)?;
    let base = base(mount, &own)?;
    let controllers = if mount.unified {
        let listed = fs::read_to_string(base.join("cgroup.controllers")).unwrap_or_default();
        let mut found: Vec<_> = Controller::ALL
            .into_iter()
            .filter(|known| known.name_v2().is_some_and(|name| listed.split_whitespace().any(|w| w == name)))
            .collect();
        // Part of every group of version 2.
        found.push(Controller::Freezer);
        found
    } else {
        Controller::ALL
            .into_iter()
            .filter(|known| mount.options.split(',').any(|option| option == known.name_v1()))
            .collect()
    };
    (mount.unified || !controllers.is_empty()).then_some(Hierarchy {
        unified: mount.unified,
        base,
        controllers,
    })
}

/// This process's group in that hierarchy, as `/proc/self/cgroup` has it.
fn own_group(mount: &Mount, own_groups: &str) -> Option<PathBuf> {
    own_groups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let fits = if mount.unified {
            number == "0" && names.is_empty()
        } else {
            !names.is_empty() && names.split(',').any(|name| mount.options.split(',').any(|o| o == name))
        };
        fits.then(|| PathBuf::from(path))
    })
}

/// The hierarchy's root where it may be written; else the highest of this process's own groups that
/// may be, so that a process can be moved below it.
fn base(mount: &Mount, own: &Path) -> Option<PathBuf> {
    let below = own.strip_prefix(&mount.root).unwrap_or(own);
    let below = below.strip_prefix("/").unwrap_or(below);
    let mut candidate = mount.point.clone();
    let mut candidates = vec![candidate.clone()];
    for part in below.components() {
        candidate.push(part);
        candidates.push(candidate.clone());
    }
    // From the bottom up, as long as it may be written: a gap would forbid moving across it.
    let mut best = None;
    for directory in candidates.into_iter().rev() {
        if !writable(&directory) {
            break;
        }
        best = Some(directory);
    }
    // Real root may write the root whatever its own group looks like from here.
    if writable(&mount.point) { Some(mount.point.clone()) } else { best }
}

fn writable(directory: &Path) -> bool {
    let may = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    may(directory) && may(&directory.join("cgroup.procs"))
}
