//! Containers see what they were given, and nothing else.

mod harness;

use harness::{Stack, is_root, processes};
use std::fs;

#[test]
fn networks_are_apart_and_names_resolve() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
x-web: &web {image: busybox, command: [busybox, httpd, -f, -p, "80", -h, /etc]}
services:
  front: {<<: *web, networks: [front]}
  both: {<<: *web, networks: {front: {aliases: [bridge]}, back: }}
  back: {<<: *web, networks: {back: {ipv4_address: 172.30.9.10}}}
networks:
  front:
  back: {internal: true, ipam: {config: [{subnet: 172.30.9.0/24}]}}
"#,
    );
    stack.up();
    let get = |from: &str, to: &str| {
        stack
            .mesh(&[
                "exec",
                "-T",
                from,
                "curl",
                "-s",
                "-m",
                "2",
                "-o",
                "/dev/null",
                &format!("http://{to}/hostname"),
            ])
            .code
            == 0
    };
    assert!(get("front", "both") && get("front", "bridge") && get("back", "both") && get("both", "back"));
    assert!(!get("front", "back"), "the name is not known on another network");
    assert!(!get("front", "172.30.9.10"), "nor can the address be reached");
    assert!(!get("front", "172.30.9.1"), "nor that network's gateway");
    assert_eq!(stack.shell("back", "hostname -i"), "172.30.9.10");
}

#[test]
fn two_checkouts_with_the_same_subnets_run_side_by_side() {
    if !is_root() {
        return;
    }
    let compose = r#"
services:
  a:
    image: busybox
    command: [busybox, httpd, -f, -p, "80", -h, /etc]
    networks: {n: {ipv4_address: 172.31.7.7}}
    ports: ["80"]
networks: {n: {ipam: {config: [{subnet: 172.31.7.0/24}]}}}
"#;
    let one = Stack::new(compose);
    let two = one.beside("two", compose);
    one.up();
    two.up();
    let (first, second) = (one.port("a", 80), two.port("a", 80));
    assert_ne!(first, second);
    for (stack, address) in [(&one, first), (&two, second)] {
        let id = stack.container("a")["ID"].as_str().expect("an id").to_owned();
        let output = std::process::Command::new("curl")
            .args(["-s", "-m", "5", &format!("http://{address}/hostname")])
            .output()
            .expect("curl runs");
        assert!(
            id.starts_with(String::from_utf8_lossy(&output.stdout).trim()),
            "each port leads to its own project"
        );
    }
}

#[test]
fn a_container_sees_no_file_of_the_host() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  a: {image: busybox, command: [sleep, infinity]}\n");
    fs::write(stack.directory().join("marker"), "host").expect("written");
    stack.up();
    let marker = stack.directory().join("marker");
    assert_eq!(stack.mesh(&["exec", "-T", "a", "cat", &marker.display().to_string()]).code, 1);
    let mounts = stack.shell("a", "cat /proc/self/mounts");
    assert!(!mounts.contains("/dev/vda") || !mounts.contains(" / ext4"), "{mounts}");
    assert!(
        stack.shell("a", "ps -e | wc -l").parse::<u32>().expect("a number") < 8,
        "it sees its own processes only"
    );
    assert_ne!(stack.mesh(&["exec", "-T", "a", "sh", "-c", "echo x > /proc/sysrq-trigger"]).code, 0);
}

#[test]
fn secrets_reach_their_files_and_nothing_else() {
    if !is_root() {
        return;
    }
    let secret = "s3cr3t-that-nobody-may-see";
    let mut stack = Stack::new(
        r#"
services:
  a:
    image: busybox
    command: [sleep, infinity]
    secrets:
      - {source: token, uid: "1000", gid: "1001", mode: 0400}
secrets: {token: {environment: THE_TOKEN}}
"#,
    );
    stack.set("THE_TOKEN", secret);
    let mut said = stack.up().text();
    assert_eq!(stack.shell("a", "cat /run/secrets/token"), secret);
    assert_eq!(stack.shell("a", "stat -c '%u:%g %a' /run/secrets/token"), "1000:1001 400");
    for verb in [
        &["config"][..],
        &["config", "--format", "json"],
        &["ps", "-a", "--format", "json"],
        &["logs"],
        &["events", "--help"],
    ] {
        said += &stack.mesh(verb).text();
    }
    said += &fs::read_to_string(stack.state().join("supervisor.log")).unwrap_or_default();
    for (_, line) in processes() {
        said += &line;
    }
    assert!(!said.contains(secret), "the secret was told");
    // What holds it on disk is the owner's alone.
    let mut folders = vec![stack.home().join("state")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|it| it.is_dir()) {
                if !["upper", "work", "rootfs"].contains(&entry.file_name().to_str().unwrap_or_default()) {
                    folders.push(path);
                }
            } else if fs::read(&path)
                .is_ok_and(|bytes| bytes.windows(secret.len()).any(|it| it == secret.as_bytes()))
            {
                use std::os::unix::fs::MetadataExt;
                assert_eq!(fs::metadata(&path).expect("metadata").mode() & 0o077, 0, "{}", path.display());
            }
        }
    }
}

#[test]
fn the_loopback_of_the_host_is_for_those_that_ask_for_it() {
    if !is_root() || fs::metadata("/dev/net/tun").is_err() {
        return;
    }
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = std::thread::spawn(move || {
        use std::io::Write;
        let (mut stream, _) = listener.accept().expect("one connection");
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\nfrom the host").expect("written");
    });
    let stack = Stack::new(
        r#"
services:
  asks: {image: busybox, command: [sleep, infinity], extra_hosts: ["host.docker.internal:host-gateway"]}
  quiet: {image: busybox, command: [sleep, infinity]}
"#,
    );
    stack.up();
    let gateway = stack.shell("asks", "grep host.docker.internal /etc/hosts | cut -f1");
    let get = |service: &str, host: &str| {
        let address = format!("http://{host}:{port}/");
        stack.mesh(&["exec", "-T", service, "curl", "-s", "-m", "5", &address])
    };
    assert_ne!(get("quiet", &gateway).code, 0, "not for whoever knows the address");
    assert_eq!(get("asks", "host.docker.internal").stdout, "from the host");
    server.join().expect("the server served");
}

#[test]
fn nothing_of_the_caller_leads_out_of_a_container() {
    if !is_root() {
        return;
    }
    let stack = Stack::new("services:\n  a: {image: busybox, command: [sleep, infinity]}\n");
    stack.up();
    // A directory as a standard stream would be a way up from it.
    let folder = fs::File::open(stack.directory()).expect("opens");
    let mut exec = stack.command(&["exec", "-T", "a", "ls", "/proc/self/fd/0/.."]);
    let output = exec.stdin(folder).output().expect("mesh runs");
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("it is a directory"), "{output:?}");
    // Open files of the caller, close-on-exec or not, are not handed over.
    assert_eq!(stack.shell("a", "ls /proc/self/fd | wc -l"), "4", "0, 1, 2 and that of ls");
    assert_eq!(stack.shell("a", "ls /proc/1/fd | wc -l"), "3");
}

#[test]
fn device_files_are_no_way_to_the_machine() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  a: {image: debian, command: [sleep, infinity]}
  admin: {image: debian, command: [sleep, infinity], cap_add: [SYS_ADMIN]}
"#,
    );
    stack.up();
    let refused = |service: &str, script: &str| {
        let outcome = stack.mesh(&["exec", "-T", service, "sh", "-c", script]);
        assert!(
            outcome.code != 0 && outcome.stderr.contains("ermi"),
            "{service}: {script}: {}",
            outcome.text()
        );
    };
    // The kernel's log: every machine has it, and reading it does no harm.
    for place in ["/tmp", "/dev", "/dev/shm"] {
        refused("a", &format!("mknod {place}/log c 1 11 && head -c 1 {place}/log"));
    }
    refused("a", "mount -t tmpfs x /mnt");
    let limited = fs::read_to_string("/proc/mounts").expect("mounts").lines().any(|line| {
        let options = line.split(' ').nth(3).unwrap_or_default();
        line.contains(" cgroup ") && options.split(',').any(|option| option == "devices")
    });
    if limited {
        refused("admin", "mount -t tmpfs x /mnt && mknod /mnt/log c 1 11 && head -c 1 /mnt/log");
        refused("admin", "mkdir -p /m && mount -t devtmpfs x /m && head -c 1 /m/kmsg");
    }
}

#[test]
fn what_a_container_says_is_shown_and_not_acted_on() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        r#"
services:
  a:
    image: busybox
    command: [sh, -c, "printf 'said \\033]0;title\\007\\n'; exit 3"]
"#,
    );
    let outcome = stack.mesh(&["up", "--wait"]);
    assert!(outcome.code != 0 && outcome.text().contains("said "), "{}", outcome.text());
    let failure = outcome.stderr.split("last log lines").nth(1).unwrap_or_default();
    assert!(!failure.contains(['\u{1b}', '\u{7}']), "{failure:?}");
}
