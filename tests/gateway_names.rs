//! Names that only an expression has, and ports that clients reach: certificates, name service and redirections.

mod harness;

use harness::{Stack, is_root, within};
use std::process::{Command, Stdio};

const COMPOSE: &str = r#"
services:
  gateway:
    image: traefik:v3.6
    command:
      - --ping=true
      - --providers.docker=true
      - --entrypoints.web.address=:80
      - --entrypoints.web.http.redirections.entrypoint.to=websecure
      - --entrypoints.web.http.redirections.entrypoint.scheme=https
      - --entrypoints.websecure.address=:8443
    ports: ["127.0.0.1::80", "127.0.0.1::8443"]
    healthcheck: {test: [CMD, traefik, healthcheck, --ping], interval: 1s, retries: 30}
  shop:
    image: traefik/whoami:v1.10
    labels:
      traefik.http.routers.shop.rule: HostRegexp(`^[a-z]+\.shop\.test$$`)
      traefik.http.routers.shop.entrypoints: websecure
      traefik.http.routers.shop.tls: "true"
      traefik.http.routers.old.rule: "HostRegexp(`{name:[a-z]+}.old.test`)"
      traefik.http.routers.old.ruleSyntax: v2
      traefik.http.routers.old.entrypoints: websecure
      traefik.http.routers.old.tls: "true"
      traefik.http.services.shop.loadbalancer.server.port: "80"
  client:
    image: debian:12
    command: sleep infinity
    init: true
"#;

/// What curl of the machine says of a name at an address.
fn curl(stack: &Stack, name: &str, address: &str, scheme: &str, more: &[&str]) -> String {
    let (ip, port) = address.rsplit_once(':').expect("an address");
    let (resolve, url) = (format!("{name}:{port}:{ip}"), format!("{scheme}://{name}:{port}/a?b"));
    let authority = stack.directory().join("authority.crt");
    let mut command = Command::new("curl");
    command.args(["-sS", "-m", "10", "--resolve", &resolve, "--cacert"]).arg(authority).args(more).arg(&url);
    let output = command.stdin(Stdio::null()).output().expect("curl runs");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn names_of_expressions_are_certified_and_redirections_lead_to_what_clients_reach() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(COMPOSE);
    stack.up();
    stack.write("authority.crt", &stack.mesh(&["trust", "--print"]).succeeded().stdout);
    let (plain, secure) = (stack.port("gateway", 80), stack.port("gateway", 8443));
    let ask = |name: &str| curl(&stack, name, &secure, "https", &[]);
    for name in ["api.shop.test", "docs.shop.test", "web.old.test"] {
        assert!(within(15, || ask(name).contains("X-Forwarded-Proto: https")), "{name}: {}", ask(name));
    }
    // Beneath the domain there is a certificate, though no route; elsewhere there is neither.
    assert!(ask("a1.shop.test").contains("404"), "{}", ask("a1.shop.test"));
    assert!(ask("api.other.test").contains("SSL certificate problem"), "{}", ask("api.other.test"));
    // Containers find them by the same names.
    let inside = |url: &str| stack.shell("client", &format!("curl -sS -m 10 {url} 2>&1 || true"));
    let found = || inside("https://api.shop.test:8443/").contains("X-Forwarded-Proto: https");
    assert!(within(15, found), "{}", inside("https://api.shop.test:8443/"));
    let told = stack.mesh(&["hosts"]).text();
    assert!(told.contains("beneath shop.test") && told.contains("beneath old.test"), "{told}");

    // From the machine the port is the machine's, inside it is the gateway's own.
    let location = |text: &str| {
        let line = text.lines().find(|line| line.to_ascii_lowercase().starts_with("location:"));
        line.map(|line| line["location:".len()..].trim().to_owned())
    };
    let port = secure.rsplit_once(':').expect("an address").1;
    let moved = curl(&stack, "api.shop.test", &plain, "http", &["-i"]);
    assert_eq!(location(&moved), Some(format!("https://api.shop.test:{port}/a?b")), "{moved}");
    let moved = inside("-i http://api.shop.test/a");
    assert_eq!(location(&moved), Some("https://api.shop.test:8443/a".to_owned()), "{moved}");
    let followed = inside("-L http://api.shop.test/a");
    assert!(followed.contains("X-Forwarded-Proto: https"), "{followed}");
}
