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

/// The status and the body of a request whose token is another than the client's.
fn ask(vault: &Vault, token: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    Client::connect(vault.address, token).expect("a connection").call(method, path, body)
}

#[test]
fn wrong_key_shares_open_nothing() {
    let mut vault = Vault::start();
    let other = Vault::start();
    let init = |vault: &Vault| {
        let (status, made) =
            ask(vault, "", "PUT", "sys/init", Some(&json!({"secret_shares": 5, "secret_threshold": 3})));
        assert_eq!(status, 200, "{made}");
        let shares = made["keys"].as_array().expect("shares").iter();
        shares.map(|share| share.as_str().expect("a share").to_owned()).collect::<Vec<_>>()
    };
    let (shares, strangers) = (init(&vault), init(&other));
    let give = |vault: &Vault, share: &str| ask(vault, "", "PUT", "sys/unseal", Some(&json!({"key": share})));
    let progress = |vault: &Vault| ask(vault, "", "GET", "sys/seal-status", None).1["progress"].clone();
    let mut bent = shares[2].clone();
    bent.replace_range(0..1, if bent.starts_with('0') { "1" } else { "0" });
    for wrong in [&bent, &strangers[2]] {
        assert_eq!(give(&vault, &shares[0]).1["progress"], 1);
        assert_eq!(give(&vault, &shares[1]).1["progress"], 2);
        let (status, said) = give(&vault, wrong);
        assert_eq!(status, 400, "{said}");
        assert_eq!(progress(&vault), 0, "shares stay although one was wrong");
        assert_eq!(ask(&vault, "x", "GET", "sys/mounts", None).0, 503);
    }
    for nonsense in ["", "x", "zz", "00", &"0".repeat(1_000_000)] {
        assert_eq!(give(&vault, nonsense).0, 400);
    }
    for twice in [&shares[0], &shares[0], &shares[1]] {
        assert_eq!(give(&vault, twice).1["sealed"], true, "a share counts once");
    }
    vault.kill_and_leave_sealed();
    assert_eq!(progress(&vault), 0, "shares are kept nowhere");
    for share in &shares[2..] {
        assert_eq!(give(&vault, share).0, 200);
    }
    assert_eq!(ask(&vault, "", "GET", "sys/health", None).0, 200);
}

/// A vault with a role `app`, and the role's identifier.
fn with_a_role() -> (Vault, String) {
    let vault = Vault::start().open();
    let mut root = vault.client();
    assert_eq!(root.call("POST", "sys/auth/approle", Some(&json!({"type": "approle"}))).0, 204);
    assert_eq!(
        root.call("POST", "auth/approle/role/app", Some(&json!({"token_policies": "default"}))).0,
        204
    );
    let (_, role) = root.call("GET", "auth/approle/role/app/role-id", None);
    let role_id = role["data"]["role_id"].as_str().expect("an identifier").to_owned();
    (vault, role_id)
}

fn secret_id(vault: &Vault, wish: &Value) -> String {
    let (status, made) = vault.client().call("POST", "auth/approle/role/app/secret-id", Some(wish));
    assert_eq!(status, 200, "{made}");
    made["data"]["secret_id"].as_str().expect("an identifier").to_owned()
}

fn login(vault: &Vault, role_id: &str, secret_id: &str) -> u16 {
    let body = json!({"role_id": role_id, "secret_id": secret_id});
    ask(vault, "", "POST", "auth/approle/login", Some(&body)).0
}

#[test]
fn secret_ids_are_not_replayed_and_end_in_time() {
    let (mut vault, role_id) = with_a_role();
    let once = secret_id(&vault, &json!({"num_uses": 1}));
    let racers: Vec<u16> = thread::scope(|scope| {
        let racers: Vec<_> = (0..16).map(|_| scope.spawn(|| login(&vault, &role_id, &once))).collect();
        racers.into_iter().map(|racer| racer.join().expect("an answer")).collect()
    });
    assert_eq!(racers.iter().filter(|status| **status == 200).count(), 1, "{racers:?}");
    assert!(racers.iter().all(|status| matches!(status, 200 | 400 | 403)), "{racers:?}");

    // The failures have locked the role, which a restart does not mend; another role is not locked.
    let (mut vault, role_id) = {
        vault.kill_and_restart();
        let unused = secret_id(&vault, &json!({}));
        assert_eq!(login(&vault, &role_id, &unused), 403, "a restart has unlocked the role");
        with_a_role()
    };
    let once = secret_id(&vault, &json!({"num_uses": 1}));
    let short = secret_id(&vault, &json!({"ttl": "1s"}));
    let long = secret_id(&vault, &json!({"ttl": "1h"}));
    assert_eq!(login(&vault, &role_id, &once), 200);
    // What it has burned is burned, whatever ends the server.
    vault.kill_and_restart();
    assert_eq!(login(&vault, &role_id, &once), 400, "it was replayed");
    let made = Instant::now();
    assert!(harness::within(20, || login(&vault, &role_id, &long) == 200 && made.elapsed().as_secs() >= 1));
    assert_eq!(login(&vault, &role_id, &short), 400, "it is over");
    assert_eq!(login(&vault, &role_id, &long), 200);
}

/// A library that shifts the wall clock of whoever loads it by the seconds in a file; none without a C compiler.
fn clock(folder: &std::path::Path) -> Option<std::path::PathBuf> {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <stdlib.h>
        #include <sys/syscall.h>
        #include <time.h>
        #include <unistd.h>
        int clock_gettime(clockid_t id, struct timespec *time) {
            int outcome = (int)syscall(SYS_clock_gettime, id, time);
            const char *path = getenv("MESH_TEST_CLOCK");
            if (outcome != 0 || id != CLOCK_REALTIME || !path) return outcome;
            char text[32] = {0};
            int file = open(path, O_RDONLY | O_CLOEXEC);
            if (file >= 0 && read(file, text, sizeof text - 1) > 0) time->tv_sec += atol(text);
            if (file >= 0) close(file);
            return outcome;
        }
    "#;
    let (source, library) = (folder.join("clock.c"), folder.join("clock.so"));
    fs::write(&source, SOURCE).expect("a file");
    let built =
        Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).output();
    built.is_ok_and(|built| built.status.success()).then_some(library)
}

#[test]
fn when_the_clock_jumps_nothing_is_lost_and_nothing_comes_back() {
    let folder = TempDir::with_prefix("mesh-vault-").expect("a folder");
    let Some(library) = clock(folder.path()) else {
        println!("skipped: no C compiler");
        return;
    };
    let (data, shift) = (folder.path().join("data"), folder.path().join("shift"));
    // Written beside and renamed, so that nobody reads half of it.
    let jump = |seconds: i64| {
        let fresh = shift.with_extension("new");
        fs::write(&fresh, seconds.to_string()).and_then(|()| fs::rename(&fresh, &shift)).expect("a file");
    };
    jump(0);
    let vault = Vault::with(folder, &data, |mut server| {
        server.env("LD_PRELOAD", &library).env("MESH_TEST_CLOCK", &shift);
        server
    })
    .open();
    let mut root = vault.client();
    let mut token = |wish: Value| {
        let (status, made) = root.call("POST", "auth/token/create", Some(&wish));
        assert_eq!(status, 200, "{made}");
        let text = |key: &str| made["auth"][key].as_str().expect("a text").to_owned();
        (text("client_token"), text("accessor"))
    };
    let (hour, hour_accessor) = token(json!({"ttl": "1h", "policies": ["default"]}));
    let (day, _) = token(json!({"ttl": "24h", "policies": ["default"]}));
    let own = |token: &str| ask(&vault, token, "GET", "auth/token/lookup-self", None);
    let ttl = |token: &str| own(token).1["data"]["ttl"].as_u64();
    let write = |value: u64| {
        let body = json!({"data": {"value": value}});
        assert_eq!(vault.client().call("POST", "secret/data/clock", Some(&body)).0, 200);
        let (status, read) = vault.client().call("GET", "secret/data/clock", None);
        assert_eq!((status, read["data"]["data"]["value"].as_u64()), (200, Some(value)), "{read}");
    };
    write(1);
    jump(1_800);
    assert!(ttl(&hour).is_some_and(|ttl| (1..=1_800).contains(&ttl)), "{:?}", own(&hour));
    write(2);
    assert!(
        ask(&vault, &vault.root, "LIST", "auth/token/accessors", None).1.to_string().contains(&hour_accessor)
    );
    // A day back, before all of it was made: everything lives, and nothing stumbles over times that are to come.
    jump(-86_400);
    assert!(ttl(&hour).is_some() && ttl(&day).is_some());
    write(3);
    assert_eq!(ask(&vault, &day, "POST", "auth/token/renew-self", Some(&json!({}))).0, 200);
    assert_eq!(vault.client().call("GET", "sys/health", None).0, 200);
    // Two hours on, one token is over, and what has ended by it has ended for good.
    jump(7_200);
    assert_eq!(own(&hour).0, 403);
    assert_eq!(own(&vault.root).0, 200);
    let stored = || {
        let (_, accessors) = vault.client().call("LIST", "auth/token/accessors", None);
        accessors["data"]["keys"].as_array().is_some_and(|keys| keys.contains(&json!(hour_accessor)))
    };
    assert!(harness::within(20, || !stored()), "it is not tidied away");
    jump(0);
    assert_eq!(own(&hour).0, 403, "a token came back with the time");
    write(4);
    // As far as clocks go.
    for seconds in [4_000_000_000, -1_500_000_000] {
        jump(seconds);
        write(5);
        assert_eq!(own(&vault.root).0, 200);
    }
    jump(0);
    write(6);
}

/// A certificate for `vault.test` and `localhost`, and where it is.
struct Certified {
    files: [std::path::PathBuf; 2],
    der: Vec<u8>,
}

impl Certified {
    fn write(folder: &std::path::Path) -> Self {
        let names = ["vault.test", "localhost"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let files = ["certificate.pem", "key.pem"].map(|name| folder.join(name));
        fs::write(&files[0], made.cert.pem()).expect("a file");
        fs::write(&files[1], made.signing_key.serialize_pem()).expect("a file");
        Self { files, der: made.cert.der().to_vec() }
    }
}

/// A connection to `vault.test`.
struct Secure(rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>);

impl Secure {
    fn connect(address: std::net::SocketAddr, trusted: &[u8]) -> std::io::Result<Self> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(trusted.to_vec().into()).expect("a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let name = "vault.test".try_into().expect("a name");
        let connection = rustls::ClientConnection::new(Arc::new(config), name).expect("a connection");
        let stream = std::net::TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut secure = Self(rustls::StreamOwned::new(connection, stream));
        secure.status()?;
        Ok(secure)
    }

    /// The status of `sys/seal-status`.
    fn status(&mut self) -> std::io::Result<u16> {
        use std::io::{Read as _, Write as _};
        self.0.write_all(&request("GET", "sys/seal-status", "", None))?;
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        loop {
            match self.0.read(&mut part)? {
                0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                bytes => answer.extend_from_slice(&part[..bytes]),
            }
            if let Some((status, _)) = vault::whole_answer(&answer) {
                return Ok(status);
            }
        }
    }
}

#[test]
fn tls_takes_a_new_certificate_without_a_restart() {
    let folder = TempDir::with_prefix("mesh-vault-").expect("a folder");
    let data = folder.path().join("data");
    let first = Certified::write(folder.path());
    let listener = format!("tls_cert_file = {:?}\ntls_key_file = {:?}", first.files[0], first.files[1]);
    let mut vault = Vault::listening(folder, &data, &listener, |server| server);
    let address = vault.address;
    let mut open = Secure::connect(address, &first.der).expect("https by name");
    assert_eq!(open.status().expect("an answer"), 200);
    // The same by the command line, and nothing without TLS.
    let status = |trusted: &std::path::Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mesh"));
        command.env("VAULT_ADDR", format!("https://localhost:{}", address.port()));
        command.env("VAULT_CACERT", trusted).args(["vault-cli", "status"]);
        let output = command.output().expect("it runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let old = vault.folder.path().join("old.pem");
    fs::copy(&first.files[0], &old).expect("a file");
    assert_eq!(status(&old), (Some(2), String::new()), "sealed is 2");
    assert!(
        Client::connect(address, "").and_then(|mut plain| plain.try_call("GET", "sys/health", None)).is_err()
    );

    let second = Certified::write(vault.folder.path());
    assert!(Secure::connect(address, &second.der).is_err(), "it was read before anybody said so");
    vault.signal(Signal::HUP);
    assert!(harness::within(20, || Secure::connect(address, &second.der).is_ok()), "{}", vault.log());
    assert!(Secure::connect(address, &first.der).is_err(), "the old certificate is still shown");
    assert_eq!(open.status().expect("the open connection holds"), 200);
    assert_eq!(status(&old).0, Some(1), "who trusts the old one alone is warned");

    // A certificate that cannot be used changes nothing, and is told.
    fs::write(&second.files[0], "no certificate").expect("a file");
    vault.signal(Signal::HUP);
    assert!(harness::within(20, || vault.log().contains("cannot be read anew")), "{}", vault.log());
    assert!(Secure::connect(address, &second.der).is_ok());
    assert_eq!(open.status().expect("the open connection holds"), 200);
    vault.signal(Signal::TERM);
    assert_eq!(vault.wait().code(), Some(0));
}
