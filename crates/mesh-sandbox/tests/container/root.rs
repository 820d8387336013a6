//! What only root can ask for.

use crate::world::{World, binary, until};
use mesh_linux::cgroup::{Cgroups, Controller, Limits};
use mesh_redact::Secret;
use mesh_sandbox::{
    spawn::start_holder,
    specification::{MountKind, MountSpecification},
};
use std::{fs, path::PathBuf, process::Command};

pub(crate) fn users(world: &World) {
    for (user, groups, want) in [
        ("app", vec![], "uid=70(app) gid=71(app) groups=71(app),110(ssl)"),
        ("app:ssl", vec![], "uid=70(app) gid=110(ssl) groups=110(ssl)"),
        ("1234:5678", vec!["ssl"], "uid=1234 gid=5678 groups=5678,110(ssl)"),
        ("", vec![], "uid=0(root) gid=0(root) groups=0(root)"),
    ] {
        let mut specification = world.specification("id");
        specification.process.user = user.to_owned();
        specification.process.groups = groups.into_iter().map(str::to_owned).collect();
        let (code, output) = world.run(&specification);
        let plain = |text: &str| {
            let text = text.replace("groups=", "");
            let mut words: Vec<_> = text.split([' ', ',']).map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!((code, plain(&output)), (0, plain(want)), "{user}");
    }
}

pub(crate) fn secret(target: &str, owner: Option<&str>, mode: u32) -> MountSpecification {
    MountSpecification {
        target: target.to_owned(),
        kind: MountKind::File {
            content: Secret::new(b"hunter2".to_vec()),
            uid: owner.map(str::to_owned),
            gid: owner.map(str::to_owned),
            mode,
        },
        read_only: true,
    }
}

pub(crate) fn secrets(world: &World) {
    let script = "stat -c '%u %g %a' /run/secrets/one /two; cat /run/secrets/one; echo; touch /run/secrets/one 2>&1; \
                  cat /two; true";
    let mut specification = world.specification(script);
    specification.process.user = "app".to_owned();
    specification.mounts = vec![secret("/run/secrets/one", Some("app"), 0o400), secret("/two", None, 0o600)];
    let (_, output) = world.run(&specification);
    assert!(output.starts_with("70 71 400\n0 0 600\nhunter2\n"), "{output}");
    assert_eq!(output.matches("hunter2").count(), 1, "{output}");
    assert!(output.contains("denied") || output.contains("Read-only"), "{output}");
    let written =
        Command::new("grep").arg("-r").arg("hunter2").arg(&specification.directory).output().unwrap();
    let only_journal = String::from_utf8_lossy(&written.stdout);
    assert!(only_journal.lines().all(|line| line.contains("/journal/")), "{only_journal}");
}

pub(crate) fn limits(world: &World) {
    let groups = Cgroups::detect().unwrap();
    let group = groups.group(&format!("mesh-sandbox-test-{}", std::process::id())).unwrap();
    if group.create().is_err() || !groups.has(Controller::Memory) || !groups.has(Controller::Pids) {
        let _ = group.remove();
        println!("  skipped: no control groups for memory and pids here");
        return;
    }
    let checked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        crate::beside::groups(world, &group);
        limits_hold(world, &group);
    }));
    group.kill().unwrap();
    until("an empty group", || group.processes().is_empty());
    until("the group's end", || group.remove().is_ok());
    assert!(group.paths().iter().all(|path| !path.exists()));
    assert!(checked.is_ok());
}

pub(crate) fn limits_hold(world: &World, group: &mesh_linux::cgroup::Group) {
    let limits = Limits { memory_bytes: Some(32 << 20), pids: Some(10), ..Limits::default() };
    let missing = group.apply(&limits).unwrap();
    assert!(missing.is_empty(), "{missing:?}");
    let mut specification =
        world.specification("for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1000 & done; wait");
    specification.cgroups = group.paths();
    let container = world.start(&specification);
    until("a refused fork", || container.output().contains("can't fork"));
    let own = world.specification(
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null",
    );
    container.stop();
    let mut own = own;
    own.cgroups = group.paths();
    assert_eq!(world.run(&own).1.trim(), (32 << 20).to_string());
    // A container that may mount gets no further: what it may open is the group's to say.
    assert_eq!(group.limit_devices(&[]).unwrap(), Cgroups::detect().unwrap().has(Controller::Devices));
    if Cgroups::detect().unwrap().has(Controller::Devices) {
        let mut mounting = world.specification(
            "mkdir -p /m; mount -t tmpfs m /m; mknod /m/log c 1 11; mknod /m/null c 1 3; echo x > /m/null && \
             head -c 1 /m/log",
        );
        mounting.process.capabilities.extend(["SYS_ADMIN", "MKNOD"].map(str::to_owned));
        mounting.cgroups = group.paths();
        let (code, output) = world.run(&mounting);
        assert!(code != 0 && output.contains("/m/log: Operation not permitted"), "{code} {output}");
    }
    let mut hungry = world.specification("head -c 200000000 /dev/zero | tail -c 150000000 | wc -c; exit 137");
    hungry.cgroups = group.paths();
    let container = world.start(&hungry);
    container.wait();
    assert!(container.record().out_of_memory, "{:?} {}", container.record(), container.output());
}

pub(crate) fn ulimits(world: &World) {
    let mut specification = world.specification("ulimit -n; ulimit -Hn; cat /proc/sys/net/core/somaxconn");
    specification.process.ulimits = [("nofile".to_owned(), (100, 200))].into();
    specification.sysctls = [("net.core.somaxconn".to_owned(), "321".to_owned())].into();
    assert_eq!(world.run(&specification), (0, "100\n200\n321".to_owned()));
    let mut specification = world.specification("true");
    specification.process.ulimits = [("nonsense".to_owned(), (1, 1))].into();
    assert_eq!(world.run(&specification).0, 125);
}

pub(crate) fn network(world: &World) {
    let holder = start_holder(&binary(), false).unwrap();
    let namespace = format!("/proc/{}/ns/net", holder.pid);
    let number = fs::read_link(&namespace).unwrap();
    let mut by_path = world.specification("readlink /proc/self/ns/net");
    by_path.network_namespace = Some(PathBuf::from(&namespace));
    assert_eq!(world.run(&by_path).1, number.to_string_lossy());
    let descriptor = std::os::fd::OwnedFd::from(fs::File::open(&namespace).unwrap());
    let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&descriptor));
    let mut by_descriptor = world.specification("readlink /proc/self/ns/net");
    by_descriptor.network_namespace = Some(path.into());
    let container = world.start_with(&by_descriptor, vec![descriptor], None);
    assert_eq!(container.wait(), 0);
    assert_eq!(container.output(), number.to_string_lossy());
    let pid = nix::unistd::Pid::from_raw(i32::try_from(holder.pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    nix::sys::wait::waitpid(pid, None).unwrap();
}
