//! Files of containers that do not run, and the watching of files beside what goes wrong.

mod harness;

use harness::{Stack, finish, is_root, processes, within};
use std::{
    fs::{self, File},
    io::{BufRead as _, BufReader, Read as _, Write as _},
    process::{Child, ChildStdout, Command, Stdio},
};

fn piped(stack: &Stack, arguments: &[&str]) -> Child {
    let mut command = stack.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh runs")
}

/// A `watch` that has begun.
struct Watching {
    child: Child,
    output: BufReader<ChildStdout>,
    said: String,
}

impl Watching {
    #[track_caller]
    fn begin(stack: &Stack, services: &[&str]) -> Self {
        let mut child = piped(stack, &[&["watch", "--no-up"], services].concat());
        let output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut watching = Self { child, output, said: String::new() };
        watching.until("Watch enabled");
        watching
    }

    /// Reads until a line has these words.
    #[track_caller]
    fn until(&mut self, words: &str) {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).expect("text"), 0, "it ended:\n{}", self.said);
            self.said.push_str(&line);
            if line.contains(words) {
                return;
            }
        }
    }

    /// Ends it as Ctrl+C does, and gives all that it said.
    #[track_caller]
    fn interrupt(mut self) -> String {
        Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().expect("kill runs");
        self.output.read_to_string(&mut self.said).expect("text");
        self.said + &finish(self.child).text()
    }
}

#[test]
fn files_are_copied_into_and_out_of_containers_that_do_not_run() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "
services:
  it:
    image: busybox
    command: sh -c 'ln -sf /etc/hostname /srv/out; ln -sfn / /srv/root; echo own > /srv/own; sleep 1000'
    stop_signal: SIGKILL
    volumes: ['data:/data', './here:/here']
    tmpfs: [/memory]
  closed: {image: busybox, command: [sleep, '1000'], read_only: true, volumes: ['data:/data']}
volumes: {data: }
",
    );
    stack.write("here/file", "here");
    stack.write("in", "in");
    let cp = |words: &[&str]| stack.mesh(&[&["cp"], words].concat());
    let got = |path: &str| {
        let outcome = cp(&[&format!("it:{path}"), "got"]).succeeded();
        let text = fs::read_to_string(stack.directory().join("got")).expect("a file");
        fs::remove_file(stack.directory().join("got")).expect("removed");
        drop(outcome);
        text
    };
    // Made and never started.
    stack.mesh(&["create"]).succeeded();
    cp(&["in", "it:/srv/created"]).succeeded();
    cp(&["in", "it:/data/created"]).succeeded();
    assert_eq!((got("/srv/created").as_str(), got("/here/file").as_str()), ("in", "here"));
    stack.mesh(&["up", "--wait", "it"]).succeeded();
    assert_eq!(stack.shell("it", "cat /srv/created /data/created"), "inin");
    // Ended.
    assert!(within(20, || stack.shell("it", "cat /srv/own 2>/dev/null; true") == "own"));
    stack.mesh(&["stop"]).succeeded();
    assert_eq!(got("/srv/own"), "own\n");
    cp(&["in", "it:/srv/exited"]).succeeded();
    // A link leads nowhere but into the container.
    let before = fs::read("/etc/hostname").ok();
    cp(&["in", "it:/srv/out"]).succeeded();
    cp(&["in", "it:/srv/root/srv/through"]).succeeded();
    assert_eq!(fs::read("/etc/hostname").ok(), before);
    assert_eq!(got("/srv/through"), "in");
    cp(&["it:/none", "x"]).failed_saying(&["could not find the file /none"]);
    cp(&["in", "closed:/etc/in"]).failed_saying(&["read-only"]);
    cp(&["in", "closed:/data/closed"]).succeeded();
    let mut garbage = piped(&stack, &["cp", "-", "it:/srv"]);
    garbage.stdin.take().expect("a pipe").write_all(&[7; 3000]).expect("written");
    finish(garbage).failed_saying(&["error: could not write into /srv: the stream is no tar archive"]);
    // A start waits for a copy that is under way.
    let mut copy = piped(&stack, &["cp", "-", "it:/srv"]);
    let mut input = copy.stdin.take().expect("a pipe");
    input.write_all(&[0; 512]).expect("written");
    let id = stack.container("it")["ID"].as_str().expect("an id").to_owned();
    let containers = fs::read_dir(stack.state().join("containers")).expect("containers").flatten();
    let of_it = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&id[..12]);
    let upper = containers.into_iter().find(of_it).expect("its directory").path().join("upper");
    assert!(within(20, || File::open(&upper).expect("opens").try_lock().is_err()), "no copy goes on");
    let starting = piped(&stack, &["start", "it"]);
    let shim = |line: &str| line.contains("shim\0run") && line.contains(&id[..12]);
    assert!(within(20, || processes().iter().any(|(_, line)| shim(line))), "no start goes on");
    input.write_all(&[0; 512]).expect("written");
    drop(input);
    finish(copy).succeeded();
    finish(starting).succeeded();
    assert_eq!(stack.shell("it", "cat /srv/exited /srv/through /data/closed"), "ininin");
    stack.mesh(&["pause", "it"]).succeeded();
    assert_eq!(got("/srv/exited"), "in");
    stack.mesh(&["unpause", "it"]).succeeded();
}

#[test]
fn watching_goes_on_beside_rules_that_cannot_be_carried_out() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "
services:
  web:
    image: busybox
    build: {context: ./context, dockerfile: Dockerfile.dev}
    command: [sleep, '1000']
    init: true
    develop:
      watch:
        - {path: ./context/app, action: sync, target: /app, initial_sync: true}
        - {path: ./context/rebuilt, action: rebuild}
  plain:
    image: busybox
    command: [sleep, '1000']
    init: true
    develop:
      watch:
        - {path: ./context/rebuilt, action: rebuild}
        - {path: ./plain, action: sync, target: /app}
",
    );
    stack.write("context/app/same", "same");
    stack.write("context/app/other", "other");
    stack.write("context/app/left.tmp", "");
    stack.write("context/rebuilt/x", "");
    stack.write("plain/x", "");
    stack.write(".dockerignore", "**/other\n");
    stack.write("context/.dockerignore", "app/other\n");
    stack.write("context/Dockerfile.dev.dockerignore", "**/*.tmp\n");
    stack.mesh(&["up", "--wait"]).succeeded();
    let has = |service: &str, path: &str| {
        within(20, || stack.mesh(&["exec", "-T", service, "test", "-e", path]).code == 0)
    };
    let mut watching = Watching::begin(&stack, &[]);
    assert!(has("web", "/app/same") && has("web", "/app/other"));
    assert_eq!(stack.shell("web", "ls /app"), "other\nsame");
    stack.write("plain/y", "");
    assert!(has("plain", "/app/y"));
    for text in ["1", "2"] {
        stack.write("context/rebuilt/x", text);
        stack.write(&format!("context/app/{text}"), "");
        assert!(has("web", &format!("/app/{text}")));
    }
    // Down: told, and synced all the same.
    stack.mesh(&["stop", "-t", "1", "web"]).succeeded();
    stack.write("context/app/down", "");
    watching.until("is down");
    let copied = || stack.mesh(&["cp", "web:/app/down", "-"]).code == 0;
    assert!(within(20, copied));
    stack.mesh(&["start", "web"]).succeeded();
    assert!(has("web", "/app/down"));
    let said = watching.interrupt();
    for (words, count) in [
        ("there is no `build`", 1),
        ("would be built again", 1),
        ("is down: it has the changes once it is up again", 1),
        ("Syncing service \"web\" after 2 changes", 1),
    ] {
        assert_eq!(said.matches(words).count(), count, "{words:?} in\n{said}");
    }

    // Only what differs is copied at the beginning, and what has no container yet waits for one.
    let said = Watching::begin(&stack, &[]).interrupt();
    assert!(!said.contains("Syncing"), "{said}");
    stack.mesh(&["rm", "-sf", "plain"]).succeeded();
    let mut waiting = Watching::begin(&stack, &["plain"]);
    stack.write("plain/z", "z");
    waiting.until("has no container");
    stack.mesh(&["up", "-d", "plain"]).succeeded();
    assert!(has("plain", "/app/z"));
    waiting.interrupt();
}
