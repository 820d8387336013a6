//! The supervisor's process: its lock, its namespaces, its log, and its word to whoever started it.
//!
//! Standard error is the project's log from the start. Standard output is a pipe to the command that
//! started this process and takes one line: `ready`, `busy` where another supervisor has the project, or
//! `error: ` and what went wrong.

use anyhow::Context as _;
use mesh_native::NativeSettings;
use mesh_store::{
    home::Home,
    lock::{Lock, LockError},
};
use mesh_supervisor::{SupervisorError, SupervisorSettings};
use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt,
    layer::SubscriberExt as _,
    registry,
    util::SubscriberInitExt as _,
};

/// Threads of the supervisor; what is slow runs in processes of its own.
const WORKER_THREADS: usize = 2;
/// Threads for calls that block, such as unpacking.
const BLOCKING_THREADS_MAX: usize = 16;
/// Time that blocked work may hold up the end of the process.
const SHUTDOWN_SECONDS_MAX: u64 = 5;
/// Time after which a supervisor that nobody can reach ends.
const UNREACHABLE_SECONDS_MAX: u64 = 60;
/// Time between two looks at the socket.
const LOOK_SECONDS: u64 = 5;
/// Stack of the thread that looks.
const WATCH_STACK_BYTES: usize = 128 * 1024;
/// Time without a container and without a client after which a supervisor ends.
const IDLE_EXIT_SECONDS: u64 = 5;

/// What is written into the log: a level, or levels by the beginnings of modules' names, as `info,mesh_native=debug`.
/// What cannot be read, or asks for spans or fields, is as good as nothing.
fn told(wanted: Option<&str>) -> Targets {
    let all = || Targets::new().with_default(LevelFilter::INFO);
    let Some(wanted) = wanted.filter(|wanted| !wanted.contains('[')) else { return all() };
    let parts: Vec<&str> = wanted.split(',').map(str::trim).filter(|part| !part.is_empty()).collect();
    match parts.as_slice() {
        [] => Targets::new().with_default(LevelFilter::ERROR),
        parts => parts.join(",").parse().unwrap_or_else(|_| all()),
    }
}

/// Supervises one project until it is idle or told to end. `arguments` are those after `supervisor`.
pub(crate) fn main(arguments: &[String]) -> ExitCode {
    let [flag, project] = arguments else { return misused() };
    if flag != "--project" {
        return misused();
    }
    // A log that cannot be written, on a full disk, must end nothing: the default here is to panic.
    let lines = fmt::layer().with_writer(io::stderr).with_ansi(false).log_internal_errors(false);
    registry().with(told(std::env::var("MESH_LOG").ok().as_deref())).with(lines).init();
    match supervise(project) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_busy(&error) => {
            say("busy");
            ExitCode::FAILURE
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), project, "the supervisor ended");
            say(&format!("error: {error:#}").replace('\n', " "));
            ExitCode::FAILURE
        }
    }
}

fn misused() -> ExitCode {
    say("error: usage: mesh supervisor --project NAME");
    ExitCode::from(2)
}

fn supervise(project: &str) -> anyhow::Result<()> {
    // Nothing of the directory this was started in is kept busy.
    std::env::set_current_dir("/").context("could not change to /")?;
    raise_descriptor_limit();
    let uid = rustix::process::geteuid().as_raw();
    let home = Home::of_environment(&|name| std::env::var_os(name), uid)?;
    home.create()?;
    let paths = home.project(project);
    paths.create()?;
    // Held for life, and taken before the namespaces are looked for: of two supervisors that start at
    // once, one must find what the other made.
    let _entering = Lock::acquire(&entering_lock(&paths.lock))?;
    let registry = mesh_oci::settings::Settings::from_variables(&|name| std::env::var(name).ok())?;
    let settings = NativeSettings {
        registry,
        project: project.to_owned(),
        data: home.data.clone(),
        state: paths.directory.clone(),
        binary: PathBuf::from("/proc/self/exe"),
    };
    // May join a user namespace, which only a process of one thread can.
    let entered = mesh_native::enter(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let socket = paths.socket.clone();
    let project = project.to_owned();
    let supervised = async move {
        let ground =
            mesh_native::open(settings, entered).await.context("could not open the native ground")?;
        let settings = SupervisorSettings {
            project,
            paths,
            data: home.data,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            idle_exit_after: Duration::from_secs(IDLE_EXIT_SECONDS),
        };
        let ready = || {
            say_ready();
            watch_socket(socket);
        };
        mesh_supervisor::run(settings, ground, ready).await?;
        anyhow::Ok(())
    };
    // On the workers: on this thread every request would be handed over twice, from the worker that polls to this
    // one and back.
    let result = runtime.block_on(runtime.spawn(supervised)).context("the supervisor panicked").flatten();
    // Containers do not depend on this process: what is still blocked is left to the kernel.
    runtime.shutdown_timeout(Duration::from_secs(SHUTDOWN_SECONDS_MAX));
    result
}

/// Ends this process once its socket has been gone for a while: nobody can reach it then, and as long as
/// it holds the project's lock nobody can take its place either. What runs is adopted by the next one.
fn watch_socket(socket: PathBuf) {
    let watch = move || {
        let mut gone_seconds = 0;
        while gone_seconds < UNREACHABLE_SECONDS_MAX {
            std::thread::sleep(Duration::from_secs(LOOK_SECONDS));
            gone_seconds = if socket.exists() { 0 } else { gone_seconds + LOOK_SECONDS };
        }
        tracing::error!(socket = %socket.display(), "the control socket is gone; the supervisor ends");
        std::process::exit(1);
    };
    let thread = std::thread::Builder::new().name("watch".to_owned()).stack_size(WATCH_STACK_BYTES);
    if let Err(error) = thread.spawn(watch) {
        tracing::warn!(%error, "nobody watches the control socket");
    }
}

/// Beside the lock that the supervisor itself takes once it is in its namespaces.
fn entering_lock(lock: &Path) -> PathBuf {
    lock.with_extension("entering.lock")
}

/// Each published or outbound connection takes two descriptors, and the soft limit is often 1024.
/// Containers do not inherit it: each shim sets its own.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(errno) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%errno, "the limit of open files stays as it is");
    }
}

/// Whether another supervisor has the project.
fn is_busy(error: &anyhow::Error) -> bool {
    let held = |error: &LockError| matches!(error, LockError::Held { .. });
    error.downcast_ref::<LockError>().is_some_and(held)
        || matches!(error.downcast_ref::<SupervisorError>(), Some(SupervisorError::Lock(lock)) if held(lock))
}

fn say_ready() {
    say("ready");
    // The command that listened goes away; whatever is printed from here on belongs into the log.
    if let Err(errno) = rustix::stdio::dup2_stdout(rustix::stdio::stderr()) {
        tracing::warn!(%errno, "standard output still leads to the command that started this process");
    }
}

/// One line to whoever started this process; nobody may be there any more.
fn say(line: &str) {
    let mut stdout = io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    #[test]
    fn what_is_told_is_what_was_asked_for() {
        for (wanted, module, level, expected) in [
            (None, "mesh_native::ground", Level::INFO, true),
            (None, "mesh_native::ground", Level::DEBUG, false),
            (Some("debug"), "mesh_native::ground", Level::DEBUG, true),
            (Some("WARN"), "mesh_native::ground", Level::INFO, false),
            (Some("info,mesh_native=debug"), "mesh_native::ground", Level::DEBUG, true),
            (Some("info,mesh_native=debug"), "mesh_image", Level::DEBUG, false),
            (Some("mesh_image=trace"), "mesh_native", Level::ERROR, false),
            (Some("off"), "mesh_native", Level::ERROR, false),
            (Some(""), "mesh_native", Level::ERROR, true),
            (Some(""), "mesh_native", Level::WARN, false),
            (Some("mesh=much"), "mesh_native", Level::INFO, true),
            (Some("debug,"), "mesh_native", Level::DEBUG, true),
            (Some(" , mesh_native=debug ,, "), "mesh_native", Level::DEBUG, true),
            (Some(","), "mesh_native", Level::WARN, false),
            (Some("[exec]=debug"), "mesh_native", Level::INFO, true),
        ] {
            assert_eq!(told(wanted).would_enable(module, &level), expected, "{wanted:?} {module} {level}");
        }
    }
}
