//! The server: accepts, checks who asks, reads one request, and writes what the handler says.
//!
//! Every connection is a task of this module and ends before [`serve`] returns. A handler that panics
//! costs its own client the answer, nobody else anything.

use crate::{
    frame::{self, DESCRIPTORS, LineError, LineReader},
    handler::{Handler, Reply},
    message::{Answer, ApiError, ErrorKind, Message},
    request::{Envelope, Request, VERSION},
};
use futures_util::FutureExt;
use mesh_model::registry::RegistryVariables;
use std::{
    io,
    os::{
        fd::OwnedFd,
        unix::fs::{MetadataExt, PermissionsExt},
    },
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UnixListener, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// Connections served at once, but for those whose request may last; others wait in the socket's own queue.
pub const CONNECTIONS_MAX: usize = 256;
/// Requests that may last and are carried out at once; more are refused, so that they lock nobody else out.
pub const LASTING_REQUESTS_MAX: usize = 1024;
/// Messages that wait for a slow client.
const MESSAGES_MAX: usize = 64;
/// Time for a request to arrive whole.
const REQUEST_SECONDS_MAX: u64 = 30;
/// Time a client may leave a message unread before it counts as gone.
const WRITE_SECONDS_MAX: u64 = 30;
/// Time for open connections to end once the server stops.
const DRAIN_MILLISECONDS_MAX: u64 = 2000;

/// Why the control API could not be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Somebody answers on the socket already.
    #[error("another process serves {}", socket.display())]
    InUse {
        /// The socket.
        socket: PathBuf,
    },
    /// A file is in the way and is no socket.
    #[error("{} is in the way and is no socket", socket.display())]
    Occupied {
        /// The path.
        socket: PathBuf,
    },
    /// The socket could not be made.
    #[error("could not listen on {}", socket.display())]
    Bind {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The socket broke.
    #[error("could not accept on {}", socket.display())]
    Accept {
        /// The socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Listens on `socket` (mode 0600; a stale one is replaced) and serves until `stop`. Then the socket is
/// removed and open connections are given two seconds.
///
/// # Errors
/// Where the socket cannot be made or breaks.
pub async fn serve(
    socket: &Path,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let listener = listen(socket).await?;
    serve_on(listener, socket, handler, stop).await
}

/// Makes the socket without serving it yet, for a process that must be reachable before it says that
/// it is ready.
///
/// # Errors
/// Where the socket cannot be made.
pub async fn listen(socket: &Path) -> Result<UnixListener, ServeError> {
    let bind_failed = |source| ServeError::Bind { socket: socket.to_owned(), source };
    match std::fs::symlink_metadata(socket) {
        Ok(metadata) if metadata.mode() & 0o170_000 != 0o140_000 => {
            return Err(ServeError::Occupied { socket: socket.to_owned() });
        }
        Ok(_) if UnixStream::connect(socket).await.is_ok() => {
            return Err(ServeError::InUse { socket: socket.to_owned() });
        }
        Ok(_) => std::fs::remove_file(socket).map_err(bind_failed)?,
        Err(_) => {}
    }
    let listener = UnixListener::bind(socket).map_err(bind_failed)?;
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(0o600)).map_err(bind_failed)?;
    Ok(listener)
}

/// Serves a socket that [`listen`] made.
///
/// # Errors
/// Where the socket breaks.
pub async fn serve_on(
    listener: UnixListener,
    socket: &Path,
    handler: Arc<dyn Handler>,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let own_uid = rustix::process::geteuid().as_raw();
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let lasting = Arc::new(Semaphore::new(LASTING_REQUESTS_MAX));
    let mut connections = JoinSet::new();
    let result = loop {
        let accepted = tokio::select! { biased;
            () = stop.cancelled() => break Ok(()),
            Some(_) = connections.join_next() => continue,
            place = Arc::clone(&places).acquire_owned() => match place {
                Ok(place) => tokio::select! { biased;
                    () = stop.cancelled() => break Ok(()),
                    accepted = listener.accept() => (accepted, place),
                },
                Err(_closed) => break Ok(()),
            },
        };
        let (stream, place) = match accepted {
            (Ok((stream, _)), place) => (stream, place),
            (Err(source), _) if is_passing(&source) => {
                tracing::warn!(error = %source, "could not accept a connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            (Err(source), _) => break Err(ServeError::Accept { socket: socket.to_owned(), source }),
        };
        let places = Places { own: place, lasting: Arc::clone(&lasting) };
        connections.spawn(converse(stream, Arc::clone(&handler), own_uid, places));
    };
    drop(listener);
    let _ = std::fs::remove_file(socket);
    let drained = async { while connections.join_next().await.is_some() {} };
    if timeout(Duration::from_millis(DRAIN_MILLISECONDS_MAX), drained).await.is_err() {
        connections.abort_all();
        // One that cannot be aborted, because it blocks, must not hold up the end.
        let aborted = async { while connections.join_next().await.is_some() {} };
        let _ = timeout(Duration::from_millis(DRAIN_MILLISECONDS_MAX), aborted).await;
    }
    result
}

/// Whether an error of `accept` concerns one connection or a lack that passes.
fn is_passing(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::CONNABORTED | Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM))
}

/// The place of a connection, and those of requests that may last.
struct Places {
    own: OwnedSemaphorePermit,
    lasting: Arc<Semaphore>,
}

impl Places {
    /// The place for a request: one that may last makes room for others.
    fn take(self, request: &Request) -> Result<OwnedSemaphorePermit, ApiError> {
        if !request.may_last() {
            return Ok(self.own);
        }
        let message = format!("{LASTING_REQUESTS_MAX} commands of this project are under way");
        let hint =
            "end some of them: `events`, `wait`, `run` and `up` in a terminal stay until they are ended";
        self.lasting.try_acquire_owned().map_err(|_| refusal(ErrorKind::Busy, &message, Some(hint)))
    }
}

async fn converse(stream: UnixStream, handler: Arc<dyn Handler>, own_uid: u32, places: Places) {
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX);
    let gone = CancellationToken::new();
    let pid = stream.peer_cred().ok().and_then(|peer| u32::try_from(peer.pid()?).ok()).filter(|pid| *pid > 0);
    let reply = Reply::new(sender.clone(), gone.clone(), pid);
    let request = match receive(&stream, own_uid).await {
        Ok(Some(received)) => Ok(received),
        Ok(None) => return,
        Err(refusal) => Err(refusal),
    };
    let request = request.and_then(|received| places.take(&received.request).map(|place| (place, received)));
    let handling = async {
        let last = match request {
            Err(refusal) => Message::Error(refusal),
            Ok((_place, Received { request, registry, descriptors })) => {
                let reply = reply.clone().asking_registries(registry);
                let handled = AssertUnwindSafe(handler.handle(request, &reply, descriptors)).catch_unwind();
                match handled.await {
                    Ok(Ok(answer)) => Message::Answer(answer),
                    Ok(Err(error)) => Message::Error(error),
                    Err(_panic) => Message::Error(panicked()),
                }
            }
        };
        drop(reply);
        let _ = sender.send(last).await;
        drop(sender);
    };
    let writing = async {
        tokio::select! {
            () = write(&stream, receiver) => {}
            () = frame::closed(&stream) => {}
        }
        gone.cancel();
    };
    tokio::join!(handling, writing);
}

/// Writes until the last message, or until the client reads no more.
async fn write(stream: &UnixStream, mut receiver: mpsc::Receiver<Message>) {
    while let Some(message) = receiver.recv().await {
        let last = matches!(message, Message::Answer(_) | Message::Error(_));
        let line = encode(&message);
        let sent = timeout(Duration::from_secs(WRITE_SECONDS_MAX), frame::send(stream, &line, None)).await;
        if last || !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

fn encode(message: &Message) -> Vec<u8> {
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    if line.is_empty() || line.len() > frame::LINE_BYTES_MAX {
        let error = refusal(ErrorKind::Internal, "the answer cannot be put on the wire", None);
        line = serde_json::to_vec(&Message::Error(error)).unwrap_or_default();
    }
    line.push(b'\n');
    line
}

/// What came on a connection.
struct Received {
    request: Request,
    registry: Option<RegistryVariables>,
    descriptors: Option<[OwnedFd; DESCRIPTORS]>,
}

/// The request of a connection; `None` if it ended without one.
async fn receive(stream: &UnixStream, own_uid: u32) -> Result<Option<Received>, ApiError> {
    let peer = stream
        .peer_cred()
        .map_err(|_| refusal(ErrorKind::Request, "the kernel does not say who asks", None))?;
    if !may_ask(peer.uid(), own_uid) {
        return Err(refusal(ErrorKind::Request, "this project belongs to another user", None));
    }
    let mut reader = LineReader::default();
    let line = match timeout(Duration::from_secs(REQUEST_SECONDS_MAX), reader.line(stream)).await {
        Err(_elapsed) => return Err(refusal(ErrorKind::Request, "the request did not arrive in time", None)),
        Ok(Ok(Some(line))) => line,
        Ok(Ok(None)) | Ok(Err(LineError::Io(_) | LineError::Torn)) => return Ok(None),
        Ok(Err(error @ LineError::TooLong)) => {
            return Err(refusal(ErrorKind::Request, &format!("the request cannot be read: {error}"), None));
        }
    };
    let (request, registry) = decode(&line)?;
    let descriptors = <[OwnedFd; DESCRIPTORS]>::try_from(reader.take_descriptors()).ok();
    Ok(Some(Received { request, registry, descriptors }))
}

/// The owner of the supervisor may ask, and root may.
fn may_ask(peer_uid: u32, own_uid: u32) -> bool {
    peer_uid == own_uid || peer_uid == 0
}

fn decode(line: &[u8]) -> Result<(Request, Option<RegistryVariables>), ApiError> {
    // The version is read alone first: another version's request need not even parse.
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
        #[serde(default)]
        request: serde_json::Value,
    }
    let unreadable = |error: serde_json::Error| {
        refusal(ErrorKind::Request, &format!("the request is not understood: {error}"), None)
    };
    let Versioned { version, request } = serde_json::from_slice(line).map_err(unreadable)?;
    if version != VERSION {
        if let Some(request) = timeless(&request) {
            return Ok((request, None));
        }
        return Err(refusal(
            ErrorKind::Request,
            &format!(
                "the supervisor speaks version {VERSION} of the control API, the command version {version}"
            ),
            Some("end the running supervisor with the binary that started it, then use one binary for both"),
        ));
    }
    let Envelope { request, registry, .. } = serde_json::from_slice(line).map_err(unreadable)?;
    Ok((request, registry))
}

/// Requests that every version understands: a command of another version finds out who is there, and can
/// ask it to make room.
fn timeless(request: &serde_json::Value) -> Option<Request> {
    match request.get("method")?.as_str()? {
        "ping" => Some(Request::Ping),
        "shutdown" => Some(Request::Shutdown),
        _ => None,
    }
}

fn refusal(kind: ErrorKind, message: &str, hint: Option<&str>) -> ApiError {
    ApiError { kind, message: message.to_owned(), hint: hint.map(str::to_owned), failures: Vec::new() }
}

fn panicked() -> ApiError {
    refusal(
        ErrorKind::Internal,
        "the supervisor failed while it carried out the request",
        Some("its log says more; containers that ran go on"),
    )
}

/// An answer for [`Request::Ping`].
#[must_use]
pub fn pong(version: &str) -> Answer {
    Answer::Pong { version: version.to_owned(), pid: std::process::id() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_and_root_may_ask() {
        for (peer, own, want) in [(1000, 1000, true), (0, 1000, true), (1001, 1000, false), (1000, 0, false)]
        {
            assert_eq!(may_ask(peer, own), want, "{peer} of {own}");
        }
    }

    #[test]
    fn requests_are_checked_before_they_are_trusted() {
        for (line, want) in [
            (r#"{"version":1,"request":{"method":"ping"}}"#, Ok(())),
            (r#"{"version":2,"request":{"method":"levitate"}}"#, Err("version 2")),
            (r#"{"version":2,"request":{"method":"ping"}}"#, Ok(())),
            (r#"{"version":9,"request":{"method":"shutdown","gently":true}}"#, Ok(())),
            (r#"{"version":2,"request":{"method":7}}"#, Err("version 2")),
            (r#"{"version":1,"request":{"method":"levitate"}}"#, Err("levitate")),
            (r#"{"request":{}}"#, Err("version")),
            ("", Err("not understood")),
        ] {
            match (decode(line.as_bytes()), want) {
                (Ok(_), Ok(())) => {}
                (Err(error), Err(part)) => assert!(error.message.contains(part), "{line}: {error}"),
                (got, want) => panic!("{line}: {got:?} where {want:?} was expected"),
            }
        }
    }
}
