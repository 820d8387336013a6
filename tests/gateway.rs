//! The embedded gateway in a stack: what containers ask for, which names lead to it, what a restart leaves.

mod harness;

use harness::{Stack, is_root, kill, within};
use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Command,
    time::Duration,
};

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

const CLIENTS: &str = r#"
services:
  gateway:
    image: traefik:v3.6
    command:
      - --providers.docker=true
      - --entrypoints.web.address=:80
      - --entrypoints.websecure.address=:443
      - --entrypoints.first.address=:9000
    ports: ["127.0.0.1::80", "127.0.0.1::443", "127.0.0.1::9000"]
  who:
    image: traefik/whoami
    labels:
      traefik.http.routers.who.rule: Host(`who.test`)
      traefik.http.routers.who.entrypoints: web
      traefik.http.routers.secure.rule: Host(`who.test`)
      traefik.http.routers.secure.entrypoints: websecure
      traefik.http.routers.secure.tls: "true"
      traefik.http.routers.here.rule: Host(`here.test`)
      traefik.http.routers.here.entrypoints: web
      traefik.http.routers.here.middlewares: here
      traefik.http.routers.there.rule: Host(`there.test`)
      traefik.http.routers.there.entrypoints: web
      traefik.http.routers.there.middlewares: there
      traefik.tcp.routers.first.rule: HostSNI(`*`)
      traefik.tcp.routers.first.entrypoints: first
      traefik.tcp.routers.first.middlewares: local
      traefik.tcp.services.first.loadbalancer.server.port: "80"
      traefik.tcp.middlewares.local.ipallowlist.sourcerange: 127.0.0.0/8
      traefik.http.middlewares.here.ipallowlist.sourcerange: 127.0.0.0/8
      traefik.http.middlewares.there.ipallowlist.sourcerange: 192.0.2.0/24
  client:
    image: debian:12
    command: sleep infinity
    init: true
"#;

const THROUGH: &str = r#"
services:
  gateway:
    image: traefik:v3.6
    command:
      - --providers.docker=true
      - --entrypoints.web.address=:80
      - --entrypoints.through.address=:443
    ports: ["[::1]::80", "127.0.0.1::443"]
  inner:
    image: traefik:v3.6
    command:
      - --providers.docker=true
      - --entrypoints.inside.address=:443
      - --entrypoints.inside.proxyProtocol.insecure=true
    labels:
      traefik.tcp.routers.through.rule: HostSNI(`who.test`)
      traefik.tcp.routers.through.entrypoints: through
      traefik.tcp.routers.through.tls.passthrough: "true"
      traefik.tcp.services.through.loadbalancer.server.port: "443"
      traefik.tcp.services.through.loadbalancer.proxyprotocol.version: "2"
  who:
    image: traefik/whoami
    labels:
      traefik.http.routers.who.rule: Host(`who.test`)
      traefik.http.routers.who.entrypoints: web
      traefik.http.routers.secure.rule: Host(`who.test`)
      traefik.http.routers.secure.entrypoints: inside
      traefik.http.routers.secure.tls: "true"
"#;

#[test]
fn clients_are_known_behind_two_gateways_and_by_both_families() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(THROUGH);
    stack.up();
    let through = stack.port("gateway", 443);
    let logs = || stack.mesh(&["logs", "gateway", "inner"]).text();
    // TLS goes through the first to the second, and with it who the client is.
    assert!(within(20, || ask(&through, "https", "who.test", "/").ends_with("200")), "{}", logs());
    let told = ask(&through, "https", "who.test", "/");
    assert!(told.lines().any(|line| line == "X-Forwarded-For: 127.0.0.1"), "{told}");
    assert!(!ask(&through, "https", "other.test", "/").ends_with("200"));
    let listed = stack.mesh(&["ps"]).text();
    let from = listed.find("[::1]:").expect("a port of IPv6");
    let port: String = listed[from + 6..].chars().take_while(char::is_ascii_digit).collect();
    let asks = b"GET / HTTP/1.1\r\nHost: who.test\r\nConnection: close\r\n\r\n";
    let told = say(&format!("[::1]:{port}"), asks);
    assert!(told.contains("X-Forwarded-For: ::1\r\n") || told.contains("X-Forwarded-For: ::1\n"), "{told}");
}

/// What a server answers to bytes, until it closes or is silent.
fn say(address: &str, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(Duration::from_secs(5))).expect("a deadline");
    stream.write_all(bytes).expect("written");
    let mut answer = Vec::new();
    // What came before it was silent, or broke off, is the answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// A client of a published port is known by its own address, by whichever way it comes.
fn clients_are_known(stack: &Stack) {
    let (web, secure, first) =
        (stack.port("gateway", 80), stack.port("gateway", 443), stack.port("gateway", 9000));
    let logs = || stack.mesh(&["logs", "gateway"]).text();
    assert!(within(20, || ask(&web, "http", "who.test", "/").ends_with("200")), "{}", logs());
    let told = ask(&web, "http", "who.test", "/");
    assert!(told.lines().any(|line| line == "X-Forwarded-For: 127.0.0.1"), "{told}");
    assert!(within(20, || ask(&secure, "https", "who.test", "/").ends_with("200")), "{}", logs());
    let told = ask(&secure, "https", "who.test", "/");
    assert!(told.lines().any(|line| line == "X-Forwarded-For: 127.0.0.1"), "{told}");
    assert!(ask(&web, "http", "here.test", "/").ends_with("200"), "{}", logs());
    assert!(ask(&web, "http", "there.test", "/").ends_with("403"), "{}", logs());
    // Routed before the client says anything: the header is neither waited for in vain nor handed on.
    let asks = b"GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n";
    assert!(within(10, || say(&first, asks).starts_with("HTTP/1.1 200")), "{}", logs());
}

#[test]
fn a_gateway_knows_the_clients_of_its_published_ports() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(CLIENTS);
    stack.up();
    clients_are_known(&stack);

    // Behind the relay's own header, what a client says is not believed.
    let forged = |request: &str| {
        let header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x09\xc0\0\x02\x01\0\x09\0\x50";
        [header.as_slice(), request.as_bytes()].concat()
    };
    let asks = "GET / HTTP/1.1\r\nHost: there.test\r\nConnection: close\r\n\r\n";
    let answer = say(&stack.port("gateway", 80), &forged(asks));
    assert!(!answer.contains("Hostname") && !answer.contains(" 200 "), "{answer}");

    // Nor what a neighbour says; without it, it is served as who it is.
    let inside = |begins: &str, host: &str| {
        let line = format!(
            r#"exec 3<>/dev/tcp/gateway/80; printf '{begins}GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n' >&3; timeout 5 cat <&3"#
        );
        stack.mesh(&["exec", "-T", "client", "bash", "-c", &line]).text()
    };
    let (there, here) = (r"\xc0\x00\x02\x09", r"\x7f\x00\x00\x01");
    for (host, claimed) in [("there.test", there), ("here.test", here)] {
        let signature = r"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c";
        let answer = inside(&format!(r"{signature}{claimed}\x7f\x00\x00\x01\x00\x09\x00\x50"), host);
        assert!(!answer.contains("Hostname") && !answer.contains(" 200 "), "{host}: {answer}");
        assert!(inside("", host).contains(" 403 "), "{host}");
    }
    let own = stack.shell("client", "hostname -i").trim().to_owned();
    let answer = inside("", "who.test");
    assert!(answer.contains(&format!("X-Forwarded-For: {own}")), "{own}: {answer}");

    // Another supervisor publishes the ports again, and says it again; so does a start.
    kill(stack.supervisor().expect("a supervisor"));
    stack.mesh(&["up", "-d"]).succeeded();
    clients_are_known(&stack);
    stack.mesh(&["restart", "gateway"]).succeeded();
    clients_are_known(&stack);
}
