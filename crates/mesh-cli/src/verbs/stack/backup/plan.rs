//! What of a project goes into a backup, and how: decided from what was brought up and what runs.

use super::{
    manifest::FILES_MAX,
    settings::{ENVIRONMENT_FILE, SECRETS_FILE},
};
use mesh_api::status::{ContainerStatus, State};
use mesh_model::{
    backup::Dump,
    mount::{Mount, MountSource},
    project::Project,
    service::Service,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

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

impl Plan {
    /// The volumes that are read.
    pub(super) fn keys(&self) -> BTreeSet<&str> {
        self.volumes.iter().map(|volume| volume.key.as_str()).collect()
    }
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
    let (mut pause, mut skipped) = (BTreeSet::new(), Vec::new());
    for (key, volume) in &project.volumes {
        let users = users(project, key, true);
        if users.iter().all(|service| dumped.contains(service)) {
            skipped.push((key, users));
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
            None => {
                plan.absent.push(format!("no container has the whole of volume {key} and nothing else in it"))
            }
        }
    }
    // The one volume of a server is where it keeps what its dump has. Of several nobody knows.
    let among_others =
        |service: &&str| skipped.iter().filter(|(_, users)| users.contains(service)).count() > 1;
    for (key, users) in skipped.iter().filter(|(_, users)| users.iter().any(among_others)) {
        let owners = users.iter().copied().collect::<Vec<_>>().join(", ");
        plan.absent.push(format!("volume {key} is left to the command of service {owners}"));
    }
    plan.pause = pause;
    check_names(&plan)?;
    Ok(plan)
}

/// Services that have containers, and of which the project that is known has nothing: their profiles were not named when
/// it was brought up last, or the file has them no more.
pub(super) fn unknown<'a>(project: &Project, containers: &'a [ContainerStatus]) -> BTreeSet<&'a str> {
    let services = containers.iter().map(|container| container.service.as_str());
    services.filter(|service| !project.services.contains_key(*service)).collect()
}

/// Whether nothing of a container writes as long as nobody starts or thaws it.
pub(super) fn is_still(state: State) -> bool {
    state == State::Paused || is_at_rest(state)
}

/// Whether a container has no process.
pub(super) fn is_at_rest(state: State) -> bool {
    matches!(state, State::Created | State::Exited | State::Dead)
}

/// The containers that may write into one of these volumes, and whose state is not admitted. Of a container of `run`, and
/// of a service that is not known, every mount counts: what it may do there is not known.
pub(super) fn at_work(
    project: &Project,
    containers: &[ContainerStatus],
    keys: &BTreeSet<&str>,
    admitted: fn(State) -> bool,
) -> Vec<String> {
    let named = |key: &&str, container: &ContainerStatus| {
        let name = project.volumes.get(*key).map_or(*key, |volume| volume.name.as_str());
        container.mounts.iter().any(|mount| mount.volume && mount.name == name)
    };
    let writes = |container: &ContainerStatus| {
        let known = !container.one_off && project.services.contains_key(&container.service);
        keys.iter().any(|key| match known {
            true => users(project, key, false).contains(container.service.as_str()),
            false => named(key, container),
        })
    };
    let busy = containers.iter().filter(|container| !admitted(container.state) && writes(container));
    busy.map(|container| container.name.clone()).collect()
}

/// A container that has the whole of a volume and nothing else in it, and where: one that may write there, unless
/// `read_only` will do. One that runs comes before others.
pub(super) fn through(
    project: &Project,
    containers: &[ContainerStatus],
    key: &str,
    read_only: bool,
) -> Option<(String, String)> {
    let candidates = containers.iter().filter_map(|container| {
        let service = project.services.get(&container.service)?;
        let mount = service.mounts.iter().find(|mount| {
            let whole =
                matches!(&mount.source, MountSource::Volume { key: own, subpath: None, .. } if own == key);
            whole && (read_only || !mount.read_only) && !holds_others(service, mount)
        })?;
        Some((container, mount))
    });
    let best =
        candidates.min_by_key(|(container, _)| (container.state != State::Running, container.name.clone()));
    best.map(|(container, mount)| (container.name.clone(), mount.target.clone()))
}

/// The volumes that dumps of these services fill anew: those of services that have no other place to write to. Of several
/// places, be they external, shared, folders of the host or the image's own, only a service's program knows what is in
/// which.
pub(super) fn filled_by_dumps<'a>(
    project: &'a Project,
    containers: &[ContainerStatus],
    dumped: &BTreeSet<&str>,
) -> BTreeSet<&'a str> {
    let keys = project.volumes.iter().filter(|(key, volume)| {
        let users = users(project, key, true);
        let filled = |user: &&str| dumped.contains(user) && writes_only_to(project, containers, user, key);
        !volume.external && !users.is_empty() && users.iter().all(filled)
    });
    keys.map(|(key, _)| key.as_str()).collect()
}

/// Whether a service has the whole of a volume, once, and nothing else that outlives its containers to write to.
fn writes_only_to(project: &Project, containers: &[ContainerStatus], service: &str, key: &str) -> bool {
    let (Some(found), Some(volume)) = (project.services.get(service), project.volumes.get(key)) else {
        return false;
    };
    let lasting = |mount: &&Mount| !mount.read_only && !matches!(mount.source, MountSource::Tmpfs { .. });
    let mut places = found.mounts.iter().filter(lasting);
    let whole = places.next().is_some_and(
        |mount| matches!(&mount.source, MountSource::Volume { key: own, subpath: None, .. } if own == key),
    );
    // What the image declares is in no file.
    let own = containers.iter().filter(|one| one.service == service).flat_map(|one| &one.mounts);
    let unknown = own.filter(|mount| mount.volume && mount.name != volume.name).any(|mount| {
        let declared = |key: &String| project.volumes.get(key).is_some_and(|one| one.name == mount.name);
        let mut read = found.mounts.iter().filter(|mount| mount.read_only);
        !read.any(|one| matches!(&one.source, MountSource::Volume { key, .. } if declared(key)))
    });
    whole && places.next().is_none() && !unknown
}

/// Whether something else is mounted where a mount is, or below: a copy would have what is not of the volume, and emptying
/// it would empty a folder of the host.
fn holds_others(service: &Service, mount: &Mount) -> bool {
    let others = service.mounts.iter().filter(|other| !std::ptr::eq(*other, mount));
    let files = service.secrets.iter().chain(&service.configs);
    let mut targets = others.map(|other| &other.target).chain(files.map(|file| &file.target));
    targets.any(|target| Path::new(target).starts_with(&mount.target))
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
    let own = "the project itself";
    let mut owners: BTreeMap<&str, &str> = BTreeMap::from([(ENVIRONMENT_FILE, own), (SECRETS_FILE, own)]);
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
        assert_eq!(
            plan.absent,
            ["volume far is external", "no container has the whole of volume parts and nothing else in it"]
        );
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
    fn a_volume_with_other_mounts_in_it_is_not_touched() {
        let check = |mounts: &str, want: bool| {
            let text = format!(
                "name: p\nservices: {{web: {{image: a, {mounts}}}}}\nvolumes: {{wp: , in: }}\n\
                 secrets: {{s: {{file: ./s}}}}\nconfigs: {{c: {{file: ./c}}}}\n"
            );
            let containers = [sample("web", State::Running)];
            let found = through(&project(&text), &containers, "wp", false);
            assert_eq!(found.is_some(), want, "{mounts}");
        };
        check("volumes: ['wp:/www', './logs:/wwwlogs', 'in:/other']", true);
        check("volumes: ['wp:/www', './themes:/www/themes']", false);
        check("volumes: ['./one:/www/a/one.conf', 'wp:/www/']", false);
        check("volumes: ['wp:/www', 'in:/www/in']", false);
        check("volumes: ['wp:/www', '/www/anonymous']", false);
        check("volumes: ['wp:/www', {type: tmpfs, target: /www/cache}]", false);
        check("volumes: ['wp:/www'], tmpfs: /www/cache", false);
        check("volumes: ['wp:/www'], secrets: [{source: s, target: /www/s}]", false);
        check("volumes: ['wp:/www'], configs: [{source: c, target: /www/c}]", false);
        // Another place of the same volume, where it is alone.
        check("volumes: ['wp:/www', './themes:/www/themes', 'wp:/all']", true);
    }

    #[test]
    fn only_the_one_place_of_a_server_is_filled_by_its_dump() {
        let check = |mounts: &str, declared: Option<&str>, want: bool| {
            let text = FILE.replace("'db:/var/lib/db'", mounts);
            let mounts =
                declared.map(|name| mesh_api::status::MountStatus { name: name.to_owned(), volume: true });
            let container =
                ContainerStatus { mounts: mounts.into_iter().collect(), ..sample("db", State::Running) };
            let project = project(&text);
            let found = filled_by_dumps(&project, &[container], &BTreeSet::from(["db"]));
            assert_eq!(found.contains("db"), want, "{text}");
        };
        check("'db:/var/lib/db'", Some("p_db"), true);
        check("'db:/var/lib/db', './conf:/conf:ro', {type: tmpfs, target: /tmp}", None, true);
        check("'db:/var/lib/db', 'shared:/s:ro'", Some("p_shared"), true);
        for other in ["far:/far", "shared:/s", "./files:/files", "/anonymous", "db:/twice"] {
            check(&format!("'db:/var/lib/db', '{other}'"), None, false);
        }
        check("'db:/var/lib/db:ro'", None, false);
        check("{type: volume, source: db, target: /x, volume: {subpath: a}}", None, false);
        check("'db:/var/lib/db'", Some("0123"), false);
    }

    #[test]
    fn volumes_beside_that_of_a_dump_are_told() {
        let project = project(
            &FILE
                .replace("'db:/var/lib/db'", "'db:/var/lib/db', 'files:/files'")
                .replace("volumes: {db: ,", "volumes: {db: , files: ,"),
        );
        let plan = plan(&project, &[sample("db", State::Running)]).unwrap();
        for key in ["db", "files"] {
            let told = format!("volume {key} is left to the command of service db");
            assert!(plan.absent.contains(&told), "{:?}", plan.absent);
        }
    }

    #[test]
    fn whoever_may_write_is_named() {
        let project = project(FILE);
        let keys = BTreeSet::from(["shared", "cache"]);
        let check = |container: ContainerStatus, admitted: fn(State) -> bool, want: bool| {
            let busy = at_work(&project, std::slice::from_ref(&container), &keys, admitted);
            assert_eq!(!busy.is_empty(), want, "{container:?}");
        };
        for (state, still, rests) in [
            (State::Running, false, false),
            (State::Starting, false, false),
            (State::Restarting, false, false),
            (State::Waiting, false, false),
            (State::Paused, true, false),
            (State::Exited, true, true),
            (State::Created, true, true),
            (State::Dead, true, true),
        ] {
            check(sample("job", state), is_still, !still);
            check(sample("job", state), is_at_rest, !rests);
            check(sample("db", state), is_at_rest, false);
        }
        // One of `run`, or of a service that is not known, by what is mounted in it.
        let mounted = |service: &str, one_off: bool, name: &str| ContainerStatus {
            one_off,
            mounts: vec![mesh_api::status::MountStatus { name: name.to_owned(), volume: true }],
            ..sample(service, State::Running)
        };
        check(mounted("db", true, "p_cache"), is_still, true);
        check(mounted("job", true, "p_other"), is_still, false);
        check(mounted("gone", false, "p_shared"), is_still, true);
        check(mounted("gone", false, "p_other"), is_still, false);
        assert_eq!(
            unknown(&project, &[sample("gone", State::Exited), sample("db", State::Running)]),
            BTreeSet::from(["gone"])
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
