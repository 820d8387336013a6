//! Commands about images of a registry: digests, several failures, layers' progress, names.

mod harness;

use harness::{
    Stack,
    archive::{self, Layer},
    finish, is_root,
    registry::Registry,
};
use serde_json::{Value, json};
use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Command, Stdio},
};

/// A registry with an image of two layers, and a project that uses it.
fn given() -> Option<(Registry, Stack)> {
    let registry = Registry::start()?;
    let compose = "services:\n  a: {image: '${IMAGE}', command: [sleep, '1000'], stop_signal: SIGKILL}\n  \
                   b: {image: '${OTHER:-other:1}', command: [sleep, '1000'], profiles: [b]}\n";
    let mut stack = Stack::new(compose);
    stack.forget_layers();
    let mut above = Layer::new();
    above.file("opt/above", b"above", 0o644, 0);
    let path = archive::write(stack.home(), "mine:1", vec![Layer::base()?, above], json!({"Cmd": ["sh"]}));
    registry.push(&path, "team/app:1");
    stack.set("IMAGE", &format!("{}/team/app:1", registry.address));
    stack.set("MESH_SUBSTITUTE", "never");
    Some((registry, stack))
}

#[test]
fn configs_have_the_digests_of_their_registries() {
    if !is_root() {
        return;
    }
    let Some((registry, stack)) = given() else { return };
    let locked = stack.mesh(&["config", "--lock-image-digests"]).succeeded().stdout;
    let pinned = format!("{}/team/app:1@sha256:", registry.address);
    assert!(locked.starts_with("services:\n  a:\n    image: ") && locked.contains(&pinned), "{locked}");
    assert!(!locked.contains("sleep"), "{locked}");
    let resolved = stack.mesh(&["config", "--resolve-image-digests"]).succeeded().stdout;
    assert!(resolved.contains(&pinned) && resolved.contains("sleep"), "{resolved}");
    let json = stack.mesh(&["config", "--lock-image-digests", "--format", "json"]).succeeded().stdout;
    let json: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((json["name"].as_str(), json["services"]["a"]["command"].is_null()), (Some(""), true));
    // What is printed is a file that can be laid on the project's own.
    stack.write("lock.yaml", &locked);
    let both =
        stack.mesh(&["-f", "compose.yaml", "-f", "lock.yaml", "config", "--images"]).succeeded().stdout;
    assert!(both.contains(&pinned), "{both}");
    stack.mesh(&["-f", "compose.yaml", "-f", "lock.yaml", "up", "-d"]).succeeded();
    let mut wrong = stack.beside("wrong", "services:\n  a: {image: '${IMAGE}'}\n");
    for (image, words) in [
        (format!("{}/team/app:2", registry.address), "is not in the registry"),
        (format!("{}/app:1", "127.0.0.1:1"), "cannot be reached"),
        ("Not An Image".to_owned(), "failed to resolve digest"),
    ] {
        wrong.set("IMAGE", &image);
        wrong.mesh(&["config", "--resolve-image-digests"]).failed_saying(&[words]);
    }
}

#[test]
fn pulls_tell_of_each_layer_once_and_of_each_failure() {
    if !is_root() {
        return;
    }
    let Some((registry, mut stack)) = given() else { return };
    let said = stack.mesh(&["pull"]).succeeded().stderr;
    for (words, count) in [("Downloading", 3), ("Pull complete", 2), ("Ready (oci)", 1)] {
        assert_eq!(said.matches(words).count(), count, "{words} in\n{said}");
    }
    let again = stack.mesh(&["--progress", "json", "pull"]).succeeded().stderr;
    let layers = again.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let parent = format!("Image {}/team/app:1", registry.address);
    let present: Vec<Value> = layers.filter(|it| it["parent_id"] == parent.as_str()).collect();
    assert!(present.iter().any(|it| it["text"] == "Already exists" && it["status"] == "Done"), "{again}");

    stack.set("OTHER", &format!("{}/team/none:1", registry.address));
    stack.set("IMAGE", &format!("{}/team/app:9", registry.address));
    let failed = stack.mesh(&["--profile", "b", "pull"]).failed_saying(&["Error"]).stderr;
    let errors: Vec<&str> = failed.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 2, "{failed}");
    assert!(errors[0].contains("service a") && errors[1].contains("service b"), "{failed}");
}

#[test]
fn the_caller_says_how_registries_are_asked() {
    if !is_root() {
        return;
    }
    let Some((registry, mut stack)) = given() else { return };
    stack.mesh(&["up", "-d"]).succeeded();
    let supervisor = stack.supervisor();
    // It was started without a mirror.
    stack.set("IMAGE", "example.invalid/team/app:1");
    stack.mesh(&["pull"]).failed_saying(&["example.invalid"]);
    stack.set("MESH_REGISTRY_MIRRORS", &format!("example.invalid=http://{}", registry.address));
    stack.mesh(&["pull"]).succeeded();
    stack.set("MESH_REGISTRY_MIRRORS", "nonsense");
    stack.mesh(&["pull"]).failed_saying(&["MESH_REGISTRY_MIRRORS"]);
    assert_eq!(stack.supervisor(), supervisor, "it is the same all the time");
}

#[test]
fn a_pull_that_is_interrupted_says_so() {
    if !is_root() {
        return;
    }
    // It takes questions and gives no answers.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut stack = Stack::new("services:\n  a: {image: '${IMAGE}'}\n");
    stack.forget_layers();
    stack.set("IMAGE", &format!("{}/a:1", silent.local_addr().expect("bound")));
    stack.set("MESH_REGISTRY_TIMEOUT", "60");
    let mut child =
        stack.command(&["pull"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("mesh runs");
    let mut told = BufReader::new(child.stderr.take().expect("a pipe"));
    let mut line = String::new();
    told.read_line(&mut line).expect("a line");
    assert!(line.contains("Resolving"), "{line}");
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill runs");
    let mut rest = String::new();
    told.read_to_string(&mut rest).expect("text");
    assert_eq!(finish(child).code, 130, "{rest}");
    assert!(rest.ends_with("cancelled\n"), "{rest}");
}

#[test]
fn images_are_given_further_names() {
    if !is_root() {
        return;
    }
    let Some((registry, stack)) = given() else { return };
    stack.mesh(&["pull"]).succeeded();
    let from = format!("{}/team/app:1", registry.address);
    stack.mesh(&["tag", &from, "mine:v1"]).succeeded();
    stack.mesh(&["image", "tag", "mine:v1", "mine"]).succeeded();
    let listed = stack.mesh(&["image", "ls", "mine"]).succeeded().stdout;
    let header = listed.lines().next().unwrap_or_default();
    assert!(header.contains("CREATED") && listed.lines().count() == 3, "{listed}");
    stack.mesh(&["rmi", &from]).succeeded();
    stack.write(
        "compose.yaml",
        "services:\n  a: {image: 'mine:v1', command: [sleep, '1000'], stop_signal: SIGKILL}\n",
    );
    stack.mesh(&["up", "-d"]).succeeded();
    assert_eq!(stack.shell("a", "cat /opt/above"), "above");
    stack.mesh(&["rmi", "-f", "mine:latest"]).succeeded();
    stack.mesh(&["rmi", "mine:v1"]).failed_saying(&["is used by container"]);
    let taken = stack.mesh(&["rmi", "-f", "mine:v1"]).succeeded().stdout;
    assert_eq!(taken, "Untagged: mine:v1\n");
    // The same image under a name again is not there twice.
    stack.mesh(&["tag", "none", "x"]).failed_saying(&["no image none"]);
    let id = stack.mesh(&["image", "ls", "-q"]).succeeded().stdout.trim().to_owned();
    stack.mesh(&["tag", &id, "back:1"]).succeeded();
    assert_eq!(stack.mesh(&["image", "ls", "-q"]).succeeded().stdout.trim(), id);
    stack.mesh(&["tag", "back:1", "Wrong Name"]).failed_saying(&["not an image reference"]);
    stack.mesh(&["tag", "back:1", &format!("x@sha256:{}", "a".repeat(64))]).failed_saying(&["has a digest"]);
    stack.mesh(&["tag", "back:1"]).failed_saying(&["NAME"]);
}
