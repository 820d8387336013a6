//! The embedded gateway in a stack: what containers ask for, which names lead to it, what a restart leaves.

mod harness;

use harness::{Stack, is_root, kill, within};
use std::process::Command;

const COMPOSE: &str = r#"
services:
  gateway:
    image: traefik:v3.6
    command:
      - --ping=true
      - --providers.docker=true
      - --providers.docker.exposedbydefault=false
      - --providers.file.directory=/etc/traefik/dynamic
      - --entrypoints.web.address=:80
      - --entrypoints.websecure.address=:443
    ports: ["127.0.0.1::80", "127.0.0.1::443"]
    networks: [edge, inside]
    volumes: ["./dynamic:/etc/traefik/dynamic:ro"]
    healthcheck: {test: [CMD, traefik, healthcheck, --ping], interval: 1s, retries: 30}
  who:
    image: traefik/whoami:v1.10
    command: --name first
    networks: [edge]
    labels:
      traefik.enable: "true"
      traefik.http.routers.who.rule: Host(`who.example.test`)
      traefik.http.routers.who.entrypoints: web,websecure
      traefik.http.services.who.loadbalancer.server.port: "80"
  secure:
    image: traefik/whoami:v1.10
    networks: [edge]
    labels:
      - traefik.enable=true
      - traefik.http.routers.secure.rule=Host(`secure.example.test`)
      - traefik.http.routers.secure.entrypoints=websecure
      - traefik.http.routers.secure.tls=true
  hidden:
    image: traefik/whoami:v1.10
    networks: [edge]
  client:
    image: debian:12
    command: sleep infinity
    init: true
    networks: [inside]
networks: {edge: {}, inside: {internal: true}}
"#;

/// What a request to the gateway on this machine gives: its status and its body.
fn ask(address: &str, scheme: &str, host: &str, target: &str) -> String {
    let (ip, port) = address.rsplit_once(':').expect("an address");
    let resolve = format!("{host}:{port}:{ip}");
    let url = format!("{scheme}://{host}:{port}{target}");
    let asked = Command::new("curl")
        .args(["-sk", "-m", "10", "-w", "%{http_code}", "--resolve", &resolve, &url])
        .output()
        .expect("curl runs");
    String::from_utf8_lossy(&asked.stdout).into_owned()
}

#[test]
fn services_are_reached_by_their_names_from_outside_and_inside() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(COMPOSE);
    stack.write(
        "dynamic/files.yml",
        "http: {routers: {f: {rule: Host(`file.example.test`), service: who@docker}}}\n",
    );
    stack.up();
    let (web, secure) = (stack.port("gateway", 80), stack.port("gateway", 443));
    let routed = || ask(&web, "http", "who.example.test", "/api").ends_with("200");
    assert!(within(10, routed), "{}", stack.mesh(&["logs", "gateway"]).text());
    let told = ask(&web, "http", "who.example.test", "/api");
    assert!(told.contains("\"name\":\"first\"") && told.contains("X-Forwarded-Host"), "{told}");
    assert!(ask(&secure, "https", "secure.example.test", "/").contains("X-Forwarded-Proto: https"));
    assert!(ask(&web, "http", "file.example.test", "/").ends_with("200"));
    assert!(ask(&web, "http", "hidden.example.test", "/").ends_with("404"), "it did not ask to be exposed");

    // Another network, which has no way out: every name leads to the gateway, and through it.
    let inside = |name: &str| stack.shell("client", &format!("curl -sk -m 10 {name}; getent hosts {name}"));
    for name in ["who.example.test", "secure.example.test", "file.example.test"] {
        assert!(within(10, || inside(name).contains(name)), "{name}");
    }
    assert!(inside("who.example.test").contains("X-Forwarded-Host: who.example.test"));
    assert!(
        stack.shell("client", "curl -sk https://secure.example.test/").contains("X-Forwarded-Proto: https")
    );
    assert!(stack.shell("client", "getent hosts hidden.example.test || echo none").contains("none"));

    // A new supervisor knows the names again; a service that is down keeps its name and loses its route.
    kill(stack.supervisor().expect("a supervisor"));
    stack.mesh(&["stop", "secure"]).succeeded();
    let asked = || ask(&secure, "https", "secure.example.test", "/");
    let state = || format!("{}\n{}", asked(), stack.mesh(&["logs", "gateway"]).text());
    assert!(within(10, || asked().ends_with("404")), "{}", state());
    assert!(within(10, || inside("secure.example.test").contains("secure.example.test")));
    stack.mesh(&["start", "secure"]).succeeded();
    assert!(within(10, || ask(&secure, "https", "secure.example.test", "/").ends_with("200")));

    // Scaled, requests go to all of them.
    stack.mesh(&["up", "-d", "--scale", "who=3"]).succeeded();
    let mut seen = std::collections::BTreeSet::new();
    let all = || {
        let told = ask(&web, "http", "who.example.test", "/");
        seen.extend(told.lines().find(|line| line.starts_with("Hostname")).map(str::to_owned));
        seen.len() == 3
    };
    assert!(within(20, all), "requests do not reach all three");
}

#[test]
fn an_image_of_the_second_version_reads_rules_as_that_version_does() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  gateway:
    image: traefik:v2.11
    command: --providers.docker
    ports: ["127.0.0.1::80"]
  who:
    image: traefik/whoami
    labels: ["traefik.http.routers.who.rule=Host(`a.test`, `b.test`)"]
"#,
    );
    stack.up();
    let web = stack.port("gateway", 80);
    for host in ["a.test", "b.test"] {
        assert!(within(10, || ask(&web, "http", host, "/").ends_with("200")), "{host}");
    }
    let said = stack.mesh(&["exec", "-T", "gateway", "traefik", "version"]).succeeded().stdout;
    assert!(said.contains("Mesh"), "{said}");
}
