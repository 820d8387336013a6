//! The keys of a new vault: whatever is killed while it is initialised, they are not lost; and what `mesh vault` says
//! to somebody whose keys, address or vault is another than they think.

mod harness;
#[path = "harness/vault.rs"]
mod vault;

use harness::Stack;
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read as _, Write as _},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    thread,
    time::Duration,
};
use vault::Vault;

/// Longest wait of the relay for bytes.
const SILENCE_MAX: Duration = Duration::from_secs(20);

/// A way to a server on which no answer to an initialization arrives. It ends with the process.
fn way_that_loses(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || relay(client, server));
        }
    });
    address
}

/// Passes one request on, and its answer back, unless that is an initialization's.
fn relay(mut client: TcpStream, server: SocketAddr) -> Option<()> {
    let mut there = TcpStream::connect(server).ok()?;
    for stream in [&client, &there] {
        stream.set_read_timeout(Some(SILENCE_MAX)).ok()?;
    }
    loop {
        let request = message(&mut client)?;
        there.write_all(&request).ok()?;
        let answer = message(&mut there)?;
        if String::from_utf8_lossy(&request).contains("/v1/sys/init ") {
            let _ = client.shutdown(Shutdown::Both);
            return None;
        }
        client.write_all(&answer).ok()?;
    }
}

/// A request or an answer: its head, and as many bytes as that says.
fn message(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = stream.read(&mut chunk).ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&chunk[..count]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, _)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
        if bytes.len() >= head.len() + 4 + length.unwrap_or(0_usize) {
            return Some(bytes);
        }
    }
}

fn mode(path: &std::path::Path) -> u32 {
    path.metadata().map_or(0, |data| data.permissions().mode() & 0o777)
}

#[test]
fn keys_whose_way_was_cut_are_asked_for_again() {
    let stack = Stack::new("services: {}\n");
    let mut vault = Vault::start();
    let keys = stack.directory().join("keys");
    let (file, pending) = (keys.join("keys.json"), keys.join("keys.pending.json"));
    let at = |verb: &str, address: SocketAddr| {
        let (address, keys) = (format!("http://{address}"), keys.display().to_string());
        let mut words = vec!["vault", "--address", &address, "--keys", &keys];
        words.extend(verb.split(' '));
        stack.mesh(&words)
    };
    let said = at("init", way_that_loses(vault.address));
    assert_ne!(said.code, 0, "{}", said.text());
    assert_eq!((mode(&pending), file.exists()), (0o600, false), "{}", said.text());
    let begun: Value =
        serde_json::from_str(&fs::read_to_string(&pending).expect("what was begun")).expect("JSON");
    let state = at("status", vault.address);
    assert_eq!(state.code, 2, "it is initialised and sealed: {}", state.text());

    // The server was killed too, and the next command goes on.
    vault.kill_and_leave_sealed();
    let other = ["3 of 5 shares", "not 3 of 7", "--shares 5 --threshold 3"];
    at("init --shares 7", vault.address).failed_saying(&other);
    at("init --shares 7 --dry-run", vault.address).failed_saying(&other);
    let said = at("unseal --dry-run", vault.address).succeeded();
    assert!(said.stdout.contains("would be initialised and opened") && pending.exists(), "{}", said.text());
    let said = at("init", vault.address).succeeded();
    assert!(said.stdout.contains("The vault is initialised and open"), "{}", said.text());
    assert_eq!((mode(&file), pending.exists()), (0o600, false));
    at("status", vault.address).succeeded();
    let token = at("token", vault.address).succeeded().stdout.trim_end().to_owned();
    let mut client = vault::Client::connect(vault.address, &token).expect("a connection");
    let (status, body) = client.call("GET", "auth/token/lookup-self", None);
    assert_eq!((status, &body["data"]["display_name"]), (200, &"root".into()), "{body}");
    // Kept for nobody any more, whoever has the key of it.
    let asked = json!({
        "secret_shares": begun["shares"],
        "secret_threshold": begun["threshold"],
        "idempotency_key": begun["idempotency_key"],
    });
    let again = |vault: &Vault| {
        let mut nobody = vault::Client::connect(vault.address, "").expect("a connection");
        let (status, body) = nobody.call("PUT", "sys/init", Some(&asked));
        assert_eq!((status, &body["errors"][0]), (400, &"Vault is already initialized".into()), "{body}");
    };
    again(&vault);

    vault.kill_and_leave_sealed();
    again(&vault);
    let said = at("unseal", vault.address).succeeded();
    assert!(said.stdout.contains("The vault is open."), "{}", said.text());
}

#[test]
fn two_that_initialise_at_once_take_turns() {
    let stack = Stack::new("services: {}\n");
    let vault = Vault::start();
    let (address, keys) = (format!("http://{}", vault.address), stack.directory().join("keys"));
    let keys = keys.display().to_string();
    let begun: Vec<_> = (0..3)
        .map(|_| {
            let mut command = stack.command(&["vault", "init", "--address", &address, "--keys", &keys]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh vault init")
        })
        .collect();
    let said: Vec<String> =
        begun.into_iter().map(|child| harness::finish(child).succeeded().stdout).collect();
    let first = said.iter().filter(|said| said.contains("is initialised and open")).count();
    let others = said.iter().filter(|said| said.contains("The vault was open.")).count();
    assert_eq!((first, others), (1, 2), "{said:?}");
}

#[test]
fn what_is_wrong_is_said_with_what_to_do() {
    let stack = Stack::new("services: {}\n");
    let mut vault = Vault::start();
    let (keys, other) = (stack.directory().join("keys"), stack.directory().join("other"));
    let at = |verb: &str, address: &str, keys: &std::path::Path| {
        stack.mesh(&["vault", verb, "--address", address, "--keys", &keys.display().to_string()])
    };
    let address = format!("http://{}", vault.address);
    at("unseal", &address, &keys).failed_saying(&["is not initialised", "mesh vault init"]);
    assert!(!keys.exists(), "a look for keys makes no directory of them");
    let place = ["--address", &address, "--keys", &keys.display().to_string()].map(str::to_owned);
    let words = ["--dry-run", "vault", "init", "--shares", "2", "--threshold", "3"];
    let words: Vec<&str> = words.into_iter().chain(place.iter().map(String::as_str)).collect();
    stack.mesh(&words).failed_saying(&["3 of 2 shares cannot open a vault"]);
    at("init", &address, &keys).succeeded();
    vault.kill_and_leave_sealed();
    let address = format!("http://{}", vault.address);
    at("unseal", &address, &other).failed_saying(&["its keys are not in", "--keys DIRECTORY"]);
    at("token", &address, &other).failed_saying(&["there are no keys in"]);
    at("ca-cert", &address, &keys).failed_saying(&["Vault is sealed", "mesh vault unseal"]);
    at("status", "127.0.0.1:1", &keys).failed_saying(&["such as http://127.0.0.1:8200"]);
    at("status", "http://127.0.0.1:1", &keys).failed_saying(&["does not answer", "mesh ps"]);
    let tls = address.replace("http:", "https:");
    at("status", &tls, &keys).failed_saying(&["does not answer", "write its address with http://"]);

    // Keys of another vault, too few of them, and some that others can read.
    let second = Vault::start();
    at("init", &format!("http://{}", second.address), &other).succeeded();
    at("unseal", &address, &other).failed_saying(&["do not open the vault"]);
    let file = keys.join("keys.json");
    let whole = fs::read_to_string(&file).expect("keys");
    let few: Value = serde_json::from_str(&whole).expect("JSON");
    let mut few = few;
    few["unseal_keys_b64"].as_array_mut().expect("keys").truncate(2);
    fs::write(&file, few.to_string()).expect("written");
    at("unseal", &address, &keys).failed_saying(&["has 2 keys, and 3 open the vault"]);
    fs::write(&file, whole).expect("written");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("a mode");
    let said = at("unseal", &address, &keys).succeeded();
    assert!(said.stderr.contains("has mode 0644") && said.stdout.contains("is open"), "{}", said.text());
    fs::set_permissions(keys.join("root-token"), fs::Permissions::from_mode(0o640)).expect("a mode");
    let said = at("init", &address, &keys).succeeded();
    for warned in ["keys.json has mode 0644", "root-token has mode 0640"] {
        assert!(said.stderr.contains(warned), "{}", said.text());
    }
    let third = Vault::start();
    at("init", &format!("http://{}", third.address), &keys).failed_saying(&["the keys of another one"]);
}
