//! Probes from outside of a container, and any number of checkouts on one machine.

mod harness;

use harness::{Stack, is_root, kill, within};
use std::{
    net::{TcpListener, TcpStream},
    process::id,
};

/// A port of the loopback interface that nobody had a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port()
}

fn web(port: &str) -> String {
    format!(
        "x-mesh: {{substitute: always}}\nservices:\n  web:\n    image: nginx\n    ports: ['{port}:80']\n    \
         stop_grace_period: 1s\n    x-mesh: {{probe: {{http: }}}}\n"
    )
}

#[test]
fn servers_are_probed_without_a_program_in_their_images() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new(
        r#"
x-mesh: {substitute: always}
services:
  web:
    image: nginx
    x-mesh: {probe: {http: {path: /, status: 200, contains: nginx, headers: {X-Probe: mesh}}}}
  cache:
    image: redis:7
    command: [redis-server, --requirepass, hunter2]
    x-mesh: {probe: {redis: {password: {environment: PASSWORD_OF_CACHE}}}}
  beside:
    image: busybox
    command: [sleep, "1000"]
    init: true
    network_mode: service:web
    depends_on: [web]
    x-mesh: {probe: {tcp: 80}}
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: not-a-real-one}
    networks: [inner]
    x-mesh: {probe: {postgres: {database: postgres}}}
  after:
    image: busybox
    command: ["true"]
    depends_on:
      web: {condition: service_healthy}
      cache: {condition: service_healthy}
      beside: {condition: service_healthy}
      db: {condition: service_healthy}
networks: {inner: {internal: true}}
"#,
    );
    stack.set("PASSWORD_OF_CACHE", "hunter2");
    stack.up();
    for service in ["web", "cache", "beside", "db"] {
        assert_eq!(stack.container(service)["Health"], "healthy", "{service}");
    }
    assert_eq!(stack.container("after")["ExitCode"], 0);
    // A new supervisor goes on with it.
    kill(stack.supervisor().expect("a supervisor"));
    assert!(within(30, || stack.container("cache")["Health"] == "healthy"));
    let config = stack.mesh(&["config"]).succeeded().stdout;
    assert!(config.contains("PASSWORD_OF_CACHE") && config.contains("contains: nginx"), "{config}");
}

#[test]
fn a_probe_that_fails_says_what_it_saw() {
    if !is_root() {
        return;
    }
    let service = |image: &str, probe: &str| {
        format!(
            "x-mesh: {{substitute: always}}\nservices:\n  it:\n    image: {image}\n    init: true\n    \
             x-mesh: {{probe: {{{probe}, interval: 100ms, retries: 2, timeout: 300ms}}}}\n  next:\n    image: \
             busybox\n    command: ['true']\n    depends_on: {{it: {{condition: service_healthy}}}}\n"
        )
    };
    let sleeper = "busybox\n    command: [sleep, '1000']";
    let stack = Stack::new("");
    for (image, probe, words) in [
        (sleeper, "tcp: 9", &["unhealthy after 2", "connection refused at ", ":9", "holds up: next"][..]),
        ("nginx", "http: {path: /no}", &["status 404, wanted 200-399", "GET http://", "/no"]),
        ("nginx", "http: {contains: nowhere}", &["does not contain \"nowhere\""]),
        ("nginx", "redis: 80", &["is not Redis"]),
        ("nginx", "grpc: 80", &["is not HTTP/2"]),
        ("nginx", "http: {scheme: https, port: 80}", &["no TLS with "]),
        ("redis:7", "postgres: 6379", &["no answer from ", "within 300ms"]),
    ] {
        stack.write("compose.yaml", &service(image, probe));
        stack.mesh(&["up", "--wait"]).failed_saying(words);
    }
    stack
        .write("compose.yaml", &service("redis:7\n    command: [redis-server, --requirepass, a]", "redis: "));
    stack.mesh(&["up", "--wait"]).failed_saying(&["NOAUTH"]);
    stack.mesh(&["ps", "-a"]).succeeded();
    stack.write("compose.yaml", &service("busybox", "tcp: 9, http: 80"));
    stack.mesh(&["up"]).failed_saying(&["compose.yaml:6:", "has http and tcp of its kinds"]);
    stack.write("compose.yaml", &service(sleeper, "tcp: 9"));
}

#[test]
fn a_port_that_is_taken_is_told_with_its_holder() {
    if !is_root() {
        return;
    }
    let port = free_port().to_string();
    let first = Stack::new(&web(&format!("127.0.0.1:{port}")));
    first.up();
    let second = first.beside("second", &web(&port));
    let directory = first.directory().display().to_string();
    let told =
        second.mesh(&["up", "-d"]).failed_saying(&["is taken by service web of project", "--ports auto"]);
    assert!(told.text().contains(&format!("project {} in {directory}", first.name())), "{}", told.text());

    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let taken = listener.local_addr().expect("bound").port();
    second.write("compose.yaml", &web(&format!("127.0.0.1:{taken}")));
    second.mesh(&["up", "-d"]).failed_saying(&["is taken by", &format!("(process {})", id())]);
}

#[test]
fn each_checkout_has_an_address_of_its_own() {
    if !is_root() {
        return;
    }
    let port = free_port();
    let first = Stack::new(&web(&format!("127.0.0.1:{port}")));
    first.up();
    let mut second = first.beside("second", &web(&port.to_string()));
    let told = second.mesh(&["up", "--wait", "--ports", "auto"]).succeeded();
    let address = second.port("web", 80);
    let (ip, got) = address.split_once(':').expect("address and port");
    assert!(ip.starts_with("127.") && !ip.starts_with("127.0.") && got == port.to_string(), "{address}");
    // The table is for people: a script that reads standard output gets none of it.
    assert!(
        told.stderr.contains(&address) && told.stderr.contains(&format!("{ip}, its own address")),
        "{}",
        told.text()
    );
    assert!(told.stdout.is_empty(), "{}", told.text());
    assert!(second.mesh(&["ps"]).succeeded().stdout.contains(&address));
    for reached in [address.clone(), first.port("web", 80)] {
        TcpStream::connect(&reached).unwrap_or_else(|error| panic!("{reached}: {error}"));
    }

    // It stays: for later commands that do not ask for it, for another supervisor, for another start.
    let before = second.container("web")["ID"].clone();
    second.mesh(&["up", "-d"]).succeeded();
    assert_eq!(second.container("web")["ID"], before, "nothing changed");
    kill(second.supervisor().expect("a supervisor"));
    assert_eq!(second.port("web", 80), address);
    second.mesh(&["restart", "-t", "1"]).succeeded();
    assert_eq!(second.port("web", 80), address);
    second.mesh(&["up", "-d", "--dry-run"]).succeeded();

    // Where something listens on all addresses, and where the file names one that is not the loopback's, a
    // free port stands in; that one stays, too.
    let wide = TcpListener::bind("0.0.0.0:0").expect("a port");
    let taken = wide.local_addr().expect("bound").port();
    second.write("compose.yaml", &web(&format!("0.0.0.0:{taken}")));
    second.set("MESH_PORTS", "auto");
    second.mesh(&["up", "--wait"]).succeeded();
    let elsewhere = second.port("web", 80);
    assert!(!elsewhere.ends_with(&format!(":{taken}")), "{elsewhere}");
    second.mesh(&["up", "--wait", "--force-recreate", "-t", "1"]).succeeded();
    assert_eq!(second.port("web", 80), elsewhere);
    second.write("compose.yaml", &web(&taken.to_string()));
    second.mesh(&["up", "--wait"]).succeeded();
    assert!(second.port("web", 80).starts_with(ip), "{}", second.port("web", 80));

    // Two containers cannot share a port: the first keeps its own, and the second has another one.
    let (before, at) = (second.container("web")["ID"].clone(), second.port("web", 80));
    second.mesh(&["up", "-d", "--scale", "web=2"]).succeeded();
    let of = |index: &str| {
        second.mesh(&["port", "--index", index, "web", "80"]).succeeded().stdout.trim().to_owned()
    };
    assert_eq!(of("1"), at);
    assert!(of("2").starts_with(ip) && of("2") != at, "{}", of("2"));
    assert!(second.containers().iter().any(|it| it["ID"] == before), "the first was made anew");
    second.mesh(&["scale", "web=3"]).succeeded();
    assert_eq!(of("1"), at);
    second.mesh(&["up", "-d", "--scale", "web=1"]).succeeded();
    // As the file says, once that is asked for.
    second.write("compose.yaml", &web(&format!("127.0.0.1:{}", free_port())));
    second.mesh(&["up", "--wait", "--ports", "file"]).succeeded();
    assert!(second.port("web", 80).starts_with("127.0.0.1:"));
    second.mesh(&["up", "--ports", "all"]).failed_saying(&["invalid value 'all'"]);
}

#[test]
fn another_checkout_of_the_same_name_is_left_alone() {
    if !is_root() {
        return;
    }
    let file = "x-mesh: {substitute: always}\nservices:\n  it: {image: busybox, init: true, command: [sleep, '1000'], \
                develop: {watch: [{path: ., action: restart}]}}\n";
    let first = Stack::new(file);
    first.up();
    let before = first.container("it")["ID"].clone();
    let mut second = first.beside("second", file);
    second.set("COMPOSE_PROJECT_NAME", first.name());
    let there = first.directory().display().to_string();
    for arguments in [
        &["up", "-d"][..],
        &["up", "-d", "--dry-run"],
        &["create"],
        &["run", "--rm", "it", "true"],
        &["down"],
        &["stop"],
        &["kill"],
        &["rm", "-fs"],
        &["restart"],
        &["scale", "it=2"],
        &["exec", "-T", "it", "true"],
        &["cp", "it:/etc/hosts", "-"],
        &["attach", "it"],
        &["watch", "--no-up"],
    ] {
        second.mesh(arguments).failed_saying(&[&format!("is that of {there}"), "-p NAME", "mesh down"]);
    }
    // What only shows something says whose it is.
    for arguments in [
        &["ps"][..],
        &["logs"],
        &["top"],
        &["stats", "--no-stream"],
        &["images"],
        &["volumes"],
        &["events", "--since", "1m", "--until", "0s"],
    ] {
        let shown = second.mesh(arguments).succeeded();
        let file = first.directory().join("compose.yaml").display().to_string();
        assert!(shown.stderr.contains(&there) && shown.stderr.contains(&file), "{}", shown.text());
        assert!(first.mesh(arguments).succeeded().stderr.is_empty());
    }
    second.mesh(&["port", "it", "80"]).failed_saying(&["what is shown is project", &there]);
    assert!(second.mesh(&["--take-over", "exec", "-T", "it", "true"]).succeeded().stderr.is_empty());
    assert_eq!(first.container("it")["ID"], before);
    assert_eq!(first.container("it")["State"], "running");
    // The same files from elsewhere are the same checkout.
    let same = first.directory().join("compose.yaml").display().to_string();
    second.mesh(&["-f", &same, "up", "-d"]).succeeded();
    assert_eq!(first.container("it")["ID"], before);
    // A release in a new directory may go on, where that is said; then the project is its own.
    second.mesh(&["up", "-d", "--take-over"]).succeeded();
    first.mesh(&["stop", "-t", "1"]).failed_saying(&["is that of "]);
    first.mesh(&["--take-over", "up", "-d"]).succeeded();
    // Once nothing is there any more, the name is free.
    first.mesh(&["down", "-t", "1"]).succeeded();
    second.mesh(&["up", "-d"]).succeeded();
    second.mesh(&["down", "-t", "1"]).succeeded();
}
