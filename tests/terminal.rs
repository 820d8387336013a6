//! Terminals, and what goes between this machine and a container: `attach`, `exec`, `run`, `cp`, `watch`.

mod harness;

use harness::{Outcome, Stack, finish, is_root, kill, processes, within};
use rustix::{
    fs::{Mode, OFlags},
    pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};
use std::{
    fs::{self, File},
    io::{Read, Write},
    os::fd::OwnedFd,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    thread,
};

const SERVICES: &str = "
services:
  tty:
    image: busybox
    command: sh
    tty: true
    stdin_open: true
  pipes:
    image: busybox
    command: sh -c 'trap \"echo interrupted\" INT; while true; do read line && echo got $$line; sleep 0.05; done'
    stdin_open: true
    stop_signal: SIGKILL
  quiet:
    image: busybox
    command: sleep 1000
    stop_signal: SIGKILL
";
/// Control and P, control and Q.
const LET_GO: &str = "\u{10}\u{11}";
/// Longest wait for what a terminal is to show, in seconds.
const SHOWN_SECONDS_MAX: u64 = 20;

/// A terminal with a command in it.
struct Screen {
    master: OwnedFd,
    terminal: OwnedFd,
    shown: Arc<Mutex<String>>,
    seen: usize,
    child: Child,
}

impl Screen {
    fn open(stack: &Stack, arguments: &[&str]) -> Self {
        let master =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&master).and_then(|()| unlockpt(&master)).expect("a terminal of ours");
        let name = ptsname(&master, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = rustix::fs::open(&name, flags, Mode::empty()).expect("its other end");
        let mesh = stack.command(arguments);
        // A shell leads a session, whose terminal this is, and stays when the command has ended.
        let mut command = Command::new("setsid");
        command.args(["--ctty", "sh", "-c", "\"$@\"; echo \"ended with $?.\"; read line", "sh"]);
        command.arg(mesh.get_program()).args(mesh.get_args()).current_dir(stack.directory());
        command.env_clear().env("TERM", "xterm");
        for (name, value) in mesh.get_envs() {
            command.envs(value.map(|value| (name, value)));
        }
        let stream = || Stdio::from(terminal.try_clone().expect("a descriptor"));
        command.stdin(stream()).stdout(stream()).stderr(stream());
        let screen = Self::resized(&master, 24, 80);
        screen.expect("a size");
        let child = command.spawn().expect("setsid runs");
        let shown = Arc::new(Mutex::new(String::new()));
        let (reader, text) = (File::from(master.try_clone().expect("a descriptor")), Arc::clone(&shown));
        thread::spawn(move || read_into(reader, &text));
        Self { master, terminal, shown, seen: 0, child }
    }

    fn resized(master: &OwnedFd, rows: u16, columns: u16) -> rustix::io::Result<()> {
        tcsetwinsize(master, Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 })
    }

    fn resize(&self, rows: u16, columns: u16) {
        Self::resized(&self.master, rows, columns).expect("a size");
    }

    fn type_in(&self, text: &str) {
        rustix::io::write(&self.master, text.as_bytes()).expect("typed");
    }

    /// Waits until a text is shown that was not waited for before.
    #[track_caller]
    fn shows(&mut self, text: &str) {
        let mut end = None;
        let found = within(SHOWN_SECONDS_MAX, || {
            let shown = self.shown.lock().expect("shown");
            end = shown[self.seen..].find(text).map(|at| self.seen + at + text.len());
            end.is_some()
        });
        assert!(found, "no {text:?} in:\n{}", self.shown.lock().expect("shown"));
        self.seen = end.expect("found");
    }

    /// Types a line that a shell answers, until it does: a shell that starts may not listen yet.
    #[track_caller]
    fn asks(&mut self, line: &str, answer: &str) {
        self.type_in(line);
        self.shows(answer);
    }

    /// Whether the terminal is as a shell expects it.
    fn is_sane(&self) -> bool {
        tcgetattr(&self.terminal).is_ok_and(|mode| {
            mode.local_modes.contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG)
        })
    }

    /// The command itself.
    fn process(&self) -> u32 {
        let shell = self.child.id();
        let children = fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).expect("children");
        children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a child")
    }

    /// Waits for the command's end, and that it left the terminal as it was; its code.
    #[track_caller]
    fn ends(&mut self) -> i32 {
        self.shows("ended with ");
        self.shows(".");
        assert!(within(5, || self.is_sane()), "the terminal was not given back");
        let shown = self.shown.lock().expect("shown");
        let code = shown[..self.seen - 1].rsplit(' ').next().and_then(|code| code.parse().ok());
        code.expect("a code")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read_into(mut reader: File, text: &Mutex<String>) {
    let mut block = [0; 4096];
    while let Ok(count @ 1..) = reader.read(&mut block) {
        text.lock().expect("shown").push_str(&String::from_utf8_lossy(&block[..count]));
    }
}

/// A command with pipes.
fn piped(stack: &Stack, arguments: &[&str]) -> Child {
    let mut command = stack.command(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("mesh runs")
}

#[test]
fn a_terminal_is_attached_to_let_go_of_and_attached_to_again() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(SERVICES);
    stack.up();
    let mut screen = Screen::open(&stack, &["attach", "tty"]);
    screen.asks("stty size; echo mark-$((40 + 2))\n", "24 80");
    screen.shows("mark-42");
    screen.resize(30, 100);
    assert!(within(10, || {
        screen.type_in("echo size-$(stty size)\n");
        within(1, || screen.shown.lock().expect("shown").contains("size-30 100"))
    }));
    screen.asks("sleep 1000\n", "sleep 1000");
    screen.asks("\u{3}", "^C");
    screen.asks("echo slept-$?\n", "slept-130");
    screen.type_in(LET_GO);
    screen.shows("read escape sequence");
    assert_eq!(screen.ends(), 1);
    assert_eq!(stack.container("tty")["State"], "running");
    // Other keys, and two at once.
    let mut first = Screen::open(&stack, &["attach", "--detach-keys", "ctrl-a,d", "tty"]);
    first.asks("echo mark-$((40 + 3))\n", "mark-43");
    let mut second = Screen::open(&stack, &["attach", "tty"]);
    second.asks("echo mark-$((40 + 4))\n", "mark-44");
    first.shows("mark-44");
    first.type_in("\u{1}d");
    assert_eq!(first.ends(), 1);
    // One that is killed leaves its terminal in order, and the container alone.
    kill(second.process());
    assert!(within(10, || second.is_sane()), "the terminal was not given back");
    drop(second);
    let mut last = Screen::open(&stack, &["attach", "tty"]);
    last.asks("echo mark-$((40 + 5))\n", "mark-45");
    last.type_in("exit 7\n");
    assert_eq!(last.ends(), 7);
    assert!(stack.mesh(&["logs", "tty"]).succeeded().stdout.contains("mark-45"));
}

#[test]
fn pipes_are_attached_to_and_signals_passed_on() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(SERVICES);
    stack.up();
    let mut child = piped(&stack, &["attach", "pipes"]);
    let watcher = piped(&stack, &["attach", "--no-stdin", "--sig-proxy=false", "pipes"]);
    let journal = || stack.mesh(&["logs", "--no-log-prefix", "pipes"]).stdout;
    // Both are there once a line came back; an unread line is not lost, for the pipe stays open.
    child.stdin.as_mut().expect("a pipe").write_all(b"one\n").expect("written");
    assert!(within(10, || journal().contains("got one")), "{}", journal());
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    assert!(within(10, || journal().contains("interrupted")), "{}", journal());
    // Without passing signals on they are its own.
    Command::new("kill").args(["-INT", &watcher.id().to_string()]).status().expect("kill runs");
    let outcome = finish(watcher);
    assert_eq!(outcome.code, 130, "{}", outcome.text());
    assert!(outcome.stdout.contains("interrupted"), "{}", outcome.text());
    stack.mesh(&["kill", "pipes"]).succeeded();
    let outcome: Outcome = finish(child);
    assert_eq!(outcome.code, 137, "{}", outcome.text());
    assert!(outcome.stdout.contains("got one"), "{}", outcome.text());

    stack.mesh(&["attach", "pipes"]).failed_saying(&["is not running"]);
    stack.mesh(&["attach", "--index", "4", "tty"]).failed_saying(&["is not running container #4"]);
    stack.mesh(&["attach", "tty"]).failed_saying(&["stdin is not a terminal"]);
    stack.mesh(&["attach", "--detach-keys", "oops", "tty"]).failed_saying(&["invalid detach keys (oops)"]);
    stack.mesh(&["attach", "nobody"]).failed_saying(&["no such service"]);
}

#[test]
fn programs_have_terminals_that_are_given_back() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(SERVICES);
    stack.up();
    let mut screen = Screen::open(&stack, &["exec", "quiet", "sh"]);
    screen.asks("stty size; tty; echo mark-$((40 + 2))\n", "24 80");
    screen.shows("mark-42");
    screen.type_in("exit 9\n");
    assert_eq!(screen.ends(), 9);
    // What was let go of goes on.
    let mut screen = Screen::open(&stack, &["exec", "quiet", "sh"]);
    screen.asks("echo mark-$((40 + 3))\n", "mark-43");
    screen.type_in("sleep 4321\n");
    let sleeps = || processes().iter().filter(|(_, line)| line == "sleep\u{0}4321\u{0}").count();
    assert!(within(10, || sleeps() == 1));
    screen.type_in(LET_GO);
    screen.shows("read escape sequence");
    assert_eq!(screen.ends(), 1);
    assert_eq!(sleeps(), 1);
    // A caller that is killed takes its program along, and its terminal is in order.
    let mut screen = Screen::open(&stack, &["exec", "quiet", "sh"]);
    screen.asks("echo mark-$((40 + 4))\n", "mark-44");
    screen.type_in("sleep 1234\n");
    let sleeps = || processes().iter().filter(|(_, line)| line == "sleep\u{0}1234\u{0}").count();
    assert!(within(10, || sleeps() == 1));
    kill(screen.process());
    assert!(within(10, || screen.is_sane() && sleeps() == 0), "the terminal or the program is left");

    // `run`: let go of, it goes on; its own code otherwise.
    let mut screen = Screen::open(&stack, &["run", "--no-deps", "--name", "mine", "quiet", "sh"]);
    screen.asks("echo mark-$((40 + 5))\n", "mark-45");
    screen.type_in(LET_GO);
    assert_eq!(screen.ends(), 0);
    let is_running = || stack.containers().iter().any(|it| it["Name"] == "mine" && it["State"] == "running");
    assert!(is_running(), "{:?}", stack.containers());
    let mut screen = Screen::open(&stack, &["run", "--rm", "--no-deps", "quiet", "sh", "-c", "exit 5"]);
    assert_eq!(screen.ends(), 5);
}

#[test]
fn files_are_copied_by_docker_s_rules() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(SERVICES);
    stack.write("tree/deep/file", "text\n");
    stack.up();
    let cp = |words: &[&str]| stack.mesh(&[&["cp"], words].concat());
    let look = |line: &str| stack.shell("quiet", line);
    cp(&["tree", "quiet:/srv"]).succeeded();
    cp(&["tree/.", "quiet:/srv/flat"]).succeeded();
    assert_eq!(look("cat /srv/tree/deep/file /srv/flat/deep/file"), "text\ntext");
    cp(&["quiet:/srv/tree", "out"]).succeeded();
    cp(&["quiet:/srv/tree", "out"]).succeeded();
    let at = |name: &str| stack.directory().join(name);
    assert!(at("out/deep/file").exists() && at("out/tree/deep/file").exists());
    look("ln -s /srv/tree/deep/file /srv/link");
    cp(&["quiet:/srv/link", "link"]).succeeded();
    cp(&["-L", "quiet:/srv/link", "followed"]).succeeded();
    assert_eq!(fs::read_link(at("link")).expect("a link"), Path::new("/srv/tree/deep/file"));
    assert_eq!(fs::read_to_string(at("followed")).expect("a file"), "text\n");
    // As a stream, both ways.
    let mut outward = stack.command(&["cp", "quiet:/srv/tree", "-"]);
    let stream = outward.stderr(Stdio::null()).output().expect("mesh runs").stdout;
    let mut inward = piped(&stack, &["cp", "-", "quiet:/tmp"]);
    inward.stdin.take().expect("a pipe").write_all(&stream).expect("written");
    finish(inward).succeeded();
    assert_eq!(look("cat /tmp/tree/deep/file"), "text");
    for (words, said) in [
        (&["tree", "quiet:/etc/passwd"][..], "cannot copy directory"),
        (&["followed", "quiet:/none/x"], "could not find the file /none"),
        (&["followed", "quiet:/new/"], "no such directory"),
        (&["quiet:/none", "x"], "could not find the file /none"),
        (&["quiet:/etc/passwd", "no/where/x"], "does not exist"),
        (&["nothing", "quiet:/tmp"], "no such file or directory"),
        (&["a", "b"], "unknown copy direction"),
        (&["quiet:/a", "tty:/b"], "copying between services is not supported"),
        (&["--index", "3", "followed", "quiet:/tmp"], "is not running container #3"),
        (&["followed", "quiet:/dev/null"], "got a device"),
    ] {
        cp(words).failed_saying(&[said]);
    }
}

#[test]
fn containers_follow_the_files_that_are_watched() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "
services:
  web:
    image: busybox
    command: sh -c 'echo started; sleep 1000'
    stop_signal: SIGKILL
    develop:
      watch:
        - {path: ./src, action: sync, target: /app/src, initial_sync: true, ignore: [tmp/]}
        - {path: ./conf, action: sync+restart, target: /app/conf}
        - path: ./hook
          action: sync+exec
          target: /app/hook
          exec: {command: 'cp /app/hook/h /app/hooked'}
",
    );
    stack.write("src/first", "1");
    stack.write("src/tmp/none", "");
    let mut child = piped(&stack, &["watch"]);
    let text = |path: &str| stack.mesh(&["exec", "-T", "web", "cat", path]);
    let has = |path: &str, want: &str| within(20, || text(path).stdout == want);
    assert!(has("/app/src/first", "1"));
    // Changes from here on are seen: what was before was looked at after watching began.
    stack.write("src/deep/er/second", "2");
    assert!(has("/app/src/deep/er/second", "2"));
    assert_ne!(text("/app/src/tmp/none").code, 0);
    fs::remove_dir_all(stack.directory().join("src/deep")).expect("removed");
    assert!(within(20, || text("/app/src/deep/er/second").code != 0));
    // Directories that come later are looked after too.
    stack.write("hook/h", "3");
    assert!(has("/app/hooked", "3"));
    let starts = || stack.mesh(&["logs", "--no-log-prefix", "web"]).stdout.matches("started").count();
    stack.write("conf/c", "4");
    assert!(within(20, || starts() == 2), "it was not restarted");
    assert!(has("/app/conf/c", "4"));
    let again = stack.mesh(&["watch", "--no-up"]);
    again.failed_saying(&["cannot take exclusive lock"]);
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    drop(child.stdin.take());
    let outcome = finish(child);
    assert_eq!(outcome.code, 130, "{}", outcome.text());
    assert!(outcome.stdout.contains("Watch enabled") && outcome.stdout.contains("Watch disabled"));

    let unwatched = stack.beside("unwatched", "services: {a: {image: busybox}}");
    unwatched.mesh(&["watch"]).failed_saying(&["none of the selected services is configured for watch"]);
}
