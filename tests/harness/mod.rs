//! A project of the real binary in a home of its own.
//!
//! Layers are shared by all tests of a run (a folder under the target directory), everything else is
//! the test's own. A dropped [`Stack`] is taken down, and what it leaves behind fails the test.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::print_stderr,
    missing_docs,
    reason = "each test file uses its part, and prints what it skips"
)]

pub mod archive;
pub mod registry;

use serde_json::Value;
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// A command that takes longer has hung. The first one of a run downloads packages.
const COMMAND_SECONDS_MAX: u64 = 300;

/// One project in its own home.
pub struct Stack {
    home: PathBuf,
    directory: PathBuf,
    name: String,
    variables: Vec<(String, String)>,
    _temporary: Option<TempDir>,
}

/// What a command did.
#[derive(Debug)]
pub struct Outcome {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// Standard output and error together.
    pub fn text(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails unless the command exited with 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "the command failed:\n{}", self.text());
        self
    }

    /// Fails unless the command exited with another code and said all of `words`.
    #[track_caller]
    pub fn failed_saying(self, words: &[&str]) -> Self {
        assert_ne!(self.code, 0, "the command should have failed:\n{}", self.text());
        let text = self.text();
        for word in words {
            assert!(text.to_lowercase().contains(&word.to_lowercase()), "no {word:?} in:\n{text}");
        }
        assert!(!text.contains("panicked"), "a panic reached the user:\n{text}");
        self
    }
}

/// Whether this process is root; a test that needs it says that it was skipped.
pub fn is_root() -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0);
    if !root {
        eprintln!("skipped: needs root");
    }
    root
}

impl Stack {
    /// A project with this Compose file, under a name of its own.
    pub fn new(compose: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let temporary = TempDir::with_prefix("mesh-").expect("a temporary directory");
        let name = format!("t{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut stack = Self::at(temporary.path(), &name);
        stack.write("compose.yaml", compose);
        stack._temporary = Some(temporary);
        stack
    }

    /// A project named `name` in `folder`, whose home is there too.
    pub fn at(folder: &Path, name: &str) -> Self {
        let (home, directory) = (folder.join("home"), folder.join("project"));
        fs::create_dir_all(home.join("data")).expect("a home");
        fs::create_dir_all(&directory).expect("a project directory");
        let stack = Self { home, directory, name: name.to_owned(), variables: Vec::new(), _temporary: None };
        let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        fs::create_dir_all(&images).expect("a store for layers");
        let link = stack.home.join("data/images");
        if !link.exists() {
            std::os::unix::fs::symlink(&images, &link).expect("a link to the layers");
        }
        stack
    }

    /// A second project in the same home, with its own directory and name.
    pub fn beside(&self, name: &str, compose: &str) -> Self {
        let directory = self.directory.with_file_name(name);
        fs::create_dir_all(&directory).expect("a project directory");
        let stack = Self {
            home: self.home.clone(),
            directory,
            name: format!("{}{name}", self.name),
            variables: self.variables.clone(),
            _temporary: None,
        };
        stack.write("compose.yaml", compose);
        stack
    }

    /// Sets a variable for every command from here on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file of the project.
    pub fn write(&self, file: &str, text: &str) {
        let path = self.directory.join(file);
        fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
        fs::write(path, text).expect("a file of the project");
    }

    pub fn home(&self) -> &Path {
        &self.home
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The state directory of the project.
    pub fn state(&self) -> PathBuf {
        self.home.join("state/projects").join(&self.name)
    }

    /// A command, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("MESH_HOME", &self.home)
            .env("COMPOSE_PROJECT_NAME", &self.name)
            // Registries of the world are no part of a test: packages stand in wherever they can.
            .env("MESH_SUBSTITUTE", "always")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Gives the project a store for layers of its own, which is empty.
    pub fn forget_layers(&self) -> PathBuf {
        let store = self.home.join("data/images");
        fs::remove_file(&store).expect("the link is there");
        fs::create_dir(&store).expect("an empty store");
        store
    }

    /// Runs `mesh` with these arguments inside of another program (`unshare`, `setpriv`), which is given
    /// the words before it.
    #[track_caller]
    pub fn mesh_within(&self, program: &str, words: &[&str], arguments: &[&str]) -> Outcome {
        let mesh = self.command(arguments);
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(mesh.get_program())
            .args(mesh.get_args())
            .current_dir(&self.directory)
            .env_clear();
        for (name, value) in mesh.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("the program runs"))
    }

    /// Runs `mesh` with these arguments.
    #[track_caller]
    pub fn mesh(&self, arguments: &[&str]) -> Outcome {
        finish(
            self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh runs"),
        )
    }

    /// `up --wait`, which must succeed.
    #[track_caller]
    pub fn up(&self) -> Outcome {
        self.mesh(&["up", "--wait"]).succeeded()
    }

    /// Standard output of a shell line in a container.
    #[track_caller]
    pub fn shell(&self, service: &str, line: &str) -> String {
        self.mesh(&["exec", "-T", service, "sh", "-c", line]).succeeded().stdout.trim_end().to_owned()
    }

    /// The containers, as `ps --all --format json` has them.
    #[track_caller]
    pub fn containers(&self) -> Vec<Value> {
        let text = self.mesh(&["ps", "--all", "--format", "json"]).succeeded().stdout;
        match serde_json::from_str::<Value>(&text) {
            Ok(Value::Array(rows)) => rows,
            _ => text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect(),
        }
    }

    /// One service's container.
    #[track_caller]
    pub fn container(&self, service: &str) -> Value {
        let all = self.containers();
        all.into_iter()
            .find(|it| it["Service"] == service)
            .unwrap_or_else(|| panic!("no container of {service}"))
    }

    /// The address on the host that a port of a service is published on.
    #[track_caller]
    pub fn port(&self, service: &str, target: u16) -> String {
        let text = self.mesh(&["port", service, &target.to_string()]).succeeded().stdout;
        let line = text.lines().find(|line| !line.starts_with('[')).expect("an address");
        line.trim().replace("0.0.0.0", "127.0.0.1")
    }

    /// Processes whose command line holds this project's name: the supervisor and the like.
    pub fn supervisor(&self) -> Option<u32> {
        processes().into_iter().find_map(|(pid, line)| {
            let words: Vec<&str> = line.split('\0').collect();
            (words.contains(&"supervisor") && words.contains(&self.name.as_str())).then_some(pid)
        })
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let outcome = self.mesh(&["down", "--volumes", "--remove-orphans", "--timeout", "2"]);
        if thread::panicking() {
            let log = fs::read_to_string(self.state().join("supervisor.log")).unwrap_or_default();
            eprintln!("down: {}\nsupervisor's log:\n{log}", outcome.text());
            return;
        }
        let name = self.name.clone();
        let gone = || processes().iter().all(|(_, line)| !line.contains(&name));
        assert!(
            within(10, gone),
            "processes of {name} are left: {:?}",
            processes().iter().filter(|it| it.1.contains(&name)).collect::<Vec<_>>()
        );
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        assert!(!mounts.contains(&format!("{}/", self.home.display())), "mounts are left:\n{mounts}");
        for hierarchy in ["memory", "pids", "cpu", "."] {
            let group = Path::new("/sys/fs/cgroup").join(hierarchy).join("mesh").join(&name);
            assert!(!group.exists(), "a control group is left: {}", group.display());
        }
    }
}

/// Every process of the machine with its command line, words separated by NUL.
pub fn processes() -> Vec<(u32, String)> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            Some((pid, String::from_utf8_lossy(&line).into_owned()))
        })
        .collect()
}

/// Kills a process at once.
pub fn kill(pid: u32) {
    let status = Command::new("kill").args(["-9", &pid.to_string()]).status().expect("kill runs");
    assert!(status.success(), "process {pid} could not be killed");
}

/// Waits until `predicate` holds; `false` if it did not within so many seconds.
pub fn within(seconds: u64, mut predicate: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    loop {
        if predicate() {
            return true;
        }
        if Instant::now() > deadline {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// Waits for a child, reading what it prints; kills it when it hangs.
#[track_caller]
pub fn finish(mut child: Child) -> Outcome {
    let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
    let out = thread::spawn(move || read_all(stdout.as_mut()));
    let err = thread::spawn(move || read_all(stderr.as_mut()));
    let mut status = None;
    let ended = within(COMMAND_SECONDS_MAX, || {
        status = child.try_wait().expect("the child can be waited for");
        status.is_some()
    });
    if !ended {
        child.kill().expect("the child can be killed");
        child.wait().expect("the child ends");
    }
    let outcome = Outcome {
        code: status.and_then(|it| it.code()).unwrap_or(-1),
        stdout: out.join().expect("reads"),
        stderr: err.join().expect("reads"),
    };
    assert!(ended, "the command hung:\n{}", outcome.text());
    outcome
}

fn read_all(stream: Option<&mut impl Read>) -> String {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.read_to_end(&mut bytes).expect("output can be read");
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}
