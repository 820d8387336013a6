//! What of a project goes into a backup, and how: decided from what was brought up and what runs.

use super::manifest::FILES_MAX;
use mesh_api::status::{ContainerStatus, State};
use mesh_model::{
    backup::Dump,
    mount::{Mount, MountSource},
    project::Project,
};
use std::collections::{BTreeMap, BTreeSet};

/// A backup to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Plan {
    /// Files that programs of services write.
    pub(super) dumps: Vec<DumpFile>,
    /// Volumes, as they are on the disk.
    pub(super) volumes: Vec<VolumeFile>,
    /// Services that are frozen while volumes are read.
    pub(super) pause: BTreeSet<String>,
    /// What is not in it, a sentence each.
    pub(super) absent: Vec<String>,
}

/// A file that a program of a service writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DumpFile {
    pub(super) service: String,
    pub(super) dump: Dump,
}

/// A volume, read through a container that has all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VolumeFile {
    pub(super) key: String,
    pub(super) file: String,
    /// Name of the container.
    pub(super) container: String,
    pub(super) target: String,
}

impl VolumeFile {
    /// The last part of the target: what is in the tar stream stands below it.
    pub(super) fn folder(&self) -> &str {
        parent_and_folder(&self.target).1
    }
}

/// A path of a container as the directory that it is in, and its name there.
pub(super) fn parent_and_folder(target: &str) -> (&str, &str) {
    match target.trim_end_matches('/').rsplit_once('/') {
        Some(("", folder)) => ("/", folder),
        Some((parent, folder)) => (parent, folder),
        None => ("/", target),
    }
}

/// Makes the plan.
///
/// # Errors
/// A sentence, where two of its files have one name.
pub(super) fn plan(project: &Project, containers: &[ContainerStatus]) -> Result<Plan, String> {
    let runs =
        |service: &str| containers.iter().any(|one| one.service == service && one.state == State::Running);
    let mut plan = Plan::default();
    for service in project.services.values() {
        if let Some(dump) = service.dump.clone().filter(|_| runs(&service.name)) {
            plan.dumps.push(DumpFile { service: service.name.clone(), dump });
        }
    }
    let dumped: BTreeSet<&str> = plan.dumps.iter().map(|dump| dump.service.as_str()).collect();
    let mut pause = BTreeSet::new();
    for (key, volume) in &project.volumes {
        let users = users(project, key, true);
        if users.is_empty() || users.iter().all(|service| dumped.contains(service)) {
            continue;
        }
        if volume.external {
            plan.absent.push(format!("volume {key} is external"));
            continue;
        }
        match through(project, containers, key, true) {
            Some((container, target)) => {
                plan.volumes.push(VolumeFile {
                    key: key.clone(),
                    file: format!("volume-{key}.tar"),
                    container,
                    target,
                });
                let writers = self::users(project, key, false).into_iter();
                pause.extend(writers.filter(|service| runs(service)).map(str::to_owned));
            }
            None => plan.absent.push(format!("no container has the whole of volume {key}")),
        }
    }
    plan.pause = pause;
    check_names(&plan)?;
    Ok(plan)
}

/// A container that has the whole of a volume, and where: one that may write there, unless `read_only` will do. One
/// that runs comes before others.
pub(super) fn through(
    project: &Project,
    containers: &[ContainerStatus],
    key: &str,
    read_only: bool,
) -> Option<(String, String)> {
    let candidates = containers.iter().filter_map(|container| {
        let mounts = &project.services.get(&container.service)?.mounts;
        let mount = mounts.iter().find(|mount| {
            let whole =
                matches!(&mount.source, MountSource::Volume { key: own, subpath: None, .. } if own == key);
            whole && (read_only || !mount.read_only)
        })?;
        Some((container, mount))
    });
    let best =
        candidates.min_by_key(|(container, _)| (container.state != State::Running, container.name.clone()));
    best.map(|(container, mount)| (container.name.clone(), mount.target.clone()))
}

/// The services that have a volume, or a part of it; those that cannot write there only where `read_only` will do.
fn users<'a>(project: &'a Project, key: &str, read_only: bool) -> BTreeSet<&'a str> {
    let uses = |mount: &Mount| {
        matches!(&mount.source, MountSource::Volume { key: own, .. } if own == key)
            && (read_only || !mount.read_only)
    };
    let services = project.services.values();
    services.filter(|service| service.mounts.iter().any(uses)).map(|service| service.name.as_str()).collect()
}

fn check_names(plan: &Plan) -> Result<(), String> {
    let mut owners: BTreeMap<&str, &str> = BTreeMap::new();
    let dumps = plan.dumps.iter().map(|dump| (dump.dump.file.as_str(), dump.service.as_str()));
    let volumes = plan.volumes.iter().map(|volume| (volume.file.as_str(), volume.key.as_str()));
    for (file, owner) in dumps.chain(volumes) {
        if let Some(other) = owners.insert(file, owner) {
            return Err(format!("the backups of {other} and {owner} have one name, {file}"));
        }
    }
    if owners.len() > FILES_MAX {
        return Err(format!("a backup has at most {FILES_MAX} files"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verbs::summary::sample;
    use mesh_compose::{InputFile, LoadOptions};

    fn project(text: &str) -> Project {
        let input = InputFile::Text { name: "compose.yaml".to_owned(), text: text.to_owned() };
        let options = LoadOptions {
            files: vec![input],
            working_directory: "/tmp".into(),
            interpolate: true,
            ..LoadOptions::default()
        };
        mesh_compose::load(&options).unwrap().project
    }

    const FILE: &str = "
name: p
services:
  db:
    image: a
    volumes: ['db:/var/lib/db']
    x-mesh: {backup: {file: db.sql, command: dump, restore: [load, '-']}}
  cache: {image: a, volumes: ['cache:/data', 'shared:/s:ro']}
  job: {image: a, volumes: ['shared:/all/shared']}
  part:
    image: a
    volumes: [{type: volume, source: parts, target: /x, volume: {subpath: a}}, 'far:/far']
volumes: {db: , cache: , shared: , parts: , far: {external: true}}
";

    #[test]
    fn dumps_where_something_runs_and_volumes_else() {
        let project = project(FILE);
        let containers = |db: State| {
            vec![
                sample("db", db),
                sample("cache", State::Running),
                sample("job", State::Exited),
                sample("part", State::Running),
            ]
        };
        let plan = plan(&project, &containers(State::Running)).unwrap();
        // `job` may write into what `cache` only reads, and does not run.
        assert_eq!(plan.dumps.len(), 1);
        assert_eq!(plan.dumps[0].dump.command, ["sh", "-c", "dump"]);
        assert_eq!(plan.dumps[0].dump.restore, ["load", "-"]);
        let volumes: Vec<&str> = plan.volumes.iter().map(|volume| volume.file.as_str()).collect();
        assert_eq!(volumes, ["volume-cache.tar", "volume-shared.tar"]);
        // One that runs is asked before one that does not.
        assert_eq!((plan.volumes[1].container.as_str(), plan.volumes[1].folder()), ("hub-cache-1", "s"));
        assert_eq!(plan.pause, BTreeSet::from(["cache".to_owned()]));
        assert_eq!(plan.absent, ["volume far is external", "no container has the whole of volume parts"]);
        // A server that does not run cannot be asked: its files are at rest.
        let plan = super::plan(&project, &containers(State::Exited)).unwrap();
        assert!(plan.dumps.is_empty());
        assert_eq!(plan.volumes[1].key, "db");
        // Who only reads a volume cannot restore it.
        let all = containers(State::Running);
        assert_eq!(
            through(&project, &all, "shared", false),
            Some(("hub-job-1".to_owned(), "/all/shared".to_owned()))
        );
    }

    #[test]
    fn files_of_one_name_are_refused() {
        let project = project(&FILE.replace("db.sql", "volume-cache.tar"));
        let containers = vec![sample("db", State::Running), sample("cache", State::Running)];
        let said = plan(&project, &containers).unwrap_err();
        assert_eq!(said, "the backups of db and cache have one name, volume-cache.tar");
    }

    #[test]
    fn a_target_is_a_folder_in_a_directory() {
        for (target, want) in [("/data", ("/", "data")), ("/a/b/", ("/a", "b")), ("/a/b/c", ("/a/b", "c"))] {
            assert_eq!(parent_and_folder(target), want);
        }
    }
}
