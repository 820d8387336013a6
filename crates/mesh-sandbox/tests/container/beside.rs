//! Programs that a container's own shim starts.

use crate::{
    living::long_running,
    world::{Beside, Container, World, binary, until},
};
use mesh_redact::Secret;
use mesh_sandbox::{
    beside::caller::{Conversation, End},
    specification::{ExecSpecification, UserNamespace},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Read as _,
    os::fd::AsFd as _,
    path::Path,
    process::Command,
};

/// As many as one shim starts.
const AT_ONCE_MAX: usize = 64;
/// Variables of a program whose way into its container takes long enough to be looked at.
const LONG_ORDERS: usize = 20_000;

fn start(world: &World, container: &Container, arguments: &[&str]) -> Beside {
    container.beside(&world.exec(container, world.process(arguments))).unwrap()
}

pub(crate) fn programs(world: &World) {
    let container = long_running(world);
    let check = |specification: &ExecSpecification, code: i32, out: &str, error: &str| {
        let (end, stdout, stderr) = container.beside(specification).unwrap().end();
        let want = if error.is_empty() { End::Code(code) } else { End::NotExecuted(code) };
        assert_eq!((end, stdout.trim_end()), (want, out), "{stderr}");
        assert!(stderr.contains(error) && stderr.is_empty() == error.is_empty(), "{stderr}");
    };
    for (arguments, code, out, error) in [
        (&["sh", "-c", "hostname; echo $GREETING $HOSTNAME; exit 6"][..], 6, "box\nhello box", ""),
        (&["sh", "-c", "kill -9 $$"], 137, "", ""),
        (&["absent"], 127, "", "mesh: could not execute absent: not found in PATH\n"),
        (&["/etc/not-a-program"], 126, "", "mesh: could not execute"),
        (&["sh", "-c", "cat /proc/1/cmdline | grep -c sleep"], 0, "1", ""),
        // What a program finds open, the directory that it reads included; and nothing to read.
        (&["sh", "-c", "ls /proc/self/fd; cat"], 0, "0\n1\n2\n3", ""),
        (
            &["grep", "-E", "Seccomp:|NoNewPrivs|SigBlk", "/proc/self/status"],
            0,
            "SigBlk:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2",
            "",
        ),
        // The null device is the container's, whichever was given.
        (&["sh", "-c", "[ $(stat -L -c %d /proc/self/fd/0) = $(stat -c %d /dev/null) ]"], 0, "", ""),
        (&["sh", "-c", "umask; pwd; test -t 0 || echo none"], 0, "0022\n/\nnone", ""),
    ] {
        check(&world.exec(&container, world.process(arguments)), code, out, error);
    }
    let process = |user: &str, working_dir: &str, script: &str| {
        let mut specification = world.exec(&container, world.process(&["sh", "-c", script]));
        specification.process.user = user.to_owned();
        specification.process.working_dir = working_dir.to_owned();
        specification
    };
    if world.namespace != UserNamespace::Sole {
        check(&process("app", "/tmp", "id -u; id -G; pwd"), 0, "70\n71 110\n/tmp", "");
    }
    check(&process("ghost", "", "true"), 126, "", "find user ghost");
    check(&process("", "/absent", "true"), 126, "", "enter /absent");
    container.stop();
    assert!(container.beside(&process("", "", "true")).is_err(), "nobody is behind the door");
}

pub(crate) fn endings(world: &World) {
    let container = long_running(world);
    let ready = |program: &mut Beside| {
        program.stdout.read_exact(&mut [0; 6]).unwrap();
    };
    let mut program = start(
        world,
        &container,
        &["sh", "-c", "trap 'exit 4' TERM; echo ready; while true; do sleep 0.01; done"],
    );
    ready(&mut program);
    assert_eq!(program.conversation.end(), None);
    program.conversation.signal(15);
    assert_eq!(program.wait(), End::Code(4));
    // Killed with what it started.
    let mut program = start(world, &container, &["sh", "-c", "echo ready; sleep 1001 & sleep 1001"]);
    ready(&mut program);
    program.conversation.kill();
    assert_eq!(program.wait(), End::Code(137));
    let gone = |seconds: &str| {
        let script = format!("ps | grep -c '[s]leep {seconds}'");
        until("its end", || start(world, &container, &["sh", "-c", &script]).end().1 == "0\n");
    };
    gone("1001");
    // A caller that is gone takes its program along.
    let mut program = start(world, &container, &["sh", "-c", "echo ready; exec sleep 1002"]);
    ready(&mut program);
    drop(program);
    gone("1002");
    let mut program = start(world, &container, &["sh", "-c", "echo ready; sleep 1004 & sleep 1004"]);
    ready(&mut program);
    drop(program);
    gone("1004");
    // A container that ends says so to all.
    let mut program = start(world, &container, &["sh", "-c", "echo ready; exec sleep 1003"]);
    ready(&mut program);
    container.stop();
    assert_eq!(program.wait(), End::Code(137));
}

/// A shim that does not take a request is not waited for, and does nothing of it later.
pub(crate) fn not_taken(world: &World) {
    let container = long_running(world);
    container.signal(19);
    let late = start(world, &container, &["touch", "/ran"]);
    until("the end of patience", || {
        assert_eq!(late.conversation.end(), None);
        late.conversation.patience().is_some_and(|left| left.is_zero())
    });
    assert_eq!(late.conversation.withdraw(), End::Refused);
    container.signal(18);
    assert_eq!(start(world, &container, &["test", "-e", "/ran"]).wait(), End::Code(1));
    container.signal(19);
    let lost = start(world, &container, &["true"]);
    container.signal(9);
    assert_eq!(lost.wait(), End::Refused);
    container.wait();
}

/// A program of its own that asks the shim of the container with this directory for `true`.
pub(crate) fn knock(directory: &Path) {
    let orders = fs::read(directory.join("orders.json")).unwrap();
    let nothing = fs::File::open("/dev/null").unwrap();
    let streams = [nothing.as_fd(), nothing.as_fd(), nothing.as_fd()];
    let conversation = Conversation::begin(directory, &orders, streams).unwrap();
    let mut end = None;
    until("an answer", || {
        end = conversation.end();
        end.is_some()
    });
    println!("{:?}", end.unwrap());
}

pub(crate) fn strangers(world: &World) {
    let container = long_running(world);
    let orders = world.exec(&container, world.process(&["true"]));
    fs::write(container.directory.join("orders.json"), serde_json::to_vec(&orders).unwrap()).unwrap();
    let into = |namespace: &[&str]| {
        let mut command = Command::new(namespace[0]);
        command.args(&namespace[1..]).arg(binary()).arg("knock").arg(&container.directory);
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    assert_eq!(into(&["env"]), "Code(0)\n");
    assert_eq!(into(&["unshare", "--pid", "--fork"]), "Refused\n");
    container.stop();
}

pub(crate) fn bounds(world: &World) {
    let container = long_running(world);
    let shim = container.spawned.shim_pid;
    let descriptors = || fs::read_dir(format!("/proc/{shim}/fd")).unwrap().count();
    let own_memory = || {
        let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    };
    assert_eq!(start(world, &container, &["true"]).wait(), End::Code(0));
    let (before, memory) = (descriptors(), own_memory());
    let mut running: Vec<Beside> = Vec::new();
    for _ in 0..AT_ONCE_MAX {
        let program = start(world, &container, &["sh", "-c", "echo ready; exec sleep 1000"]);
        // The socket takes a few datagrams only: one after the other.
        running.push(program);
        running.last_mut().unwrap().stdout.read_exact(&mut [0; 6]).unwrap();
    }
    assert_eq!(start(world, &container, &["true"]).wait(), End::Refused);
    running.iter().for_each(|program| program.conversation.kill());
    assert!(running.iter().all(|program| program.wait() == End::Code(137)));
    drop(running);
    for _ in 0..200 {
        assert_eq!(start(world, &container, &["true"]).wait(), End::Code(0));
    }
    until("its descriptors closed", || descriptors() == before);
    assert!(own_memory() <= memory + 64, "{memory} kB grew to {} kB", own_memory());
    let children = fs::read_to_string(format!("/proc/{shim}/task/{shim}/children")).unwrap_or_default();
    assert_eq!(children.split_whitespace().count(), 1, "{children}");
    container.stop();
}

/// Whatever can be learned of processes that are somebody else's, from the container's root.
const LOOK_AROUND: &str = "echo up; while true; do for p in /proc/[0-9]*; do \
    readlink $p/exe; readlink $p/root; \
    echo mounts $(grep -c . $p/mountinfo); echo sockets $(grep -c . $p/net/unix); \
    echo files $(ls $p/root/); echo place $(stat -c %d:%i $p/root/); echo command $(cat $p/cmdline); grep CapPrm $p/status; \
    done; done 2>/dev/null";

pub(crate) fn guard(world: &World) {
    look_around(world, &[]);
    // What traces may see more, but nothing of the machine, and no more rights than the program's.
    if world.namespace == UserNamespace::None {
        look_around(world, &["SYS_PTRACE"]);
    }
    // And the file that the shim is executed from cannot be written to, where this user may make mounts.
    if world.namespace == UserNamespace::None {
        let container = long_running(world);
        let program = format!("/proc/{}/exe", container.spawned.shim_pid);
        let mounted = rustix::fs::fstatvfs(fs::File::open(&program).unwrap()).unwrap();
        assert!(mounted.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY));
        container.stop();
    }
}

fn look_around(world: &World, further: &[&str]) {
    let mut specification = world.specification(LOOK_AROUND);
    specification.process.capabilities.extend(further.iter().map(|name| (*name).to_owned()));
    let container = world.start(&specification);
    until("the container", || container.output().contains("up"));
    let mut orders = world.exec(&container, world.process(&["true"]));
    let long = (0..LONG_ORDERS).map(|number| (format!("LONG{number}"), String::from("x")));
    orders.process.environment = Secret::new(long.collect::<BTreeMap<_, _>>());
    let own = "grep -c . /proc/1/mountinfo; grep -c . /proc/1/net/unix; echo $(ls /); stat -c %d:%i /; grep CapPrm /proc/1/status; \
        grep CapPrm /proc/self/status";
    let (end, own, error) = start(world, &container, &["sh", "-c", own]).end();
    assert_eq!(end, End::Code(0), "{error}");
    let [mounts, sockets, files, place, first, program] = own.lines().collect::<Vec<_>>()[..] else {
        panic!("{own}");
    };
    for _ in 0..8 {
        let (end, _, error) = container.beside(&orders).unwrap().end();
        assert_eq!(end, End::Code(0), "{error}");
        let captured = world.run_exec(&orders);
        assert!(captured.status.success(), "{captured:?}");
    }
    until("a look around", || container.lines().len() > 100);
    container.stop();
    let own_files: BTreeSet<&str> = files.split(' ').chain([""]).collect();
    let seen: BTreeSet<String> = container.lines().into_iter().map(|(_, line)| line).collect();
    // Files and roots of programs; those of the shim are seen only by what traces.
    let stranger = |line: &&String| match line.split_once([' ', '\t']) {
        Some(("mounts", count)) => ![mounts, "0", ""].contains(&count),
        Some(("sockets", count)) => ![sockets, "0", ""].contains(&count),
        // Not the names alone: it is the very directory.
        Some(("place", found)) => ![place, ""].contains(&found),
        // A listing may be cut short, by an overlay as well; what is not the container's is the machine's.
        Some(("files", names)) => names.split(' ').any(|name| !own_files.contains(name)),
        Some(("command", words)) => words.contains(&*world.path("").to_string_lossy()),
        // Where there is one id only, rights are those of a user namespace that is the container's alone.
        Some(("CapPrm:", _)) => {
            world.namespace != UserNamespace::Sole && ![first, program].contains(&line.as_str())
        }
        None if further.is_empty() => {
            !["up", "/bin/busybox", "/", "files", "place", "mounts", "sockets", "command"]
                .contains(&line.as_str())
        }
        _ => false,
    };
    assert_eq!(seen.iter().filter(stranger).collect::<Vec<_>>(), Vec::<&String>::new(), "{own}");
}

pub(crate) fn no_door(world: &World) {
    // As that of a shim of an older version.
    let container = long_running(world);
    fs::remove_file(container.directory.join("exec.sock")).unwrap();
    assert!(container.beside(&world.exec(&container, world.process(&["true"]))).is_err());
    container.stop();
    if world.namespace == UserNamespace::None {
        let mut specification = world.specification("echo up; sleep 1000");
        specification.host_pid = true;
        let container = world.start(&specification);
        until("the container", || container.output().contains("up"));
        assert!(!container.directory.join("exec.sock").exists());
        container.stop();
    }
}

/// Programs are in every group of their container, the first as the second; and in others where those are named.
pub(crate) fn groups(world: &World, group: &mesh_linux::cgroup::Group) {
    let mut specification = world.specification("echo up; exec sleep 1000");
    specification.cgroups = group.paths();
    let container = world.start(&specification);
    until("the container", || container.output().contains("up"));
    let members = || {
        let count = |path: &std::path::PathBuf| {
            fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default().lines().count()
        };
        group.paths().iter().map(count).collect::<BTreeSet<_>>()
    };
    let mut orders = world.exec(&container, world.process(&["sleep", "1000"]));
    orders.cgroups = group.paths();
    let first = container.beside(&orders).unwrap();
    until("the first in its groups", || members() == [2].into());
    let second = container.beside(&orders).unwrap();
    until("the second in its groups", || members() == [3].into());
    orders.cgroups = vec!["/absent".into()];
    let (end, _, error) = container.beside(&orders).unwrap().end();
    assert!(end == End::NotExecuted(126) && error.contains("join control group /absent"), "{error}");
    for program in [first, second] {
        program.conversation.kill();
        assert_eq!(program.wait(), End::Code(137));
    }
    container.stop();
}
