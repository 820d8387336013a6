//! The codec over a real socket: answers, progress, descriptors, hang-up, refusals.

#![allow(clippy::unwrap_used, reason = "a test's own steps")]

use async_trait::async_trait;
use mesh_api::{
    client::{CallError, Client},
    handler::{Handler, Reply},
    message::{Action, Answer, ApiError, ErrorKind, Level, Message, ObjectKind, Progress},
    request::Request,
    server::{self, ServeError},
};
use std::{
    io::{Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::PermissionsExt,
    },
    path::PathBuf,
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

/// Answers so that a test can tell what arrived.
struct Echo {
    hung_up: mpsc::Sender<()>,
}

#[async_trait]
impl Handler for Echo {
    async fn handle(
        &self,
        request: Request,
        reply: &Reply,
        descriptors: Option<[OwnedFd; 3]>,
    ) -> Result<Answer, ApiError> {
        match request {
            Request::Ping => Ok(server::pong("test")),
            Request::Stop { services, .. } => {
                for name in services {
                    let _ = reply.progress(note(&name)).await;
                }
                Ok(Answer::Done)
            }
            Request::Events { .. } => {
                reply.hung_up().await;
                assert!(reply.progress(note("too late")).await.is_err());
                let _ = self.hung_up.send(()).await;
                Ok(Answer::Done)
            }
            Request::Wait { .. } => {
                let [_, stdout, _] = descriptors.expect("three descriptors");
                std::fs::File::from(stdout).write_all(b"over the wall").expect("the pipe is open");
                Ok(Answer::Exit { code: 3 })
            }
            Request::Containers => panic!("on purpose"),
            _ => Err(ApiError {
                kind: ErrorKind::Request,
                message: "no such service: dbb".to_owned(),
                hint: Some("did you mean db?".to_owned()),
                failures: Vec::new(),
            }),
        }
    }
}

fn note(text: &str) -> Progress {
    Progress::Note { level: Level::Info, text: text.to_owned() }
}

struct Stage {
    _home: tempfile::TempDir,
    socket: PathBuf,
    stop: CancellationToken,
    served: tokio::task::JoinHandle<Result<(), ServeError>>,
    hung_up: mpsc::Receiver<()>,
}

impl Stage {
    async fn set() -> Self {
        let home = tempfile::tempdir().unwrap();
        let socket = home.path().join("control.sock");
        let (sender, hung_up) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let listener = server::listen(&socket).await.unwrap();
        let handler = Arc::new(Echo { hung_up: sender });
        let (path, token) = (socket.clone(), stop.clone());
        let served = tokio::spawn(async move { server::serve_on(listener, &path, handler, token).await });
        Self { _home: home, socket, stop, served, hung_up }
    }

    async fn call(&self, request: Request) -> (Result<Answer, CallError>, Vec<Message>) {
        let mut messages = Vec::new();
        let answer = Client::new(&self.socket).call(request, &mut |m| messages.push(m), None).await;
        (answer, messages)
    }

    async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = UnixStream::connect(&self.socket).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8(answer).unwrap()
    }
}

#[tokio::test]
async fn a_request_is_answered_with_progress_before() {
    let stage = Stage::set().await;
    let services: Vec<String> = (0..500).map(|index| format!("service-{index}")).collect();
    let (answer, messages) =
        stage.call(Request::Stop { services: services.clone(), timeout_seconds: None }).await;
    assert!(matches!(answer, Ok(Answer::Done)));
    let texts: Vec<_> = messages
        .into_iter()
        .map(|message| match message {
            Message::Progress(Progress::Note { text, .. }) => text,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    assert_eq!(texts, services);
    assert!(matches!(stage.call(Request::Ping).await.0, Ok(Answer::Pong { .. })));
}

#[tokio::test]
async fn descriptors_travel_with_the_request() {
    let stage = Stage::set().await;
    let (mut reader, writer) = std::io::pipe().unwrap();
    let client = Client::new(&stage.socket);
    let descriptors = [reader.as_fd(), writer.as_fd(), writer.as_fd()];
    // A request larger than the socket's buffer: the descriptors come with its first bytes.
    let services = vec!["x".repeat(1 << 20)];
    let answer = client.call(Request::Wait { services }, &mut |_| {}, Some(descriptors)).await;
    assert!(matches!(answer, Ok(Answer::Exit { code: 3 })), "{answer:?}");
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "over the wall");
}

#[tokio::test]
async fn the_handler_learns_of_a_hang_up() {
    let mut stage = Stage::set().await;
    {
        let client = Client::new(&stage.socket);
        let mut ignore = |_| {};
        let call = client.call(Request::Events { since_unix_ms: None, programs: false }, &mut ignore, None);
        assert!(tokio::time::timeout(Duration::from_millis(20), call).await.is_err());
    }
    tokio::time::timeout(Duration::from_secs(5), stage.hung_up.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn refusals_and_failures_come_back_whole() {
    let stage = Stage::set().await;
    match stage.call(Request::Volumes).await.0 {
        Err(CallError::Refused(error)) => {
            assert_eq!((error.kind, error.hint.as_deref()), (ErrorKind::Request, Some("did you mean db?")));
        }
        other => panic!("{other:?}"),
    }
    match stage.call(Request::Containers).await.0 {
        Err(CallError::Refused(error)) => assert_eq!(error.kind, ErrorKind::Internal),
        other => panic!("{other:?}"),
    }
    assert!(
        matches!(stage.call(Request::Ping).await.0, Ok(Answer::Pong { .. })),
        "a panic ends its own call only"
    );
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let stage = Stage::set().await;
    assert!(stage.raw(b"{\"version\":9}\n").await.contains("version 9"));
    assert!(stage.raw(b"GET / HTTP/1.1\n").await.contains("not understood"));
    drop(UnixStream::connect(&stage.socket).await.unwrap());
    let mut endless = vec![b'x'; (16 << 20) + 65536];
    endless.push(b'\n');
    // A reset may swallow the refusal; what counts is that the server goes on.
    let _ = stage.raw(&endless).await;
    assert!(matches!(stage.call(Request::Ping).await.0, Ok(Answer::Pong { .. })));
}

#[tokio::test]
async fn the_socket_is_private_replaced_when_stale_and_removed_at_the_end() {
    let stage = Stage::set().await;
    assert_eq!(std::fs::metadata(&stage.socket).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(matches!(server::listen(&stage.socket).await, Err(ServeError::InUse { .. })));
    stage.stop.cancel();
    stage.served.await.unwrap().unwrap();
    assert!(!stage.socket.exists());
    drop(std::os::unix::net::UnixListener::bind(&stage.socket).unwrap());
    assert!(stage.socket.exists(), "a stale socket stays behind");
    drop(server::listen(&stage.socket).await.unwrap());
    std::fs::remove_file(&stage.socket).unwrap();
    std::fs::write(&stage.socket, "mine").unwrap();
    assert!(matches!(server::listen(&stage.socket).await, Err(ServeError::Occupied { .. })));
}

#[tokio::test]
async fn nobody_there_is_told_apart() {
    let home = tempfile::tempdir().unwrap();
    let client = Client::new(&home.path().join("none.sock"));
    let error = client.call(Request::Ping, &mut |_| {}, None).await.unwrap_err();
    assert!(error.is_nobody());
}

#[test]
fn progress_survives_the_wire() {
    let progress = Progress::Object {
        object: ObjectKind::Container,
        name: "hub-db-1".to_owned(),
        service: Some("db".to_owned()),
        action: Action::Healthy,
        detail: None,
        elapsed_ms: 731,
    };
    let text = serde_json::to_string(&Message::Progress(progress.clone())).unwrap();
    match serde_json::from_str(&text).unwrap() {
        Message::Progress(back) => assert_eq!(back, progress),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn requests_that_last_lock_nobody_out() {
    let stage = Stage::set().await;
    // None of these ends before its client does.
    let mut listeners = Vec::new();
    for _ in 0..server::CONNECTIONS_MAX + 50 {
        let mut stream = UnixStream::connect(&stage.socket).await.unwrap();
        stream.write_all(b"{\"version\":1,\"request\":{\"method\":\"events\"}}\n").await.unwrap();
        listeners.push(stream);
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), stage.call(Request::Ping)).await;
    assert!(matches!(answer.unwrap().0, Ok(Answer::Pong { .. })));
    // There is an end to that, too, and it is told.
    let mut refused = None;
    while listeners.len() <= server::LASTING_REQUESTS_MAX + 1 && refused.is_none() {
        let mut stream = UnixStream::connect(&stage.socket).await.unwrap();
        stream.write_all(b"{\"version\":1,\"request\":{\"method\":\"events\"}}\n").await.unwrap();
        if listeners.len() >= server::LASTING_REQUESTS_MAX {
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer).await;
            refused = Some(answer);
        } else {
            listeners.push(stream);
        }
    }
    let refused = refused.expect("a refusal");
    assert!(refused.contains("are under way") && refused.contains("busy"), "{refused}");
    assert!(matches!(stage.call(Request::Ping).await.0, Ok(Answer::Pong { .. })));
}
