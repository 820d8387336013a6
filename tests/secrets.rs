//! Secrets that nobody wrote down, from a file of nothing but wishes to the containers that have them.

mod harness;

use harness::{Stack, is_root};
use std::{io::Write as _, os::unix::fs::PermissionsExt as _, process::Stdio};

const STACK: &str = r#"
x-mesh:
  substitute: always
  generate:
    CACHE_PASSWORD: {length: 32, charset: url}
services:
  cache:
    image: redis:7
    command: [redis-server, --requirepass, "${CACHE_PASSWORD}"]
    secrets: [token]
    healthcheck: {test: ["CMD-SHELL", "redis-cli -a \"$$PASSWORD\" --no-auth-warning ping | grep -q PONG"]}
    environment: {PASSWORD: "${CACHE_PASSWORD}"}
  other:
    image: busybox
    init: true
    command: [sleep, "1000"]
secrets:
  token:
    x-mesh: {generate: {}}
"#;

#[test]
fn generated_secrets_are_made_once_and_shown_only_when_asked_for() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(STACK);
    let listed = stack.mesh(&["secrets", "ls"]).succeeded();
    assert_eq!(listed.stdout.matches("not made yet").count(), 2, "{}", listed.text());
    let unmade = stack.mesh(&["secrets", "get", "token"]).failed_saying(&["there is no secret token"]);
    assert!(unmade.stdout.is_empty());

    let first = stack.mesh(&["up", "-d", "--wait"]).succeeded();
    let get = |name: &str| stack.mesh(&["secrets", "get", name]).succeeded().stdout.trim_end().to_owned();
    let (password, token) = (get("CACHE_PASSWORD"), get("token"));
    assert_eq!((password.len(), token.len()), (32, 25));
    assert_eq!(
        stack.shell("cache", "echo $PASSWORD; cat /run/secrets/token"),
        format!("{password}\n{token}")
    );

    // Nowhere that anybody looks by the way.
    for said in [
        first.text(),
        stack.mesh(&["config"]).succeeded().text(),
        stack.mesh(&["config", "--format", "json"]).succeeded().text(),
        stack.mesh(&["config", "--explain", "CACHE_PASSWORD"]).succeeded().text(),
        stack.mesh(&["secrets", "ls", "--format", "json"]).succeeded().text(),
        stack.mesh(&["logs"]).succeeded().text(),
        stack.mesh(&["events", "--until", "0s", "--since", "1h"]).text(),
    ] {
        assert!(!said.contains(&password) && !said.contains(&token), "{said}");
    }
    let log = std::fs::read_to_string(stack.state().join("supervisor.log")).unwrap_or_default();
    assert!(!log.contains(&password) && !log.contains(&token), "{log}");
    let kept = stack.home().join("data/secrets").join(format!("{}.json", stack.name()));
    assert_eq!(kept.metadata().expect("the file of secrets").permissions().mode() & 0o777, 0o600);

    // The same after the volumes are gone, and a change of one recreates who uses it alone.
    stack.mesh(&["down", "-v"]).succeeded();
    stack.mesh(&["up", "-d", "--wait"]).succeeded();
    assert_eq!(get("CACHE_PASSWORD"), password);
    let id = |service: &str| stack.container(service)["ID"].clone();
    let (cache, other) = (id("cache"), id("other"));
    stack.mesh(&["secrets", "rotate", "CACHE_PASSWORD"]).succeeded();
    stack.mesh(&["up", "-d", "--wait"]).succeeded();
    assert_ne!(get("CACHE_PASSWORD"), password);
    assert_eq!(get("token"), token);
    assert_ne!(id("cache"), cache);
    assert_eq!(id("other"), other);
}

#[test]
fn a_value_can_be_set_and_is_then_left_alone() {
    let stack = Stack::new(STACK);
    let set = |name: &str, value: &str| {
        let mut command = stack.command(&["secrets", "set", name]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mesh secrets set");
        child.stdin.take().expect("piped").write_all(value.as_bytes()).expect("written");
        harness::finish(child)
    };
    set("token", "from elsewhere\n").succeeded();
    assert_eq!(stack.mesh(&["secrets", "get", "token"]).succeeded().stdout, "from elsewhere\n");
    let listed = stack.mesh(&["secrets", "ls"]).succeeded();
    assert!(listed.stdout.contains("set") && !listed.stdout.contains("elsewhere"), "{}", listed.text());
    set("token", "").failed_saying(&["the value is empty"]);
    set("a/b", "x").failed_saying(&["letters, digits"]);
    stack.mesh(&["secrets", "rotate", "nobody"]).failed_saying(&["there is no secret nobody"]);
    stack.mesh(&["secrets", "rotate", "token"]).succeeded();
    assert_eq!(stack.mesh(&["secrets", "get", "token"]).succeeded().stdout.trim_end().len(), 25);
    stack.mesh(&["secrets", "rm", "token"]).succeeded();
    stack.mesh(&["secrets", "get", "token"]).failed_saying(&["there is no secret"]);

    // What is broken is told and stays as it is.
    let kept = stack.home().join("data/secrets").join(format!("{}.json", stack.name()));
    std::fs::write(&kept, "{").expect("written");
    stack.mesh(&["up", "-d"]).failed_saying(&["is not a file of secrets"]);
    assert_eq!(std::fs::read_to_string(&kept).expect("there"), "{");
}
