//! Fetching packages goes wrong in its own ways; each says what happened and what to do.

mod harness;

use harness::{Stack, is_root};
use std::{fs, os::unix::fs::PermissionsExt};

const ONE: &str = "services:\n  a: {image: busybox, command: [sleep, infinity]}\n";

#[test]
fn without_apt_it_is_named() {
    if !is_root() {
        return;
    }
    let mut stack = Stack::new(ONE);
    stack.forget_layers();
    let tools = stack.home().join("tools");
    fs::create_dir(&tools).expect("a folder");
    stack.set("PATH", &tools.display().to_string());
    stack.mesh(&["up", "--wait"]).failed_saying(&["apt-get", "hint"]);
}

#[test]
fn without_a_network_an_empty_store_cannot_be_filled() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(ONE);
    stack.forget_layers();
    stack
        .mesh_within("unshare", &["--net"], &["up", "--wait"])
        .failed_saying(&["busybox", "network", "hint"]);
}

#[test]
fn without_a_network_stored_layers_serve() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(ONE);
    stack.up();
    stack.mesh(&["down"]).succeeded();
    stack.mesh_within("unshare", &["--net"], &["up", "--wait"]).succeeded();
    assert_eq!(stack.container("a")["State"], "running");
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_done() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(ONE);
    let store = stack.forget_layers();
    let line = format!("mount -t tmpfs -o size=96m mesh-test {} && exec \"$@\"", store.display());
    stack
        .mesh_within("unshare", &["--mount", "sh", "-c", &line, "sh"], &["up", "--wait"])
        .failed_saying(&["no space left", &store.display().to_string()]);
}

#[test]
fn without_permission_it_is_said_on_what() {
    if !is_root() {
        return;
    }
    let stack = Stack::new(ONE);
    // Somebody else's home: nothing in it may be made.
    fs::set_permissions(stack.home().parent().expect("a parent"), fs::Permissions::from_mode(0o755))
        .expect("open");
    let outcome = stack.mesh_within(
        "setpriv",
        &["--reuid=54321", "--regid=54321", "--clear-groups"],
        &["up", "--wait"],
    );
    outcome.failed_saying(&[&stack.home().display().to_string(), "permission denied"]);
}
