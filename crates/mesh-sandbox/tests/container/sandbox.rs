//! How a container is made, and what it can see and do.

use crate::world::{World, bind};
use mesh_journal::Stream;
use mesh_sandbox::specification::{MountKind, MountSpecification, Output, Report, UserNamespace};
use std::{
    fs,
    os::unix::fs::{MetadataExt as _, symlink},
    path::Path,
};

pub(crate) fn codes(world: &World) {
    for (script, code) in [("exit 0", 0), ("exit 7", 7), ("kill -9 $$; exit 3", 3)] {
        let specification = world.specification(script);
        let container = world.start(&specification);
        assert!(matches!(container.report, Some(Report::Started { .. })), "{:?}", container.report);
        assert_eq!(container.wait(), code, "{script}");
        let record = container.record();
        assert_eq!((record.code, record.out_of_memory), (code, false));
    }
    let container = world.start(&world.specification("while true; do sleep 60; done"));
    nix::sys::signal::kill(
        nix::unistd::Pid::from_raw(container.pid().cast_signed()),
        nix::sys::signal::Signal::SIGKILL,
    )
    .unwrap();
    assert_eq!((container.wait(), container.record().code), (137, 137));
}

pub(crate) fn journal(world: &World) {
    let container = world.start(&world.specification("echo one; echo two >&2; printf three"));
    assert_eq!(container.wait(), 0);
    let mut lines = container.lines();
    lines.sort_by_key(|(_, text)| text.clone());
    let want = [(Stream::Stdout, "one"), (Stream::Stdout, "three"), (Stream::Stderr, "two")];
    assert_eq!(lines, want.map(|(stream, text)| (stream, text.to_owned())));
    // By name as well, whoever the user is, and from a process that outlives process 1.
    let mut specification = world.specification("echo named > /dev/stdout; (sleep 60; echo late) & exit 0");
    specification.process.user = "app".to_owned();
    assert_eq!(world.run(&specification), (0, "named".to_owned()));
    let mut specification = world.specification("echo lost");
    let Output::Journal { disabled, .. } = &mut specification.output else { unreachable!() };
    *disabled = true;
    assert_eq!(world.run(&specification), (0, String::new()));
}

pub(crate) fn not_executed(world: &World) {
    for (program, code, reason) in [
        ("absent", 127, "not found in PATH"),
        ("/bin/absent", 127, "no such file"),
        ("/etc/not-a-program", 126, "may not be executed"),
        ("/etc", 126, "may not be executed"),
        ("", 127, "not found"),
    ] {
        let mut specification = world.specification("");
        specification.process.arguments = vec![program.to_owned()];
        let container = world.start(&specification);
        match &container.report {
            Some(Report::ExecuteFailed { program: named, reason: told, code: got }) => {
                assert_eq!((named.as_str(), *got), (program, code));
                assert!(told.contains(reason), "{told}");
            }
            other => panic!("{program}: {other:?}"),
        }
        assert_eq!((container.wait(), container.record().code), (code, code));
    }
}

pub(crate) fn not_set_up(world: &World) {
    let check = |change: &dyn Fn(&mut mesh_sandbox::specification::RunSpecification), want: &str| {
        let mut specification = world.specification("true");
        change(&mut specification);
        let container = world.start(&specification);
        match &container.report {
            Some(Report::SetupFailed { step, reason }) => {
                assert!(format!("{step}: {reason}").contains(want), "{step}: {reason}");
            }
            other => panic!("{want}: {other:?}"),
        }
        assert_eq!(container.wait(), 125);
    };
    check(&|it| it.process.user = "ghost".to_owned(), "find user ghost");
    check(&|it| it.mounts = vec![bind(Path::new("/absent/here"), "/mnt")], "/absent/here");
    check(&|it| it.layers = vec!["/absent/layer".into()], "mount 1 layers");
    check(&|it| it.process.capabilities = vec!["FLY".to_owned()], "capability FLY");
    check(&|it| it.sysctls = [("vm.swappiness".to_owned(), "1".to_owned())].into(), "vm.swappiness");
    check(&|it| it.network_namespace = Some("/absent/ns".into()), "/absent/ns");
    check(&|it| it.mounts = vec![bind(Path::new("/etc"), "/")], "root itself");
}

pub(crate) fn isolation(world: &World) {
    let outside = world.make("outside");
    fs::write(outside.join("marker"), "host").unwrap();
    let script = format!("ls {} 2>&1; ls /; ls /.old /files 2>&1; hostname; cat /etc/top", outside.display());
    let (_, output) = world.run(&world.specification(&script));
    assert!(output.contains("No such file") && !output.contains("marker"), "{output}");
    assert!(output.contains("box") && output.contains("top layer"), "{output}");
    let processes = world.output("ls /proc | grep -c '^[0-9]'");
    assert!(processes.lines().next().unwrap().parse::<u32>().unwrap() <= 4, "{processes}");
    assert_eq!(world.output("cat /sys/class/net/*/operstate | wc -l; ls /sys/class/net"), "1\nlo");
    assert_eq!(world.output("cat /proc/1/mounts | grep -c layers; readlink /proc/self/cwd"), "1\n/");
    // Kernel files that are hidden, and such that may not be written.
    assert_eq!(
        world.output("cat /proc/kcore /proc/keys 2>/dev/null | wc -c; ls /sys/firmware | wc -l"),
        "0\n0"
    );
    for script in
        ["echo 1 > /proc/sys/kernel/panic", "echo 1 > /proc/irq/default_smp_affinity", "touch /sys/x"]
    {
        let (code, output) = world.run(&world.specification(script));
        assert!(code != 0 && output.contains("Read-only"), "{script}: {output}");
    }
    let devices = world.output("ls /dev; echo x > /dev/null; head -c 3 /dev/zero | wc -c");
    assert!(!devices.contains("vda") && devices.ends_with('3'), "{devices}");
}

pub(crate) fn privileges(world: &World) {
    let status = world.output("grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status");
    let value = |key: &str| {
        let line = status.lines().find(|line| line.starts_with(key)).unwrap();
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    assert_eq!((value("CapEff"), value("CapBnd")), ("00000000000004eb".into(), "00000000000004eb".into()));
    assert_eq!((value("NoNewPrivs"), value("Seccomp")), ("1".into(), "2".into()));
    let mut specification = world.specification("grep CapEff /proc/self/status; id -u; id -g");
    specification.process.user = "app".to_owned();
    assert_eq!(world.run(&specification).1, "CapEff:\t0000000000000000\n70\n71");
    for script in ["mount -t tmpfs x /tmp", "unshare -U true", "mknod /tmp/d b 254 0 && cat /tmp/d"] {
        let (code, output) = world.run(&world.specification(script));
        assert!(code != 0 && output.contains("ermi"), "{script}: {code} {output}");
    }
}

pub(crate) fn read_only(world: &World) {
    let volume = world.make("read-only-volume");
    let mut specification = world.specification(
        "touch /x 2>&1; touch /volume/x 2>&1; touch /writable/x && echo written; pwd; touch /dev/shm/x",
    );
    specification.read_only = true;
    specification.process.working_dir = "/made/for/it".to_owned();
    let mut protected = bind(&volume, "/volume");
    protected.read_only = true;
    specification.mounts = vec![protected, bind(&volume, "/writable")];
    let (code, output) = world.run(&specification);
    assert_eq!(code, 0, "{output}");
    assert_eq!(output.matches("Read-only").count(), 2, "{output}");
    assert!(output.ends_with("written\n/made/for/it"), "{output}");
    assert!(volume.join("x").exists());
}

pub(crate) fn tmpfs(world: &World) {
    let mut specification = world.specification(
        "stat -c %a /scratch; grep -E ' (/scratch|/dev/shm) ' /proc/mounts | cut -d' ' -f4; true",
    );
    specification.process.arguments =
        ["sh", "-c", "stat -c %a /scratch; grep -E ' (/scratch|/dev/shm) ' /proc/mounts"]
            .map(str::to_owned)
            .to_vec();
    specification.mounts = vec![MountSpecification {
        target: "/scratch".to_owned(),
        kind: MountKind::Tmpfs {
            size_bytes: Some(1 << 20),
            mode: Some(0o700),
            uid: Some(70),
            gid: Some(71),
            exec: false,
        },
        read_only: false,
    }];
    let (code, output) = world.run(&specification);
    assert_eq!(code, 0, "{output}");
    assert!(
        output.starts_with("700\n") && output.contains("noexec") && output.contains("size=1024k"),
        "{output}"
    );
    assert_eq!(output.matches("size=1024k").count(), 2, "{output}");
}

pub(crate) fn escape(world: &World) {
    let volume = world.make("escape-volume");
    fs::write(volume.join("inside"), "").unwrap();
    let evil = world.path("layers/evil");
    fs::create_dir_all(&evil).unwrap();
    let target = world.make("escape-target");
    for (name, to) in [("absolute", target.clone()), ("relative", "../../../../../../../../var".into())] {
        let _ = symlink(to, evil.join(name));
    }
    let _ = symlink("/proc/self", evil.join("processes"));
    let mut specification = world.specification("ls -d /absolute/inside /relative/inside");
    specification.layers.push(evil.clone());
    specification.mounts = vec![bind(&volume, "/absolute"), bind(&volume, "/relative")];
    let (code, output) = world.run(&specification);
    assert_eq!((code, output.as_str()), (0, "/absolute/inside\n/relative/inside"));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    let mut specification = world.specification("true");
    specification.layers.push(evil);
    specification.mounts = vec![bind(&volume, "/processes/attr")];
    let container = world.start(&specification);
    assert!(matches!(&container.report, Some(Report::SetupFailed { .. })), "{:?}", container.report);
    container.wait();
    // A link that another container put into its volume since the source was resolved.
    let _ = symlink(&target, volume.join("swapped"));
    for source in [volume.join("swapped"), volume.join("swapped/below")] {
        let mut specification = world.specification("true");
        specification.mounts = vec![bind(&source, "/mnt")];
        let container = world.start(&specification);
        assert!(matches!(&container.report, Some(Report::SetupFailed { .. })), "{:?}", container.report);
        container.wait();
    }
}

pub(crate) fn populate(world: &World) {
    let volume = world.make("volume");
    let mount = || MountSpecification {
        target: "/srv/data".to_owned(),
        kind: MountKind::Bind { source: volume.clone(), populate: true, owner: None },
        read_only: false,
    };
    let mut specification =
        world.specification("cat /srv/data/seed; echo changed > /srv/data/seed; mkdir /srv/data/new");
    specification.mounts = vec![mount()];
    assert_eq!(world.run(&specification), (0, "seed".to_owned()));
    let data = fs::metadata(&volume).unwrap();
    assert_eq!(data.mode() & 0o7777, 0o750);
    if world.namespace == UserNamespace::None {
        assert_eq!((data.uid(), data.gid()), (70, 71));
    }
    let mut again = world.specification("cat /srv/data/seed; ls /srv/data");
    again.mounts = vec![mount()];
    assert_eq!(world.run(&again), (0, "changed\nnew\nseed\nsub".to_owned()));
    assert!(!world.path("layers/base/srv/data/new").exists());
}

pub(crate) fn environment(world: &World) {
    let mut specification = world.specification("echo $GREETING $HOME $HOSTNAME $PATH; env | wc -l; pwd");
    specification.process.user = "app".to_owned();
    specification.process.working_dir = "/srv/made".to_owned();
    let (_, output) = world.run(&specification);
    let want = "hello /srv box /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n";
    assert!(output.starts_with(want) && output.ends_with("/srv/made"), "{output}");
}

pub(crate) fn many_layers(world: &World) {
    let mut specification = world.specification("cat /etc/layer; ls /layers | wc -l");
    for number in 0..90 {
        let layer = world.make(&format!("many/{}-{number:03}", "a-layer-with-a-rather-long-name".repeat(2)));
        fs::create_dir_all(layer.join("etc")).unwrap();
        fs::create_dir_all(layer.join("layers").join(number.to_string())).unwrap();
        fs::write(layer.join("etc/layer"), format!("{number}\n")).unwrap();
        specification.layers.push(layer);
    }
    assert_eq!(world.run(&specification), (0, "89\n90".to_owned()));
    specification.layers.truncate(42);
    assert_eq!(world.run(&specification).1.lines().last(), Some("40"));
}

pub(crate) fn full_log(world: &World) {
    let mut specification =
        world.specification("dd if=/dev/zero bs=65536 count=64 2>/dev/null; echo; echo end");
    let blocked = world.path("a-file");
    fs::write(&blocked, "").unwrap();
    specification.output = Output::Journal {
        directory: blocked.join("impossible"),
        segment_bytes_max: 1 << 16,
        segments_max: 1,
        disabled: false,
        terminal: false,
        stdin: false,
    };
    assert_eq!(world.start(&specification).wait(), 0);
}
