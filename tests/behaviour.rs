//! What a user of `docker compose` expects, asked of the real binary.

mod harness;

use harness::{Stack, is_root, within};
use std::{
    io::{Read, Write},
    net::{TcpStream, UdpSocket},
    time::{Duration, Instant},
};

#[test]
fn start_order_follows_conditions_and_one_shots_run_once() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  migrate:
    image: busybox
    command: [sh, -c, "sleep 0.3; echo migrated >> /shared/order"]
    volumes: ["shared:/shared"]
  db:
    image: busybox
    command: [sh, -c, "sleep 0.3; echo db >> /shared/order; touch /tmp/ready; exec sleep infinity"]
    volumes: ["shared:/shared"]
    depends_on: {migrate: {condition: service_completed_successfully}}
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 30s}
  api:
    image: busybox
    command: [sh, -c, "echo api >> /shared/order; exec sleep infinity"]
    volumes: ["shared:/shared"]
    depends_on: {db: {condition: service_healthy}}
volumes: {shared: }
"#,
    );
    let begun = Instant::now();
    stack.up();
    assert!(
        begun.elapsed() < Duration::from_secs(25),
        "readiness is noticed at once, not after the interval"
    );
    assert_eq!(stack.shell("api", "cat /shared/order"), "migrated\ndb\napi");
    stack.up();
    assert_eq!(stack.shell("api", "cat /shared/order"), "migrated\ndb\napi", "nothing ran again");
}

#[test]
fn only_what_changed_is_replaced() {
    if !is_root() {
        return;
    }
    let file = |value: &str| {
        format!(
            "services:\n  a: {{image: busybox, command: [sleep, infinity], environment: {{A: {value}}}}}\n  b: {{image: busybox, command: [sleep, infinity]}}\n"
        )
    };
    let stack = Stack::new(&file("1"));
    stack.up();
    let (a, b) = (stack.container("a")["ID"].clone(), stack.container("b")["ID"].clone());
    stack.write("compose.yaml", &file("2"));
    stack.up();
    assert_ne!(stack.container("a")["ID"], a);
    assert_eq!(stack.container("b")["ID"], b);
    assert_eq!(stack.shell("a", "echo $A"), "2");
}

#[test]
fn scale_up_and_down_and_orphans() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity]}\n  b: {image: busybox, command: [sleep, infinity]}\n",
    );
    stack.mesh(&["up", "--wait", "--scale", "a=3"]).succeeded();
    assert_eq!(stack.containers().len(), 4);
    stack.mesh(&["up", "--wait", "--scale", "a=1"]).succeeded();
    assert_eq!(stack.containers().len(), 2);
    stack.write("compose.yaml", "services:\n  a: {image: busybox, command: [sleep, infinity]}\n");
    let text = stack.up().text();
    assert!(text.contains("orphan"), "{text}");
    assert_eq!(stack.containers().len(), 2, "an orphan is told, not removed");
    stack.mesh(&["up", "--wait", "--remove-orphans"]).succeeded();
    assert_eq!(stack.containers().len(), 1);
}

#[test]
fn exec_run_cp_and_their_exit_codes() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity], working_dir: /tmp, environment: {A: b}}\n",
    );
    stack.up();
    assert_eq!(stack.mesh(&["exec", "-T", "a", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(stack.mesh(&["exec", "-T", "a", "/no/such"]).code, 127);
    assert_eq!(stack.shell("a", "pwd; echo $A; id -u; hostname | wc -c"), "/tmp\nb\n0\n13");
    assert_eq!(
        stack
            .mesh(&[
                "exec",
                "-T",
                "-u",
                "65534",
                "-w",
                "/",
                "-e",
                "A=c",
                "a",
                "sh",
                "-c",
                "echo $(id -u) $PWD $A"
            ])
            .stdout
            .trim(),
        "65534 / c"
    );
    let run = stack.mesh(&["run", "--rm", "-T", "a", "sh", "-c", "echo once; exit 5"]);
    assert_eq!((run.code, run.stdout.trim()), (5, "once"));
    assert_eq!(stack.containers().len(), 1, "--rm removed it");
    stack.write("in.txt", "carried");
    stack.mesh(&["cp", "in.txt", "a:/tmp/in.txt"]).succeeded();
    assert_eq!(stack.shell("a", "cat /tmp/in.txt"), "carried");
    stack.mesh(&["cp", "a:/tmp/in.txt", "out.txt"]).succeeded();
    assert_eq!(std::fs::read_to_string(stack.directory().join("out.txt")).expect("copied"), "carried");
}

#[test]
fn exec_reads_the_files_again_once_they_changed() {
    if !is_root() {
        return;
    }
    let compose = "services:\n  a: {image: busybox, command: [sleep, infinity]}\n";
    let stack = Stack::new(compose);
    stack.up();
    let readings = stack.home().join("run/readings");
    let is_kept = || readings.read_dir().is_ok_and(|mut kept| kept.next().is_some());
    assert!(within(10, || stack.shell("a", "echo read") == "read" && is_kept()), "nothing is kept");
    assert_eq!(stack.shell("a", "echo known"), "known");
    assert_eq!(stack.mesh(&["exec", "-T", "a", "sh", "-c", "exit 7"]).code, 7);
    stack.mesh(&["exec", "-T", "b", "true"]).failed_saying(&["no such service: b"]);
    stack.write("compose.yaml", "services: [\n");
    stack.mesh(&["exec", "-T", "a", "true"]).failed_saying(&["not valid YAML"]);
    stack.write("compose.yaml", compose);
    assert_eq!(stack.shell("a", "echo whole"), "whole");
    stack.write("compose.override.yaml", "services: {a: {user: \"${ABSENT:?asked for}\"}}\n");
    stack.mesh(&["exec", "-T", "a", "true"]).failed_saying(&["asked for"]);
    stack.write(".env", "ABSENT=0\n");
    assert_eq!(stack.shell("a", "echo given"), "given");
}

#[test]
fn stop_start_kill_pause_rm() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, restart: always, stop_grace_period: 5s, command: [sh, -c, \"trap 'echo bye; exit 0' TERM; while :; do sleep 0.05; done\"]}\n",
    );
    stack.up();
    stack.mesh(&["stop"]).succeeded();
    assert_eq!(stack.container("a")["State"], "exited");
    assert_eq!(stack.container("a")["ExitCode"], 0, "it was asked, not killed");
    assert!(stack.mesh(&["logs", "--no-log-prefix"]).stdout.contains("bye"));
    stack.mesh(&["start"]).succeeded();
    assert_eq!(stack.container("a")["State"], "running");
    stack.mesh(&["pause"]).succeeded();
    assert_eq!(stack.container("a")["State"], "paused");
    stack.mesh(&["unpause"]).succeeded();
    stack.mesh(&["kill"]).succeeded();
    assert!(within(5, || stack.container("a")["State"] == "exited"));
    assert_eq!(stack.container("a")["ExitCode"], 137);
    stack.mesh(&["rm", "-f"]).succeeded();
    assert!(stack.containers().is_empty());
}

#[test]
fn a_restart_policy_acts_on_exits_that_nobody_asked_for() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, restart: 'on-failure:2', command: [sh, -c, 'echo try; exit 3']}\n  b: {image: busybox, command: [sleep, infinity]}\n",
    );
    stack.mesh(&["up", "-d"]).succeeded();
    let tries = || stack.mesh(&["logs", "--no-log-prefix", "a"]).stdout.matches("try").count();
    assert!(within(20, || stack.container("a")["State"] == "exited" && tries() == 3), "{} tries", tries());
    assert_eq!(stack.container("a")["ExitCode"], 3);
}

#[test]
fn tcp_and_udp_ports_are_published() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  echo:
    image: debian:12
    # Each server's answer is what it read: its output is a pipe that it reads from.
    command:
      - bash
      - -c
      - "mkfifo /tmp/t /tmp/u; nc -lk 7 <>/tmp/t >/tmp/t & exec nc -u -l 8 <>/tmp/u >/tmp/u"
    ports: ["127.0.0.1:0:7", "127.0.0.1:0:8/udp"]
"#,
    );
    stack.up();
    let address = stack.port("echo", 7);
    let answered = within(5, || {
        let Ok(mut stream) = TcpStream::connect(&address) else { return false };
        stream.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
        let mut back = [0; 5];
        stream.write_all(b"hello").is_ok() && stream.read_exact(&mut back).is_ok() && &back == b"hello"
    });
    assert!(answered, "TCP");
    let address = stack.mesh(&["port", "--protocol", "udp", "echo", "8"]).succeeded().stdout;
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("set");
    let answered = within(5, || {
        let mut back = [0; 16];
        socket.send_to(b"hello", address.trim()).is_ok()
            && socket.recv(&mut back).is_ok_and(|size| &back[..size] == b"hello")
    });
    assert!(answered, "UDP");
}

#[test]
fn limits_and_isolation_settings_hold() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  a:
    image: busybox
    command: [sleep, infinity]
    init: true
    read_only: true
    tmpfs: ["/scratch:size=1m,mode=1770"]
    shm_size: 8m
    hostname: somewhere
    user: "1234:2345"
    cap_drop: [ALL]
    pids_limit: 20
    mem_limit: 64m
    ulimits: {nofile: {soft: 100, hard: 200}}
    extra_hosts: ["elsewhere:192.0.2.7"]
    sysctls: {net.core.somaxconn: "77"}
"#,
    );
    stack.up();
    for (line, want) in [
        ("id -u; id -g", "1234\n2345"),
        ("hostname", "somewhere"),
        ("touch /x 2>&1 | grep -c 'Read-only'", "1"),
        ("stat -c %a /scratch; df -k /scratch | tail -1 | awk '{print $2}'", "1770\n1024"),
        ("df -k /dev/shm | tail -1 | awk '{print $2}'", "8192"),
        ("ulimit -Sn; ulimit -Hn", "100\n200"),
        ("getent hosts elsewhere | awk '{print $1}'", "192.0.2.7"),
        ("cat /proc/sys/net/core/somaxconn", "77"),
        ("grep CapEff /proc/self/status | awk '{print $2}'", "0000000000000000"),
        ("grep NoNewPrivs /proc/self/status | awk '{print $2}'", "1"),
        ("grep Seccomp: /proc/self/status | awk '{print $2}'", "2"),
    ] {
        assert_eq!(stack.shell("a", line), want, "{line}");
    }
    let forks = stack.mesh(&["exec", "-T", "a", "sh", "-c", "for i in $(seq 40); do sleep 3 & done; wait"]);
    assert!(forks.stderr.to_lowercase().contains("fork"), "more processes than it may: {}", forks.text());
}
