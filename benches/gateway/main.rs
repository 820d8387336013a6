//! The gateway's figures, beside other gateways in the same run: `cargo bench -p mesh --bench gateway`.
//!
//! Each gateway has one core, the load and the server behind it have the other. wrk and h2load make the load; nginx, HAProxy,
//! Caddy and Traefik are measured where their programs are found (or named by `MESH_GATEWAY_TRAEFIK` and the like). All
//! take turns: of each row, the middle one of the turns by its rate. Behind a rate stands the processor time that the gateway
//! took for a request, which says more where the load is what is slow. Words choose rows:
//! `cargo bench -p mesh --bench gateway -- "1 KiB" handshakes`; `--only mesh,haproxy` chooses gateways, `--seconds 1` and
//! `--turns 1` make it short.
//!
//! Each does what a user would have it do where it matters here: nginx and Caddy keep as many connections to the server as
//! there are clients, and so does Traefik, which also takes a new configuration at once and not after two seconds; HAProxy
//! hands its listeners to the next worker. Mesh is as it comes.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measures")]

mod load;
mod origin;
mod servers;

use load::Load;
use servers::{Gateway, Kind, Setup};
use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
};

/// The first name that is routed.
pub(crate) const HOST: &str = "bench.test";
/// Where gateways run, and where everything else does.
const GATEWAY_CORE: usize = 0;
const LOAD_CORE: usize = 1;
/// Turns of each row, and the seconds of a turn, where nothing else is asked for.
const TURNS: usize = 3;
const TURN_SECONDS: u64 = 4;
/// Names, where they are many.
const MANY: usize = 1_000;
/// Configurations that are put in force one after the other under load.
const RELOADS: usize = 100;

/// Names that are routed.
pub(crate) fn host(number: usize) -> String {
    if number == 0 { HOST.to_owned() } else { format!("h{number}.test") }
}

/// What a turn gave.
#[derive(Debug, Clone, Copy)]
struct Turn {
    load: Load,
    /// The gateway's processor time a request, in microseconds.
    micros: f64,
}

struct Choice {
    rows: Vec<String>,
    kinds: Vec<Kind>,
    turns: usize,
    seconds: u64,
}

impl Choice {
    fn read() -> Self {
        let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
        let mut choice =
            Self { rows: Vec::new(), kinds: Kind::ALL.to_vec(), turns: TURNS, seconds: TURN_SECONDS };
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{word} asks for a value"));
            match word.as_str() {
                "--only" => {
                    let only = value();
                    choice.kinds.retain(|kind| only.split(',').any(|name| name == kind.name()));
                }
                "--turns" => choice.turns = value().parse().unwrap(),
                "--seconds" => choice.seconds = value().parse().unwrap(),
                _ => choice.rows.push(word),
            }
        }
        choice
    }

    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|word| row.contains(word.as_str()))
    }
}

fn main() {
    let choice = Choice::read();
    let origin = origin::start(LOAD_CORE);
    let mut gateways = started(&choice, origin, 1);
    let names: Vec<&str> = gateways.iter().map(|gateway| gateway.kind.name()).collect();
    println!("{:<34} {}", "", names.iter().map(|name| format!("{name:>31}")).collect::<String>());
    let named = format!("Host: {HOST}");
    for (body, path) in [("1 KiB", "/"), ("100 KiB", "/large")] {
        for connections in [16, 64, 512] {
            row(&choice, &gateways, &format!("h1, {body}, {connections} connections"), |gateway| {
                let url = format!("http://127.0.0.1:{}{path}", gateway.plain);
                load::first(LOAD_CORE, connections, choice.seconds, &[&named], &url)
            });
        }
        row(&choice, &gateways, &format!("h1 over TLS, {body}, 64 connections"), |gateway| {
            let url = format!("https://127.0.0.1:{}{path}", gateway.secure);
            load::first(LOAD_CORE, 64, choice.seconds, &[&named], &url)
        });
        row(&choice, &gateways, &format!("h2, {body}, 16 connections of 10"), |gateway| {
            load::second(LOAD_CORE, 16, choice.seconds, gateway.secure, path)
        });
    }
    row(&choice, &gateways, "TLS handshakes, 16 connections", |gateway| {
        let url = format!("https://127.0.0.1:{}/", gateway.secure);
        load::first(LOAD_CORE, 16, choice.seconds, &[&named, "Connection: close"], &url)
    });
    reloads(&choice, &mut gateways, origin);
    memory("resident after all of it", &gateways);
    drop(gateways);
    if choice.wants("1,000 routers") {
        let gateways = started(&choice, origin, MANY);
        memory("resident with 1,000 routers", &gateways);
        let named = format!("Host: {}", host(MANY * 3 / 4));
        row(&choice, &gateways, "h1, 1 KiB, 64 connections, 1,000 routers", |gateway| {
            let url = format!("http://127.0.0.1:{}/", gateway.plain);
            load::first(LOAD_CORE, 64, choice.seconds, &[&named], &url)
        });
        memory("resident after that", &gateways);
    }
}

fn started(choice: &Choice, origin: SocketAddr, routers: usize) -> Vec<Gateway> {
    let setup = Setup { origin, routers, version: 0 };
    choice.kinds.iter().filter_map(|kind| Gateway::start(*kind, GATEWAY_CORE, &setup)).collect()
}

/// One turn of each gateway after the other, so many times; of each the middle one.
fn row(choice: &Choice, gateways: &[Gateway], name: &str, load: impl Fn(&Gateway) -> Load) {
    if !choice.wants(name) {
        return;
    }
    let mut turns: Vec<Vec<Turn>> = gateways.iter().map(|_| Vec::new()).collect();
    for _ in 0..choice.turns {
        for (gateway, turns) in gateways.iter().zip(&mut turns) {
            let before = gateway.processor_seconds();
            let load = load(gateway);
            let micros = (gateway.processor_seconds() - before) * 1e6 / load.requests.max(1) as f64;
            turns.push(Turn { load, micros });
        }
    }
    let shown: Vec<String> = turns.iter_mut().map(|turns| middle(turns)).collect();
    println!("{name:<42}{}", shown.concat());
}

fn middle(turns: &mut [Turn]) -> String {
    turns.sort_by(|one, other| one.load.rate.total_cmp(&other.load.rate));
    let Turn { load, micros } = turns[turns.len() / 2];
    let failed: u64 = turns.iter().map(|turn| turn.load.failed).sum();
    let failed = if failed == 0 { String::new() } else { format!(" {failed} failed!") };
    format!("{:>9.0}/s {:>6.1} us {:>6.2} ms{failed}", load.rate, micros, load.p99)
}

/// Puts configurations in force under load, and tells of the requests that failed.
fn reloads(choice: &Choice, gateways: &mut [Gateway], origin: SocketAddr) {
    if !choice.wants("reloads") {
        return;
    }
    println!("{RELOADS} reloads under load (64 connections):");
    for gateway in gateways {
        let (done, url) = (AtomicBool::new(false), format!("http://127.0.0.1:{}/", gateway.plain));
        let (loads, took) = std::thread::scope(|scope| {
            let load = scope.spawn(|| {
                let mut loads = Vec::new();
                while !done.load(Ordering::Relaxed) {
                    loads.push(load::first(LOAD_CORE, 64, 2, &[&format!("Host: {HOST}")], &url));
                }
                loads
            });
            let begun = std::time::Instant::now();
            for version in 1..=RELOADS {
                gateway.reload(&Setup { origin, routers: 1, version });
            }
            let took = begun.elapsed();
            done.store(true, Ordering::Relaxed);
            (load.join().unwrap(), took)
        });
        let (requests, failed): (u64, u64) = loads
            .iter()
            .fold((0, 0), |(requests, failed), load| (requests + load.requests, failed + load.failed));
        let each = took.as_secs_f64() * 1e3 / RELOADS as f64;
        println!(
            "  {:<10} {failed} of {requests} requests failed; {each:.0} ms until each is in force",
            gateway.kind.name()
        );
    }
}

fn memory(what: &str, gateways: &[Gateway]) {
    let shown: String =
        gateways.iter().map(|gateway| format!("{:>28.1} MB", gateway.resident_megabytes())).collect();
    println!("{what:<42}{shown}");
}
