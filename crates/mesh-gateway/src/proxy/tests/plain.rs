//! Connections with several requests, and answers in every shape.

use super::{PATIENCE, Running, dynamic, head, running, running_as, server};
use crate::config::duration::Span;
use std::{sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

async fn connected(running: &Running) -> TcpStream {
    TcpStream::connect(running.web).await.expect("connected")
}

/// What comes until a text is in it.
async fn until(stream: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    let reading = async {
        let mut part = [0; 4_096];
        loop {
            let said = String::from_utf8_lossy(&seen).into_owned();
            if said.contains(text) {
                return said;
            }
            match stream.read(&mut part).await.expect("read") {
                0 => panic!("{text:?} is not in {said:?}"),
                count => seen.extend_from_slice(&part[..count]),
            }
        }
    };
    timeout(PATIENCE, reading).await.expect("in time")
}

/// All that comes until the end.
async fn rest(stream: &mut TcpStream) -> String {
    let mut seen = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut seen)).await.expect("an end in time");
    String::from_utf8_lossy(&seen).into_owned()
}

fn request(method: &str, path: &str, more: &str) -> String {
    format!("{method} {path} HTTP/1.1\r\nHost: app.test\r\n{more}\r\n")
}

/// A server that answers every request of a connection by its path.
async fn shapes() -> (std::net::SocketAddr, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let task = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                loop {
                    let asked = head(&mut stream).await;
                    let Some(path) = asked.split(' ').nth(1) else { return };
                    let answer: &[u8] = match path {
                        "/length" => b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
                        "/chunks" => {
                            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n1;x\r\n!\r\n0\r\nX-T: 1\r\n\r\n"
                        }
                        "/none" => b"HTTP/1.1 204 No Content\r\n\r\n",
                        "/same" => b"HTTP/1.1 304 Not Modified\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\n",
                        "/interim" => {
                            b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                        }
                        "/more" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
                        "/forever" => b"HTTP/1.1 100 Continue\r\n\r\n",
                        "/short" => b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
                        "/wrong" => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
                        "/close" => b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
                        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n?",
                    };
                    let times = if path == "/forever" { 100 } else { 1 };
                    if stream.write_all(&answer.repeat(times)).await.is_err() {
                        return;
                    }
                    if ["/short", "/close"].contains(&path) {
                        return;
                    }
                }
            });
        }
    });
    (address, task)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_brings_one_request_after_the_other() {
    let (address, task) = shapes().await;
    let running = running(&dynamic(address)).await;
    let mut stream = connected(&running).await;
    for (method, path, expected, absent) in [
        ("GET", "/length", "content-length: 5\r\n", "chunked"),
        ("GET", "/chunks", "transfer-encoding: chunked\r\n", "content-length"),
        ("GET", "/none", "HTTP/1.1 204 No Content\r\n", "content-length"),
        ("GET", "/same", "HTTP/1.1 304 Not Modified\r\n", "chunked"),
        ("GET", "/interim", "content-length: 2\r\n", "Early"),
        ("DELETE", "/length", "content-length: 5\r\n", "chunked"),
    ] {
        stream.write_all(request(method, path, "").as_bytes()).await.expect("written");
        let end = match path {
            "/length" => "\r\n\r\nhello",
            "/chunks" => "5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n",
            "/interim" => "\r\n\r\nok",
            _ => "\r\n\r\n",
        };
        let said = until(&mut stream, end).await;
        assert!(said.starts_with("HTTP/1.1 ") && said.contains(expected), "{method} {path}: {said}");
        assert!(said.contains("\r\ndate: ") && !said.to_lowercase().contains("connection:"), "{said}");
        assert!(!said.contains(absent), "{method} {path}: {said}");
        assert!(said.ends_with(end), "{method} {path}: {said}");
    }
    // Only heads are asked for: what has a length says it, and nothing follows.
    let both = request("HEAD", "/chunks", "") + &request("GET", "/length", "Connection: close\r\n");
    stream.write_all(both.as_bytes()).await.expect("written");
    let said = rest(&mut stream).await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
    assert_eq!(said.matches("hello").count(), 1, "{said}");
    assert!(said.contains("connection: close\r\n") && said.ends_with("hello"), "{said}");
    running.gateway.stop().await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_are_not_plain_go_on_where_others_were() {
    let (address, task) = shapes().await;
    let running = running(&dynamic(address)).await;
    let mut stream = connected(&running).await;
    let all = request("GET", "/length", "")
        + &request("GET", "/interim", "Connection: keep-alive\r\n")
        + &(request("POST", "/length", "Content-Length: 3\r\n") + "abc")
        + &request("GET", "/none", "")
        + &request("GET", "/length", "Connection: close\r\n");
    // However it comes.
    for part in all.as_bytes().chunks(37) {
        stream.write_all(part).await.expect("written");
        tokio::task::yield_now().await;
    }
    let said = rest(&mut stream).await;
    let statuses: Vec<&str> = said.split("HTTP/1.1 ").skip(1).map(|part| &part[..3]).collect();
    assert_eq!(statuses, ["200", "200", "200", "204", "200"], "{said}");
    running.gateway.stop().await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_servers_say_wrongly_stays_with_them() {
    let (address, task) = shapes().await;
    let running = running(&dynamic(address)).await;
    let mut stream = connected(&running).await;
    // What follows an answer unasked is no answer to the next request.
    for path in ["/more", "/length"] {
        stream.write_all(request("GET", path, "").as_bytes()).await.expect("written");
        let end = if path == "/more" { "\r\n\r\nok" } else { "\r\n\r\nhello" };
        let said = until(&mut stream, end).await;
        assert!(said.ends_with(end), "{said}");
    }
    for path in ["/forever", "/wrong"] {
        stream.write_all(request("GET", path, "").as_bytes()).await.expect("written");
        let said = until(&mut stream, "Bad Gateway").await;
        assert!(said.starts_with("HTTP/1.1 502 "), "{path}: {said}");
    }
    let mut other = connected(&running).await;
    other.write_all(request("GET", "/close", "").as_bytes()).await.expect("written");
    let said = until(&mut other, "0\r\n\r\n").await;
    assert!(said.contains("until the end"), "{said}");
    // What is too short never looks whole.
    other.write_all(request("GET", "/short", "").as_bytes()).await.expect("written");
    let said = rest(&mut other).await;
    assert!(said.contains("content-length: 9") && said.ends_with("short"), "{said}");
    running.gateway.stop().await;
    task.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_an_answer_go_out_as_they_come_and_who_leaves_is_noticed() {
    let (more, left) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (wait, tell) = (more.clone(), left.clone());
    let app = server(move |_, mut stream| {
        let (wait, tell) = (wait.clone(), tell.clone());
        async move {
            let first = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n";
            stream.write_all(first).await.expect("written");
            wait.notified().await;
            stream.write_all(b"3\r\ntwo\r\n").await.expect("written");
            let mut byte = [0];
            // The gateway ends a connection whose answer nobody wants.
            if !matches!(stream.read(&mut byte).await, Ok(1)) {
                tell.notify_one();
            }
        }
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let mut stream = connected(&running).await;
    stream.write_all(request("GET", "/", "").as_bytes()).await.expect("written");
    until(&mut stream, "one").await;
    more.notify_one();
    until(&mut stream, "two").await;
    drop(stream);
    timeout(PATIENCE, left.notified()).await.expect("noticed");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_early_answer_reaches_a_client_that_still_sends() {
    let app = server(|_, mut stream| async move {
        let answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig";
        stream.write_all(answer).await.expect("written");
        // Reads on for as long as is sent, so that nothing resets the connection.
        let mut sink = vec![0; 65_536];
        while matches!(timeout(Duration::from_secs(5), stream.read(&mut sink)).await, Ok(Ok(1..))) {}
    })
    .await;
    let running = running(&dynamic(app.address)).await;
    let mut stream = connected(&running).await;
    stream.write_all(request("PUT", "/", "Content-Length: 1000000\r\n").as_bytes()).await.expect("written");
    stream.write_all(&[b'x'; 10_000]).await.expect("written");
    let said = until(&mut stream, "big").await;
    assert!(said.starts_with("HTTP/1.1 413 "), "{said}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_answered_at_once_counts_too() {
    let app = server(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await.expect("written");
    })
    .await;
    let running = running_as(&dynamic(app.address), |statics| {
        let entry = statics.entry_points.get_mut("web").expect("an entry point");
        entry.transport.keep_alive_max_requests = 3;
    })
    .await;
    let mut stream = connected(&running).await;
    // Nobody routes these: nothing is ever waited for.
    let nowhere = "GET / HTTP/1.1\r\nHost: nowhere.test\r\n\r\n";
    stream.write_all(nowhere.repeat(20).as_bytes()).await.expect("written");
    let said = rest(&mut stream).await;
    assert_eq!(said.matches("HTTP/1.1 404 ").count(), 3, "{said}");
    assert_eq!(said.matches("connection: close\r\n").count(), 1, "{said}");
    running.gateway.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_end_that_a_layer_announces_is_one() {
    let app = server(|_, mut stream| async move {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1").await.expect("written");
    })
    .await;
    let text = format!(
        "http:\n  routers: {{r: {{rule: 'Host(`app.test`)', service: s, middlewares: [m]}}}}\n  \
         middlewares: {{m: {{headers: {{customResponseHeaders: {{Connection: close}}}}}}}}\n  \
         services: {{s: {{loadBalancer: {{servers: [{{url: 'http://{}'}}]}}}}}}\n",
        app.address
    );
    let running = running(&text).await;
    let mut stream = connected(&running).await;
    stream.write_all(request("GET", "/", "").as_bytes()).await.expect("written");
    let said = rest(&mut stream).await;
    assert_eq!(said.to_lowercase().matches("connection: close").count(), 1, "{said}");
    assert!(said.ends_with("\r\n\r\n1"), "{said}");
    running.gateway.stop().await;
}

/// A server whose answers nobody can take at once.
async fn endless() -> super::Server {
    server(|_, mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n").await;
        let part = vec![b'x'; 64 << 10];
        while stream.write_all(&part).await.is_ok() {}
    })
    .await
}

/// A connection that is to end after its answer is held to the same time as any other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_does_not_read_is_cut_on_the_last_request_of_a_connection_too() {
    let app = endless().await;
    for (most, more) in [(0, ""), (1, ""), (0, "Connection: close\r\n"), (1, "TE: trailers\r\n")] {
        let running = running_as(&dynamic(app.address), |statics| {
            for entry in statics.entry_points.values_mut() {
                entry.transport.keep_alive_max_requests = most;
                entry.transport.responding_timeouts.write_timeout = Span::milliseconds(300);
            }
        })
        .await;
        let mut client = connected(&running).await;
        client.write_all(request("GET", "/", more).as_bytes()).await.expect("sent");
        let site = running.gateway.site();
        let cut = async {
            // Nothing is read: only the gateway can end this.
            while !site.tasks.is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        until(&mut client, "x").await;
        timeout(PATIENCE, cut).await.unwrap_or_else(|_| panic!("{most} {more:?}: it is still there"));
        running.gateway.stop().await;
    }
}

/// What was sent ahead of a connection's last answer is not answered, whoever serves it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_brings_as_many_requests_as_it_may() {
    let running = running_as("{}", |statics| {
        for entry in statics.entry_points.values_mut() {
            entry.transport.keep_alive_max_requests = 2;
        }
    })
    .await;
    for more in ["", "TE: trailers\r\n"] {
        let mut client = connected(&running).await;
        client.write_all(request("GET", "/", more).repeat(5).as_bytes()).await.expect("sent");
        let answers = rest(&mut client).await;
        assert_eq!(answers.matches("HTTP/1.1 404").count(), 2, "{more:?}: {answers}");
        assert_eq!(answers.matches("connection: close").count(), 1, "{more:?}: {answers}");
    }
    running.gateway.stop().await;
}
