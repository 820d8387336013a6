//! How long `mesh config` takes: `cargo bench -p mesh --bench config`.
//!
//! Each line is the median of several runs of the real binary, process start included, with the least and the
//! greatest, and the aim. Where `MESH_COMPOSE_PEER` names a `docker-compose` binary, it takes turns with it,
//! and the line has the ratio. Neither root nor a network is needed.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measures")]

use std::{
    env,
    fmt::Write as _,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// Times that each command runs.
const RUNS: usize = 15;

struct Case {
    name: &'static str,
    services: usize,
    flags: &'static [&'static str],
    aim: Option<Duration>,
}

const CASES: [Case; 6] = [
    Case { name: "25 services", services: 25, flags: &[], aim: Some(Duration::from_millis(20)) },
    Case {
        name: "25 services, JSON",
        services: 25,
        flags: &["--format", "json"],
        aim: Some(Duration::from_millis(20)),
    },
    Case { name: "1,000 services", services: 1_000, flags: &[], aim: Some(Duration::from_millis(500)) },
    Case {
        name: "1,000 services, JSON",
        services: 1_000,
        flags: &["--format", "json"],
        aim: Some(Duration::from_millis(500)),
    },
    Case { name: "1,000 services, -q", services: 1_000, flags: &["-q"], aim: None },
    Case { name: "1,000 services, --hash '*'", services: 1_000, flags: &["--hash", "*"], aim: None },
];

fn main() {
    // `cargo test` builds and starts benches too.
    if env::args().any(|argument| argument == "--test") {
        return;
    }
    let peer = env::var("MESH_COMPOSE_PEER").ok();
    println!(
        "{:<28} {:>24} {:>8} {:>24} {:>7}",
        "config of", "mesh (least..greatest)", "aim", "docker compose", "ratio"
    );
    for case in &CASES {
        let directory = tempfile::TempDir::with_prefix("mesh-bench-").unwrap();
        fs::write(directory.path().join("compose.yaml"), project(case.services)).unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..RUNS {
            ours.push(timed(env!("CARGO_BIN_EXE_mesh"), case, directory.path()));
            theirs.extend(peer.as_deref().map(|peer| timed(peer, case, directory.path())));
        }
        let aim = case.aim.map_or("-".to_owned(), |aim| format!("{} ms", aim.as_millis()));
        let ratio = median(&mut theirs)
            .zip(median(&mut ours))
            .map(|(theirs, ours)| ours.as_secs_f64() / theirs.as_secs_f64());
        println!(
            "{:<28} {:>24} {aim:>8} {:>24} {:>7}",
            case.name,
            shown(&mut ours),
            shown(&mut theirs),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"))
        );
    }
}

fn timed(program: &str, case: &Case, directory: &Path) -> Duration {
    let begun = Instant::now();
    let status = Command::new(program)
        .arg("config")
        .args(case.flags)
        .current_dir(directory)
        .env_clear()
        .env("HOME", directory)
        .env("MESH_HOME", directory.join("home"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    let taken = begun.elapsed();
    assert!(status.success(), "{program} config {:?}", case.flags);
    taken
}

fn median(times: &mut [Duration]) -> Option<Duration> {
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

fn shown(times: &mut [Duration]) -> String {
    let Some(median) = median(times) else { return "-".to_owned() };
    let ms = |time: Duration| time.as_secs_f64() * 1_000.0;
    format!("{:.1} ms ({:.1}..{:.1})", ms(median), ms(times[0]), ms(times[times.len() - 1]))
}

/// A project of services as they are written: variables, ports, volumes, health checks, dependencies.
fn project(services: usize) -> String {
    let mut text = String::from("name: bench\nservices:\n");
    for number in 0..services {
        let _ = write!(
            text,
            "  service-{number}:\n    image: \"example/service:${{TAG:-1}}\"\n    restart: unless-stopped\n    \
             environment:\n      URL: \"postgres://${{USER:-app}}:${{PASSWORD:-none}}@db:5432/app\"\n      NUMBER: \"{number}\"\n      \
             LEVEL: info\n    ports: [\"127.0.0.1:{port}:80\"]\n    volumes: [\"data-{number}:/data\", \"./conf:/etc/service:ro\"]\n    \
             healthcheck:\n      test: [CMD, wget, -q, \"http://localhost/health\"]\n      interval: 30s\n      retries: 5\n    \
             labels: {{\"com.example.number\": {number}, \"com.example.tier\": back}}\n    networks: [front, back]\n    \
             deploy: {{resources: {{limits: {{cpus: \"0.5\", memory: 256m}}}}}}\n",
            port = 1_024 + number,
        );
        if number > 0 {
            let _ =
                writeln!(text, "    depends_on: {{service-{}: {{condition: service_healthy}}}}", number / 2);
        }
    }
    text.push_str("networks: {front: {}, back: {}}\nvolumes:\n");
    for number in 0..services {
        let _ = writeln!(text, "  data-{number}: {{}}");
    }
    text
}
