//! A gateway whose certificates the stack's vault vouches for: who believes them, how they are renewed, and what becomes
//! of all that while the vault is sealed or gone.

mod harness;

use harness::{Stack, is_root, within};
use std::{path::PathBuf, process::Command};

const COMPOSE: &str = r#"
x-mesh: {substitute: always}
services:
  vault:
    image: hashicorp/vault:1.18
    command: [server]
    environment:
      SKIP_SETCAP: "1"
      VAULT_ADDR: http://127.0.0.1:8200
    configs: [{source: server, target: /vault/config/vault.hcl}]
    volumes: ["vault:/vault/file", "keys:/vault/keys:ro", "approles:/vault/approles:ro"]
    ports: ["127.0.0.1::8200"]
    x-mesh: {probe: {http: {port: 8200, path: "/v1/sys/health?standbyok=true&sealedcode=200&uninitcode=200"}}}
  vault-bootstrap:
    image: hashicorp/vault:1.18
    entrypoint: [/usr/local/libexec/mesh, vault, bootstrap]
    command: [--address, "http://vault:8200", --wait, "60", --plan, /vault.toml, --keys, /vault/keys,
              --logins, /vault/approles, --authorities, /vault/ca, --readable]
    configs: [{source: plan, target: /vault.toml}]
    volumes: ["keys:/vault/keys", "approles:/vault/approles", "ca:/vault/ca"]
    depends_on: {vault: {condition: service_healthy}}
  gateway:
    image: traefik:v3.6
    command:
      - --ping=true
      - --providers.docker=true
      - --entrypoints.websecure.address=:443
    ports: ["127.0.0.1::443"]
    healthcheck: {test: [CMD, traefik, healthcheck, --ping], interval: 1s, retries: 30}
    depends_on: {vault-bootstrap: {condition: service_completed_successfully}}
  shop:
    image: traefik/whoami:v1.10
    labels:
      traefik.http.routers.shop.rule: Host(`shop.example`)
      traefik.http.routers.shop.entrypoints: websecure
      traefik.http.routers.shop.tls: "true"
      traefik.http.services.shop.loadbalancer.server.port: "80"
  client:
    image: debian:12
    command: sleep infinity
    init: true
configs:
  server:
    content: |
      disable_mlock = true
      storage "file" { path = "/vault/file" }
      listener "tcp" {
        address     = "0.0.0.0:8200"
        tls_disable = true
      }
  plan:
    content: |
      [authority]
      name = "Example"
      [services.gateway]
      signs = true
      certificate = false
volumes: {vault: {}, keys: {}, approles: {}, ca: {}}
"#;

/// What a program of the machine says, with its errors.
fn said(program: &str, words: &[&str]) -> String {
    let output =
        Command::new(program).args(words).stdin(std::process::Stdio::null()).output().expect(program);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// What the gateway shows for its host, judged by whoever believes a file.
fn shown(address: &str, root: &str) -> String {
    let words =
        ["s_client", "-connect", address, "-servername", "shop.example", "-verify_hostname", "shop.example"];
    said("openssl", &[&words[..], &["-showcerts", "-no-CAfile", "-no-CApath", "-CAfile", root]].concat())
}

struct Bed {
    stack: Stack,
    address: String,
    root: PathBuf,
}

impl Bed {
    fn new() -> Self {
        let stack = Stack::new(COMPOSE);
        stack.up();
        let address = stack.port("gateway", 443);
        // The vault's own word for who its root is.
        let chain = stack.mesh(&["vault", "ca-cert"]).succeeded().stdout;
        let at = chain.rfind("-----BEGIN").expect("a root");
        stack.write("root.pem", &chain[at..]);
        let root = stack.directory().join("root.pem");
        Self { stack, address, root }
    }

    fn shown(&self) -> String {
        shown(&self.address, &self.root.display().to_string())
    }

    fn is_believed(&self) -> bool {
        let shown = self.shown();
        shown.contains("Verify return code: 0 (ok)") && shown.contains("Example Intermediate CA")
    }

    fn inside(&self) -> String {
        self.stack.shell("client", "curl -sS -m 10 https://shop.example/ 2>&1 || true")
    }

    /// Which authority of the gateway the vault signed last.
    fn authority(&self) -> String {
        self.stack.shell("gateway", "cat /run/mesh/told/authority.pem")
    }

    fn vault(&self, words: &str) -> String {
        let token = self.stack.mesh(&["vault", "token"]).succeeded().stdout;
        self.stack.shell("vault", &format!("VAULT_TOKEN={} vault {words}", token.trim()))
    }
}

#[test]
fn a_vault_vouches_for_the_gateway_and_renews_without_a_restart() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    let log = || bed.stack.mesh(&["logs", "gateway"]).text();
    assert!(within(30, || bed.is_believed()), "{}\n{}", bed.shown(), log());
    // Leaf, the gateway's authority, the vault's intermediate; the root is the client's own.
    let shown = bed.shown();
    assert_eq!(shown.matches("BEGIN CERTIFICATE-----").count(), 3, "{shown}");
    assert!(within(15, || bed.inside().contains("X-Forwarded-Proto: https")), "{}", bed.inside());
    let printed = bed.stack.mesh(&["trust", "--print"]).succeeded().stdout;
    let root = std::fs::read_to_string(&bed.root).expect("there");
    assert!(printed.contains(root.trim()), "{printed}\n{root}");
    let asked = bed.stack.mesh(&["--dry-run", "trust"]).text();
    assert!(asked.contains("ALL NAMES THERE ARE"), "{asked}");

    // Its keys are in the gateway alone, and no login is.
    let found =
        |service: &str| bed.stack.shell(service, "cat /run/mesh/*/*.pem /run/mesh/*.pem; ls /vault || true");
    assert!(!found("client").contains("PRIVATE") && !found("gateway").contains("approles"));

    // The vault signs for seconds from now on: the next one comes by itself, while clients are served.
    bed.vault("secrets tune -max-lease-ttl=40s pki_int");
    bed.stack.mesh(&["restart", "gateway"]).succeeded();
    let bed = Bed { address: bed.stack.port("gateway", 443), ..bed };
    assert!(within(15, || bed.is_believed()), "{}", bed.shown());
    let (id, first) = (bed.stack.container("gateway")["ID"].clone(), bed.authority());
    let renewed = || bed.is_believed() && bed.authority() != first;
    assert!(within(60, renewed), "{}", bed.shown());
    assert!(bed.inside().contains("X-Forwarded-Proto: https"), "{}", bed.inside());
    assert_eq!(bed.stack.container("gateway")["ID"], id);
    let since = bed.stack.mesh(&["ps", "gateway"]).succeeded().stdout;
    assert!(!since.contains("vault"), "nothing is wrong: {since}");
}

#[test]
fn with_its_vault_sealed_or_gone_a_gateway_goes_on() {
    if !is_root() {
        return;
    }
    let bed = Bed::new();
    assert!(within(30, || bed.is_believed()), "{}", bed.shown());
    bed.vault("operator seal");
    // It starts anew with what it had, and that is told.
    bed.stack.mesh(&["restart", "gateway"]).succeeded();
    let bed = Bed { address: bed.stack.port("gateway", 443), ..bed };
    assert!(within(15, || bed.is_believed()), "{}", bed.shown());
    let told = || bed.stack.mesh(&["ps", "gateway"]).succeeded().text();
    assert!(within(15, || told().contains("the stack's vault is sealed")), "{}", told());
    bed.stack.mesh(&["vault", "unseal"]).succeeded();
    assert!(within(30, || !told().contains("vault")), "{}", told());
    bed.stack.mesh(&["stop", "vault"]).succeeded();
    bed.stack.mesh(&["restart", "gateway"]).succeeded();
    let bed = Bed { address: bed.stack.port("gateway", 443), ..bed };
    assert!(within(15, || bed.is_believed()), "{}", bed.shown());
    assert!(within(15, || bed.inside().contains("X-Forwarded-Proto: https")), "{}", bed.inside());
    let told = || bed.stack.mesh(&["ps", "gateway"]).succeeded().text();
    assert!(within(15, || told().contains("vault does not run")), "{}", told());
    // A gateway that is new while the vault is gone has an authority of this user's.
    bed.stack.mesh(&["up", "-d", "--force-recreate", "--no-deps", "gateway"]).succeeded();
    assert!(within(30, || bed.inside().contains("X-Forwarded-Proto: https")), "{}", bed.inside());
}
