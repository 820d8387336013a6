//! Images behave as the official ones do: their entrypoints' contracts, through the real binary.

mod harness;

use harness::{Stack, is_root, kill, within};
use std::{fs, os::unix::fs::PermissionsExt};

/// A container's process as the machine sees it.
#[track_caller]
fn ends(stack: &Stack, service: &str) -> String {
    let ended = || stack.container(service)["State"].as_str().is_some_and(|state| state == "exited");
    assert!(within(30, ended), "{service} did not end: {}", stack.container(service));
    stack.mesh(&["logs", "--no-log-prefix", service]).succeeded().text()
}

#[test]
fn postgres_runs_the_scripts_of_the_first_start_once() {
    let stack = Stack::new(
        r#"
services:
  db:
    image: postgres:15
    environment:
      POSTGRES_PASSWORD_FILE: /run/secrets/password
      POSTGRES_USER: app
      POSTGRES_DB: shop
      PGDATA: /var/lib/postgresql/data/inside
    command: -c max_connections=50
    secrets: [password]
    volumes: ["./init:/docker-entrypoint-initdb.d:ro", "data:/var/lib/postgresql/data"]
    healthcheck: {test: [CMD-SHELL, "pg_isready -U $$POSTGRES_USER -d $$POSTGRES_DB"], interval: 1s, retries: 60}
volumes: {data: }
secrets: {password: {file: ./password}}
"#,
    );
    stack.write("password", "not-a-real-one\n");
    stack.write(
        "init/1.sh",
        "#!/bin/sh\npsql -v ON_ERROR_STOP=1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'create table run(x int)'\n",
    );
    let script = stack.directory().join("init/1.sh");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("executable");
    stack.write(
        "init/2.sh",
        "docker_process_sql -c 'create table sourced(x int)'\n\"${psql[@]}\" -c 'create table listed(x int)'\n",
    );
    stack.write("init/3.sql", "create table plain(x int);\n");
    stack.up();
    let ask = |sql: &str| {
        let call = ["exec", "-T", "db", "psql", "-U", "app", "shop", "-qtAXc", sql];
        stack.mesh(&call).succeeded().stdout.trim().to_owned()
    };
    let tables = "select string_agg(relname, ' ' order by relname) from pg_stat_user_tables";
    assert_eq!(ask(tables), "listed plain run sourced");
    assert_eq!(ask("show max_connections"), "50");
    ask("drop table plain");
    stack.mesh(&["down", "--timeout", "10"]).succeeded();
    stack.up();
    assert_eq!(ask(tables), "listed run sourced");
    let logs = stack.mesh(&["logs", "db"]).succeeded().text();
    assert!(!logs.contains("not-a-real-one"), "{logs}");
}

#[test]
fn postgres_makes_odd_databases_and_refuses_what_it_must() {
    let stack = Stack::new(
        r#"
services:
  odd:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: a, POSTGRES_USER: o-dd, POSTGRES_DB: "my 'db\""}
    healthcheck: {test: pg_isready, interval: 1s, retries: 60}
  new:
    image: postgres:18-alpine
    user: "1000:1000"
    environment: {POSTGRES_PASSWORD: a}
    volumes: ["new:/var/lib/postgresql"]
    healthcheck: {test: pg_isready -U postgres, interval: 1s, retries: 60}
  misplaced:
    image: postgres:18
    environment: {POSTGRES_PASSWORD: a}
    volumes: ["old:/var/lib/postgresql/data"]
  open: {image: "postgres:16"}
volumes: {new: , old: }
"#,
    );
    stack.mesh(&["up", "--wait", "odd", "new"]).succeeded();
    let call = ["exec", "-T", "odd", "psql", "-U", "o-dd", "my 'db\"", "-qtAXc", "select 42"];
    assert_eq!(stack.mesh(&call).succeeded().stdout.trim(), "42");
    assert_eq!(stack.shell("new", "test -s /var/lib/postgresql/18/docker/PG_VERSION && echo there"), "there");
    stack.mesh(&["up", "-d", "misplaced", "open"]).succeeded();
    assert!(ends(&stack, "misplaced").contains("/var/lib/postgresql instead"));
    assert!(ends(&stack, "open").contains("POSTGRES_PASSWORD"));
}

#[test]
fn a_first_start_that_was_killed_begins_anew() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: a, POSTGRES_DB: shop}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {test: pg_isready, interval: 1s, retries: 60}
volumes: {data: }
"#,
    );
    stack.mesh(&["up", "-d"]).succeeded();
    let started = || {
        let looks = ["exec", "-T", "db", "test", "-e", "/var/lib/postgresql/data/.mesh-first-start"];
        stack.mesh(&looks).code == 0
    };
    assert!(within(20, started), "the first start did not begin");
    stack.mesh(&["kill", "db"]).succeeded();
    stack.up();
    let call = ["exec", "-T", "db", "psql", "-U", "postgres", "shop", "-qtAXc", "select 42"];
    assert_eq!(stack.mesh(&call).succeeded().stdout.trim(), "42");
}

#[test]
fn mariadb_lets_in_those_it_was_told_and_no_others() {
    let stack = Stack::new(
        r#"
services:
  db:
    image: mysql:8.4
    command: --max-connections=50 --mysql-native-password=ON
    environment: {MYSQL_ROOT_PASSWORD: "r'o\\ot", MYSQL_DATABASE: app_db, MYSQL_USER: app, MYSQL_PASSWORD: "p'w"}
    volumes: ["./init:/docker-entrypoint-initdb.d:ro"]
    healthcheck: {test: [CMD, healthcheck.sh, --connect, --innodb_initialized], interval: 1s, retries: 90}
"#,
    );
    stack.write("init/1.sql", "create table plain(x int);\n");
    stack.write("init/2.sh", "echo 'create table sourced(x int);' | docker_process_sql\n");
    stack.up();
    let shell = |line: &str| stack.mesh(&["exec", "-T", "db", "sh", "-c", line]);
    let tables = shell(r#"mysql -h127.0.0.1 -uapp "-pp'w" app_db -Ne 'show tables'"#).succeeded();
    assert_eq!(tables.stdout.split_whitespace().collect::<Vec<_>>(), ["plain", "sourced"]);
    shell("mysql -h127.0.0.1 -uroot -e 'select 1'").failed_saying(&["denied"]);
    shell("mysql -uroot -e 'select 1'").failed_saying(&["denied"]);
    let accounts = shell(r#"mysql -uroot "-pr'o\ot" -Ne "select concat(user, '@', host) from mysql.global_priv where user in ('root', '') order by 1""#)
        .succeeded();
    assert_eq!(accounts.stdout.split_whitespace().collect::<Vec<_>>(), ["root@%", "root@localhost"]);
}

#[test]
fn small_servers_take_their_options_and_files() {
    let stack = Stack::new(
        r#"
x-often: &often {interval: 1s, retries: 60}
services:
  options:
    image: redis:7.4-alpine
    command: redis-server --requirepass x --appendonly yes
    healthcheck: {<<: *often, test: [CMD, redis-cli, -a, x, ping]}
  file:
    image: valkey/valkey:8
    command: [valkey-server, /etc/valkey.conf]
    volumes: ["./valkey.conf:/etc/valkey.conf:ro"]
    healthcheck: {<<: *often, test: valkey-cli -p 7000 ping}
  web:
    image: nginx:alpine
    user: nginx
    volumes: ["./nginx.conf:/etc/nginx/nginx.conf:ro"]
    healthcheck: {<<: *often, test: "curl -fs localhost:8080"}
  stream:
    image: nats:2-alpine
    command: -js -m 8222
    healthcheck: {<<: *often, test: "wget -qO- http://localhost:8222/jsz"}
  installs: {image: "alpine:3.20", command: apk add curl}
"#,
    );
    stack.write("valkey.conf", "port 7000\nmaxmemory 100mb\n");
    stack.write(
        "nginx.conf",
        "pid /tmp/nginx.pid;\nevents {}\nhttp { server { listen 8080; return 200 \"mine\"; } }\n",
    );
    stack.mesh(&["up", "--wait", "options", "file", "web", "stream"]).succeeded();
    assert!(stack.shell("options", "ls /data").contains("appendonlydir"));
    assert!(stack.shell("file", "valkey-cli -p 7000 config get maxmemory").contains("104857600"));
    assert_eq!(stack.shell("web", "curl -s localhost:8080"), "mine");
    stack.mesh(&["up", "-d", "installs"]).succeeded();
    assert!(ends(&stack, "installs").contains("without a package manager"));
}

#[test]
fn a_supervisor_killed_while_it_makes_an_image_leaves_nothing_torn() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  s: {image: memcached, healthcheck: {test: 'echo version | nc -q1 127.0.0.1 11211', interval: 1s, retries: 60}}\n",
    );
    // A store of its own, with the shared one's package lists, so that layers are made anew.
    let link = stack.home().join("data/images");
    let shared = fs::read_link(&link).expect("a link");
    fs::remove_file(&link).expect("removed");
    let own = link.join("apt");
    fs::create_dir_all(&link).expect("a store");
    let copied = std::process::Command::new("cp").arg("-a").arg(shared.join("apt")).arg(&own).status();
    assert!(copied.expect("cp runs").success());
    let mut first = stack.command(&["up", "--wait"]).spawn().expect("mesh runs");
    let busy = || fs::read_dir(link.join("downloads/partial")).is_ok_and(|mut it| it.next().is_some());
    assert!(within(60, busy), "no download began");
    if let Some(supervisor) = stack.supervisor() {
        kill(supervisor);
    }
    first.wait().expect("it ends");
    stack.up();
}
