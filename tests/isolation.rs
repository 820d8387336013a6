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
