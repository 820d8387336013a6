//! The commands that change a project, asked of the real binary as a user of `docker compose` would.

mod harness;

use harness::{Outcome, Stack, is_root, within};
use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio};

const SLEEPER: &str = "services:\n  a: {image: busybox, command: [sleep, infinity]}\n";

/// Runs with a `PATH` that begins with the project's own directory.
#[track_caller]
fn with_own_programs(stack: &Stack, arguments: &[&str]) -> Outcome {
    let path = std::env::var("PATH").unwrap_or_default();
    let own = format!("{}:{path}", stack.directory().display());
    let mut command = stack.command(arguments);
    command.env("PATH", own).stdout(Stdio::piped()).stderr(Stdio::piped());
    harness::finish(command.spawn().expect("mesh runs"))
}

#[test]
fn flags_that_contradict_each_other_are_refused_in_the_peer_s_words() {
    let stack = Stack::new(SLEEPER);
    for (line, want) in [
        ("up --build --no-build", "--build and --no-build are incompatible"),
        ("up --force-recreate --no-recreate", "--force-recreate and --no-recreate are incompatible"),
        ("up -V --no-recreate", "--no-recreate and --renew-anon-volumes are incompatible"),
        (
            "up --always-recreate-deps --no-recreate",
            "--always-recreate-deps and --no-recreate are incompatible",
        ),
        (
            "up --wait --attach a",
            "--wait cannot be combined with --abort-on-container-exit, --attach or --attach-dependencies",
        ),
        (
            "up -d --abort-on-container-exit",
            "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
        ),
        (
            "up --exit-code-from a -d",
            "--detach cannot be combined with --abort-on-container-exit, --abort-on-container-failure, --attach, --attach-dependencies or --watch",
        ),
        (
            "up --abort-on-container-exit --abort-on-container-failure",
            "--abort-on-container-failure cannot be combined with --abort-on-container-exit",
        ),
        ("up --wait-timeout -1", "--wait-timeout must be a non-negative integer"),
        ("up --attach x", "cannot attach to services not included in up: x"),
        ("up --attach a --attach-dependencies", "cannot combine --attach and --attach-dependencies"),
        ("create --build --no-build", "--build and --no-build are incompatible"),
        ("run --service-ports --publish 80 a", "--service-ports and --publish are incompatible"),
        ("run -l x a true", "label must be set as KEY=VALUE"),
        ("down --rmi some", "invalid value for --rmi: \"some\""),
    ] {
        let outcome = stack.mesh(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(outcome.code, 1, "{line}: {}", outcome.text());
        assert!(outcome.stderr.contains(want), "{line}: {}", outcome.text());
    }
    for line in ["up --scale a", "scale a", "scale a=x"] {
        let outcome = stack.mesh(&line.split(' ').collect::<Vec<_>>());
        assert_ne!(outcome.code, 0, "{line}: {}", outcome.text());
        assert!(outcome.stderr.contains("invalid scale specifier") || outcome.stderr.contains("SERVICE=NUM"));
    }
    assert!(stack.supervisor().is_none(), "none of them starts anything");
}

#[test]
fn a_dry_run_changes_nothing_and_starts_no_supervisor() {
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity], volumes: ['v:/v']}\n  b: {image: busybox, depends_on: [a]}\nvolumes: {v: }\n",
    );
    let said = stack.mesh(&["--dry-run", "up", "-d"]).succeeded();
    let name = stack.name();
    for want in [
        format!("DRY-RUN MODE -  Network {name}_default  Created"),
        format!("DRY-RUN MODE -  Volume {name}_v  Created"),
        format!("DRY-RUN MODE -  Container {name}-a-1  Created"),
        format!("DRY-RUN MODE -  Container {name}-b-1  Started"),
    ] {
        assert!(said.stderr.contains(&want), "no {want:?} in\n{}", said.text());
    }
    let attached = stack.mesh(&["up", "--dry-run"]).succeeded();
    assert!(attached.stdout.contains("end of 'compose up' output"), "{}", attached.text());
    for line in
        ["create", "run a true", "scale a=2", "down -v", "stop", "start", "restart", "kill", "rm -f", "pause"]
    {
        let mut words = vec!["--dry-run"];
        words.extend(line.split(' '));
        stack.mesh(&words).succeeded();
    }
    assert!(stack.supervisor().is_none(), "a supervisor was started");
    assert!(!stack.state().join("project.json").exists());
    if !is_root() {
        return;
    }
    stack.up();
    // On a busy machine it lasts longer than what is waited for.
    assert!(within(20, || stack.container("b")["State"] == "exited"));
    // Without what changes as time goes by.
    let there = || -> Vec<_> {
        let seen = stack.containers().into_iter().map(|it| (it["ID"].clone(), it["State"].clone()));
        seen.collect()
    };
    let before = there();
    let said = stack.mesh(&["--dry-run", "down", "-v"]).succeeded();
    for want in ["-b-1  Stopped", "-a-1  Removed", "_default  Removed", "_v  Removed"] {
        // The second service ended long ago.
        let want = if want == "-b-1  Stopped" { "-b-1  Removed" } else { want };
        assert!(said.stderr.contains(want), "no {want:?} in\n{}", said.text());
    }
    for line in ["stop", "kill", "restart a", "rm -sf", "up -d --force-recreate", "scale a=3", "pause a"] {
        let mut words = vec!["--dry-run"];
        words.extend(line.split(' '));
        let said = stack.mesh(&words).succeeded();
        assert!(said.stderr.contains("DRY-RUN MODE - "), "{line}: {}", said.text());
        assert_eq!(said.stderr.contains("-a-1  Stopped"), line == "stop" || line == "rm -sf", "{line}");
    }
    assert_eq!(there(), before, "something was done");
}

#[test]
fn hooks_run_where_and_when_the_file_says() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  db:
    image: busybox
    command: [sh, -c, "trap 'exit 0' TERM; while :; do sleep 0.05; done"]
    volumes: ["d:/d"]
    pre_start:
      - command: [sh, -c, "echo one >> /d/log; chmod 666 /d/log"]
      - command: [sh, -c, "echo two >> /d/log"]
    post_start:
      - command: [sh, -c, "echo post $$(id -u) $$PWD $$X >> /d/log; echo hello from a hook"]
        user: "65534"
        working_dir: /tmp
        environment: {X: y}
    pre_stop:
      - command: [sh, -c, "echo bye >> /d/log"]
  log:
    image: busybox
    command: [sleep, infinity]
    volumes: ["d:/d"]
    depends_on: [db]
volumes: {d: }
"#,
    );
    let up = stack.up();
    assert!(up.stderr.contains("db-1 -> | hello from a hook"), "{}", up.text());
    let log = || stack.shell("log", "cat /d/log");
    let first = "one\ntwo\npost 65534 /tmp y";
    assert_eq!(log(), first);
    stack.up();
    assert_eq!(log(), first, "nothing runs again where nothing is started");
    stack.mesh(&["stop", "db"]).succeeded();
    assert_eq!(log(), format!("{first}\nbye"));
    stack.mesh(&["start", "db"]).succeeded();
    assert_eq!(log(), format!("{first}\nbye\n{first}"));
    assert_eq!(stack.containers().len(), 2, "steps that ended well are gone");
    stack.mesh(&["kill", "db"]).succeeded();
    assert!(within(5, || stack.container("db")["State"] == "exited"));
    assert_eq!(log(), format!("{first}\nbye\n{first}"), "kill runs no hook");
}

#[test]
fn hooks_that_fail_say_so() {
    if !is_root() {
        return;
    }
    let hook = |kind: &str, command: &str| {
        format!(
            "services:\n  test:\n    image: busybox\n    command: [sh, -c, \"trap 'exit 0' TERM; while :; do sleep 0.05; done\"]\n    {kind}: [{{command: {command}}}]\n"
        )
    };
    let stack = Stack::new(&hook("post_start", "[no-such-program]"));
    stack.mesh(&["up", "-d"]).failed_saying(&["test hook exited with status 127"]);
    assert_eq!(stack.container("test")["State"], "running");
    stack.write("compose.yaml", &hook("pre_start", "[sh, -c, 'echo wrong >&2; exit 17']"));
    let failed = stack.mesh(&["up", "-d"]).failed_saying(&["pre_start[0] exited with code 17", "wrong"]);
    assert_eq!(failed.code, 1);
    stack.write("compose.yaml", &hook("pre_stop", "[sh, -c, 'echo not yet; exit 3']"));
    stack.up();
    let failed =
        stack.mesh(&["down"]).failed_saying(&["test hook exited with status 3: not yet", "mesh kill test"]);
    assert_eq!(failed.code, 1);
    assert_eq!(stack.container("test")["State"], "running");
    stack.mesh(&["kill"]).succeeded();
    stack.mesh(&["down"]).succeeded();
}

#[test]
fn run_takes_the_flags_of_compose() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [echo, file], environment: {A: file, B: file}, labels: {own: x}, cap_drop: [NET_RAW]}\n",
    );
    stack.write("run.env", "B=env\nC=\"$A and more\"\n");
    let run = |words: &[&str]| {
        let mut line = vec!["run", "--rm", "-T"];
        line.extend(words);
        stack.mesh(&line).succeeded().stdout.trim_end().to_owned()
    };
    let shown = run(&["-e", "A=line", "--env-from-file", "run.env", "a", "sh", "-c", "echo $A $B $C"]);
    assert_eq!(shown, "line env line and more");
    assert_eq!(run(&["--entrypoint", "sh -c 'echo \"$0 and $1\"'", "a", "one", "two"]), "one and two");
    assert_eq!(run(&["-u", "65534", "-w", "/tmp", "a", "sh", "-c", "id -u; pwd"]), "65534\n/tmp");
    let caps = "grep CapBnd /proc/self/status";
    let (plain, with) =
        (run(&["a", "sh", "-c", caps]), run(&["--cap-add", "NET_RAW", "a", "sh", "-c", caps]));
    assert_ne!(plain, with, "an added capability wins over the file's cap_drop");
    let id = stack.mesh(&["run", "-d", "-l", "mine=1", "a", "sleep", "infinity"]).succeeded().stdout;
    let containers = stack.containers();
    let one = &containers[0];
    assert!(id.trim().len() == 64 && id.starts_with(one["ID"].as_str().expect("an id")), "{id} {one}");
    let name = one["Name"].as_str().expect("a name");
    assert!(name.starts_with(&format!("{}-a-run-", stack.name())), "{name}");
    let labels = one["Labels"].as_str().expect("labels");
    for want in ["mine=1", "own=x", "com.docker.compose.oneoff=True", "com.docker.compose.slug="] {
        assert!(labels.contains(want), "no {want} in {labels}");
    }
    // What somebody runs goes on without the services; the network stays with it.
    let up = stack.mesh(&["up", "-d"]).succeeded();
    assert_eq!(up.stdout, "", "scripts take what is printed for their own");
    for rehearsal in [true, false] {
        let words: &[&str] = if rehearsal { &["--dry-run", "down"] } else { &["down"] };
        let said = stack.mesh(words).succeeded().stderr;
        assert!(!said.contains(&format!("{name}  Removed")), "{said}");
        assert!(said.contains("-a-1  Removed") && !said.contains("_default  Removed"), "{said}");
    }
    assert_eq!(stack.containers().len(), 1);
    let piped = {
        let mut child = stack
            .command(&["run", "--rm", "-T", "a", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("mesh runs");
        child.stdin.take().expect("a pipe").write_all(b"passed on").expect("written");
        harness::finish(child)
    };
    assert_eq!(piped.stdout, "passed on");
}

#[test]
fn start_brings_what_a_service_waits_for() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  db: {image: busybox, command: [sleep, infinity]}\n  web: {image: busybox, command: [sleep, infinity], depends_on: [db]}\n  other: {image: busybox, command: [sleep, infinity]}\n",
    );
    stack.mesh(&["create"]).succeeded();
    stack.mesh(&["start", "web"]).succeeded();
    let state = |service: &str| stack.container(service)["State"].as_str().map(str::to_owned);
    assert_eq!(state("db").as_deref(), Some("running"));
    assert_eq!(state("web").as_deref(), Some("running"));
    assert_eq!(state("other").as_deref(), Some("created"));
}

#[test]
fn wait_rm_and_kill_speak_as_compose_does() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  quick: {image: busybox, command: [sh, -c, 'sleep 0.3; exit 4']}\n  long: {image: busybox, command: [sleep, infinity]}\n",
    );
    assert!(stack.mesh(&["kill"]).succeeded().stderr.contains("No container to kill"));
    assert!(stack.mesh(&["rm", "-f"]).succeeded().stderr.contains("No stopped containers"));
    stack.mesh(&["up", "-d"]).succeeded();
    let waited = stack.mesh(&["wait", "quick"]);
    assert_eq!(waited.code, 4);
    assert!(waited.stdout.ends_with("\" exited with status code 4\n"), "{}", waited.text());
    let asked = stack.mesh(&["rm"]).succeeded();
    assert!(asked.stdout.contains(&format!("Going to remove {}-quick-1", stack.name())), "{}", asked.text());
    assert_eq!(stack.containers().len(), 2, "no answer is no");
    stack.mesh(&["rm", "-f"]).succeeded();
    assert_eq!(stack.containers().len(), 1);
    stack.mesh(&["scale", "long=3", "quick=0"]).succeeded();
    assert_eq!(stack.containers().len(), 3);
    stack.mesh(&["up", "-d", "quick"]).succeeded();
    assert_eq!(stack.mesh(&["wait", "--down-project", "quick"]).code, 4);
    assert!(stack.containers().is_empty());
}

#[test]
fn up_ends_as_its_flags_say() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  running: {image: busybox, command: [sleep, infinity], stop_grace_period: 0s}\n  exit: {image: busybox, command: ['true']}\n  fail: {image: busybox, command: [sh, -c, 'sleep 0.5; exit 111']}\n",
    );
    let up = stack.mesh(&["up", "--abort-on-container-failure"]);
    assert_eq!(up.code, 111, "{}", up.text());
    for want in ["exit-1 exited with code 0", "fail-1 exited with code 111"] {
        assert!(up.stdout.contains(want), "no {want} in\n{}", up.text());
    }
    assert_eq!(stack.container("running")["State"], "exited");
    // Also where it is over before anybody looks.
    let up = stack.mesh(&["up", "--abort-on-container-exit", "--force-recreate", "running", "exit"]);
    assert_eq!(up.code, 0, "{}", up.text());
    assert!(up.stdout.contains("exit-1 exited with code 0"), "{}", up.text());
    // A job that completed runs again for whoever asks for its code.
    let up = stack.mesh(&["up", "--exit-code-from", "exit", "running", "exit"]);
    assert_eq!(up.code, 0, "{}", up.text());
    assert!(up.stdout.contains("exit-1 exited with code 0"), "{}", up.text());
}

#[test]
fn providers_bring_services_up_and_their_variables_arrive() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  cloud:
    provider: {type: testprovider, options: {size: 3}}
  app:
    image: busybox
    command: [sh, -c, "echo $$CLOUD_URL $$RAW; exec sleep infinity"]
    environment: {RAW: file}
    depends_on: [cloud]
"#,
    );
    let program = stack.directory().join("testprovider");
    let script = r#"#!/bin/sh
echo "$@" >> calls
case "$2 $3" in
metadata*) exit 1 ;;
*up) echo '{"type":"info","message":"making it"}'
  echo '{"type":"setenv","message":"URL=http://x:1"}{"type":"rawsetenv","message":"RAW=given"}' ;;
esac
"#;
    fs::write(&program, script).expect("a program");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("executable");
    let up = with_own_programs(&stack, &["up", "--wait"]).succeeded();
    for want in ["Service cloud  Created", "making it", "overrides environment variable \"RAW\""] {
        assert!(up.stderr.contains(want), "no {want:?} in\n{}", up.text());
    }
    assert_eq!(stack.mesh(&["logs", "--no-log-prefix"]).stdout.trim(), "http://x:1 given");
    assert_eq!(stack.containers().len(), 1);
    with_own_programs(&stack, &["down"]).succeeded();
    let calls = fs::read_to_string(stack.directory().join("calls")).expect("it was called");
    let name = stack.name();
    assert!(calls.contains(&format!("compose --project-name={name} up --size=3 cloud")), "{calls}");
    assert!(calls.contains(&format!("compose --project-name={name} down --size=3 cloud")), "{calls}");
    fs::write(&program, "#!/bin/sh\necho '{\"type\":\"error\",\"message\":\"no credit\"}'\n")
        .expect("rewritten");
    with_own_programs(&stack, &["up", "-d"]).failed_saying(&["service cloud: no credit"]);
    assert!(stack.containers().is_empty());
    fs::remove_file(&program).expect("removed");
    with_own_programs(&stack, &["up", "-d"]).failed_saying(&["executable file not found in $PATH"]);
    stack.write("compose.yaml", SLEEPER);
}

#[test]
fn orphans_follow_the_environment() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, command: [sleep, infinity]}\n  b: {image: busybox, command: [sleep, infinity]}\n",
    );
    stack.up();
    stack.write("compose.yaml", SLEEPER);
    let warned = format!("Found orphan containers ({}-b-1) for this project.", stack.name());
    assert!(stack.up().stderr.contains(&warned));
    stack.write(".env", "COMPOSE_IGNORE_ORPHANS=1\n");
    assert!(!stack.up().stderr.contains("orphan"));
    stack.mesh(&["up", "-d", "--remove-orphans"]).failed_saying(&["cannot combine COMPOSE_IGNORE_ORPHANS"]);
    stack.write(".env", "COMPOSE_REMOVE_ORPHANS=true\n");
    stack.mesh(&["run", "--rm", "-T", "a", "true"]).succeeded();
    assert_eq!(stack.containers().len(), 2, "run removes them only where its own flag says so");
    stack.up();
    assert_eq!(stack.containers().len(), 1);
}
