//! Requests that are meant to be understood in two ways, or to cost more than they should: refused or bounded, and what
//! a server saw of them.

use super::*;
use std::sync::{Arc, Mutex};

/// Most header fields that a request may have: HTTP/1.1's parser holds so many.
const FIELDS_MAX: usize = 100;

/// A server that notes all bytes it gets, and answers each connection once.
pub(super) struct Witness {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
    task: JoinHandle<()>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Witness {
    pub(super) async fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let seen: Arc<Mutex<Vec<u8>>> = Arc::default();
        let noted = seen.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let noted = noted.clone();
                tokio::spawn(async move {
                    let mut bytes = [0; 4_096];
                    while let Ok(read @ 1..) = stream.read(&mut bytes).await {
                        noted.lock().expect("no fault").extend_from_slice(&bytes[..read]);
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
                        if stream.write_all(answer).await.is_err() {
                            return;
                        }
                    }
                });
            }
        });
        Self { address, seen, task }
    }

    /// What was seen so far; it is forgotten then.
    pub(super) fn take(&self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut *self.seen.lock().expect("no fault"))).into_owned()
    }
}

async fn guarded(server: SocketAddr) -> Running {
    running(&format!(
        "
http:
  routers:
    all: {{rule: 'Host(`app.test`)', service: app}}
    admin: {{rule: 'Host(`app.test`) && PathPrefix(`/admin`)', service: app, middlewares: [nobody]}}
    other: {{rule: 'Host(`other.test`)', service: app, middlewares: [nobody]}}
  middlewares: {{nobody: {{ipAllowList: {{sourceRange: [192.0.2.1]}}}}}}
  services: {{app: {{loadBalancer: {{servers: [{{url: 'http://{server}'}}]}}}}}}
"
    ))
    .await
}

/// Sends bytes as they are; what is answered until the connection ends, or nothing comes for a while.
async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    // A gateway that ends the connection early may do so.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut room = [0; 4_096];
    while let Ok(Ok(read @ 1..)) =
        tokio::time::timeout(Duration::from_millis(300), stream.read(&mut room)).await
    {
        answer.extend_from_slice(&room[..read]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_with_two_lengths_reach_nobody() {
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    let smuggled = "GET /admin HTTP/1.1\r\nHost: app.test\r\n\r\n";
    for (what, head, body) in [
        ("CL.CL", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!".to_owned()),
        ("a list of lengths", "Content-Length: 5, 6\r\n", "hello!".to_owned()),
        ("a negative length", "Content-Length: -1\r\n", String::new()),
        ("a signed length", "Content-Length: +5\r\n", "hello".to_owned()),
        ("a length in sixteens", "Content-Length: 0x5\r\n", "hello".to_owned()),
        (
            "TE.TE, of which one is none",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n",
            format!("0\r\n\r\n{smuggled}"),
        ),
        ("chunked is not last", "Transfer-Encoding: chunked, identity\r\n", format!("0\r\n\r\n{smuggled}")),
        ("no coding that is known", "Transfer-Encoding: xchunked\r\n", format!("0\r\n\r\n{smuggled}")),
        ("a space before the colon", "Transfer-Encoding : chunked\r\n", format!("0\r\n\r\n{smuggled}")),
        ("a folded line", "X-A: b\r\n Transfer-Encoding: chunked\r\n", format!("0\r\n\r\n{smuggled}")),
        ("a name with a space", "Trans fer: x\r\n", String::new()),
        ("a return within a value", "X-A: b\rTransfer-Encoding: chunked\r\n", String::new()),
        ("nothing within a name", ": x\r\n", String::new()),
        ("a zero within a value", "X-A: b\0c\r\n", String::new()),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: app.test\r\n{head}\r\n{body}");
        let answer = raw(running.web, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{what}: {answer:?}");
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{what}: {answer:?}");
        assert_eq!(witness.take(), "", "{what}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_never_sees_another_request_in_a_body() {
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    let smuggled = "GET /admin HTTP/1.1\r\nHost: app.test\r\nX-Smuggled: 1\r\n\r\n";
    // Chunks go before a length (RFC 9112, section 6.3): what follows the last one is a request of its own, which is
    // routed like any other.
    let mixed = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}",
        smuggled.len() + 5
    );
    let shorter = format!(
        "POST / HTTP/1.1\r\nHost: app.test\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{smuggled}\r\n0\r\n\r\n",
        smuggled.len()
    );
    for (what, request) in [("CL.TE", mixed), ("TE.CL", shorter)] {
        let answer = raw(running.web, request.as_bytes()).await;
        let seen = witness.take();
        let lower = seen.to_lowercase();
        let lengths = lower.contains("content-length:") && lower.contains("transfer-encoding:");
        assert!(!lengths, "{what}: the server sees two lengths: {seen:?}");
        if what == "CL.TE" {
            assert!(!seen.contains("X-Smuggled") && !lower.contains("x-smuggled"), "{what}: {seen:?}");
            assert!(
                answer.contains("HTTP/1.1 403 ") || answer.matches("HTTP/1.1 ").count() == 1,
                "{answer:?}"
            );
        } else if !seen.is_empty() {
            // It is a body, within its chunk or its length.
            let (head, body) = seen.split_once("\r\n\r\n").expect("a head");
            assert!(head.starts_with("POST / "), "{seen:?}");
            assert!(lower.contains("transfer-encoding: chunked") && body.contains("X-Smuggled"), "{seen:?}");
            // The server may have answered before the last chunk: what it sees is within the first one.
            assert!(body.starts_with(&format!("{:x}\r\n", smuggled.len())), "{seen:?}");
        }
    }
    // A line that ends in a line feed alone is a line (RFC 9112, section 2.2), for the gateway and, written anew, for
    // the server.
    let bare = "GET / HTTP/1.1\nHost: app.test\nX-A: b\nContent-Length: 0\n\n";
    let answer = raw(running.web, bare.as_bytes()).await;
    let seen = witness.take();
    assert!(answer.starts_with("HTTP/1.1 200 ") && seen.contains("x-a: b\r\n"), "{answer:?} {seen:?}");
    assert!(!seen.replace("\r\n", "").contains('\n'), "{seen:?}");
    for (what, body) in [
        ("a size that is no number", "zz\r\nhello\r\n0\r\n\r\n"),
        ("a size that is too large", "ffffffffffffffffff\r\nhello\r\n0\r\n\r\n"),
        ("a negative size", "-5\r\nhello\r\n0\r\n\r\n"),
        ("a chunk without its end", "5\r\nhello!!0\r\n\r\n"),
        ("a size that ends in a line feed", "5\nhello\r\n0\r\n\r\n"),
        ("a zero in the size", "5\0\r\nhello\r\n0\r\n\r\n"),
    ] {
        let request = format!(
            "POST / HTTP/1.1\r\nHost: app.test\r\nTransfer-Encoding: chunked\r\n\r\n{body}{smuggled}"
        );
        let answer = raw(running.web, request.as_bytes()).await;
        let seen = witness.take();
        assert!(!seen.to_lowercase().contains("x-smuggled"), "{what}: {seen:?}");
        assert!(!seen.ends_with("0\r\n\r\n"), "{what}: the server takes it for whole: {seen:?}");
        assert!(answer.matches("HTTP/1.1 200").count() <= 1, "{what}: {answer:?}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_has_one_host() {
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    for request in [
        "GET / HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.test\r\nhost: app.test\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\nHost: other.test\r\n\r\n",
        "CONNECT app.test:80 HTTP/1.1\r\nHost: app.test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app test\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: app.test/../x\r\n\r\n",
    ] {
        let answer = raw(running.web, request.as_bytes()).await;
        let refused = answer.starts_with("HTTP/1.1 400 ") || answer.starts_with("HTTP/1.1 404 ");
        assert!(refused, "{request:?}: {answer:?}");
        assert_eq!(witness.take(), "", "{request:?}");
    }
    // Where target and header differ, the target counts (RFC 9112, section 3.2.2), for the rule and for the server.
    let answer = raw(running.web, b"GET http://other.test/ HTTP/1.1\r\nHost: app.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer:?}");
    let answer = raw(running.web, b"GET http://app.test/ HTTP/1.1\r\nHost: other.test\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let seen = witness.take().to_lowercase();
    assert!(seen.contains("host: app.test\r\n") && !seen.contains("other.test"), "{seen:?}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_that_is_guarded_has_no_other_spelling() {
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    for path in [
        "/admin",
        "/admin/",
        "/./admin",
        "//admin",
        "/a/../admin",
        "/a/%2e%2e/admin",
        "/%61dmin",
        "/%2e/admin",
        "/a/.%2E/admin",
        "/a/b/../../admin",
        "/../admin",
        "/admin/../admin",
        "http://app.test/admin",
    ] {
        let answer =
            raw(running.web, format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 403 "), "{path}: {answer:?}");
        assert_eq!(witness.take(), "", "{path}");
    }
    // What a server could take for something else goes on as what it was routed by, or not at all.
    for (path, seen) in [
        ("/a/..;/admin", Some("GET /a/..;/admin ")),
        ("/a%2f..%2fadmin", Some("GET /a%2F..%2Fadmin ")),
        ("/%252e%252e/admin", Some("GET /%252e%252e/admin ")),
        ("/a\\..\\admin", Some("GET /a\\..\\admin ")),
        ("/a%00", Some("GET /a%00 ")),
        ("/a%zz", None),
        ("/a%", None),
    ] {
        let answer =
            raw(running.web, format!("GET {path} HTTP/1.1\r\nHost: app.test\r\n\r\n").as_bytes()).await;
        match seen {
            Some(line) => {
                let found = witness.take();
                assert!(found.starts_with(line), "{path}: {found:?} {answer:?}");
            }
            None => assert!(
                answer.starts_with("HTTP/1.1 400 ") && witness.take().is_empty(),
                "{path}: {answer:?}"
            ),
        }
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_does_not_say_who_it_is() {
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    let request = "GET / HTTP/1.1\r\nHost: app.test\r\nX-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n\
                   X-Forwarded-Host: evil.test\r\nX-Forwarded-Port: 666\r\nX-Real-Ip: 6.6.6.6\r\n\
                   X-Forwarded-Prefix: /evil\r\nX-Forwarded-Server: evil\r\nX-Forwarded-Uri: /evil\r\n\
                   X_Forwarded_For: 6.6.6.6\r\nX-Forwarded-Tls-Client-Cert: evil\r\n\
                   Connection: close, X-Forwarded-For, X-Real-Ip, Host, Content-Length\r\n\
                   Proxy-Authorization: secret\r\nKeep-Alive: 5\r\nTE: gzip\r\nUpgrade: h2c\r\nHTTP2-Settings: AAAA\r\n\r\n";
    let answer = raw(running.web, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer:?}");
    let seen = witness.take().to_lowercase();
    for wanted in [
        "x-forwarded-for: 127.0.0.1\r",
        "x-real-ip: 127.0.0.1\r",
        "x-forwarded-proto: http\r",
        "host: app.test\r",
    ] {
        assert!(seen.contains(wanted), "{wanted} is not in {seen:?}");
    }
    for unwanted in
        ["6.6.6.6", "evil", "666", "secret", "keep-alive", "te: gzip", "upgrade", "connection: close, x"]
    {
        assert!(!seen.contains(unwanted), "{unwanted} is in {seen:?}");
    }
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_bounded_in_number_size_and_time() {
    let witness = Witness::new().await;
    let folder = tempfile::tempdir().expect("a folder");
    write(folder.path(), &dynamic(witness.address));
    let mut statics = Statics::default();
    let mut entry = EntryPoint { address: "127.0.0.1:0".to_owned(), ..EntryPoint::default() };
    entry.http.max_header_bytes = 16 << 10;
    entry.http.underscore_headers_strategy = "reject".to_owned();
    let characters =
        crate::config::statics::PathCharacters { allow_encoded_slash: false, ..Default::default() };
    entry.http.encoded_characters = Some(characters);
    entry.transport.responding_timeouts.read_timeout = crate::config::duration::Span::milliseconds(300);
    statics.entry_points.insert("web".to_owned(), entry);
    let directory = folder.path().display().to_string();
    statics.providers.file = Some(FileProvider { directory, ..FileProvider::default() });
    let gateway = Gateway::start(statics, crate::server::Exchange::default()).await.expect("a gateway");
    let web = gateway.addresses()[0].1;
    let many: String = (0..=FIELDS_MAX).map(|at| format!("X-{at}: 1\r\n")).collect();
    let large = format!("X-A: {}\r\n", "a".repeat(32 << 10));
    let long = "a".repeat(80 << 10);
    for (what, request) in [
        ("many fields", format!("GET / HTTP/1.1\r\nHost: app.test\r\n{many}\r\n")),
        ("a large field", format!("GET / HTTP/1.1\r\nHost: app.test\r\n{large}\r\n")),
        ("a long target", format!("GET /{long} HTTP/1.1\r\nHost: app.test\r\n\r\n")),
        ("an underscore", "GET / HTTP/1.1\r\nHost: app.test\r\nX_A: 1\r\n\r\n".to_owned()),
        ("an encoded slash", "GET /a%2fb HTTP/1.1\r\nHost: app.test\r\n\r\n".to_owned()),
        ("a long method", format!("{long} / HTTP/1.1\r\nHost: app.test\r\n\r\n")),
    ] {
        let answer = raw(web, request.as_bytes()).await;
        let refused =
            ["400", "414", "431"].iter().any(|code| answer.starts_with(&format!("HTTP/1.1 {code} ")));
        assert!(refused || answer.is_empty(), "{what}: {}", &answer[..answer.len().min(200)]);
        assert_eq!(witness.take(), "", "{what}");
    }
    // Whoever says a byte now and then is not waited for.
    let slow = async {
        let mut stream = TcpStream::connect(web).await.expect("connected");
        stream.write_all(b"GET / HTTP/1.1\r\nHost: app.test\r\n").await.expect("written");
        let mut ended = tokio::time::interval(Duration::from_millis(50));
        loop {
            ended.tick().await;
            if stream.write_all(b"X").await.is_err() {
                return;
            }
            let mut room = [0; 64];
            if let Ok(Ok(0) | Err(_)) =
                tokio::time::timeout(Duration::from_millis(1), stream.read(&mut room)).await
            {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, slow).await.expect("the connection ends");
    assert_eq!(witness.take(), "");
    gateway.stop().await;
}

/// A frame of HTTP/2.
pub(super) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Sends frames after the greeting; whether the gateway ended the connection with `GOAWAY`, or without a word.
async fn ends(address: SocketAddr, frames: impl Iterator<Item = Vec<u8>>) -> bool {
    const GOAWAY: u8 = 7;
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("written");
    stream.write_all(&frame(4, 0, 0, &[])).await.expect("written");
    for frame in frames {
        if stream.write_all(&frame).await.is_err() {
            return true;
        }
    }
    let read = async {
        loop {
            let mut head = [0; 9];
            if stream.read_exact(&mut head).await.is_err() || head[3] == GOAWAY {
                return true;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).expect("a length")];
            if stream.read_exact(&mut payload).await.is_err() {
                return true;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(3), read).await.unwrap_or(false)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_http2_end_their_connection() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const CONTINUATION: u8 = 9;
    const ENDS: u8 = 0b101;
    let witness = Witness::new().await;
    let running = guarded(witness.address).await;
    // GET, http and / of the static table, and a host that is written out.
    let request = [&[0x82, 0x86, 0x84, 0x01, 8][..], b"app.test"].concat();
    let rapid = (0..20_000_u32).flat_map(|at| {
        let stream = at * 2 + 1;
        [frame(HEADERS, ENDS, stream, &request), frame(RESET, 0, stream, &[0, 0, 0, 8])]
    });
    assert!(ends(running.web, rapid).await, "streams that are reset as soon as they are opened");
    let endless = std::iter::once(frame(HEADERS, 0, 1, &request)).chain(
        (0..20_000).map(|_| frame(CONTINUATION, 0, 1, &[[0x00, 1].as_slice(), b"a", &[1], b"b"].concat())),
    );
    assert!(ends(running.web, endless).await, "a head without an end");
    let silent = (0..200_000).map(|_| frame(CONTINUATION, 0, 1, &[]));
    let silent = std::iter::once(frame(HEADERS, 0, 1, &request)).chain(silent);
    assert!(ends(running.web, silent).await, "a head that goes on with nothing");
    let stray = std::iter::once(frame(CONTINUATION, 4, 1, &request));
    assert!(ends(running.web, stray).await, "the rest of nothing");
    let backwards = [frame(HEADERS, ENDS, 5, &request), frame(HEADERS, ENDS, 3, &request)];
    assert!(ends(running.web, backwards.into_iter()).await, "a stream of the past");
    let broken = std::iter::once(frame(HEADERS, ENDS, 1, &[0xff, 0xff, 0xff, 0xff, 0xff]));
    assert!(ends(running.web, broken).await, "a head that is none");
    let odd = std::iter::once(frame(SETTINGS, 0, 0, &[0; 5]));
    assert!(ends(running.web, odd).await, "settings that are none");
    // And after all that others are served.
    assert!(get(running.web, "app.test", "/").await.starts_with("HTTP/1.1 200"));
    running.gateway.stop().await;
}
