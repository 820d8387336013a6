//! The embedded vault's figures: `cargo bench --bench vault`; beside another server in the same run where
//! `MESH_VAULT_PEER` names the binary of Vault or OpenBao.
//!
//! Both store on the disk and sync before they answer a write: Mesh in its one file, the peer in integrated storage
//! (`raft`). The load comes from one thread with 1 or 32 connections on the same machine. Each figure is the best of
//! three turns, taken in turns by both servers; behind it is the server's processor time a request. Words choose rows:
//! `cargo bench --bench vault -- reads "RSA 2048, 32"`.
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a program that prints what it measures")]

#[path = "../tests/harness/vault.rs"]
mod vault;

use serde_json::{Value, json};
use std::{
    fs,
    net::{SocketAddr, TcpListener},
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use vault::{Client, request};

/// Turns of each figure.
const TURNS: usize = 3;
/// How long a turn is.
const TURN: Duration = Duration::from_secs(2);
/// How long nobody asks anything before the memory of servers at rest is told.
const REST: Duration = Duration::from_secs(10);
/// Starts that are timed.
const STARTS: usize = 10;
/// Keys that are read and written.
const KEYS: usize = 1_000;
/// Of the kernel's clock that processor time is told by (`USER_HZ`).
const TICKS_A_SECOND: f64 = 100.0;

struct Server {
    name: &'static str,
    folder: tempfile::TempDir,
    command: Vec<String>,
    address: SocketAddr,
    child: Option<Child>,
    share: String,
    root: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    fn mesh() -> Self {
        let binary =
            std::env::var("MESH_VAULT_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_mesh").to_owned());
        let words = [&binary, "service", "vault", "--", "server"];
        Self::new("mesh", words.map(str::to_owned).to_vec(), |data| {
            format!("storage \"file\" {{ path = {data:?} }}")
        })
    }

    fn peer(binary: &str) -> Self {
        let command = vec![binary.to_owned(), "server".to_owned()];
        Self::new("peer", command, |data| {
            format!(
                "storage \"raft\" {{ path = {data:?}\n node_id = \"one\" }}\ncluster_addr = \"http://127.0.0.1:1\""
            )
        })
    }

    fn new(name: &'static str, command: Vec<String>, storage: impl Fn(&PathBuf) -> String) -> Self {
        let folder = tempfile::TempDir::with_prefix("mesh-vault-bench-").unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut text = storage(&data);
        if name == "peer" {
            let cluster = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
            text = text.replace("http://127.0.0.1:1", &format!("http://{cluster}"));
        }
        text += &format!(
            "\nlistener \"tcp\" {{ address = \"{address}\"\n tls_disable = true }}\ndisable_mlock = true\n\
             api_addr = \"http://{address}\"\nlog_level = \"error\"\n"
        );
        fs::write(folder.path().join("vault.hcl"), text).unwrap();
        let mut server =
            Self { name, folder, command, address, child: None, share: String::new(), root: String::new() };
        server.start();
        server.initialize();
        server
    }

    fn start(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let config = format!("-config={}", self.folder.path().join("vault.hcl").display());
        let child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn();
        self.child = Some(child.unwrap());
        self.until(|client| client.try_call("GET", "sys/seal-status", None).is_ok());
    }

    fn until(&self, mut fits: impl FnMut(&mut Client) -> bool) {
        let begun = Instant::now();
        loop {
            if Client::connect(self.address, &self.root).is_ok_and(|mut client| fits(&mut client)) {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} does not come up: {:?}",
                self.name,
                self.log()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    fn client(&self) -> Client {
        Client::connect(self.address, &self.root).unwrap()
    }

    fn unseal(&self) {
        self.client().call("PUT", "sys/unseal", Some(&json!({"key": self.share})));
        self.until(|client| {
            client.try_call("GET", "sys/health", None).is_ok_and(|(status, _)| status == 200)
        });
    }

    fn expect(&self, method: &str, path: &str, body: Value) -> Value {
        let (status, answer) = self.client().call(method, path, Some(&body));
        assert!(status < 300, "{}: {method} {path}: {status} {answer}", self.name);
        answer
    }

    fn initialize(&mut self) {
        let made = self.expect("PUT", "sys/init", json!({"secret_shares": 1, "secret_threshold": 1}));
        self.share = made["keys"][0].as_str().unwrap().to_owned();
        self.root = made["root_token"].as_str().unwrap().to_owned();
        self.unseal();
        self.expect("POST", "sys/mounts/secret", json!({"type": "kv", "options": {"version": "2"}}));
        // The engine of version 2 may take a moment to be ready.
        self.until(|client| {
            let body = json!({"data": {"a": 1}});
            client.try_call("POST", "secret/data/ready", Some(&body)).is_ok_and(|(status, _)| status == 200)
        });
        let value = "v".repeat(100);
        let mut client = self.client();
        for key in 0..KEYS {
            let body = json!({"data": {"user": "app", "password": value}});
            assert_eq!(client.call("POST", &format!("secret/data/k{key}"), Some(&body)).0, 200);
        }
        self.expect(
            "PUT",
            "sys/policies/acl/app",
            json!({"policy": "path \"secret/data/*\" { capabilities = [\"read\"] }"}),
        );
        self.expect("POST", "sys/auth/approle", json!({"type": "approle"}));
        self.expect("POST", "auth/approle/role/app", json!({"token_policies": "app", "token_ttl": "1h"}));
        self.expect("POST", "sys/mounts/pki", json!({"type": "pki", "config": {"max_lease_ttl": "87600h"}}));
        self.expect("POST", "pki/root/generate/internal", json!({"common_name": "root", "ttl": "87600h"}));
        for (role, kind, bits) in [("ec", "ec", 256), ("rsa", "rsa", 2048)] {
            let role_body = json!({
                "allow_any_name": true, "key_type": kind, "key_bits": bits, "ttl": "1h", "no_store": false,
            });
            self.expect("POST", &format!("pki/roles/{role}"), role_body);
        }
    }

    /// From the process's start to an unsealed vault, in milliseconds.
    fn start_to_unsealed(&mut self) -> f64 {
        let once = |server: &mut Self| {
            server.kill();
            let begun = Instant::now();
            server.start();
            server.unseal();
            begun.elapsed().as_secs_f64() * 1e3
        };
        (0..STARTS).map(|_| once(self)).fold(f64::INFINITY, f64::min)
    }

    /// What the kernel says of the process's memory: all that is resident, pages of its program included (`VmRSS`), or
    /// without those (`RssAnon`).
    fn megabytes(&self, what: &str) -> f64 {
        let pid = self.child.as_ref().unwrap().id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
    }

    /// User's and system's seconds of the process so far.
    fn processor_seconds(&self) -> f64 {
        let pid = self.child.as_ref().unwrap().id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        // Behind the name, which may have spaces: the 12th and 13th field there.
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
        let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
        ticks / TICKS_A_SECOND
    }

    /// One turn over so many connections, each with one request under way.
    fn turn(&self, connections: usize, requests: &[Vec<u8>]) -> Turn {
        let mut clients: Vec<Client> = (0..connections).map(|_| self.client()).collect();
        let mut next = 0;
        let mut send = |client: &mut Client| {
            client.send(&requests[next % requests.len()]).unwrap();
            next += 1;
        };
        let receive = |client: &mut Client| {
            let (status, body) = client.receive().unwrap();
            assert!(status < 300, "{}: {status} {}", self.name, String::from_utf8_lossy(&body));
        };
        clients.iter_mut().for_each(&mut send);
        let (begun, processor, mut done) = (Instant::now(), self.processor_seconds(), 0_u64);
        let last = 'turn: loop {
            for (index, client) in clients.iter_mut().enumerate() {
                receive(client);
                done += 1;
                if begun.elapsed() >= TURN {
                    break 'turn index;
                }
                send(client);
            }
        };
        // What is still under way counts too: of slow requests it is most, and the next turn is not to wait for it.
        clients.remove(last);
        done += clients.len() as u64;
        clients.iter_mut().for_each(receive);
        let took = begun.elapsed().as_secs_f64();
        let processor = self.processor_seconds() - processor;
        Turn { rate: done as f64 / took, micros: processor * 1e6 / done as f64 }
    }
}

/// What a turn gave.
#[derive(Clone, Copy)]
struct Turn {
    /// Requests a second.
    rate: f64,
    /// The server's processor time a request.
    micros: f64,
}

/// The best of the turns of each server, taken in turns.
fn row(servers: &[Server], name: &str, connections: usize, make: &dyn Fn(&Server, usize) -> Vec<u8>) {
    let name = format!("{name}, {connections} connections");
    let wanted: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    if !wanted.is_empty() && !wanted.iter().any(|word| name.contains(word.as_str())) {
        return;
    }
    let requests: Vec<Vec<Vec<u8>>> =
        servers.iter().map(|server| (0..KEYS).map(|index| make(server, index)).collect()).collect();
    let mut best = vec![Turn { rate: 0.0, micros: f64::INFINITY }; servers.len()];
    for _ in 0..TURNS {
        for ((server, requests), best) in servers.iter().zip(&requests).zip(&mut best) {
            let turn = server.turn(connections, requests);
            best.rate = best.rate.max(turn.rate);
            best.micros = best.micros.min(turn.micros);
        }
    }
    let shown: Vec<String> =
        best.iter().map(|turn| format!("{:>9.1} /s {:>9.1} us", turn.rate, turn.micros)).collect();
    println!("{name:<44} {}", shown.join("  "));
}

fn print(name: &str, unit: &str, values: &[f64]) {
    let shown: Vec<String> = values.iter().map(|value| format!("{value:>12.1} {unit:<11}")).collect();
    println!("{name:<44} {}", shown.join("  "));
}

fn main() {
    let mut servers = vec![Server::mesh()];
    if let Ok(peer) = std::env::var("MESH_VAULT_PEER") {
        servers.push(Server::peer(&peer));
    }
    let names: Vec<String> =
        servers.iter().map(|server| format!("{:>12}            ", server.name)).collect();
    println!("{:<44} {}", "", names.join("  "));
    let starts: Vec<f64> = servers.iter_mut().map(Server::start_to_unsealed).collect();
    print("start to unsealed", "ms", &starts);
    let resident = |when: &str| {
        for (name, what) in [("resident", "VmRSS"), ("of it not of files", "RssAnon")] {
            let megabytes: Vec<f64> = servers.iter().map(|server| server.megabytes(what)).collect();
            print(&format!("{name} {when}"), "MB", &megabytes);
        }
    };
    resident("after it");
    let read =
        |server: &Server, key: usize| request("GET", &format!("secret/data/k{key}"), &server.root, None);
    let write = |server: &Server, key: usize| {
        let body = json!({"data": {"user": "app", "password": "v".repeat(100)}});
        request("POST", &format!("secret/data/k{key}"), &server.root, Some(&body))
    };
    let login = |server: &Server, _: usize| {
        let mut client = server.client();
        let (_, role) = client.call("GET", "auth/approle/role/app/role-id", None);
        let (_, secret) = client.call("POST", "auth/approle/role/app/secret-id", Some(&json!({})));
        let body = json!({"role_id": role["data"]["role_id"], "secret_id": secret["data"]["secret_id"]});
        request("POST", "auth/approle/login", "", Some(&body))
    };
    let issue = |kind: &'static str| {
        move |server: &Server, index: usize| {
            let body = json!({"common_name": format!("host{index}.example.com")});
            request("POST", &format!("pki/issue/{kind}"), &server.root, Some(&body))
        }
    };
    for connections in [1, 32] {
        row(&servers, "KV v2 reads", connections, &read);
        row(&servers, "KV v2 writes, synced", connections, &write);
        row(&servers, "AppRole logins", connections, &login);
        row(&servers, "certificates, ECDSA P-256", connections, &issue("ec"));
        row(&servers, "certificates, RSA 2048", connections, &issue("rsa"));
    }
    resident("after all of it");
    std::thread::sleep(REST);
    resident(&format!("{} s later", REST.as_secs()));
}
