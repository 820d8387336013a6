//! Questions to servers of others: PostgreSQL with each way of asking for a password, and the health service of
//! Python's grpcio. Where a server is not on the machine its test says so and does nothing.
//!
//! `MESH_GRPC_PYTHON` names a Python that has `grpcio` and `grpcio-health-checking`; `python3` else.

use mesh_model::{
    probe::{OutsideTest, Question},
    project::FileSource,
};
use mesh_probe::{ProbeError, ask};
use mesh_redact::Secret;
use std::{
    fs,
    io::{BufRead as _, BufReader},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::{PermissionsExt as _, chown},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tokio::net::TcpStream;

/// A server that is not ready by then never will be.
const PATIENCE: Duration = Duration::from_secs(30);
/// Whom servers run as that refuse to be root's: nobody.
const NOBODY: u32 = 65534;

/// A process that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn asked(port: u16, question: Question) -> Result<(), ProbeError> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let stream = TcpStream::connect(address).await.map_err(|error| ProbeError::connect(address, error))?;
    ask(stream, address, &OutsideTest { port, question }).await
}

/// Asks until the answer is another one than that nobody is there yet.
async fn ready(port: u16, question: Question) -> Result<(), ProbeError> {
    let begun = Instant::now();
    loop {
        match asked(port, question.clone()).await {
            Err(ProbeError::Refused { .. }) if begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(ProbeError::Said { said, .. }) if said.contains("57P03") && begun.elapsed() < PATIENCE => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            outcome => return outcome,
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port").port()
}

/// Where PostgreSQL's own programs are.
fn postgres() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<PathBuf> = versions.filter_map(|it| Some(it.ok()?.path().join("bin"))).collect();
    folders.sort();
    folders.into_iter().rfind(|folder| folder.join("initdb").exists())
}

/// A program as somebody who is not root.
fn as_nobody(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    let id = NOBODY.to_string();
    command.args(["--reuid", &id, "--regid", &id, "--clear-groups", "--"]).arg(program);
    command
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|it| std::os::unix::fs::MetadataExt::uid(&it) == 0)
}

/// A server of PostgreSQL whose user `hub` has the password `hunter2`, asked for in one way.
fn server(folder: &Path, bin: &Path, way: &str, port: u16) -> Running {
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("it works");
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).expect("it works");
    let (data, password) = (folder.join("data"), folder.join("password"));
    fs::write(&password, "hunter2\n").expect("it works");
    let made = as_nobody(&bin.join("initdb"))
        .args(["-U", "hub", "-A", way, "--no-sync", "--pwfile"])
        .arg(&password)
        .arg("-D")
        .arg(&data)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .expect("it runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let running = as_nobody(&bin.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"])
        .arg("-k")
        .arg(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    Running(running.expect("it runs"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_takes_its_password_in_each_way() {
    let Some(bin) = postgres() else {
        eprintln!("skipped: there is no /usr/lib/postgresql/*/bin/initdb");
        return;
    };
    for way in ["scram-sha-256", "md5", "password"] {
        let folder = tempfile::tempdir().expect("it works");
        let port = free_port();
        let _server = server(folder.path(), &bin, way, port);
        let question = |password: Option<&str>| Question::Postgres {
            user: "hub".to_owned(),
            database: "postgres".to_owned(),
            password: password.map(|text| FileSource::Content(Secret::new(text.to_owned()))),
        };
        let outcome = ready(port, question(Some("hunter2\n"))).await;
        assert!(outcome.is_ok(), "{way}: {outcome:?}");
        assert!(asked(port, question(None)).await.is_ok(), "{way}");
        let error = asked(port, question(Some("wrong-hunter"))).await.expect_err(way).to_string();
        assert!(error.contains("password authentication failed for user \"hub\" (28P01)"), "{way}: {error}");
        assert!(!error.contains("hunter"), "{error}");
        let other = Question::Postgres {
            user: "hub".to_owned(),
            database: "none".to_owned(),
            password: Some(FileSource::Content(Secret::new("hunter2".to_owned()))),
        };
        let error = asked(port, other).await.expect_err(way).to_string();
        assert!(error.contains("database \"none\" does not exist (3D000)"), "{way}: {error}");
    }
}

/// A server with the health service of `grpcio-health-checking`; it writes its port.
const HEALTH: &str = "
import sys, grpc, concurrent.futures as futures
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
servicer = health.HealthServicer()
if 'none' not in sys.argv:
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
servicer.set('up', health_pb2.HealthCheckResponse.SERVING)
servicer.set('down', health_pb2.HealthCheckResponse.NOT_SERVING)
print(server.add_insecure_port('127.0.0.1:0'), flush=True)
server.start()
server.wait_for_termination()
";

fn grpc(argument: &str) -> Option<(Running, u16)> {
    let python = std::env::var("MESH_GRPC_PYTHON").unwrap_or_else(|_| "python3".to_owned());
    let child = Command::new(python)
        .args(["-c", HEALTH, argument])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut running = Running(child);
    let mut line = String::new();
    BufReader::new(running.0.stdout.take()?).read_line(&mut line).ok()?;
    let port = line.trim().parse().ok()?;
    Some((running, port))
}

#[tokio::test]
async fn the_health_service_of_grpcio_is_understood() {
    let Some((_server, port)) = grpc("health") else {
        eprintln!("skipped: no Python with grpcio and grpcio-health-checking (MESH_GRPC_PYTHON names one)");
        return;
    };
    let question = |service: &str| Question::Grpc { service: service.to_owned() };
    ready(port, question("")).await.expect("the server as a whole serves");
    ready(port, question("up")).await.expect("it serves");
    for (service, want) in
        [("down", "health of service `down` is NOT_SERVING"), ("other", "it does not know service `other`")]
    {
        let error = asked(port, question(service)).await.expect_err(service).to_string();
        assert!(error.contains(want), "{error}");
    }
    let (_server, port) = grpc("none").expect("it started before");
    let error = ready(port, question("")).await.expect_err("it has none").to_string();
    assert!(error.contains("it has no health service (status 12)"), "{error}");
}
