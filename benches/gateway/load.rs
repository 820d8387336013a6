//! Load, by other people's clients: wrk for HTTP/1.1, h2load for HTTP/2.

use std::{fs, process::Command};

/// What a turn of load gave.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Requests a second.
    pub(crate) rate: f64,
    /// The time that 99 of 100 requests stay below, in milliseconds.
    pub(crate) p99: f64,
    /// Answers other than 2xx and 3xx, and connections that broke.
    pub(crate) failed: u64,
    /// Requests in all.
    pub(crate) requests: u64,
}

fn pinned(core: usize, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.args(["-c", &core.to_string(), program]);
    command
}

fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn first_number(text: &str) -> f64 {
    let digits =
        text.trim_start().split(|c: char| !c.is_ascii_digit() && c != '.').next().unwrap_or_default();
    digits.parse().unwrap_or_else(|_| panic!("no number in {text:?}"))
}

/// With wrk: `headers` go with each request.
pub(crate) fn first(core: usize, connections: usize, seconds: u64, headers: &[&str], url: &str) -> Load {
    let mut command = pinned(core, "wrk");
    command.args(["-t1", "--latency", "--timeout", "10s"]);
    command.args([format!("-c{connections}"), format!("-d{seconds}s")]);
    headers.iter().for_each(|header| {
        command.args(["-H", header]);
    });
    command.arg(url);
    let text = output(command);
    let line = |start: &str| text.lines().find_map(|line| line.trim_start().strip_prefix(start));
    let p99 = line("99%").unwrap_or_else(|| panic!("{text}")).trim();
    let unit = match p99.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.') {
        "us" => 1e-3,
        "ms" => 1.0,
        "s" => 1e3,
        other => panic!("the unit {other:?}: {text}"),
    };
    let broken: f64 = line("Socket errors:").map_or(0.0, |errors| errors.split(',').map(last_number).sum());
    let refused = line("Non-2xx or 3xx responses:").map_or(0.0, first_number);
    let requests = text.lines().find(|line| line.contains(" requests in ")).map_or(0.0, first_number);
    Load {
        rate: first_number(line("Requests/sec:").unwrap_or_else(|| panic!("{text}"))),
        p99: first_number(p99) * unit,
        failed: (broken + refused) as u64,
        requests: requests as u64,
    }
}

fn last_number(text: &str) -> f64 {
    text.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// With h2load over TLS: so many connections with ten streams each.
pub(crate) fn second(core: usize, connections: usize, seconds: u64, port: u16, path: &str) -> Load {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let mut command = pinned(core, "h2load");
    command.args([format!("-c{connections}"), format!("-D{seconds}")]);
    command.args(["-t1", "-m10", "--log-file"]).arg(&log);
    command.arg(format!("--connect-to=127.0.0.1:{port}"));
    command.arg(format!("https://{}{path}", crate::HOST));
    let text = output(command);
    assert!(text.contains("Application protocol: h2"), "{text}");
    let line = |start: &str| {
        text.lines().find_map(|line| line.strip_prefix(start)).unwrap_or_else(|| panic!("{text}"))
    };
    let rate = line("finished in ").split_once("s, ").map_or(0.0, |(_, rate)| first_number(rate));
    let count = |what: &str| {
        line("requests: ").split(", ").find(|part| part.ends_with(what)).map_or(0.0, first_number)
    };
    let mut times: Vec<u64> = fs::read_to_string(&log)
        .unwrap()
        .lines()
        .filter_map(|line| line.split('\t').nth(2)?.parse().ok())
        .collect();
    times.sort_unstable();
    let p99 = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Load {
        rate,
        p99: p99 as f64 / 1e3,
        failed: (count(" failed") + count(" errored") + count(" timeout")) as u64,
        requests: count(" done") as u64,
    }
}
