//! A root file system of a static busybox, and containers made from it by the real shim.

use mesh_journal::{Query, Stream};
use mesh_linux::process::{open_pidfd, signal_pidfd, wait_pidfd};
use mesh_redact::Secret;
use mesh_sandbox::{
    beside::caller::{Conversation, End},
    spawn::{Spawned, confirm, read_report, spawn_exec, spawn_run},
    specification::{
        ExecSpecification, ExitRecord, MountKind, MountSpecification, Output, ProcessSpecification, Report,
        RunSpecification, UserNamespace,
    },
};
use std::{
    collections::BTreeMap,
    fs,
    io::{PipeReader, Read as _},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::fs::{PermissionsExt, symlink},
    },
    path::{Path, PathBuf},
    process::{Command, Output as Captured},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Longest wait for anything, in seconds.
const DEADLINE_S: u64 = 20;

/// Programs of busybox that tests use.
const APPLETS: &[&str] = &[
    "sh", "cat", "echo", "id", "ls", "sleep", "hostname", "mount", "stat", "touch", "mkdir", "kill", "ps",
    "env", "pwd", "readlink", "head", "dd", "tail", "grep", "sync", "setsid", "unshare", "tty", "stty", "wc",
    "true", "sed", "mknod", "chown", "od", "test",
];

/// Layers and a directory for containers.
pub(crate) struct World {
    directory: TempDir,
    pub(crate) namespace: UserNamespace,
    count: std::cell::Cell<u32>,
}

/// A container that was asked for.
pub(crate) struct Container {
    pub(crate) directory: PathBuf,
    pub(crate) spawned: Spawned,
    pub(crate) report: Option<Report>,
}

/// A static busybox of this machine, or of Debian's package.
pub(crate) fn busybox(into: &Path) -> Option<PathBuf> {
    for path in ["/usr/bin/busybox", "/bin/busybox"] {
        let runs = Command::new("/bin/sh").arg("-c").arg(format!("! ldd {path} >/dev/null 2>&1")).status();
        if Path::new(path).exists() && runs.is_ok_and(|status| status.success()) {
            return Some(path.into());
        }
    }
    let script = "apt-get download busybox-static >/dev/null 2>&1 && dpkg-deb -x busybox-static*.deb .";
    let done = Command::new("/bin/sh").args(["-c", script]).current_dir(into).status();
    let path =
        ["bin/busybox", "usr/bin/busybox"].map(|path| into.join(path)).into_iter().find(|p| p.exists());
    path.filter(|_| done.is_ok_and(|status| status.success()))
}

impl World {
    pub(crate) fn new(namespace: UserNamespace, busybox: &Path) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path().join("layers/base");
        for path in ["bin", "etc", "proc", "dev", "sys", "tmp", "srv/data/sub", "var"] {
            fs::create_dir_all(base.join(path)).unwrap();
        }
        fs::set_permissions(base.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        fs::copy(busybox, base.join("bin/busybox")).unwrap();
        for applet in APPLETS {
            symlink("busybox", base.join("bin").join(applet)).unwrap();
        }
        let passwd = "root:x:0:0:root:/root:/bin/sh\napp:x:70:71:app:/srv:/bin/sh\n";
        fs::write(base.join("etc/passwd"), passwd).unwrap();
        fs::write(base.join("etc/group"), "root:x:0:\napp:x:71:\nssl:x:110:app\n").unwrap();
        fs::write(base.join("srv/data/seed"), "seed").unwrap();
        fs::write(base.join("etc/not-a-program"), "text").unwrap();
        if namespace == UserNamespace::None {
            std::os::unix::fs::chown(base.join("srv/data"), Some(70), Some(71)).unwrap();
        }
        fs::set_permissions(base.join("srv/data"), fs::Permissions::from_mode(0o750)).unwrap();
        let upper = directory.path().join("layers/top");
        fs::create_dir_all(upper.join("etc")).unwrap();
        fs::write(upper.join("etc/top"), "top layer").unwrap();
        Self { directory, namespace, count: 0.into() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn make(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    pub(crate) fn process(&self, arguments: &[&str]) -> ProcessSpecification {
        ProcessSpecification {
            arguments: arguments.iter().map(|word| (*word).to_owned()).collect(),
            environment: Secret::new(BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())])),
            user: String::new(),
            groups: Vec::new(),
            working_dir: String::new(),
            capabilities: ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID", "NET_BIND_SERVICE"]
                .map(str::to_owned)
                .to_vec(),
            no_new_privileges: true,
            seccomp: true,
            ulimits: BTreeMap::new(),
            oom_score_adj: None,
        }
    }

    pub(crate) fn specification(&self, script: &str) -> RunSpecification {
        self.count.set(self.count.get() + 1);
        let directory = self.make(&format!("containers/{}", self.count.get()));
        RunSpecification {
            id: format!("test{:012}", self.count.get()),
            layers: vec![self.path("layers/base"), self.path("layers/top")],
            process: self.process(&["sh", "-c", script]),
            hostname: "box".to_owned(),
            domainname: None,
            mounts: Vec::new(),
            cgroups: Vec::new(),
            network_namespace: None,
            host_network: false,
            host_pid: false,
            host_ipc: false,
            init: false,
            read_only: false,
            shm_bytes: 1 << 20,
            sysctls: BTreeMap::new(),
            devices: Vec::new(),
            user_namespace: self.namespace,
            output: Output::Journal {
                directory: directory.join("journal"),
                segment_bytes_max: 1 << 20,
                segments_max: 2,
                disabled: false,
                terminal: false,
                stdin: false,
            },
            directory,
        }
    }

    pub(crate) fn start(&self, specification: &RunSpecification) -> Container {
        self.start_with(specification, Vec::new(), None)
    }

    pub(crate) fn start_with(
        &self,
        specification: &RunSpecification,
        inherited: Vec<OwnedFd>,
        stdio: Option<[OwnedFd; 3]>,
    ) -> Container {
        let spawned = spawn_run(&binary(), specification, inherited, stdio).unwrap();
        let report = read_report(&spawned.report);
        if matches!(report, Some(Report::Started { .. })) {
            confirm(spawned.report.try_clone().unwrap()).unwrap();
        }
        Container { directory: specification.directory.clone(), spawned, report }
    }

    /// Runs a script to its end: exit code and output.
    pub(crate) fn run(&self, specification: &RunSpecification) -> (i32, String) {
        let container = self.start(specification);
        let code = container.wait();
        (code, container.output())
    }

    /// Runs a script that must succeed, without changes to its container; its output.
    pub(crate) fn output(&self, script: &str) -> String {
        let (code, output) = self.run(&self.specification(script));
        assert_eq!(code, 0, "{script}: {output}");
        output
    }

    pub(crate) fn exec(&self, container: &Container, process: ProcessSpecification) -> ExecSpecification {
        ExecSpecification {
            pid: container.pid(),
            cgroups: Vec::new(),
            process,
            terminal: false,
            detach: false,
            user_namespace: self.namespace,
            timeout_ms: None,
            container_user: String::new(),
        }
    }

    pub(crate) fn run_exec(&self, specification: &ExecSpecification) -> Captured {
        spawn_exec(&binary(), specification).unwrap().wait_with_output().unwrap()
    }
}

/// A program of a container's own shim, with its output.
pub(crate) struct Beside {
    pub(crate) conversation: Conversation,
    pub(crate) stdout: PipeReader,
    pub(crate) stderr: PipeReader,
}

impl Beside {
    /// Waits for its end, and reads what it wrote by then.
    pub(crate) fn end(mut self) -> (End, String, String) {
        let end = self.wait();
        let mut text = [String::new(), String::new()];
        self.stdout.read_to_string(&mut text[0]).unwrap();
        self.stderr.read_to_string(&mut text[1]).unwrap();
        let [stdout, stderr] = text;
        (end, stdout, stderr)
    }

    pub(crate) fn wait(&self) -> End {
        let mut end = None;
        until("the program's end", || {
            end = self.conversation.end();
            end.is_some()
        });
        end.unwrap()
    }
}

impl Container {
    /// Asks its shim for a program.
    pub(crate) fn beside(&self, specification: &ExecSpecification) -> std::io::Result<Beside> {
        let orders = serde_json::to_vec(specification).unwrap();
        let nothing = fs::File::open("/dev/null").unwrap();
        let ((stdout, out), (stderr, error)) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let streams = [nothing.as_fd(), out.as_fd(), error.as_fd()];
        let conversation = Conversation::begin(&self.directory, &orders, streams)?;
        Ok(Beside { conversation, stdout, stderr })
    }

    pub(crate) fn pid(&self) -> u32 {
        match &self.report {
            Some(Report::Started { pid }) => *pid,
            other => panic!("not started: {other:?}"),
        }
    }

    /// Waits for the shim; its code.
    pub(crate) fn wait(&self) -> i32 {
        let mut code = None;
        until("the container's end", || {
            code = wait_pidfd(&self.spawned.pidfd, false).unwrap();
            code.is_some()
        });
        code.unwrap()
    }

    pub(crate) fn record(&self) -> ExitRecord {
        serde_json::from_slice(&fs::read(self.directory.join("exit.json")).unwrap()).unwrap()
    }

    pub(crate) fn output(&self) -> String {
        self.lines().into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn lines(&self) -> Vec<(Stream, String)> {
        let records = mesh_journal::read(&self.directory.join("journal"), &Query::default()).unwrap();
        records.into_iter().map(|record| (record.stream, record.text)).collect()
    }

    pub(crate) fn signal(&self, signal: i32) {
        signal_pidfd(&self.spawned.pidfd, signal).unwrap();
    }

    pub(crate) fn stop(&self) {
        if let Some(Report::Started { pid }) = self.report
            && let Ok(pidfd) = open_pidfd(pid)
        {
            let _ = signal_pidfd(&pidfd, 9);
        }
        self.wait();
    }
}

pub(crate) fn binary() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Waits for a condition, without sleeping longer than a scheduler's turn.
pub(crate) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(DEADLINE_S);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::yield_now();
    }
}

pub(crate) fn bind(source: &Path, target: &str) -> MountSpecification {
    MountSpecification {
        target: target.to_owned(),
        kind: MountKind::Bind { source: source.to_owned(), populate: false, owner: None },
        read_only: false,
    }
}

/// Runs `shim copy` the way a person's own command does.
pub(crate) fn run_copy(
    specification: &mesh_sandbox::specification::CopySpecification,
    input: Vec<u8>,
) -> Captured {
    use std::io::Write as _;
    let mut child = start_copy(specification);
    child.stdin.take().unwrap().write_all(&input).unwrap();
    child.wait_with_output().unwrap()
}

pub(crate) fn start_copy(
    specification: &mesh_sandbox::specification::CopySpecification,
) -> std::process::Child {
    use mesh_linux::{
        command::{Inheritance, inherit},
        descriptor::sealed_memory,
    };
    use std::process::Stdio;
    let payload = sealed_memory(c"test", &serde_json::to_vec(specification).unwrap()).unwrap();
    let mut command = Command::new(binary());
    command.args(["shim", "copy"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let placed = vec![(payload, 3)];
    inherit(&mut command, Inheritance { placed, ..Inheritance::default() }).unwrap();
    command.spawn().unwrap()
}
