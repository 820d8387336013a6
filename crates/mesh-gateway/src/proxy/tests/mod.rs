//! Requests through a gateway to servers of the tests' own, over loopback.

mod breaks;
mod certs;
mod early;
mod faults;
mod hostile;
mod layers;
mod plain;
mod routing;
mod servers;
mod tables;
mod tcp;
mod tls;
mod udp;

use crate::{
    config::statics::{EntryPoint, FileProvider, Ping, Statics},
    server::Gateway,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::{fs, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// How long anything here may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A server that says what it was asked; it ends with the test.
struct Server {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a head, to its empty line.
async fn head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0];
    while !text.ends_with(b"\r\n\r\n") && stream.read(&mut byte).await.is_ok_and(|read| read > 0) {
        text.push(byte[0]);
    }
    String::from_utf8(text).expect("a head is text")
}

/// Answers every connection's first request by a function of its head; the stream goes on with it.
async fn server<F, W>(respond: F) -> Server
where
    F: Fn(String, TcpStream) -> W + Send + Sync + 'static,
    W: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let asked = head(&mut stream).await;
            if !asked.is_empty() {
                respond(asked, stream).await;
            }
        }
    });
    Server { address, task }
}

/// A server that answers with the head it got, and a name.
async fn echo(name: &'static str) -> Server {
    server(move |asked, mut stream| async move {
        let body = format!("{name}\n{asked}");
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nX-Kept: 1\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await
}

struct Running {
    gateway: Gateway,
    folder: TempDir,
    web: SocketAddr,
}

impl Running {
    /// Where an entry point listens.
    fn at(&self, entry: &str) -> SocketAddr {
        self.gateway.addresses().iter().find(|(name, _)| name == entry).expect("an entry point").1
    }
}

fn write(folder: &Path, text: &str) {
    let beside = folder.join("beside");
    fs::write(&beside, text).expect("written");
    fs::rename(beside, folder.join("dynamic.yml")).expect("renamed");
}

async fn running(dynamic: &str) -> Running {
    running_as(dynamic, |_| {}).await
}

/// The same, with more than that asked for.
async fn running_as(dynamic: &str, more: impl FnOnce(&mut Statics)) -> Running {
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), dynamic);
    let mut statics = Statics::default();
    let entry = EntryPoint { address: "127.0.0.1:0".to_owned(), ..EntryPoint::default() };
    statics.entry_points.insert("web".to_owned(), entry.clone());
    statics.entry_points.insert("traefik".to_owned(), entry);
    statics.ping = Some(Ping::default());
    let directory = folder.path().display().to_string();
    statics.providers.file = Some(FileProvider { directory, ..FileProvider::default() });
    more(&mut statics);
    let gateway = Gateway::start(statics, crate::server::Exchange::default()).await.expect("a gateway");
    let web = gateway.addresses().iter().find(|(name, _)| name == "web").expect("an entry point").1;
    Running { gateway, folder, web }
}

/// The whole answer to a request, which has to end the connection.
async fn ask(address: SocketAddr, request: &str) -> String {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.expect("connected");
        stream.write_all(request.as_bytes()).await.expect("written");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time")
}

async fn get(address: SocketAddr, host: &str, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

fn dynamic(server: SocketAddr) -> String {
    format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app}}
    api: {{rule: 'Host(`app.test`) && PathPrefix(`/api`)', service: app, middlewares: [strip, head]}}
    moved: {{rule: 'Host(`old.test`)', service: app, middlewares: [https]}}
    closed: {{rule: 'Host(`closed.test`)', service: app, middlewares: [users]}}
    dead: {{rule: 'Host(`dead.test`)', service: dead}}
    ws: {{rule: 'Host(`ws.test`) && Header(`Upgrade`, `websocket`)', service: app}}
    none: {{rule: 'Host(`none.test`)', service: none}}
    secure: {{rule: 'Host(`app.test`)', service: app, tls: {{}}}}
  middlewares:
    strip: {{stripPrefix: {{prefixes: [/api]}}}}
    head: {{headers: {{customRequestHeaders: {{X-Added: yes, Accept: ''}}, customResponseHeaders: {{X-Kept: ''}}, frameDeny: true}}}}
    https: {{redirectScheme: {{scheme: https, permanent: true}}}}
    users: {{basicAuth: {{users: ['test:$apr1$H6uskkkW$IgXLP6ewTrSuBkTrqE8wj/']}}}}
  services:
    app: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}]}}}}
    dead: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}]}}}}
    none: {{loadBalancer: {{servers: []}}}}
"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_reach_servers_and_come_back() {
    let app = echo("app").await;
    let running = running(&dynamic(app.address)).await;
    let web = running.web;

    let answer = get(web, "app.test:80", "/x/../y?q=1").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert!(answer.contains("\napp\n") || answer.contains("app\nGET /y?q=1 HTTP/1.1"), "{answer}");
    let lower = answer.to_lowercase();
    for expected in [
        "host: app.test:80",
        "x-forwarded-for: 127.0.0.1\r",
        "x-forwarded-host: app.test:80",
        "x-forwarded-proto: http\r",
        "x-forwarded-port: 80",
        "x-real-ip: 127.0.0.1",
        "x-kept: 1",
    ] {
        assert!(lower.contains(expected), "{expected} is not in {answer}");
    }
    assert!(!lower.contains("x-hop"), "{answer}");

    let answer = get(web, "app.test", "/api/users").await;
    let lower = answer.to_lowercase();
    assert!(answer.contains("GET /users HTTP/1.1"), "{answer}");
    assert!(lower.contains("x-forwarded-prefix: /api") && lower.contains("x-added: yes"), "{answer}");
    assert!(lower.contains("x-frame-options: deny") && !lower.contains("x-kept"), "{answer}");

    let spoofed = "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                   Connection: close, X-Forwarded-Host\r\n\r\n";
    let lower = ask(web, spoofed).await.to_lowercase();
    assert!(!lower.contains("6.6.6.6") && lower.contains("x-forwarded-proto: http\r"), "{lower}");
    assert!(lower.contains("x-forwarded-host: app.test"), "{lower}");

    for (host, path, expected) in [
        ("old.test", "/a", "HTTP/1.1 301 Moved Permanently"),
        ("closed.test", "/", "HTTP/1.1 401 Unauthorized"),
        ("dead.test", "/", "HTTP/1.1 502 Bad Gateway"),
        ("none.test", "/", "HTTP/1.1 503 Service Unavailable"),
        ("other.test", "/", "HTTP/1.1 404 Not Found"),
        ("app.test", "/%zz", "HTTP/1.1 400 Bad Request"),
    ] {
        let answer = get(web, host, path).await;
        assert!(answer.starts_with(expected), "{host}{path}: {answer}");
    }
    assert!(get(web, "old.test", "/a").await.to_lowercase().contains("location: https://old.test/a"));
    let known = "GET / HTTP/1.1\r\nHost: closed.test\r\nAuthorization: Basic dGVzdDp0ZXN0\r\nConnection: close\r\n\r\n";
    assert!(ask(web, known).await.starts_with("HTTP/1.1 200"));
    let traefik = running.gateway.addresses().iter().find(|(name, _)| name == "traefik").expect("an entry").1;
    assert!(get(traefik, "x", "/ping").await.ends_with("\r\n\r\nOK"));
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_be_read_in_two_ways_is_refused() {
    let app = echo("app").await;
    let running = running(&dynamic(app.address)).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "CONNECT app.test:443 HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : app.test\r\n\r\n",
    ] {
        let answer = ask(running.web, request).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{request:?}: {answer}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_configuration_takes_over_and_a_broken_one_does_not() {
    let (first, second) = (echo("first").await, echo("second").await);
    let running = running(&dynamic(first.address)).await;
    assert!(get(running.web, "app.test", "/").await.contains("first"));
    write(running.folder.path(), "http: {routers: {app: {rulee: x}}}");
    let seen = running.gateway.snapshot();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    // The broken file is seen once the snapshot is another one, built from what was sound before.
    while std::sync::Arc::ptr_eq(&seen, &running.gateway.snapshot()) {
        assert!(tokio::time::Instant::now() < deadline, "the broken file is not seen");
        tokio::task::yield_now().await;
    }
    assert!(get(running.web, "app.test", "/").await.contains("first"));
    write(running.folder.path(), &dynamic(second.address));
    while !get(running.web, "app.test", "/").await.contains("second") {
        assert!(tokio::time::Instant::now() < deadline + PATIENCE, "the new file is not read");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_sockets_go_through() {
    let app = server(|asked, mut stream| async move {
        assert!(asked.to_lowercase().contains("upgrade: websocket"), "{asked}");
        assert!(asked.to_lowercase().contains("x-forwarded-proto: ws\r"), "{asked}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.expect("written");
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("read");
        said.reverse();
        stream.write_all(&said).await.expect("written");
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let mut stream = TcpStream::connect(running.web).await.expect("connected");
    let request = "GET /ws HTTP/1.1\r\nHost: ws.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("written");
    let answer = head(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
    stream.write_all(b"abcd").await.expect("written");
    let mut said = [0; 4];
    stream.read_exact(&mut said).await.expect("read");
    assert_eq!(&said, b"dcba");
    drop(stream);
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_stream_both_ways() {
    // The server answers with the first chunk while the client still holds its last one back.
    let app = server(|_, mut stream| async move {
        let mut first = [0; 10];
        stream.read_exact(&mut first).await.expect("read");
        assert_eq!(&first, b"5\r\nhello\r\n");
        let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-End\r\n\r\n5\r\nHELLO\r\n";
        stream.write_all(answer.as_bytes()).await.expect("written");
        let mut last = [0; 5];
        stream.read_exact(&mut last).await.expect("read");
        assert_eq!(&last, b"0\r\n\r\n");
        stream.write_all(b"0\r\nX-End: yes\r\n\r\n").await.expect("written");
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let exchange = async {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let request = "POST / HTTP/1.1\r\nHost: app.test\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n";
        stream.write_all(request.as_bytes()).await.expect("written");
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let mut first = [0; 10];
        stream.read_exact(&mut first).await.expect("read");
        assert_eq!(&first, b"5\r\nHELLO\r\n");
        stream.write_all(b"0\r\n\r\n").await.expect("written");
        let rest = head(&mut stream).await;
        assert_eq!(rest.to_lowercase(), "0\r\nx-end: yes\r\n\r\n");
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time");
    running.gateway.stop().await;
}

/// A connection with TLS, of which nobody's certificate is looked at.
async fn secured(address: SocketAddr, protocol: &str) -> tokio_rustls::client::TlsStream<TcpStream> {
    let trust = mesh_tls::Client::trusting(mesh_tls::Trust::Insecure);
    let mut config = trust.config().expect("a configuration");
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let stream = TcpStream::connect(address).await.expect("connected");
    connector.connect("app.test".try_into().expect("a name"), stream).await.expect("TLS")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_and_http2_are_spoken_where_a_client_speaks_them() {
    let app = echo("app").await;
    let running = running(&dynamic(app.address)).await;
    let mut stream = secured(running.web, "http/1.1").await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\nConnection: close\r\n\r\n")
        .await
        .expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read");
    let lower = answer.to_lowercase();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(
        lower.contains("x-forwarded-proto: https\r") && lower.contains("x-forwarded-port: 443"),
        "{answer}"
    );

    let stream = TokioIo::new(secured(running.web, "h2").await);
    let (mut sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    for (method, host, path, expected) in [
        ("GET", "app.test", "/", 200),
        ("GET", "app.test", "/%zz", 400),
        ("HEAD", "app.test", "/", 200),
        ("HEAD", "nobody.test", "/", 404),
    ] {
        let request = hyper::Request::builder().method(method).uri(format!("https://{host}{path}"));
        let request = request.body(http_body_util::Empty::<bytes::Bytes>::new()).expect("a request");
        let answer = sender.send_request(request).await.expect("an answer");
        assert_eq!(answer.status(), expected, "{path}");
        assert!(answer.headers().get("connection").is_none());
        let length = answer.headers().get("content-length").cloned();
        let body =
            http_body_util::BodyExt::collect(answer.into_body()).await.expect("no broken stream").to_bytes();
        if method == "HEAD" {
            assert!(body.is_empty() && length.is_some_and(|length| length != "0"), "{host}");
        }
    }
    connection.abort();
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_that_are_no_http_reach_servers_that_speak_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        stream.write_all(b"220 hello").await.expect("written");
        let mut said = [0; 4];
        stream.read_exact(&mut said).await.expect("read");
        stream.write_all(&said).await.expect("written");
    });
    let running = running(&format!(
        "tcp:\n  routers: {{all: {{rule: 'HostSNI(`*`)', service: s}}}}\n  \
         services: {{s: {{loadBalancer: {{servers: [{{address: '{address}'}}]}}}}}}\n"
    ))
    .await;
    let exchange = async {
        let mut stream = TcpStream::connect(running.web).await.expect("connected");
        let mut greeting = [0; 9];
        stream.read_exact(&mut greeting).await.expect("read");
        assert_eq!(&greeting, b"220 hello");
        stream.write_all(b"QUIT").await.expect("written");
        let mut rest = String::new();
        stream.read_to_string(&mut rest).await.expect("read");
        assert_eq!(rest, "QUIT");
    };
    tokio::time::timeout(PATIENCE, exchange).await.expect("in time");
    server.await.expect("served");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_server_says_who_may() {
    let adviser = server(|asked, mut stream| async move {
        let known = asked.contains("authorization: let-me-in") || asked.contains("Authorization: let-me-in");
        let answer = if known {
            "HTTP/1.1 204 No Content\r\nX-User: kim\r\n\r\n"
        } else {
            "HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nnope"
        };
        stream.write_all(answer.as_bytes()).await.expect("written");
    })
    .await;
    let app = echo("app").await;
    let running = running(&format!(
        "
http:
  routers: {{app: {{rule: 'Host(`app.test`)', service: app, middlewares: [ask]}}}}
  middlewares:
    ask: {{forwardAuth: {{address: 'http://{}/verify', trustForwardHeader: false, authResponseHeaders: [X-User]}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}}}
",
        adviser.address, app.address
    ))
    .await;
    let refused =
        ask(running.web, "GET / HTTP/1.1\r\nHost: app.test\r\nX-User: root\r\nConnection: close\r\n\r\n")
            .await;
    assert!(refused.starts_with("HTTP/1.1 403") && refused.ends_with("nope"), "{refused}");
    let known = "GET / HTTP/1.1\r\nHost: app.test\r\nX-User: root\r\nAuthorization: let-me-in\r\nConnection: close\r\n\r\n";
    let passed = ask(running.web, known).await.to_lowercase();
    assert!(passed.starts_with("http/1.1 200") && passed.contains("x-user: kim"), "{passed}");
    assert!(!passed.contains("x-user: root"), "{passed}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_is_sent_again_to_the_next_server() {
    let app = echo("app").await;
    let running = running(&format!(
        "
http:
  routers:
    app: {{rule: 'Host(`app.test`)', service: app, middlewares: [again]}}
    once: {{rule: 'Host(`once.test`)', service: app}}
  middlewares: {{again: {{retry: {{attempts: 2}}}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: 'http://127.0.0.1:1'}}, {{url: 'http://{}'}}]}}}}}}
",
        app.address
    ))
    .await;
    for _ in 0..4 {
        assert!(get(running.web, "app.test", "/").await.starts_with("HTTP/1.1 200"));
    }
    let mut statuses = [get(running.web, "once.test", "/").await, get(running.web, "once.test", "/").await]
        .map(|answer| answer[9..12].to_owned());
    statuses.sort();
    assert_eq!(statuses, ["200", "502"]);
    running.gateway.stop().await;
}
