//! Without root and with a range of ids: every user of a container is somebody else on the disk, and
//! `down -v` takes their files along all the same.
//!
//! Runs where this is root, `newuidmap` is there and some account has a range in `/etc/subuid` and
//! `/etc/subgid`; says so where it does not.

mod harness;

use harness::{Stack, finish, is_root};
use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt,
    },
    path::Path,
    process::Stdio,
};

/// Shortest range that Mesh uses.
const RANGE_IDS_MIN: u64 = 65_535;

const FILE: &str = r#"
services:
  owners:
    image: busybox
    init: true
    command: [sh, -c, "touch /many/a /many/b; chown 60000:60001 /many/a; chown 33:44 /many/b; chmod 600 /many/b; mkdir -m 700 /many/c; chown 999:999 /many/c; touch /many/c/d; exec sleep 1000"]
    volumes: ["many:/many"]
    healthcheck: {test: [CMD, test, -e, /many/c/d], interval: 1s}
    stop_grace_period: 1s
  other:
    image: busybox
    init: true
    user: "1234:4321"
    command: [sleep, "1000"]
    secrets: [{source: word, uid: "1234", gid: "4321", mode: 0400}]
    stop_grace_period: 1s
volumes: {many: }
secrets: {word: {file: ./word.txt}}
"#;

/// An account with ranges: its ids.
fn account() -> Option<(u32, u32)> {
    let has_range = |path: &str, name: &str, uid: &str| {
        fs::read_to_string(path).unwrap_or_default().lines().any(|line| {
            let fields: Vec<&str> = line.split(':').collect();
            matches!(fields[..], [owner, _, count] if (owner == name || owner == uid)
                && count.parse::<u64>().is_ok_and(|count| count >= RANGE_IDS_MIN))
        })
    };
    fs::read_to_string("/etc/passwd").ok()?.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (name, uid, gid) = (*fields.first()?, *fields.get(2)?, fields.get(3)?);
        let fits = uid != "0" && has_range("/etc/subuid", name, uid) && has_range("/etc/subgid", name, uid);
        fits.then(|| Some((uid.parse().ok()?, gid.parse().ok()?)))?
    })
}

#[test]
fn each_id_of_a_container_is_another_one_of_the_machine() {
    let there = ["newuidmap", "newgidmap"].iter().all(|name| Path::new("/usr/bin").join(name).exists());
    let Some((uid, gid)) = account().filter(|_| there && is_root()) else {
        println!("skipped: needs root, newuidmap and an account with a range in /etc/subuid and /etc/subgid");
        return;
    };
    let run = |stack: &Stack, arguments: &[&str]| {
        let mut command = stack.command(arguments);
        command.uid(uid).gid(gid).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("mesh runs"))
    };
    let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("images-range-{uid}"));
    let stack = Stack::new(FILE);
    fs::write(stack.directory().join("word.txt"), "xyzzy").expect("a secret");
    let link = stack.home().join("data/images");
    fs::remove_file(&link).expect("the link is there");
    fs::create_dir_all(&store).expect("a store");
    std::os::unix::fs::symlink(&store, &link).expect("a link");
    for path in [
        stack.home(),
        &stack.home().join("data"),
        stack.directory(),
        &stack.directory().join("word.txt"),
        &store,
        stack.home().parent().expect("a parent"),
    ] {
        chown(path, Some(uid), Some(gid)).expect("given away");
    }

    run(&stack, &["up", "--wait"]).succeeded();
    let owners =
        run(&stack, &["exec", "-T", "owners", "stat", "-c", "%u:%g", "/many/a", "/many/b", "/many/c"])
            .succeeded();
    assert_eq!(owners.stdout.split_whitespace().collect::<Vec<_>>(), ["60000:60001", "33:44", "999:999"]);
    let secret = run(&stack, &["exec", "-T", "other", "sh", "-c", "id -u; id -g; cat /run/secrets/word"]);
    assert_eq!(secret.succeeded().stdout.trim(), "1234\n4321\nxyzzy");
    let root = run(&stack, &["exec", "-T", "-u", "root", "other", "cat", "/run/secrets/word"]).succeeded();
    assert_eq!(root.stdout.trim(), "xyzzy");
    // No container's user but root is this user on the disk, and none is the machine's.
    let volumes = stack.home().join("data/volumes");
    let volume = fs::read_dir(&volumes).expect("volumes").flatten().next().expect("one").path();
    for name in ["a", "b", "c"] {
        let owner = fs::metadata(volume.join("_data").join(name)).expect("a file").uid();
        assert!(owner != uid && owner > 65_535, "{name} belongs to {owner}");
    }

    // Data comes back with its owners, and of what took its place nothing stays.
    let line = |line: &str| {
        let told = run(&stack, &["exec", "-T", "owners", "sh", "-c", line]).succeeded().stdout;
        told.trim_end().to_owned()
    };
    line(
        "mkdir /many/kept && touch /many/kept/file && chown -R 7:8 /many/kept && chmod 4750 /many/kept/file",
    );
    run(&stack, &["backup"]).succeeded();
    line(
        "rm -r /many/kept && mkdir -m 700 /many/later && touch /many/later/file && chown -R 9:9 /many/later",
    );
    let restored = run(&stack, &["restore", "-y"]).succeeded();
    assert!(!restored.text().contains("could be removed"), "{}", restored.text());
    assert_eq!(
        line("stat -c '%u:%g %a' /many/kept /many/kept/file; ls /many"),
        "7:8 755\n7:8 4750\na\nb\nc\nkept"
    );
    let inside: Vec<_> =
        fs::read_dir(&volume).expect("a volume").flatten().map(|one| one.file_name()).collect();
    assert!(!inside.iter().any(|name| name.to_string_lossy().starts_with("_data.")), "{inside:?}");

    run(&stack, &["down", "--volumes", "--timeout", "5"]).succeeded();
    assert_eq!(fs::read_dir(&volumes).expect("volumes").count(), 0);
}
