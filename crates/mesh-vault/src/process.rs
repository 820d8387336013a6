//! The process around a server: its arguments, what it prints, its signals and its limits.
//!
//! SIGTERM and SIGINT let requests under way finish and end with 0; a second one ends at once. SIGHUP reads certificates
//! and the log level anew and opens audit files anew.

use crate::{
    config::{Arguments, ArgumentsError, Config, ConfigError, Listener},
    core::VERSION,
    server::{DevelopmentKeys, Server, ServerError, Started},
};
use mesh_linux::process::limit_heaps;
use std::{
    fmt::Write as _,
    io::{self, Write as _},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Bytes of stack of a worker: nothing here nests deeper than a parser's bound.
const STACK_BYTES: usize = 1 << 20;
/// Heaps of all threads together. One for each keeps what its thread needed once; with a single one they wait for each
/// other.
const HEAPS_MAX: u16 = 2;
/// Threads that may compute what takes long (keys, password hashes) at a time.
const HEAVY_THREADS_MAX: usize = 8;
/// How long a thread for heavy work stays without any.
const HEAVY_IDLE: std::time::Duration = std::time::Duration::from_secs(2);

/// Why the process ends with 1.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("could not start the runtime")]
    Runtime(#[source] io::Error),
    #[error("could not watch signals")]
    Signals(#[source] io::Error),
}

/// Runs `vault server` with what follows `server`, until it is told to end; the exit code. `set_log_level` is called
/// with `trace`, `debug`, `info`, `warn` or `error`, at the start and on SIGHUP.
pub fn main(arguments: &[String], set_log_level: &dyn Fn(&str)) -> u8 {
    match start(arguments, set_log_level) {
        Ok(()) => 0,
        Err(ProcessError::Arguments(ArgumentsError::Help)) => {
            say(&format!("{}\n", crate::config::USAGE));
            0
        }
        Err(error) => {
            tell(&chain(&error));
            if matches!(error, ProcessError::Arguments(_)) {
                tell(&format!("\n{}", crate::config::USAGE));
            }
            1
        }
    }
}

fn start(arguments: &[String], set_log_level: &dyn Fn(&str)) -> Result<(), ProcessError> {
    let environment = |name: &str| std::env::var(name).ok();
    let arguments = Arguments::parse(arguments, &environment)?;
    let config = Config::load(&arguments, &environment)?;
    for warning in &config.warnings {
        tell(&format!("WARNING! {warning}"));
    }
    set_log_level(&config.log_level);
    limit();
    // Where it cannot be said it is only memory.
    let _ = limit_heaps(HEAPS_MAX);
    warm();
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.thread_stack_size(STACK_BYTES).max_blocking_threads(HEAVY_THREADS_MAX);
    builder.thread_keep_alive(HEAVY_IDLE).thread_name("vault");
    let runtime = builder.enable_all().build().map_err(ProcessError::Runtime)?;
    runtime.block_on(serve(&arguments, config, set_log_level))
}

async fn serve(
    arguments: &Arguments,
    config: Config,
    set_log_level: &dyn Fn(&str),
) -> Result<(), ProcessError> {
    let watch = |kind| signal(kind).map_err(ProcessError::Signals);
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let mut hang_up = watch(SignalKind::hangup())?;
    let (server, started) = Server::start(config.clone(), arguments.development.as_ref()).await?;
    say(&banner(&config, &started));
    loop {
        tokio::select! {
            biased;
            () = either(&mut terminate, &mut interrupt) => break,
            _ = hang_up.recv() => {
                tell("==> Vault reload triggered");
                reread_level(arguments, set_log_level);
                server.reload().await;
            }
        }
    }
    say("==> Vault shutdown triggered\n");
    tokio::select! {
        biased;
        () = server.stop() => {}
        () = either(&mut terminate, &mut interrupt) => {}
    }
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn reread_level(arguments: &Arguments, set_log_level: &dyn Fn(&str)) {
    match Config::load(arguments, &|name| std::env::var(name).ok()) {
        Ok(config) => set_log_level(&config.log_level),
        Err(error) => tracing::error!(%error, "the configuration cannot be read anew; it stays as it was"),
    }
}

/// The library of ciphers gathers randomness for a tenth of a second before its first key or TLS session: that is done
/// while nobody waits for it.
fn warm() {
    let gather = || {
        // A key that finds none gathered says so itself.
        let _ = aws_lc_rs::rand::fill(&mut [0; 1]);
    };
    if std::thread::Builder::new().name("vault-random".to_owned()).spawn(gather).is_err() {
        tracing::warn!("randomness is not gathered ahead");
    }
}

/// As many descriptors as the machine allows, and no dump of a memory that has secrets in it.
fn limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let files = getrlimit(Resource::Nofile);
    if setrlimit(Resource::Nofile, Rlimit { current: files.maximum, maximum: files.maximum }).is_err() {
        tracing::warn!("the limit of open files could not be raised");
    }
    if setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) }).is_err() {
        tracing::warn!("memory dumps could not be forbidden");
    }
}

/// What Vault prints when it has started, as far as it is so here.
fn banner(config: &Config, started: &Started) -> String {
    let mut lines: Vec<(String, String)> = vec![("Api Address".to_owned(), config.api_addr.clone())];
    if !config.cluster_addr.is_empty() {
        lines.push(("Cluster Address".to_owned(), config.cluster_addr.clone()));
    }
    for (index, (address, listener)) in started.addresses.iter().enumerate() {
        let tls = if listener.tls.is_some() { "enabled" } else { "disabled" };
        let size = listener.request_bytes_max;
        let said =
            format!("tcp (addr: {:?}, max_request_size: \"{size}\", tls: {tls:?})", address.to_string());
        lines.push((format!("Listener {}", index + 1), said));
    }
    lines.push(("Log Level".to_owned(), config.log_level.clone()));
    lines.push(("Mlock".to_owned(), "supported: false, enabled: false".to_owned()));
    let durable = match config.storage.kind() {
        "inmem" => "inmem".to_owned(),
        kind => format!("{kind} (one file, synced before every answer)"),
    };
    lines.push(("Storage".to_owned(), durable));
    let own = env!("CARGO_PKG_VERSION");
    lines.push(("Version".to_owned(), format!("Mesh {own}, speaking the API of Vault v{VERSION}")));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 4;
    let mut text = "==> Vault server configuration:\n\n".to_owned();
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:>width$}: {value}");
    }
    text.push_str("\n==> Vault server started! Log data will stream in below:\n\n");
    if let (Some(keys), Some((address, listener))) = (&started.development, started.addresses.first()) {
        text.push_str(&development(
            keys,
            &Listener { address: address.to_string(), ..listener.clone() }.url(),
        ));
    }
    text
}

fn development(keys: &DevelopmentKeys, url: &str) -> String {
    format!(
        "WARNING! dev mode is enabled! In this mode, Vault runs entirely in-memory\n\
         and starts unsealed with a single unseal key. The root token is already\n\
         known to you: no file has it.\n\n\
         You may need to set the following environment variables:\n\n    \
         $ export VAULT_ADDR='{url}'\n\n\
         The unseal key and root token are displayed below in case you want to\n\
         seal/unseal the Vault or re-authenticate.\n\n\
         Unseal Key: {}\nRoot Token: {}\n\n\
         Development mode should NOT be used in production installations!\n\n",
        keys.unseal_key.expose(),
        keys.root_token.expose(),
    )
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            let _ = write!(text, ": {said}");
        }
        cause = error.source();
    }
    text
}

/// A pipe whose reader has left must not end a server.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
