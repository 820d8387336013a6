//! The process around a gateway: its arguments, its signals and its limits.
//!
//! SIGTERM and SIGINT let requests under way finish and end with 0; a second one ends at once.

use crate::{
    config::{
        Warning,
        statics::{StaticError, Statics, load},
    },
    log::{Log, LogError, LogWriter},
    server::{Exchange, Gateway, ServerError},
};
use mesh_linux::process::{release_free_memory, release_program_pages};
use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Names the file in which the engine says which containers there are.
const CONTAINERS: &str = "MESH_GATEWAY_CONTAINERS";
/// Names the file in which the engine is told which host names are routed here.
const NAMES: &str = "MESH_GATEWAY_NAMES";
/// Names the file of an authority that takes the place of the engine's: its key, its certificate and those above it.
const AUTHORITY: &str = "MESH_GATEWAY_AUTHORITY";
/// The engine's, beside the file of containers.
const AUTHORITY_FILE: &str = "authority.pem";
/// The addresses that published ports are relayed from, beside it too.
const RELAYS_FILE: &str = "relays.json";
/// The ports of the machine by which it is reached, beside it too.
const PORTS_FILE: &str = "ports.json";
/// What rules are written in where the configuration does not say: `v2` for images of Traefik's second version.
const RULE_SYNTAX: &str = "MESH_GATEWAY_RULE_SYNTAX";
/// Bytes of stack of a worker.
const STACK_BYTES: usize = 1 << 20;
/// Threads that may wait for files and names at a time.
const WAITING_THREADS_MAX: usize = 16;
/// How long one of them stays without any work.
const WAITING_IDLE: Duration = Duration::from_secs(2);
/// How long a gateway may take to say that it is there.
const HEALTH_MAX: Duration = Duration::from_secs(5);
/// Most bytes of its answer that are looked at.
const HEALTH_BYTES_MAX: u64 = 1 << 10;

/// What it is told by, in short: the whole of it is Traefik's.
const HELP: &str = "\
traefik     Routes requests to services, configured as Traefik v3 is

Usage: traefik [command] [flags]

Commands:
    healthcheck    Asks the gateway that the same flags start for its /ping
    version        Tells the version

The static configuration is read from one of these, the first that says anything:
    --configFile=FILE                     a file in YAML or TOML; else traefik.{toml,yaml,yml} in /etc/traefik,
                                          $XDG_CONFIG_HOME, $HOME/.config or here
    --FLAG=VALUE                          flags, of which these are some
    TRAEFIK_FLAG=VALUE                    the same as variables, with _ for each point

Flags:
    --entryPoints.NAME.address=:80        where to listen; also .http.*, .transport.*, .forwardedHeaders.*,
                                          .proxyProtocol.*, .asDefault, .observability.*; for datagrams
                                          :53/udp, also .udp.timeout
    --providers.file.directory=FOLDER     routes from files; also .filename, .watch
    --providers.docker                    routes from the labels of containers; also .exposedByDefault, .network,
                                          .defaultRule, .constraints
    --api, --api.insecure                 the read API and its page; also .dashboard, .basePath
    --ping                                /ping; also .entryPoint, .manualRouting, .terminatingStatusCode
    --accessLog                           a line for each request; also .filePath, .format, .filters.*, .fields.*
    --metrics.prometheus                  /metrics; also .buckets, .addRoutersLabels, .headerLabels, .entryPoint
    --tracing.otlp.http.endpoint=URL      traces; also .otlp.grpc.*, .serviceName, .sampleRate
    --log.level=ERROR                     TRACE, DEBUG, INFO, WARN or ERROR; also .format (json), .filePath,
                                          .maxSize (MB), .maxBackups, .maxAge (days)

Signals: SIGTERM and SIGINT end it when requests under way are over; SIGUSR1 opens its log files anew.
What is different from Traefik stands in COMPATIBILITY.md of mesh-gateway.
";

/// Why the process ends with 1.
#[derive(Debug, thiserror::Error)]
enum ProcessError {
    #[error(transparent)]
    Static(#[from] StaticError),
    #[error(transparent)]
    Server(#[from] ServerError),
    #[error("could not start the runtime")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error("could not watch signals")]
    Signals(#[source] io::Error),
    #[error("ping is not enabled")]
    NoPing,
    #[error("could not ask {address}")]
    Ask {
        address: String,
        #[source]
        source: io::Error,
    },
    #[error("bad healthcheck status: {0}")]
    Unwell(String),
}

/// Runs the gateway with its arguments until it is told to end, or one of its other commands; the exit code.
/// `start_log` is called once, before anything is told.
pub fn main(arguments: &[String], start_log: &dyn Fn(&Log)) -> u8 {
    let done = match arguments.split_first() {
        Some((command, rest)) if command == "healthcheck" => healthcheck(rest),
        Some((command, _)) if command == "version" => {
            say(&version());
            Ok(())
        }
        Some((argument, _)) if matches!(argument.as_str(), "help" | "--help" | "-help" | "-h") => {
            say(HELP);
            Ok(())
        }
        _ => start(arguments, start_log),
    };
    match done {
        Ok(()) => 0,
        Err(error) => {
            tell(&crate::chain(&error));
            1
        }
    }
}

/// What this is, and what it is like.
fn version() -> String {
    let (own, like) = (env!("CARGO_PKG_VERSION"), crate::api::LIKE_VERSION);
    let (system, machine) = (std::env::consts::OS, std::env::consts::ARCH);
    format!(
        "Version:      Mesh {own}, configured as Traefik {like}\nCodename:     mesh\nOS/Arch:      {system}/{machine}\n"
    )
}

fn settings(arguments: &[String]) -> Result<(Statics, Vec<Warning>), StaticError> {
    let variables: Vec<(String, String)> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let mut warnings = Vec::new();
    let mut statics = load(arguments, &variables, &mut warnings)?;
    // The second version has no such option, so what stands there is no wish of anybody's.
    if variables.iter().any(|(name, value)| name == RULE_SYNTAX && value == "v2") {
        statics.core.default_rule_syntax = "v2".to_owned();
    }
    Ok((statics, warnings))
}

fn start(arguments: &[String], start_log: &dyn Fn(&Log)) -> Result<(), ProcessError> {
    let (statics, warnings) = settings(arguments)?;
    let log = Log::new(statics.log.as_ref())?;
    start_log(&log);
    for warning in warnings {
        tracing::warn!(place = %warning.place, "{}", warning.message);
    }
    limit();
    // With one core there is nobody to share work with, and what sharing costs is saved.
    let mut builder = match std::thread::available_parallelism() {
        Ok(cores) if cores.get() == 1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.thread_stack_size(STACK_BYTES).max_blocking_threads(WAITING_THREADS_MAX);
    builder.thread_keep_alive(WAITING_IDLE).thread_name("gateway");
    builder.enable_all().build().map_err(ProcessError::Runtime)?.block_on(serve(statics, log.writer))
}

async fn serve(statics: Statics, log: Arc<LogWriter>) -> Result<(), ProcessError> {
    let watch = |kind| signal(kind).map_err(ProcessError::Signals);
    let (mut terminate, mut interrupt) = (watch(SignalKind::terminate())?, watch(SignalKind::interrupt())?);
    let mut reopen = watch(SignalKind::user_defined1())?;
    let file = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let (containers, names) = (file(CONTAINERS), file(NAMES));
    // The engine's, where nobody names another.
    let beside = |name: &str| containers.as_ref().map(|path| path.with_file_name(name));
    let authority = file(AUTHORITY).or_else(|| beside(AUTHORITY_FILE));
    let exchange =
        Exchange { authority, relays: beside(RELAYS_FILE), ports: beside(PORTS_FILE), containers, names };
    let gateway = Gateway::start(statics, exchange).await?;
    for (name, address) in gateway.addresses() {
        tracing::info!(entry = %name, %address, "listening");
    }
    // What only the start needed: of its text, of the program, and of what memory was for it.
    release_free_memory();
    release_program_pages();
    loop {
        tokio::select! {
            biased;
            () = either(&mut terminate, &mut interrupt) => break,
            _ = reopen.recv() => {
                gateway.reopen();
                if let Err(error) = log.reopen() {
                    tracing::error!(error = %crate::chain(&error), "the log stays in the file that it was in");
                }
            }
        }
    }
    tokio::select! {
        biased;
        () = gateway.stop() => {}
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

/// Asks the gateway that the same arguments start whether it is there.
fn healthcheck(arguments: &[String]) -> Result<(), ProcessError> {
    let (statics, _) = settings(arguments)?;
    let ping = statics.ping.as_ref().ok_or(ProcessError::NoPing)?;
    let entry = statics.entry_points.get(&ping.entry_point).ok_or(ProcessError::NoPing)?;
    let address = entry.address.split('/').next().unwrap_or_default();
    let address = if address.starts_with(':') { format!("127.0.0.1{address}") } else { address.to_owned() };
    let line = ask(&address).map_err(|source| ProcessError::Ask { address: address.clone(), source })?;
    if line.split(' ').nth(1) != Some("200") {
        return Err(ProcessError::Unwell(line));
    }
    say(&format!("OK: http://{address}/ping\n"));
    Ok(())
}

/// The first line of the answer to `/ping`.
fn ask(address: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(HEALTH_MAX))?;
    stream.set_write_timeout(Some(HEALTH_MAX))?;
    write!(stream, "GET /ping HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(HEALTH_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned())
}

/// As many descriptors as the machine allows, and no dump of a memory that has keys in it.
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

/// A pipe whose reader has left must not end a gateway.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
