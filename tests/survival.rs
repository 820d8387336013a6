//! Whatever is killed: services live on, committed rows stay, and the next command finds its way.

mod harness;

use harness::{Stack, is_root, kill, processes, within};

const DATABASE: &str = r#"
services:
  db:
    image: postgres:15
    restart: always
    environment: {POSTGRES_PASSWORD: not-a-real-one, POSTGRES_USER: app}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1, -U, app], interval: 1s, retries: 60}
volumes: {data: }
x-mesh: {substitute: always}
"#;

fn sql(stack: &Stack, statement: &str) -> String {
    let arguments = ["exec", "-T", "db", "psql", "-U", "app", "-qtAX", "-c", statement];
    stack.mesh(&arguments).succeeded().stdout.trim().to_owned()
}

/// The shim whose container is `id`.
fn shim(id: &str) -> Option<u32> {
    let short = &id[..12];
    processes()
        .into_iter()
        .find_map(|(pid, line)| (line.contains("shim\0run") && line.contains(short)).then_some(pid))
}

#[test]
fn postgres_keeps_committed_rows_through_every_kill() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(DATABASE);
    stack.up();
    sql(&stack, "create table rows (n int)");
    sql(&stack, "insert into rows values (1)");

    // The supervisor: the service does not notice.
    let before = stack.container("db")["ID"].clone();
    let started = sql(&stack, "select pg_postmaster_start_time()");
    kill(stack.supervisor().expect("a supervisor"));
    stack.up();
    assert_eq!(stack.container("db")["ID"], before, "the container was adopted");
    assert_eq!(sql(&stack, "select pg_postmaster_start_time()"), started, "the server was not restarted");

    // The shim: the container dies with it and is started again.
    let id = before.as_str().expect("an id").to_owned();
    kill(shim(&id).expect("a shim"));
    let served = |want: &str| {
        within(30, || {
            stack
                .mesh(&["exec", "-T", "db", "psql", "-U", "app", "-qtAX", "-c", "select count(*) from rows"])
                .stdout
                .trim()
                == want
        })
    };
    assert!(served("1"), "restarted after its shim was killed");
    sql(&stack, "insert into rows values (2)");

    // The service itself.
    stack.mesh(&["exec", "-T", "db", "sh", "-c", "kill -9 1 || kill -9 $(head -1 $PGDATA/postmaster.pid)"]);
    assert!(served("2"), "restarted after it was killed");
    sql(&stack, "insert into rows values (3)");

    // Everything at once.
    for (pid, line) in processes() {
        if line.contains(stack.name()) || line.contains(&id[..12]) {
            kill(pid);
        }
    }
    stack.up();
    assert_eq!(sql(&stack, "select count(*) from rows"), "3");
}

#[test]
fn a_killed_supervisor_takes_no_service_with_it() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sh, -c, 'while :; do date +%s%N; sleep 0.1; done']}\n",
    );
    stack.up();
    let pid = stack.container("a")["Pid"].as_u64();
    kill(stack.supervisor().expect("a supervisor"));
    assert!(within(5, || stack.supervisor().is_none()));
    let lines = || stack.mesh(&["logs", "--no-log-prefix", "a"]).stdout.lines().count();
    let count = lines();
    assert!(within(5, || lines() > count + 3), "the service still runs and is still heard");
    assert_eq!(stack.container("a")["State"], "running");
    assert_eq!(stack.container("a")["Pid"].as_u64(), pid);
}

#[test]
fn logs_outlive_a_restart() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sh, -c, 'echo run so; exec sleep infinity']}\n",
    );
    stack.up();
    stack.mesh(&["restart", "-t", "0", "a"]).succeeded();
    assert!(within(5, || stack.mesh(&["logs", "--no-log-prefix", "a"]).stdout.matches("run ").count() == 2));
}
