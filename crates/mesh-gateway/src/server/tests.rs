//! A gateway under load that is given new configurations, and one that ends.

use super::*;
use crate::config::statics::{EntryPoint, FileProvider};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    convert::Infallible,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Instant,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How many ask at a time.
const CLIENTS: usize = 8;
const RELOADS: usize = 100;

/// A server that keeps connections, and takes a moment for `/slow`.
async fn backend() -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = service_fn(|request: Request<Incoming>| async move {
                    if request.uri().path() == "/slow" {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"hello"))))
                });
                let connection = hyper::server::conn::http1::Builder::new();
                // The gateway's end of a connection is nothing that a test is about.
                let _ = connection.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    (address, task)
}

fn configure(folder: &Path, backend: SocketAddr, round: usize) {
    let text = format!(
        "http:\n  routers:\n    app: {{rule: 'PathPrefix(`/`)', service: app}}\n    round-{round}: {{rule: 'Host(`x`)', \
         service: app}}\n  services:\n    app: {{loadBalancer: {{servers: [{{url: 'http://{backend}'}}]}}}}\n"
    );
    let beside = folder.join("beside");
    fs::write(&beside, text).expect("written");
    fs::rename(beside, folder.join("dynamic.yml")).expect("renamed");
}

async fn running(backend: SocketAddr, change: impl FnOnce(&mut EntryPoint)) -> (Gateway, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    configure(folder.path(), backend, 0);
    let mut statics = Statics::default();
    let mut entry = EntryPoint { address: "127.0.0.1:0".to_owned(), ..EntryPoint::default() };
    change(&mut entry);
    statics.entry_points.insert("web".to_owned(), entry);
    let directory = folder.path().display().to_string();
    statics.providers.file = Some(FileProvider { directory, ..FileProvider::default() });
    statics.ping = Some(crate::config::statics::Ping { entry_point: "web".to_owned(), ..Default::default() });
    (Gateway::start(statics, Exchange::default()).await.expect("a gateway"), folder)
}

/// One request over a connection that is kept; whether the connection goes on, or what went wrong.
async fn once(stream: &mut TcpStream, path: &str) -> Result<bool, String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n");
    // A connection that ended before anything was said is nobody's failure: every client asks again.
    if stream.write_all(request.as_bytes()).await.is_err() {
        return Ok(false);
    }
    let mut answer = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) if answer.is_empty() => return Ok(false),
            Ok(0) => return Err(format!("broken off: {:?}", String::from_utf8_lossy(&answer))),
            Ok(read) => answer.extend_from_slice(&buffer[..read]),
            Err(error) => return Err(error.to_string()),
        }
        let text = String::from_utf8_lossy(&answer);
        if text.ends_with("\r\n\r\nhello") {
            let goes_on = !text.to_lowercase().contains("connection: close");
            return if text.starts_with("HTTP/1.1 200 ") { Ok(goes_on) } else { Err(text.into_owned()) };
        }
        if !text.starts_with("HTTP/1.1 200") && text.contains("\r\n\r\n") {
            return Err(text.into_owned());
        }
    }
}

/// Those who ask without a pause, until they are told to stop or nobody listens any more.
struct Load {
    clients: JoinSet<Result<(), String>>,
    answers: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
}

impl Load {
    fn start(address: SocketAddr, path: &'static str) -> Self {
        let (answers, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            let (answers, stop) = (answers.clone(), stop.clone());
            clients.spawn(async move {
                while let Ok(mut stream) = TcpStream::connect(address).await {
                    while !stop.load(Ordering::Relaxed) && once(&mut stream, path).await? {
                        answers.fetch_add(1, Ordering::Relaxed);
                    }
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Ok(())
            });
        }
        Self { clients, answers, stop }
    }

    async fn at_least(&self, count: u64) {
        let deadline = Instant::now() + PATIENCE;
        while self.answers.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "too few answers");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn finish(mut self) -> u64 {
        let all = async {
            while let Some(client) = self.clients.join_next().await {
                assert_eq!(client.expect("no fault"), Ok(()));
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("clients end in time");
        self.answers.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_configurations_cost_no_request() {
    let (address, server) = backend().await;
    let (gateway, folder) = running(address, |_| {}).await;
    let load = Load::start(gateway.addresses()[0].1, "/");
    load.at_least(20).await;
    for round in 1..=RELOADS {
        configure(folder.path(), address, round);
        let name = format!("round-{round}@file");
        let deadline = Instant::now() + PATIENCE;
        while !gateway.snapshot().routers.contains_key(&name) {
            assert!(Instant::now() < deadline, "round {round} did not come into force");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    load.stop.store(true, Ordering::Relaxed);
    let answers = load.finish().await;
    println!("{RELOADS} configurations, {answers} requests, none failed");
    gateway.stop().await;
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_costs_no_request() {
    let (address, server) = backend().await;
    let (gateway, _folder) = running(address, |_| {}).await;
    let web = gateway.addresses()[0].1;
    let load = Load::start(web, "/slow");
    load.at_least(20).await;
    let began = Instant::now();
    gateway.stop().await;
    let took = began.elapsed();
    let answers = load.finish().await;
    println!("ended in {took:?} under load, {answers} requests, none failed");
    assert!(took < GRACE, "nobody has to be cut off: {took:?}");
    assert!(TcpStream::connect(web).await.is_err(), "nobody listens any more");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_asks_whether_it_is_there_hears_of_the_end_before() {
    let (address, server) = backend().await;
    let accepts = crate::config::duration::Span::milliseconds(1_500);
    let (gateway, _folder) =
        running(address, |entry| entry.transport.life_cycle.request_accept_grace_timeout = accepts).await;
    let web = gateway.addresses()[0].1;
    let ending = tokio::spawn(gateway.stop());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut stream = TcpStream::connect(web).await.expect("it still listens");
        stream
            .write_all(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            .await
            .expect("written");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("read");
        if answer.starts_with("HTTP/1.1 503") {
            break;
        }
        assert!(Instant::now() < deadline, "{answer}");
    }
    let mut stream = TcpStream::connect(web).await.expect("it still listens");
    assert_eq!(once(&mut stream, "/").await, Ok(true));
    drop(stream);
    tokio::time::timeout(PATIENCE, ending).await.expect("in time").expect("no fault");
    server.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_end_after_so_many_requests() {
    let (address, server) = backend().await;
    let (gateway, _folder) = running(address, |entry| entry.transport.keep_alive_max_requests = 3).await;
    let mut stream = TcpStream::connect(gateway.addresses()[0].1).await.expect("connected");
    let mut answers = 0;
    // The last answer may be read before its connection's end is told.
    while once(&mut stream, "/").await.expect("no failure") {
        answers += 1;
        assert!(answers <= 3, "the connection goes on");
    }
    assert!(answers >= 2, "{answers}");
    gateway.stop().await;
    server.abort();
}
