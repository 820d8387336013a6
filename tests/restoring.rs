//! A restore beside its good end: what is on the disk before what, and what there is after one that was refused.

mod harness;

use harness::{Stack, is_root};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

const FILE: &str = "services:
  db:
    image: busybox
    init: true
    command: [sleep, infinity]
    volumes: ['data:/data', './told:/told:ro']
    x-mesh:
      backup:
        command: [cat, /data/file]
        restore: [sh, -c, 'cat > /data/file && test ! -e /told/refuse']
  files:
    image: busybox
    init: true
    command: [sleep, infinity]
    volumes: ['files:/files']
    depends_on: [db]
volumes: {data: , files: }
";

fn stack() -> Stack {
    let stack = Stack::new(FILE);
    stack.write("told/about", "what the services are told");
    stack.up();
    stack
}

fn write(stack: &Stack, state: &str) {
    stack.shell("db", &format!("echo {state} > /data/file"));
    stack.shell("files", &format!("rm -f /files/is-*; touch /files/is-{state}"));
}

fn read(stack: &Stack) -> [String; 2] {
    [stack.shell("db", "cat /data/file"), stack.shell("files", "ls /files | sed s/is-//")]
}

/// What is left of data that was put aside, and of the journal about it.
fn left(stack: &Stack) -> Vec<PathBuf> {
    let volumes = fs::read_dir(stack.home().join("data/volumes")).expect("volumes").flatten();
    let inside = volumes.flat_map(|volume| fs::read_dir(volume.path()).into_iter().flatten().flatten());
    let is_left =
        |path: &PathBuf| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("_data."));
    let mut left: Vec<PathBuf> = inside.map(|entry| entry.path()).filter(is_left).collect();
    left.extend(Some(stack.state().join("restore.json")).filter(|journal| journal.exists()));
    left
}

#[test]
fn one_that_a_service_refuses_leaves_what_was_there_and_what_ran_runs_again() {
    if !is_root() {
        return;
    }
    let stack = stack();
    write(&stack, "backup");
    stack.mesh(&["backup"]).succeeded();
    write(&stack, "now");
    stack.write("told/refuse", "");
    let states = |stack: &Stack| ["db", "files"].map(|name| stack.container(name)["State"].clone());
    for round in 0..2 {
        stack.mesh(&["restore", "-y"]).failed_saying(&["the restore of service db failed"]);
        assert_eq!(states(&stack), ["running"; 2], "round {round}");
        assert_eq!(read(&stack), ["now"; 2], "round {round}");
        assert_eq!(left(&stack), [""; 0].map(PathBuf::from));
    }
    // Of a stack of which one service was stopped, the other one runs again.
    stack.mesh(&["stop", "files"]).succeeded();
    stack.mesh(&["restore", "-y"]).failed_saying(&["the restore of service db failed"]);
    assert_eq!(states(&stack), ["running", "exited"]);
    stack.mesh(&["stop"]).succeeded();
    stack.mesh(&["restore", "-y"]).failed_saying(&["the restore of service db failed"]);
    assert_eq!(states(&stack), ["exited"; 2]);
    stack.up();
    assert_eq!(read(&stack), ["now"; 2]);

    fs::remove_file(stack.directory().join("told/refuse")).expect("it is there");
    stack.mesh(&["restore", "-y"]).succeeded();
    assert_eq!(states(&stack), ["running"; 2]);
    assert_eq!(read(&stack), ["backup"; 2]);
    assert_eq!(left(&stack), [""; 0].map(PathBuf::from));
}

/// A step of a change of volumes, as the kernel is asked for it: a call, and what its line has.
type Step = (&'static str, &'static [&'static str]);

/// The journal is there before the first volume is touched, and says that the new data counts only once all of it is on
/// the disk; the old data goes after that, and the journal last.
const STEPS: [Step; 11] = [
    ("fsync", &["/restore.new>"]),
    ("rename", &["/restore.new\"", "/restore.json\""]),
    ("fsync", &["/projects/", "NAME>"]),
    ("rename", &["_files/_data\"", "_files/_data.old\""]),
    ("fsync", &["NAME_files>"]),
    ("syncfs", &["NAME_files>"]),
    ("fsync", &["/restore.new>"]),
    ("rename", &["/restore.new\"", "/restore.json\""]),
    ("fsync", &["/projects/", "NAME>"]),
    ("rename", &["_files/_data.old\"", "_files/_data.gone\""]),
    ("unlink", &["/restore.json\""]),
];

fn strace() -> Option<&'static Path> {
    let path = Path::new("/usr/bin/strace");
    path.exists().then_some(path)
}

#[test]
fn the_new_data_is_on_the_disk_before_it_counts_and_the_old_data_goes_after_that() {
    let Some(strace) = strace().filter(|_| is_root()) else {
        println!("skipped: needs root and strace");
        return;
    };
    let stack = stack();
    write(&stack, "backup");
    stack.mesh(&["backup"]).succeeded();
    write(&stack, "now");
    let log = stack.directory().join("calls");
    let restore = stack.command(&["restore", "-y"]);
    let mut command = Command::new(strace);
    command.args(["-f", "-qq", "-y", "-s", "4096", "-o"]).arg(&log);
    command.args(["-e", "trace=rename,renameat,renameat2,fsync,syncfs,unlink,unlinkat"]);
    command.arg(restore.get_program()).args(restore.get_args()).current_dir(stack.directory()).env_clear();
    command.envs(restore.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let outcome = harness::Outcome::from(command.output().expect("strace runs"));
    outcome.succeeded();
    assert_eq!(read(&stack), ["backup"; 2]);

    let calls = fs::read_to_string(&log).expect("what was called");
    let mut lines = calls.lines().filter(|line| line.ends_with(" = 0"));
    for (call, parts) in STEPS {
        let parts: Vec<String> = parts.iter().map(|part| part.replace("NAME", stack.name())).collect();
        let found = lines.any(|line| line.contains(call) && parts.iter().all(|part| line.contains(part)));
        assert!(found, "{call} of {parts:?} does not come in its turn:\n{calls}");
    }
}
