//! Images of archives and of a registry: loaded, pulled, run as they say, saved and removed.

mod harness;

use harness::{
    Stack,
    archive::{self, Layer},
    finish, is_root,
    registry::Registry,
    within,
};
use serde_json::{Value, json};
use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Stdio,
};

/// A user id that no account of the machine has.
const USER: u32 = 54_321;

/// How the image of these tests runs.
fn config() -> Value {
    json!({
        "Env": ["PATH=/bin", "COLOUR=image", "KEPT=image"], "Entrypoint": ["/entry"], "Cmd": ["sleep", "1000"],
        "User": "app:staff", "WorkingDir": "/var/lib/app", "Volumes": {"/var/lib/app": {}},
        "StopSignal": "SIGKILL", "ExposedPorts": {"80/tcp": {}},
        "Healthcheck": {"Test": ["CMD-SHELL", "test -e /var/lib/app/seed"], "Interval": 1_000_000_000},
    })
}

/// A layer of busybox, and one that changes it.
fn layers() -> Option<Vec<Layer>> {
    let mut base = Layer::base()?;
    base.file("opt/kept/old", b"old", 0o644, 0);
    base.file("opt/hidden/old", b"old", 0o644, 0);
    base.file("opt/gone/old", b"old", 0o644, 0);
    base.directory("var/lib/", 0o755, 0);
    base.directory("var/lib/app/", 0o750, 1000);
    base.file("var/lib/app/seed", b"seed", 0o640, 1000);
    let mut above = Layer::new();
    above.file("opt/.wh.gone", b"", 0o644, 0);
    above.directory("opt/hidden/", 0o755, 0);
    above.file("opt/hidden/.wh..wh..opq", b"", 0o644, 0);
    above.file("opt/hidden/new", b"new", 0o644, 0);
    // Without its parent: that of the layer below keeps owner and mode.
    above.file("tmp/inside", b"", 0o644, 0);
    above.file("entry", b"#!/bin/sh\necho entry \"$@\"\nid\npwd\nenv\nexec \"$@\"\n", 0o755, 0);
    Some(vec![base, above])
}

/// A project of its own with an empty store.
fn stack(compose: &str) -> Stack {
    let stack = Stack::new(compose);
    stack.forget_layers();
    stack
}

/// Loads the image of these tests.
fn loaded(stack: &Stack, name: &str) -> Option<PathBuf> {
    let path = archive::write(stack.home(), name, layers()?, config());
    let text = stack.mesh(&["load", "-i", path.to_str().expect("UTF-8")]).succeeded().stdout;
    assert_eq!(text, format!("Loaded image: {name}\n"));
    Some(path)
}

fn stored(stack: &Stack) -> Vec<Value> {
    let text = stack.mesh(&["image", "ls", "--format", "json"]).succeeded().stdout;
    serde_json::from_str(&text).expect("JSON")
}

/// Files below the store besides its folders, package lists and locks.
fn left(store: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["layers", "blobs", "blobs/sha256", "index"] {
        for entry in fs::read_dir(store.join(folder)).into_iter().flatten().flatten() {
            let name = entry.path().strip_prefix(store).expect("below").display().to_string();
            found.extend((name != "blobs/sha256").then_some(name));
        }
    }
    found
}

#[test]
fn an_image_runs_as_it_says_and_the_service_has_the_last_word() {
    if !is_root() {
        return;
    }
    let stack = stack(
        r#"
services:
  own: {image: "mine:1", environment: {COLOUR: service}}
  other:
    image: mine:1
    user: root:app
    entrypoint: [sleep, "1000"]
    working_dir: /opt
    healthcheck: {disable: true}
    stop_signal: SIGKILL
  words: {image: "mine:1", command: [sh, -c, "sleep 1000"], environment: [KEPT], healthcheck: {retries: 7}}
"#,
    );
    if loaded(&stack, "mine:1").is_none() {
        return;
    }
    stack.up();
    let said = stack.mesh(&["logs", "--no-log-prefix", "own"]).succeeded().stdout;
    for line in ["entry sleep 1000", "/var/lib/app", "COLOUR=service", "KEPT=image", "HOME=/home/app"] {
        assert!(said.lines().any(|it| it == line), "no {line:?} in:\n{said}");
    }
    assert!(said.contains("uid=1000(app) gid=50(staff)"), "{said}");
    assert_eq!(stack.container("own")["Health"], "healthy");
    // The volume of the image was filled with what the image has there, owners kept.
    assert_eq!(stack.shell("own", "stat -c '%u %a' /var/lib/app /var/lib/app/seed"), "1000 750\n1000 640");
    assert_eq!(stack.shell("own", "echo /opt/* /opt/hidden/*"), "/opt/hidden /opt/kept /opt/hidden/new");
    assert_eq!(stack.shell("own", "stat -c %a /tmp"), "1777");
    assert!(stack.mesh(&["logs", "other"]).succeeded().stdout.is_empty());
    assert_eq!(stack.shell("other", "id -u; id -g; pwd"), "0\n1001\n/opt");
    assert_eq!(stack.container("other")["Health"], "");
    let words = stack.mesh(&["logs", "--no-log-prefix", "words"]).succeeded().stdout;
    assert!(words.contains("entry sh -c sleep 1000"), "{words}");
    let images = stack.mesh(&["images"]).succeeded().stdout;
    let id = stored(&stack)[0]["ID"].as_str().expect("an id").replace("sha256:", "");
    assert!(images.contains("mine") && images.contains(&id[..12]), "{images}");
    assert!(stack.mesh(&["ps"]).succeeded().stdout.contains("mine:1"));
}

#[test]
fn what_is_saved_is_the_image_that_was_loaded() {
    if !is_root() {
        return;
    }
    let one = stack("services: {}\n");
    if loaded(&one, "mine:1").is_none() {
        return;
    }
    let id = stored(&one)[0]["ID"].clone();
    for format in ["docker", "oci"] {
        let path = one.home().join(format!("{format}.tar"));
        let path = path.to_str().expect("UTF-8");
        one.mesh(&["save", "--format", format, "-o", path, "mine:1"]).succeeded();
        let other = stack("services:\n  a: {image: 'mine:1', command: [sleep, '1000']}\n");
        other.mesh(&["load", "--input", path]).succeeded();
        assert_eq!(stored(&other)[0]["ID"], id);
        other.mesh(&["up", "--wait", "--substitute", "never"]).succeeded();
    }
    let missing = one.home().join("missing.tar");
    one.mesh(&["save", "-o", missing.to_str().expect("UTF-8"), "other:1"])
        .failed_saying(&["no image other:1"]);
    assert!(!missing.exists());
    let names: Vec<_> =
        fs::read_dir(one.home()).expect("a home").flatten().map(|it| it.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains(".part")), "{names:?}");
}

#[test]
fn images_go_when_nobody_needs_them() {
    if !is_root() {
        return;
    }
    let stack = stack("services:\n  a: {image: 'mine:1', command: [sleep, '1000']}\n");
    let store = stack.home().join("data/images");
    let Some(path) = loaded(&stack, "mine:1") else { return };
    let path = path.to_str().expect("UTF-8").to_owned();
    stack.up();
    stack.mesh(&["rmi", "mine:1"]).failed_saying(&["is used by container", stack.name(), "hint"]);
    // By force the name goes; what the container was made of stays.
    let taken = stack.mesh(&["rmi", "--force", "mine:1"]).succeeded().stdout;
    assert_eq!(taken, "Untagged: mine:1\n");
    let names: Vec<Value> = stored(&stack).iter().map(|it| it["Repository"].clone()).collect();
    assert_eq!(names, ["<none>"]);
    assert_eq!(stack.shell("a", "cat /opt/hidden/new"), "new");
    let kept = stack.mesh(&["prune", "--all", "--force"]).succeeded().stdout;
    assert!(kept.contains("Total reclaimed space: "), "{kept}");
    assert_eq!(stack.shell("a", "cat /opt/hidden/new"), "new");
    stack.mesh(&["load", "-q", "-i", &path]).succeeded();
    let said = stack.mesh(&["down", "-v", "--rmi", "all"]).succeeded().text();
    assert!(said.contains("Image mine:1  Removed"), "{said}");
    stack.mesh(&["prune", "-f"]).succeeded();
    assert_eq!(left(&store), Vec::<String>::new());
    // Asked, and not answered.
    stack.mesh(&["load", "-q", "-i", &path]).succeeded();
    stack.mesh(&["prune", "-a"]).failed_saying(&["are you sure", "nothing was removed"]);
    assert_eq!(stored(&stack).len(), 1);
}

#[test]
fn hostile_archives_are_refused_and_leave_nothing() {
    if !is_root() {
        return;
    }
    let stack = stack("services: {}\n");
    let store = stack.home().join("data/images");
    let refused = |make: &dyn Fn(&mut Layer), words: &[&str]| {
        let mut layer = Layer::new();
        make(&mut layer);
        let path = archive::write(stack.home(), "bad:1", vec![layer], json!({}));
        stack.mesh(&["load", "-i", path.to_str().expect("UTF-8")]).failed_saying(words);
        let layers = fs::read_dir(store.join("layers")).expect("layers").count();
        assert_eq!((layers, stored(&stack).len()), (0, 0));
    };
    refused(
        &|layer| layer.file("../../escaped", b"x", 0o644, 0),
        &["could not unpack layer", "would leave the layer"],
    );
    refused(&|layer| layer.file(".wh...", b"", 0o644, 0), &["would leave the layer"]);
    refused(&|layer| layer.hard_link("x", "/etc/shadow"), &["hard link", "no file of its layer"]);
    refused(
        &|layer| {
            layer.link("a", "b");
            layer.link("b", "a");
            layer.file("a/x", b"", 0o644, 0);
        },
        &["too many links"],
    );
    assert!(!stack.home().join("escaped").exists());
    // A link out of the layer leads into it.
    let mut layer = Layer::new();
    layer.link("out", &format!("../../../../../../../..{}", stack.home().display()));
    layer.file("out/escaped", b"x", 0o644, 0);
    let path = archive::write(stack.home(), "inside:1", vec![layer], json!({}));
    stack.mesh(&["load", "-i", path.to_str().expect("UTF-8")]).succeeded();
    assert!(!stack.home().join("escaped").exists());
    for (bytes, words) in [(&b"no archive"[..], "no tar file"), (b"", "empty")] {
        fs::write(stack.home().join("x"), bytes).expect("written");
        let path = stack.home().join("x");
        stack.mesh(&["load", "-i", path.to_str().expect("UTF-8")]).failed_saying(&[words]);
    }
}

#[test]
fn a_load_that_is_killed_leaves_nothing_torn() {
    if !is_root() {
        return;
    }
    let stack = stack("services:\n  a: {image: 'mine:1', command: [sleep, '1000']}\n");
    let store = stack.home().join("data/images");
    let Some(mut layers) = layers() else { return };
    // Many files, so that there is a middle to be killed in.
    (0..4_000).for_each(|at| layers[1].file(&format!("opt/many{at}"), b"some content", 0o644, 0));
    let path = archive::write(stack.home(), "mine:1", layers, config());
    let path = path.to_str().expect("UTF-8");
    let mut child = stack.command(&["load", "-i", path]).stdout(Stdio::null()).spawn().expect("mesh runs");
    let building = || {
        let names = fs::read_dir(store.join("layers")).into_iter().flatten().flatten();
        names.filter(|it| it.file_name().to_string_lossy().starts_with(".building-")).count() > 0
    };
    assert!(within(60, building), "no layer was begun");
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    stack.mesh(&["load", "-i", path]).succeeded();
    stack.up();
    assert!(!building(), "what the kill left was not swept");
    assert_eq!(stack.shell("a", "ls /opt | find /opt -name 'many*' | wc -l").trim(), "4000");
}

#[test]
fn an_image_of_a_registry_is_pulled_once_and_run() {
    if !is_root() {
        return;
    }
    let Some(registry) = Registry::start() else { return };
    let mut stack = stack("services:\n  a: {image: '${IMAGE}', command: [sleep, '1000']}\n");
    let Some(made) = layers() else { return };
    let path = archive::write(stack.home(), "mine:1", made, config());
    registry.push(&path, "team/app:1");
    let image = format!("{}/team/app:1", registry.address);
    stack.set("IMAGE", &image);
    let said = stack.up().text();
    assert!(said.contains(&image) && said.contains("oci"), "{said}");
    assert_eq!(stack.shell("a", "cat /opt/hidden/new"), "new");
    let digest = stored(&stack)[0]["Digest"].as_str().expect("a digest").to_owned();
    stack.mesh(&["pull"]).succeeded();
    stack.mesh(&["down"]).succeeded();
    // By its digest, which is stored by now; and from an empty store.
    stack.set("IMAGE", &format!("{}/team/app@{digest}", registry.address));
    stack.up();
    stack.mesh(&["down", "--rmi", "all"]).succeeded();
    stack.mesh(&["prune", "-a", "-f"]).succeeded();
    assert_eq!(left(&stack.home().join("data/images")), Vec::<String>::new());
    stack.up();
    stack.mesh(&["down"]).succeeded();
    let gone = registry.address.clone();
    drop(registry);
    // What is stored serves without the registry; what is not is told with the registry's name.
    stack.up();
    stack.mesh(&["down"]).succeeded();
    stack.set("IMAGE", &format!("{gone}/team/app:2"));
    stack.mesh(&["up", "--wait"]).failed_saying(&["team/app:2", &gone, "hint"]);
    let other: String = digest.trim_start_matches("sha256:").chars().rev().collect();
    stack.set("IMAGE", &format!("{gone}/team/app@sha256:{other}"));
    stack.mesh(&["up", "--wait"]).failed_saying(&["team/app@sha256", &gone]);
}

#[test]
fn an_ordinary_user_has_images_too() {
    if !is_root() {
        return;
    }
    let stack = stack("services:\n  a: {image: 'mine:1', command: [sleep, '1000']}\n");
    let Some(made) = layers() else { return };
    let path = archive::write(stack.home(), "mine:1", made, config());
    let run = |arguments: &[&str]| {
        let mut command = stack.command(arguments);
        command.uid(USER).gid(USER).stdout(Stdio::piped()).stderr(Stdio::piped());
        finish(command.spawn().expect("mesh runs"))
    };
    for path in [
        stack.home().to_owned(),
        stack.home().join("data"),
        stack.home().join("data/images"),
        stack.directory().to_owned(),
        stack.home().parent().expect("a parent").to_owned(),
    ] {
        chown(path, Some(USER), Some(USER)).expect("given away");
    }
    run(&["load", "-i", path.to_str().expect("UTF-8")]).succeeded();
    run(&["up", "--wait"]).succeeded();
    let shell = |line: &str| run(&["exec", "-T", "a", "sh", "-c", line]).succeeded().stdout;
    assert_eq!(shell("echo /opt/* /opt/hidden/*").trim(), "/opt/hidden /opt/kept /opt/hidden/new");
    assert_eq!(shell("id -un; pwd").trim(), "app\n/var/lib/app");
    run(&["down", "-v", "--rmi", "all", "-t", "1"]).succeeded();
    run(&["prune", "-f"]).succeeded();
    assert_eq!(left(&stack.home().join("data/images")), Vec::<String>::new());
}
