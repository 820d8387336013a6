//! The embedded Vault, driven by the clients that its users have: hvac, and curl with jq.
//!
//! hvac is put into a virtual environment under the target directory, once a run of the target directory; where
//! Python or the network is missing the test says that it is skipped.

#![allow(clippy::print_stderr, reason = "what is skipped is told")]

mod harness;

use harness::{Outcome, finish, kill, within};
use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::OnceLock,
    time::Duration,
};
use tempfile::TempDir;

const HVAC: &str = "hvac==2.4.0";
const READY_SECONDS: u64 = 10;

/// A server with a folder of its own.
struct Server {
    folder: TempDir,
    address: String,
    child: Option<Child>,
}

impl Server {
    /// A server on files, neither initialized nor unsealed.
    fn start() -> Self {
        let folder = TempDir::with_prefix("mesh-vault-").expect("a folder");
        symlink(env!("CARGO_BIN_EXE_mesh"), folder.path().join("vault")).expect("the name vault");
        // Nobody else asks for it between here and the server's start.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port").port();
        let address = format!("127.0.0.1:{port}");
        let configuration = format!(
            "storage \"file\" {{\n  path = \"{}\"\n}}\nlistener \"tcp\" {{\n  address = \"{address}\"\n  \
             tls_disable = true\n}}\ndisable_mlock = true\n",
            folder.path().join("data").display()
        );
        fs::write(folder.path().join("vault.hcl"), configuration).expect("a configuration");
        let mut server = Self { folder, address, child: None };
        server.launch();
        server
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn launch(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.path("log")).expect("a log");
        let child = Command::new(self.path("vault"))
            .arg("server")
            .arg(format!("-config={}", self.path("vault.hcl").display()))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log"))
            .stderr(log)
            .spawn()
            .expect("the server starts");
        self.child = Some(child);
        let address = self.address.clone();
        assert!(within(READY_SECONDS, || health(&address).is_some()), "not ready:\n{}", self.log());
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    /// As a power cut would.
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            kill(child.id());
            child.wait().expect("the server ends");
        }
    }

    /// A program that knows where the server is.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env("VAULT_ADDR", format!("http://{}", self.address))
            .env("VAULT_KEYS_FILE", self.path("keys.json"))
            .env("VAULT_APPROLE_DIR", self.path("approles"))
            .env("SERVICE", "postgres")
            .env("EXPECTED", "n0t-in-any-log")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn hvac(&self, python: &Path, words: &[&str]) -> Command {
        let mut command = self.command(python);
        command.arg(source("clients.py")).args(words);
        command
    }

    #[track_caller]
    fn part(&self, python: &Path, name: &str) {
        let outcome = finish(self.hvac(python, &[name]).spawn().expect("Python runs"));
        assert_eq!(outcome.code, 0, "{name}:\n{}\nthe server:\n{}", outcome.text(), self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

fn source(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("the repository");
    root.join("tests/vault").join(name)
}

/// The status of `sys/health`.
fn health(address: &str) -> Option<u16> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(b"GET /v1/sys/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_whitespace().nth(1)?.parse().ok()
}

/// Python with hvac; `None` where there is none to be had, which is said.
fn python() -> Option<&'static Path> {
    static PYTHON: OnceLock<Option<PathBuf>> = OnceLock::new();
    PYTHON.get_or_init(make_python).as_deref()
}

fn make_python() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("vault-clients");
    let python = folder.join("bin/python");
    let ready = folder.join("ready");
    if !ready.exists() {
        let mut steps = [Command::new("python3"), Command::new(&python)];
        steps[0].args(["-m", "venv"]).arg(&folder);
        steps[1].args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", HVAC]);
        for step in &mut steps {
            let done = step.stdin(Stdio::null()).output().map(Outcome::from);
            if !done.as_ref().is_ok_and(|done| done.code == 0) {
                eprintln!("skipped: no Python with hvac: {done:?}");
                return None;
            }
        }
        fs::write(&ready, HVAC).expect("a mark");
    }
    Some(python)
}

#[test]
fn hvac_is_served() {
    let Some(python) = python() else { return };
    let server = Server::start();
    assert_eq!(health(&server.address), Some(501), "not initialized");
    for part in ["init", "mounts", "kv", "policies", "tokens", "approle", "userpass", "wrapping", "pki"] {
        server.part(python, part);
    }
    assert_eq!(health(&server.address), Some(200));
}

#[test]
fn entry_points_get_their_credentials() {
    let Some(python) = python() else { return };
    if !["bash", "curl", "jq"].iter().all(|tool| Command::new(tool).arg("--version").output().is_ok()) {
        eprintln!("skipped: needs bash, curl and jq");
        return;
    }
    let mut server = Server::start();
    let run = |server: &Server, attempts: &str, words: &[&str]| {
        let mut command = server.command(&source("entrypoint.sh"));
        command
            .env("TLS_DIR", server.path("tls"))
            .env("VAULT_INTERVAL", "0.1")
            .env("VAULT_ATTEMPTS", attempts);
        finish(command.args(words).spawn().expect("bash runs"))
    };
    run(&server, "2", &["true"]).failed_saying(&["Vault is not ready: 501"]);
    for part in ["init", "mounts", "pki"] {
        server.part(python, part);
    }
    let enable = "import clients; clients.root().sys.enable_auth_method('approle')";
    let mut enable = server.command(python).args(["-c", enable]).env("PYTHONPATH", source("")).spawn();
    assert!(enable.as_mut().expect("Python runs").wait().expect("Python ends").success());
    server.part(python, "stack");

    let shown = run(&server, "20", &["sh", "-c", "echo \"$SERVICE_USER $SERVICE_PASSWORD\""]).succeeded();
    assert_eq!(shown.stdout, "admin n0t-in-any-log\n");
    let certificate = fs::read_to_string(server.path("tls/server.crt")).expect("a certificate");
    assert!(certificate.starts_with("-----BEGIN CERTIFICATE-----"));
    assert!(fs::read_to_string(server.path("tls/ca.crt")).expect("a chain").contains("BEGIN CERTIFICATE"));

    // Sealed after a restart: a service waits, and starts once somebody has unsealed.
    server.kill();
    server.launch();
    assert_eq!(health(&server.address), Some(503));
    let mut waiting = server.command(&source("entrypoint.sh"));
    waiting.env("TLS_DIR", server.path("tls2")).env("VAULT_INTERVAL", "0.1").env("VAULT_ATTEMPTS", "300");
    let waiting = waiting.args(["sh", "-c", "echo started"]).spawn().expect("bash runs");
    server.part(python, "unseal");
    assert_eq!(finish(waiting).succeeded().stdout, "started\n");

    for text in [server.log(), fs::read_to_string(server.path("vault.hcl")).expect("the configuration")] {
        assert!(!text.contains("n0t-in-any-log"), "a secret is in:\n{text}");
    }
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let Some(python) = python() else { return };
    let mut server = Server::start();
    for part in ["init", "mounts"] {
        server.part(python, part);
    }
    let mut next = 0;
    for round in 0..3 {
        let (first, last) = (next.to_string(), (next + 10_000).to_string());
        let mut writer = server.hvac(python, &["write", &first, &last]).spawn().expect("Python runs");
        let mut lines = BufReader::new(writer.stdout.take().expect("its output")).lines();
        for line in lines.by_ref().take(20 + 17 * round) {
            next = line.expect("a line").parse().expect("a number");
        }
        server.kill();
        // What was said before the kill and read after it was acknowledged too.
        for line in lines {
            next = line.expect("a line").parse().expect("a number");
        }
        writer.wait().expect("the writer ends");
        server.launch();
        server.part(python, "unseal");
        let checked =
            finish(server.hvac(python, &["check", &next.to_string()]).spawn().expect("Python runs"));
        assert_eq!(checked.code, 0, "round {round}: {}", checked.text());
        next += 1;
    }
}
