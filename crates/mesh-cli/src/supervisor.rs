//! Finding a project's supervisor, or starting it.
//!
//! The supervisor is this binary again, in a session of its own. It writes one
//! line on its standard output: `ready`, `busy` (another one holds the project's lock), or what went
//! wrong. Which of two that start at once wins is decided by that lock alone.

use crate::{console, failure::CliError};
use mesh_api::{
    client::{CallError, Client},
    message::Message,
    request::Request,
};
use mesh_linux::command::{Inheritance, inherit};
use mesh_store::home::ProjectPaths;
use std::{
    fs::{DirBuilder, File, OpenOptions},
    io,
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, BufReader},
    time::{Instant, sleep, timeout},
};

/// Time a supervisor has to say that it is ready.
const READY_SECONDS_MAX: u64 = 15;
/// Time between two looks while another command's supervisor starts.
const LOOK_MILLISECONDS: u64 = 50;
/// Longest line taken from a supervisor that starts.
const LINE_BYTES_MAX: u64 = 64 * 1024;

/// A client for the running supervisor; `None` if there is none.
pub(crate) async fn running(paths: &ProjectPaths) -> Result<Option<Client>, CliError> {
    let client = Client::new(&paths.socket);
    match ping(&client).await {
        Ok(()) => Ok(Some(client)),
        Err(error) if error.is_nobody() => Ok(None),
        // It ended while it was asked.
        Err(CallError::Ended | CallError::Send(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A client for the project's supervisor, which is started where there is none.
pub(crate) async fn ensure(project: &str, paths: &ProjectPaths) -> Result<Client, CliError> {
    let failed = |reason: String| CliError::NoSupervisor {
        project: project.to_owned(),
        reason,
        log: paths.log.clone(),
    };
    let deadline = Instant::now() + Duration::from_secs(READY_SECONDS_MAX);
    loop {
        if let Some(client) = running(paths).await? {
            return Ok(client);
        }
        if Instant::now() >= deadline {
            return Err(failed(format!("it does not answer after {READY_SECONDS_MAX} s")));
        }
        match start(project, paths, deadline).await?.trim() {
            "ready" => {}
            // Another one starts, and will answer; or it ends, and makes room for one of ours.
            "busy" => sleep(Duration::from_millis(LOOK_MILLISECONDS)).await,
            "" => return Err(failed("it ended without a word".to_owned())),
            text => return Err(failed(text.strip_prefix("error: ").unwrap_or(text).to_owned())),
        }
    }
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

async fn ping(client: &Client) -> Result<(), CallError> {
    let mut ignore = |_: Message| {};
    let call = client.call(Request::Ping, &mut ignore, None);
    match timeout(Duration::from_secs(READY_SECONDS_MAX), call).await {
        Ok(answer) => answer.map(|_| ()),
        Err(_elapsed) => Err(CallError::Unreadable { what: "none came in time".to_owned() }),
    }
}

fn spawn(project: &str, paths: &ProjectPaths) -> Result<tokio::process::Child, CliError> {
    let log = open_log(&paths.directory, &paths.log)
        .map_err(CliError::io(format!("open the supervisor's log {}", paths.log.display())))?;
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0("mesh")
        .args(["supervisor", "--project", project])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
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
