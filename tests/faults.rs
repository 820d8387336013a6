//! What goes wrong ends in one clear text and another exit code than 0, and loses nothing.

mod harness;

use harness::{Stack, finish, is_root, within};
use std::{fs, net::TcpListener, process::Stdio, thread};

/// The file is refused by every verb that reads it, with its place.
#[track_caller]
fn refused(compose: &str, words: &[&str]) {
    let stack = Stack::new(compose);
    stack.mesh(&["config"]).failed_saying(words);
    stack.mesh(&["up", "--wait"]).failed_saying(words);
    stack.write("compose.yaml", "services: {}\n");
}

#[test]
fn broken_yaml_is_shown_with_its_place() {
    refused("services:\n  web:\n    image: [busybox\n", &["compose.yaml:"]);
}

#[test]
fn an_unknown_key_is_shown_with_what_was_meant() {
    refused(
        "services:\n  web:\n    image: busybox\n    comand: [true]\n",
        &["compose.yaml:4:5", "comand", "command"],
    );
}

#[test]
fn every_finding_is_told_at_once() {
    refused(
        "services:\n  a: {image: busybox, imagge: x}\n  b: {image: busybox, ports: ['x:y']}\n  c: {image: busybox, depends_on: [d]}\n",
        &["imagge", "x:y", "`c`", "`d`"],
    );
}

#[test]
fn a_missing_variable_is_named() {
    refused(
        "services:\n  web:\n    image: ${IMAGE:?set IMAGE to what shall run}\n",
        &["IMAGE", "set IMAGE to what shall run"],
    );
}

#[test]
fn a_cycle_is_named() {
    refused(
        "services:\n  a: {image: busybox, depends_on: [b]}\n  b: {image: busybox, depends_on: [a]}\n",
        &["cycle", "a", "b"],
    );
}

#[test]
fn unknown_names_are_told() {
    refused("services:\n  a: {image: busybox, networks: [nowhere]}\n", &["nowhere"]);
    let stack = Stack::new("services:\n  a: {image: busybox}\n");
    stack.mesh(&["up", "-d", "nothere"]).failed_saying(&["nothere"]);
    stack.mesh(&["logs", "nothere"]).failed_saying(&["nothere"]);
    // A profile may be another project's, as one command line may serve several.
    let text = stack.mesh(&["--profile", "nothere", "config"]).succeeded().text();
    assert!(text.contains("no such profile: nothere"), "{text}");
}

#[test]
fn no_file_says_where_it_was_looked_for() {
    let stack = Stack::new("");
    fs::remove_file(stack.directory().join("compose.yaml")).expect("removed");
    stack.mesh(&["config"]).failed_saying(&["no Compose file", "-f"]);
    stack.write("compose.yaml", "services: {}\n");
}

#[test]
fn a_taken_port_names_who_has_it() {
    if !is_root() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let stack = Stack::new(&format!(
        "services:\n  web:\n    image: busybox\n    command: [sleep, infinity]\n    ports: ['127.0.0.1:{port}:80']\n"
    ));
    let own_name = format!("{}", std::process::id());
    stack.mesh(&["up", "--wait"]).failed_saying(&[&format!("127.0.0.1:{port}"), "taken", &own_name]);
    drop(taken);
    stack.up();
}

#[test]
fn an_image_without_a_source_says_what_was_tried() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  web: {image: example.invalid/no/such:thing}\n");
    stack.mesh(&["up", "--wait"]).failed_saying(&["example.invalid/no/such:thing", "hint"]);
}

#[test]
fn an_entrypoint_that_is_not_there_is_named() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  web: {image: busybox, entrypoint: [/no/such/program]}\n");
    stack.mesh(&["up", "--wait"]).failed_saying(&["web", "/no/such/program"]);
}

#[test]
fn a_health_check_that_never_passes_tells_its_output_the_log_and_what_it_holds_up() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  db:
    image: busybox
    command: [sh, -c, "echo the log says this; exec sleep infinity"]
    healthcheck: {test: [CMD-SHELL, "echo the probe says that; exit 3"], interval: 200ms, retries: 2}
  api:
    image: busybox
    command: [sleep, infinity]
    depends_on: {db: {condition: service_healthy}}
"#,
    );
    let outcome = stack.mesh(&["up", "--wait"]);
    outcome.failed_saying(&["db", "unhealthy", "the probe says that", "the log says this", "api"]);
}

#[test]
fn want_of_memory_is_said_as_such() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  eater: {image: busybox, mem_limit: 16m, command: [sh, -c, "exec tail /dev/zero"]}
  after: {image: busybox, command: ["true"], depends_on: {eater: {condition: service_completed_successfully}}}
"#,
    );
    stack.mesh(&["up", "-d"]).failed_saying(&["eater", "memory", "16", "after"]);
    assert!(within(20, || stack.container("eater")["State"] == "exited"), "it should have been killed");
    let text = stack.mesh(&["ps", "--all"]).succeeded().stdout;
    assert!(text.to_lowercase().contains("memory"), "{text}");
}

#[test]
fn two_ups_at_once_make_one_project() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity]}\n  b: {image: busybox, command: [sleep, infinity]}\n",
    );
    let started: Vec<_> = (0..4)
        .map(|_| {
            stack
                .command(&["up", "--wait"])
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .expect("mesh runs")
        })
        .collect();
    let outcomes: Vec<_> = started.into_iter().map(|child| thread::spawn(move || finish(child))).collect();
    for outcome in outcomes {
        outcome.join().expect("ended").succeeded();
    }
    assert_eq!(stack.containers().len(), 2);
}

#[test]
fn a_second_supervisor_is_refused() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  a: {image: busybox, command: [sleep, infinity]}\n");
    stack.up();
    stack.mesh(&["supervisor", "--project", stack.name()]).failed_saying(&["busy"]);
    assert_eq!(stack.container("a")["State"], "running");
}

#[test]
fn corrupted_state_is_set_aside_and_told() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  a: {image: busybox, command: [sleep, infinity]}\n");
    stack.up();
    let supervisor = stack.supervisor().expect("a supervisor");
    harness::kill(supervisor);
    fs::write(stack.state().join("project.json"), b"{\"version\":").expect("written");
    for entry in fs::read_dir(stack.state().join("containers")).expect("containers").flatten() {
        fs::write(entry.path().join("run.json"), b"\0\0").expect("written");
    }
    stack.up();
    assert_eq!(stack.containers().len(), 1);
    assert_eq!(stack.container("a")["State"], "running");
}

#[test]
fn down_with_volumes_may_be_asked_twice() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity], volumes: ['v:/v']}\nvolumes: {v: }\n",
    );
    stack.up();
    stack.mesh(&["down", "-v", "-t", "1"]).succeeded();
    stack.mesh(&["down", "-v", "-t", "1"]).succeeded();
    assert!(stack.containers().is_empty());
}
