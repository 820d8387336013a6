//! The embedded vault and its disk: what it has acknowledged is there, whatever ends it, and what it refuses harms
//! nothing.

mod harness;
#[path = "harness/vault.rs"]
mod vault;

use harness::is_root;
use rustix::process::Signal;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;
use vault::{Client, Vault, request};

/// Kills in a run; `MESH_VAULT_KILL_ROUNDS` says otherwise.
const KILL_ROUNDS: u64 = 20;
const WRITERS: u64 = 4;
/// Keys of each writer.
const KEYS: u64 = 25;
const CONCURRENT: usize = 10_000;

/// What one writer knows: the last value of each key that was acknowledged, and the one under way at the end.
#[derive(Default)]
struct Written {
    acknowledged: BTreeMap<String, u64>,
    under_way: Option<(String, u64)>,
}

/// Writes until the server is gone.
fn write_until_it_dies(mut client: Client, writer: u64, next: &AtomicU64) -> Written {
    let mut written = Written::default();
    loop {
        let value = next.fetch_add(1, Ordering::Relaxed);
        let key = format!("w{writer}/k{}", value % KEYS);
        let body = json!({"data": {"value": value}});
        match client.try_call("POST", &format!("secret/data/{key}"), Some(&body)) {
            Ok((200, _)) => drop(written.acknowledged.insert(key, value)),
            Ok((status, body)) => panic!("status {status}: {body}"),
            Err(_) => {
                written.under_way = Some((key, value));
                return written;
            }
        }
    }
}

#[test]
fn killed_at_any_moment_it_loses_nothing_acknowledged() {
    let rounds = std::env::var("MESH_VAULT_KILL_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let mut vault = Vault::start().open();
    let next = Arc::new(AtomicU64::new(1));
    let mut known: BTreeMap<String, u64> = BTreeMap::new();
    for round in 0..rounds.unwrap_or(KILL_ROUNDS) {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (client, next) = (vault.client(), next.clone());
                thread::spawn(move || write_until_it_dies(client, writer, &next))
            })
            .collect();
        // The moment of the kill wanders through what a write does.
        thread::sleep(Duration::from_micros(500 + round * 7_919 % 40_000));
        vault.kill_and_restart();
        let mut under_way = BTreeMap::new();
        for writer in writers {
            let written = writer.join().expect("a writer");
            known.extend(written.acknowledged);
            under_way.extend(written.under_way);
        }
        let mut client = vault.client();
        for (key, value) in &mut known {
            let (status, body) = client.call("GET", &format!("secret/data/{key}"), None);
            assert_eq!(status, 200, "round {round}: {key} is lost: {body}");
            let found = body["data"]["data"]["value"].as_u64().expect("a value");
            let sound = found == *value || Some(&found) == under_way.get(key);
            assert!(sound, "round {round}: {key} is {found} instead of {value}");
            *value = found;
        }
    }
    assert!(known.len() as u64 >= WRITERS, "hardly anything was written");
}

#[test]
fn a_full_disk_refuses_writes_and_harms_nothing() {
    if !is_root() {
        return;
    }
    let folder = TempDir::with_prefix("mesh-vault-").expect("a folder");
    let data = folder.path().join("disk");
    fs::create_dir(&data).expect("a folder");
    // The mount is in a namespace that ends with the servers; the second server finds what the first one left.
    let script = format!("mount -t tmpfs -o size=6m none {0:?} && \"$@\"; \"$@\"", data);
    let mut vault = Vault::with(folder, &data, |server| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script, "sh"]);
        command.arg(server.get_program()).args(server.get_args());
        command
    })
    .open();
    let mut client = vault.client();
    let big = "x".repeat(200_000);
    let mut kept = 0;
    let refused = loop {
        let body = json!({"data": {"value": big}});
        let (status, body) = client.call("POST", &format!("secret/data/big/{kept}"), Some(&body));
        if status != 200 {
            break (status, body);
        }
        kept += 1;
        assert!(kept < 100, "the disk does not get full");
    };
    assert_eq!(refused.0, 500, "{}", refused.1);
    assert!(kept > 3, "only {kept} were written");
    let look = |client: &mut Client| {
        for key in 0..kept {
            let (status, body) = client.call("GET", &format!("secret/data/big/{key}"), None);
            assert_eq!(
                (status, body["data"]["data"]["value"].as_str()),
                (200, Some(big.as_str())),
                "big/{key}"
            );
        }
        let (status, _) = client.call("GET", &format!("secret/data/big/{kept}"), None);
        assert_eq!(status, 404, "what was refused is there");
    };
    look(&mut client);
    for _ in 0..5 {
        let body = json!({"data": {"value": big}});
        assert_eq!(client.call("POST", "secret/data/again", Some(&body)).0, 500);
    }
    look(&mut client);
    vault.signal(Signal::KILL);
    vault.read_next_address();
    look(&mut vault.client());
    vault.signal(Signal::TERM);
    vault.wait();
}

#[test]
fn sealed_under_load_it_says_so_and_loses_nothing() {
    let vault = Vault::start().open();
    let (stop, sealed_seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let workers: Vec<_> = (0..8)
        .map(|worker| {
            let (mut client, stop, sealed_seen) = (vault.client(), stop.clone(), sealed_seen.clone());
            thread::spawn(move || {
                let path = format!("secret/data/load/{worker}");
                let mut last = None;
                for value in 0u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let (status, body) = client.call("POST", &path, Some(&json!({"data": {"value": value}})));
                    match status {
                        200 => last = Some(value),
                        503 => {
                            assert_eq!(body["errors"], json!(["Vault is sealed"]));
                            sealed_seen.fetch_add(1, Ordering::Relaxed);
                        }
                        status => panic!("status {status}: {body}"),
                    }
                    let (status, body) = client.call("GET", &path, None);
                    assert!(matches!(status, 200 | 404 | 503), "status {status}: {body}");
                }
                (path, last)
            })
        })
        .collect();
    let mut client = vault.client();
    for _ in 0..5 {
        thread::sleep(Duration::from_millis(60));
        assert_eq!(client.call("PUT", "sys/seal", None).0, 204);
        let seen = sealed_seen.load(Ordering::Relaxed);
        let told = harness::within(20, || sealed_seen.load(Ordering::Relaxed) > seen + 8);
        assert!(told, "nobody was told that it is sealed");
        vault.unseal();
    }
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        let (path, last) = worker.join().expect("a worker");
        let Some(last) = last else { continue };
        let (status, body) = client.call("GET", &path, None);
        assert_eq!((status, body["data"]["data"]["value"].as_u64()), (200, Some(last)), "{path}");
    }
}

#[test]
fn ten_thousand_requests_at_a_time_are_all_answered() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile).maximum;
    if limit.is_some_and(|limit| limit < CONCURRENT as u64 + 200) {
        println!("skipped: needs {CONCURRENT} open files");
        return;
    }
    setrlimit(Resource::Nofile, Rlimit { current: limit, maximum: limit }).expect("the limit of open files");
    let vault = Vault::start().open();
    let value = json!({"data": {"value": "v".repeat(100)}});
    assert_eq!(vault.client().call("POST", "secret/data/one", Some(&value)).0, 200);
    let read = request("GET", "secret/data/one", &vault.root, None);
    let mut clients: Vec<Client> = (0..CONCURRENT)
        .map(|_| {
            let mut client = vault.client();
            client.send(&read).expect("a request");
            client
        })
        .collect();
    for client in &mut clients {
        let (status, body) = client.receive().expect("an answer");
        let body: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!((status, &body["data"]["data"]), (200, &value["data"]));
    }
}

#[test]
fn it_ends_in_order_and_says_what_is_wrong_with_its_configuration() {
    let mut vault = Vault::start().open();
    vault.signal(Signal::HUP);
    assert_eq!(vault.client().call("GET", "sys/health", None).0, 200);
    // An idle connection does not hold up the end.
    let _idle = vault.client();
    let begun = Instant::now();
    vault.signal(Signal::TERM);
    assert_eq!(vault.wait().code(), Some(0), "{}", vault.log());
    assert!(begun.elapsed() < Duration::from_secs(5), "it took {:?} to end", begun.elapsed());
    assert!(!vault.folder.path().join("pid").exists());

    let server = |words: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        let output =
            command.args(["service", "vault", "--", "server"]).args(words).output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let file = vault.folder.path().join("wrong.hcl");
    fs::write(&file, "storage \"consul\" {}\nui = = 1\n").expect("a file");
    let (code, said) = server(&[&format!("-config={}", file.display())]);
    assert_eq!(code, Some(1));
    assert!(said.contains("wrong.hcl:2"), "{said}");
    for (words, expected) in [
        (&["-config=/nowhere"][..], "No such file"),
        (&[], "Must specify at least one config path"),
        (&["-nope"], "flag provided but not defined: -nope"),
    ] {
        let (code, said) = server(words);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn nothing_readable_is_on_the_disk() {
    let vault = Vault::start().open();
    let secret = "correct horse battery staple";
    let body = json!({"data": {"password": secret}});
    assert_eq!(vault.client().call("POST", "secret/data/app", Some(&body)).0, 200);
    let user = json!({"password": secret, "policies": "default"});
    vault.client().call("POST", "sys/auth/userpass", Some(&json!({"type": "userpass"})));
    vault.client().call("POST", "auth/userpass/users/bob", Some(&user));
    let stored = fs::read(vault::store_of(&vault)).expect("the store");
    let has = |text: &str| stored.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(!has(secret) && !has(&vault.root) && !has("password"), "a secret is on the disk in clear");
    assert!(!vault.log().contains(secret));
}
