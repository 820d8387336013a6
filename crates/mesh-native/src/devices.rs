//! Which devices of the machine a container may open: those its file names, nothing else.

use mesh_linux::cgroup::DeviceRule;
use mesh_model::{container::ContainerSpec, mount::MountSource};
use std::{fs, path::Path};

/// Devices of one directory that are looked at.
const DIRECTORY_ENTRIES_MAX: usize = 256;

/// The devices of `devices`, those in a directory named there, and device files that are bound by
/// name. `None`: all of them, for a privileged container.
pub(crate) fn rules(spec: &ContainerSpec) -> Option<Vec<DeviceRule>> {
    let service = &spec.service;
    if service.security.privileged {
        return None;
    }
    let mut rules = Vec::new();
    for device in &service.devices {
        let mut parts = device.split(':');
        let path = Path::new(parts.next().unwrap_or_default());
        let access = parts.next_back().unwrap_or_default();
        rules.extend(DeviceRule::of(path, access));
        let entries = fs::read_dir(path).into_iter().flatten().flatten().take(DIRECTORY_ENTRIES_MAX);
        rules.extend(entries.filter_map(|entry| DeviceRule::of(&entry.path(), access)));
    }
    for mount in &service.mounts {
        if let MountSource::Bind { path, .. } = &mount.source {
            rules.extend(DeviceRule::of(path, if mount.read_only { "r" } else { "rwm" }));
        }
    }
    Some(rules)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use mesh_model::mount::Mount;

    #[test]
    fn a_container_opens_what_its_file_names() {
        let mut spec = fixture::spec();
        assert_eq!(rules(&spec), Some(Vec::new()));
        spec.service.devices = vec!["/dev/null:/dev/x:r".to_owned(), "/dev/zero".to_owned()];
        let source = MountSource::Bind { path: "/dev/full".into(), create: false };
        spec.service.mounts.push(Mount { source, target: "/dev/full".to_owned(), read_only: false });
        let rule = |path: &str, access| DeviceRule::of(Path::new(path), access).expect("a device");
        let want = vec![rule("/dev/null", "r"), rule("/dev/zero", "rwm"), rule("/dev/full", "rwm")];
        assert_eq!(rules(&spec), Some(want));
        spec.service.security.privileged = true;
        assert_eq!(rules(&spec), None);
    }
}
