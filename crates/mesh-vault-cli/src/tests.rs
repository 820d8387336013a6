//! Command lines against a server of the tests: what is asked, what is shown, and the exit code.

use crate::{
    Streams,
    api::{Api, Question, Unusable},
    run,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

/// One request as the server saw it.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    line: String,
    headers: BTreeMap<String, String>,
    body: Value,
}

type Answer = (u16, String);

/// A server that answers by the line of a request; it ends with the process of the tests.
struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    home: tempfile::TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    code: u8,
    output: String,
    errors: String,
}

impl Server {
    fn start(answer: impl Fn(&str) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = seen.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let mut lines = Vec::new();
                loop {
                    let mut line = String::new();
                    if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                        break;
                    }
                    lines.push(line.trim().to_owned());
                }
                let headers: BTreeMap<String, String> = lines
                    .iter()
                    .skip(1)
                    .filter_map(|line| line.split_once(": "))
                    .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
                    .collect();
                let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                let line = lines.first().cloned().unwrap_or_default();
                let line = line.trim_end_matches(" HTTP/1.1").to_owned();
                let (status, text) = answer(&line);
                let body = serde_json::from_slice(&body).unwrap_or_default();
                log.lock().unwrap().push(Seen { line, headers, body });
                let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n", text.len());
                let location = if status == 307 { format!("Location: {text}\r\n") } else { String::new() };
                let _ = stream.write_all(format!("{head}{location}\r\n{text}").as_bytes());
            }
        });
        Self { address, seen, home: tempfile::tempdir().unwrap() }
    }

    fn run(&self, line: &str) -> Done {
        self.run_with(line, "", &[("VAULT_TOKEN", "s.hunter2")])
    }

    fn run_with(&self, line: &str, input: &str, variables: &[(&str, &str)]) -> Done {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let (mut input, mut output, mut errors) = (input.as_bytes(), Vec::new(), Vec::new());
        let streams =
            Streams { input: &mut input, output: &mut output, errors: &mut errors, is_terminal: false };
        let get = |name: &str| match name {
            "VAULT_ADDR" => Some(format!("http://{}", self.address)),
            "HOME" => Some(self.home.path().display().to_string()),
            name => variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
        };
        let code = run(&arguments, &get, streams);
        let text = |bytes| String::from_utf8(bytes).unwrap().replace(&self.address.to_string(), "ADDRESS");
        Done { code, output: text(output), errors: text(errors) }
    }

    fn lines(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| seen.line.clone()).collect()
    }

    fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().unwrap()
    }
}

fn ok(value: &Value) -> Answer {
    (200, value.to_string())
}

/// A mount of KV version 2 at `secret/`, with one secret.
fn versioned(line: &str) -> Answer {
    match line {
        "GET /v1/sys/internal/ui/mounts/secret/foo" => {
            ok(&json!({"data": {"path": "secret/", "options": {"version": "2"}}}))
        }
        "GET /v1/secret/data/foo" => ok(&json!({"data": {"data": {"b": "2", "a": "<1>"},
            "metadata": {"version": 3, "deletion_time": "", "custom_metadata": null}}})),
        "PUT /v1/secret/data/foo" => ok(&json!({"data": {"version": 4, "destroyed": false}})),
        "PATCH /v1/secret/data/foo" => (403, json!({"errors": ["permission denied"]}).to_string()),
        _ => (404, json!({"errors": []}).to_string()),
    }
}

#[test]
fn a_versioned_secret_is_read_and_written_below_its_mount() {
    let server = Server::start(versioned);
    let done = server.run("kv get secret/foo");
    let want = "== Secret Path ==\nsecret/data/foo\n\n======= Metadata =======\nKey                Value\n\
                ---                -----\ncustom_metadata    <nil>\ndeletion_time      n/a\nversion            3\n\n\
                ==== Data ====\nKey    Value\n---    -----\na      <1>\nb      2\n";
    // Heads are as wide as what is below them, at least.
    assert_eq!(
        done.output.replace("= Secret Path =", "== Secret Path =="),
        want.replace("==== Data ====", "== Data ==")
    );
    assert_eq!((done.code, done.errors.as_str()), (0, ""));
    assert_eq!(server.run("kv get -field=a secret/foo").output, "<1>");
    assert!(server.run("kv get -format=json secret/foo").output.contains(r#""a": "\u003c1\u003e","#));
    let done = server.run("kv put -cas=3 secret/foo x=1");
    assert!(done.output.contains("version      4"), "{}", done.output);
    assert_eq!(server.last().body, json!({"data": {"x": "1"}, "options": {"cas": 3}}));
    assert_eq!(server.last().headers["x-vault-token"], "s.hunter2");
    assert_eq!(server.last().headers["x-vault-request"], "true");
    // Where a patch is not allowed it is read and written.
    let done = server.run("kv patch secret/foo c=3");
    assert_eq!(done.code, 0, "{}", done.errors);
    assert!(done.errors.contains("we recommend that you add the \"patch\" capability"));
    let body = json!({"data": {"a": "<1>", "b": "2", "c": "3"}, "options": {"cas": 3}});
    assert_eq!(server.last().body, body);
    for (line, code, errors) in [
        ("kv get secret/none", 2, "No value found at secret/none\n"),
        ("kv get", 1, "Not enough arguments (expected 1, got 0)\n"),
        ("kv put secret/foo", 1, "Must supply data\n"),
        ("kv get -field=z secret/foo", 1, "Field \"z\" not present in map\n"),
        ("kv rollback secret/foo", 1, "Version flag must be specified\n"),
    ] {
        let done = server.run(line);
        assert_eq!((done.code, done.errors.as_str()), (code, errors), "{line}");
    }
}

#[test]
fn errors_are_told_as_vault_tells_them_and_without_the_token() {
    let server = Server::start(|line| match line {
        "GET /v1/a" => (403, json!({"errors": ["permission denied"]}).to_string()),
        "GET /v1/b" => (502, "<html>".to_owned()),
        "GET /v1/c" => (404, json!({"errors": [], "warnings": ["look here"], "data": null}).to_string()),
        "GET /v1/d" => (200, "no json".to_owned()),
        _ => (204, String::new()),
    });
    let head =
        "Error reading a: Error making API request.\n\nURL: GET http://ADDRESS/v1/a\nCode: 403. Errors:\n\n";
    let done = server.run("read a");
    assert_eq!((done.code, done.errors), (2, format!("{head}* permission denied\n")));
    assert!(server.run("read b").errors.ends_with("Code: 502. Raw Message:\n\n<html>\n"));
    let done = server.run("read c");
    assert!(done.code == 0 && done.errors.contains("  * look here"), "{done:?}");
    assert_eq!(server.run("read d").code, 2);
    assert_eq!(server.run("delete e").output, "Success! Data deleted (if it existed) at: e\n");
    assert_eq!(server.run("write e x=1").output, "Success! Data written to: e\n");
    assert_eq!(server.run("write -format=json e x=1").output, "");
    assert_eq!(server.run("-format=nope read e").errors, "Invalid output format: nope\n");
    let done = server.run_with("read a", "", &[("VAULT_TOKEN", "bad\ntoken-hunter2")]);
    assert!(
        done.code == 2 && done.errors.contains("non-printable") && !done.errors.contains("hunter2"),
        "{done:?}"
    );
    let nobody = server.run_with("read a", "", &[("VAULT_AGENT_ADDR", "http://127.0.0.1:1")]);
    let refused = "Error reading a: Get \"http://127.0.0.1:1/v1/a\": dial tcp 127.0.0.1:1: connect: connection refused\n";
    assert_eq!((nobody.code, nobody.errors.as_str()), (2, refused));
}

#[test]
fn the_exit_code_of_status_says_whether_it_is_sealed() {
    let seal = |sealed: bool| {
        json!({"type": "shamir", "initialized": true, "sealed": sealed, "t": 3, "n": 5,
        "progress": 1, "nonce": "n", "version": "1.2", "storage_type": "redb"})
    };
    for (sealed, code) in [(false, 0), (true, 2)] {
        let server = Server::start(move |line| match line {
            "GET /v1/sys/seal-status" => ok(&seal(sealed)),
            _ => ok(&json!({"ha_enabled": false})),
        });
        let done = server.run("status");
        assert_eq!(done.code, code);
        assert_eq!(done.output.contains("Unseal Progress    1/3"), sealed, "{}", done.output);
        assert_eq!(server.run("status -field=sealed").output, sealed.to_string());
        let shown: Value = serde_json::from_str(&server.run("status -format=json").output).unwrap();
        assert_eq!((&shown["t"], &shown["build_date"]), (&json!(3), &json!("")));
    }
    let done = Server::start(|_| (500, String::new())).run("status");
    assert!(done.code == 1 && done.errors.starts_with("Error checking seal status: "), "{done:?}");
}

#[test]
fn a_login_keeps_its_token() {
    let server = Server::start(|line| match line {
        "PUT /v1/auth/approle/login" => ok(&json!({"auth": {"client_token": "s.new", "policies": ["p"]}})),
        "GET /v1/auth/token/lookup-self" => {
            ok(&json!({"data": {"id": "s.own", "policies": ["root"], "ttl": 0}}))
        }
        _ => (400, json!({"errors": ["no"]}).to_string()),
    });
    let line = "login -method=approle role_id=r secret_id=-";
    let done = server.run_with(line, "hunter2", &[]);
    assert_eq!(done.code, 0, "{}", done.errors);
    assert!(done.output.contains("token                s.new") && !done.output.contains("hunter2"));
    assert_eq!(server.last().body, json!({"role_id": "r", "secret_id": "hunter2"}));
    assert!(!server.last().headers.contains_key("x-vault-token"));
    assert_eq!(server.run_with("print token", "", &[]).output, "s.new\n");
    let done = server.run_with("login -token-only -", "s.own\n", &[]);
    assert_eq!((done.output.as_str(), done.code), ("s.own", 0), "{}", done.errors);
    assert_eq!(server.run_with("print token", "", &[]).output, "s.new\n", "it was not to be kept");
    let done = server.run_with("login -method=userpass username=u password=p", "", &[]);
    assert!(done.code == 2 && done.errors.starts_with("Error authenticating: "), "{done:?}");
    assert_eq!(server.run("login -method=ldap x").code, 1);
    assert_eq!(server.run("login -no-store -no-print x").code, 1);
}

#[test]
fn requests_can_be_wrapped_redirected_and_written_for_curl() {
    let server = Server::start(|line| match line {
        "GET /v1/a" => (307, "/v1/b?x=1".to_owned()),
        _ => ok(&json!({"wrap_info": {"token": "s.w", "ttl": 60, "creation_time": "2026-11-21T18:00:00Z",
            "creation_path": "b", "accessor": "acc"}})),
    });
    let done = server.run("read -wrap-ttl=1m a");
    assert!(
        done.output.contains("wrapping_token_creation_time:    2026-11-21 18:00:00 +0000 UTC"),
        "{}",
        done.output
    );
    assert_eq!(server.lines(), ["GET /v1/a", "GET /v1/b?x=1"]);
    assert_eq!(server.last().headers["x-vault-wrap-ttl"], "1m0s");
    let done = server.run("read -disable-redirects -field=x a");
    assert_eq!(done.code, 2, "{done:?}");
    let done = server.run("write -output-curl-string -namespace=team a b=it's");
    assert_eq!((done.code, done.errors.as_str()), (0, ""));
    assert_eq!(
        done.output,
        "curl -X PUT -H \"X-Vault-Namespace: team/\" -H \"X-Vault-Request: true\" -H \"X-Vault-Token: $(vault print \
         token)\" -d '{\"b\":\"it'\"'\"'s\"}' \"http://ADDRESS/v1/a\"\n"
    );
}

#[test]
fn what_is_no_command_shows_those_that_are() {
    let server = Server::start(|_| (204, String::new()));
    for (line, code, shown) in [
        ("", 127, "Common commands:"),
        ("nope", 127, "Common commands:"),
        ("kv", 1, "metadata get"),
        ("kv nope", 127, "Common commands:"),
        ("server -dev", 127, "Common commands:"),
        ("operator raft list-peers", 1, "vault operator raft is not available here"),
    ] {
        let done = server.run(line);
        assert_eq!(done.code, code, "{line}");
        assert!(done.errors.contains(shown) && done.output.is_empty(), "{line}: {done:?}");
    }
    let done = server.run("kv put -h");
    assert!(done.code == 0 && done.output.contains("-cas=<int>"), "{done:?}");
    assert!(server.run("version").output.starts_with("Vault v1.18.5 (Mesh v"));
    assert_eq!(server.run("--version").code, 0);
    let done = server.run("read a -field=x");
    assert!(done.errors.contains("will not be parsed as flags: [-field=x]"), "{done:?}");
}

#[test]
fn a_root_token_is_generated_a_key_at_a_time() {
    let started = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let of_server = started.clone();
    let status = |progress: u64, complete: bool, otp: &str, token: &str| {
        json!({"nonce": "n1", "started": true, "progress": progress, "required": 2, "complete": complete,
            "encoded_token": token, "encoded_root_token": token, "pgp_fingerprint": "", "otp": otp, "otp_length": 2})
    };
    let server = Server::start(move |line| {
        let is = of_server.load(std::sync::atomic::Ordering::Relaxed);
        match line {
            "PUT /v1/sys/generate-root/attempt" => {
                of_server.store(true, std::sync::atomic::Ordering::Relaxed);
                ok(&status(0, false, "ab", ""))
            }
            "GET /v1/sys/generate-root/attempt" if is => ok(&status(1, false, "", "")),
            "GET /v1/sys/generate-root/attempt" => {
                ok(&json!({"nonce": "", "started": false, "progress": 0, "required": 2, "otp_length": 2}))
            }
            "PUT /v1/sys/generate-root/update" => ok(&status(2, true, "", "GyY")),
            "DELETE /v1/sys/generate-root/attempt" => (204, String::new()),
            _ => (404, json!({"errors": []}).to_string()),
        }
    });
    let none = server.run("operator generate-root key");
    assert_eq!(none.code, 1);
    assert!(none.errors.starts_with("No root generation is in progress."), "{none:?}");
    assert!(none.errors.contains("needs to be 2"), "{none:?}");
    let password = server.run("operator generate-root -generate-otp");
    assert_eq!((password.code, password.output.len()), (0, 2), "{password:?}");

    let begun = server.run("operator generate-root -init");
    assert_eq!(begun.code, 0, "{begun:?}");
    assert!(begun.errors.contains("A One-Time-Password has been generated"), "{begun:?}");
    for row in ["Nonce         n1", "Started       true", "Progress      0/2", "OTP           ab"] {
        assert!(begun.output.contains(row), "{}", begun.output);
    }
    let nameless = server.run("operator generate-root key");
    assert_eq!(
        (nameless.code, nameless.errors.trim()),
        (1, "Missing nonce value: specify it via the -nonce flag")
    );
    let done = server.run_with("operator generate-root -nonce=n1 -", " key \n", &[("VAULT_TOKEN", "x")]);
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.output.contains("Complete         true") && done.output.contains("Encoded Token    GyY"),
        "{done:?}"
    );
    assert_eq!(server.last().body, json!({"key": "key", "nonce": "n1"}));

    for (line, code, output) in [
        ("operator generate-root -decode=GyY -otp=ab", 0, "zD"),
        ("operator generate-root -format=json -decode=GyY -otp=ab", 0, "{\n  \"token\": \"zD\"\n}\n"),
        ("operator generate-root -decode=GyY -otp=abc", 1, ""),
        ("operator generate-root -decode=GyY", 1, ""),
        (
            "operator generate-root -cancel",
            0,
            "Success! Root token generation canceled (if it was started)\n",
        ),
        ("operator generate-root a b", 1, ""),
    ] {
        let done = server.run(line);
        assert_eq!((done.code, done.output.as_str()), (code, output), "{line}: {}", done.errors);
    }
    let read = server.run_with("operator generate-root -decode=- -otp=ab", "GyY\n", &[("VAULT_TOKEN", "x")]);
    assert_eq!((read.code, read.output.as_str()), (0, "zD"));
}

#[test]
fn a_program_asks_where_and_as_it_says_whatever_the_environment_has() {
    let server = Server::start(|_| ok(&json!({"data": {"a": "1"}})));
    let set = |timeout: &'static str| {
        move |name: &str| match name {
            "VAULT_ADDR" | "VAULT_AGENT_ADDR" => Some("http://127.0.0.1:1".to_owned()),
            "VAULT_NAMESPACE" => Some("team".to_owned()),
            "VAULT_WRAP_TTL" => Some("5m".to_owned()),
            "VAULT_TOKEN" => Some("s.hunter2".to_owned()),
            "VAULT_CLIENT_TIMEOUT" => Some(timeout.to_owned()),
            _ => None,
        }
    };
    let address = format!("http://{}", server.address);
    let mut api = Api::new(&address, &set("20")).unwrap();
    assert_eq!(api.ask(Question::Get("a"), None).unwrap().body["data"]["a"], "1");
    let headers = server.last().headers;
    for name in ["x-vault-namespace", "x-vault-wrap-ttl", "x-vault-token"] {
        assert!(!headers.contains_key(name), "{name}: {headers:?}");
    }
    assert!(matches!(Api::new("127.0.0.1:8200", &set("20")), Err(Unusable::Address(_))));
    assert!(matches!(Api::new(&address, &set("soon")), Err(Unusable::Variable(_))));
}
