//! Groups of version 2 on directories made to look like it, and of whatever this machine has.

use super::*;
use crate::cgroup::Cgroups;

/// A directory tree as the kernel shows it, with the files a group gets in it.
fn unified(base: &Path, groups: &[&str]) -> Cgroups {
    for group in groups {
        let directory = base.join(group);
        fs::create_dir_all(&directory).unwrap();
        for (file, content) in [
            ("cgroup.controllers", "cpuset cpu io memory pids"),
            ("cgroup.subtree_control", ""),
            ("cgroup.procs", ""),
            ("cgroup.freeze", "0"),
            ("cgroup.kill", ""),
            ("memory.max", "max"),
            ("memory.swap.max", "max"),
            ("memory.events", "low 0\noom 2\noom_kill 1\n"),
            ("memory.current", "4096"),
            ("memory.stat", "anon 1\ninactive_file 96\n"),
            ("cpu.stat", "usage_usec 7\n"),
            ("cpu.max", "max 100000"),
            ("pids.max", "max"),
            ("pids.current", "3"),
        ] {
            fs::write(directory.join(file), content).unwrap();
        }
    }
    let mounts = format!("30 24 0:26 / {} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n", base.display());
    Cgroups::from_text(&mounts, "0::/user.slice\n")
}

#[test]
fn a_group_of_version_two_is_limited_counted_and_killed() {
    let base = tempfile::tempdir().unwrap();
    let groups = unified(base.path(), &["", "mesh", "mesh/one", "mesh/one/abc"]);
    assert!(groups.has(Controller::Memory) && groups.has(Controller::Freezer));
    let group = groups.group("mesh/one/abc").unwrap();
    group.create().unwrap();
    let limits = Limits { memory_bytes: Some(1 << 20), pids: Some(5), cpus: Some(0.5), ..Limits::default() };
    assert_eq!(group.apply(&limits).unwrap(), []);
    let read = |file: &str| fs::read_to_string(base.path().join("mesh/one/abc").join(file)).unwrap();
    assert_eq!((read("memory.max"), read("memory.swap.max")), ("1048576".into(), "1048576".into()));
    assert_eq!((read("pids.max"), read("cpu.max")), ("5".into(), "50000 100000".into()));
    assert_eq!(group.oom_kills(), 1);
    let usage = group.usage();
    assert_eq!((usage.memory_bytes, usage.pids, usage.cpu_ns), (4000, 3, 7000));
    group.freeze().unwrap();
    assert_eq!(read("cgroup.freeze"), "1");
    group.kill().unwrap();
    assert_eq!(read("cgroup.kill"), "1");
    let enabled = fs::read_to_string(base.path().join("mesh/cgroup.subtree_control")).unwrap();
    assert!(enabled.starts_with('+'), "{enabled}");
}

#[test]
fn what_was_not_delegated_is_told() {
    let base = tempfile::tempdir().unwrap();
    let groups = unified(base.path(), &["", "mesh"]);
    fs::write(base.path().join("mesh/cgroup.controllers"), "pids").unwrap();
    let group = groups.group("mesh").unwrap();
    let limits = Limits { memory_bytes: Some(1), pids: Some(5), ..Limits::default() };
    assert_eq!(group.apply(&limits).unwrap(), [Controller::Memory]);
    assert_eq!(fs::read_to_string(base.path().join("mesh/memory.max")).unwrap(), "max");
    assert_eq!(fs::read_to_string(base.path().join("mesh/pids.max")).unwrap(), "5");
}

#[test]
fn a_group_that_holds_processes_is_not_divided() {
    let base = tempfile::tempdir().unwrap();
    let groups = unified(base.path(), &["", "mesh"]);
    assert_eq!(groups.busy(), None);
    fs::write(base.path().join("cgroup.procs"), "7\n").unwrap();
    assert_eq!(groups.busy(), None, "the root of all may hold processes");
    fs::write(base.path().join("cgroup.type"), "domain\n").unwrap();
    assert_eq!(groups.busy(), Some(base.path()));
    groups.group("mesh/one").unwrap().create().unwrap();
    assert_eq!(fs::read_to_string(base.path().join("cgroup.subtree_control")).unwrap(), "");
    fs::write(base.path().join("mesh/cgroup.type"), "domain invalid\n").unwrap();
    assert!(matches!(groups.group("mesh").unwrap().create(), Err(CgroupError::Create { .. })));
}

#[test]
fn names_stay_inside() {
    let groups = Cgroups::default();
    for name in ["", "/etc", "../x", "a/../b"] {
        assert!(groups.group(name).is_err(), "{name}");
    }
    assert!(groups.group("mesh/project/id").is_ok());
}

#[test]
fn the_groups_of_this_machine_hold_a_process() {
    let groups = Cgroups::detect().unwrap();
    let group = groups.group(&format!("mesh-linux-test-{}", std::process::id())).unwrap();
    if groups.hierarchies.is_empty() || group.create().is_err() {
        println!("skipped: no control group can be made here");
        return;
    }
    let limits = Limits { pids: Some(20), memory_bytes: Some(64 << 20), ..Limits::default() };
    let missing = group.apply(&limits).unwrap();
    let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
    for path in group.paths() {
        fs::write(path.join("cgroup.procs"), child.id().to_string()).unwrap();
    }
    assert_eq!(group.processes(), [child.id()]);
    if !missing.contains(&Controller::Memory) {
        assert_eq!(group.usage().memory_limit_bytes, Some(64 << 20));
    }
    group.freeze().unwrap();
    group.kill().unwrap();
    child.wait().unwrap();
    // A process that was reaped has left its group, but for a moment its thread is still counted.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while group.remove().is_err() {
        assert!(std::time::Instant::now() < deadline, "the group is still held");
        std::thread::yield_now();
    }
    assert!(group.paths().iter().all(|path| !path.exists()));
}
