//! Kills at any moment, a restart of the machine, replacements and changed networks: nothing is lost
//! and nothing is left.

mod harness;

use harness::{Stack, is_root, kill, processes, within};
use std::{
    fs,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

/// Rounds of the kills in the middle of `up`.
const KILL_ROUNDS: u64 = 8;

const ORDERED: &str = r#"
services:
  db:
    image: busybox
    restart: unless-stopped
    command: [sh, -c, "sleep 0.1; touch /tmp/ready; exec sleep infinity"]
    volumes: ["data:/data"]
    healthcheck: {test: [CMD, test, -e, /tmp/ready], interval: 5s}
  job:
    image: busybox
    command: [sh, -c, "echo done >> /data/jobs"]
    volumes: ["data:/data"]
    depends_on: {db: {condition: service_healthy}}
  api:
    image: busybox
    command: [sleep, infinity]
    networks: [front, default]
    ports: ["127.0.0.1:0:80"]
    depends_on: {job: {condition: service_completed_successfully}}
volumes: {data: }
networks: {front: }
"#;

/// Processes that belong to a project: its supervisor, holder and shims.
fn of_project(stack: &Stack) -> Vec<u32> {
    let home = stack.home().display().to_string();
    let wanted = |line: &str| line.contains(stack.name()) || line.contains(&home);
    processes().into_iter().filter(|(_, line)| wanted(line)).map(|(pid, _)| pid).collect()
}

/// Kills what is still there; one that ended meanwhile is no fault.
fn kill_all(pids: &[u32]) {
    for pid in pids {
        let number = pid.to_string();
        std::process::Command::new("kill")
            .args(["-9", &number])
            .stderr(Stdio::null())
            .status()
            .expect("kill runs");
    }
}

#[test]
fn a_kill_in_the_middle_of_up_is_mended_by_the_next_one() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(ORDERED);
    for round in 0..KILL_ROUNDS {
        let mut up = stack.command(&["up", "--wait"]);
        let mut up = up.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("mesh runs");
        // Not a wait for anything: the moment of the kill moves through the whole of `up`.
        let moment = Instant::now() + Duration::from_millis(37 * round);
        while Instant::now() < moment {
            std::thread::yield_now();
        }
        match round % 2 {
            0 => kill_all(&stack.supervisor().into_iter().collect::<Vec<_>>()),
            _ => kill_all(&of_project(&stack)),
        }
        up.wait().expect("it ends");
        stack.up();
        assert_eq!(stack.containers().len(), 3, "round {round}");
        if round % 3 == 2 {
            stack.mesh(&["down", "-v", "-t", "1"]).succeeded();
            assert!(within(10, || stack.supervisor().is_none()));
            let volumes = fs::read_dir(stack.home().join("data/volumes")).map_or(0, Iterator::count);
            assert_eq!(volumes, 0, "round {round}: volumes are left");
        }
    }
}

/// Makes what was written under this boot look as if it was written under another one.
fn forge_boot(directory: &Path) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("a boot");
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("journal") && !path.ends_with("rootfs") {
            forge_boot(&path);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            let text = fs::read_to_string(&path).expect("a record");
            fs::write(&path, text.replace(boot.trim(), "11111111-2222-3333-4444-555555555555"))
                .expect("writes");
        }
    }
}

#[test]
fn after_a_restart_of_the_machine_policies_and_up_bring_everything_back() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  db:
    image: postgres:15
    environment: {POSTGRES_PASSWORD: not-a-real-one}
    volumes: ["data:/var/lib/postgresql/data"]
    healthcheck: {test: [CMD, pg_isready, -q, -h, 127.0.0.1], interval: 1s, retries: 60}
  always: {image: busybox, restart: always, command: [sleep, infinity]}
  unless: {image: busybox, restart: unless-stopped, command: [sleep, infinity]}
  kept: {image: busybox, restart: unless-stopped, command: [sleep, infinity]}
volumes: {data: }
"#,
    );
    stack.up();
    let sql = |statement: &str| {
        let arguments = ["exec", "-T", "db", "psql", "-U", "postgres", "-qtAX", "-c", statement];
        stack.mesh(&arguments).succeeded().stdout.trim().to_owned()
    };
    sql("create table rows (n int)");
    sql("insert into rows values (1), (2)");
    stack.mesh(&["stop", "-t", "0", "always", "unless"]).succeeded();
    let ids: Vec<String> =
        stack.containers().iter().map(|it| it["ID"].as_str().expect("an id")[..12].to_owned()).collect();
    kill(stack.supervisor().expect("a supervisor"));
    // A shim's command line names its container, and the holder is on record.
    let holder = fs::read_to_string(stack.state().join("holder.json")).expect("a holder");
    let holder: serde_json::Value = serde_json::from_str(&holder).expect("JSON");
    let rest = || {
        let shims =
            processes().into_iter().filter(|(_, line)| ids.iter().any(|id| line.contains(id.as_str())));
        let mut rest: Vec<u32> = shims.map(|(pid, _)| pid).collect();
        rest.extend(of_project(&stack));
        rest
    };
    let holder_pid = holder["value"]["pid"].as_u64();
    let holder_pid = holder_pid.expect("a process");
    kill_all(&[u32::try_from(holder_pid).expect("a number")]);
    kill_all(&rest());
    assert!(within(10, || rest().is_empty()));
    forge_boot(&stack.state());

    let state = |service: &str| stack.container(service)["State"].as_str().unwrap_or_default().to_owned();
    assert!(within(10, || state("always") == "running"), "it was stopped, and shall always run");
    assert!(within(10, || state("kept") == "running"));
    assert_eq!((state("unless"), state("db")), ("exited".to_owned(), "exited".to_owned()));
    stack.up();
    assert_eq!(sql("select count(*) from rows"), "2");
    assert_eq!(state("unless"), "running");
}

#[test]
fn anonymous_volumes_and_journals_go_with_what_they_belong_to() {
    if !is_root() {
        return;
    }
    let file = |value: &str| {
        format!(
            "services:\n  a: {{image: busybox, init: true, command: [sh, -c, 'echo life $$V; exec sleep infinity'], environment: {{V: '{value}'}}, volumes: [/kept]}}\n"
        )
    };
    let stack = Stack::new(&file("1"));
    stack.up();
    stack.shell("a", "echo row > /kept/data");
    stack.write("compose.yaml", &file("2"));
    stack.up();
    assert_eq!(stack.shell("a", "cat /kept/data; echo $V"), "row\n2");
    let logs = || stack.mesh(&["logs", "--no-log-prefix", "a"]).stdout;
    assert!(within(5, || logs().contains("life 2")));
    stack.mesh(&["up", "--wait", "-V", "--force-recreate"]).succeeded();
    assert_eq!(stack.shell("a", "ls /kept | wc -l"), "0");
    let journal = stack.state().join("journal");
    assert!(journal.exists());
    stack.mesh(&["down", "-t", "0"]).succeeded();
    assert!(!journal.exists(), "down removes what was said");
    stack.mesh(&["down", "-v"]);
    let volumes = fs::read_dir(stack.home().join("data/volumes")).map_or(0, Iterator::count);
    assert_eq!(volumes, 0, "down -v finds the ones that no container has any more");
}

#[test]
fn a_changed_subnet_and_a_move_take_effect() {
    if !is_root() {
        return;
    }
    let file = |subnet: &str, network: &str| {
        format!(
            "services:\n  a: {{image: busybox, command: [sleep, infinity], networks: [one]}}\n  b: {{image: busybox, command: [sleep, infinity], networks: [{network}]}}\nnetworks:\n  one: {{ipam: {{config: [{{subnet: {subnet}}}]}}}}\n  two: {{}}\n"
        )
    };
    let stack = Stack::new(&file("10.71.0.0/24", "one"));
    stack.up();
    let address = |service: &str| stack.shell(service, "hostname -i | tr ' ' '\\n' | grep ^10 || true");
    assert!(address("a").starts_with("10.71.0."), "{}", address("a"));
    stack.write("compose.yaml", &file("10.72.0.0/24", "one"));
    stack.up();
    assert!(address("a").starts_with("10.72.0.") && address("b").starts_with("10.72.0."));
    stack.write("compose.yaml", &file("10.72.0.0/24", "two"));
    stack.up();
    assert_eq!(address("b"), "");
    let away = stack.mesh(&["exec", "-T", "b", "getent", "hosts", "a"]);
    assert_ne!(away.code, 0, "it left the network: {}", away.text());
}

#[test]
fn what_fails_right_after_its_start_fails_the_wait() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  job: {image: busybox, command: [sh, -c, 'echo no configuration; sleep 0.2; exit 4']}\n  other: {image: busybox, command: [sleep, infinity]}\n",
    );
    let outcome =
        stack.mesh(&["up", "--wait"]).failed_saying(&["service job: exited with 4", "no configuration"]);
    assert_eq!(outcome.code, 1);
    assert_eq!(stack.container("other")["State"], "running", "what runs is left");
}
