//! What a supervisor tells of what goes wrong and of who waits for whom, and what the next one takes back.

mod harness;

use harness::{Stack, finish, is_root, kill, processes, within};
use std::{
    io::{BufRead as _, BufReader},
    net::{TcpListener, TcpStream},
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// A command whose output is read here.
fn begun(stack: &Stack, arguments: &[&str]) -> Child {
    let mut command = stack.command(arguments);
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh runs")
}

#[test]
fn a_port_that_is_lost_between_two_supervisors_is_told_and_taken_back() {
    if !is_root() {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound").to_string();
    drop(listener);
    let stack = Stack::new(&format!(
        "services:\n  web: {{image: busybox, init: true, command: [sleep, infinity], ports: ['{address}:80']}}\n"
    ));
    stack.up();
    kill(stack.supervisor().expect("a supervisor"));
    let mut stranger = None;
    assert!(within(10, || {
        stranger = TcpListener::bind(&address).ok();
        stranger.is_some()
    }));
    // The next supervisor says who has it, and not that it is itself.
    let own = format!("(process {})", std::process::id());
    let told = format!("port {address}/tcp is taken by");
    let row = stack.container("web");
    let status = row["Status"].as_str().expect("a status");
    assert!(status.starts_with("Up ") && status.contains(&told), "{row}");
    assert!(row["Detail"].as_str().is_some_and(|detail| detail.contains(&own)), "{row}");
    assert_eq!(row["Publishers"].as_array().map(Vec::len), Some(0), "{row}");
    stack.mesh(&["up", "-d"]).failed_saying(&["service web", &told, &own]);
    // One more supervisor, and it is still known.
    kill(stack.supervisor().expect("a supervisor"));
    assert!(stack.container("web")["Status"].as_str().is_some_and(|status| status.contains(&told)));
    // It comes back by itself once it is free.
    drop(stranger);
    let published = || stack.container("web")["Publishers"].as_array().is_some_and(|all| all.len() == 1);
    assert!(within(40, published), "{}", stack.container("web"));
    TcpStream::connect(&address).expect("it is listened on");
    assert!(!stack.container("web")["Status"].as_str().expect("a status").contains("port"));
    // And at once where a command asks for it.
    kill(stack.supervisor().expect("a supervisor"));
    let mut stranger = None;
    assert!(within(10, || {
        stranger = TcpListener::bind(&address).ok();
        stranger.is_some()
    }));
    stack.mesh(&["ps"]).succeeded();
    drop(stranger);
    stack.mesh(&["up", "-d"]).succeeded();
    TcpStream::connect(&address).expect("it is listened on");
}

#[test]
fn every_failed_start_is_told_and_ps_keeps_to_a_line() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, entrypoint: [/no/such/program-of-a-name-that-goes-on-and-on-and-on-and-on-and-on]}\n  \
         b: {image: busybox, user: ghost}\n  c: {image: busybox, entrypoint: [/etc/passwd]}\n  \
         d: {image: busybox, init: true, command: [sleep, infinity]}\n",
    );
    for words in [&["up", "-d"][..], &["up", "--wait"]] {
        stack.mesh(words).failed_saying(&[
            "service a:",
            "/no/such/program",
            "b (",
            "ghost",
            "c (",
            "/etc/passwd",
        ]);
    }
    let table = stack.mesh(&["ps", "-a"]).succeeded().stdout;
    assert!(table.lines().all(|line| line.len() < 300), "{table}");
    let row = stack.container("a");
    assert!(row["Status"].as_str().is_some_and(|status| status.ends_with("…)")), "{row}");
    assert!(row["Detail"].as_str().is_some_and(|detail| detail.contains("on-and-on: ")), "{row}");
    assert_eq!(stack.container("d")["State"], "running");
    // Nobody waits for a container of `run`.
    stack.write(
        "compose.yaml",
        "services:\n  a: {image: busybox, init: true, command: [sleep, infinity]}\n  \
         z: {image: busybox, depends_on: [a]}\n",
    );
    let ran = stack.mesh(&["run", "--rm", "--no-deps", "a", "/no/such"]);
    assert!(ran.code != 0 && !ran.text().contains("holds up"), "{}", ran.text());
}

#[test]
fn following_logs_fails_where_the_supervisor_is_gone() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  web: {image: busybox, init: true, command: [sh, -c, 'echo hello; exec sleep infinity']}\n",
    );
    stack.up();
    let id = stack.container("web")["ID"].as_str().expect("an id").to_owned();
    let mut logs = begun(&stack, &["logs", "-f", "--no-log-prefix"]);
    let mut lines = BufReader::new(logs.stdout.take().expect("a pipe"));
    let mut first = String::new();
    lines.read_line(&mut first).expect("a line");
    assert_eq!(first, "hello\n");
    // A supervisor that is followed by another one is no end.
    kill(stack.supervisor().expect("a supervisor"));
    stack.mesh(&["ps"]).succeeded();
    let shim = || processes().into_iter().find(|(_, line)| line.contains(&format!("run\0{id}")));
    assert!(logs.try_wait().expect("it can be asked").is_none());
    kill(stack.supervisor().expect("a supervisor"));
    kill(shim().expect("a shim").0);
    finish(logs).failed_saying(&["the supervisor of project", "is gone", "mesh ps"]);
}

#[test]
fn what_was_given_no_time_to_become_healthy_says_so() {
    if !is_root() {
        return;
    }
    let file = |period: &str| {
        format!(
            "services:\n  db:\n    image: busybox\n    init: true\n    command: [sh, -c, 'echo making the first \
             files; sleep 3; touch /ready; exec sleep infinity']\n    healthcheck: {{test: [CMD-SHELL, 'test -e \
             /ready || {{ echo not yet; exit 1; }}'], interval: 300ms, retries: 3{period}}}\n  web: {{image: busybox, \
             depends_on: {{db: {{condition: service_healthy}}}}}}\n"
        )
    };
    let stack = Stack::new(&file(""));
    stack.mesh(&["up", "--wait"]).failed_saying(&[
        "unhealthy after 3 failed probes",
        "not yet",
        "making the first files",
        "holds up: web",
        "hint:",
        "start_period",
    ]);
    stack.mesh(&["down", "-t", "0"]).succeeded();
    stack.write("compose.yaml", &file(", start_period: 60s"));
    stack.up();
}

#[test]
fn who_waits_for_a_turn_is_told_for_whom() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  db: {image: busybox, init: true, command: [sh, -c, 'sleep 4; touch /ready; exec sleep infinity'], \
         healthcheck: {test: [CMD, test, -e, /ready], interval: 1s, retries: 60}}\n",
    );
    let first = begun(&stack, &["up", "--wait"]);
    let pid = first.id();
    assert!(within(20, || stack.containers().iter().any(|it| it["State"] == "running")));
    let second = stack.mesh(&["up", "-d"]).succeeded();
    let want = format!("waiting for `mesh up` (process {pid}), which has been changing this project for ");
    assert!(second.text().contains(&want), "{}", second.text());
    finish(first).succeeded();
    let third = stack.mesh(&["up", "-d"]).succeeded();
    assert!(!third.text().contains("waiting for"), "{}", third.text());
}

#[test]
fn what_hooks_print_comes_at_once_and_failures_name_their_place() {
    if !is_root() {
        return;
    }
    let file = |last: &str| {
        format!(
            "services:\n  web:\n    image: busybox\n    init: true\n    command: [sleep, infinity]\n    post_start:\n      \
             - command: [sh, -c, 'echo first; sleep 3; echo second']\n      - command: [sh, -c, 'echo out; echo err >&2; \
             exit {last}']\n    pre_stop:\n      - command: [sh, -c, 'echo going; exit {last}']\n"
        )
    };
    let stack = Stack::new(&file("3"));
    let mut up = begun(&stack, &["up", "-d"]);
    let lines = BufReader::new(up.stderr.take().expect("a pipe")).lines();
    let (mut first, mut told) = (None, String::new());
    for line in lines.map_while(Result::ok) {
        if line == "web-1 -> | first" {
            first = Some(Instant::now());
        }
        if line == "web-1 -> | second" {
            let since = first.expect("it comes before").elapsed();
            assert!(since > Duration::from_secs(2), "both came together: {since:?}");
        }
        told.push_str(&line);
        told.push('\n');
    }
    assert!(!up.wait().expect("it ends").success());
    for want in ["post_start[1] (compose.yaml:8): web hook exited with status 3", "out", "err", "service web"]
    {
        assert!(told.contains(want), "no {want:?} in:\n{told}");
    }
    let stopped = stack.mesh(&["stop"]);
    stopped.failed_saying(&[
        "web-1 -> | going",
        "pre_stop[0] (compose.yaml:10): web hook exited with status 3: going",
    ]);
    stack.mesh(&["kill"]).succeeded();
    stack.write("compose.yaml", &file("0"));
    stack.up();
    stack.mesh(&["stop"]).succeeded();
}

#[test]
fn events_come_as_docker_s() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  web: {image: busybox, init: true, stop_grace_period: 5s, command: [sleep, infinity]}\n  \
         deaf: {image: busybox, stop_grace_period: 1s, command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]}\n",
    );
    stack.up();
    stack.mesh(&["restart", "web"]).succeeded();
    stack.mesh(&["stop"]).succeeded();
    stack.mesh(&["start", "web"]).succeeded();
    stack.mesh(&["run", "--rm", "web", "true"]).succeeded();
    stack.mesh(&["kill", "-s", "WINCH", "web"]).succeeded();
    stack.mesh(&["kill", "web"]).succeeded();
    let told = stack.mesh(&["events", "--json", "--since", "1h", "--until", "0s"]).succeeded().stdout;
    let of = |service: &str| {
        let word = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let signal = event["attributes"]["signal"].as_str().map(|signal| format!(" {signal}"));
            let action = event["action"].as_str().expect("an action");
            (event["service"] == service).then(|| format!("{action}{}", signal.unwrap_or_default()))
        };
        told.lines().filter_map(word).collect::<Vec<_>>().join(", ")
    };
    assert_eq!(
        of("web"),
        "create, start, kill 15, die, stop, start, restart, kill 15, die, stop, start, kill 28, kill 9, die"
    );
    assert_eq!(of("deaf"), "create, start, kill 15, kill 9, die, stop");
}

#[test]
fn programs_beside_a_container_s_own_are_told() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  web:\n    image: busybox\n    command: [sleep, infinity]\n    stop_signal: SIGKILL\n    \
         healthcheck: {test: [CMD, test, -e, /bin/sh], interval: 1h}\n    \
         post_start: [{command: [sh, -c, 'exit 0']}]\n",
    );
    stack.up();
    assert_eq!(stack.mesh(&["exec", "-T", "web", "sh", "-c", "exit 7"]).code, 7);
    assert_eq!(stack.mesh(&["exec", "-T", "web", "/no/such"]).code, 127);
    stack.mesh(&["exec", "-d", "web", "sleep", "1000"]).succeeded();
    // By their ids: what is told of each, in order.
    let told = || {
        let lines = stack.mesh(&["events", "--json", "--since", "1h", "--until", "0s"]).succeeded().stdout;
        let mut programs: Vec<(String, Vec<String>)> = Vec::new();
        for line in lines.lines() {
            let event: serde_json::Value = serde_json::from_str(line).expect("JSON");
            let Some(id) = event["attributes"]["execID"].as_str() else { continue };
            let code = event["attributes"]["exitCode"].as_str().map(|code| format!(" {code}"));
            let step =
                format!("{}{}", event["action"].as_str().expect("an action"), code.unwrap_or_default());
            match programs.iter_mut().find(|(known, _)| known == id) {
                Some((_, steps)) => steps.push(step),
                None => programs.push((id.to_owned(), vec![step])),
            }
        }
        assert!(programs.iter().all(|(id, _)| id.len() == 64), "{lines}");
        programs.into_iter().map(|(_, steps)| steps.join(", ")).collect::<Vec<_>>()
    };
    let of = |line: &str, end: &str| format!("exec_create: {line}, exec_start: {line}{end}");
    let ended = of("sh -c exit 7", ", exec_die 7");
    assert!(within(20, || told().contains(&ended)), "{:?}", told());
    let all = told();
    for want in [
        of("test -e /bin/sh", ", exec_die 0"),
        of("sh -c exit 0", ", exec_die 0"),
        of("/no/such ", ""),
        of("sleep 1000", ""),
    ] {
        assert!(all.contains(&want), "no {want:?} in {all:?}");
    }
}

#[test]
fn variables_interfaces_and_ports_are_as_the_file_says() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new(
        r#"
services:
  web:
    image: redis:7
    init: true
    entrypoint: [sleep, infinity]
    environment: {LANG: , GIVEN: , EMPTY: ""}
    expose: ["99", "3000-3002/udp"]
    networks:
      front: {interface_name: outer, priority: 10}
      back: {}
networks: {front: , back: }
"#,
    );
    stack.set("GIVEN", "here");
    stack.up();
    let all = stack.shell("web", "env");
    assert!(!all.lines().any(|line| line.starts_with("LANG=")), "{all}");
    assert!(
        all.lines().any(|line| line == "GIVEN=here") && all.lines().any(|line| line == "EMPTY="),
        "{all}"
    );
    let row = stack.container("web");
    assert_eq!(row["Ports"], "99/tcp, 6379/tcp, 3000-3002/udp", "{row}");
    let names = stack.shell("web", "ls /sys/class/net");
    let names: Vec<&str> = names.split_whitespace().collect();
    assert!(names.contains(&"outer") && names.contains(&"eth0") && !names.contains(&"eth1"), "{names:?}");
}
