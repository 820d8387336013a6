//! The same without root: an ordinary user brings up PostgreSQL and Redis.

mod harness;

use harness::{Stack, finish, is_root};
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Stdio,
};

/// A user id that no account of the machine has.
const USER: u32 = 54_321;

fn run(stack: &Stack, arguments: &[&str]) -> harness::Outcome {
    let mut command = stack.command(arguments);
    command.uid(USER).gid(USER).stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(command.spawn().expect("mesh runs"))
}

#[test]
fn postgres_and_redis_come_up_as_an_ordinary_user() {
    // Root is needed only to become somebody else.
    if !is_root() {
        return;
    }
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images-ordinary");
    let stack = Stack::new(
        r#"
x-mesh: {substitute: always}
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: not-a-real-one}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1], interval: 1s, retries: 60}
  cache:
    image: redis:7
    volumes: ["cache:/data"]
    ports: ["127.0.0.1:0:6379"]
    depends_on: {db: {condition: service_healthy}}
    healthcheck: {test: [CMD, redis-cli, -h, cache, ping], interval: 1s, retries: 60}
volumes: {data: , cache: }
"#,
    );
    let link = stack.home().join("data/images");
    fs::remove_file(&link).expect("the link is there");
    fs::create_dir_all(&store).expect("a store");
    std::os::unix::fs::symlink(&store, &link).expect("a link");
    for path in [
        stack.home(),
        &stack.home().join("data"),
        stack.directory(),
        &store,
        stack.home().parent().expect("a parent"),
    ] {
        chown(path, Some(USER), Some(USER)).expect("given away");
    }

    let doctor = run(&stack, &["doctor"]);
    assert!(!doctor.text().contains("panicked"), "{}", doctor.text());
    run(&stack, &["up", "--wait"]).succeeded();
    let rows = run(&stack, &["exec", "-T", "db", "psql", "-U", "postgres", "-qtAX", "-c", "select 40 + 2"])
        .succeeded();
    assert_eq!(rows.stdout.trim(), "42");
    let who = run(&stack, &["exec", "-T", "db", "id", "-un"]).succeeded();
    assert_eq!(who.stdout.trim(), "postgres");
    let pong = run(&stack, &["exec", "-T", "cache", "redis-cli", "ping"]).succeeded();
    assert_eq!(pong.stdout.trim(), "PONG");
    let address = run(&stack, &["port", "cache", "6379"]).succeeded().stdout;
    std::net::TcpStream::connect(address.trim()).expect("the published port answers");
    // Files of a container that does not run.
    run(&stack, &["stop", "--timeout", "5", "cache"]).succeeded();
    run(&stack, &["cp", "compose.yaml", "cache:/data/copied"]).succeeded();
    run(&stack, &["cp", "cache:/data/copied", "back"]).succeeded();
    run(&stack, &["start", "cache"]).succeeded();
    let copied = run(&stack, &["exec", "-T", "cache", "cat", "/data/copied"]).succeeded().stdout;
    assert!(copied.contains("redis:7"), "{copied}");
    run(&stack, &["down", "--volumes", "--timeout", "5"]).succeeded();
}
