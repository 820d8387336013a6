//! A container that runs: its signals, its streams, programs that join it.

use crate::world::{Container, World, binary, until};
use mesh_linux::process::wait_pidfd;
use mesh_sandbox::{
    spawn::{Spawned, read_report, spawn_exec, spawn_run},
    specification::{CopyOperation, CopySpecification, Output, Report},
};
use std::{
    fs,
    io::{Read as _, Write as _},
    time::{Duration, Instant},
};

pub(crate) fn exec(world: &World) {
    let container = long_running(world);
    let check = |arguments: &[&str], code: i32, out: &str, error: &str| {
        let output = world.run_exec(&world.exec(&container, world.process(arguments)));
        let (stdout, stderr) =
            (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!((output.status.code(), stdout.trim_end()), (Some(code), out), "{stderr}");
        assert!(stderr.contains(error), "{stderr}");
    };
    check(&["sh", "-c", "hostname; echo $GREETING $HOSTNAME; exit 6"], 6, "box\nhello box", "");
    check(&["sh", "-c", "kill -9 $$"], 137, "", "");
    check(&["absent"], 127, "", "mesh: could not execute absent: not found in PATH");
    check(&["/etc/not-a-program"], 126, "", "mesh: could not execute");
    check(&["sh", "-c", "cat /proc/1/cmdline | grep -c sleep"], 0, "1", "");
    let mut ghost = world.exec(&container, world.process(&["true"]));
    ghost.process.user = "ghost".to_owned();
    assert_eq!(world.run_exec(&ghost).status.code(), Some(126));
    container.stop();
    let gone = world.run_exec(&world.exec(&container, world.process(&["true"])));
    assert_eq!(gone.status.code(), Some(126));
}

pub(crate) fn exec_timeout(world: &World) {
    let container = long_running(world);
    let mut specification = world.exec(&container, world.process(&["sh", "-c", "sleep 1000 & sleep 1000"]));
    specification.timeout_ms = Some(100);
    let begun = Instant::now();
    assert_eq!(world.run_exec(&specification).status.code(), Some(124));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let left = world.exec(&container, world.process(&["sh", "-c", "ps | grep -c '[s]leep 1000'"]));
    until("the end of what it started", || world.run_exec(&left).stdout == b"1\n");
    container.stop();
}

pub(crate) fn exec_detached(world: &World) {
    let container = long_running(world);
    let script = "sleep 0.05; echo done > /tmp/detached; sleep 1000";
    let mut specification = world.exec(&container, world.process(&["sh", "-c", script]));
    specification.detach = true;
    assert_eq!(world.run_exec(&specification).status.code(), Some(0));
    let look = world.exec(&container, world.process(&["cat", "/tmp/detached"]));
    until("its work", || world.run_exec(&look).stdout == b"done\n");
    container.stop();
}

pub(crate) fn terminal(world: &World) {
    let mut specification = world.specification("tty; stty size; read line; echo got $line; exit 3");
    specification.output = Output::Terminal { detach_keys: Vec::new() };
    let (mut ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let ends = [0; 3].map(|_| std::os::fd::OwnedFd::from(theirs.try_clone().unwrap()));
    drop(theirs);
    let container = world.start_with(&specification, Vec::new(), Some(ends));
    ours.write_all(b"typed\n").unwrap();
    assert_eq!(container.wait(), 3);
    let mut output = String::new();
    ours.read_to_string(&mut output).unwrap();
    assert!(output.contains("/dev/pts/0") && output.contains("got typed"), "{output}");
    // And of a program that joins.
    let container = long_running(world);
    let mut exec = world.exec(&container, world.process(&["sh", "-c", "tty; echo $TERM"]));
    exec.terminal = true;
    let output = world.run_exec(&exec);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.trim_end(), "/dev/pts/0\r\nxterm", "{}", String::from_utf8_lossy(&output.stderr));
    container.stop();
}

pub(crate) fn inherited(world: &World) {
    let mut specification = world.specification("cat; echo error >&2");
    specification.output = Output::Inherit;
    let (input, mut writer) = std::io::pipe().unwrap();
    let (mut reader, output) = std::io::pipe().unwrap();
    let error = output.try_clone().unwrap();
    let container =
        world.start_with(&specification, Vec::new(), Some([input.into(), output.into(), error.into()]));
    writer.write_all(b"through\n").unwrap();
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!((container.wait(), text.as_str()), (0, "through\nerror\n"));
}

pub(crate) fn copy(world: &World) {
    let container = long_running(world);
    let specification = |operation: CopyOperation| CopySpecification {
        pid: container.pid(),
        at_rest: None,
        operation,
        user_namespace: world.namespace,
    };
    let copy =
        |operation: CopyOperation, input: Vec<u8>| crate::world::run_copy(&specification(operation), input);
    let out = |path: &str| CopyOperation::Out { path: path.to_owned() };
    let into = |directory: &str| CopyOperation::In { directory: directory.to_owned(), owner: None };
    let output = copy(out("/srv/data"), Vec::new());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut archive = tar::Archive::new(output.stdout.as_slice());
    let mut names: Vec<_> = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().to_string_lossy().trim_end_matches('/').to_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["data", "data/seed", "data/sub"]);
    assert!(copy(into("/tmp"), output.stdout).status.success());
    let look = world.exec(&container, world.process(&["cat", "/tmp/data/seed"]));
    assert_eq!(world.run_exec(&look).stdout, b"seed");
    assert_eq!(copy(out("/absent"), Vec::new()).status.code(), Some(1));

    // Killed, it leaves no copier behind that goes on.
    let whole = copy(out("/bin"), Vec::new()).stdout.len();
    let mut killed = crate::world::start_copy(&specification(out("/bin")));
    let mut stdout = killed.stdout.take().unwrap();
    stdout.read_exact(&mut [0]).unwrap();
    killed.kill().unwrap();
    killed.wait().unwrap();
    let mut rest = Vec::new();
    stdout.read_to_end(&mut rest).unwrap();
    assert!(rest.len() + 1 < whole, "{whole} bytes came of a copy that was killed");
    container.stop();
}

pub(crate) fn signals(world: &World) {
    let script =
        "trap 'echo term; exit 4' TERM; trap 'echo usr' USR1; echo ready; while true; do sleep 0.01; done";
    let container = world.start(&world.specification(script));
    until("ready", || container.output().contains("ready"));
    container.signal(10);
    until("usr", || container.output().contains("usr"));
    container.signal(15);
    assert_eq!(container.wait(), 4);
}

pub(crate) fn shim_killed(world: &World) {
    for init in [false, true] {
        let mut specification = world.specification("echo up; sleep 1000");
        specification.init = init;
        specification.process.user = "app".to_owned();
        let container = world.start(&specification);
        let pid = container.pid();
        container.signal(9);
        container.wait();
        until("the container's death", || match fs::read_to_string(format!("/proc/{pid}/stat")) {
            Ok(stat) => stat.contains(") Z "),
            Err(_) => true,
        });
    }
}

pub(crate) fn reaping(world: &World) {
    let script = "(setsid sh -c 'sleep 0.01 & exit 0' &) ; sleep 0.1; ps -o stat,comm | grep -c '^Z'; exit 9";
    let mut specification = world.specification(script);
    specification.init = true;
    let (code, output) = world.run(&specification);
    assert_eq!((code, output.as_str()), (9, "0"));
    let mut specification =
        world.specification("trap 'echo got; exit 5' TERM; echo ready; while true; do sleep 0.01; done");
    specification.init = true;
    let container = world.start(&specification);
    until("ready", || container.output().contains("ready"));
    container.signal(15);
    assert_eq!((container.wait(), container.output().as_str()), (5, "ready\ngot"));
    let mut specification = world.specification("");
    specification.init = true;
    specification.process.arguments = vec!["absent".to_owned()];
    let container = world.start(&specification);
    assert!(
        matches!(container.report, Some(Report::ExecuteFailed { code: 127, .. })),
        "{:?}",
        container.report
    );
    assert_eq!(container.wait(), 127);
}

pub(crate) fn long_running(world: &World) -> Container {
    let container = world.start(&world.specification("echo up; sleep 1000"));
    until("the container", || container.output().contains("up"));
    container
}

pub(crate) fn speed(world: &World) {
    let first_byte = || {
        let mut specification = world.specification("");
        specification.process.arguments = ["echo", "x"].map(str::to_owned).to_vec();
        specification.output = Output::Inherit;
        let null = || std::os::fd::OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let (mut reader, writer) = std::io::pipe().unwrap();
        let begun = Instant::now();
        let container = world.start_with(&specification, Vec::new(), Some([null(), writer.into(), null()]));
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        let took = begun.elapsed();
        container.wait();
        took
    };
    let median = |mut times: Vec<Duration>| {
        times.sort();
        times[times.len() / 2]
    };
    let start = median((0..20).map(|_| first_byte()).collect());
    let container = long_running(world);
    let exec = median(
        (0..20)
            .map(|_| {
                let begun = Instant::now();
                let specification = world.exec(&container, world.process(&["true"]));
                assert!(spawn_exec(&binary(), &specification).unwrap().wait().unwrap().success());
                begun.elapsed()
            })
            .collect(),
    );
    let status = fs::read_to_string(format!("/proc/{}/status", container.spawned.shim_pid)).unwrap();
    let memory = |key: &str| status.lines().find(|line| line.starts_with(key)).unwrap().replace('\t', " ");
    let (all, own) = (memory("VmRSS"), memory("RssAnon"));
    println!("  start to first byte {start:?}, exec {exec:?} (medians of 20); shim {all}, {own}");
    container.stop();
}

pub(crate) fn unkept(world: &World) {
    for heard in [true, false] {
        let specification = world.specification("while true; do sleep 60; done");
        let Spawned { pidfd, report, .. } = spawn_run(&binary(), &specification, Vec::new(), None).unwrap();
        if heard {
            assert!(matches!(read_report(&report), Some(Report::Started { .. })));
        }
        drop(report);
        let mut code = None;
        until("the shim's end", || {
            code = wait_pidfd(&pidfd, false).unwrap();
            code.is_some()
        });
        assert_eq!(code, Some(137), "heard: {heard}");
        assert!(!specification.directory.join("exit.json").exists(), "it was never started");
    }
}
