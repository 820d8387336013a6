//! Finding a project's supervisor, or starting it, and asking it.
//!
//! The supervisor is this binary again, in a session of its own. It writes one
//! line on its standard output: `ready`, `busy` (another one holds the project's lock), or what went
//! wrong. Which of two that start at once wins is decided by that lock alone.
//!
//! A supervisor that ends just when it is asked is not the user's concern: the next one is asked the same,
//! where the first surely did nothing. One of an older binary is replaced: what runs goes on.

use crate::{console, failure::CliError};
use mesh_api::{
    client::CallError,
    message::{Answer, Message},
    request::Request,
};
use mesh_linux::command::{Inheritance, inherit};
use mesh_model::registry::RegistryVariables;
use mesh_store::home::{ProjectPaths, SOCKET_PATH_BYTES_MAX};
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::fd::BorrowedFd,
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::{Instant, sleep, timeout},
};

/// Time a supervisor has to say that it is ready.
const READY_SECONDS_MAX: u64 = 15;
/// Longest that a request that is answered at once is waited for.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(READY_SECONDS_MAX);
/// Supervisors that one request is brought to, one after the other.
const ATTEMPTS_MAX: u32 = 5;
/// Time between two looks while another command's supervisor starts.
const LOOK_MILLISECONDS: u64 = 50;
/// Longest line taken from a supervisor that starts.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// The version of this binary; the supervisor is the same binary, or should be.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Whether a supervisor that is started writes more into its log.
static VERBOSE: AtomicBool = AtomicBool::new(false);

/// How this command has registries asked, whatever environment the supervisor was started in.
static REGISTRY: OnceLock<RegistryVariables> = OnceLock::new();

/// Makes requests from here on have registries asked as these variables say.
pub(crate) fn ask_registries_by(variables: RegistryVariables) {
    // A command has one environment.
    let _ = REGISTRY.set(variables);
}

/// Makes supervisors that are started from here on write more into their logs.
pub(crate) fn be_verbose(verbose: bool) {
    VERBOSE.store(verbose, Ordering::Relaxed);
}

/// Asks a project's supervisor.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    wire: mesh_api::client::Client,
    project: String,
    paths: ProjectPaths,
}

impl Client {
    fn new(project: &str, paths: &ProjectPaths) -> Self {
        let wire = mesh_api::client::Client::new(&paths.socket).asking_registries(REGISTRY.get().cloned());
        Self { wire, project: project.to_owned(), paths: paths.clone() }
    }

    /// Sends one request and waits for its end. A supervisor that ended before it began is followed by
    /// another one, a bounded number of times.
    pub(crate) async fn call(
        &self,
        request: Request,
        on_message: &mut (dyn FnMut(Message) + Send),
        descriptors: Option<[BorrowedFd<'_>; 3]>,
    ) -> Result<Answer, CliError> {
        for _ in 0..ATTEMPTS_MAX - 1 {
            match self.wire.call(request.clone(), on_message, descriptors).await {
                Err(error) if error.is_untouched() => drop(ensure(&self.project, &self.paths).await?),
                answer => return Ok(answer?),
            }
        }
        Ok(self.wire.call(request, on_message, descriptors).await?)
    }
}

/// A client for the running supervisor; `None` if there is none.
pub(crate) async fn running(project: &str, paths: &ProjectPaths) -> Result<Option<Client>, CliError> {
    Ok(look(project, paths).await?.map(|(client, _)| client))
}

/// The same for a request that changes or asks much: a supervisor of another binary makes room for ours.
pub(crate) async fn fitting(project: &str, paths: &ProjectPaths) -> Result<Option<Client>, CliError> {
    match look(project, paths).await? {
        Some((client, version)) if version == VERSION => Ok(Some(client)),
        Some(_) => ensure(project, paths).await.map(Some),
        None => Ok(None),
    }
}

/// The orders that a supervisor of this very binary gives for a request that changes nothing. In every other
/// case `None`: then a look finds out what is the matter, and the request can be made again.
pub(crate) fn answer_at_once(
    paths: &ProjectPaths,
    request: Request,
    descriptors: Option<[BorrowedFd<'_>; 3]>,
) -> Option<Answer> {
    let answer = mesh_api::at_once::call(&paths.socket, request, descriptors, ANSWER_MAX).ok()?;
    matches!(&answer, Answer::Invocation { version, .. } if version == VERSION).then_some(answer)
}

/// A running one, with the version of its binary.
async fn look(project: &str, paths: &ProjectPaths) -> Result<Option<(Client, String)>, CliError> {
    let client = Client::new(project, paths);
    match ping(&client.wire).await {
        Ok(version) => Ok(Some((client, version))),
        Err(error) if error.is_nobody() => Ok(None),
        // It ended while it was asked.
        Err(CallError::Ended | CallError::Send(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A client for the project's supervisor, which is started where there is none.
pub(crate) async fn ensure(project: &str, paths: &ProjectPaths) -> Result<Client, CliError> {
    check_socket(&paths.socket)?;
    let failed = |reason: String| CliError::NoSupervisor {
        project: project.to_owned(),
        reason,
        log: paths.log.clone(),
    };
    let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
    let mut told = false;
    loop {
        match look(project, paths).await? {
            Some((client, version)) if version == VERSION => return Ok(client),
            Some((client, version)) => {
                let older = is_older(&version, VERSION);
                if !std::mem::replace(&mut told, true) {
                    tell_version(&version, older);
                }
                if !older {
                    return Ok(client);
                }
                // What runs goes on, and ours adopts it.
                match client.wire.call(Request::Shutdown, &mut |_| {}, None).await {
                    Ok(_) | Err(CallError::Ended | CallError::Send(_) | CallError::Connect { .. }) => {}
                    Err(error) => return Err(error.into()),
                }
                sleep(Duration::from_millis(LOOK_MILLISECONDS)).await;
            }
            None => match start(project, paths, deadline).await?.trim() {
                "ready" => {}
                // Another one starts, and will answer; or it ends, and makes room for one of ours.
                "busy" => sleep(Duration::from_millis(LOOK_MILLISECONDS)).await,
                "" => return Err(failed("it ended without a word".to_owned())),
                text => return Err(failed(text.strip_prefix("error: ").unwrap_or(text).to_owned())),
            },
        }
        if Instant::now() >= deadline {
            return Err(failed(format!("it does not answer after {READY_SECONDS_MAX} s")));
        }
    }
}

/// A path that the kernel would refuse is told before anything is started.
fn check_socket(socket: &Path) -> Result<(), CliError> {
    // The store leaves some room for suffixes, of which there are none here.
    const BYTES_MAX: usize = SOCKET_PATH_BYTES_MAX + 7;
    if socket.as_os_str().len() <= BYTES_MAX {
        return Ok(());
    }
    Err(CliError::said(format!("the path of the control socket is too long: {}", socket.display()))
        .with_hint(format!(
            "choose a shorter directory with MESH_HOME or XDG_RUNTIME_DIR; {BYTES_MAX} bytes are possible"
        )))
}

fn tell_version(version: &str, older: bool) {
    console::err_line(&if older {
        format!(
            "note: the supervisor was started by Mesh {version} and makes room for {VERSION}; what runs goes on"
        )
    } else {
        format!(
            "warning: the supervisor is of Mesh {version}, this command of {VERSION}; use the newer binary for both"
        )
    });
}

/// Whether a version comes before another; what is no version comes first.
fn is_older(version: &str, than: &str) -> bool {
    let numbers = |text: &str| -> Vec<u64> {
        let release = text.split(['-', '+']).next().unwrap_or_default();
        release.split('.').map_while(|part| part.parse().ok()).collect()
    };
    numbers(version) < numbers(than)
}

/// Starts a supervisor and gives its one line.
async fn start(project: &str, paths: &ProjectPaths, deadline: Instant) -> Result<String, CliError> {
    let mut child = spawn(project, paths)?;
    let Some(stdout) = child.stdout.take() else { return Ok(String::new()) };
    let mut line = String::new();
    let mut reader = BufReader::new(stdout.take(LINE_BYTES_MAX));
    let read = timeout(deadline.saturating_duration_since(Instant::now()), reader.read_line(&mut line));
    match read.await {
        Ok(read) => read.map_err(CliError::io("hear from the supervisor"))?,
        Err(_elapsed) => return Ok(format!("error: it was not ready after {READY_SECONDS_MAX} s")),
    };
    Ok(line)
}

/// The version of whoever answers.
async fn ping(client: &mesh_api::client::Client) -> Result<String, CallError> {
    let mut ignore = |_: Message| {};
    let call = client.call(Request::Ping, &mut ignore, None);
    match timeout(Duration::from_secs(READY_SECONDS_MAX), call).await {
        Ok(Ok(Answer::Pong { version, .. })) => Ok(version),
        Ok(Ok(_)) => Err(CallError::Unreadable { what: "it is not an answer to a ping".to_owned() }),
        Ok(Err(error)) => Err(error),
        Err(_elapsed) => Err(CallError::Unreadable { what: "none came in time".to_owned() }),
    }
}

fn spawn(project: &str, paths: &ProjectPaths) -> Result<tokio::process::Child, CliError> {
    let log = open_log(&paths.directory, &paths.log)
        .map_err(|source| CliError::NoPlace { directory: paths.directory.clone(), source })?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("mesh")
        .args(["supervisor", "--project", project])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    if VERBOSE.load(Ordering::Relaxed) {
        command.env("MESH_LOG", "debug");
    }
    // It outlives this command and its terminal.
    inherit(&mut command, Inheritance { new_session: true, ..Inheritance::default() })
        .and_then(|()| tokio::process::Command::from(command).kill_on_drop(false).spawn())
        .map_err(CliError::io("start the supervisor"))
}

fn open_log(directory: &Path, log: &Path) -> io::Result<File> {
    DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(log)
}

/// Tells that there is nothing of a project to work on.
pub(crate) fn say_nothing_there(project: &str) {
    console::err_line(&format!("nothing of project `{project}` is here"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use async_trait::async_trait;
    use mesh_api::{
        handler::{Handler, Reply},
        message::{ApiError, ErrorKind},
        server,
    };
    use mesh_store::home::Home;
    use std::{
        os::fd::OwnedFd,
        sync::{Arc, atomic::AtomicU32},
    };
    use tokio_util::sync::CancellationToken;

    /// Refuses so many requests because it ends, then answers.
    struct Ending {
        version: &'static str,
        refusals: AtomicU32,
    }

    #[async_trait]
    impl Handler for Ending {
        async fn handle(
            &self,
            request: Request,
            _: &Reply,
            _: Option<[OwnedFd; 3]>,
        ) -> Result<Answer, ApiError> {
            if matches!(request, Request::Ping) {
                return Ok(server::pong(self.version));
            }
            if matches!(request, Request::Containers) {
                let (arguments, payload) = (Vec::new(), String::new());
                let version = self.version.to_owned();
                return Ok(Answer::Invocation { arguments, payload, version, door: None });
            }
            let left =
                self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
            left.map_or(Ok(Answer::Done), |_| {
                let (kind, message) = (ErrorKind::Ending, "about to end".to_owned());
                Err(ApiError { kind, message, hint: None, failures: Vec::new() })
            })
        }
    }

    /// Asks such a supervisor once, and says whether it was done.
    async fn ask(version: &'static str, refusals: u32) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let home = Home { data: at("data"), state: at("state"), runtime: at("run") };
        home.create().unwrap();
        let paths = home.project("p");
        let (handler, stop) = (Ending { version, refusals: refusals.into() }, CancellationToken::new());
        let listener = server::listen(&paths.socket).await.unwrap();
        let serving = server::serve_on(listener, &paths.socket, Arc::new(handler), stop.clone());
        let asking = async {
            let client = ensure("p", &paths).await.unwrap();
            let request = Request::Stop { services: Vec::new(), timeout_seconds: None };
            let answer = client.call(request, &mut |_| {}, None).await;
            stop.cancel();
            answer.is_ok()
        };
        tokio::join!(asking, serving).0
    }

    #[tokio::test]
    async fn a_supervisor_that_ends_is_followed_a_bounded_number_of_times() {
        assert!(ask(VERSION, 0).await);
        assert!(ask(VERSION, ATTEMPTS_MAX - 1).await);
        assert!(!ask(VERSION, ATTEMPTS_MAX).await);
    }

    #[tokio::test]
    async fn orders_at_once_are_those_of_this_binary() {
        for (version, taken) in [(VERSION, true), ("99.0.0", false), ("", false)] {
            let directory = tempfile::tempdir().unwrap();
            let at = |name: &str| directory.path().join(name);
            let home = Home { data: at("data"), state: at("state"), runtime: at("run") };
            home.create().unwrap();
            let paths = home.project("p");
            assert!(answer_at_once(&paths, Request::Containers, None).is_none(), "nobody is there");
            let (handler, stop) = (Ending { version, refusals: 0.into() }, CancellationToken::new());
            let listener = server::listen(&paths.socket).await.unwrap();
            let serving = server::serve_on(listener, &paths.socket, Arc::new(handler), stop.clone());
            let asking = async {
                let paths = paths.clone();
                let ask = move || answer_at_once(&paths, Request::Containers, None).is_some();
                let answered = tokio::task::spawn_blocking(ask).await.unwrap();
                stop.cancel();
                answered
            };
            assert_eq!(tokio::join!(asking, serving).0, taken, "{version}");
        }
    }

    #[tokio::test]
    async fn a_newer_supervisor_is_asked_as_it_is() {
        assert!(ask("99.0.0", 0).await);
    }

    #[test]
    fn versions_have_an_order() {
        for (version, than, want) in [
            ("0.1.0", "0.1.0", false),
            ("0.1.0", "0.2.0", true),
            ("0.9.9", "0.10.0", true),
            ("1.0.0", "0.9.0", false),
            ("0.2.0-dev", "0.2.0", false),
            ("?", "0.1.0", true),
        ] {
            assert_eq!(is_older(version, than), want, "{version} {than}");
        }
    }

    #[test]
    fn long_sockets_are_told_with_a_way_out() {
        assert!(check_socket(Path::new(&"x".repeat(107))).is_ok());
        let error = check_socket(Path::new(&"x".repeat(108))).unwrap_err();
        assert!(error.hint().is_some_and(|hint| hint.contains("MESH_HOME")), "{error}");
    }
}
