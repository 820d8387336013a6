//! `backup`, `verify` and `restore`: what was kept comes back, and what changed in it is found.

mod harness;

use harness::{Stack, is_root};
use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const FILE: &str = "
services:
  db:
    image: postgres:16
    environment: {POSTGRES_PASSWORD: p, POSTGRES_USER: app}
    volumes: ['db:/var/lib/postgresql/data']
    healthcheck: {test: [CMD, pg_isready, --quiet, --host=127.0.0.1, --username=app], start_period: 60s}
    x-mesh:
      backup:
        file: db_all.sql
        command: |
          set -e
          pg_dumpall --username=app --clean --if-exists > /tmp/all.sql
          sed '1,/^.connect /{/^DROP ROLE IF EXISTS app;$$/d; /^CREATE ROLE app;$$/d}' /tmp/all.sql
          rm /tmp/all.sql
        restore: [psql, --username=app, --dbname=postgres, --no-psqlrc, --quiet, --set=ON_ERROR_STOP=1]
  cache:
    image: redis:7
    command: [redis-server, --appendonly, 'yes']
    volumes: ['cache:/data']
    healthcheck: {test: [CMD, redis-cli, ping]}
  other:
    image: busybox
    command: [sleep, infinity]
    profiles: [more]
volumes:
  db:
  cache:
";

fn sql(stack: &Stack, line: &str) -> String {
    stack.shell("db", &format!("psql -U app -d app -Atc \"{line}\""))
}

/// The folder of the one backup that is there.
fn only(folder: &Path) -> PathBuf {
    let mut found: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn what_was_kept_comes_back_after_everything_is_gone() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(FILE);
    stack.up();
    sql(&stack, "create table t as select generate_series(1, 5000) as n; create role reader;");
    stack.shell("cache", "redis-cli set kept yes");
    stack.shell(
        "cache",
        "ln -s nowhere /data/link && mkdir -m 0711 /data/folder && chown redis:8 /data/folder",
    );

    // What would be done, and nothing is.
    let folder = stack.directory().join("backups");
    let dry = stack.mesh(&["--dry-run", "backup"]).succeeded();
    assert!(dry.stdout.contains("db_all.sql would be written by service db"), "{}", dry.text());
    assert!(!folder.exists());

    let path = stack.mesh(&["backup"]).succeeded().stdout.trim_end().to_owned();
    let backup = only(&folder);
    assert_eq!(Path::new(&path), backup);
    for entry in fs::read_dir(&backup).expect("a backup") {
        let entry = entry.expect("a file");
        assert_eq!(entry.metadata().expect("metadata").permissions().mode() & 0o777, 0o600, "{entry:?}");
    }
    assert_eq!(fs::metadata(&backup).expect("metadata").permissions().mode() & 0o777, 0o700);
    // Whoever was frozen for it runs again.
    assert_eq!(stack.container("cache")["State"], "running");
    assert_eq!(stack.shell("cache", "redis-cli get kept"), "yes");

    // Over data that went on.
    sql(&stack, "drop table t; create table later (n int);");
    stack.shell("cache", "redis-cli set kept no && redis-cli set later yes && touch /data/later");
    assert!(stack.mesh(&["restore"]).failed_saying(&["nothing was changed"]).code == 1);
    stack.mesh(&["restore", "-y"]).succeeded();
    let holds = |stack: &Stack| {
        assert_eq!(sql(stack, "select count(*), sum(n) from t"), "5000|12502500");
        assert_eq!(sql(stack, "select count(*) from pg_roles where rolname = 'reader'"), "1");
        assert_eq!(stack.shell("cache", "redis-cli get kept"), "yes");
        assert_eq!(stack.shell("cache", "redis-cli exists later"), "0");
        assert_eq!(
            stack.shell("cache", "stat -c '%U:%g %a' /data/folder; readlink /data/link"),
            "redis:8 711\nnowhere"
        );
        assert_eq!(stack.shell("cache", "stat -c %U /data"), "redis");
        assert_eq!(stack.shell("cache", "ls /data/later 2> /dev/null || echo none"), "none");
    };
    holds(&stack);
    assert_eq!(sql(&stack, "select count(*) from pg_tables where tablename = 'later'"), "0");

    // With nothing left but the backup.
    stack.mesh(&["reset"]).failed_saying(&["nothing was removed"]);
    stack.mesh(&["reset", "-y"]).succeeded();
    assert_eq!(stack.mesh(&["volumes", "-q"]).succeeded().stdout.trim(), "");
    stack.mesh(&["restore", "-y"]).succeeded();
    holds(&stack);
    assert_eq!(stack.mesh(&["health"]).code, 0);
    let profiles = stack.mesh(&["profiles"]).succeeded().stdout;
    assert!(profiles.contains("2 of 2") && profiles.contains("0 of 1"), "{profiles}");
}

#[test]
fn a_sealed_backup_tells_nothing_and_brings_back_what_the_project_is_started_with() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "x-mesh: {generate: {TOKEN: {length: 40}}}
services:
  a:
    image: busybox
    init: true
    command: [sleep, infinity]
    environment: {TOKEN: '${TOKEN}', WORD: '${WORD:-none}'}
    volumes: ['data:/data']
volumes: {data: }
",
    );
    stack.write(".env", "WORD=word-of-the-file\n");
    stack.up();
    stack.shell("a", "echo plain-text-of-a-volume > /data/file; head -c 300000 /dev/zero > /data/large");
    let token = stack.mesh(&["secrets", "get", "TOKEN"]).succeeded().stdout.trim_end().to_owned();
    let key = stack.directory().join("key");
    let key = key.to_str().expect("a path");
    stack.mesh(&["backup", "--key-file", key]).succeeded();
    assert_eq!(fs::metadata(key).expect("the key").permissions().mode() & 0o777, 0o600);
    let backup = only(&stack.directory().join("backups"));
    for entry in fs::read_dir(&backup).expect("a backup") {
        let text = fs::read(entry.expect("a file").path()).expect("a file");
        let text = String::from_utf8_lossy(&text);
        for secret in [token.as_str(), "plain-text-of-a-volume", "word-of-the-file"] {
            assert!(!text.contains(secret), "{text}");
        }
    }
    // Whether it is whole can be told without the key.
    stack.mesh(&["verify"]).succeeded();
    stack.mesh(&["restore", "-y"]).failed_saying(&["is sealed", "--key-file"]);
    let other = stack.directory().join("other");
    fs::write(&other, format!("{}\n", "ab".repeat(32))).expect("another key");
    fs::set_permissions(&other, fs::Permissions::from_mode(0o600)).expect("its mode");
    let other = other.to_str().expect("a path");
    stack.mesh(&["restore", "-y", "--key-file", other]).failed_saying(&["is not the key"]);

    // As on another machine.
    stack.mesh(&["reset", "-y"]).succeeded();
    fs::remove_file(stack.directory().join(".env")).expect("it is there");
    fs::remove_dir_all(stack.home().join("data/secrets")).expect("it is there");
    stack.mesh(&["restore", "-y", "--key-file", key]).succeeded();
    assert_eq!(
        stack.shell("a", "cat /data/file; stat -c %s /data/large; echo $TOKEN $WORD"),
        format!("plain-text-of-a-volume\n300000\n{token} word-of-the-file")
    );
    // What is there stays, and that it differs is told.
    stack.write(".env", "WORD=another\n");
    stack.mesh(&["secrets", "rotate", "TOKEN"]).succeeded();
    let told = stack.mesh(&["restore", "-y", "--key-file", key]).succeeded();
    assert!(
        told.stderr.contains(".env differs") && told.stderr.contains("TOKEN had other values"),
        "{}",
        told.text()
    );
    assert_eq!(fs::read_to_string(stack.directory().join(".env")).expect("it is there"), "WORD=another\n");
}

/// Starts a restore, ends it with a signal after a while, and gives whether it was over before.
fn restore_cut_off(stack: &Stack, signal: &str, after: Duration) -> bool {
    let begun = Instant::now();
    let mut restore = stack.command(&["restore", "-y"]);
    let child = restore.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("mesh restore");
    let pid = child.id().to_string();
    let watched = PathBuf::from(format!("/proc/{pid}/status"));
    let ended = || fs::read_to_string(&watched).map_or(true, |status| status.contains("State:\tZ"));
    harness::within(60, || ended() || begun.elapsed() >= after);
    let over = ended();
    if !over {
        let sent = Command::new("kill").args([signal, &pid]).status().expect("kill runs");
        assert!(sent.success());
    }
    harness::finish(child);
    over
}

#[test]
fn a_restore_that_is_cut_off_leaves_the_old_data_or_the_new_and_never_some_of_each() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(FILE);
    stack.up();
    let write = |state: &str| {
        sql(&stack, &format!("drop table if exists t; create table t as select '{state}' as s"));
        stack.shell(
            "cache",
            &format!("redis-cli set s {state} && rm -f /data/extra-* && touch /data/extra-{state}"),
        );
    };
    let read = || {
        stack.mesh(&["up", "-d", "--wait"]).succeeded();
        [
            sql(&stack, "select s from t"),
            stack.shell("cache", "redis-cli get s"),
            stack.shell("cache", "cd /data && ls -d extra-* | sed s/extra-//"),
        ]
    };
    write("backup");
    stack.mesh(&["backup"]).succeeded();
    write("now");
    let begun = Instant::now();
    stack.mesh(&["restore", "-y"]).succeeded();
    let whole = begun.elapsed();
    assert_eq!(read(), ["backup"; 3]);
    write("now");
    let (mut cut_off, rounds) = (0, 9);
    for round in 1..=rounds {
        let signal = ["-KILL", "-TERM", "-KILL", "-INT"][round as usize % 4];
        let over = restore_cut_off(&stack, signal, whole * round / rounds);
        // Whatever command comes next.
        stack.mesh(&["ps", "-a"]).succeeded();
        let found = read();
        assert!(found == ["now"; 3] || found == ["backup"; 3], "{signal} in round {round}: {found:?}");
        // Asked to end it had time to put everything back, unless it had come to its end.
        cut_off += u32::from(found == ["now"; 3]);
        assert!(!over || found == ["backup"; 3], "round {round}");
        for left in ["_data.old", "_data.gone"] {
            for volume in fs::read_dir(stack.home().join("data/volumes")).expect("volumes") {
                let path = volume.expect("a volume").path().join(left);
                assert!(!path.exists(), "{}", path.display());
            }
        }
        write("now");
    }
    println!("{cut_off} of {rounds} restores left the old data");
    assert!(cut_off > 0, "no restore was cut off");
}

#[test]
fn a_byte_that_changed_is_found_and_not_restored() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:\n  a: {image: busybox, init: true, command: [sleep, infinity], volumes: ['data:/data']}\nvolumes: {data: }\n",
    );
    stack.mesh(&["verify"]).failed_saying(&["there is no backup"]);
    stack.up();
    stack.shell(
        "a",
        "echo one > /data/file && chown 7:8 /data/file && chmod 4711 /data/file && chown 9:9 /data",
    );
    let kept = stack.directory().join("kept");
    stack.mesh(&["backup", "--output", "kept"]).succeeded();
    let backup = only(&kept);
    let name = backup.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let verified = stack.mesh(&["verify", &name, "-o", "kept"]).succeeded();
    assert!(verified.stdout.contains("volume-data.tar: OK"), "{}", verified.text());

    let flip = |file: &str| {
        let path = backup.join(file);
        let mut bytes = fs::read(&path).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).expect("a file");
    };
    for (file, words) in [("volume-data.tar", "volume-data.tar: differs"), ("manifest.json", "manifest")] {
        flip(file);
        stack
            .mesh(&["verify", "--all", "-o", "kept"])
            .failed_saying(&[words, "1 of 1 backups not as written"]);
        stack.mesh(&["restore", "-y", "-o", "kept"]).failed_saying(&[&name]);
        flip(file);
        stack.mesh(&["verify", "-o", "kept"]).succeeded();
    }
    // What is not damaged comes back with its owners, that of the volume itself among them.
    stack.shell("a", "rm /data/file && chown 0:0 /data && touch /data/later");
    stack.mesh(&["restore", "-y", "-o", "kept"]).succeeded();
    assert_eq!(stack.shell("a", "stat -c '%u:%g %a' /data /data/file; ls /data"), "9:9 755\n7:8 4711\nfile");

    // One that is none tells nothing of the others; what else is in the folder is nobody's business.
    let empty = kept.join("20200101_000000");
    fs::create_dir(&empty).expect("a folder");
    let told = stack.mesh(&["verify", "--all", "-o", "kept"]);
    let told = told.failed_saying(&["20200101_000000: ", "1 of 2 backups not as written"]);
    assert!(told.stdout.contains("volume-data.tar: OK"), "{}", told.text());
    fs::remove_dir(&empty).expect("it is empty");
    let pipe = Command::new("mkfifo").arg(kept.join("pipe")).status().expect("mkfifo");
    assert!(pipe.success());
    let later = stack.mesh(&["backup", "--output", "kept"]).succeeded().stdout;
    fs::remove_dir_all(later.trim_end()).expect("another one");

    fs::remove_file(backup.join("volume-data.tar")).expect("it is there");
    stack.mesh(&["verify", "-o", "kept"]).failed_saying(&["volume-data.tar: is missing"]);
    // Nothing of it was touched.
    assert_eq!(stack.shell("a", "cat /data/file"), "one");
    stack
        .mesh(&["restore", "20000101_000000", "-o", "kept"])
        .failed_saying(&["no backup 20000101_000000", &name]);
}

#[test]
fn a_backup_that_fails_leaves_nothing_and_thaws() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:
  a:
    image: busybox
    command: [sleep, infinity]
    volumes: ['data:/data']
  b:
    image: busybox
    command: [sleep, infinity]
    volumes: ['rest:/rest', './backups:/backups']
    x-mesh:
      backup:
        command: |
          echo half
          test ! -e /rest/broken || exit 3
          # The file of a volume that is read after this: it cannot be made.
          cd /backups/.*.partial && touch volume-data.tar
        restore: [cat]
volumes: {data: , rest: }
",
    );
    stack.up();
    let events = || stack.mesh(&["events", "--since", "10m", "--until", "0s"]).succeeded().stdout;
    let nothing_is_left = || {
        let left: Vec<_> = fs::read_dir(stack.directory().join("backups")).expect("a folder").collect();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(stack.container("a")["State"], "running");
    };
    stack.shell("b", "touch /rest/broken");
    stack.mesh(&["backup"]).failed_saying(&["the backup of service b failed"]);
    nothing_is_left();
    assert!(!events().contains("pause"), "{}", events());
    // While volumes are frozen.
    stack.shell("b", "rm /rest/broken");
    stack.mesh(&["backup"]).failed_saying(&["volume-data.tar"]);
    nothing_is_left();
    assert!(events().contains(" unpause "), "{}", events());
}

#[test]
fn what_is_mounted_in_a_volume_is_left_alone_and_nobody_is_overlooked() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(
        "services:
  web:
    image: busybox
    init: true
    command: [sleep, infinity]
    volumes: ['wp:/www', './themes:/www/themes', 'data:/data']
  tool:
    image: busybox
    init: true
    command: [sleep, infinity]
    profiles: [more]
    volumes: ['wp:/all']
volumes: {wp: , data: }
",
    );
    stack.up();
    stack.shell("web", "echo mine > /www/themes/mine; echo page > /www/page; echo one > /data/one");
    let mine = || fs::read_to_string(stack.directory().join("themes/mine")).expect("it is the user's");
    let told = stack.mesh(&["backup"]).succeeded();
    assert!(told.text().contains("no container has the whole of volume wp"), "{}", told.text());
    stack.shell("web", "rm /data/one");
    stack.mesh(&["restore", "-y"]).succeeded();
    assert_eq!(
        (mine().trim(), stack.shell("web", "cat /data/one /www/page").as_str()),
        ("mine", "one\npage")
    );

    // Through a container that has nothing in it.
    stack.mesh(&["--profile", "more", "up", "--wait"]).succeeded();
    let kept = stack.mesh(&["backup"]).succeeded();
    assert!(kept.text().contains("volume-wp.tar"), "{}", kept.text());
    stack.shell("web", "rm /www/page");
    stack.mesh(&["restore", "-y"]).succeeded();
    assert_eq!((mine().trim(), stack.shell("web", "cat /www/page").as_str()), ("mine", "page"));

    // One that the last `up` did not name.
    stack.up();
    stack.mesh(&["backup"]).failed_saying(&["tool", "--profile"]);
    stack.mesh(&["--profile", "more", "up", "--wait"]).succeeded();
    // One that nobody freezes.
    let name = stack.mesh(&["run", "-d", "web", "sleep", "infinity"]).succeeded().stdout;
    assert!(!name.trim().is_empty());
    stack.mesh(&["backup"]).failed_saying(&["may be written meanwhile by", "run"]);
    stack.mesh(&["restore", "-y"]).failed_saying(&["may be written meanwhile by"]);
    assert_eq!(stack.container("web")["State"], "running");
    stack.mesh(&["reset", "-y"]).succeeded();
    assert_eq!(stack.mesh(&["volumes", "-q"]).succeeded().stdout.trim(), "");
    assert_eq!(mine().trim(), "mine");
}
