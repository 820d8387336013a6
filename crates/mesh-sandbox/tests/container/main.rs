//! Containers made by the real shim: as root, and by a user with one id.
//!
//! This program is also the shim (`shim ...`), the ordinary user's half of the tests (`as-user`), and a
//! person's own command outside of the user namespace (`outside`).

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program without the test harness")]

mod beside;
mod living;
mod root;
mod sandbox;
mod user;
mod world;

use mesh_sandbox::{
    spawn::{join_holder_user_namespace, spawn_exec, start_holder},
    specification::UserNamespace,
};
use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Child, Command, Stdio},
    time::Instant,
};
use world::{World, binary, busybox};

/// The user of the rootless half; no account of this machine has it.
const ORDINARY_UID: u32 = 12_345;

type Test = (&'static str, fn(&World));

const AS_ANYBODY: &[Test] = &[
    ("a program runs and its code is kept", sandbox::codes),
    ("output goes to the journal", sandbox::journal),
    ("a program that cannot be executed is told", sandbox::not_executed),
    ("a sandbox that cannot be made is told", sandbox::not_set_up),
    ("the container sees itself only", sandbox::isolation),
    ("system calls and capabilities are limited", sandbox::privileges),
    ("the root can be read-only", sandbox::read_only),
    ("memory is mounted as asked", sandbox::tmpfs),
    ("a bind target cannot escape", sandbox::escape),
    ("an empty volume is filled", sandbox::populate),
    ("the environment is completed", sandbox::environment),
    ("process 1 reaps", living::reaping),
    ("signals reach the program", living::signals),
    ("the container dies with its shim", living::shim_killed),
    ("a container that nobody keeps is killed", living::unkept),
    ("a program joins a container", living::exec),
    ("the container's shim starts a program", beside::programs),
    ("a program beside is signalled, killed and let go", beside::endings),
    ("a request that is not taken is withdrawn", beside::not_taken),
    ("programs beside are bounded and leave nothing", beside::bounds),
    ("nobody in the container looks into what will be a program", beside::guard),
    ("a container without a door has none", beside::no_door),
    ("a program that takes too long is killed", living::exec_timeout),
    ("a program is detached", living::exec_detached),
    ("terminals are made", living::terminal),
    ("streams are inherited", living::inherited),
    ("many layers fit", sandbox::many_layers),
    ("files are copied out and in", living::copy),
    ("lines are never waited for", sandbox::full_log),
    ("it is quick", living::speed),
];

const AS_ROOT: &[Test] = &[
    ("users are looked up in the container", root::users),
    ("secrets have owner and mode", root::secrets),
    ("limits hold and a lack of memory is recorded", root::limits),
    ("ulimits and sysctls are set", root::ulimits),
    ("a network namespace is joined", root::network),
    ("a stranger is not answered", beside::strangers),
];

const AS_USER: &[Test] = &[
    ("the one id is the service's own", user::sole_user),
    ("secrets are readable by the service", user::sole_secrets),
    ("a program joins as the same user", user::sole_exec),
];

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.get(1).map(String::as_str) {
        Some("shim") => std::process::exit(mesh_sandbox::main(&arguments[2..])),
        Some("as-user") => as_user(Path::new(&arguments[2])),
        Some("outside") => outside(),
        Some("knock") => beside::knock(Path::new(&arguments[2])),
        _ if arguments.iter().any(|word| word == "--list") => {
            if !arguments.iter().any(|word| word == "--ignored") {
                println!("container: test");
            }
        }
        _ => everything(),
    }
}

fn everything() {
    let downloads = tempfile::tempdir().unwrap();
    let Some(busybox) = busybox(downloads.path()) else {
        println!("skipped: no static busybox here, and none could be downloaded");
        return;
    };
    if !nix::unistd::geteuid().is_root() {
        println!("skipped: the root half needs root");
        as_user(&busybox);
        return;
    }
    let world = World::new(UserNamespace::None, &busybox);
    run("root", &world, &[AS_ANYBODY, AS_ROOT]);
    // The ordinary user must be able to read the program and busybox, wherever they are.
    let shared = tempfile::tempdir().unwrap();
    fs::set_permissions(shared.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (program, tools) = (shared.path().join("program"), shared.path().join("busybox"));
    fs::copy(binary(), &program).unwrap();
    fs::copy(&busybox, &tools).unwrap();
    let temporary = shared.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    chown(&temporary, Some(ORDINARY_UID), Some(ORDINARY_UID)).unwrap();
    let status = Command::new(&program)
        .arg("as-user")
        .arg(&tools)
        .env("TMPDIR", &temporary)
        .uid(ORDINARY_UID)
        .gid(ORDINARY_UID)
        .status()
        .unwrap();
    assert!(status.success(), "the ordinary user's half failed");
}

/// The ordinary user's half: makes a holder, joins its user namespace, and runs everything there.
fn as_user(busybox: &Path) {
    let holder = match start_holder(&binary(), true) {
        Ok(holder) => holder,
        Err(error) => {
            println!("skipped: no user namespaces here: {error}");
            return;
        }
    };
    let helper = Command::new(binary()).arg("outside").stdin(Stdio::piped()).spawn().unwrap();
    join_holder_user_namespace(holder.pid).unwrap();
    let world = World::new(holder.user_namespace, busybox);
    join_from_outside(&world, helper);
    run("user", &world, &[AS_ANYBODY]);
    if holder.user_namespace == UserNamespace::Sole {
        run("user", &world, &[AS_USER]);
    }
    let pid = nix::unistd::Pid::from_raw(i32::try_from(holder.pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    let status = nix::sys::wait::waitpid(pid, None).unwrap();
    assert!(matches!(status, nix::sys::wait::WaitStatus::Signaled(..)), "{status:?}");
}

fn run(half: &str, world: &World, lists: &[&[Test]]) {
    let wanted = std::env::var("MESH_TEST").unwrap_or_default();
    let mut failed = 0;
    for (name, test) in lists.iter().flat_map(|list| list.iter()).filter(|(name, _)| name.contains(&wanted)) {
        let begun = Instant::now();
        // The panic's own text was printed by then.
        let passed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| test(world))).is_ok();
        failed += usize::from(!passed);
        let verdict = if passed { "ok" } else { "FAILED" };
        println!("test {half}: {name} ... {verdict} ({} ms)", begun.elapsed().as_millis());
    }
    assert_eq!(failed, 0, "tests failed");
}

/// A person's own command: runs what it reads, from outside of the container's user namespace.
fn outside() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    let output =
        spawn_exec(&binary(), &serde_json::from_str(&text).unwrap()).unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "box\n70\n", "{output:?}");
}

fn join_from_outside(world: &World, mut helper: Child) {
    let mut specification = world.specification("echo up; sleep 1000");
    specification.process.user = "app".to_owned();
    let container = world.start(&specification);
    let mut exec = world.exec(&container, world.process(&["sh", "-c", "hostname; id -u"]));
    exec.process.user = "app".to_owned();
    exec.container_user = "app".to_owned();
    helper.stdin.take().unwrap().write_all(&serde_json::to_vec(&exec).unwrap()).unwrap();
    assert!(helper.wait().unwrap().success(), "a program could not join from outside");
    container.stop();
}
