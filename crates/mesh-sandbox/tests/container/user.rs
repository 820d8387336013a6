//! What a user with one id gets.

use crate::{
    root::secret,
    world::{World, until},
};
use std::fs;

pub(crate) fn sole_user(world: &World) {
    let mut specification =
        world.specification("id -u; id -g; stat -c %u /srv; touch /srv/x && stat -c %u /srv/x");
    specification.process.user = "app".to_owned();
    assert_eq!(world.run(&specification), (0, "70\n71\n70\n70".to_owned()));
    assert_eq!(world.output("id -u; stat -c %u /srv"), "0\n0");
}

pub(crate) fn sole_secrets(world: &World) {
    let mut specification = world.specification("cat /run/secrets/one; stat -c ' %a' /run/secrets/one");
    specification.process.user = "app".to_owned();
    specification.mounts = vec![secret("/run/secrets/one", Some("app"), 0o400)];
    assert_eq!(world.run(&specification), (0, "hunter2 400".to_owned()));
}

pub(crate) fn sole_exec(world: &World) {
    let mut specification = world.specification("echo up; sleep 1000");
    specification.process.user = "app".to_owned();
    let container = world.start(&specification);
    until("the container", || container.output().contains("up"));
    let namespace = fs::read_link(format!("/proc/{}/ns/user", container.pid())).unwrap();
    for (user, want) in [("app", "70\n"), ("", "0\n"), ("1234", "1234\n")] {
        let mut exec =
            world.exec(&container, world.process(&["sh", "-c", "readlink /proc/self/ns/user >&2; id -u"]));
        exec.process.user = user.to_owned();
        exec.container_user = "app".to_owned();
        let output = world.run_exec(&exec);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (_, stdout, stderr) = container.beside(&exec).unwrap().end();
        for (stdout, stderr) in [(text(&output.stdout), text(&output.stderr)), (stdout, stderr)] {
            assert_eq!(stdout, want, "{stderr}");
            assert_eq!(stderr.trim_end() == namespace.to_string_lossy(), user == "app");
        }
    }
    container.stop();
}
