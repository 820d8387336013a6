//! The README's figures: `cargo bench --bench figures`.
//!
//! Each line is the median of several runs of the real binary in a home of its own, with the least and
//! the greatest, and the aim. Packages are fetched before anything is timed. Root is needed, and a quiet
//! machine: `nice -n -15` takes the edge off its neighbours. `cargo bench --bench figures -- hub` takes one section.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measures")]

use mesh_sandbox::spawn::{confirm, spawn_run};
use serde_json::{Value, json};
use std::{
    fs,
    io::Read,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Starts of one container that are timed.
const STARTS: usize = 20;
/// Rounds of programs in a container, and how many each has.
const EXEC_ROUNDS: usize = 5;
const EXECS: usize = 200;

struct Bench {
    home: PathBuf,
    _temporary: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let temporary = tempfile::TempDir::with_prefix("mesh-bench-").unwrap();
        let home = temporary.path().join("home");
        fs::create_dir_all(home.join("data")).unwrap();
        let images = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        fs::create_dir_all(&images).unwrap();
        std::os::unix::fs::symlink(images, home.join("data/images")).unwrap();
        Self { home, _temporary: temporary }
    }

    fn project(&self, name: &str, compose: &str) -> Project {
        let directory = self.home.with_file_name(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join("compose.yaml"), compose).unwrap();
        Project { directory, name: name.to_owned(), home: self.home.clone() }
    }
}

struct Project {
    directory: PathBuf,
    name: String,
    home: PathBuf,
}

impl Project {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("MESH_HOME", &self.home)
            .env("COMPOSE_PROJECT_NAME", &self.name)
            .stdin(Stdio::null());
        command
    }

    fn mesh(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    fn timed(&self, arguments: &[&str]) -> Duration {
        let begun = Instant::now();
        self.mesh(arguments);
        begun.elapsed()
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = self.command(&["down", "-v", "-t", "2"]).output();
    }
}

fn report(what: &str, mut runs: Vec<Duration>, aim: &str) {
    runs.sort();
    let shown = |it: Duration| format!("{:.1}", it.as_secs_f64() * 1000.0);
    println!(
        "{what:<58} {:>9} ms  ({} to {} ms, {} runs; aim {aim})",
        shown(runs[runs.len() / 2]),
        shown(runs[0]),
        shown(runs[runs.len() - 1]),
        runs.len()
    );
}

/// Resident memory in MB of each process whose command line starts with one of `lines`.
fn resident(lines: &[String]) -> Vec<f64> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if lines.iter().any(|wanted| line.starts_with(wanted.as_str())) {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            let rss = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
            if let Some(kb) = rss.and_then(|it| it.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
                found.push(kb / 1024.0);
            }
        }
    }
    found
}

/// A name for the command line, and what it measures.
type Section = (&'static str, fn(&Bench));

fn main() {
    let bench = Bench::new();
    let sections: [Section; 5] = [
        ("containers", containers),
        ("redis", many_redis),
        ("readiness", readiness),
        ("memory", memory),
        ("hub", hub),
    ];
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, section) in sections {
        if wanted.is_empty() || wanted.iter().any(|word| word == name) {
            section(&bench);
        }
    }
}

/// Start to first byte and exec, as a user's command and as the shim alone.
fn containers(bench: &Bench) {
    let project = bench.project(
        "one",
        "services:\n  a: {image: busybox, command: [sleep, infinity]}\n  b: {image: busybox, command: [echo, x], scale: 0}\n",
    );
    project.mesh(&["up", "--wait"]);
    shim_alone(bench);
    let run = |arguments: &[&str]| {
        let begun = Instant::now();
        let mut child =
            project.command(arguments).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut byte = [0];
        child.stdout.take().unwrap().read_exact(&mut byte).unwrap();
        let took = begun.elapsed();
        child.wait().unwrap();
        took
    };
    report(
        "`mesh run`: new container to first byte",
        (0..STARTS).map(|_| run(&["run", "--rm", "-T", "a", "echo", "x"])).collect(),
        "none",
    );
    // A machine with neighbours has good and bad minutes: one round tells of one of them.
    for round in 1..=EXEC_ROUNDS {
        let mut runs: Vec<Duration> = (0..EXECS).map(|_| run(&["exec", "-T", "a", "echo", "x"])).collect();
        runs.sort();
        let worst = runs[EXECS * 99 / 100].as_secs_f64() * 1000.0;
        report(&format!("`mesh exec`: to first byte, round {round} (p99 {worst:.1} ms)"), runs, "5 ms");
    }
}

/// Layers of a stored image, the base first; of the entry made last, where a recipe changed.
fn layers(bench: &Bench, image: &str) -> Vec<PathBuf> {
    let images = bench.home.join("data/images");
    let mut found: Vec<_> = fs::read_dir(images.join("index"))
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let index: Value = serde_json::from_slice(&fs::read(entry.path()).ok()?).ok()?;
            let named = index["references"].as_array()?.iter().any(|reference| reference == image);
            named.then_some((entry.metadata().ok()?.modified().ok()?, index))
        })
        .collect();
    found.sort_by_key(|(made, _)| *made);
    let (_, index) = found.pop().unwrap();
    let layer = |layer: &Value| images.join("layers").join(layer.as_str().unwrap()).join("fs");
    index["layers"].as_array().unwrap().iter().map(layer).collect()
}

/// RabbitMQ from the same layers with nothing of Mesh around it: see `by-hand.sh`.
fn rabbitmq_by_hand(bench: &Bench) -> Duration {
    let directory = tempfile::TempDir::new_in(bench.home.parent().unwrap()).unwrap();
    let merged = directory.path().join("merged");
    fs::create_dir(&merged).unwrap();
    fs::create_dir(merged.with_extension("rw")).unwrap();
    let lower: Vec<String> = layers(bench, "rabbitmq:3-management")
        .iter()
        .rev()
        .map(|layer| layer.display().to_string())
        .collect();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().join("benches/by-hand.sh");
    let output = Command::new("unshare")
        .args(["--mount", "--pid", "--net", "--uts", "--ipc", "--fork", "--kill-child", "sh"])
        .args([&script, &merged])
        .arg(lower.join(":"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Duration::from_millis(String::from_utf8_lossy(&output.stdout).trim().parse().unwrap())
}

/// A container of the image `busybox` by the shim alone: no supervisor, no network of a project.
fn shim_alone(bench: &Bench) {
    let layers = layers(bench, "busybox");
    let binary = Path::new(env!("CARGO_BIN_EXE_mesh"));
    let starts = (0..STARTS).map(|number| {
        let directory = bench.home.with_file_name(format!("shim-{number}"));
        fs::create_dir(&directory).unwrap();
        let specification = serde_json::from_value(json!({
            "id": format!("bench{number}"), "directory": directory, "layers": layers,
            "process": {
                "arguments": ["echo", "x"], "environment": {}, "user": "", "groups": [], "working_dir": "",
                "capabilities": ["CHOWN", "SETGID", "SETUID"], "no_new_privileges": true, "seccomp": true,
                "ulimits": {}, "oom_score_adj": null,
            },
            "hostname": "bench", "domainname": null, "mounts": [], "cgroups": [], "network_namespace": null,
            "host_network": false, "host_pid": false, "host_ipc": false, "init": false, "read_only": false,
            "shm_bytes": 1 << 20, "sysctls": {}, "devices": [], "user_namespace": "none", "output": "inherit",
        }));
        let null = || OwnedFd::from(fs::File::open("/dev/null").unwrap());
        let (mut reader, writer) = std::io::pipe().unwrap();
        let begun = Instant::now();
        let streams = Some([null(), writer.into(), null()]);
        let spawned = spawn_run(binary, &specification.unwrap(), Vec::new(), streams).unwrap();
        reader.read_exact(&mut [0]).unwrap();
        let took = begun.elapsed();
        confirm(spawned.report).unwrap();
        mesh_linux::process::wait_pidfd(&spawned.pidfd, true).unwrap();
        took
    });
    report("the shim alone: new container to first byte", starts.collect(), "8 ms");
}

fn many_redis(bench: &Bench) {
    let mut file = String::from("x-mesh: {substitute: always}\nservices:\n");
    for number in 1..=20 {
        file += &format!(
            "  r{number}:\n    image: redis:7\n    healthcheck: {{test: [CMD, redis-cli, ping], interval: 1s}}\n"
        );
    }
    let project = bench.project("redis", &file);
    project.mesh(&["up", "--wait"]);
    project.mesh(&["down", "-v"]);
    let (mut ups, mut downs, mut again) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..5 {
        ups.push(project.timed(&["up", "--wait"]));
        again.push(project.timed(&["up", "--wait"]));
        downs.push(project.timed(&["down", "-v"]));
    }
    report("20 Redis, `up --wait`", ups, "1500 ms");
    report("20 Redis, a second `up --wait` with nothing to do", again, "300 ms");
    report("20 Redis, `down`", downs, "1000 ms");
}

/// Time from the moment a service became ready until `up --wait` returned.
fn readiness(bench: &Bench) {
    let project = bench.project(
        "ready",
        r#"
services:
  a:
    image: busybox
    command: [sh, -c, "sleep 1; date +%s%N > /tmp/ready; exec sleep infinity"]
    healthcheck: {test: [CMD, test, -s, /tmp/ready], interval: 30s}
"#,
    );
    let late = (0..5)
        .map(|_| {
            project.mesh(&["up", "--wait", "--force-recreate", "-t", "0"]);
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
            let ready: u64 = project.mesh(&["exec", "-T", "a", "cat", "/tmp/ready"]).trim().parse().unwrap();
            now.saturating_sub(Duration::from_nanos(ready))
        })
        .collect();
    report("ready to noticed (`up --wait` back)", late, "100 ms");
}

fn memory(bench: &Bench) {
    let mut file = String::from("services:\n");
    for number in 1..=25 {
        file += &format!("  s{number}: {{image: busybox, command: [sleep, infinity]}}\n");
    }
    let project = bench.project("memory", &file);
    project.mesh(&["up", "--wait"]);
    let supervisor = resident(&["mesh supervisor --project memory ".to_owned()]);
    // The first twelve characters of an id are in the process list.
    let ids = project.mesh(&["ps", "-q"]);
    let lines: Vec<String> =
        ids.lines().map(|id| format!("mesh shim run {}", &id[..12.min(id.len())])).collect();
    let mut shims = resident(&lines);
    shims.sort_by(f64::total_cmp);
    println!("{:<58} {:>9.1} MB  (aim 30 MB)", "supervisor with 25 services, resident", supervisor[0]);
    println!(
        "{:<58} {:>9.1} MB  ({:.1} to {:.1} MB; aim 3 MB)",
        "shim, resident",
        shims[shims.len() / 2],
        shims[0],
        shims[shims.len() - 1]
    );
}

/// The hub, its slowest service started by hand in the same run, and that service alone by `up`.
fn hub(bench: &Bench) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let project = bench.project("hub", "");
    fs::create_dir_all(project.directory.join("stacks/hub")).unwrap();
    for file in [
        "compose.yaml",
        "stacks/hub/compose.yaml",
        "stacks/hub/prometheus.yml",
        "stacks/hub/make-credentials.sh",
    ] {
        fs::copy(root.join(file), project.directory.join(file)).unwrap();
    }
    let ports = ["POSTGRES", "TRANSACTION", "SESSION", "REDIS", "AMQP", "RABBITMQ", "PROMETHEUS"];
    let with_ports = |mut command: Command| {
        for port in ports {
            command.env(format!("HUB_{port}_PORT"), "0");
        }
        command
    };
    let run = |arguments: &[&str]| {
        let begun = Instant::now();
        let output = with_ports(project.command(arguments)).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        begun.elapsed()
    };
    run(&["up", "--wait"]);
    let (mut ups, mut again, mut alone, mut hand) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..3 {
        hand.push(rabbitmq_by_hand(bench));
        run(&["down", "-v"]);
        run(&["up", "--wait", "credentials"]);
        alone.push(run(&["up", "--wait", "rabbitmq"]));
        run(&["down", "-v"]);
        ups.push(run(&["up", "--wait"]));
        again.push(run(&["up", "--wait"]));
    }
    let median = |mut runs: Vec<Duration>| {
        runs.sort();
        runs[runs.len() / 2].as_secs_f64()
    };
    println!(
        "{:<58} {:>9.2}     (aim 1.2)",
        "hub over its slowest service by hand (RabbitMQ)",
        median(ups.clone()) / median(hand.clone())
    );
    report("RabbitMQ by hand, entrypoint to clients let in", hand, "none");
    report("hub, packages cached, empty volumes, `up --wait`", ups, "1.2 x its slowest");
    report("hub, only RabbitMQ, `up --wait`", alone, "none");
    report("hub, a second `up --wait` with nothing to do", again, "300 ms");
}
