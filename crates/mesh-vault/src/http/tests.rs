//! Requests over a real socket: what clients send, and what hostile ones send.

use super::{Bound, Certificates, Site};
use crate::{
    config::Listener,
    core::{Core, Settings},
    storage::Memory,
};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
    task::JoinHandle,
};

struct Running {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    serving: JoinHandle<()>,
}

async fn serve(listener: Listener) -> Running {
    let core = Core::new(Arc::new(Memory::default()), Settings::default());
    let bound = Bound::bind(listener, &mut Certificates::default()).await.unwrap();
    let address = bound.address();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(bound.serve(Site::new(core, true), stopped));
    Running { address, stop, serving }
}

/// What is answered to these bytes, until the server closes.
async fn say(address: SocketAddr, text: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(text.as_ref()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // A server that closes while something is still unread resets the connection.
    assert!(read.is_ok(), "no end in time of {:?}", String::from_utf8_lossy(&answer));
    String::from_utf8_lossy(&answer).into_owned()
}

async fn get(address: SocketAddr, path: &str, headers: &str) -> String {
    say(address, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n")).await
}

#[tokio::test]
async fn paths_and_their_answers() {
    // An address that no other test listens on: the port stays free once it is.
    let running = serve(Listener::plain("127.83.7.1:0")).await;
    for (path, status, within) in [
        ("/v1/sys/seal-status", "200", "\"sealed\":true"),
        ("/v1/sys/health", "501", "\"initialized\":false"),
        ("/v1/secret/data/x", "503", "{\"errors\":[\"Vault is sealed\"]}\n"),
        ("/", "307", "location: /ui/"),
        ("/ui", "307", "location: /ui/"),
        ("/ui/", "200", "<title>Vault</title>"),
        ("/ui/vault/secrets", "200", "<title>Vault</title>"),
        ("/ui/page.js", "200", "use strict"),
        ("/ui/nothing.js", "404", "404 page not found"),
        ("/other", "404", "{\"errors\":[]}"),
        ("/v1//sys/health?standbyok=true", "307", "location: /v1/sys/health?standbyok=true"),
        ("/v1/sys/../../etc/passwd", "307", "location: /etc/passwd"),
        ("//v1/sys/health", "404", "{\"errors\":[]}"),
        ("/v1/sys/%2e%2e/x", "400", "relative paths not supported"),
        ("/v1/secret/%00", "400", ""),
        ("/v1/secret/%zz", "400", ""),
        ("/v1/secret/%ff", "400", ""),
        ("/v1/sys/health?a=%zz", "400", ""),
        ("/v1/secret/x?help=1", "503", "Vault is sealed"),
    ] {
        let answer = get(running.address, path, "").await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{path}: {answer}");
        assert!(answer.contains(within), "{path}: {answer}");
        assert!(answer.contains("cache-control: no-store"), "{path}: {answer}");
    }
    let page = get(running.address, "/ui/", "").await;
    assert!(page.contains("content-security-policy: default-src 'none'; script-src 'self'"), "{page}");
    assert!(
        get(running.address, "/v1/sys/health", "X-Vault-Namespace: n\r\n")
            .await
            .contains("x-vault-namespace: n")
    );
    running.stop.send(true).unwrap();
    running.serving.await.unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}

#[tokio::test]
async fn requests_that_are_none() {
    let listener =
        Listener { request_bytes_max: 1000, require_request_header: true, ..Listener::plain("127.0.0.1:0") };
    let running = serve(listener).await;
    let head = "POST /v1/sys/init HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-vault-request: true\r\n";
    for (text, status) in [
        (format!("{head}content-length: 1001\r\n\r\n"), "413"),
        (
            format!(
                "{head}transfer-encoding: chunked\r\n\r\n3e8\r\n{}\r\n1\r\nx\r\n0\r\n\r\n",
                "x".repeat(1000)
            ),
            "413",
        ),
        (format!("{head}content-length: 3\r\n\r\n{{{{{{"), "400"),
        ("GET /v1/sys/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".to_owned(), "412"),
        ("nonsense\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(100_000)), "431"),
        (format!("{head}content-length: 1\r\ncontent-length: 2\r\n\r\nxx"), "400"),
    ] {
        let answer = say(running.address, &text).await;
        let shown = &text[..text.len().min(120)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{shown}: {answer}");
    }
    // Whoever breaks off in the middle of anything hurts nobody.
    for text in ["", "G", "PRI", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "GET / HT", head] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(text.as_bytes()).await.unwrap();
    }
    assert!(
        get(running.address, "/v1/sys/seal-status", "x-vault-request: true\r\n")
            .await
            .starts_with("HTTP/1.1 200 ")
    );
    drop(running.stop);
    running.serving.await.unwrap();
}

#[tokio::test]
async fn a_body_that_nobody_wants_costs_no_answer() {
    let running = serve(Listener::plain("127.0.0.1:0")).await;
    let post = |path: &str, bytes: usize| {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: {bytes}\r\n\r\n");
        format!("{head}{}", "x".repeat(bytes))
    };
    for (path, status) in [("/v1//a", "307 "), ("/v1/%zz", "400 "), ("/v1/a/%2e%2e/b", "400 ")] {
        let last = "GET /v1/sys/seal-status HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let answers = say(running.address, format!("{}{last}", post(path, 200_000))).await;
        assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {answers}");
        assert!(answers.contains("\"sealed\":true"), "{path}: the connection did not hold: {answers}");
    }
    // More than is worth reading ends the connection, with the answer.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    let head = "POST /v1//a HTTP/1.1\r\nhost: x\r\ncontent-length: 10000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    read.expect("the connection ends").unwrap();
    assert!(String::from_utf8_lossy(&answer).starts_with("HTTP/1.1 307 "));
    running.stop.send(true).unwrap();
    running.serving.await.unwrap();
}

#[tokio::test]
async fn http2_without_tls_is_known_by_its_greeting() {
    let running = serve(Listener::plain("127.0.0.1:0")).await;
    let stream = TcpStream::connect(running.address).await.unwrap();
    let executor = hyper_util::rt::TokioExecutor::new();
    let io = hyper_util::rt::TokioIo::new(stream);
    let (mut client, connection) =
        hyper::client::conn::http2::handshake::<_, _, http_body_util::Empty<bytes::Bytes>>(executor, io)
            .await
            .unwrap();
    let connection = tokio::spawn(connection);
    let request =
        hyper::Request::get("http://x/v1/sys/seal-status").body(http_body_util::Empty::new()).unwrap();
    let response = client.send_request(request).await.unwrap();
    assert_eq!(response.status(), 200);
    running.stop.send(true).unwrap();
    running.serving.await.unwrap();
    connection.await.unwrap().unwrap();
}
